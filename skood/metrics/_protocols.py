"""The rules by which published tables read FPR and AUPR off the same scores."""

from collections.abc import Callable
from numbers import Real
from typing import NamedTuple

import numpy as np


def first_reaching(tp, fp, tpr):
    """Strictest threshold whose true-positive rate is at least `tpr`."""
    i = int(np.searchsorted(tp / tp[-1], tpr))
    return i, fp[i]


def first_corner_reaching(tp, fp, tpr):
    """As `first_reaching`, on the ROC curve without its collinear points.

    OpenOOD calls scikit-learn's ``roc_curve`` with its default, which drops a point whose two
    neighbouring steps are equal. That moves the operating point where ties make equal slanted
    steps.
    """
    i, _ = first_reaching(tp, fp, tpr)
    if 0 < i < len(tp) - 1:
        corner = (np.diff(tp[i - 1 :], 2) != 0) | (np.diff(fp[i - 1 :], 2) != 0)
        i += int(np.argmax(np.append(corner, True)))
    return i, fp[i]


def nearest(tp, fp, tpr):
    """Threshold whose recall is closest to `tpr`; of equal ones the most lenient.

    Thresholds beyond the first with full recall do not count. The recall may be below `tpr`.
    """
    full = int(np.searchsorted(tp, tp[-1]))
    distance = np.abs(tp[: full + 1] / tp[-1] - tpr)
    i = full - int(np.argmin(distance[::-1]))
    return i, fp[i]


def strict_rank(tp, fp, tpr):
    """Negatives strictly beyond the positive score of rank ``round((1 - tpr) n)``."""
    n = tp[-1]
    # 1 - .95 is not .05 in binary, and Python's round is sensitive to it at halves
    rank = min(round(round(1 - tpr, 12) * n), n - 1)
    i = int(np.searchsorted(tp, n - 1 - rank, side="right"))
    return i, fp[i - 1] if i else 0


def average_precision(curve, positive):
    """Average precision, as scikit-learn's ``average_precision_score``."""
    return curve.average_precision(positive)


def trapezoid(curve, positive):
    """Trapezoids that begin at precision 1, as OpenOOD."""
    return curve.precision_recall_area(positive, start=1.0)


def trapezoid_from_zero(curve, positive):
    """Trapezoids that begin at precision 0, as ATOM's AUIN and AUOUT."""
    return curve.precision_recall_area(positive, start=0.0)


class Protocol(NamedTuple):
    """Positive class of the FPR, and how FPR and AUPR are read."""

    positive: str
    operating_point: Callable
    aupr: Callable


EXACT = Protocol("id", first_reaching, average_precision)
PROTOCOLS = {
    "openood": Protocol("ood", first_corner_reaching, trapezoid),
    "hendrycks": Protocol("ood", nearest, average_precision),
    "atom": Protocol("id", strict_rank, trapezoid_from_zero),
}


def check_protocol(protocol):
    """Rules of a protocol by its name; None are skood's own."""
    if protocol is None:
        return EXACT
    if not isinstance(protocol, str) or protocol not in PROTOCOLS:
        raise ValueError(f"protocol must be None or one of {sorted(PROTOCOLS)}, got {protocol!r}.")
    return PROTOCOLS[protocol]


def check_positive(positive, rules):
    """Return the positive class asked for, or the one of the protocol."""
    if positive is None:
        return rules.positive
    if not isinstance(positive, str) or positive not in ("id", "ood"):
        raise ValueError(f"positive must be 'id', 'ood' or None, got {positive!r}.")
    return positive


def check_tpr(tpr, name="tpr"):
    """Return a rate in (0, 1] as a float."""
    if not isinstance(tpr, Real) or isinstance(tpr, bool):
        raise TypeError(f"{name} must be a number in (0, 1], got {tpr!r}.")
    if not 0 < tpr <= 1:
        raise ValueError(f"{name} must be in (0, 1], got {tpr}; it is a fraction, not percent.")
    return float(tpr)


def operating_point(curve, tpr, positive, protocol):
    """Threshold and false-positive rate at `tpr`, all arguments checked."""
    rules = check_protocol(protocol)
    positive = check_positive(positive, rules)
    tp, fp = curve.accepted(positive)
    i, n_false = rules.operating_point(tp, fp, check_tpr(tpr))
    return float(curve.ordered_thresholds(positive)[i]), float(n_false / fp[-1])


def summarise(curve, tpr, positive, protocol):
    """FPR, AUROC and both AUPRs of one curve, by name."""
    aupr = check_protocol(protocol).aupr
    return {
        f"fpr{100 * tpr:g}": operating_point(curve, tpr, positive, protocol)[1],
        "auroc": curve.auroc(),
        "aupr_in": aupr(curve, "id"),
        "aupr_out": aupr(curve, "ood"),
    }
