"""Which rows calibrate: in one part, or each in its turn."""

import math
from numbers import Integral

import numpy as np
from sklearn.frozen import FrozenEstimator

from .._random import as_generator
from ._rules import as_written
from ._warnings import warn_of_lost_classes

# Both lay the rows out class by class, in random order within each, and take every so-many-th one:
# each class then gives its share to within one row, and the total is met exactly.


def _by_class(codes, rng):
    return np.lexsort((rng.random(len(codes)), codes))


def draw_part(codes, size, rng):
    """Return `size` rows, sorted, each class giving its share.

    Of a class of two rows or more, some are left as long as at most half of all are drawn.

    Parameters
    ----------
    codes : ndarray of int of shape (n,)
        Class of each row.
    size : int
        In [1, n].
    rng : numpy.random.Generator
    """
    places = (np.arange(size) * len(codes) + rng.integers(len(codes))) // size
    return np.sort(_by_class(codes, rng)[places])


def draw_folds(codes, n_folds, rng):
    """Return the rows of each fold, sorted; of a class of two or more, no fold has all."""
    fold = np.empty(len(codes), dtype=int)
    fold[_by_class(codes, rng)] = np.arange(len(codes)) % n_folds
    return [np.flatnonzero(fold == k) for k in range(n_folds)]


def draw_parts(detector, rows):
    """Return the parts to hold out, one after another, as positions in ``rows.inside``."""
    n, rng = len(rows.inside), as_generator(detector.random_state)
    if isinstance(detector.estimator, FrozenEstimator):
        size, least = n, 1
    elif detector.method == "cross":
        size, least = n, detector.n_folds
    else:
        size = detector.calibration_size
        size = size if isinstance(size, Integral) else math.ceil(as_written(size) * n)
        least = max(2, size + 1)
    if n < least:
        raise ValueError(
            f"X has n_samples={n} in-distribution rows (y is not -1), and method="
            f"{detector.method!r} needs at least {least} here: give more rows, or lower "
            "calibration_size or n_folds."
        )
    if detector.method == "cross":
        return draw_folds(rows.codes, detector.n_folds, rng)
    part = draw_part(rows.codes, size, rng)
    if size < n:
        warn_of_lost_classes(rows, part)
    return [part]
