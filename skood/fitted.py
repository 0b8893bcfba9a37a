"""What every fit leaves behind: what is asked of a file before a detector believes it."""

import math
import reprlib
from numbers import Integral, Real

import numpy as np

# A row of more is none that a network here is run on by the sixteen, and a file must not make one
# fill the memory. Of larger rows than the second a detector is not tried.
_LARGEST_ROW = 2**24
_LARGEST_TRIED = 2**20
_LARGEST_TABLE = 2**20  # columns, unless the file itself holds as many numbers


def check_attributes(detector, always, n_numbers):
    """Refuse fitted attributes that are missing, or that no fit sets so.

    Parameters
    ----------
    detector : estimator
        With all that was read for it, except networks and estimators.
    always : tuple of str
        The attributes that every fit sets, besides these.
    n_numbers : int
        That the file holds.

    Raises
    ------
    ValueError
        If one is missing, is of another kind, or contradicts another.
    """
    found = vars(detector)
    missing = [name for name in always if name not in found]
    if missing:
        raise ValueError(f"the file lacks {', '.join(missing)}, which every fit sets.")
    for name, is_right in _KINDS.items():
        if name in found and not is_right(found[name]):
            value = reprlib.repr(found[name])
            raise ValueError(f"the file sets {name} to {value}, as no fit does.")
    _check_agreement(found)
    if "input_shape_" in found:
        _check_size(found["input_shape_"], n_numbers)


def _check_agreement(found):
    shape, n = found.get("input_shape_"), found.get("n_features_in_")
    if shape is not None and n != shape[0]:
        raise ValueError(f"the file says n_features_in_={n!r}, but input_shape_={shape!r}.")
    names = found.get("feature_names_in_")
    if names is not None and len(names) != n:
        raise ValueError(f"the file names {len(names)} columns, but says n_features_in_={n!r}.")


def _check_size(shape, n_numbers):
    size, largest = math.prod(shape), _LARGEST_TABLE if len(shape) == 1 else _LARGEST_ROW
    if size > max(largest, n_numbers):
        raise ValueError(
            f"the file says input_shape_={shape!r}, {size} numbers a row: more than {largest}, and "
            "than the file holds."
        )


def rows_to_try(shape, dtype):
    """Return two rows of a shape on which to try a detector, or None if they are very large."""
    if math.prod(shape) > _LARGEST_TRIED:
        return None
    if dtype == "int64":
        return np.zeros((2, *shape), np.int64)  # the one token that every vocabulary has
    # Not zeros, by whose length or spread networks may divide.
    return np.random.default_rng(0).random((2, *shape)).astype(dtype)


# ---- kinds


def is_count(value):
    """Whether a value is an integer of at least 0, and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= 0


def is_number(value):
    """Whether a value is a real number, within what float64 holds, infinite ones included."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    return isinstance(value, float) or abs(value) < 2**1023


def _is_shape(value):
    return isinstance(value, tuple) and len(value) > 0 and all(is_count(n) and n for n in value)


def _are_names(value):
    return _is_array(value) and all(isinstance(name, str) for name in value)


def _is_array(value):
    return isinstance(value, np.ndarray) and value.ndim == 1


def _are_epochs(value):
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _is_range(value):
    return isinstance(value, tuple) and len(value) == 2 and all(map(is_number, value))


_KINDS = {
    "n_features_in_": is_count,
    "input_shape_": _is_shape,
    "feature_names_in_": _are_names,
    "classes_": lambda value: value is None or (_is_array(value) and len(value) > 1),
    "history_": _are_epochs,
    "n_iter_": is_count,
    "offset_": lambda value: is_number(value) or (_is_array(value) and value.dtype.kind == "f"),
    "_image_range": lambda value: value is None or _is_range(value),
}
