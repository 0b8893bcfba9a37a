"""Bins for a histogram of scores: far outliers do not squeeze the others into one of them."""

from numbers import Integral
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

_MARGIN = 2.0  # shown on either side of the ID scores, in widths of them
_TAIL = 0.005  # of the ID scores on either side, left out of that width
_SURE = 1e-6  # a probability of 1 has no place on the logit axis, but float32 has it often


class Axis(NamedTuple):
    """How scores are placed on the axis, and back."""

    place: callable
    score: callable


LINEAR = Axis(np.asarray, np.asarray)
LOGIT = Axis(lambda scores: logit(np.clip(scores, _SURE, 1 - _SURE)), expit)


def axis_of(scale, scores):
    """Return the axis of a scale, which must be able to show the scores."""
    if scale not in ("linear", "logit"):
        raise ValueError(f"scale must be 'linear' or 'logit', got {scale!r}.")
    if scale == "logit" and (scores.min() < 0 or scores.max() > 1):
        raise ValueError(
            f"scale='logit' needs scores in [0, 1], got [{scores.min():g}, {scores.max():g}]. "
            "Leave it 'linear'; of scores that are minus a probability draw 1 + score, by "
            "from_scores."
        )
    return LINEAR if scale == "linear" else LOGIT


def edges_of(bins, scores, scores_in, threshold, axis):
    """Return the edges given, or those of so many bins of equal width on the axis.

    The bins reach over all scores, but not further from those of the ID rows than twice the width
    of the latter; the threshold is always among them.
    """
    if not isinstance(bins, Integral) or isinstance(bins, bool):
        return _check_edges(bins)
    if bins < 1:
        raise ValueError(f"bins must be an integer of at least 1, or edges, got {bins}.")
    places = axis.place(scores)
    tail_low, tail_high = np.quantile(axis.place(scores_in), [_TAIL, 1 - _TAIL])
    width = _MARGIN * (tail_high - tail_low)
    low, high = max(places.min(), tail_low - width), min(places.max(), tail_high + width)
    if threshold is not None:
        place = axis.place(threshold)
        low, high = min(low, place), max(high, place)
    if low == high:  # one score alone
        low, high = low - 0.5, high + 0.5
    return axis.score(np.linspace(low, high, bins + 1))


def _check_edges(bins):
    edges = np.asarray(bins)
    if edges.dtype.kind not in "iuf":
        raise TypeError(f"bins must be an integer or ascending edges, got {bins!r}.")
    ascending = edges.ndim == 1 and len(edges) > 1 and (np.diff(edges) > 0).all()
    if not (ascending and np.isfinite(edges).all()):
        raise ValueError(f"bins must be two or more finite, ascending edges, got {bins!r}.")
    return edges.astype(np.float64)


def counts_in(edges, scores):
    """Count the scores in each bin, those beyond in the outermost."""
    return np.histogram(scores.clip(edges[0], edges[-1]), edges)[0]


def logit_ticks(edges):
    """Return round probabilities between the outermost edges, and how they are written."""
    texts = {0.5: "0.5"}
    for k in range(1, 7):
        texts[10.0**-k] = f"{10.0**-k:g}" if k < 4 else f"$10^{{-{k}}}$"
        texts[1 - 10.0**-k] = f"{1 - 10.0**-k:g}" if k < 4 else f"$1-10^{{-{k}}}$"
    ticks = sorted(tick for tick in texts if edges[0] <= tick <= edges[-1])
    return ticks, [texts[tick] for tick in ticks]
