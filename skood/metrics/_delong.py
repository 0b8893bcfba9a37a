"""How sure an AUROC is: its variance from one set of rows, and that of several detectors' at once.

DeLong, DeLong and Clarke-Pearson, Biometrics 1988, by ranks instead of pairs (Sun and Xu, IEEE
Signal Processing Letters 2014): of n rows, O(n log n) in place of O(n^2).
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit
from scipy.stats import norm


class Placements(NamedTuple):
    """What each row adds to an AUROC: its structural components.

    Attributes
    ----------
    inside : ndarray of shape (..., n_in)
        For each ID row the share of OOD rows below it, tied ones counted one half.
    outside : ndarray of shape (..., n_out)
        For each OOD row the share of ID rows above it, tied ones counted one half.
    """

    inside: np.ndarray
    outside: np.ndarray


def placements(scores_in, scores_out):
    """Return the `Placements` of one detector's scores; the mean of either is its AUROC."""
    return Placements(_share_below(scores_in, scores_out), 1 - _share_below(scores_out, scores_in))


def _share_below(scores, others):
    others = np.sort(others)
    below = np.searchsorted(others, scores, side="left")
    return (below + np.searchsorted(others, scores, side="right")) / (2 * len(others))


def auroc_variance(sets):
    """Return the variance of AUROCs, each the mean over sets that share the ID rows.

    Of the difference of two placements it is the variance of the AUROCs' difference, of detectors
    that saw the same rows.

    Parameters
    ----------
    sets : list of Placements
        For each OOD set, inside of shape (k, n_in), outside of shape (k, n_out).

    Returns
    -------
    ndarray of shape (k,)
        NaN where a class has a single row, of which nobody knows how it varies.
    """
    shared = np.mean([each.inside for each in sets], axis=0)
    own = sum(_variance_of_mean(each.outside) for each in sets) / len(sets) ** 2
    return _variance_of_mean(shared) + own


def _variance_of_mean(values):
    """Return the variance of the mean over n independent columns, (k, n) -> (k,)."""
    n = values.shape[1]
    return values.var(axis=1, ddof=1) / n if n > 1 else np.full(len(values), np.nan)


def auroc_limits(value, variance, n, level):
    """Return the confidence limits of AUROCs, of one shape with `value`.

    Normal for the log-odds, which keeps them in [0, 1] and near 1 covers what limits normal for the
    AUROC itself miss (benchmarks/results/intervals.md). Where all rows are in order, there is no
    variance to see: there `exact_limits` of `n` pairs.
    """
    value, variance = np.asarray(value, dtype=np.float64), np.asarray(variance)
    odd = (value > 0) & (value < 1)
    safe = np.where(odd, value, 0.5)
    half = norm.isf((1 - level) / 2) * np.sqrt(variance) / (safe * (1 - safe))
    low, high = expit(logit(safe) - half), expit(logit(safe) + half)
    exact = exact_limits(value, n, level)
    known = ~np.isnan(variance)
    return tuple(
        np.where(odd, ours, np.where(known, sure, np.nan))
        for ours, sure in zip((low, high), exact, strict=True)
    )


def exact_limits(share, n, level):
    """Return the limits of Clopper and Pearson for a share of 0 or 1 in n independent draws.

    They hold for an AUROC too: the rows make n = min(n_in, n_out) pairs without a common row, and
    all of these are in order if all pairs are.
    """
    edge = ((1 - level) / 2) ** (1 / n)
    return np.where(share == 1, edge, 0.0), np.where(share == 0, 1 - edge, 1.0)


def difference_test(difference, variance, n, level):
    """Return limits and two-sided p-value of differences that are normal about the truth.

    Equal AUROCs have p = 1. No p-value is below ``2 ** (1 - n)``, the smallest that an exact test,
    which exchanges two detectors on any of the `n` rows, could give.
    """
    deviation = np.sqrt(variance)
    half = norm.isf((1 - level) / 2) * deviation
    with np.errstate(divide="ignore", invalid="ignore"):  # no variance: infinite, or 0 / 0
        p_value = np.maximum(2 * norm.sf(np.abs(difference) / deviation), 2.0 ** (1 - n))
    p_value = np.where((difference == 0) & (variance == 0), 1.0, p_value)
    return difference - half, difference + half, p_value
