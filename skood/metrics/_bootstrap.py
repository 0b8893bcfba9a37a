"""How sure any metric is: its values over resampled rows, of several detectors at once."""

from numbers import Integral, Real

import numpy as np

from ._curve import Curve


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


def percentile_limits(replicates, level):
    """Return the limits between which the middle share `level` of the replicates lies."""
    return np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2], axis=0)


def percentile_test(differences):
    """Return the two-sided p-value of no difference: the level at which the limits reach 0.

    The observed sample counts as one replicate more, so that no p-value is 0; the smallest is
    ``2 / (n_bootstrap + 1)``.
    """
    n = len(differences) + 1
    tails = [(1 + np.sum(sign * differences <= 0, axis=0)) / n for sign in (1, -1)]
    return np.minimum(2 * np.minimum(*tails), 1)


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
