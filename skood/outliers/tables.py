"""Outliers made from a table of in-distribution rows."""

import numpy as np

from .._random import as_generator
from ._sizes import check_size


def permute_columns(X, n=None, random_state=None):
    """Rows whose columns are drawn from X independently of each other.

    Every value is one that its column really takes, but what holds the columns together is lost:
    the most that can be made of a table without knowing what its outliers are.

    Parameters
    ----------
    X : array-like of shape (m, d)
        In-distribution rows, of any dtype.
    n : int, default=None
        Number of rows to make; None makes as many as X has.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState, default=None
        Source of the draws; an int gives the same rows every time.

    Returns
    -------
    ndarray or DataFrame of shape (n, d)
        In the dtype of X, which is not changed; a frame with the columns of X where X is one.

    Raises
    ------
    ValueError
        If X is not a matrix with at least one row and column, or `n` is not positive.

    See Also
    --------
    skood.outliers.procedural : Outliers for images.

    Notes
    -----
    For n rows like X has, each column is a permutation of X's, so every marginal distribution is
    kept exactly; for another n the values are drawn with replacement. Nothing is changed where X
    has one row or one column, or where the columns are independent: there, these rows are not
    outliers. A classifier of X against them learns the ratio of the joint density to the product of
    its marginals.

    References
    ----------
    Shi, Horvath, "Unsupervised Learning with Random Forest Predictors", Journal of Computational
    and Graphical Statistics, 2006 (addcl1).

    Examples
    --------
    >>> import numpy as np
    >>> from skood.outliers import permute_columns
    >>> X = np.array([[0, 0], [1, 1], [2, 2], [3, 3]])
    >>> permute_columns(X, random_state=0)
    array([[2, 3],
           [0, 2],
           [1, 1],
           [3, 0]])
    """
    given, X = X, read_table(X)
    size = check_size(len(X) if n is None else n, X.shape[1])
    rng = as_generator(random_state)
    if size == X.shape:
        return as_given(rng.permuted(X, axis=0), given)
    return as_given(np.take_along_axis(X, rng.integers(len(X), size=size), axis=0), given)


def read_table(X):
    """Return a table as an array, or say why it is none."""
    X = np.asarray(X)
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(
            f"X must have shape (m, d) with at least one row and column, got {X.shape}."
        )
    return X


def as_given(rows, X):
    """Return rows as a frame with the columns of X, where X is a frame of pandas."""
    if not hasattr(X, "iloc"):
        return rows
    frame = type(X)(rows)
    if rows.dtype.kind != "f":  # columns of floats and of integers are all floats by now
        frame = frame.astype(dict(enumerate(X.dtypes)))
    return frame.set_axis(X.columns, axis=1)
