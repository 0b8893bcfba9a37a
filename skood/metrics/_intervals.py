"""From a metric's value and variance to its limits, and to tests of differences."""

from numbers import Integral, Real

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm


def check_bootstrap(n_bootstrap, level):
    """Return the number of replicates and the coverage, or say what is wrong with them."""
    if not isinstance(n_bootstrap, Integral) or n_bootstrap < 0:
        raise ValueError(f"n_bootstrap must be an integer of at least 0, got {n_bootstrap!r}.")
    return int(n_bootstrap), check_share("confidence_level", level)


def check_share(name, value):
    """Return what must lie in (0, 1) as a float."""
    if not isinstance(value, Real) or not 0 < value < 1:
        raise ValueError(f"{name} must be in (0, 1), got {value!r}.")
    return float(value)


def log_odds_limits(value, variance, level):
    """Return limits of a share that are normal for its log-odds; NaN for a share of 0 or 1.

    They lie in [0, 1], and near 1 they hold the truth where limits that are normal for the share
    itself miss it (benchmarks/results/intervals.md).
    """
    inner = np.where((value > 0) & (value < 1), value, np.nan)
    half = norm.isf((1 - level) / 2) * np.sqrt(variance) / (inner * (1 - inner))
    return expit(logit(inner) - half), expit(logit(inner) + half)


def percentile_limits(replicates, level):
    """Return the limits between which the middle share `level` of the replicates lies."""
    return np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2], axis=0)


def exact_limits(share, n, level):
    """Return the limits of Clopper and Pearson for a share of 0 or 1 in n independent draws.

    They hold for an AUROC too: the rows make n = min(n_in, n_out) pairs without a common row, and
    all of these are in order if all pairs are.
    """
    edge = ((1 - level) / 2) ** (1 / n)
    return np.where(share == 1, edge, 0.0), np.where(share == 0, 1 - edge, 1.0)


def difference_test(difference, variance, n, level):
    """Return limits and two-sided p-value of differences that are normal about the truth.

    Equal values have p = 1. No p-value is below ``2 ** (1 - n)``, the smallest that an exact test,
    which exchanges two detectors on any of the `n` rows, could give.
    """
    deviation = np.sqrt(variance)
    half = norm.isf((1 - level) / 2) * deviation
    with np.errstate(divide="ignore", invalid="ignore"):  # no variance: infinite, or 0 / 0
        p_value = np.maximum(2 * norm.sf(np.abs(difference) / deviation), 2.0 ** (1 - n))
    p_value = np.where((difference == 0) & (variance == 0), 1.0, p_value)
    return difference - half, difference + half, p_value


def holm(p_values):
    """Return p-values corrected for their number (Holm, 1979): any of them holds at its level.

    Parameters
    ----------
    p_values : ndarray of shape (k,)
        Those that are NaN were no tests, and stay.
    """
    adjusted = np.full(len(p_values), np.nan)
    tests = np.flatnonzero(~np.isnan(p_values))
    order = tests[np.argsort(p_values[tests])]
    steps = p_values[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted
