"""Which rows calibrate: in one part, or each in its turn."""

import numpy as np

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
