"""Linear maps of the planes of images, which most corruptions are made of."""

import math

import numpy as np
from scipy import ndimage

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of ITU-R BT.601, as in JPEG


def pixel_scale(X):
    """Return how much longer than at 32x32 a length in pixels is: 1 for smaller images.

    The corruptions of small images are not weakened: a blur narrower than a pixel would be none.
    """
    return max(1.0, min(X.shape[2:]) / 32)


def luma(X):
    """Return the grey version (n, 1, H, W) of images with one or three channels."""
    return X if X.shape[1] == 1 else np.tensordot(X, LUMA, (1, 0))[:, None]


def in_channels(colours, n_channels):
    """Return colours (..., 3) as (..., C): unchanged for 3 channels, their luma for 1."""
    colours = np.asarray(colours, np.float32)
    return colours if n_channels == 3 else (colours @ LUMA)[..., None]


def blend(X, rows, columns):
    """Return the sum over k of ``rows[k] @ plane @ columns[k].T`` for every plane of X.

    X has shape (..., H, W), rows (K, H, H) and columns (K, W, W). Both products run over all k at
    once: the rows of the K maps are interleaved, so that what the first product writes as
    (H K, W) is read by the second as (H, K W).
    """
    n_terms, height, width = len(rows), rows.shape[1], columns.shape[1]
    left = rows.swapaxes(0, 1).reshape(height * n_terms, height).astype(np.float32)
    right = columns.swapaxes(1, 2).reshape(n_terms * width, width).astype(np.float32)
    return ((left @ X).reshape(-1, n_terms * width) @ right).reshape(X.shape)


def smooth(X, sigma, mode="nearest", truncate=4.0):
    """Blur every plane by a Gaussian of standard deviation `sigma`, in pixels."""
    rows, columns = (
        ndimage.gaussian_filter1d(np.eye(size), sigma, axis=0, mode=mode, truncate=truncate)
        for size in X.shape[-2:]
    )
    return blend(X, rows[None], columns[None])


def magnifier(size, factor):
    """Return the map (size, size) that magnifies the middle of an axis, interpolating linearly.

    The middle ``ceil(size / factor)`` pixels are spread over their number times `factor`, first on
    first and last on last pixel, and of these the middle `size` are kept.
    """
    part = math.ceil(size / factor)
    whole = round(part * factor)
    steps = np.arange(size) + (whole - size) // 2
    places = (size - part) // 2 + steps * (part - 1) / max(whole - 1, 1)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(size)))
