"""The outliers that a detector makes for itself when it is given none."""

import numpy as np

from .._random import as_generator
from ._sizes import check_size
from .procedural import procedural
from .ranges import box, stretched
from .tables import as_given, permute_columns

MOST_IMAGES = 10_000  # of 32x32; fewer of larger ones, so that they take no longer, down to:
FEWEST_IMAGES = 500
FEWEST_ROWS = 300  # so that a small table, too, is surrounded
N_LOOKED_AT = 1_000  # images from which the range of values is read; a memmap is not read whole


def synthetic_like(X, n=None, random_state=None):
    """Outliers that could be mistaken for X by shape, dtype and range alone.

    Images get procedural images. Tables of floats get a third each of rows with permuted columns,
    rows from a box twice as wide as the data, and rows stretched away from the mean: no one of
    them covers what a table's outliers may be. Anything else gets permuted columns.
    Images below 4x4 count as tables.

    Parameters
    ----------
    X : array-like of shape (m, d) or (m, C, H, W)
        In-distribution samples; they are not changed.
    n : int, default=None
        Number of outliers; None makes as many as X has samples: at least 300 rows, at most 10,000
        images of 32x32 or as many larger ones as have the same area (at least 500).
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState, default=None
        Source of the draws; an int gives the same outliers every time.

    Returns
    -------
    ndarray or DataFrame of shape (n, d), or ndarray of shape (n, C, H, W)
        A frame where X is one. In the dtype and value space of X: 8-bit images are 0 to 255; float
        images that lie in [0, 1] get images in [0, 1], and others (normalised, say) images
        stretched over the range that each channel of X takes.

    Raises
    ------
    ValueError
        If X has no samples, or `n` is not positive.

    See Also
    --------
    permute_columns, box, stretched : The outliers of a table.
    procedural : The outliers of images.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.outliers import synthetic_like
    >>> X = np.random.default_rng(0).normal(size=(20, 3, 8, 8)).astype(np.float32)
    >>> X_out = synthetic_like(X, random_state=0)
    >>> X_out.shape, X_out.dtype, bool(X_out.max() <= X.max())
    ((20, 3, 8, 8), dtype('float32'), True)
    """
    given, X, rng = X, np.asarray(X), as_generator(random_state)
    if X.ndim < 2 or 0 in X.shape:
        raise ValueError(
            f"X must have shape (m, d) or (m, C, H, W), with at least one sample, got {X.shape}."
        )
    if X.ndim != 4 or min(X.shape[2:]) < 4:
        rows = _like_table(X.reshape(len(X), -1), n, rng)
        return as_given(rows.reshape(-1, *X.shape[1:]), given)
    images = procedural(_enough(X) if n is None else n, X.shape[1:], rng)
    return images if X.dtype == np.uint8 else _into_range(images, X)


def _like_table(X, n, rng):
    n = max(len(X), FEWEST_ROWS) if n is None else check_size(n, X.shape[1])[0]
    kinds = (permute_columns, box, stretched) if X.dtype.kind == "f" else (permute_columns,)
    if X.shape[1] == 1:
        kinds = kinds[1:] or kinds  # the permutation of a single column is the column itself
    return np.concatenate([kind(X, -(-n // len(kinds)), random_state=rng) for kind in kinds])[:n]


def _enough(X):
    per_area = MOST_IMAGES * 32 * 32 // (X.shape[2] * X.shape[3])
    return min(len(X), MOST_IMAGES, max(FEWEST_IMAGES, per_area))


def _into_range(images, X):
    sample = X[:: max(1, len(X) // N_LOOKED_AT)]
    low, high = (
        end(axis=(0, 2, 3)).astype(np.float64)[:, None] for end in (sample.min, sample.max)
    )
    if low.min() >= 0 and high.max() <= 1 and X.dtype.kind == "f":
        low, high = np.zeros_like(low), np.ones_like(high)
    # Looked up among the 256 values of each channel: no copy of the images in float64.
    levels = (low + (high - low) * np.arange(256) / 255).clip(low, high).astype(X.dtype)
    return levels[np.arange(len(levels))[:, None, None], images]
