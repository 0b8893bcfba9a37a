"""ConformalDetector: what trains and what calibrates, its files, and its place in scikit-learn."""

import io
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from scipy import sparse, stats
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.helper import SliceDataset
from torch.utils.data import TensorDataset

from skood import ConformalDetector, KNNDetector, OutlierExposureDetector
from skood.conformal import conformal_threshold
from skood.conformal._parts import draw_folds, draw_part
from skood.datasets import load_digits_ood
from skood.model_selection import OODScorer

from .calibrated import (
    FAST,
    Recorder,
    calibration_rows,
    calibration_rows_of,
    columns,
    frozen,
    quietly,
    three_classes,
)


@pytest.fixture(scope="module")
def table():
    return three_classes()


# ---- what trains, and what calibrates


def test_the_parts_are_disjoint_and_each_class_gives_its_share(table):
    X, y, _ = table
    detector = ConformalDetector(Recorder(), random_state=0).fit(X, y)
    held_out = calibration_rows(detector, X)
    assert len(held_out) == 30 and detector.calibration_.sizes.tolist() == [30]
    np.testing.assert_array_equal(detector.estimator_.seen_, np.delete(X, held_out, axis=0))
    np.testing.assert_array_equal(detector.estimator_.y_, np.delete(y, held_out))
    assert abs(np.bincount(y[held_out]) - np.bincount(y) / 5).max() < 1
    assert detector.offset_ == conformal_threshold(X[held_out, 0], 0.05)
    again, other = (
        calibration_rows(ConformalDetector(Recorder(), random_state=seed).fit(X, y), X)
        for seed in (0, 1)
    )
    np.testing.assert_array_equal(again, held_out)
    assert not np.array_equal(other, held_out)


@pytest.mark.parametrize("method", ["split", "cross"])
def test_outliers_train_and_never_calibrate(table, method):
    X, y, A = table
    detector = ConformalDetector(Recorder(), method=method, random_state=0)
    detector.fit(np.r_[A, X], np.r_[np.full(len(A), -1), y], X_aux=(A[:9],))
    for each in detector.estimators_:
        assert np.isin(A[:, 0], each.seen_[:, 0]).all() and (each.y_ == -1).sum() == len(A)
        assert each.X_aux_[0] is not None and len(each.X_aux_[0]) == 9
    n = {"split": 30, "cross": 150}[method]
    assert detector.calibration_.sizes.tolist() == [n]
    seen = np.sum([np.isin(X[:, 0], each.seen_[:, 0]) for each in detector.estimators_], axis=0)
    if method == "cross":
        assert (seen == 4).all()  # each row is held out once
    else:
        assert seen.sum() == 120


@pytest.mark.parametrize("method", ["split", "cross"])
@pytest.mark.parametrize("steps", [[], [StandardScaler()]])
def test_a_detector_that_reads_no_labels_is_not_taught_outliers_as_known(table, method, steps):
    X, y, A = table
    forest = make_pipeline(*steps, IsolationForest(n_estimators=5, random_state=0))
    detector = ConformalDetector(forest, method=method, random_state=0)
    expected = clone(detector).fit(X, y)
    detector.fit(np.r_[X, A], np.r_[y, np.full(len(A), -1)])
    np.testing.assert_array_equal(detector.score_samples(A), expected.score_samples(A))
    assert detector.offset_ == expected.offset_
    # With weights, which are cut alike.
    sparing = ConformalDetector(IsolationForest(n_estimators=5, random_state=0), random_state=0)
    weight = np.r_[np.ones(len(X)), np.full(len(A), np.nan)]
    sparing.fit(np.r_[X, A], np.r_[y, np.full(len(A), -1)], sample_weight=weight)


def test_a_search_is_given_the_outliers_that_it_judges_by(table):
    X, y, A = table
    search = GridSearchCV(
        IsolationForest(random_state=0), {"n_estimators": [2, 5]}, scoring=OODScorer(),
        refit="auroc", cv=StratifiedKFold(2),
    )
    detector = ConformalDetector(search, random_state=0)
    detector.fit(np.r_[X, A], np.r_[y, np.full(len(A), -1)])
    assert np.isfinite(detector.estimator_.cv_results_["mean_test_auroc"]).all()


def test_outliers_are_not_cut_with_the_rows_but_weights_are(table):
    X, y, A = table
    weight = np.arange(150.0)
    detector = ConformalDetector(Recorder(), random_state=0)
    detector.fit(X, y, X_aux=A, sample_weight=weight)
    assert detector.estimator_.X_aux_ is A
    held_out = calibration_rows(detector, X)
    np.testing.assert_array_equal(detector.estimator_.weight_, np.delete(weight, held_out))


def test_outliers_as_the_second_argument(table):
    X, _, A = table
    detector = ConformalDetector(Recorder(), random_state=0).fit(X, A)
    assert detector.estimator_.X_aux_ is A and detector.estimator_.y_ is None
    with pytest.raises(ValueError, match="outliers came twice"):
        detector.fit(X, A, X_aux=A)


def test_a_frozen_detector_is_calibrated_by_all_rows(table):
    X, y, A = table
    forest = IsolationForest(n_estimators=5, random_state=0).fit(X)
    detector = ConformalDetector(FrozenEstimator(forest), random_state=0)
    detector.fit(np.r_[A, X], np.r_[np.full(len(A), -1), y])
    assert detector.estimator_.estimator is forest
    assert detector.offset_ == conformal_threshold(forest.score_samples(X), 0.05)
    np.testing.assert_array_equal(detector.score_samples(A), forest.score_samples(A))
    with pytest.raises(NotFittedError):
        ConformalDetector(FrozenEstimator(IsolationForest())).fit(X)
    with pytest.raises(ValueError, match="method='cross' trains .* FrozenEstimator"):
        detector.set_params(method="cross").fit(X)


@pytest.mark.parametrize(("size", "n"), [(0.2, 30), (7, 7), (0.5, 75), (0.07, 11), (149, 149)])
def test_sizes_of_the_calibration_part(table, size, n):
    X, _, _ = table
    detector = ConformalDetector(Recorder(), calibration_size=size, random_state=0)
    assert quietly(detector.fit, X).calibration_.sizes.tolist() == [n]


def test_shares_of_classes_whatever_their_sizes():
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1, 2, 3], [500, 60, 5, 2])
    taken = np.zeros(len(codes))
    for _ in range(2000):
        part = draw_part(codes, 60, rng)
        assert len(np.unique(part)) == 60
        assert abs(np.bincount(codes[part], minlength=4) - np.bincount(codes) * 60 / 567).max() < 1
        assert len(np.unique(np.delete(codes, part))) == 4
        taken[part] += 1
    # No row is favoured: a binomial count, 567 of which are looked at.
    margin = 5 * np.sqrt(2000 * 60 / 567 * (1 - 60 / 567))
    assert abs(taken - 2000 * 60 / 567).max() < margin
    for fold in draw_folds(codes, 5, rng):
        assert len(fold) in (113, 114) and len(np.unique(np.delete(codes, fold))) == 4


def test_the_bound_that_drawing_by_class_leaves():
    # Class 0 always scores below class 1, and gives its exact share of n rows: the worst case.
    for n, share, alpha in ((100, 0.02, 0.05), (100, 0.1, 0.5), (1000, 0.004, 0.01)):
        k, n_low = int((n + 1) * alpha + 1e-9), round(share * n)
        rate = share * k / (n_low + 1) if k <= n_low else (
            share + (1 - share) * (k - n_low) / (n - n_low + 1)
        )
        assert rate <= alpha * (1 + 1 / n)


# ---- recalibration, failures, files


def test_recalibration_trains_nothing_and_takes_the_alpha_of_now(table):
    X, y, A = table
    detector = ConformalDetector(Recorder(), random_state=0).fit(X, y)
    estimator = detector.estimator_
    detector.set_params(alpha=0.2)
    assert detector.recalibrate(np.r_[X + 1, A], np.r_[y, np.full(len(A), -1)]) is detector
    assert detector.estimator_ is estimator
    assert detector.offset_ == conformal_threshold(X[:, 0] + 1, 0.2)
    assert detector.calibration_.sizes.tolist() == [150]


@pytest.mark.parametrize("options", [
    {}, {"conditional_on": "label"}, {"conditional_on": "predicted"},
    {"method": "cross", "n_folds": 2},
])
def test_another_alpha_is_decided_by_at_once(table, options, tmp_path):
    X, y, A = table
    detector = ConformalDetector(OutlierExposureDetector(**FAST), random_state=0, **options)
    detector.fit(X, y, X_aux=(A,))
    p, rows = detector.p_values(A), X[:20]
    for alpha in (0.05, 0.2, 0.5):
        detector.set_params(alpha=alpha)
        np.testing.assert_array_equal(detector.predict(A) == -1, p <= alpha)
        again = clone(detector).fit(X, y, X_aux=(A,))
        np.testing.assert_array_equal(detector.offset_, again.offset_)
        np.testing.assert_array_equal(detector.predict(rows), again.predict(rows))
    detector.save_weights(tmp_path / "file")
    loaded = clone(detector).load_weights(tmp_path / "file")
    np.testing.assert_array_equal(loaded.predict(A) == -1, p <= 0.5)
    with pytest.raises(ValueError, match="'alpha' parameter"):
        detector.set_params(alpha=2).predict(A)


def test_recalibration_by_class():
    rng = np.random.default_rng(0)
    X, y = columns(rng.normal(size=100)), np.repeat([3, 7], 50)
    detector = frozen(conditional_on="label").fit(X, y)
    detector.recalibrate(X + y[:, None], y.astype(float))
    expected = conformal_threshold(X[:50, 0] + 3, 0.05)
    assert detector.offset_ == min(expected, conformal_threshold(X[50:, 0] + 7, 0.05))
    with pytest.warns(UserWarning, match=r"at least 19 .* each class, and of \[7\] there are 0"):
        detector.recalibrate(X[:50], y[:50])
    assert detector.offset_ == -np.inf
    with pytest.raises(ValueError, match=r"y has the classes \[4\], which fit did not see"):
        detector.recalibrate(X, y + (y == 3))
    with pytest.raises(ValueError, match="recalibrate needs y"):
        detector.recalibrate(X)


def test_recalibration_keeps_its_condition():
    X, y = columns(np.arange(100.0)), np.repeat(["common", "rare"], 50)
    detector = frozen().fit(X)
    before = state(detector.set_params(conditional_on="label"))
    with pytest.raises(ValueError, match="conditional_on was None in fit and is 'label' now"):
        detector.recalibrate(X, y)
    assert state(detector) == before
    # The remedy that the message names.
    again = ConformalDetector(FrozenEstimator(detector), conditional_on="label")
    assert again.fit(X, y).offset_ == conformal_threshold(X[:50, 0], 0.05)


@pytest.mark.parametrize("routing", [False, True])
def test_a_frozen_detector_takes_no_outliers(table, routing):
    X, y, A = table
    detector = OutlierExposureDetector(**FAST).fit(X, y, X_aux=(A,))
    with sklearn.config_context(enable_metadata_routing=routing):
        with pytest.raises(TypeError, match="X_aux was given, but a FrozenEstimator is not train"):
            ConformalDetector(FrozenEstimator(detector)).fit(X, y, X_aux=(A,))


def state(detector):
    return {name: id(value) for name, value in vars(detector).items()}


def test_what_fails_leaves_the_detector_as_it_was(table):
    X, y, _ = table
    bad = X.copy()
    bad[3, 0] = np.nan
    detector = ConformalDetector(Recorder(), calibration_size=149, random_state=0).fit(X, y)
    before = state(detector)
    for call in (
        lambda: detector.fit(bad),
        lambda: detector.recalibrate(bad),
        lambda: detector.recalibrate(X[:0]),
        lambda: detector.recalibrate(X, np.full(150, -1)),
    ):
        with pytest.raises(ValueError):
            call()
        assert state(detector) == before
    new = ConformalDetector(Recorder())
    with pytest.raises(ValueError, match="not finite"):
        new.set_params(calibration_size=149).fit(bad)
    assert set(vars(new)) == set(new.get_params(deep=False))
    with pytest.raises(NotFittedError):
        new.predict(X)
    with pytest.raises(NotFittedError):
        new.recalibrate(X)


def test_a_second_fit_forgets_the_first(table):
    X, y, A = table
    detector = ConformalDetector(OutlierExposureDetector(**FAST), random_state=0)
    assert detector.fit(X, y, X_aux=(A,)).classes_.tolist() == [0, 1, 2]
    detector.set_params(estimator=IsolationForest(n_estimators=5)).fit(X)
    assert not hasattr(detector, "classes_") and not hasattr(detector, "predict_proba")


@pytest.mark.parametrize("method", ["split", "cross"])
def test_files(table, method):
    X, y, A = table
    detector = ConformalDetector(
        OutlierExposureDetector(**FAST), method=method, n_folds=2, random_state=0
    ).fit(X, y, X_aux=(A,))
    stream = io.BytesIO()
    joblib.dump(detector, stream)
    stream.seek(0)
    loaded = joblib.load(stream)
    for output in ("score_samples", "predict", "p_values", "select", "predict_class"):
        np.testing.assert_array_equal(getattr(loaded, output)(A), getattr(detector, output)(A))
    content = stream.getvalue()
    assert not [row for row in (*X, *A) if row.tobytes() in content]
    loaded.recalibrate(X)
    assert loaded.offset_ != detector.offset_


# ---- containers


@pytest.mark.parametrize(
    "wrap",
    [list, np.ndarray.tolist, torch.from_numpy, pd.DataFrame, sparse.csr_matrix, sparse.coo_matrix,
     lambda X: SliceDataset(TensorDataset(torch.from_numpy(X)))],
    ids=["rows", "lists", "tensor", "frame", "csr", "coo", "SliceDataset"],
)
def test_containers(table, wrap):
    X, y, _ = table
    forest = IsolationForest(n_estimators=5, random_state=0)
    expected = ConformalDetector(forest, random_state=0).fit(X, y).offset_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ConformalDetector(forest, random_state=0).fit(wrap(X), list(y)).offset_ == expected


def test_frames_keep_their_names(table):
    X, y, A = table
    X, A = (pd.DataFrame(part, columns=list("abcd"), index=range(9, 159)) for part in (X, A))
    detector = ConformalDetector(OutlierExposureDetector(**FAST), random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector.fit(X, pd.Series(y, index=X.index), X_aux=(A,)).predict(X)
    assert detector.feature_names_in_.tolist() == list("abcd") and detector.n_features_in_ == 4


@pytest.mark.parametrize("mapped", [False, True])
def test_images(tmp_path, mapped):
    rng = np.random.default_rng(0)
    X = rng.integers(256, size=(60, 1, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "x.npy", X)
    given = np.load(tmp_path / "x.npy", mmap_mode="r") if mapped else X
    detector = ConformalDetector(
        OutlierExposureDetector(max_epochs=1, random_state=0), alpha=0.1, random_state=0
    ).fit(given, np.arange(60) % 3, X_aux=(255 - X,))
    assert detector.input_shape_ == (1, 8, 8)
    assert detector.predict_proba(given).shape == (60, 3) and detector.predict(X).shape == (60,)


# ---- inside scikit-learn


def test_parameters_of_the_estimator():
    detector = ConformalDetector(OutlierExposureDetector(), alpha=0.1)
    detector.set_params(estimator__lr=0.5, estimator__module__hidden=(4,))
    again = clone(detector)
    assert again.get_params()["estimator__lr"] == 0.5 and again.alpha == 0.1
    assert again.estimator.get_params()["module__hidden"] == (4,)
    assert again.estimator is not detector.estimator


def test_a_search_inside_sees_no_calibration_row(table):
    X, _, _ = table
    search = GridSearchCV(Recorder(), {}, cv=2, scoring=lambda estimator, X, y=None: 0.0)
    detector = ConformalDetector(search, random_state=0).fit(X)
    assert len(calibration_rows_of(detector.estimator_.best_estimator_, X)) == 30


@pytest.mark.parametrize("routing", [False, True])
def test_a_search(table, routing):
    X, y, A = table
    detector = ConformalDetector(OutlierExposureDetector(**FAST), random_state=0)
    with sklearn.config_context(enable_metadata_routing=routing):
        search = GridSearchCV(
            detector, {"estimator__beta": [0.1, 0.5], "alpha": [0.05, 0.1]}, cv=StratifiedKFold(2),
            scoring=OODScorer(A + 1), refit="auroc", error_score="raise",
        ).fit(X, y, X_aux=(A,))
    expected = clone(detector).set_params(**search.best_params_).fit(X, y, X_aux=(A,))
    np.testing.assert_array_equal(search.best_estimator_.score_samples(X),
                                  expected.score_samples(X))


def test_pipelines_inside_and_around(table):
    X, y, A = table
    scale = np.float32([1, 50, 0.02, 1])
    net = OutlierExposureDetector(**FAST)
    with sklearn.config_context(enable_metadata_routing=True):
        def pipeline(last):
            return Pipeline([("scale", StandardScaler()), ("detect", last)],
                            transform_input=["X_aux"])

        around = pipeline(ConformalDetector(net, random_state=0))
        inside = ConformalDetector(pipeline(net), random_state=0)
        around.fit(X * scale, y, X_aux=(A * scale,))
        inside.fit(X * scale, y, X_aux=(A * scale,))
        scaler = StandardScaler().fit(X * scale)
        expected = ConformalDetector(net, random_state=0)
        expected.fit(scaler.transform(X * scale), y, X_aux=(scaler.transform(A * scale),))
    np.testing.assert_array_equal(
        around.score_samples(A * scale), expected.score_samples(scaler.transform(A * scale))
    )
    assert inside.predict_class(A).shape == (150,)  # which a pipeline itself does not forward
    # The scaler inside sees the training part alone, as the rows that calibrate must be new to it.
    held_out = inside.estimator_["scale"].n_samples_seen_
    assert held_out == 120


def test_metadata_that_is_not_asked_for(table):
    X, _, A = table
    with sklearn.config_context(enable_metadata_routing=True):
        forest = IsolationForest(n_estimators=5).set_fit_request(sample_weight=True)
        ConformalDetector(forest, random_state=0).fit(X, sample_weight=np.ones(150))
        with pytest.raises(TypeError, match="X_aux"):
            ConformalDetector(forest).fit(X, X_aux=(A,))
    with pytest.raises(ValueError, match="Pipeline.fit does not accept the X_aux"):
        ConformalDetector(make_pipeline(StandardScaler(), OutlierExposureDetector())).fit(X, A)


# ---- a real detector


@pytest.fixture(scope="module")
def digits():
    return load_digits_ood()


@pytest.fixture(scope="module")
def trained(digits):
    detector = OutlierExposureDetector(max_epochs=5, random_state=0)
    conformal = ConformalDetector(detector, calibration_size=0.3, random_state=0)
    return conformal.fit(digits.X_train, digits.y_train, X_aux=(digits.X_aux,))


def test_digits(digits, trained):
    own = np.mean(trained.estimator_.predict(digits.X_test) == -1)
    refused = np.sum(trained.predict(digits.X_test) == -1)
    law = stats.betabinom(481, 14, 290 - 14)  # 289 rows calibrate: k = 14
    assert trained.calibration_.sizes.tolist() == [289]
    assert law.cdf(refused) > 1e-3 and law.sf(refused) > 1e-3
    assert own > 0.08 > refused / 481
    letters = digits.ood["letters"]
    assert np.mean(trained.predict(letters) == -1) > 0.9
    picked = trained.select(np.concatenate([digits.X_test, letters]), q=0.1)
    assert picked[481:].mean() > 0.9 and picked[:481].sum() / picked.sum() < 0.15
    assert np.mean(trained.predict_class(digits.X_test) == digits.y_test) > 0.9
    np.testing.assert_array_equal(
        trained.predict_class(digits.X_test), trained.estimator_.predict_class(digits.X_test)
    )


def test_each_digit(digits, trained):
    detector = ConformalDetector(
        FrozenEstimator(trained.estimator_), conditional_on="label", alpha=0.1
    ).fit(digits.X_test[:240], digits.y_test[:240])
    refused = detector.predict(digits.X_test[240:]) == -1
    for digit in range(8):
        among = refused[digits.y_test[240:] == digit]
        n = np.sum(digits.y_test[:240] == digit)
        k = int((n + 1) / 10)
        assert stats.betabinom(len(among), k, n + 1 - k).sf(among.sum()) > 1e-3


def test_a_detector_that_reads_a_frozen_network(digits, trained):
    net = FrozenEstimator(trained.estimator_)
    detector = ConformalDetector(KNNDetector(net), random_state=0)
    detector.fit(digits.X_test, digits.y_test)
    assert detector.estimator_.module_ is trained.estimator_.module_
    own = detector.estimator_.score_samples(digits.X_test)  # of the rows in its bank 0, nearly
    assert own.min() < detector.offset_ < 0 and len(detector.select(digits.X_test)) == 481
