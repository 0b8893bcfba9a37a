"""What is said of calibration rows that are too few, or all that a class has."""

import warnings

import numpy as np
from sklearn.frozen import FrozenEstimator

from ._rules import least_calibration_size

SHOWN = 5  # classes that a message names


def warn_of_few(groups, names, detector, remedy, stacklevel):
    """Warn where calibration rows are too few for anything to be refused; say whether.

    Parameters
    ----------
    groups : ndarray of int of shape (n,)
        That of each calibration row, as a position in `names`.
    names : array-like of shape (n_groups,)
        ``[None]`` for rows that are all of one group.
    detector : ConformalDetector
    remedy : str
        What helps besides more rows and another `alpha`.
    stacklevel : int
        As ``warnings.warn`` counts it from here.
    """
    alpha, sizes = detector.alpha, np.bincount(groups, minlength=len(names))
    least = least_calibration_size(alpha)
    few = np.flatnonzero(sizes < least)
    if not len(few):
        return False
    named = names[0] is not None
    of_each = f" of each class, and of {names[few].tolist()[:SHOWN]}" if named else ", and"
    whose, refused = (
        ("their", "no row of theirs") if named and detector.conditional_on == "predicted"
        else ("the", "nothing")
    )
    warnings.warn(
        f"alpha={alpha} needs at least {least} calibration rows{of_each} there are "
        f"{sizes[few].min()}: {whose} threshold is -inf, so that {refused} is refused. Give more "
        f"rows, or raise alpha{remedy}.",
        UserWarning, stacklevel=stacklevel,
    )
    return True


def remedy_at_fit(detector):
    """Return what a fit can do about too few calibration rows, besides rows and `alpha`."""
    if detector.method == "cross" or isinstance(detector.estimator, FrozenEstimator):
        return ""
    if detector.conditional_on is not None:
        return " or calibration_size"
    return " or calibration_size, or use method='cross', in which all rows calibrate"


def warn_of_lost_classes(rows, part):
    """Warn of classes all of whose rows calibrate, so that the estimator never sees them."""
    if rows.classes is None:
        return
    lost = np.setdiff1d(rows.codes, np.delete(rows.codes, part))
    if len(lost):
        warnings.warn(
            f"all rows of the classes {rows.classes[lost].tolist()[:SHOWN]} calibrate, so that "
            "the estimator does not know these: give them more rows, or lower calibration_size.",
            UserWarning, stacklevel=6,
        )
