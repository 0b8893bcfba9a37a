"""Outliers made by damaging images: the corruption sets of the Outlier Exposure paper.

Images are read and returned in **pixel space** [0, 1]; a network that expects normalised inputs
gets them normalised afterwards, like any image. The paper's text takes in-distribution images, its
released code for CIFAR the *other* CIFAR.
"""

import numpy as np

from .._images import boxes, read_images
from .._random import as_generator


def jigsaw(X):
    """Every image with three of its quarters exchanged, and two of the four cut in half.

    Parameters
    ----------
    X : array-like of shape (n, C, H, W)
        Images in pixel space: float in [0, 1], or uint8 read as [0, 1].

    Returns
    -------
    ndarray of shape (n, C, H, W), float32
        In pixel space, [0, 1].

    Raises
    ------
    TypeError
        If X is neither uint8 nor floating point.
    ValueError
        If X has another shape or values outside [0, 1].

    See Also
    --------
    pixelate : Destroys detail instead of arrangement.

    Notes
    -----
    Top left: the old top left with its upper and lower halves swapped. Top right: the old bottom
    left. Bottom left: the old bottom right. Bottom right: the old top right with its left and right
    halves swapped. This is what the released code does; the paper's text speaks of 16 permuted
    patches. A last odd row or column stays in place.

    References
    ----------
    Hendrycks, Mazeika, Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.outliers import jigsaw
    >>> jigsaw(np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4))[0, 0] * 255
    array([[ 4.,  5.,  8.,  9.],
           [ 0.,  1., 12., 13.],
           [10., 11.,  3.,  2.],
           [14., 15.,  7.,  6.]], dtype=float32)
    """
    X = read_images(X)
    h, w = X.shape[2] // 2, X.shape[3] // 2
    top, bottom, left, right = slice(h), slice(h, 2 * h), slice(w), slice(w, 2 * w)
    moved = X.copy()
    moved[..., top, left] = np.roll(X[..., top, left], h // 2, axis=-2)
    moved[..., top, right] = X[..., bottom, left]
    moved[..., bottom, left] = X[..., bottom, right]
    moved[..., bottom, right] = np.roll(X[..., top, right], w // 2, axis=-1)
    return moved


def speckle(X, *, random_state=None):
    """Multiplicative normal noise.

    Parameters
    ----------
    X : array-like of shape (n, C, H, W)
        Images in pixel space: float in [0, 1], or uint8 read as [0, 1].
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState, default=None
        Source of the draws; an int gives the same images every time.

    Returns
    -------
    ndarray of shape (n, C, H, W), float32
        In pixel space, [0, 1].

    Raises
    ------
    TypeError
        If X is neither uint8 nor floating point.
    ValueError
        If X has another shape or values outside [0, 1].

    See Also
    --------
    skood.outliers.gaussian : Noise without an image.

    Notes
    -----
    ``clip(x + x * z, 0, 1)`` with z standard normal for every value.

    References
    ----------
    Hendrycks, Mazeika, Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.outliers import speckle
    >>> speckle(np.full((1, 1, 1, 3), 0.5), random_state=0).round(2)
    array([[[[1.  , 0.  , 0.29]]]], dtype=float32)
    """
    X = read_images(X)
    z = as_generator(random_state).standard_normal(X.shape, dtype=np.float32)
    return np.clip(X + X * z, 0, 1).astype(np.float32, copy=False)


def pixelate(X):
    """Every image shrunk to a fifth of its size and blown up again.

    Parameters
    ----------
    X : array-like of shape (n, C, H, W)
        Images in pixel space: float in [0, 1], or uint8 read as [0, 1].

    Returns
    -------
    ndarray of shape (n, C, H, W), float32
        In pixel space, [0, 1].

    Raises
    ------
    TypeError
        If X is neither uint8 nor floating point.
    ValueError
        If X has another shape or values outside [0, 1].

    See Also
    --------
    jigsaw : Destroys arrangement instead of detail.

    Notes
    -----
    Shrinks to ``H // 5`` by ``W // 5`` (at least 1) pixels, each the mean of the pixels whose
    centres lie in it, and repeats them: Pillow's BOX resize, which the released code uses on uint8
    images; without its rounding to 256 levels, values differ from that by less than 1/255.

    References
    ----------
    Hendrycks, Mazeika, Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.outliers import pixelate
    >>> X = np.random.default_rng(0).random((1, 3, 32, 32))
    >>> len(np.unique(pixelate(X)[0, 0]))
    36
    """
    X = read_images(X)
    (rows, row), (columns, column) = (boxes(size, max(1, size // 5)) for size in X.shape[2:])
    small = np.clip(rows @ X @ columns.T, 0, 1)  # the mean of ones may round to 1 + 1e-7
    return small[..., row[:, None], column]


def rgb_ghosted(X):
    """Channels exchanged, one of them mirrored.

    Parameters
    ----------
    X : array-like of shape (n, 3, H, W)
        Images in pixel space: float in [0, 1], or uint8 read as [0, 1].

    Returns
    -------
    ndarray of shape (n, 3, H, W), float32
        In pixel space, [0, 1].

    Raises
    ------
    TypeError
        If X is neither uint8 nor floating point.
    ValueError
        If X has another shape or values outside [0, 1].

    See Also
    --------
    inverted : Keeps the shapes, exchanges the colours.

    Notes
    -----
    Channels ``(G mirrored left-right, B, R)``.

    References
    ----------
    Hendrycks, Mazeika, Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.outliers import rgb_ghosted
    >>> rgb_ghosted(np.array([[[[0.1, 0.2]], [[0.3, 0.4]], [[0.5, 0.6]]]])).reshape(3, 2)
    array([[0.4, 0.3],
           [0.5, 0.6],
           [0.1, 0.2]], dtype=float32)
    """
    red, green, blue = np.moveaxis(read_images(X, n_channels=3), 1, 0)
    return np.stack([green[..., ::-1], blue, red], axis=1)


def inverted(X):
    """Green and blue inverted, red kept.

    Parameters
    ----------
    X : array-like of shape (n, 3, H, W)
        Images in pixel space: float in [0, 1], or uint8 read as [0, 1].

    Returns
    -------
    ndarray of shape (n, 3, H, W), float32
        In pixel space, [0, 1].

    Raises
    ------
    TypeError
        If X is neither uint8 nor floating point.
    ValueError
        If X has another shape or values outside [0, 1].

    See Also
    --------
    rgb_ghosted : Exchanges the channels.

    Notes
    -----
    Channels ``(R, 1 - G, 1 - B)``.

    References
    ----------
    Hendrycks, Mazeika, Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.outliers import inverted
    >>> inverted(np.array([[[[0.1]], [[0.2]], [[0.3]]]])).ravel()
    array([0.1, 0.8, 0.7], dtype=float32)
    """
    red, green, blue = np.moveaxis(read_images(X, n_channels=3), 1, 0)
    return np.stack([red, 1 - green, 1 - blue], axis=1)
