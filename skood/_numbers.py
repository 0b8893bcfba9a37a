"""Numbers at the door of functions, which have no parameter constraints as estimators have."""

import math
from numbers import Integral, Real


def check_number(name, value, lowest, strict):
    """Refuse what is no finite number of at least or, if strict, above `lowest`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}.")
    if not math.isfinite(value) or value < lowest or (strict and value == lowest):
        sign = "above" if strict else "at least"
        raise ValueError(f"{name} must be finite and {sign} {lowest}, got {value}.")


def check_integer(name, value, lowest):
    """Return an integer of at least `lowest` as an int, or say what is wrong with it."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}.")
    if value < lowest:
        raise ValueError(f"{name} must be at least {lowest}, got {value}.")
    return int(value)


def check_bounds(bounds):
    """Return the range of the data as a tuple, or say why it is none."""
    is_pair = isinstance(bounds, tuple | list) and len(bounds) == 2
    if not is_pair or not all(isinstance(b, Real) and not isinstance(b, bool) for b in bounds):
        raise TypeError(f"bounds must be a pair of numbers or None, got {bounds!r}.")
    if not bounds[0] < bounds[1]:
        raise ValueError(f"bounds must be (lowest, highest) with lowest < highest, got {bounds!r}.")
    return tuple(bounds)
