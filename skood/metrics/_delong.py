"""How sure an AUROC is: its variance from one set of rows, and that of several detectors' at once.

DeLong, DeLong and Clarke-Pearson, Biometrics 1988, by ranks instead of pairs (Sun and Xu, IEEE
Signal Processing Letters 2014): of n rows, O(n log n) in place of O(n^2).
"""

from typing import NamedTuple

import numpy as np


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
