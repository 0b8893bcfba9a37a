"""Scores of the in-distribution rows and of each out-of-distribution set, checked."""

import math
from numbers import Real

import numpy as np

from ..metrics._sets import check_detector, check_set_scores, named_sets, offset_of

ID = "in-distribution"
_ADVICE = "; scores are drawn by from_scores"


def read_scores(scores_in, scores_ood, *, with_mean=False):
    """Check scores that somebody else computed.

    Returns
    -------
    scores_in : ndarray of float64 of shape (n_in,)
    scores_ood : dict of str to ndarray of float64 of shape (n_ood,)
    """
    sets = named_sets(scores_ood, "scores_ood", with_mean)
    checked = {str(name): _checked(s, f"scores_ood[{name!r}]") for name, s in sets.items()}
    return _checked(scores_in, "scores_in"), checked


def score_sets(detector, X_in, X_ood, *, with_mean=False):
    """Score every set once; returned as by `read_scores`."""
    check_detector(detector, _ADVICE)
    sets = named_sets(X_ood, with_mean=with_mean)
    scores_in = _checked(detector.score_samples(X_in), "X_in")
    return scores_in, {
        str(name): _checked(detector.score_samples(X), f"X_ood[{name!r}]")
        for name, X in sets.items()
    }


def by_name(of_in, of_ood):
    """Return what belongs to each set by the set's name, ID first."""
    if ID in of_ood:
        raise ValueError(f"no out-of-distribution set may be named {ID!r}.")
    return {ID: of_in, **{str(name): each for name, each in of_ood.items()}}


def _checked(scores, name):
    return check_set_scores(scores, name).astype(np.float64)


def read_threshold(threshold, allowed="a number or None"):
    """Return the threshold as a float, or None."""
    if threshold is None:
        return None
    if isinstance(threshold, bool) or not isinstance(threshold, Real):
        raise TypeError(f"threshold must be {allowed}, got {threshold!r}.")
    if not math.isfinite(threshold):
        raise ValueError(f"threshold must be finite, got {threshold}.")
    return float(threshold)


def threshold_of(detector, threshold):
    """Return the threshold as `read_threshold`; "auto" is the detector's, if it has one."""
    check_detector(detector, _ADVICE)
    if isinstance(threshold, str) and threshold == "auto":
        return offset_of(detector)
    return read_threshold(threshold, "a number, 'auto' or None")
