"""Detectors side by side: variances by their definition, limits and p-values by simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.neighbors import LocalOutlierFactor

from skood import EnergyDetector, KNNDetector, MSPDetector, compare
from skood.comparison import comparison_table, styled_comparison
from skood.metrics import ood_report
from skood.metrics._delong import Placements, auroc_variance, placements
from skood.metrics._intervals import difference_test, exact_limits, holm, log_odds_limits
from skood.nn import MLP


def pair(rng, n, mean=0.0, detectors="ab"):
    """Return scores of detectors that are equally good and correlated by one half."""
    return dict(zip(detectors, mean + (rng.normal(size=n) + rng.normal(size=(len(detectors), n)))
                    / np.sqrt(2), strict=True))


@pytest.fixture
def scores():
    rng = np.random.default_rng(0)
    sets = {name: pair(rng, n, 0, "abc") for name, n in (("x", 60), ("y", 70))}
    return pair(rng, 90, 1, "abc"), sets


def row(comparison, metric, detector, ood_set="ood"):
    index = ["metric", "ood_set", "detector"]
    return comparison.set_index(index).loc[(metric, ood_set, detector)]


# ---------------------------------------------------------------- the variance of an AUROC


def by_definition(scores_in, scores_out):
    """DeLong et al. 1988, eq. 5 and 6, from all pairs."""
    psi = (scores_in[:, None] > scores_out) + 0.5 * (scores_in[:, None] == scores_out)
    return psi.mean(axis=1), psi.mean(axis=0)


@pytest.mark.parametrize("decimals", [0, 1, 9])
def test_placements_are_the_structural_components(decimals):
    rng = np.random.default_rng(0)
    scores_in, scores_out = (rng.normal(m, size=n).round(decimals) for m, n in ((1, 57), (0, 31)))
    for ours, theirs in zip(placements(scores_in, scores_out), by_definition(scores_in, scores_out),
                            strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-15)


def test_variance_of_an_auroc_and_of_a_difference_by_the_covariance_of_the_components():
    rng = np.random.default_rng(0)
    inside, outside = pair(rng, 57, 1), pair(rng, 31)
    components = [by_definition(inside[name].round(1), outside[name].round(1)) for name in "ab"]
    v_in, v_out = map(np.array, zip(*components, strict=True))
    covariance = np.cov(v_in) / 57 + np.cov(v_out) / 31
    found = Placements(*map(np.array, zip(
        *(placements(inside[name].round(1), outside[name].round(1)) for name in "ab"), strict=True
    )))
    np.testing.assert_allclose(auroc_variance([found]), np.diag(covariance), rtol=1e-12)
    difference = Placements(*(each[:1] - each[1:] for each in found))
    expected = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    np.testing.assert_allclose(auroc_variance([difference]), expected, rtol=1e-12)


def test_variance_of_the_mean_over_sets_is_what_simulation_finds():
    rng, n_data, n = np.random.default_rng(0), 2000, 60
    means, variances = [], []
    for _ in range(n_data):
        inside = rng.normal(1, size=n)
        sets = [Placements(*(v[None] for v in placements(inside, rng.normal(m, size=n))))
                for m in (0, 0.5)]
        means.append(np.mean([each.inside.mean() for each in sets]))
        variances.append(auroc_variance(sets)[0])
    # The standard error of a variance is sqrt(2 / n_data) of it, 3 %.
    assert np.mean(variances) == pytest.approx(np.var(means), rel=0.13)


# ---------------------------------------------------------------- coverage and tests


@pytest.mark.parametrize("auroc, n", [(0.8, 40), (0.95, 100), (0.99, 50)])
def test_limits_of_the_auroc_hold_the_truth_as_often_as_they_say(auroc, n):
    rng, n_data = np.random.default_rng(0), 1000
    shift, held = np.sqrt(2) * norm.ppf(auroc), []
    for _ in range(n_data):
        scores = rng.normal(shift, size=n), rng.normal(size=n)
        v = Placements(*(each[None] for each in placements(*scores)))
        value, variance = v.inside.mean(), auroc_variance([v])[0]
        low, high = log_odds_limits(value, variance, 0.95)
        if value == 1:
            low, high = exact_limits(value, n, 0.95)
        held.append(low <= auroc <= high)
    # Binomial: 0.7 %; three of them. Normal for the AUROC itself, the last would hold 80 %
    # (benchmarks/results/intervals.md).
    assert np.mean(held) == pytest.approx(0.95, abs=0.021)


def test_limits_of_resampled_metrics_hold_the_truth_as_often_as_they_say():
    n, n_data, held = 200, 250, []
    fpr = norm.sf(norm.isf(0.95) + 1.5)
    rng = np.random.default_rng(0)
    large = ood_report(None, rng.normal(1.5, size=10**6), rng.normal(size=10**6)).loc["ood"]
    assert large["fpr95"] == pytest.approx(fpr, abs=0.003)
    for seed in range(n_data):
        rng = np.random.default_rng(seed)
        sets = {"a": rng.normal(1.5, size=n)}, {"ood": {"a": rng.normal(size=n)}}
        result = compare(None, *sets, n_bootstrap=100, random_state=seed).set_index("metric")
        truth = large[result.index]
        held.append((result["low"] <= truth) & (truth <= result["high"]))
    held = pd.DataFrame(held).mean()
    # Binomial: 1.4 %; three of them.
    assert (abs(held - 0.95) < 0.042).all(), held


def test_p_values_of_equally_good_detectors_are_uniform():
    n, n_data, p_values = 80, 600, []
    for seed in range(n_data):
        rng = np.random.default_rng(seed)
        result = compare(None, pair(rng, n, 1), {"ood": pair(rng, n)}, n_bootstrap=0)
        p_values.append(row(result, "auroc", "b")["p_value"])
    for level in (0.05, 0.2, 0.5):
        error = np.sqrt(level * (1 - level) / n_data)
        assert np.mean(np.array(p_values) <= level) == pytest.approx(level, abs=3.3 * error)


def test_p_values_of_resampled_metrics_are_not_small_by_chance():
    small = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        result = compare(
            None, pair(rng, 200, 1), {"ood": pair(rng, 200)}, n_bootstrap=100, random_state=seed
        )
        small.append(result[result["detector"] == "b"].set_index("metric")["p_value"] <= 0.1)
    # Binomial: 2.7 %.
    assert (pd.DataFrame(small).mean() <= 0.19).all()


def test_a_better_detector_is_found_better_and_pairing_helps():
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(1.5, size=400), rng.normal(size=300)
    noise = 0.5 * rng.normal(size=400), 0.5 * rng.normal(size=300)
    given = {"a": inside, "b": inside + noise[0]}, {"ood": {"a": outside, "b": outside + noise[1]}}
    worse = row(compare(None, *given, random_state=0), "auroc", "b")
    assert worse["difference"] < 0 and worse["difference_high"] < 0 and worse["p_value"] < 1e-3
    other = {"a": inside, "b": rng.permutation(given[0]["b"])}
    other = other, {"ood": {"a": outside, "b": rng.permutation(given[1]["ood"]["b"])}}
    unpaired = row(compare(None, *other, random_state=0), "auroc", "b")
    assert unpaired["difference"] == worse["difference"]
    width, wide = (each["difference_high"] - each["difference_low"] for each in (worse, unpaired))
    assert width < 0.6 * wide


# ---------------------------------------------------------------- edges


def test_detectors_that_are_one_do_not_differ(scores):
    inside, sets = scores
    given = {"a": inside["a"], "b": inside["a"]}
    sets = {name: {"a": s["a"], "b": 2 * s["a"]} for name, s in sets.items()}
    given["b"] = 2 * given["a"]  # another scale, the same order
    result = compare(None, given, sets, n_bootstrap=20, random_state=0)
    same = result[result["detector"] == "b"]
    assert (same[["difference", "difference_low", "difference_high"]] == 0).all(axis=None)
    assert (same[["p_value", "p_adjusted"]] == 1).all(axis=None)


def test_limits_where_all_rows_are_in_order():
    given = {"a": np.arange(30) + 100.0, "b": np.arange(30) % 7 + 0.0}
    outside = {"ood": {"a": np.arange(20.0), "b": np.arange(20) % 7 + 0.0}}
    result = compare(None, given, outside, n_bootstrap=50, random_state=0)
    auroc, fpr, aupr = (row(result, metric, "a") for metric in ("auroc", "fpr95", "aupr_in"))
    assert (auroc["low"], auroc["high"]) == (pytest.approx(0.025 ** (1 / 20)), 1)
    assert (fpr["low"], fpr["high"]) == (0, pytest.approx(1 - 0.025 ** (1 / 20)))
    assert aupr["value"] == 1 and np.isnan(aupr["low"]) and np.isnan(aupr["high"])
    negatives = compare(None, given, outside, n_bootstrap=50, positive="ood", random_state=0)
    assert row(negatives, "fpr95", "a")["high"] == pytest.approx(1 - 0.025 ** (1 / 30))


def test_exact_limits_are_those_of_the_binomial():
    low, high = exact_limits(np.array([1.0, 0.0]), 20, 0.95)
    assert low[0] ** 20 == pytest.approx(0.025) and high[0] == 1
    assert low[1] == 0 and (1 - high[1]) ** 20 == pytest.approx(0.025)


def test_no_test_is_surer_than_the_exact_one():
    given = {"a": np.array([3.0, 4.0]), "b": np.zeros(2)}
    outside = {"ood": {"a": np.array([1.0, 2.0]), "b": np.zeros(2)}}
    result = compare(None, given, outside, n_bootstrap=20, random_state=0)
    assert row(result, "auroc", "b")["p_value"] == 2.0**-3  # of 2 ** 4 exchanges, both tails
    assert difference_test(np.array(0.5), np.array(0.0), 9, 0.95)[2] == 2.0**-8


@pytest.mark.parametrize("n_in, n_out", [(1, 5), (5, 1), (1, 1)])
def test_single_rows_have_values_and_no_limits(n_in, n_out):
    rng = np.random.default_rng(0)
    result = compare(None, pair(rng, n_in, 1), {"x": pair(rng, n_out), "y": pair(rng, 9)},
                     n_bootstrap=9, random_state=0)
    assert result["value"].notna().all()
    unsure = result[["low", "high", "difference_low", "difference_high", "p_value"]]
    assert unsure[result["ood_set"].isin(["x", "mean"])].isna().all(axis=None)
    if n_in > 1:
        assert result.loc[result["ood_set"] == "y", "low"].notna().all()


def test_holm_is_holm():
    p_values = np.array([0.03, np.nan, 0.01, 0.02, 0.6])
    np.testing.assert_allclose(holm(p_values), [0.06, np.nan, 0.04, 0.06, 0.6])
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]


# ---------------------------------------------------------------- the frame


@pytest.mark.parametrize("protocol", [None, "openood", "hendrycks", "atom"])
def test_values_are_those_of_the_report(scores, protocol):
    inside, sets = scores
    result = compare(None, inside, sets, protocol=protocol, n_bootstrap=0)
    assert result["low"].isna().equals(result["metric"] != "auroc")
    for name in "abc":
        given = {s: own[name] for s, own in sets.items()}
        report = ood_report(None, inside[name], given, protocol=protocol)
        own = result[result["detector"] == name].set_index(["ood_set", "metric"])["value"].unstack()
        pd.testing.assert_frame_equal(
            own.loc[report.index, report.columns], report, check_names=False, atol=1e-12
        )


def test_frame_says_what_it_holds(scores):
    result = compare(None, *scores, reference="b", n_bootstrap=7, random_state=0, tpr=0.9)
    assert list(result.columns) == [
        "metric", "ood_set", "detector", "value", "low", "high", "difference", "difference_low",
        "difference_high", "p_value", "p_adjusted", "method",
    ]
    assert len(result) == 4 * 3 * 3 and result["metric"].unique().tolist()[0] == "fpr90"
    assert result["ood_set"].unique().tolist() == ["x", "y", "mean"]
    reference = result["detector"] == "b"
    assert result.loc[reference, ["difference", "p_value", "p_adjusted"]].isna().all(axis=None)
    assert result.loc[~reference, ["difference", "p_value", "p_adjusted"]].notna().all(axis=None)
    assert set(result.loc[result["method"] == "delong", "metric"]) == {"auroc"}
    assert result.attrs == {
        "reference": "b", "positive": "id", "protocol": None, "tpr": 0.9, "n_in": 90,
        "n_ood": {"x": 60, "y": 70}, "n_bootstrap": 7, "confidence_level": 0.95,
    }
    assert (result["low"] < result["high"]).all()


def test_correction_counts_the_tests_of_a_metric(scores):
    result = compare(None, *scores, n_bootstrap=0)
    auroc = result[(result["metric"] == "auroc") & (result["detector"] != "a")]
    means = auroc["ood_set"] == "mean"
    for part in (auroc[means], auroc[~means]):
        np.testing.assert_allclose(part["p_adjusted"], holm(part["p_value"].to_numpy()))


def test_draws_repeat_with_the_seed(scores):
    first, again, other = (compare(None, *scores, n_bootstrap=9, random_state=s) for s in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


# ---------------------------------------------------------------- detectors


class Counting(LocalOutlierFactor):
    def score_samples(self, X):
        self.scored_ = [*getattr(self, "scored_", []), len(X)]
        return super().score_samples(X)


def test_each_set_is_scored_once():
    rng = np.random.default_rng(0)
    X, X_in, far = (rng.normal(m, size=(n, 2)) for m, n in ((0, 50), (0, 30), (3, 20)))
    detectors = [Counting(k, novelty=True).fit(X) for k in (3, 9)]
    result = compare(detectors, X_in, {"far": far, "again": far[:7]}, n_bootstrap=5, random_state=0)
    assert [detector.scored_ for detector in detectors] == 2 * [[30, 20, 7]]
    assert result["detector"].unique().tolist() == ["Counting-1", "Counting-2"]
    by_scores = compare(
        None, {d: d.score_samples(X_in) for d in detectors},
        {"far": {d: d.score_samples(far) for d in detectors}}, n_bootstrap=0,
    )
    ours = result[(result["metric"] == "auroc") & (result["ood_set"] == "far")]
    theirs = by_scores[by_scores["metric"] == "auroc"]
    assert ours["value"].tolist() == theirs["value"].tolist()


def test_a_network_that_detectors_share_runs_once():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)).astype(np.float32)
    net, rows = MLP((3,), 2, hidden=(8,)), []
    detectors = [make(net).fit(X) for make in (EnergyDetector, MSPDetector, KNNDetector)]
    hook = net.register_forward_hook(lambda module, x, out: rows.append(len(out)))
    compare(detectors, X[:32], X[:32] + 3, n_bootstrap=0)
    hook.remove()
    assert sum(rows) == 64


# ---------------------------------------------------------------- the table


def test_table_writes_values_intervals_and_marks():
    rng = np.random.default_rng(0)
    given = {"old": rng.normal(0.5, size=300), "new": rng.normal(2, size=300)}
    far = {"far_away": {"old": rng.normal(size=200), "new": rng.normal(size=200)}}
    result = compare(None, given, far, n_bootstrap=20, random_state=0)
    table = comparison_table(result, "auroc", digits=2)
    new = row(result, "auroc", "new", "far_away")
    numbers = [f"{100 * new[name]:.2f}" for name in ("value", "low", "high")]
    assert table.loc["new", "far_away"] == "{} [{}, {}] ▲".format(*numbers)
    assert table.loc["old", "far_away"].endswith("]")
    short = comparison_table(result, ["auroc", "fpr95"], interval=False)
    assert list(short.columns) == ["AUROC, far_away", "FPR95, far_away"]
    assert short.loc["new", "AUROC, far_away"] == f"{100 * new['value']:.1f} ▲"
    assert short.loc["new", "FPR95, far_away"].endswith(" ▲")  # it is lower
    assert "▲ better, ▼ worse than old: p at most 0.05" in short.attrs["caption"]
    turned = comparison_table(
        compare(None, given, far, reference="new", n_bootstrap=20, random_state=0),
        ["auroc", "fpr95"], interval=False,
    )
    assert turned.loc["old"].str.endswith(" ▼").all()
    assert turned.loc["new"].str[-1].str.isdigit().all()
    assert "AUROC, far\\_away" in short.to_latex(escape=True) and "| new" in short.to_markdown()


def test_styled_table_has_the_best_in_bold():
    given = {"a": np.arange(9.0), "b": np.arange(9.0)}
    far = {"ood": {"a": np.arange(9.0) - 4, "b": np.arange(9.0) - 2}}
    result = compare(None, given, far, n_bootstrap=9, random_state=0)
    styler = styled_comparison(result, ["fpr95", "auroc"])
    styler._compute()
    bold = {cell for cell, styles in styler.ctx.items() if ("font-weight", "bold") in styles}
    values = result.set_index(["metric", "detector"])["value"]
    assert values["fpr95", "a"] < values["fpr95", "b"]
    assert values["auroc", "a"] > values["auroc", "b"]
    assert bold == {(0, 0), (0, 1)}  # the lower FPR, the higher AUROC
    assert "DeLong" in styler.to_latex(convert_css=True) and "worse than a:" in styler.caption


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"reference": "c"}, ValueError, r"reference must be one of the detectors \['a', 'b'\]"),
        ({"n_bootstrap": 1}, ValueError, "n_bootstrap must be 0 or at least 2"),
        ({"n_bootstrap": -1}, ValueError, "n_bootstrap must be an integer"),
        ({"confidence_level": 95}, ValueError, r"confidence_level must be in \(0, 1\)"),
        ({"tpr": 95}, ValueError, "tpr must be"),
        ({"protocol": "odin"}, ValueError, "protocol must be"),
        ({"random_state": "x"}, ValueError, "random_state must be"),
        ({"X_in": [0.1]}, TypeError, "with detectors=None, X_in must be a dict"),
        ({"X_ood": {"far": [0.1]}}, TypeError, r"X_ood\['far'\] must be a dict"),
        ({"X_ood": {"far": {"a": [0.1]}}}, ValueError, r"must hold the scores of .* \['a', 'b'\]"),
        ({"X_ood": {"far": {"a": [0.1], "b": []}}}, ValueError, r"X_ood\['far'\] by 'b' is empty"),
        ({"X_in": {"a": [0.1], "b": [1, 2]}}, ValueError, r"of the same rows, got \[1, 2\]"),
        ({"X_in": {"a": [np.nan], "b": [1]}}, ValueError, "X_in by 'a' has 1 NaN"),
        ({"X_ood": {"mean": {}}}, ValueError, "must not name a set 'mean'"),
        ({"detectors": []}, ValueError, "detectors is empty"),
        ({"detectors": "msp"}, TypeError, "detectors must be a dict"),
        ({"detectors": {"x": "msp"}}, TypeError, r"score_samples .* as detectors\['x'\]"),
    ],
)
def test_compare_on_bad_input(change, error, message):
    arguments = {"detectors": None, "X_in": {"a": [0.9, 0.8], "b": [1, 2]},
                 "X_ood": {"far": {"a": [0.1], "b": [0.2]}}}
    with pytest.raises(error, match=message):
        compare(**{**arguments, **change})


def test_table_on_bad_input(scores):
    result = compare(None, *scores, n_bootstrap=0)
    with pytest.raises(TypeError, match="has no column .*'detector'"):
        comparison_table(result.drop(columns="detector"))
    with pytest.raises(ValueError, match=r"metrics must be among \['fpr95'.*got \['auc'\]"):
        comparison_table(result, "auc")
    with pytest.raises(ValueError, match="more than one row"):
        comparison_table(pd.concat([result, result]))
    with pytest.raises(ValueError, match="digits must be at least 0"):
        comparison_table(result, digits=-1)
    with pytest.raises(ValueError, match=r"alpha must be in \(0, 1\)"):
        comparison_table(result, alpha=5)
