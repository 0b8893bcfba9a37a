"""Blur: out of focus, behind glass, in motion, while zooming, and Gaussian."""

import math

import numpy as np
from scipy import ndimage

from ._planes import blend, magnifier, pixel_scale, smooth


def gaussian_blur(X, rng, sigma):
    """Blur by a Gaussian."""
    return smooth(X, sigma * pixel_scale(X))


def zoom_blur(X, rng, stop):
    """Average the image with its magnifications by 1, 1.01, 1.02, ... up to about `stop`."""
    # `stop` itself is one at severities 1 and 2, by the rounding of np.arange, as in the release.
    factors = np.arange(1, stop, 0.01)
    rows, columns = (
        np.stack([np.eye(size), *(magnifier(size, factor) for factor in factors)])
        for size in X.shape[2:]
    )
    return blend(X, rows / len(rows), columns)


def defocus_blur(X, rng, radius, softness):
    """Spread every pixel over a disk, whose edge is softened by a Gaussian of `softness` pixels."""
    disk = _disk(radius * pixel_scale(X), softness)
    # A disk is no product of two vectors but the sum of a few: so many separable blurs.
    left, weights, right = np.linalg.svd(disk)
    terms = weights > 1e-6 * weights[0]
    rows = _convolutions(left.T[terms] * weights[terms, None], X.shape[2])
    return blend(X, rows, _convolutions(right[terms], X.shape[3]))


def _disk(radius, softness):
    width = 3 if radius <= 8 else 5
    reach = math.floor(radius) + width // 2
    across = np.arange(-reach, reach + 1)
    disk = (across[:, None] ** 2 + across**2 <= radius**2).astype(float)
    window = np.exp(-0.5 * ((np.arange(width) - width // 2) / softness) ** 2)
    for axis in (0, 1):
        disk = ndimage.correlate1d(disk, window / window.sum(), axis=axis, mode="constant")
    return disk / disk.sum()


def _convolutions(kernels, size):
    """Return the maps (K, size, size) that correlate an axis, mirrored at its ends, with kernels.

    The mirror stands in the middle of the outermost pixel.
    """
    unit = np.eye(size)
    return np.stack([ndimage.correlate1d(unit, each, axis=0, mode="mirror") for each in kernels])


def glass_blur(X, rng, sigma, reach, n_passes):
    """Blur, replace every pixel by one nearby, and blur again."""
    scale = pixel_scale(X)
    sigma, reach = sigma * scale, round(reach * scale)
    n, n_channels, height, width = X.shape
    draws = rng.random((n, n_passes, 2, height, width), dtype=np.float32)
    steps = np.floor(2 * reach * draws).astype(np.intp) - reach
    # The authors mean to swap two pixels, but both of theirs are views of the image, so the second
    # is copied onto the first. A pixel comes from above or from the left, where no pixel has been
    # replaced yet in this pass: all can be replaced at once.
    sources = np.arange(height * width).reshape(1, 1, height, width).repeat(n, 0)
    sources = sources.repeat(n_passes, 1)
    inner = np.s_[:, :, reach + 1 : height - reach + 1, reach + 1 : width - reach + 1]
    sources[inner] += (steps[:, :, 0] * width + steps[:, :, 1])[inner]
    planes = smooth(X, sigma).reshape(n, n_channels, -1)
    for i in range(n_passes):
        planes = np.take_along_axis(planes, sources[:, i].reshape(n, 1, -1), axis=2)
    return smooth(planes.reshape(X.shape), sigma)


def motion_blur(X, rng, radius, sigma):
    """Draw every pixel out to one side, at an angle of up to 45 degrees from the horizontal."""
    scale = pixel_scale(X)
    return streak(X, radius * scale, sigma * scale, rng.uniform(-45, 45, len(X)))


def streak(X, radius, sigma, angles):
    """Average each pixel with those on one side of it, at angles (n,) in degrees.

    The weights are half a Gaussian over ``2 * ceil(radius) + 1`` whole pixels, the pixels those
    nearest to the line; the outermost pixels go on beyond the edges.
    """
    steps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-0.5 * (steps / sigma) ** 2)
    steps = steps[weights > 1e-6 * weights.sum()]  # the others could not be seen
    weights = weights[: len(steps)] / weights.sum()
    angles = np.deg2rad(angles)[:, None]
    down, right = (
        np.ceil(steps * direction - 0.5).astype(np.intp)
        for direction in (np.sin(angles), np.cos(angles))
    )
    reach = len(steps)
    padded = np.pad(X, [(0, 0), (0, 0), (reach, reach), (reach, reach)], mode="edge")
    moved = np.lib.stride_tricks.sliding_window_view(padded, X.shape[2:], axis=(2, 3))
    images, blurred = np.arange(len(X)), np.zeros_like(X)
    for i, weight in enumerate(weights):
        taken = moved[images, :, reach + down[:, i], reach + right[:, i]]
        taken *= np.float32(weight)
        blurred += taken
    return blurred
