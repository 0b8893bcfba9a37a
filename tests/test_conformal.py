"""ConformalDetector: the rates that it promises, what trains and what calibrates, and its doors."""

import io
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from scipy import sparse, stats
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetClassifier
from skorch.helper import SliceDataset
from torch.utils.data import TensorDataset

from skood import ConformalDetector, EnergyExposureDetector, KNNDetector, OutlierExposureDetector
from skood.conformal import (
    benjamini_hochberg,
    conformal_p_values,
    conformal_threshold,
    false_alarm_law,
    least_calibration_size,
)
from skood.conformal._folds import FoldRanks
from skood.conformal._parts import draw_folds, draw_part
from skood.datasets import load_digits_ood
from skood.model_selection import OODScorer

FAST = {"max_epochs": 2, "batch_size": 32, "module__hidden": (8,), "random_state": 0}
N_SPLITS, N_NEW = 1000, 2000
SIGMAS = 4.0  # tolerance of a mean over N_SPLITS; its standard deviation is known exactly


class FirstColumn(OutlierMixin, BaseEstimator):
    """A detector with nothing to learn: the score is column 0, the predicted class column 1."""

    classes_ = np.array(["common", "rare"])

    def fit(self, X, y=None):
        raise AssertionError("frozen: nothing is to be trained")

    def __sklearn_is_fitted__(self):
        return True

    def score_samples(self, X):
        return np.asarray(X)[:, 0]

    def predict_proba(self, X):
        return np.eye(2)[np.asarray(X)[:, 1].astype(int)]


class Recorder(OutlierMixin, BaseEstimator):
    """Remembers what it was trained on; the score is column 0."""

    def fit(self, X, y=None, X_aux=None, sample_weight=None):
        self.seen_, self.y_, self.X_aux_, self.weight_ = np.asarray(X), y, X_aux, sample_weight
        return self

    def score_samples(self, X):
        return np.asarray(X)[:, 0]


class Nearest(OutlierMixin, BaseEstimator):
    """The distance to the nearest training row, which is 0 for these: as overfitted as can be."""

    def fit(self, X, y=None):
        self.seen_ = np.sort(X[:, 0])
        return self

    def score_samples(self, X):
        x = np.asarray(X)[:, 0]
        place = np.searchsorted(self.seen_, x).clip(1, len(self.seen_) - 1)
        return -np.minimum(abs(x - self.seen_[place - 1]), abs(x - self.seen_[place]))


def frozen(**params):
    return ConformalDetector(FrozenEstimator(FirstColumn()), random_state=0, **params)


def quietly(function, *arguments):
    """Call what warns of calibration rows too few to refuse anything."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "alpha=.* needs at least")
        return function(*arguments)


def columns(scores, classes=None):
    return np.column_stack([scores, np.zeros(len(scores)) if classes is None else classes])


# ---- the promised rates


def false_alarms(n, alpha, draw):
    """Return how many of N_NEW new rows each of N_SPLITS detectors refuses."""
    rng, detector = np.random.default_rng(0), frozen(alpha=alpha)
    counts = []
    for _ in range(N_SPLITS):
        quietly(detector.fit, columns(draw(rng, n)))
        counts.append(np.sum(detector.predict(columns(draw(rng, N_NEW))) == -1))
    return np.array(counts)


@pytest.mark.parametrize("n", [50, 500])
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1])
def test_the_rate_of_false_alarms_is_that_of_the_exact_law(n, alpha):
    counts = false_alarms(n, alpha, lambda rng, size: rng.standard_normal(size))
    k = {0.01: {50: 0, 500: 5}, 0.05: {50: 2, 500: 25}, 0.1: {50: 5, 500: 50}}[alpha][n]
    if k == 0:
        assert not counts.any()  # 50 rows cannot promise 1 %
        return
    law = stats.betabinom(N_NEW, k, n + 1 - k)
    margin = SIGMAS * law.std() / np.sqrt(N_SPLITS)
    assert law.mean() <= alpha * N_NEW
    assert abs(counts.mean() - law.mean()) <= margin
    # Not the mean alone: the counts have this law.
    smooth = counts + np.random.default_rng(1).random(N_SPLITS)
    assert stats.kstest(smooth, _smooth(law)).pvalue > 1e-3


def _smooth(law):
    """Return the distribution function of a count plus a uniform number."""
    def cdf(x):
        whole = np.floor(x)
        return law.cdf(whole - 1) + (x - whole) * law.pmf(whole)
    return cdf


@pytest.mark.parametrize("n", [50, 500])
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("n_values", [2, 7])
def test_ties_raise_no_more_alarms(n, alpha, n_values):
    counts = false_alarms(n, alpha, lambda rng, size: rng.integers(n_values, size=size))
    k = max(int(np.floor((n + 1) * alpha + 1e-9)), 1)
    margin = SIGMAS * stats.betabinom(N_NEW, k, n + 1 - k).std() / np.sqrt(N_SPLITS)
    assert counts.mean() <= alpha * N_NEW + margin


@pytest.mark.parametrize("decimals", [None, 0])
def test_p_values_are_uniform_on_their_grid_and_super_uniform_everywhere(decimals):
    rng, n = np.random.default_rng(0), 19
    levels = np.arange(1, 200) / 200  # the grid is every tenth
    shares = np.zeros(len(levels))
    for _ in range(N_SPLITS):
        scores = rng.standard_normal(n + 50)
        scores = scores if decimals is None else scores.round(decimals)
        p_values = frozen().fit(columns(scores[:n])).p_values(columns(scores[n:]))
        shares += (p_values[:, None] <= levels).mean(axis=0) / N_SPLITS
    k = np.arange(1, n + 1)
    margin = SIGMAS * stats.betabinom(50, k, n + 1 - k).std().max() / 50 / np.sqrt(N_SPLITS)
    assert (shares <= levels + margin).all()
    if decimals is None:
        assert (shares >= np.floor(20 * levels + 1e-9) / 20 - margin).all()


def test_random_ties_make_p_values_uniform():
    rng = np.random.default_rng(0)
    scores = rng.integers(3, size=(5000, 20))
    drawn, plain = (
        np.concatenate([
            conformal_p_values(row[:-1], row[-1:], randomize=randomize, random_state=rng)
            for row in scores
        ])
        for randomize in (True, False)
    )
    assert stats.kstest(drawn, "uniform").pvalue > 0.01
    assert (drawn <= plain).all() and plain.mean() > 0.6
    again = [
        conformal_p_values([1, 1], [1] * 5, randomize=True, random_state=3) for _ in range(2)
    ]
    np.testing.assert_array_equal(*again)


@pytest.mark.parametrize("conditional_on", [None, "label", "predicted"])
def test_the_rate_of_false_discoveries(conditional_on):
    rng, q, n_in, n_out = np.random.default_rng(0), 0.2, 60, 20
    detector = frozen(conditional_on=conditional_on)
    false, found = [], []
    for _ in range(N_SPLITS):
        classes = rng.integers(2, size=500 + n_in + n_out)
        scores = rng.standard_normal(len(classes)) - classes  # one class scores lower
        scores[-n_out:] -= 3
        X = columns(scores, classes)
        quietly(detector.fit, X[:500], np.array(["common", "rare"])[classes[:500]])
        selected = detector.select(X[500:], q)
        false.append(selected[:n_in].sum() / max(selected.sum(), 1))
        found.append(selected[n_in:].mean())
    assert np.mean(found) > 0.3  # or else nothing is asked
    target = q * n_in / (n_in + n_out)
    margin = SIGMAS * np.std(false) / np.sqrt(N_SPLITS)
    assert np.mean(false) <= target + margin
    if conditional_on is None:  # without conditions p-values are uniform, and this is attained
        assert np.mean(false) >= target - margin - 1 / 501


def by_class(conditional_on, alpha=0.1, flip=0.0):
    """Return the shares refused in classes 0 and 1, a tenth of the rows that scores low.

    Of the rows a share `flip` is predicted as the other class.
    """
    rng = np.random.default_rng(0)
    detector = frozen(alpha=alpha, conditional_on=conditional_on)
    names = np.array(["common", "rare"])

    def draw(size):
        y = (rng.random(size) < 0.1).astype(int)
        predicted = np.where(rng.random(size) < flip, 1 - y, y)
        return columns(rng.standard_normal(size) - 2 * y, predicted), y

    rates = {"true": [], "predicted": []}
    for _ in range(N_SPLITS):
        X, y = draw(500)
        quietly(detector.fit, X, names[y])
        X, y = draw(N_NEW)
        refused = detector.predict(X) == -1
        for kind, group in {"true": y, "predicted": X[:, 1]}.items():
            rates[kind].append([refused[group == k].mean() for k in (0, 1)])
    return {kind: (np.mean(values, axis=0), SIGMAS * np.std(values, axis=0) / np.sqrt(N_SPLITS))
            for kind, values in rates.items()}


def test_a_rate_over_all_rows_is_not_that_of_each_class():
    rates, _ = by_class(None)["true"]
    assert rates[1] > 0.4  # what the conditions are for


def test_conditional_on_the_label_each_true_class_keeps_the_rate():
    for flip in (0.0, 0.3):  # whatever is predicted
        rates, margin = by_class("label", flip=flip)["true"]
        assert (rates <= 0.1 + margin).all()
        assert rates[1] > 0.07  # of the class that sets the threshold


def test_conditional_on_the_prediction_each_predicted_class_keeps_the_rate():
    rates, margin = by_class("predicted", flip=0.3)["predicted"]
    assert (rates <= 0.1 + margin).all()
    assert (rates > 0.07).all()  # neither pays for the other


@pytest.mark.parametrize("conditional_on", [None, "label", "predicted"])
def test_outliers_among_the_rows_change_no_threshold(conditional_on):
    rng = np.random.default_rng(0)
    classes = rng.integers(2, size=200)
    X, y = columns(rng.normal(size=200), classes), np.array(["common", "rare"], object)[classes]
    detector = frozen(conditional_on=conditional_on)
    expected = detector.fit(X, y).offset_
    marked = np.r_[np.full(30, -1, object), y]
    detector.fit(np.r_[X[:30] - 9, X], marked)
    np.testing.assert_array_equal(detector.offset_, expected)
    detector.recalibrate(np.r_[X[:30] - 9, X], marked)
    np.testing.assert_array_equal(detector.offset_, expected)


def test_the_largest_p_value_is_the_largest_of_the_classes():
    rng = np.random.default_rng(0)
    y, scores = rng.integers(3, size=200), rng.normal(size=200).round(1)
    new = np.r_[rng.normal(size=100).round(1), -9, 9]
    detector = quietly(frozen(conditional_on="label").fit, columns(scores), y)
    each = [conformal_p_values(scores[y == k], new) for k in range(3)]
    np.testing.assert_array_equal(detector.p_values(columns(new)), np.max(each, axis=0))
    thresholds = [conformal_threshold(scores[y == k], 0.05) for k in range(3)]
    assert detector.offset_ == min(thresholds)


def test_the_p_value_of_a_predicted_class_is_that_among_its_rows():
    rng = np.random.default_rng(0)
    predicted, scores = rng.integers(2, size=200), rng.normal(size=200).round(1)
    new, of = np.r_[rng.normal(size=100).round(1), -9, 9], rng.integers(2, size=102)
    detector = frozen(conditional_on="predicted").fit(columns(scores, predicted))
    expected = [conformal_p_values(scores[predicted == k], [s])[0]
                for s, k in zip(new, of, strict=True)]
    np.testing.assert_array_equal(detector.p_values(columns(new, of)), expected)
    thresholds = [conformal_threshold(scores[predicted == k], 0.05) for k in range(2)]
    np.testing.assert_array_equal(detector.offset_, thresholds)


# ---- the rules on scores


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.07, 0.1, 0.29, 0.57, 0.95])
def test_predict_refuses_where_the_p_value_is_at_most_alpha(alpha):
    rng = np.random.default_rng(0)
    for n in (*range(1, 60), 99, 199, 999):
        scores = rng.integers(n, size=n).astype(float)
        detector = quietly(frozen(alpha=alpha).fit, columns(scores))
        new = columns(np.arange(-1.0, n + 1))
        np.testing.assert_array_equal(detector.predict(new) == -1, detector.p_values(new) <= alpha)
        assert detector.offset_ == conformal_threshold(scores, alpha)


@pytest.mark.parametrize(
    ("alpha", "n", "k"), [(0.29, 99, 29), (0.57, 99, 57), (0.1, 9, 1), (0.07, 99, 7)]
)
def test_ranks_do_not_suffer_from_binary_fractions(alpha, n, k):
    assert conformal_threshold(np.arange(1, n + 1), alpha) == k


@pytest.mark.parametrize(
    ("alpha", "least"), [(0.05, 19), (0.01, 99), (0.1, 9), (0.03, 33), (0.5, 1), (0.9, 1)]
)
def test_the_least_rows_that_refuse(alpha, least):
    assert least_calibration_size(alpha) == least
    assert np.isfinite(conformal_threshold(np.arange(least), alpha))
    assert least == 1 or conformal_threshold(np.arange(least - 1), alpha) == -np.inf


def test_the_law_of_the_rate():
    law = false_alarm_law(99, 0.05)
    assert law.mean() == pytest.approx(0.05)
    rng = np.random.default_rng(0)
    rates = [conformal_threshold(rng.random(99), 0.05) for _ in range(2000)]  # scores are uniform
    assert stats.kstest(rates, law.cdf).pvalue > 0.01


def selected_by_definition(p_values, q):
    order = np.argsort(p_values)
    m = len(p_values)
    last = max((r for r in range(1, m + 1) if p_values[order[r - 1]] * m <= q * r), default=0)
    return np.isin(np.arange(m), order[:last])


def test_benjamini_and_hochberg_select_by_their_definition():
    rng = np.random.default_rng(0)
    for m in range(1, 40):
        p_values = rng.random(m) ** 3
        np.testing.assert_array_equal(
            benjamini_hochberg(p_values, 0.3), selected_by_definition(p_values, 0.3)
        )


def test_bounds_that_are_met_exactly_count():
    for m in range(1, 200):
        for r in range(1, m + 1, 7):
            p_values = np.r_[np.full(r, 0.1 * r / m), np.ones(m - r)]
            assert benjamini_hochberg(p_values, 0.1).sum() == r


def test_nothing_to_select_from():
    assert benjamini_hochberg([], 0.1).shape == (0,)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: conformal_threshold([1.0], 5), ValueError, r"alpha must be in \(0, 1\), .* got 5"),
        (lambda: conformal_threshold([1.0], "a"), TypeError, "alpha must be a number"),
        (lambda: conformal_threshold([1.0, np.nan], 0.1), ValueError, "1 of 2 .* at row 1"),
        (lambda: conformal_p_values([[1.0]], [1]), ValueError, r"calibration_scores must have sh"),
        (lambda: conformal_p_values([1.0], [np.inf]), ValueError, "scores: 1 of 1 are not finite"),
        (lambda: benjamini_hochberg([0.1], 0), ValueError, "q must be finite and above 0, got 0"),
        (lambda: benjamini_hochberg([1.1], 0.1), ValueError, "0 and 1"),
        (lambda: least_calibration_size(1), ValueError, "alpha must be in"),
        (lambda: false_alarm_law(18, 0.05), ValueError, "n=18 is too few for .* least 19"),
        (lambda: false_alarm_law(1.5, 0.05), TypeError, "n must be an integer"),
    ],
)
def test_arguments_of_the_rules(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---- folds


def naive_cross_p_values(detector, X, new):
    """Count by definition: each row by the detector of its fold."""
    count = np.zeros(len(new))
    for each in detector.estimators_:
        held_out = X[~np.isin(X[:, 0], each.seen_)]
        count += (each.score_samples(held_out)[:, None] <= each.score_samples(new)).sum(axis=0)
    return (1 + count) / (len(X) + 1)


def test_cross_conformal_p_values_by_their_definition():
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(83, 1)), 3 * rng.normal(size=(200, 1))
    detector = ConformalDetector(Nearest(), method="cross", n_folds=4, random_state=0).fit(X)
    expected = naive_cross_p_values(detector, X, new)
    np.testing.assert_array_equal(detector.p_values(new), expected)
    np.testing.assert_array_equal(detector.predict(new) == -1, expected <= 0.05)
    scores = detector.score_samples(new)
    assert ((scores >= 0) & (scores < 1)).all()
    # Rows beyond all that were held out are still told apart.
    far = detector.score_samples(np.array([[10.0], [20.0], [1e3], [1e6]]))
    assert (np.diff(far) < 0).all() and far[-1] > 0


def test_a_rank_stays_one_however_far_the_scores_are():
    ranks = FoldRanks([np.arange(3.0), np.arange(3.0)])
    scores = np.array([[1e30, 1.0, -1e30], [-5.0, 1.0, 5.0]])  # 3 of 6, 4 of 6, 3 of 6 below
    np.testing.assert_array_equal(np.floor(7 * ranks(scores) + 1e-9), [3, 4, 3])
    assert (ranks(scores) < (np.array([3, 4, 3]) + 1) / 7).all()


@pytest.mark.parametrize("alpha", [0.05, 0.1])
def test_cross_keeps_its_rate_with_detectors_that_know_their_training_rows(alpha):
    rng, n_folds, n = np.random.default_rng(0), 5, 100
    detector = ConformalDetector(Nearest(), alpha=alpha, method="cross", n_folds=n_folds,
                                 random_state=0)
    rates, own = [], []
    for _ in range(N_SPLITS):
        X, new = rng.normal(size=(n, 1)), rng.normal(size=(200, 1))
        rates.append(np.mean(detector.fit(X).predict(new) == -1))
        plain = Nearest().fit(X)
        own.append(np.mean(plain.score_samples(new) < np.quantile(plain.score_samples(X), alpha)))
    margin = SIGMAS * np.std(rates) / np.sqrt(N_SPLITS)
    assert np.mean(own) > 0.9  # read off the training rows, the threshold refuses nearly all
    assert np.mean(rates) <= 2 * alpha + 2 * (1 - alpha) * (n_folds - 1) / (n + n_folds)  # proved
    assert np.mean(rates) <= alpha + margin  # observed
    assert np.mean(rates) >= 0.7 * alpha


def test_recalibrated_folds_keep_the_rate_exactly():
    rng, alpha = np.random.default_rng(0), 0.1
    detector = ConformalDetector(Nearest(), alpha=alpha, method="cross", random_state=0)
    detector.fit(rng.normal(size=(60, 1)))
    before = detector.score_samples(X := rng.normal(size=(9, 1)))
    counts = [
        np.sum(detector.recalibrate(rng.normal(size=(99, 1))).predict(
            rng.normal(size=(500, 1))) == -1)
        for _ in range(N_SPLITS)
    ]
    law = stats.betabinom(500, 10, 90)
    assert abs(np.mean(counts) - law.mean()) <= SIGMAS * law.std() / np.sqrt(N_SPLITS)
    np.testing.assert_array_equal(detector.score_samples(X), before)


def test_folds_that_are_fitted_at_once_are_the_same():
    X = np.random.default_rng(0).normal(size=(120, 2))
    with joblib.parallel_config(backend="threading"):  # processes take long to start
        one, two = (
            ConformalDetector(IsolationForest(n_estimators=5, random_state=0), method="cross",
                              n_folds=2, n_jobs=n_jobs, random_state=0).fit(X)
            for n_jobs in (None, 2)
        )
    np.testing.assert_array_equal(one.score_samples(X), two.score_samples(X))


# ---- what trains, and what calibrates


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=150)
    X = (rng.normal(size=(150, 4)) + 3 * np.eye(3, 4)[y]).astype(np.float32)
    return X, y, rng.uniform(-6, 6, size=(150, 4)).astype(np.float32)  # as many outliers as rows


def calibration_rows(detector, X):
    """Return which rows of X the Recorder was not trained on."""
    return calibration_rows_of(detector.estimator_, X)


def calibration_rows_of(recorder, X):
    return np.flatnonzero(~np.isin(X[:, 0], recorder.seen_[:, 0]))


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


# ---- warnings and errors


def test_too_few_rows_for_alpha():
    X = columns(np.arange(18.0))
    with pytest.warns(UserWarning, match="alpha=0.05 needs at least 19 .* there are 18") as got:
        detector = frozen().fit(X)
    assert got[0].filename == __file__
    assert detector.offset_ == -np.inf
    far = columns(np.array([-1e9]))
    assert detector.predict(far)[0] == 1 and detector.decision_function(far)[0] == np.inf
    assert detector.p_values(far)[0] == 1 / 19
    with pytest.warns(UserWarning, match="needs at least 19") as got:
        detector.recalibrate(X)
    assert got[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert frozen().fit(columns(np.arange(19.0))).predict(far)[0] == -1


@pytest.mark.parametrize("params", [{}, {"method": "cross"}, {"conditional_on": "label"},
                                    {"conditional_on": "predicted"}])
def test_too_few_rows_are_told_before_the_training(table, params):
    X, y, _ = table

    class NeverFitted(Recorder):
        def fit(self, X, y=None):
            raise AssertionError("trained before the warning")

        def predict_proba(self, X):
            raise AssertionError("trained before the warning")

    detector = ConformalDetector(NeverFitted(), alpha=0.001, random_state=0, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="alpha=0.001 needs at least 999 calibration rows"):
            detector.fit(X, y)


def test_too_few_rows_are_told_once():
    X = columns(np.arange(18.0))
    for params in ({}, {"conditional_on": "predicted"}):
        with warnings.catch_warnings(record=True) as got:
            warnings.simplefilter("always")
            frozen(**params).fit(X)
        assert [w.filename for w in got] == [__file__]


def test_the_advice_fits_the_call(table):
    X, y, _ = table

    def advice(call):
        with pytest.warns(UserWarning, match="needs at least") as got:
            call()
        return str(got[0].message).partition("refused. ")[2]

    params = {"alpha": 0.001, "random_state": 0}
    more_rows = "Give more rows, or raise alpha."
    split = ConformalDetector(Recorder(), **params)
    assert advice(lambda: split.fit(X)) == (
        "Give more rows, or raise alpha or calibration_size, or use method='cross', in which all "
        "rows calibrate."
    )
    assert advice(lambda: split.recalibrate(X)) == more_rows
    assert advice(lambda: frozen(alpha=0.001).fit(columns(np.arange(18.0)))) == more_rows
    crossed = ConformalDetector(Recorder(), method="cross", **params)
    assert advice(lambda: crossed.fit(X)) == more_rows
    by_label = ConformalDetector(Recorder(), conditional_on="label", **params)
    assert advice(lambda: by_label.fit(X, y)) == (
        "Give more rows, or raise alpha or calibration_size."
    )


def test_too_few_rows_of_one_class():
    X = columns(np.arange(100.0), np.repeat([0, 1], [90, 10]))
    y = np.repeat(["common", "rare"], [90, 10])
    far = columns(np.full(2, -1e9), [0, 1])
    with pytest.warns(UserWarning, match=r"\['rare'\] there are 10: the .* nothing is refused"):
        assert frozen(conditional_on="label").fit(X, y).predict(far).tolist() == [1, 1]
    with pytest.warns(UserWarning, match=r"\['rare'\] there are 10: their .* no row of theirs"):
        assert frozen(conditional_on="predicted").fit(X).predict(far).tolist() == [-1, 1]


def test_a_class_that_calibrates_whole(table):
    X, _, _ = table
    y = np.r_[:10, np.full(140, 10)]
    detector = ConformalDetector(Recorder(), random_state=0)
    with pytest.warns(UserWarning, match=r"all rows of the classes \[.*\] calibrate") as got:
        detector.fit(X, y)
    assert got[0].filename == __file__


def test_classes_that_differ_between_folds(table):
    X, y, A = table
    y = np.r_[99, y[1:]]
    detector = ConformalDetector(
        EnergyExposureDetector(**FAST), method="cross", n_folds=2, random_state=0
    ).fit(X, y, X_aux=(A,))
    assert detector.classes_ is None
    with pytest.raises(AttributeError) as caught:
        detector.predict_proba(X)
    assert "other ones in each fold" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("params", "data", "error", "message"),
    [
        ({"estimator": LocalOutlierFactor()}, "X", TypeError, "must have score_samples .* got Loc"),
        ({"alpha": 0}, "X", ValueError, "'alpha' parameter .* must be a float in the range"),
        ({"alpha": 5}, "X", ValueError, "'alpha' parameter"),
        ({"method": "jackknife"}, "X", ValueError, "'method' parameter"),
        ({"calibration_size": 1.0}, "X", ValueError, "'calibration_size' parameter"),
        ({"calibration_size": 150}, "X", ValueError, "n_samples=150 .* needs at least 151"),
        ({"method": "cross", "n_folds": 151}, "X", ValueError, "n_samples=150 .* at least 151"),
        ({"method": "cross", "n_folds": 1}, "X", ValueError, "'n_folds' parameter"),
        ({"method": "cross", "conditional_on": "label"}, "Xy", ValueError, "needs method='split'"),
        ({"conditional_on": "label"}, "X", ValueError, "needs labels of two or more classes"),
        ({"conditional_on": "predicted"}, "X", ValueError, "needs an estimator with predict_proba"),
        ({"estimator": KNNDetector(), "conditional_on": "predicted"}, "X", ValueError,
         "needs predicted classes, and KNNDetector, .* pass labels of two or more classes"),
        ({"estimator": GaussianMixture(), "conditional_on": "predicted"}, "Xy", ValueError,
         "needs predicted classes, and GaussianMixture"),
        ({"estimator": torch.nn.Linear(4, 3)}, "X", TypeError,
         r"got Linear\. .*MSPDetector\(net\)\.fit.*FrozenEstimator\(fitted\)\)\.fit\(X_held"),
        ({"estimator": NeuralNetClassifier(torch.nn.Linear(4, 3))}, "Xy", TypeError,
         r"got NeuralNetClassifier\. .*ConformalDetector\(MSPDetector\(net\)\)"),
        ({"estimator": FrozenEstimator(NeuralNetClassifier(torch.nn.Linear(4, 3)))}, "X", TypeError,
         r"got NeuralNetClassifier\. .*MSPDetector\(FrozenEstimator\(net\)\)\.fit\(X, y\)"),
        ({"estimator": FrozenEstimator(torch.nn.Linear(4, 3))}, "X", TypeError,
         r"got Linear\. .*fit\(X_held\), on rows that it has not seen"),
        ({"estimator": None}, "X", TypeError, "must have score_samples .* got NoneType"),
        ({"conditional_on": "class"}, "X", ValueError, "'conditional_on' parameter"),
        ({}, "XA", TypeError, "IsolationForest.fit takes no outliers"),
    ],
)
def test_what_is_refused(table, params, data, error, message):
    X, y, A = table
    arguments = {"X": (X,), "Xy": (X, y), "XA": (X, A)}[data]
    detector = ConformalDetector(**({"estimator": IsolationForest(n_estimators=5)} | params))
    with pytest.raises(error, match=message):
        detector.fit(*arguments)
    assert not hasattr(detector, "offset_")


def test_a_torch_dataset_is_no_x(table):
    X, _, _ = table
    with pytest.raises(TypeError, match="X is a torch Dataset.*SliceDataset"):
        ConformalDetector(Recorder()).fit(TensorDataset(torch.from_numpy(X)))


def test_no_class_outputs_where_the_estimator_has_none(table):
    X, y, A = table
    assert not hasattr(ConformalDetector(IsolationForest()), "predict_class")
    detector = ConformalDetector(OutlierExposureDetector(**FAST), random_state=0)
    assert hasattr(detector, "predict_class")
    assert not hasattr(detector.fit(X, X_aux=(A,)), "predict_class")
    assert hasattr(detector.fit(X, y, X_aux=(A,)), "predict_class")


def test_components_are_no_classes(table):
    X, _, A = table
    detector = ConformalDetector(GaussianMixture(3, random_state=0), random_state=0).fit(X)
    assert np.mean(detector.predict(A) == -1) > 0.5
    assert not hasattr(detector, "predict_class") and not hasattr(detector, "predict_proba")


def test_no_estimator_without_classes_is_trained_to_predict_them(table):
    X, y, _ = table

    class NeverFitted(Recorder):
        def fit(self, X, y=None):
            raise AssertionError("trained before the check")

    with pytest.raises(ValueError, match="needs an estimator with predict_proba"):
        ConformalDetector(NeverFitted(), conditional_on="predicted").fit(X, y)


def test_there_is_one_estimator_or_several(table):
    X, _, _ = table
    detector = ConformalDetector(Recorder(), method="cross", random_state=0).fit(X)
    with pytest.raises(AttributeError, match="see estimators_"):
        detector.estimator_  # noqa: B018


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
