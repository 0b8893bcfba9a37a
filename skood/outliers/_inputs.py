"""What every maker of outliers asks at its door: the source of draws, the size, the images."""

from numbers import Integral

import numpy as np


def as_generator(random_state):
    """Return the Generator that a `random_state` argument stands for.

    A Generator is used, and advanced, as it is; a RandomState is advanced by the draw of a seed.
    NumPy's global state is never read.
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(0, 2**32, size=4, dtype=np.uint32))
    if random_state is None or (isinstance(random_state, Integral) and random_state >= 0):
        return np.random.default_rng(random_state)
    raise ValueError(
        "random_state must be None, a non-negative int, a numpy.random.Generator or a "
        f"numpy.random.RandomState, got {random_state!r}."
    )


def check_size(n, shape, n_dims=None, smallest=1):
    """Return ``(n, *shape)`` as integers, or say what is wrong with it."""
    if not isinstance(n, Integral) or n < 1:
        raise ValueError(f"n must be a positive integer, got {n!r}.")
    sizes = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not sizes or not all(isinstance(size, Integral) and size >= 1 for size in sizes):
        raise ValueError(f"shape must be a tuple of positive integers, got {shape!r}.")
    if n_dims is not None and (len(sizes) != n_dims or min(sizes[1:]) < smallest):
        least = f", H and W at least {smallest}" if smallest > 1 else ""
        raise ValueError(f"shape must be (C, H, W) of one image{least}, got {shape!r}.")
    return (int(n), *(int(size) for size in sizes))


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
