"""The one function of this package."""

from numbers import Integral

import numpy as np

from .._images import read_images
from .._random import as_generator
from .._spelling import did_you_mean
from ._severities import CORRUPTIONS, OF_COLOURS, ROUNDED, SEVERITIES, TABLE

BLOCK_VALUES = 2**19  # corrupted at a time, 2 MB in float32: temporaries stay in a core's cache
SMALLEST = 4  # pixels; below, some of the corruptions are not defined


def corrupt(X, name, severity, *, random_state=None):
    """Damage images in one of nineteen common ways: noise, blur, weather, digital artefacts.

    Parameters
    ----------
    X : array-like of shape (n, C, H, W)
        Images in pixel space: uint8, or float in [0, 1]; H and W at least 4. Not modified.
        Any number of channels, but snow, frost, brightness, jpeg_compression, spatter and saturate
        need 3 (red, green, blue) or 1 (grey).
    name : str
        One of ``skood.corruptions.CORRUPTIONS``.
    severity : int
        One of ``skood.corruptions.SEVERITIES``: 1 to 5.
    random_state : None, int, numpy.random.Generator or numpy.random.RandomState, default=None
        Source of the draws; an int gives the same result every time. Contrast, brightness,
        saturate, pixelate, jpeg_compression and the blurs by a disk, by a Gaussian and by zooming
        draw nothing.

    Returns
    -------
    ndarray of X's shape and dtype
        In pixel space: 0 to 255 for uint8, else [0, 1]. Computed in single precision.

    Raises
    ------
    TypeError
        If X is neither uint8 nor floating point, or `severity` is not an integer.
    ValueError
        If X has another shape or values outside [0, 1], or `name`, `severity` or `random_state` is
        not as said above.
    ImportError
        If `name` is ``"jpeg_compression"`` and Pillow is not installed.

    See Also
    --------
    skood.attacks.pgd_linf : The smallest changes that do the most harm.
    skood.outliers.procedural : Images that were never photographs.

    Notes
    -----
    The 95 combinations are those of CIFAR-10-C, which the robust evaluation of ATOM applies to
    outliers. They take five to ten seconds for a thousand images of 32x32 on one core; JPEG is
    encoded image by image, all else in batches. Draws are made image after image: with a Generator,
    two halves of a set in turn give what the whole set gives, up to single precision.

    uint8 results are cut off to whole levels where the released files are, and rounded where theirs
    come from Pillow or ImageMagick; float results are not rounded.

    Grey images get the luma of what is coloured: frost, water and mud. Saturate leaves them as they
    are, as one channel holds the value of HSV alone.

    *Other sizes.* The numbers are those for 32x32. Elastic transform, pixelate, zoom, fog and frost
    are relative to the size of the image. The lengths in pixels of the others (blur, glass, motion,
    snow, spatter) are multiplied by ``max(1, min(H, W) / 32)``: small images get them unchanged, as
    a blur narrower than a pixel would be none. Zoom and pixelate deal in whole pixels: at 8x8, zoom
    blur does nothing at severity 1.

    *More severe is not always further away.* Elastic transform moves the plane less and the pixels
    more; saturate takes saturation away at 1 and 2 and adds it at 3 to 5; spatter is water at 1 to
    3 and mud at 4 and 5; frost covers more but adds less light from 4 on; glass blur passes once
    at 1 to 3 and twice at 4 and 5, and motion blur is hardly longer at 4 than at 3.

    *Differences from the released code*, beyond the draws:

    - frost: photographs of frost are not shipped. The texture is noise with their colours, contrast
      and decay of amplitudes with frequency; needles of ice are missing.
    - motion_blur and snow: ImageMagick's motion blur is restated; flakes are not rounded to 256
      levels before it.
    - glass_blur: pixels are replaced by neighbours, as in the released code, not swapped as it
      means to; no rounding in between. On larger images a pass replaces all pixels at once.
    - spatter: the edges are Canny's as in OpenCV; distances from them are exact where OpenCV
      approximates; no rounding in between.
    - pixelate: not rounded between rows and columns, at most one level.
    - elastic_transform: interpolates at exact places, where OpenCV takes the nearest 1/32 pixel.
    - gaussian, impulse, shot and speckle noise, contrast, brightness, saturate, fog and the other
      blurs are the same up to rounding errors.

    References
    ----------
    Hendrycks, Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
    Perturbations", ICLR 2019.

    Chen, Li, Wu, Liang, Jha, "ATOM: Robustifying Out-of-distribution Detection Using Outlier
    Mining", ECML PKDD 2021.

    Examples
    --------
    >>> from skood.corruptions import CORRUPTIONS, corrupt
    >>> from skood.outliers import dead_leaves
    >>> X = dead_leaves(2, (3, 32, 32), random_state=0)
    >>> for name in CORRUPTIONS[:3]:
    ...     Y = corrupt(X, name, severity=5, random_state=0)
    ...     print(name, Y.shape, Y.dtype, abs(Y - X.astype(float)).mean().round())
    gaussian_noise (2, 3, 32, 32) uint8 20.0
    shot_noise (2, 3, 32, 32) uint8 19.0
    impulse_noise (2, 3, 32, 32) uint8 9.0
    """
    X = np.asarray(X)
    make, parameters = _look_up(name, severity)
    # Four dimensions and a range to keep; whole levels are read block by block, to save memory.
    images = X if X.dtype == np.uint8 and X.ndim == 4 and X.size else read_images(X)
    _check_shape(images, name)
    rng = as_generator(random_state)
    corrupted = np.empty(X.shape, X.dtype)
    size = max(1, BLOCK_VALUES // X[0].size)
    for start in range(0, len(X), size):
        rows = slice(start, start + size)
        block = make(read_images(images[rows]), rng, *parameters)
        corrupted[rows] = _as_given(block, X.dtype, name)
    return corrupted


def _as_given(block, dtype, name):
    """Clip to [0, 1], and for uint8 go to whole levels as the released files do."""
    block = np.clip(block, 0, 1)
    if dtype != np.uint8:
        return block
    # A thousandth of a level: what is whole but for the rounding errors stays the whole it is.
    return block * 255 + (0.5 if name in ROUNDED else 1e-3)


def _look_up(name, severity):
    """Return the function and its parameters, or say what there is."""
    if name not in CORRUPTIONS:
        hint = did_you_mean(str(name), CORRUPTIONS)
        raise ValueError(f"name must be one of {', '.join(CORRUPTIONS)}, got {name!r}.{hint}")
    if not isinstance(severity, Integral) or isinstance(severity, bool):
        raise TypeError(f"severity must be an integer from 1 to 5, got {severity!r}.")
    if severity not in SEVERITIES:
        raise ValueError(f"severity must be an integer from 1 to 5, got {severity!r}.")
    make, parameters = TABLE[name]
    return make, parameters[severity - 1]


def _check_shape(X, name):
    if min(X.shape[2:]) < SMALLEST:
        raise ValueError(f"X must be images of at least {SMALLEST}x{SMALLEST}, got {X.shape}.")
    if name in OF_COLOURS and X.shape[1] not in (1, 3):
        raise ValueError(
            f"X must have 1 (grey) or 3 (red, green, blue) channels for {name!r}, got shape "
            f"{X.shape}. For other channels choose among "
            f"{', '.join(each for each in CORRUPTIONS if each not in OF_COLOURS)}."
        )
