"""How many outliers of which shape every maker of them is asked for."""

from numbers import Integral


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
