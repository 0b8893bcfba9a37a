"""Procedural images: outliers with the statistics of pictures, made by formulas, not downloaded."""

import numpy as np

from .._random import as_generator
from ._canvas import in_blocks
from ._fractals import draw_fractals
from ._leaves import draw_leaves
from ._sizes import check_size
from ._spectra import draw_noise


def dead_leaves(n, shape=(3, 32, 32), random_state=None):
    """Images of opaque shapes that fall on top of each other, as leaves on the ground.

    Parameters
    ----------
    n : int
        Number of images.
    shape : tuple (C, H, W), default=(3, 32, 32)
        Shape of one image; any number of channels, H and W at least 4.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState, default=None
        Source of the draws; an int gives the same images every time.

    Returns
    -------
    ndarray of shape (n, C, H, W), uint8
        In pixel space, 0 to 255.

    Raises
    ------
    ValueError
        If `n`, `shape` or `random_state` is not as said above.

    See Also
    --------
    procedural : A mixture of this and the other kinds.

    Notes
    -----
    Up to 59 boxes, ellipses, rings and crosses, of sizes that follow a power law, with edges,
    occlusion, shading and stripes, over a ground; some images are warped. Contrast, colours, grain
    and the number and likeness of the shapes are drawn for every image.

    References
    ----------
    Lee, Mumford, Huang, "Occlusion Models for Natural Images", International Journal of Computer
    Vision, 2001.

    Baradad, Wulff, Wang, Isola, Torralba, "Learning to See by Looking at Noise", NeurIPS 2021.

    Examples
    --------
    >>> from skood.outliers import dead_leaves
    >>> X = dead_leaves(5, (3, 32, 32), random_state=0)
    >>> X.shape, X.dtype
    ((5, 3, 32, 32), dtype('uint8'))
    """
    return _draw(draw_leaves, n, shape, random_state)


def fractals(n, shape=(3, 32, 32), random_state=None):
    """Images of the attractors of random iterated function systems.

    Parameters
    ----------
    n : int
        Number of images.
    shape : tuple (C, H, W), default=(3, 32, 32)
        Shape of one image; any number of channels, H and W at least 4.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState, default=None
        Source of the draws; an int gives the same images every time.

    Returns
    -------
    ndarray of shape (n, C, H, W), uint8
        In pixel space, 0 to 255.

    Raises
    ------
    ValueError
        If `n`, `shape` or `random_state` is not as said above.

    See Also
    --------
    procedural : A mixture of this and the other kinds.

    Notes
    -----
    Two to six contracting affine maps, in some images followed by a sine, are applied in random
    order to a cloud of points (the chaos game). The logarithm of the points' density and the maps
    they went through give the colour. Some attractors are repeated around a centre.

    References
    ----------
    Barnsley, "Fractals Everywhere", 1988.

    Kataoka et al., "Pre-training without Natural Images", ACCV 2020.

    Examples
    --------
    >>> from skood.outliers import fractals
    >>> fractals(5, (1, 28, 28), random_state=0).shape
    (5, 1, 28, 28)
    """
    return _draw(draw_fractals, n, shape, random_state)


def colored_noise(n, shape=(3, 32, 32), random_state=None):
    """Images of noise whose amplitude falls with frequency, in random colours.

    Parameters
    ----------
    n : int
        Number of images.
    shape : tuple (C, H, W), default=(3, 32, 32)
        Shape of one image; any number of channels, H and W at least 4.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState, default=None
        Source of the draws; an int gives the same images every time.

    Returns
    -------
    ndarray of shape (n, C, H, W), uint8
        In pixel space, 0 to 255.

    Raises
    ------
    ValueError
        If `n`, `shape` or `random_state` is not as said above.

    See Also
    --------
    procedural : A mixture of this and the other kinds.
    gaussian : White noise, as published.

    Notes
    -----
    The amplitude spectrum is ``1 / f^a`` with a uniform on [0.5, 3] for every image (photographs
    have about 1), stretched in a random direction. Half of the images mix one field a channel; the
    others send one field through a palette, evenly or in waves, which gives contours as in wood and
    marble.

    References
    ----------
    Baradad, Wulff, Wang, Isola, Torralba, "Learning to See by Looking at Noise", NeurIPS 2021.

    Examples
    --------
    >>> from skood.outliers import colored_noise
    >>> colored_noise(5, (3, 32, 32), random_state=0).shape
    (5, 3, 32, 32)
    """
    return _draw(draw_noise, n, shape, random_state)


def procedural(n, shape=(3, 32, 32), random_state=None):
    """Dead leaves, fractals and coloured noise in equal parts, shuffled.

    What an image detector trains against when it is given no outliers.

    Parameters
    ----------
    n : int
        Number of images; a thousand of 32x32 take about a second.
    shape : tuple (C, H, W), default=(3, 32, 32)
        Shape of one image; any number of channels, H and W at least 4.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState, default=None
        Source of the draws; an int gives the same images every time.

    Returns
    -------
    ndarray of shape (n, C, H, W), uint8
        In pixel space, 0 to 255.

    Raises
    ------
    ValueError
        If `n`, `shape` or `random_state` is not as said above.

    See Also
    --------
    dead_leaves, fractals, colored_noise : The parts.
    synthetic_like : Outliers in the shape, dtype and range of given samples.

    Examples
    --------
    >>> from skood.outliers import procedural
    >>> X = procedural(9, (3, 32, 32), random_state=0)
    >>> X.shape, X.dtype
    ((9, 3, 32, 32), dtype('uint8'))
    """
    size, rng = check_size(n, shape, n_dims=3, smallest=4), as_generator(random_state)
    images, kinds = np.empty(size, np.uint8), rng.permutation(n + 2)[:n] % 3
    for kind, draw in enumerate((draw_leaves, draw_fractals, draw_noise)):
        mine = np.flatnonzero(kinds == kind)
        images[mine] = in_blocks(draw, (len(mine), *size[1:]), rng)
    return images


def _draw(draw, n, shape, random_state):
    size = check_size(n, shape, n_dims=3, smallest=4)
    return in_blocks(draw, size, as_generator(random_state))
