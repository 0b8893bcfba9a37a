"""Images in pixel space: how they are read at the door, and how they are made coarser."""

import numpy as np


def read_images(X, n_channels=None, n_least=1):
    """Return images as float32 in [0, 1], or say why they are not in pixel space."""
    X = np.asarray(X)
    if X.ndim != 4 or 0 in X.shape or n_channels not in (None, X.shape[1]) or len(X) < n_least:
        raise ValueError(
            f"X must be at least {n_least} image(s) of shape (n, {n_channels or 'C'}, H, W), got "
            f"{X.shape}."
        )
    if X.dtype == np.uint8:
        return X.astype(np.float32) / np.float32(255)
    if X.dtype.kind != "f":
        raise TypeError(f"X must be uint8 or floating point images, got dtype {X.dtype}.")
    low, high = X.min(), X.max()
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"X must be in pixel space [0, 1], got values in [{low}, {high}]. Undo the "
            "normalisation, or give uint8 images."
        )
    return X.astype(np.float32, copy=False)


def boxes(size, n_boxes):
    """Return what shrinks an axis to `n_boxes` pixels of equal width, and what enlarges it again.

    Parameters
    ----------
    size : int
        Pixels of the axis.
    n_boxes : int
        In [1, size].

    Returns
    -------
    means : ndarray of shape (n_boxes, size), float32
        Map to the mean, in each box, of the pixels whose centres lie in it.
    box : ndarray of int of shape (size,)
        Which box each pixel takes its value from: ``means[box]`` shrinks and enlarges at once.
    """
    # Twice the pixel centres in units of the boxes, as exact integer ratios: a centre on the border
    # of two boxes belongs to the left one when shrinking, to the right one when growing.
    centre = (2 * np.arange(size) + 1) * n_boxes
    last, box = -(-centre // (2 * size)) - 1, centre // (2 * size)
    inside = (last == np.arange(n_boxes)[:, None]).astype(np.float32)
    return inside / inside.sum(axis=1, keepdims=True), box
