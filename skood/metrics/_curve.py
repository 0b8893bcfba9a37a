"""Scores sorted once: the counts at every distinct score, from which each metric reads."""

from functools import cached_property

import numpy as np

from ..labels import is_in_distribution


def check_scores(scores, name="y_score"):
    """One-dimensional, finite, real scores in a type that sorts fast and without rounding."""
    scores = np.asarray(scores)
    if scores.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), got {scores.shape}.")
    if scores.dtype.kind not in "iufb":
        raise TypeError(f"{name} must hold real numbers, got dtype {scores.dtype}.")
    if scores.dtype.kind == "f" and not np.isfinite(scores).all():
        n_bad = np.count_nonzero(~np.isfinite(scores))
        raise ValueError(
            f"{name} has {n_bad} NaN or infinite values; a metric over them means nothing: find "
            "out where the detector overflows."
        )
    if scores.dtype == np.float16 or scores.dtype.kind == "b":
        return scores.astype(np.float32)
    return scores


def curve_from_labels(y_true, y_score):
    """Check labels and scores, and sort them into a `Curve`."""
    scores = check_scores(y_score)
    inside = is_in_distribution(y_true)
    if len(inside) != len(scores):
        raise ValueError(
            f"y_true and y_score must have one length, got {len(inside)} and {len(scores)}."
        )
    if not inside.any() or inside.all():
        missing = "out-of-distribution (-1)" if inside.any() else "in-distribution (not -1)"
        raise ValueError(
            f"y_true has no {missing} row (first labels: {np.asarray(y_true)[:5].tolist()}); the "
            "metrics compare both classes, and only -1 marks an out-of-distribution row."
        )
    return Curve.from_scores(scores[inside], scores[~inside])


class Curve:
    """Counts of both classes at every distinct score.

    Parameters
    ----------
    thresholds : ndarray of shape (k,)
        The distinct scores, ascending.
    in_below, out_below : ndarray of shape (k,), int
        ID and OOD rows whose score is at most each threshold; equal scores share a threshold,
        so ties are exact.
    """

    def __init__(self, thresholds, in_below, out_below):
        self.thresholds, self.in_below, self.out_below = thresholds, in_below, out_below
        self.n_in, self.n_out = int(in_below[-1]), int(out_below[-1])

    @classmethod
    def from_scores(cls, scores_in, scores_out):
        """Sort the scores of each class, then merge the two runs."""
        return cls.from_sorted(np.sort(scores_in), np.sort(scores_out))

    @classmethod
    def from_sorted(cls, scores_in, scores_out):
        """Merge scores already sorted; several OOD sets share one sort of the ID scores."""
        both = np.concatenate([scores_in, scores_out])
        # the stable sort merges two sorted runs in linear time, five times faster than sorting
        order = np.argsort(both, kind="stable")
        both = both[order]
        last = np.flatnonzero(np.append(both[1:] != both[:-1], True))
        in_below = np.cumsum(order < len(scores_in))[last]
        return cls(both[last], in_below, last + 1 - in_below)

    def accepted(self, positive):
        """Count true and false positives at each threshold, strictest threshold first."""
        if positive == "ood":  # flagged when the score is at most the threshold
            return self.out_below, self.in_below
        tp = self.n_in - np.concatenate([[0], self.in_below[:-1]])
        fp = self.n_out - np.concatenate([[0], self.out_below[:-1]])
        return tp[::-1], fp[::-1]

    def ordered_thresholds(self, positive):
        """Thresholds in the order of `accepted`."""
        return self.thresholds if positive == "ood" else self.thresholds[::-1]

    def auroc(self):
        """P(ID > OOD) + P(ID == OOD) / 2, from whole numbers."""
        in_before = np.concatenate([[0], self.in_below[:-1]])
        out_here = np.diff(self.out_below, prepend=0)
        twice_lost = np.dot(out_here, in_before + self.in_below)
        return 1.0 - float(twice_lost) / (2.0 * self.n_in * self.n_out)

    def average_precision(self, positive):
        """Sum of precision times the step in recall."""
        tp, fp = self.accepted(positive)
        return float(np.dot(np.diff(tp, prepend=0), tp / (tp + fp)) / tp[-1])

    def precision_recall_area(self, positive, start):
        """Trapezoids under precision against recall, which begins at (recall 0, `start`)."""
        tp, fp = self.accepted(positive)
        precision = np.concatenate([[start], tp / (tp + fp)])
        return float(np.trapezoid(precision, np.concatenate([[0], tp]) / tp[-1]))

    def detection_error(self, weight_in, weight_out):
        """Smallest weighted sum of missed ID and accepted OOD rows over all thresholds."""
        errors = weight_in * self.in_below + weight_out * (self.n_out - self.out_below)
        return float(min(errors.min(), weight_out * self.n_out))  # or accept every row

    @cached_property
    def _places(self):
        """Index of the threshold of each sorted ID row, and of each sorted OOD row."""
        places = np.arange(len(self.thresholds))
        return tuple(
            np.repeat(places, np.diff(below, prepend=0))
            for below in (self.in_below, self.out_below)
        )

    def resampled(self, rows_in, rows_out):
        """Curve of a bootstrap draw: rows of the sorted ID and OOD scores, with repeats."""
        k = len(self.thresholds)
        places_in, places_out = self._places
        n_in = np.bincount(places_in[rows_in], minlength=k)
        n_out = np.bincount(places_out[rows_out], minlength=k)
        drawn = np.flatnonzero(n_in + n_out)  # a score nobody drew is no threshold
        return Curve(self.thresholds[drawn], n_in[drawn].cumsum(), n_out[drawn].cumsum())
