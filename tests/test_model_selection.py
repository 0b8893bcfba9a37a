"""OODScorer inside scikit-learn's cross-validation, searches and pipelines."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skood.metrics import aupr_in, aupr_out, auroc, fpr95, fpr_at_tpr
from skood.model_selection import OODScorer

NAMES = ["neg_fpr95", "auroc", "aupr_in", "aupr_out"]


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(120, 3)), rng.normal(2, size=(40, 3))])
    return X, np.repeat([1, -1], [120, 40])


@pytest.fixture
def forest(data):
    return IsolationForest(n_estimators=10, random_state=0).fit(data[0][:120])


def expected(estimator, X_in, X_out):
    y = np.repeat([1, -1], [len(X_in), len(X_out)])
    scores = np.concatenate([estimator.score_samples(X_in), estimator.score_samples(X_out)])
    values = -fpr95(y, scores), auroc(y, scores), aupr_in(y, scores), aupr_out(y, scores)
    return dict(zip(NAMES, values, strict=True))


def test_outliers_among_the_rows(data, forest):
    X, y = data
    scores = OODScorer()(forest, X, y)
    assert list(scores) == NAMES
    assert scores == pytest.approx(expected(forest, X[:120], X[120:]))


def test_outliers_held_out(data, forest):
    X, y = data
    X_ood = X[120:] + 1
    scorer = OODScorer(X_ood)
    reference = expected(forest, X[:120], X_ood)
    assert scorer(forest, X[:120]) == pytest.approx(reference)
    assert scorer(forest, X[:120], y[:120]) == pytest.approx(reference)
    assert scorer(forest, X, y) == pytest.approx(reference)  # training outliers do not count


@pytest.mark.parametrize("labels", [["cat", "dog"], [False, True], np.array([0, 7], np.uint8)])
def test_labels_that_cannot_be_outliers(data, forest, labels):
    X, _ = data
    scorer = OODScorer(X[120:])
    assert scorer(forest, X[:120], np.tile(labels, 60)) == scorer(forest, X[:120])


def test_several_sets_are_averaged(data, forest):
    X, _ = data
    sets = {"near": X[120:], "far": X[120:130] + 5}
    each = [OODScorer(X_ood)(forest, X[:120]) for X_ood in sets.values()]
    scores = OODScorer(sets)(forest, X[:120])
    for name in NAMES:
        assert scores[name] == pytest.approx((each[0][name] + each[1][name]) / 2)


def test_another_rate_is_in_the_name(data, forest):
    X, y = data
    scores = OODScorer(tpr=0.8)(forest, X, y)
    assert scores["neg_fpr80"] == -fpr_at_tpr(y, forest.score_samples(X), tpr=0.8)
    assert "neg_fpr95" not in scores


@pytest.mark.parametrize("kind", ["names", "numbers", "series", "list"])
def test_class_labels(data, forest, kind):
    X, y = data
    labels = np.where(y == 1, np.arange(len(y)) % 3, -1)
    if kind == "names":
        labels = np.array([f"class {label}" for label in labels], dtype=object)
        labels[y == -1] = -1
    labels = {"series": pd.Series, "list": list}.get(kind, np.asarray)(labels)
    assert OODScorer()(forest, X, labels) == OODScorer()(forest, X, y)


def test_frames(data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abc"))
    forest = IsolationForest(n_estimators=10, random_state=0).fit(frame[:120])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_frame = OODScorer(frame[120:])(forest, frame, y)
    assert by_frame == pytest.approx(expected(forest, frame[:120], frame[120:]))


def test_cross_validation_with_stratified_folds(data):
    X, y = data
    forest = IsolationForest(n_estimators=10, random_state=0)
    folds = list(StratifiedKFold(4).split(X, y))
    results = cross_validate(
        forest, X, y, cv=folds, scoring=OODScorer(), return_estimator=True, error_score="raise"
    )
    for i, (_, test) in enumerate(folds):
        reference = expected(results["estimator"][i], X[test][y[test] == 1], X[test][y[test] == -1])
        assert {name: results[f"test_{name}"][i] for name in NAMES} == pytest.approx(reference)


def test_string_labels_in_cross_validation(data):
    X, y = data
    names = np.where(y == 1, "cat", "dog").astype(object)
    names[y == -1] = -1
    forest = IsolationForest(n_estimators=10, random_state=0)
    folds = list(StratifiedKFold(3).split(X, names == -1))
    options = {"cv": folds, "scoring": OODScorer(), "error_score": "raise"}
    by_name = cross_validate(forest, X, names, **options)
    by_sign = cross_validate(forest, X, y, **options)
    assert np.array_equal(by_name["test_auroc"], by_sign["test_auroc"])


@pytest.mark.parametrize("routing", [False, True])
def test_grid_search_through_a_pipeline(data, routing):
    X, y = data
    scale = np.array([1, 100, 0.01])  # only a scorer that transforms X_ood gets this right
    X_ood = (X[120:] + 1) * scale
    pipeline = make_pipeline(StandardScaler(), IsolationForest(random_state=0))
    grid = {"isolationforest__n_estimators": [2, 20]}
    with sklearn.config_context(enable_metadata_routing=routing):
        search = GridSearchCV(
            pipeline, grid, cv=3, scoring=OODScorer(X_ood), refit="auroc", error_score="raise"
        ).fit(X[:120] * scale)
    means = search.cv_results_["mean_test_auroc"]
    assert search.best_index_ == np.argmax(means) and search.best_score_ == means.max() > 0.9
    assert all(f"mean_test_{name}" in search.cv_results_ for name in NAMES)


def test_processes_give_the_same_scores(data):
    X, _ = data
    scorer = OODScorer({"near": X[120:], "far": X[120:] + 3})
    one, two = (
        GridSearchCV(
            IsolationForest(random_state=0),
            {"n_estimators": [2, 8]},
            cv=2,
            scoring=scorer,
            refit="aupr_out",
            n_jobs=n_jobs,
        ).fit(X[:120])
        for n_jobs in (1, 2)
    )
    assert one.best_params_ == two.best_params_
    for name in NAMES:
        key = f"mean_test_{name}"
        assert np.array_equal(one.cv_results_[key], two.cv_results_[key])


def test_it_is_an_object_of_its_parameters(data, forest):
    X, y = data
    scorer = OODScorer(X[120:], tpr=0.9)
    assert repr(OODScorer()) == "OODScorer()"
    assert repr(scorer).startswith("OODScorer(X_ood=array(") and len(repr(scorer)) < 1000
    for copy in (clone(scorer), pickle.loads(pickle.dumps(scorer))):
        assert copy(forest, X, y) == scorer(forest, X, y)


# ---------------------------------------------------------------- bad input


def test_plain_folds_of_stacked_rows_are_refused(data):
    X, y = data
    forest = IsolationForest(n_estimators=2, random_state=0)
    with pytest.raises(ValueError, match=r"no out-of-distribution rows \(y == -1\); use Strat"):
        cross_validate(forest, X, y, cv=KFold(4), scoring=OODScorer(), error_score="raise")
    with pytest.raises(ValueError, match=r"no in-distribution rows \(all y are -1\); use Strat"):
        cross_validate(
            forest, X[::-1], y[::-1], cv=KFold(4), scoring=OODScorer(X), error_score="raise"
        )


def test_no_labels_and_no_outliers(data, forest):
    with pytest.raises(ValueError, match=r"or OODScorer\(X_ood\)"):
        OODScorer()(forest, data[0])


def test_no_sets(data, forest):
    with pytest.raises(ValueError, match="X_ood is an empty dict"):
        OODScorer({})(forest, data[0])


def test_an_estimator_without_scores(data):
    X, y = data
    classifier = LogisticRegression().fit(X, y)
    with pytest.raises(TypeError, match="score_samples, got LogisticRegression"):
        OODScorer()(classifier, X, y)


def test_percent_is_not_a_rate(data, forest):
    with pytest.raises(ValueError, match="tpr must be in"):
        OODScorer(tpr=95)(forest, *data)


def test_scores_that_are_not_finite(data, forest):
    class Broken:
        def score_samples(self, X):
            return np.full(len(X), np.nan)

    with pytest.raises(ValueError, match=r"score_samples\(X\) has 160 NaN"):
        OODScorer()(Broken(), *data)
