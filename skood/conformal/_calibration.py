"""The calibration rows as a fitted detector keeps them: their scores, each in its group."""

import numpy as np

from ..engine.packing import kept_in_files
from ._rules import threshold_rank


@kept_in_files
class Calibration:
    """Scores of calibration rows by group, sorted once; new scores are ranked among them.

    Parameters
    ----------
    scores : ndarray of float64 of shape (n,)
    groups : ndarray of int of shape (n,)
        In [0, n_groups).
    n_groups : int
        Groups that there are, be it without a row.

    Attributes
    ----------
    sizes : ndarray of int of shape (n_groups,)
        Rows of each group.
    """

    def __init__(self, scores, groups, n_groups):
        order = np.lexsort((scores, groups))
        self._scores, self._groups = scores[order], groups[order]
        self.sizes = np.bincount(groups, minlength=n_groups)
        self._starts = np.cumsum(self.sizes) - self.sizes
        self._pooled = np.sort(scores)
        self._keys = self._key(self._scores, self._groups)

    def _key(self, scores, groups):
        """Return integers that rise with the group first, with the score in it second."""
        position = np.searchsorted(self._pooled, scores, side="right")
        return groups * (len(self._pooled) + 1) + position

    def thresholds(self, alpha):
        """Return the conformal threshold of each group, shape (n_groups,)."""
        k = np.array([threshold_rank(int(size), alpha) for size in self.sizes])
        found = self._scores[np.where(k > 0, self._starts + k - 1, 0)]
        return np.where(k > 0, found, -np.inf)

    def p_values(self, scores, groups):
        """Return the p-value of each score in the group given for it."""
        below = np.searchsorted(self._keys, self._key(scores, groups), side="right")
        return (1 + below - self._starts[groups]) / (1 + self.sizes[groups])

    def largest_p_values(self, scores):
        """Return for each score the largest of its p-values over all groups.

        Each group's rises with the score, by one step at each of its rows: so does the largest, and
        a running maximum over the rows of all groups finds it.
        """
        rank = 1 + np.arange(len(self._scores)) - self._starts[self._groups]
        own = (1 + rank) / (1 + self.sizes[self._groups])
        steps = own[np.argsort(self._scores, kind="stable")]
        largest = np.maximum.accumulate(np.r_[(1 / (1 + self.sizes)).max(), steps])
        return largest[np.searchsorted(self._pooled, scores, side="right")]
