"""Detectors inside scikit-learn: searches, cross-validation, pipelines, clones and parameters."""

import functools

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch.callbacks import EarlyStopping
from torch import nn

from skood import EnergyExposureDetector, OutlierExposureDetector
from skood.model_selection import OODScorer
from skood.nn import MLP

from .instances import make_training as make

FAST = {"max_epochs": 2, "batch_size": 32, "random_state": 0}
GRID = [
    {"module__hidden": [(4,), (8, 8)], "optimizer__lr": [1e-4, 1e-2]},
    {"optimizer__weight_decay": [0.0, 10.0], "lr": [1e-2]},
]
GRIDS = {
    OutlierExposureDetector: [
        *GRID, {"beta": [0.1, 5.0], "score": ["msp", "uniform"], "lr": [1e-2]},
    ],
    EnergyExposureDetector: [*GRID, {"beta": [0.1, 5.0], "m_in": ["auto", -9.0], "lr": [1e-2]}],
}


class Recording(OutlierExposureDetector):
    """Keeps the outliers as scikit-learn handed them over."""

    def fit(self, X, y=None, X_aux=None):
        super().fit(X, y, X_aux)
        self.given_ = X_aux
        return self


@pytest.fixture(scope="module")
def table():
    """Three overlapping classes, outliers to train against, and others to judge by."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=90)
    X = (rng.normal(size=(90, 4)) + 3 * np.eye(3, 4)[y]).astype(np.float32)
    A, B = (rng.uniform(-6, 6, size=(n, 4)).astype(np.float32) for n in (150, 60))
    return X, y, A, B


@pytest.fixture(scope="module")
def stacked(table):
    X, y, A, _ = table
    return np.r_[X, A], np.r_[y, np.full(len(A), -1)]


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def piped(detector):
    return Pipeline([("scale", StandardScaler()), ("detect", detector)], transform_input=["X_aux"])


def prefixed(grid, prefix):
    return [{f"{prefix}__{name}": values for name, values in each.items()} for each in grid]


def searched(estimator, grid, table, n_jobs, X_aux):
    X, y, _, B = table
    search = GridSearchCV(
        estimator, grid, scoring=OODScorer(B), refit="auroc", cv=StratifiedKFold(2),
        n_jobs=n_jobs, error_score="raise",
    )
    return search.fit(X, y, X_aux=X_aux)


def mean_scores(search):
    names = sorted(name for name in search.cv_results_ if name.startswith("mean_test_"))
    assert names == [f"mean_test_{m}" for m in ("aupr_in", "aupr_out", "auroc", "neg_fpr95")]
    return np.array([search.cv_results_[name] for name in names])


# ---- searches


@pytest.mark.parametrize("Detector", GRIDS)
def test_a_search_with_two_jobs_is_the_search_with_one(table, Detector):
    X, y, A, _ = table
    one, two = (searched(Detector(**FAST), GRIDS[Detector], table, n, (A,)) for n in (1, 2))
    assert one.best_params_ == two.best_params_
    np.testing.assert_array_equal(mean_scores(one), mean_scores(two))
    np.testing.assert_array_equal(one.score_samples(X), two.score_samples(X))


@pytest.mark.parametrize("Detector", GRIDS)
def test_every_candidate_is_the_detector_with_its_parameters(table, Detector):
    X, y, A, B = table
    search = searched(Detector(**FAST), GRIDS[Detector], table, 1, (A,))
    # The candidates of each pair of values differ, so no parameter is lost on the way.
    aurocs = search.cv_results_["mean_test_auroc"]
    assert len(np.unique(aurocs)) == len(aurocs)
    train, test = next(StratifiedKFold(2).split(X, y))
    for k, params in enumerate(search.cv_results_["params"]):
        by_hand = Detector(**(FAST | params)).fit(X[train], y[train], X_aux=A)
        expected = OODScorer(B)(by_hand, X[test], y[test])["auroc"]
        assert search.cv_results_["split0_test_auroc"][k] == expected
    best = Detector(**(FAST | search.best_params_)).fit(X, y, X_aux=A)
    np.testing.assert_array_equal(search.decision_function(X), best.decision_function(X))
    np.testing.assert_array_equal(search.predict(B), best.predict(B))
    np.testing.assert_array_equal(search.predict_proba(B), best.predict_proba(B))


@pytest.mark.parametrize("bare", [False, True], ids=["tuple", "array"])
def test_a_search_over_a_pipeline(table, routing, bare):
    X, y, A, _ = table
    grid = prefixed(GRIDS[OutlierExposureDetector], "detect")
    pipeline = piped(OutlierExposureDetector(**FAST))
    one, two = (searched(pipeline, grid, table, n, A if bare else (A,)) for n in (1, 2))
    assert one.best_params_ == two.best_params_
    np.testing.assert_array_equal(mean_scores(one), mean_scores(two))
    scaler = StandardScaler().fit(X)
    best = {name.removeprefix("detect__"): value for name, value in one.best_params_.items()}
    by_hand = OutlierExposureDetector(**(FAST | best))
    by_hand.fit(scaler.transform(X), y, X_aux=scaler.transform(A))
    np.testing.assert_array_equal(
        one.score_samples(X), by_hand.score_samples(scaler.transform(X))
    )


def test_a_random_search(table):
    X, y, A, B = table
    search = RandomizedSearchCV(
        OutlierExposureDetector(**FAST), {"optimizer__lr": loguniform(1e-4, 1e-1)}, n_iter=4,
        scoring=OODScorer(B), refit="neg_fpr95", cv=2, random_state=0, error_score="raise",
    ).fit(X, y, X_aux=(A,))
    tried = [params["optimizer__lr"] for params in search.cv_results_["params"]]
    assert len(set(tried)) == 4
    assert search.best_estimator_.get_params()["optimizer__lr"] == search.best_params_[
        "optimizer__lr"
    ]


def test_a_halving_search_with_epochs_as_the_resource(stacked):
    X, y = stacked
    search = HalvingGridSearchCV(
        OutlierExposureDetector(**FAST), {"beta": [0.1, 1.0, 4.0]}, resource="max_epochs",
        max_resources=3, min_resources=1, factor=3, scoring="roc_auc", cv=StratifiedKFold(2),
        error_score="raise",
    ).fit(X, np.where(y == -1, -1, 1))
    assert search.n_resources_ == [1, 3]
    assert search.best_estimator_.n_iter_ == 3


def test_a_search_by_roc_auc_on_plus_and_minus_one(stacked):
    X, y = stacked
    y = np.where(y == -1, -1, 1)
    cv = StratifiedKFold(2)
    search = GridSearchCV(
        OutlierExposureDetector(**(FAST | {"lr": 1e-2})),
        {"module__hidden": [(4,), (32,)], "max_epochs": [1, 20]}, scoring="roc_auc", cv=cv,
        error_score="raise",
    ).fit(X, y)
    train, test = next(cv.split(X, y))
    for k, params in enumerate(search.cv_results_["params"]):
        fitted = OutlierExposureDetector(**(FAST | {"lr": 1e-2} | params))
        fitted.fit(X[train], y[train])
        expected = roc_auc_score(y[test], fitted.score_samples(X[test]))
        assert search.cv_results_["split0_test_score"][k] == expected
    assert search.best_params_["max_epochs"] == 20
    assert search.best_score_ > 0.8


def test_a_search_over_networks_and_optimizers(table):
    X, y, A, B = table
    trained = MLP((4,), 3, hidden=(5,))
    grid = {"module": [None, functools.partial(MLP, hidden=(3,)), trained],
            "optimizer": ["sgd", torch.optim.Adam]}
    search = GridSearchCV(
        OutlierExposureDetector(**FAST), grid, scoring=OODScorer(B), refit="auroc", cv=2,
        error_score="raise",
    ).fit(X, y, X_aux=(A,))
    assert np.isfinite(search.cv_results_["mean_test_auroc"]).all()


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_trained_net_large_enough_to_be_mapped_into_the_workers(table, n_jobs):
    # joblib hands arrays above 1 MB to its workers as read-only memory maps.
    X, y, A, B = table
    net = MLP((4,), 3, hidden=(600, 600))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    result = cross_validate(
        OutlierExposureDetector(net, **FAST), X, y, params={"X_aux": (A,)}, cv=2, n_jobs=n_jobs,
        scoring=OODScorer(B), return_estimator=True, error_score="raise",
    )
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())
    for train, fitted in zip(
        (train for train, _ in KFold(2).split(X)), result["estimator"], strict=True
    ):
        again = OutlierExposureDetector(net, **FAST).fit(X[train], y[train], X_aux=A)
        np.testing.assert_array_equal(fitted.score_samples(B), again.score_samples(B))
        fitted.fit(X, y, X_aux=A)  # what came back from a worker can be trained again


# ---- what a search does to X_aux


def outliers_of_every_fold(X_aux, table, wrap=lambda detector: detector):
    """Return X_aux as the detector of each fold got it, the last of them the refit's."""
    X, y, _, _ = table
    seen = []

    def keep(estimator, X, y):
        detector = estimator[-1] if isinstance(estimator, Pipeline) else estimator
        seen.append(detector.given_)
        return 0.0

    detector = wrap(Recording(max_epochs=1, random_state=0))
    search = GridSearchCV(detector, {}, scoring=keep, cv=KFold(3), error_score="raise")
    search.fit(X, y, X_aux=X_aux)
    keep(search.best_estimator_, X, y)
    return seen


@pytest.mark.parametrize("equal_length", [True, False])
def test_a_tuple_reaches_every_fit_whole(table, equal_length):
    X, _, A, _ = table
    A = A[: len(X)] if equal_length else A
    for given in outliers_of_every_fold((A,), table):
        assert type(given) is tuple and len(given) == 1
        np.testing.assert_array_equal(given[0], A)


def test_a_bare_array_of_another_length_reaches_every_fit_whole(table):
    for given in outliers_of_every_fold(table[2], table):
        np.testing.assert_array_equal(given, table[2])


def test_a_bare_array_of_equal_length_is_sliced_by_scikit_learn(table):
    # Not wished for, but how scikit-learn treats any fit parameter; the page on searches says so.
    X, _, A, _ = table
    A = A[: len(X)]
    *folds, refit = outliers_of_every_fold(A, table)
    for (train, _), given in zip(KFold(3).split(X), folds, strict=True):
        np.testing.assert_array_equal(given, A[train])
    np.testing.assert_array_equal(refit, A)


@pytest.mark.parametrize("equal_length", [True, False])
def test_outliers_go_through_the_steps_fitted_on_each_fold(table, routing, equal_length):
    X, _, A, _ = table
    A = A[: len(X)] if equal_length else A
    *folds, refit = outliers_of_every_fold((A, A[:7]), table, piped)
    for (train, _), given in zip(KFold(3).split(X), folds, strict=True):
        scaler = StandardScaler().fit(X[train])
        assert type(given) is tuple and len(given) == 2
        np.testing.assert_array_equal(given[0], scaler.transform(A))
        np.testing.assert_array_equal(given[1], scaler.transform(A[:7]))
    np.testing.assert_array_equal(refit[0], StandardScaler().fit(X).transform(A))


def test_cross_validate_passes_the_tuple_whole_with_and_without_routing(table):
    X, y, A, B = table
    A = A[: len(X)]
    for on in (False, True):
        with sklearn.config_context(enable_metadata_routing=on):
            result = cross_validate(
                Recording(**FAST), X, y, params={"X_aux": (A,)}, cv=2, scoring=OODScorer(B),
                return_estimator=True, error_score="raise",
            )
        assert all(len(fitted.given_[0]) == len(X) for fitted in result["estimator"])


def test_a_pipeline_that_speaks_frames(table, routing):
    X, y, A, B = table
    X, A, B = (pd.DataFrame(each, columns=list("abcd")) for each in (X, A, B))
    pipeline = piped(Recording(**FAST)).set_output(transform="pandas").fit(X, y, X_aux=(A,))
    assert list(pipeline[-1].given_[0].columns) == list("abcd")
    assert list(pipeline[-1].feature_names_in_) == list("abcd")
    plain = piped(Recording(**FAST)).fit(X, y, X_aux=(A,))
    np.testing.assert_array_equal(pipeline.score_samples(B), plain.score_samples(B))


def test_a_pipeline_of_images(routing):
    rng = np.random.default_rng(0)
    X, A = (rng.integers(256, size=(20, 1, 8, 8), dtype=np.uint8) for _ in range(2))
    half = FunctionTransformer(lambda images: images // 2)
    pipeline = Pipeline(
        [("half", half), ("detect", Recording(max_epochs=1, random_state=0))],
        transform_input=["X_aux"],
    ).fit(X, np.arange(20) % 2, X_aux=(A,))
    np.testing.assert_array_equal(pipeline[-1].given_[0], A // 2)
    by_hand = Recording(max_epochs=1, random_state=0)
    by_hand.fit(X // 2, np.arange(20) % 2, X_aux=(A // 2,))
    np.testing.assert_array_equal(pipeline.score_samples(A), by_hand.score_samples(A // 2))


# ---- cross-validation and curves


@pytest.mark.parametrize("labelled", [True, False])
def test_cross_validation_of_rows_marked_minus_one(stacked, labelled):
    X, y = stacked
    y = y if labelled else np.where(y == -1, -1, 1)
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    result = cross_validate(
        make_pipeline(StandardScaler(), OutlierExposureDetector(**FAST)), X, y,
        scoring=OODScorer(), cv=cv, return_estimator=True, error_score="raise",
    )
    for k, (train, test) in enumerate(cv.split(X, y)):
        fitted = result["estimator"][k]
        expected = roc_auc_score(y[test] != -1, fitted.score_samples(X[test]))
        assert result["test_auroc"][k] == pytest.approx(expected, abs=1e-12)
        assert hasattr(fitted, "predict_proba") == labelled
        scaler = StandardScaler().fit(X[train])
        inside = train[y[train] != -1]
        by_hand = OutlierExposureDetector(**FAST).fit(
            scaler.transform(X[inside]), y[inside],
            X_aux=scaler.transform(X[train[y[train] == -1]]),
        )
        np.testing.assert_array_equal(
            fitted.score_samples(X), by_hand.score_samples(scaler.transform(X))
        )


def test_folds_without_outliers_say_what_to_do(stacked):
    X, y = stacked
    with pytest.raises(ValueError, match="StratifiedKFold"):
        cross_validate(
            OutlierExposureDetector(**FAST), X, y, scoring=OODScorer(), cv=KFold(3),
            error_score="raise",
        )


def test_cross_val_predict(stacked):
    X, y = stacked
    cv = StratifiedKFold(3, shuffle=True, random_state=0)
    detector = OutlierExposureDetector(lr=1e-2, **(FAST | {"max_epochs": 30}))
    decisions = cross_val_predict(detector, X, y, cv=cv)
    assert set(decisions) == {-1, 1}
    assert np.mean((decisions == 1) == (y != -1)) > 0.7
    # scikit-learn renumbers y for the other methods, so that -1 becomes an ordinary class and no
    # outliers are left; skood cannot see it, and the page on searches warns.
    with pytest.warns(UserWarning, match="none were given"):
        cross_val_predict(detector, X, y, cv=cv, method="decision_function")


def test_curves(table):
    X, y, A, B = table

    def auroc(estimator, X, y):
        return OODScorer(B)(estimator, X, y)["auroc"]

    detector = OutlierExposureDetector(**FAST)
    kept = {"params": {"X_aux": (A,)}, "scoring": auroc, "cv": 2, "error_score": "raise"}
    sizes, _, test = learning_curve(
        detector, X, y, train_sizes=[0.5, 1.0], shuffle=True, random_state=0, **kept
    )
    assert list(sizes) == [22, 45] and np.isfinite(test).all()
    _, test = validation_curve(
        detector, X, y, param_name="module__hidden", param_range=[(2,), (16,)], **kept
    )
    assert len(np.unique(test)) == 4


def test_permutation_importance_finds_the_columns_that_tell():
    rng = np.random.default_rng(0)
    X, A = rng.normal(size=(100, 3)), rng.normal(size=(100, 3))
    A[:, 1] += 6
    X, y = np.r_[X, A], np.repeat([1, -1], 100)
    detector = OutlierExposureDetector(lr=1e-2, max_epochs=10, random_state=0).fit(X, y)
    found = permutation_importance(detector, X, y, scoring="roc_auc", n_repeats=3, random_state=0)
    assert found.importances_mean.argmax() == 1


# ---- FrozenEstimator


def test_a_frozen_detector_is_never_refitted(table, stacked):
    X, y, A, B = table
    detector = OutlierExposureDetector(**FAST).fit(X, y, X_aux=A)
    expected, frozen = detector.score_samples(B), FrozenEstimator(detector)
    assert clone(frozen).estimator is detector
    double = FunctionTransformer(lambda X: 2 * X)
    pipeline = make_pipeline(double, frozen).fit(X[:10], y[:10])
    np.testing.assert_array_equal(pipeline.score_samples(B / 2), expected)
    np.testing.assert_array_equal(pipeline.predict(B / 2), detector.predict(B))
    np.testing.assert_array_equal(pipeline.predict_proba(B / 2), detector.predict_proba(B))
    result = cross_validate(frozen, *stacked, scoring=OODScorer(), cv=StratifiedKFold(2))
    assert np.isfinite(result["test_auroc"]).all()
    np.testing.assert_array_equal(detector.score_samples(B), expected)


# ---- clone


@pytest.mark.parametrize("name", make())
def test_a_clone_has_the_parameters_and_nothing_of_the_fit(table, name):
    X, _, A, _ = table
    detector = make()[name].set_params(module__dropout=0.5, optimizer__eps=1e-6)
    detector.set_params(optimizer="adamw", iterator_train__drop_last=True, max_epochs=1)
    copied = clone(detector.fit(X, A))
    assert copied.get_params() == detector.get_params()
    assert not [k for k in vars(copied) if k.endswith("_")]
    copied.set_params(module__dropout=0.0)
    assert detector.get_params()["module__dropout"] == 0.5


def test_a_clone_of_a_trained_net_is_a_deep_copy(table):
    X, y, A, _ = table
    net = MLP((4,), 3)
    detector = OutlierExposureDetector(net, **FAST)
    copied = clone(detector)
    assert detector.module is net and copied.module is not net
    with torch.no_grad():
        copied.module.head.weight.zero_()
    assert net.head.weight.abs().sum() > 0
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    clone(detector).fit(X, y, X_aux=A)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


def test_a_clone_of_callbacks_and_random_states(table):
    X, y, A, _ = table
    callback = EarlyStopping(monitor="train_loss", patience=3)
    state = np.random.RandomState(0)
    detector = OutlierExposureDetector(
        callbacks=[("stop", callback)], random_state=state, optimizer=torch.optim.Adam,
        **{k: v for k, v in FAST.items() if k != "random_state"},
    )
    copied = clone(detector)
    assert copied.callbacks[0][1] is not callback and copied.callbacks[0][1].patience == 3
    assert copied.optimizer is torch.optim.Adam
    copied.fit(X, y, X_aux=A)
    assert state.randint(1000) == np.random.RandomState(0).randint(1000)


# ---- parameters


def test_parameters_can_be_set_and_read_back():
    detector = OutlierExposureDetector(module__hidden=(8,))
    detector.set_params(optimizer__lr=0.1, score="uniform", beta=2.0, callbacks__stop__patience=2)
    got = detector.get_params()
    assert got["module__hidden"] == (8,) and got["optimizer__lr"] == 0.1
    assert got["score"] == "uniform" and got["beta"] == 2.0
    assert got["callbacks__stop__patience"] == 2
    assert OutlierExposureDetector(**got).get_params() == got
    assert OutlierExposureDetector().set_params(**got).get_params() == got
    pipeline = make_pipeline(StandardScaler(), detector)
    pipeline.set_params(outlierexposuredetector__module__hidden=(2, 2))
    assert pipeline.get_params()["outlierexposuredetector__module__hidden"] == (2, 2)
    assert detector.get_params()["module__hidden"] == (2, 2)


def test_the_parameter_score_is_no_method():
    assert not hasattr(OutlierExposureDetector(score="uniform"), "score")


def test_the_score_is_part_of_the_parameters_that_decide(table):
    X, y, A, B = table
    by_init = OutlierExposureDetector(score="uniform", **FAST).fit(X, y, X_aux=A)
    by_set = OutlierExposureDetector(**FAST).set_params(score="uniform").fit(X, y, X_aux=A)
    other = OutlierExposureDetector(**FAST).fit(X, y, X_aux=A)
    np.testing.assert_array_equal(by_init.score_samples(B), by_set.score_samples(B))
    assert not np.array_equal(by_init.score_samples(B), other.score_samples(B))


def test_a_diagram_shows_prefixed_parameters():
    html = make_pipeline(StandardScaler(), OutlierExposureDetector(module__hidden=(77,)))
    assert "77" in html._repr_html_()


NO_SUCH = "is not a parameter of"
MISSPELT = {
    "modul__hidden": [NO_SUCH, "modul__hidden", "'module__hidden'"],
    "optimiser__lr": [NO_SUCH, "optimiser__lr", "'optimizer__lr'"],
    "iterator__shuffle": [NO_SUCH, "iterator__shuffle", "'iterator_train__shuffle'"],
    "bogus": [NO_SUCH, "'bogus'", "contamination, device"],
    "beta__x": [NO_SUCH, "'beta__x'"],
    "contaminaton": [NO_SUCH, "'contaminaton'", "Did you mean 'contamination'"],
}
MISSPELT_BEHIND_A_PREFIX = {
    "module__hiden": [NO_SUCH, "module__hiden", "Did you mean module__hidden"],
    "iterator_train__shufle": [NO_SUCH, "iterator_train__shufle", "iterator_train__shuffle?"],
    "iterator_train__foo": [NO_SUCH, "iterator_train__foo", "iterator_train__shuffle"],
    "optimizer__momentun": [NO_SUCH, "optimizer__momentun", "Did you mean optimizer__momentum"],
    "callbacks__stopp__patience": ["callbacks__stopp__patience", "stop"],
    "callbacks__stop": ["callbacks__stop"],
}


@pytest.mark.parametrize("name", MISSPELT | MISSPELT_BEHIND_A_PREFIX)
def test_a_misspelt_parameter_fails_in_fit_and_names_the_nearest(table, name):
    X, y, A, _ = table
    stop = EarlyStopping(monitor="train_loss")
    detector = OutlierExposureDetector(
        optimizer="sgd", callbacks=[("stop", stop)], **FAST, **{name: 1}
    )
    with pytest.raises(TypeError) as raised:
        detector.fit(X, y, X_aux=A)
    assert "of _" not in str(raised.value)  # no private name
    for part in (MISSPELT | MISSPELT_BEHIND_A_PREFIX)[name]:
        assert part in str(raised.value)


@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_parameter_fails_in_set_params_and_in_searches(table, name):
    X, y, A, B = table
    detector = OutlierExposureDetector(**FAST)
    search = GridSearchCV(detector, {name: [1]}, scoring=OODScorer(B), refit="auroc", cv=2)
    for fails in (
        lambda: detector.set_params(**{name: 1}),
        lambda: search.fit(X, y, X_aux=(A,)),
    ):
        with pytest.raises(ValueError) as raised:
            fails()
        for part in MISSPELT[name]:
            assert part in str(raised.value)
    assert detector.get_params() == OutlierExposureDetector(**FAST).get_params()


def test_a_candidate_that_cannot_be_fitted_says_why_in_the_search(table):
    X, y, A, B = table
    search = GridSearchCV(
        OutlierExposureDetector(**FAST), {"module__hiden": [(4,)]}, scoring=OODScorer(B),
        refit="auroc", cv=2,
    )
    with pytest.raises(ValueError, match="Did you mean module__hidden"):
        search.fit(X, y, X_aux=(A,))


class Factory:
    def __call__(self, input_shape, n_outputs, hidden=(8,)):
        return MLP(input_shape, n_outputs, hidden=hidden)


@pytest.mark.parametrize("module", [functools.partial(MLP, dropout=0.1), Factory()])
def test_options_of_callables_without_a_name(table, module):
    X, y, A, _ = table
    fitted = OutlierExposureDetector(module, module__hidden=(3,), **FAST).fit(X, y, X_aux=A)
    assert fitted.module_.head.in_features == 3
    with pytest.raises(TypeError, match="of (MLP|Factory), .*Did you mean module__hidden"):
        OutlierExposureDetector(module, module__hiden=(3,), **FAST).fit(X, y, X_aux=A)


def test_an_instance_takes_no_options(table):
    X, y, A, _ = table
    with pytest.raises(TypeError, match="module is an instance already built"):
        OutlierExposureDetector(nn.Linear(4, 2), module__bias=False, **FAST).fit(X, y, X_aux=A)


def test_a_parameter_that_another_detector_has(table):
    with pytest.raises(ValueError, match="'score' is not a parameter of EnergyExposureDetector"):
        EnergyExposureDetector().set_params(score="msp")


class Sharper(EnergyExposureDetector):
    """A user's own method: one parameter more, the others handed on."""

    def __init__(self, module=None, *, gamma=1.0, **kwargs):
        super().__init__(module, **kwargs)
        self.gamma = gamma


class Uniform(OutlierExposureDetector):
    """A subclass of a detector with a hidden parameter."""

    def __init__(self, module=None, **kwargs):
        super().__init__(module, **kwargs)


def test_a_subclass_that_hands_parameters_on_keeps_them(table):
    X, y, A, B = table
    own = Sharper(gamma=2.0, module__hidden=(5,), **FAST)
    assert clone(own).get_params() == own.get_params()
    assert clone(own).get_params()["max_epochs"] == FAST["max_epochs"]
    assert own.set_params(beta=0.3, gamma=3.0).get_params()["beta"] == 0.3
    plain = EnergyExposureDetector(beta=0.3, module__hidden=(5,), **FAST).fit(X, y, X_aux=A)
    np.testing.assert_array_equal(own.fit(X, y, X_aux=A).score_samples(B), plain.score_samples(B))
    with pytest.raises(ValueError, match="'lr' parameter of Sharper"):
        Sharper(lr=-1).fit(X, y, X_aux=A)
    uniform = clone(Uniform(score="uniform", **FAST))
    assert uniform.get_params()["score"] == "uniform"
    uniform.fit(X, y, X_aux=A)
    with pytest.raises(TypeError, match="'gama' is not a parameter of Sharper.*'gamma'"):
        Sharper(gama=1).fit(X, y, X_aux=A)
