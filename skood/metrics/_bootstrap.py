"""How sure any metric is: its values over resampled rows, of several detectors at once."""

import numpy as np

from ._curve import Curve


class PairedCurve:
    """A detector's `Curve` that is resampled by row numbers, so that detectors share a draw.

    Parameters
    ----------
    scores_in : ndarray of shape (n_in,)
    scores_out : ndarray of shape (n_out,)
        Row i of both belongs to the same sample for every detector.
    """

    def __init__(self, scores_in, scores_out):
        (scores_in, self._rank_in), (scores_out, self._rank_out) = map(
            _ranked, (scores_in, scores_out)
        )
        self.whole = Curve.from_sorted(scores_in, scores_out)

    def resampled(self, rows_in, rows_out):
        """Return the curve of a draw of row numbers, with repeats."""
        return self.whole.resampled(self._rank_in[rows_in], self._rank_out[rows_out])


def _ranked(scores):
    order = np.argsort(scores, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return scores[order], rank


def paired_replicates(sets, metrics, n_bootstrap, rng):
    """Return metrics of resampled rows, of shape (n_bootstrap, n_sets, n_detectors, n_metrics).

    ID and OOD rows are resampled apart (stratified). All sets of a replicate share one draw of ID
    rows, and all detectors both draws, as they share the rows. One replicate at a time: its arrays
    stay in cache, and memory does not grow with the number of replicates.

    Parameters
    ----------
    sets : list of list of PairedCurve
        For each OOD set, the detectors' curves.
    metrics : callable
        Curve -> sequence of floats.
    n_bootstrap : int
    rng : numpy.random.Generator
    """
    n_in, n_out = sets[0][0].whole.n_in, [curves[0].whole.n_out for curves in sets]
    replicates = []
    for _ in range(n_bootstrap):
        rows_in = rng.integers(n_in, size=n_in)
        draws = [(rows_in, rng.integers(n, size=n)) for n in n_out]
        replicates.append([
            [metrics(curve.resampled(*rows)) for curve in curves]
            for curves, rows in zip(sets, draws, strict=True)
        ])
    return np.array(replicates)
