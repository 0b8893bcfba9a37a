"""Spatter: drops of water or flecks of mud on the lens."""

import numpy as np
from scipy import ndimage

from ._planes import in_channels, pixel_scale, smooth

COLOURS = {"water": (175 / 255, 238 / 255, 238 / 255), "mud": (63 / 255, 42 / 255, 20 / 255)}
EMBOSS = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float32)  # light from the upper left


def spatter(X, rng, mean, scale, sigma, least, amount, liquid):
    """Put drops where smooth noise reaches `least`: bright water, or mud that covers the image."""
    stretch = pixel_scale(X)
    noise = rng.standard_normal((len(X), 1, *X.shape[2:]), dtype=np.float32)
    # A wider blur averages over more draws: they are scaled so that drops stay as frequent.
    depth = smooth(mean + scale * stretch * noise, sigma * stretch)
    depth[depth < least] = 0
    colour = in_channels(COLOURS[liquid], X.shape[1])[:, None, None]
    if liquid == "water":
        return X + amount * _relief(depth[:, 0])[:, None] * colour
    cover = smooth((depth > least).astype(np.float32), amount * stretch)
    cover[cover < 0.8] = 0
    return X * (1 - cover) + cover * colour


def _relief(depth):
    """Return how much light drops (n, H, W) reflect, at most 1: lit from one side, as a relief."""
    distance = ndimage.uniform_filter(_distance_to_rim(depth), (1, 3, 3), mode="mirror")
    lit = ndimage.correlate(_equalized(distance), EMBOSS[None], mode="mirror").clip(0, 1)
    light = depth * ndimage.uniform_filter(lit, (1, 3, 3), mode="mirror")
    return light / np.maximum(light.max(axis=(1, 2), keepdims=True), 1e-6)


def _distance_to_rim(depth, farthest=20.0):
    """Return the distance of every pixel to the rim of the nearest drop, in pixels."""
    # Images are kept apart by a third axis on which they are too far from each other.
    distance = ndimage.distance_transform_edt(~_rims(depth), sampling=(2 * farthest, 1, 1))
    return np.minimum(distance, farthest).astype(np.float32)


def _rims(depth, weak=50, strong=150):
    """Find the edges of planes (n, H, W) on [0, 1] by Canny's method, with OpenCV's conventions.

    An edge is a chain of pixels that are steeper than both neighbours up and down the slope, all
    above `weak` and one of them above `strong`, in units of 1/255.
    """
    (down, right), height, width = _slopes(np.floor(255 * depth)), *depth.shape[1:]
    steepness = np.abs(down) + np.abs(right)
    padded = np.pad(steepness, [(0, 0), (1, 1), (1, 1)])

    def beside(i, j):
        return padded[:, 1 + i : 1 + i + height, 1 + j : 1 + j + width]

    eighth = np.tan(np.pi / 8)  # the direction of the slope is one of eight
    peaks = np.select(
        [np.abs(down) < eighth * np.abs(right), np.abs(right) < eighth * np.abs(down),
         (down < 0) != (right < 0)],
        [(steepness > beside(0, -1)) & (steepness >= beside(0, 1)),
         (steepness > beside(-1, 0)) & (steepness >= beside(1, 0)),
         (steepness > beside(-1, 1)) & (steepness > beside(1, -1))],
        (steepness > beside(-1, -1)) & (steepness > beside(1, 1)),
    )  # fmt: skip
    within_an_image = np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))])
    chains, n_chains = ndimage.label(peaks & (steepness > weak), within_an_image)
    kept = np.zeros(n_chains + 1, bool)
    kept[chains[steepness > strong]] = True
    kept[0] = False
    return kept[chains]


def _slopes(levels):
    """Return the slopes of planes (n, H, W) downwards and to the right, by Sobel's filter."""
    for axis in (1, 2):
        smoothed = ndimage.correlate1d(levels, [1, 2, 1], axis=3 - axis, mode="nearest")
        yield ndimage.correlate1d(smoothed, [-1, 0, 1], axis=axis, mode="nearest")


def _equalized(distance):
    """Spread the whole parts of (n, H, W) evenly over [0, 1], for each image: its histogram."""
    n, size = len(distance), distance[0].size
    levels = (distance + 1e-3).astype(np.intp)  # a mean of whole numbers may round below them
    n_levels = levels.max() + 1
    levels += n_levels * np.arange(n)[:, None, None]
    share = np.bincount(levels.ravel(), minlength=n * n_levels).reshape(n, n_levels)
    upto = share.cumsum(axis=1)
    lowest = np.where(upto == 0, size, upto).min(axis=1, keepdims=True)
    spread = (upto - lowest) / np.maximum(size - lowest, 1)
    return spread.astype(np.float32).ravel()[levels]
