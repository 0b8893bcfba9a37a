"""Outliers mixed from two images each: the pairwise sets of the Outlier Exposure paper.

Images are read and returned in **pixel space** [0, 1]; a network that expects normalised inputs
gets them normalised afterwards, like any image. The paper's text takes in-distribution images, its
released code for CIFAR the *other* CIFAR.
"""

import numpy as np

from .._images import read_images
from .._random import as_generator


def arithmetic_mean(X, *, random_state=None):
    """Mean of every image and another one.

    Parameters
    ----------
    X : array-like of shape (n, C, H, W)
        Images in pixel space: float in [0, 1], or uint8 read as [0, 1]. At least two images.
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
        If X has another shape or values outside [0, 1] or fewer than two images.

    See Also
    --------
    geometric_mean : Dark wherever either image is.

    Notes
    -----
    ``(x_i + x_j) / 2`` with j drawn uniformly from the other images.

    References
    ----------
    Hendrycks, Mazeika, Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.outliers import arithmetic_mean
    >>> X = np.stack([np.zeros((3, 8, 8)), np.ones((3, 8, 8))])
    >>> np.unique(arithmetic_mean(X, random_state=0))
    array([0.5], dtype=float32)
    """
    X = read_images(X, n_least=2)
    return (X + X[_partners(len(X), random_state)]) / 2


def geometric_mean(X, *, random_state=None):
    """Geometric mean of every image and another one.

    Parameters
    ----------
    X : array-like of shape (n, C, H, W)
        Images in pixel space: float in [0, 1], or uint8 read as [0, 1]. At least two images.
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
        If X has another shape or values outside [0, 1] or fewer than two images.

    See Also
    --------
    arithmetic_mean : Both images half transparent.

    Notes
    -----
    ``sqrt(x_i * x_j)`` with j drawn uniformly from the other images.

    References
    ----------
    Hendrycks, Mazeika, Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.outliers import geometric_mean
    >>> X = np.stack([np.zeros((3, 8, 8)), np.ones((3, 8, 8))])
    >>> np.unique(geometric_mean(X, random_state=0))
    array([0.], dtype=float32)
    """
    X = read_images(X, n_least=2)
    return np.sqrt(X * X[_partners(len(X), random_state)])


def _partners(n, random_state):
    steps = as_generator(random_state).integers(1, n, size=n)
    return (np.arange(n) + steps) % n
