"""The metrics against scikit-learn and against numbers of the released research code."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from skood import OutlierExposureDetector, metrics
from skood.metrics import (
    aupr_in,
    aupr_out,
    auroc,
    calibration_error,
    detection_error,
    fpr95,
    fpr_at_tpr,
    ood_report,
    soft_f1,
    threshold_at_tpr,
)

GOLDEN = np.load(Path(__file__).parent / "reference" / "metrics.npz", allow_pickle=False)
CASES = [str(case) for case in GOLDEN["cases"]]
RANKING = [fpr95, threshold_at_tpr, auroc, aupr_in, aupr_out, detection_error]

# golden key -> the call that reproduces it
CALLS = {
    "auroc": auroc,
    "auroc_atom": lambda y, s: auroc(y, s, protocol="atom"),
    "aupr_in": aupr_in,
    "aupr_out": aupr_out,
    "aupr_in_trapezoid": lambda y, s: aupr_in(y, s, protocol="openood"),
    "aupr_out_trapezoid": lambda y, s: aupr_out(y, s, protocol="openood"),
    "auin_atom": lambda y, s: aupr_in(y, s, protocol="atom"),
    "auout_atom": lambda y, s: aupr_out(y, s, protocol="atom"),
    "fpr95_idpos_sklearn": fpr95,
    "fpr95_oodpos_sklearn": lambda y, s: fpr95(y, s, positive="ood"),
    "fpr95_oodpos_openood": lambda y, s: fpr95(y, s, protocol="openood"),
    "fpr95_oodpos_hendrycks": lambda y, s: fpr95(y, s, protocol="hendrycks"),
    "fpr95_idpos_hendrycks": lambda y, s: fpr95(y, s, protocol="hendrycks", positive="id"),
    "fpr95_idpos_atom": lambda y, s: fpr95(y, s, protocol="atom"),
    "threshold_atom": lambda y, s: threshold_at_tpr(y, s, protocol="atom"),
    "fnr_atom": lambda y, s: np.mean(s[y == 1] <= threshold_at_tpr(y, s, protocol="atom")),
    "det_err_balanced": detection_error,
    "det_err_atom": lambda y, s: detection_error(y, s, protocol="atom"),
}


def labelled(scores_in, scores_out, seed=0):
    """Shuffled labels and scores of two classes."""
    y = np.repeat([1, -1], [len(scores_in), len(scores_out)])
    order = np.random.default_rng(seed).permutation(len(y))
    return y[order], np.concatenate([scores_in, scores_out])[order]


def random_scores(kind, seed):
    rng = np.random.default_rng(seed)
    n_in, n_out = rng.integers(3, 300, size=2)
    scores_in, scores_out = rng.normal(1, size=n_in), rng.normal(size=n_out)
    if kind == "ties":
        return labelled(np.round(scores_in), np.round(scores_out), seed)
    if kind == "constant":
        return labelled(np.ones(n_in), np.ones(n_out), seed)
    if kind == "saturated":  # float32 softmax maxima, many of them exactly 1
        saturate = [1 / (1 + np.exp(-15 * s)) for s in (scores_in, scores_out)]
        return labelled(*(s.astype(np.float32) for s in saturate), seed)
    return labelled(scores_in, scores_out, seed)


KINDS = ["continuous", "ties", "constant", "saturated"]
DRAWS = [(kind, seed) for kind in KINDS for seed in range(5)]


# ---------------------------------------------------------------- against published numbers


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("key", CALLS)
def test_released_research_code(case, key):
    y, scores = labelled(GOLDEN[f"{case}_id"], GOLDEN[f"{case}_ood"])
    assert CALLS[key](y, scores) == pytest.approx(float(GOLDEN[f"{case}_{key}"]), abs=1e-12)


def test_every_golden_number_is_checked():
    keys = {key.split("_", 1)[1] for key in GOLDEN.files if key.split("_")[0] in CASES}
    assert keys - {"id", "ood"} == set(CALLS)


@pytest.mark.parametrize("tag", ["a", "b", "c"])
def test_calibration_of_released_code_with_all_bins(tag):
    confidence, correct = GOLDEN[f"calib_{tag}_conf"], GOLDEN[f"calib_{tag}_correct"]
    for norm in ("rms", "mad", "max"):
        expected = float(GOLDEN[f"calib_{tag}_{norm}_fixed"])
        assert calibration_error(confidence, correct, norm=norm) == pytest.approx(
            expected, abs=1e-12
        )
    expected = float(GOLDEN[f"calib_{tag}_soft_f1"])
    assert soft_f1(confidence, correct) == pytest.approx(expected, abs=1e-12)


# ---------------------------------------------------------------- against scikit-learn


@pytest.mark.parametrize("kind, seed", DRAWS)
def test_scikit_learn(kind, seed):
    y, scores = random_scores(kind, seed)
    assert auroc(y, scores) == pytest.approx(roc_auc_score(y, scores), abs=1e-12)
    ap_in, ap_out = average_precision_score(y, scores), average_precision_score(-y, -scores)
    assert aupr_in(y, scores) == pytest.approx(ap_in, abs=1e-12)
    assert aupr_out(y, scores) == pytest.approx(ap_out, abs=1e-12)


@pytest.mark.parametrize("kind, seed", DRAWS)
@pytest.mark.parametrize("tpr", [0.05, 0.5, 0.8, 0.95, 1.0])
def test_first_threshold_of_the_roc_curve(kind, seed, tpr):
    y, scores = random_scores(kind, seed)
    for positive, sign in (("id", 1), ("ood", -1)):
        fprs, tprs, thresholds = roc_curve(sign * y, sign * scores, drop_intermediate=False)
        i = np.argmax(tprs >= tpr)
        assert fpr_at_tpr(y, scores, tpr=tpr, positive=positive) == fprs[i]
        assert threshold_at_tpr(y, scores, tpr=tpr, positive=positive) == sign * thresholds[i]


def test_openood_drops_collinear_points_as_roc_curve_does():
    # two neighbouring ties with the same counts make one slanted line through the 95 % point
    rng = np.random.default_rng(0)
    n_moved = 0
    for seed in range(300):
        counts = rng.integers(0, 3, size=(2, 12))
        counts[:, 0] += 1
        y, scores = labelled(*(np.repeat(np.arange(12), c) for c in counts), seed)
        for tpr in (0.5, 0.95):
            fprs, tprs, _ = roc_curve(-y, -scores)
            expected = fprs[np.argmax(tprs >= tpr)]
            got = fpr_at_tpr(y, scores, tpr=tpr, protocol="openood")
            assert got == expected
            n_moved += got != fpr_at_tpr(y, scores, tpr=tpr, positive="ood")
    assert n_moved > 0  # the rule is not the exact one


# ---------------------------------------------------------------- laws


@pytest.mark.parametrize("kind, seed", DRAWS)
def test_thresholds_give_the_rates(kind, seed):
    y, scores = random_scores(kind, seed)
    threshold = threshold_at_tpr(y, scores)
    assert np.mean(scores[y == 1] >= threshold) >= 0.95
    assert np.mean(scores[y == -1] >= threshold) == fpr95(y, scores)
    threshold = threshold_at_tpr(y, scores, protocol="atom", positive="ood")
    assert np.mean(scores[y == 1] < threshold) == fpr95(y, scores, protocol="atom", positive="ood")


@pytest.mark.parametrize("kind, seed", DRAWS)
@pytest.mark.parametrize("protocol", [None, "openood", "hendrycks", "atom"])
def test_swapping_classes_and_negating_scores_changes_nothing(kind, seed, protocol):
    y, scores = random_scores(kind, seed)
    assert auroc(-y, -scores) == pytest.approx(auroc(y, scores), abs=1e-12)
    assert aupr_in(-y, -scores, protocol=protocol) == aupr_out(y, scores, protocol=protocol)
    swapped = fpr95(-y, -scores, positive="ood", protocol=protocol)
    assert swapped == fpr95(y, scores, positive="id", protocol=protocol)
    assert detection_error(-y, -scores) == detection_error(y, scores)


def test_detection_error_is_the_best_of_all_thresholds():
    y, scores = random_scores("ties", 1)
    cuts = np.append(np.unique(scores), np.inf)
    missed = np.array([np.sum(scores[y == 1] < cut) for cut in cuts])
    accepted = np.array([np.sum(scores[y == -1] >= cut) for cut in cuts])
    n_in, n_out = np.sum(y == 1), np.sum(y == -1)
    balanced = np.min(missed / n_in + accepted / n_out) / 2
    assert detection_error(y, scores) == pytest.approx(balanced, abs=1e-12)
    by_row = np.min(missed + accepted) / len(y)
    assert detection_error(y, scores, protocol="atom") == pytest.approx(by_row, abs=1e-12)


@pytest.mark.parametrize("metric", RANKING)
def test_class_labels_say_the_same_as_signs(metric):
    y, scores = random_scores("continuous", 0)
    expected = metric(y, scores)
    numbers = np.where(y == 1, np.arange(len(y)) % 3, -1)
    names = np.array([f"class {label}" for label in numbers], dtype=object)
    names[y == -1] = -1
    for labels in (numbers, numbers.astype(float), names, numbers.tolist(), pd.Series(names)):
        assert metric(labels, scores) == expected


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64, np.int8, bool])
def test_score_types(dtype):
    y, scores = random_scores("ties", 2)
    scores = (2 * scores).astype(dtype)
    assert auroc(y, scores) == pytest.approx(roc_auc_score(y, scores.astype(float)), abs=1e-12)


def test_inputs_are_left_as_they_were():
    y, scores = random_scores("continuous", 3)
    before = y.copy(), scores.copy()
    for metric in RANKING:
        metric(y, scores)
    assert np.array_equal(y, before[0]) and np.array_equal(scores, before[1])


def test_float64_scores_that_float32_would_tie():
    assert auroc([1, -1], [1.0, 1.0 - 1e-12]) == 1.0


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("metric", RANKING)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_raise(metric, bad):
    with pytest.raises(ValueError, match="y_score has 1 NaN or infinite"):
        metric([1, 1, -1], [0.5, bad, 0.1])


@pytest.mark.parametrize(
    "y_true, y_score, error, message",
    [
        ([1, 1], [0.5, 0.1], ValueError, r"no out-of-distribution \(-1\) row"),
        ([0, 1], [0.5, 0.1], ValueError, "only -1 marks"),
        ([-1, -1], [0.5, 0.1], ValueError, r"no in-distribution \(not -1\) row"),
        ([], [], ValueError, "y_true has no"),
        ([1, -1, 1], [0.5, 0.1], ValueError, "one length, got 3 and 2"),
        ([[1], [-1]], [0.5, 0.1], ValueError, r"y_true must have shape \(n,\), got \(2, 1\)"),
        ([1, -1], [[0.5], [0.1]], ValueError, r"y_score must have shape \(n,\), got \(2, 1\)"),
        ([1.0, np.nan, -1.0], [0.5, 0.2, 0.1], ValueError, "missing labels"),
        (np.array([1, None, -1], dtype=object), [0.5, 0.2, 0.1], ValueError, "missing labels"),
        (["a", "-1"], [0.5, 0.1], TypeError, "object array"),
        (["a", "b"], [0.5, 0.1], ValueError, "only -1 marks"),
        ([True, False], [0.5, 0.1], ValueError, "only -1 marks"),
        ([1, -1], ["high", "low"], TypeError, "y_score must hold real numbers"),
        ([1, -1], [1j, 0j], TypeError, "y_score must hold real numbers"),
    ],
)
@pytest.mark.parametrize("metric", RANKING)
def test_labels_and_scores_that_cannot_be_read(metric, y_true, y_score, error, message):
    with pytest.raises(error, match=message):
        metric(y_true, y_score)


@pytest.mark.parametrize("metric", RANKING)
def test_unknown_protocol(metric):
    with pytest.raises(ValueError, match=r"protocol must be None or one of .*got 'odin'"):
        metric([1, -1], [0.5, 0.1], protocol="odin")


@pytest.mark.parametrize("protocol", ["openood", "hendrycks"])
def test_protocols_without_a_detection_error(protocol):
    with pytest.raises(ValueError, match="publishes no detection error"):
        detection_error([1, -1], [0.5, 0.1], protocol=protocol)


@pytest.mark.parametrize("positive", ["in", 1, True])
def test_unknown_positive(positive):
    with pytest.raises(ValueError, match="positive must be 'id', 'ood' or None"):
        fpr95([1, -1], [0.5, 0.1], positive=positive)


@pytest.mark.parametrize("tpr, error", [(95, ValueError), (0, ValueError), ("95%", TypeError)])
def test_tpr_outside_its_range(tpr, error):
    with pytest.raises(error, match=r"tpr must be .*\(0, 1\]"):
        fpr_at_tpr([1, -1], [0.5, 0.1], tpr=tpr)


# ---------------------------------------------------------------- calibration


def test_perfect_and_worst_calibration():
    assert calibration_error(np.ones(250), np.ones(250)) == 0
    assert calibration_error(np.ones(250), np.zeros(250)) == 1
    assert soft_f1(np.ones(3), np.ones(3)) == 0
    assert soft_f1([1.0, 0.0], [1, 0]) == 1


def test_calibration_does_not_depend_on_the_order_of_ties():
    rng = np.random.default_rng(0)
    confidence = np.minimum(rng.uniform(0.3, 1.3, size=500), 1)  # half of them exactly 1
    correct = rng.uniform(size=500) < confidence
    order = rng.permutation(500)
    expected = calibration_error(confidence, correct)
    assert calibration_error(confidence[order], correct[order]) == pytest.approx(
        expected, abs=1e-12
    )


@pytest.mark.parametrize(
    "confidence, correct, options, message",
    [
        ([0.5, np.nan], [1, 0], {}, "confidence has 1 NaN"),
        ([0.5, 3.0], [1, 0], {}, r"confidence must lie in \[0, 1\]"),
        ([0.5, 0.6], [1, 2], {}, "correct must hold 0/1"),
        ([0.5], [1, 0], {}, "one length, got 1 and 2"),
        ([], [], {}, "confidence is empty"),
        ([0.5], [1], {"norm": "l2"}, "norm must be 'rms', 'mad' or 'max'"),
        ([0.5], [1], {"bin_size": 0}, "bin_size must be an integer of at least 1"),
    ],
)
def test_calibration_of_bad_input(confidence, correct, options, message):
    with pytest.raises(ValueError, match=message):
        calibration_error(confidence, correct, **options)


# ---------------------------------------------------------------- the report


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    sets = {"near": rng.normal(1, size=80).round(1), "far": rng.normal(-1, size=60).round(1)}
    return rng.normal(2, size=100).round(1), sets


class Counting(IsolationForest):
    """A detector that counts how often each set is scored, and knows a class."""

    def score_samples(self, X):
        self.scored_ = [*getattr(self, "scored_", []), len(X)]
        return super().score_samples(X)

    def predict_class(self, X):
        return np.where(X[:, 0] > 0, "right", "left")


@pytest.mark.parametrize("protocol", [None, "openood", "hendrycks", "atom"])
def test_report_holds_the_metrics_of_each_set(scores, protocol):
    scores_in, sets = scores
    report = ood_report(None, scores_in, sets, protocol=protocol, tpr=0.9)
    assert list(report.index) == ["near", "far", "mean"]
    assert list(report.columns) == ["fpr90", "auroc", "aupr_in", "aupr_out"]
    for name, scores_out in sets.items():
        y, s = labelled(scores_in, scores_out)
        row = report.loc[name]
        assert row["fpr90"] == fpr_at_tpr(y, s, tpr=0.9, protocol=protocol)
        assert row["auroc"] == auroc(y, s)
        assert row["aupr_in"] == pytest.approx(aupr_in(y, s, protocol=protocol), abs=1e-12)
        assert row["aupr_out"] == pytest.approx(aupr_out(y, s, protocol=protocol), abs=1e-12)
    assert np.allclose(report.loc["mean"], report.iloc[:2].mean(), rtol=0, atol=1e-12)


def test_report_says_what_it_holds(scores):
    scores_in, sets = scores
    attrs = ood_report(None, scores_in, sets, protocol="hendrycks").attrs
    assert attrs["positive"] == "ood" and attrs["protocol"] == "hendrycks"
    assert attrs["n_in"] == 100 and attrs["n_ood"] == {"near": 80, "far": 60}
    attrs = ood_report(None, scores_in, sets, protocol="hendrycks", positive="id").attrs
    assert attrs["positive"] == "id" and attrs["tpr"] == 0.95


def test_report_scores_each_set_once():
    rng = np.random.default_rng(0)
    detector = Counting(n_estimators=5, random_state=0).fit(rng.normal(size=(50, 2)))
    X_in, X_far = rng.normal(size=(30, 2)), rng.normal(9, size=(20, 2))
    detector.scored_ = []
    sets = {"far": X_far, "again": X_far[:7]}
    report = ood_report(detector, X_in, sets, n_bootstrap=3, random_state=0)
    assert detector.scored_ == [30, 20, 7]
    by_scores = ood_report(None, detector.score_samples(X_in), detector.score_samples(X_far))
    assert report.loc["far", "auroc"] == by_scores.loc["ood", "auroc"]


def test_labels_of_which_none_is_a_class_make_no_accuracy_of_0():
    rng = np.random.default_rng(0)
    X, codes = rng.normal(size=(60, 3)), np.arange(60) % 3
    detector = OutlierExposureDetector(max_epochs=1, random_state=0)
    detector.fit(X, codes, X_aux=(3 * X,))
    names = np.array(["cat", "dog", "ship"])[codes]
    with pytest.raises(ValueError, match=r"y_in holds none of the classes.*\[0, 1, 2\].*'cat'"):
        ood_report(detector, X, {"far": 3 * X}, y_in=names)
    some = np.where(codes == 0, 7, codes)  # a class that was not there is never named
    assert 0 < ood_report(detector, X, {"far": 3 * X}, y_in=some)["accuracy"].iloc[0] < 1


def test_report_with_accuracy():
    rng = np.random.default_rng(0)
    detector = Counting(n_estimators=5, random_state=0).fit(rng.normal(size=(50, 2)))
    X_in = rng.normal(size=(30, 2))
    y_in = np.where(X_in[:, 0] > 0.5, "right", "left").astype(object)
    report = ood_report(detector, X_in, X_in + 5, y_in=y_in)
    expected = np.mean((X_in[:, 0] > 0.5) == (X_in[:, 0] > 0))
    assert 0 < expected < 1
    assert (report["accuracy"] == expected).all()
    with pytest.raises(ValueError, match="y_in must have one label for each row"):
        ood_report(detector, X_in, X_in + 5, y_in=y_in[:-1])
    with pytest.raises(TypeError, match="y_in needs a detector with predict_class, got scores"):
        ood_report(None, X_in[:, 0], X_in[:, 1], y_in=y_in)


@pytest.mark.parametrize("protocol", [None, "openood", "hendrycks", "atom"])
def test_intervals_are_percentiles_of_resampled_rows(scores, protocol):
    scores_in, sets = scores
    n_bootstrap, level = 40, 0.8
    report = ood_report(
        None,
        scores_in,
        sets,
        protocol=protocol,
        n_bootstrap=n_bootstrap,
        confidence_level=level,
        random_state=7,
    )
    rng, drawn = np.random.RandomState(7), []
    for _ in range(n_bootstrap):
        resampled_in = np.sort(scores_in)[rng.randint(100, size=100)]
        rows = []
        for scores_out in sets.values():
            resampled_out = np.sort(scores_out)[rng.randint(len(scores_out), size=len(scores_out))]
            y, s = labelled(resampled_in, resampled_out)
            areas = aupr_in(y, s, protocol=protocol), aupr_out(y, s, protocol=protocol)
            rows.append([fpr95(y, s, protocol=protocol), auroc(y, s), *areas])
        drawn.append([*rows, np.mean(rows, axis=0)])
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    names = ["fpr95", "auroc", "aupr_in", "aupr_out"]
    assert np.allclose(report[[f"{name}_low" for name in names]], low, rtol=0, atol=1e-12)
    assert np.allclose(report[[f"{name}_high" for name in names]], high, rtol=0, atol=1e-12)
    assert list(report.columns[:3]) == ["fpr95", "fpr95_low", "fpr95_high"]


def test_intervals_cover_the_true_auroc():
    rng = np.random.default_rng(0)
    truth = 0.7602499389065233  # normal cdf of 1 / sqrt(2)
    covered = []
    for seed in range(100):
        row = ood_report(
            None,
            rng.normal(1, size=150),
            rng.normal(size=150),
            n_bootstrap=200,
            confidence_level=0.9,
            random_state=seed,
        ).loc["ood"]
        covered.append(row["auroc_low"] <= truth <= row["auroc_high"])
    assert 0.8 <= np.mean(covered) <= 0.98


def test_intervals_repeat_with_the_seed(scores):
    first, again, other = (
        ood_report(None, *scores, n_bootstrap=20, random_state=seed) for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"X_ood": {}}, ValueError, "X_ood is empty"),
        ({"X_ood": {"mean": [0.1]}}, ValueError, "must not name a set 'mean'"),
        ({"X_ood": {"far": []}}, ValueError, r"X_ood\['far'\] is empty"),
        ({"X_in": []}, ValueError, "X_in is empty"),
        ({"X_ood": {"far": [np.nan]}}, ValueError, r"scores of X_ood\['far'\] has 1 NaN"),
        ({"X_in": np.ones((4, 2))}, ValueError, r"scores of X_in must have shape \(n,\)"),
        ({"detector": "msp"}, TypeError, "detector must have score_samples .* got str"),
        ({"protocol": "odin"}, ValueError, "protocol must be"),
        ({"positive": "in"}, ValueError, "positive must be"),
        ({"tpr": 95}, ValueError, "tpr must be"),
        ({"n_bootstrap": -1}, ValueError, "n_bootstrap must be"),
        ({"confidence_level": 95}, ValueError, "confidence_level must be"),
    ],
)
def test_report_on_bad_input(change, error, message):
    arguments = {"detector": None, "X_in": [0.9, 0.8], "X_ood": {"far": [0.1]}}
    with pytest.raises(error, match=message):
        ood_report(**{**arguments, **change})


def test_public_names():
    assert metrics.__all__ == sorted(metrics.__all__)
    assert all(hasattr(metrics, name) for name in metrics.__all__)
