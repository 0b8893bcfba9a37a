"""Outliers beyond the range of a table, where permuted columns never go."""

import numpy as np

from .._random import as_generator
from ._sizes import check_size
from .tables import as_given, read_table

__all__ = ["box", "stretched"]


def box(X, n=None, *, width=2.0, random_state=None):
    """Rows drawn uniformly from a box around a table.

    Parameters
    ----------
    X : array-like of shape (m, d)
        In-distribution rows, floating point. NaN counts as no value.
    n : int, default=None
        Number of rows to make; None makes as many as X has.
    width : float, default=2.0
        Width of the box, in units of each column's range; it shares the range's middle.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState, default=None
        Source of the draws; an int gives the same rows every time.

    Returns
    -------
    ndarray or DataFrame of shape (n, d)
        In the dtype of X; a frame with the columns of X where X is one.

    Raises
    ------
    TypeError
        If X is not floating point.
    ValueError
        If X is not a matrix with at least one row and column, or `n` or `width` is not positive.

    See Also
    --------
    permute_columns : Stays within the range of each column.
    stretched : Leaves the data in their own directions.

    Notes
    -----
    Where d is large almost all rows lie far from X, and few of them near it.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.outliers import box
    >>> X = np.array([[0.0, 10.0], [1.0, 20.0]])
    >>> box(X, 3, random_state=0).round(2)
    array([[ 0.77, 10.4 ],
           [-0.42,  5.33],
           [ 1.13, 23.26]])
    """
    given, X, rng = X, _read_floats(X), as_generator(random_state)
    _check_positive("width", width)
    size = check_size(len(X) if n is None else n, X.shape[1])
    low, high = np.nanmin(X, axis=0).astype(float), np.nanmax(X, axis=0).astype(float)
    middle, half = low / 2 + high / 2, high / 2 - low / 2
    drawn = middle + width * half * rng.uniform(-1, 1, size=size)
    return as_given(_within(drawn, X.dtype), given)


def stretched(X, n=None, *, factors=(1.5, 4.0), random_state=None):
    """Rows of a table moved away from its mean.

    What holds between the columns is kept, so these rows leave the data where a net that has seen
    no outliers is surest: in the direction of their own correlations.

    Parameters
    ----------
    X : array-like of shape (m, d)
        In-distribution rows, floating point. NaN counts as no value.
    n : int, default=None
        Number of rows to make; None makes as many as X has.
    factors : tuple of two floats, default=(1.5, 4.0)
        By how much the distance to the mean grows, drawn uniformly between them for each row.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState, default=None
        Source of the draws; an int gives the same rows every time.

    Returns
    -------
    ndarray or DataFrame of shape (n, d)
        In the dtype of X; a frame with the columns of X where X is one.

    Raises
    ------
    TypeError
        If X is not floating point.
    ValueError
        If X is not a matrix with at least one row and column, `n` is not positive, or `factors`
        are not two increasing positive numbers.

    See Also
    --------
    box : Spreads over all directions.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.outliers import stretched
    >>> X = np.array([[0.0, 10.0], [1.0, 20.0]])
    >>> stretched(X, 3, random_state=0).round(2)
    array([[ 1.3 , 23.01],
           [ 1.27, 22.71],
           [ 2.27, 32.67]])
    """
    given, X, rng = X, _read_floats(X), as_generator(random_state)
    if np.shape(factors) != (2,) or not 0 < factors[0] <= factors[1]:
        raise ValueError(f"factors must be two increasing positive numbers, got {factors!r}.")
    size = check_size(len(X) if n is None else n, X.shape[1])
    mean = np.nanmean(X, axis=0, dtype=np.float64)
    away = X[rng.integers(len(X), size=size[0])] - mean
    moved = mean + away * rng.uniform(*factors, size=(size[0], 1))
    return as_given(_within(moved, X.dtype), given)


def _within(values, dtype):
    """Convert to a dtype without leaving its range for infinity."""
    limits = np.finfo(dtype)
    return values.clip(limits.min, limits.max).astype(dtype, copy=False)


def _read_floats(X):
    X = read_table(X)
    if X.dtype.kind != "f":
        raise TypeError(f"X must be floating point, got dtype {X.dtype}. Convert it first.")
    return X


def _check_positive(name, value):
    if not value > 0:
        raise ValueError(f"{name} must be positive, got {value!r}.")
