"""Noise sets of the Outlier Exposure paper: samples that look like nothing.

Their values are those of the **network's input**: the paper feeds them without the normalisation
that real images go through. ``value_range=(-1, 1)`` is the published form for CIFAR (inputs roughly
in [-1, 1]), ``(0, 1)`` the one for SVHN and MNIST (pixel values).
"""

import numpy as np
from scipy import ndimage

from .._random import as_generator
from ._sizes import check_size


def gaussian(n, shape, *, std=0.5, value_range=(-1, 1), random_state=None):
    """Independent normal values, clipped to the range.

    Parameters
    ----------
    n : int
        Number of samples.
    shape : tuple of int or int
        Shape of one sample: ``(C, H, W)`` for images, ``d`` or ``(d,)`` for tables.
    std : float, default=0.5
        Standard deviation before clipping, in units of the values. The paper uses 0.5 in both
        ranges.
    value_range : tuple (low, high), default=(-1, 1)
        In network input space: (-1, 1) as published for CIFAR, (0, 1) for SVHN and MNIST.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState, default=None
        Source of the draws; an int gives the same samples every time.

    Returns
    -------
    ndarray of shape (n, *shape), float32
        Values in `value_range`.

    Raises
    ------
    ValueError
        If a parameter is outside what is said above.

    See Also
    --------
    uniform : Flat instead of bell-shaped.
    blob : Noise with spatial structure.

    Notes
    -----
    ``clip((low + high) / 2 + std * z, low, high)`` with z standard normal.

    References
    ----------
    Hendrycks, Mazeika, Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.

    Examples
    --------
    >>> from skood.outliers import gaussian
    >>> X = gaussian(10, (3, 32, 32), random_state=0)
    >>> X.shape, float(abs(X).max())
    ((10, 3, 32, 32), 1.0)
    """
    size, (low, high) = check_size(n, shape), _check_range(value_range)
    if not std > 0:
        raise ValueError(f"std must be positive, got {std!r}.")
    z = as_generator(random_state).standard_normal(size, dtype=np.float32)
    return np.clip((low + high) / 2 + std * z, low, high).astype(np.float32, copy=False)


def rademacher(n, shape, *, value_range=(-1, 1), random_state=None):
    """Every value is one of the two ends of the range, each with probability 1/2.

    Parameters
    ----------
    n : int
        Number of samples.
    shape : tuple of int or int
        Shape of one sample: ``(C, H, W)`` for images, ``d`` or ``(d,)`` for tables.
    value_range : tuple (low, high), default=(-1, 1)
        In network input space: (-1, 1) as published for CIFAR; (0, 1) is the set that the paper
        calls Bernoulli, for SVHN and MNIST.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState, default=None
        Source of the draws; an int gives the same samples every time.

    Returns
    -------
    ndarray of shape (n, *shape), float32
        Values in {low, high}.

    Raises
    ------
    ValueError
        If a parameter is outside what is said above.

    See Also
    --------
    gaussian, uniform : Noise of intermediate values.

    Notes
    -----
    ``low + (high - low) * b`` with b Bernoulli(1/2).

    References
    ----------
    Hendrycks, Mazeika, Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.

    Examples
    --------
    >>> from skood.outliers import rademacher
    >>> rademacher(2, 4, random_state=0)
    array([[-1.,  1.,  1.,  1.],
           [ 1.,  1., -1.,  1.]], dtype=float32)
    """
    size, value_range = check_size(n, shape), _check_range(value_range)
    bits = as_generator(random_state).integers(0, 2, size=size, dtype=np.uint8)
    return _stretch(bits, value_range)


def uniform(n, shape, *, value_range=(-1, 1), random_state=None):
    """Independent values, uniform over the range.

    Parameters
    ----------
    n : int
        Number of samples.
    shape : tuple of int or int
        Shape of one sample: ``(C, H, W)`` for images, ``d`` or ``(d,)`` for tables.
    value_range : tuple (low, high), default=(-1, 1)
        In network input space: (-1, 1) as published for CIFAR, (0, 1) for SVHN and MNIST.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState, default=None
        Source of the draws; an int gives the same samples every time.

    Returns
    -------
    ndarray of shape (n, *shape), float32
        Values in `value_range`.

    Raises
    ------
    ValueError
        If a parameter is outside what is said above.

    See Also
    --------
    gaussian : Bell-shaped instead of flat.
    skood.outliers.permute_columns : For tables, noise that keeps every column's distribution.

    Notes
    -----
    ``low + (high - low) * u`` with u uniform on [0, 1).

    References
    ----------
    Hendrycks, Mazeika, Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.

    Examples
    --------
    >>> from skood.outliers import uniform
    >>> uniform(1, 3, value_range=(0, 1), random_state=0).round(2)
    array([[0.85, 0.64, 0.51]], dtype=float32)
    """
    size, value_range = check_size(n, shape), _check_range(value_range)
    u = as_generator(random_state).random(size, dtype=np.float32)
    return _stretch(u, value_range)


def blob(n, shape, *, sigma=1.5, value_range=(-1, 1), random_state=None):
    """Smooth-edged, amorphous shapes on the lower end of the range.

    Parameters
    ----------
    n : int
        Number of images.
    shape : tuple (C, H, W)
        Shape of one image.
    sigma : float, default=1.5
        Width of the blur, in pixels. The paper uses 1.5 at 32x32 and 2 at 64x64.
    value_range : tuple (low, high), default=(-1, 1)
        In network input space: (-1, 1) as published for CIFAR, (0, 1) for SVHN and MNIST.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState, default=None
        Source of the draws; an int gives the same samples every time.

    Returns
    -------
    ndarray of shape (n, C, H, W), float32
        Values low, or from three quarters of the range up to high.

    Raises
    ------
    ValueError
        If a parameter is outside what is said above.

    See Also
    --------
    rademacher : The same kind of bits without the blur.

    Notes
    -----
    Bits that are 1 with probability 0.7 are blurred by a Gaussian over height, width **and
    channels**, as in the released code (edges repeated, cut at 4 sigma); what stays below 0.75
    becomes 0, the rest is kept, and ``low + (high - low) * b`` puts it into the range.

    References
    ----------
    Hendrycks, Mazeika, Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.

    Examples
    --------
    >>> from skood.outliers import blob
    >>> X = blob(4, (3, 32, 32), value_range=(0, 1), random_state=0)
    >>> X.shape, float(X.min()), float(X[X > 0].min()) >= 0.75
    ((4, 3, 32, 32), 0.0, True)
    """
    size, value_range = check_size(n, shape, n_dims=3), _check_range(value_range)
    if not sigma > 0:
        raise ValueError(f"sigma must be positive, got {sigma!r}.")
    bits = as_generator(random_state).random(size, dtype=np.float32) < 0.7
    blurred = ndimage.gaussian_filter(
        bits.astype(np.float32), (0, sigma, sigma, sigma), mode="nearest", truncate=4
    )
    blurred[blurred < 0.75] = 0
    return _stretch(blurred, value_range)


def _check_range(value_range):
    if np.shape(value_range) != (2,) or not -np.inf < value_range[0] < value_range[1] < np.inf:
        raise ValueError(
            f"value_range must be two finite numbers (low, high), low < high, got {value_range!r}."
        )
    return float(value_range[0]), float(value_range[1])


def _stretch(unit, value_range):
    low, high = value_range
    return low + (high - low) * unit.astype(np.float32, copy=False)
