"""What the detector decides at its threshold, and what it may promise of that."""

import numpy as np
from scipy.stats import binomtest

from ..metrics._sets import check_detector, innermost, offset_of, rightly_named
from ..plotting._matplotlib import percent
from ._tables import interval


def decisions(detector, sets, scores, y_in, level):
    """Return the shares refused with exact intervals, the accuracy, and the promise."""
    check_detector(detector)
    threshold = offset_of(detector)
    refused = _refused(detector, threshold, sets, scores)
    rows = None if refused is None else [
        [name, *_share(flags, level), _wanted(i)] for i, (name, flags) in enumerate(refused.items())
    ]
    return {
        "head": ["set", "refused", "wanted"],
        "rows": rows,
        "threshold": None if threshold is None else f"{threshold:.6g}",
        "promise": _promise(innermost(detector)),
        "accuracy": None if y_in is None else _accuracy(detector, sets, y_in, level),
    }


def _refused(detector, threshold, sets, scores):
    """Return which rows of each set are refused, without a second pass where a threshold tells."""
    if threshold is not None:
        return {name: each < threshold for name, each in scores.items()}
    if hasattr(detector, "predict"):
        return {name: detector.predict(X) == -1 for name, X in sets.items()}
    return None


def _share(flags, level):
    """Return a share of rows, and the exact interval of what it estimates."""
    flags = np.asarray(flags)
    bounds = binomtest(int(flags.sum()), len(flags)).proportion_ci(level, method="exact")
    return [(percent(flags.mean()), interval(bounds.low, bounds.high))]


def _wanted(i):
    return "few: these are false alarms" if i == 0 else "many"


def _promise(last):
    """Return what the threshold promises of new in-distribution rows, in words."""
    if hasattr(last, "calibration_"):
        n = int(np.sum(last.calibration_.sizes))
        return (
            f"The threshold comes from {n:,} rows that calibrated it (ConformalDetector, "
            f"method={last.method!r}, alpha={last.alpha:g}). {_GUARANTEES[last.method]} This holds "
            "while new rows are drawn as those rows were; after a drift, recalibrate."
        )
    if hasattr(last, "contamination"):
        return (
            f"No guarantee: the threshold leaves out contamination={last.contamination} of the "
            "rows that the detector was fitted on, and it is surer of those than of new ones. "
            "ConformalDetector sets a threshold with a stated rate of false alarms."
        )
    return "No guarantee is known for this detector's threshold."


_GUARANTEES = {
    "split": "Of new in-distribution rows at most the share alpha is refused, on average over "
    "calibration sets.",
    "cross": "Of new in-distribution rows about the share alpha is refused; what is proved is "
    "about twice as much.",
}


def _accuracy(detector, sets, y_in, level):
    X_in = next(iter(sets.values()))
    (share, bounds), = _share(rightly_named(detector, X_in, y_in), level)
    return f"{share} ({bounds})"
