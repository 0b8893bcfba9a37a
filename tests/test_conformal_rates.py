"""ConformalDetector: the rates that it promises, and the rules on scores that they rest on."""

import joblib
import numpy as np
import pytest
from scipy import stats
from sklearn.ensemble import IsolationForest

from skood import ConformalDetector
from skood.conformal import (
    benjamini_hochberg,
    conformal_p_values,
    conformal_threshold,
    false_alarm_law,
    least_calibration_size,
)
from skood.conformal._folds import FoldRanks

from .calibrated import Nearest, columns, frozen, quietly

N_SPLITS, N_NEW = 1000, 2000
SIGMAS = 4.0  # tolerance of a mean over N_SPLITS; its standard deviation is known exactly


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
