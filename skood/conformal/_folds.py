"""One score from the detectors of several folds, in which their ranks are pooled."""

import numpy as np

from ..engine.packing import kept_in_files


@kept_in_files
class FoldRanks:
    """How many held-out rows look no more in-distribution than a row, each to its own detector.

    The detectors of different folds need not score on one scale, so a row is compared with the rows
    of a fold by the detector that did not train on these; the counts are added up [1]_. Rows of one
    count, such as all that are stranger than any held-out row, are told apart by the mean of the
    standardised scores, squeezed into half a count.

    Parameters
    ----------
    held_out : list of ndarray of float64
        For each detector, its scores of the rows of its fold.

    References
    ----------
    .. [1] V. Vovk, "Cross-conformal Predictors", Annals of Mathematics and Artificial Intelligence
       2015.
    """

    def __init__(self, held_out):
        self.held_out = [np.sort(scores) for scores in held_out]
        self.n = sum(map(len, held_out))
        self.centre = np.array([[scores.mean()] for scores in held_out])
        spread = np.array([[scores.std()] for scores in held_out])
        self.spread = np.where(spread > 0, spread, 1.0)

    def __call__(self, scores):
        """Return (count + fraction) / (n + 1), the fraction in [0, 1/2].

        Parameters
        ----------
        scores : ndarray of float64 of shape (n_folds, m)
        """
        counts = sum(
            np.searchsorted(held_out, row, side="right")
            for held_out, row in zip(self.held_out, scores, strict=True)
        )
        return (counts + self._fraction(scores)) / (self.n + 1)

    def _fraction(self, scores):
        z = ((scores - self.centre) / self.spread).mean(axis=0)
        tail = 1 / (1 + np.abs(z))  # falls so slowly that the strangest rows still differ
        return np.where(z < 0, tail, 2 - tail) / 4

    def own_scores(self):
        """Return the scores at which the count rises: of the i-th lowest row, i / (n + 1)."""
        return np.arange(1, self.n + 1) / (self.n + 1)
