"""Samples at the door: their dtype, shape, range and names, whatever container they come in."""

import math
import warnings

import numpy as np
import torch
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data
from skorch.helper import SliceDataset
from torch.utils.data import Dataset

from .containers import check_container
from .engine.inputs import is_mapped

# The first of each is what other dtypes are converted to; the others are kept as they are.
_FLOATS = [np.float32, np.float64, np.float16, np.uint8]
_TOKENS = [np.int64, np.int32, np.int16, np.uint8]

_N_LOOKED_AT = 1000  # rows from which the scale of columns is read
_SLACK = 0.5  # beyond [0, 1], for noise and for what resizing overshoots
_NO_UNIT = 8.0  # no noise on images in [0, 1] comes up to here, but 0 to 255 does
_MOST_UNEQUAL = 100  # times the median of the columns' standard deviations
_CONSTANT = 1e-6  # times the largest value of X: a column's range that is but rounding errors
_FARTHEST = 10  # times the range of a column of X that the outliers' median may lie outside it


def check_samples(detector, X, *, name="X", reset=False, min_samples=1):
    """Check an array of samples, copying it only where its dtype has to change.

    Parameters
    ----------
    detector : estimator
        Remembers (``reset=True``) or holds the expected number of features and ``input_shape_``.
    X : array-like of shape (n, *input_shape)
    name : str
        What the messages call it.

    Returns
    -------
    ndarray of shape (n, *input_shape)
    """
    X = as_array(X, name)
    shape = tuple(X.shape)
    if not reset and len(shape) > 1:
        is_table = max(len(shape) - 1, len(detector.input_shape_)) == 1
        if name != "X" or not is_table:  # of tables X, scikit-learn says it
            check_shape(shape[1:], detector.input_shape_, name)
    check_kind(X, name, tokens=detector.dtype == "int64")
    with np.errstate(over="ignore", invalid="ignore"):  # of what it then refuses as infinite
        checked = _as_numbers(detector, X, name, min_samples)
    # Names and number of features; only of frames is the original asked, for its names.
    original = X if hasattr(X, "columns") else checked
    try:
        validate_data(detector, original, reset=reset, skip_check_array=True)
    except ValueError as error:
        if name == "X":
            raise
        raise ValueError(f"{name} must have the columns of X, in their order. {error}") from error
    if reset:
        detector.input_shape_ = checked.shape[1:]
        detector._image_range = _range_of(checked)
    check_range(detector, checked, name)
    return checked


def _as_numbers(detector, X, name, min_samples):
    try:
        return check_array(
            X, dtype=_dtypes(detector, X, name), allow_nd=True, ensure_min_samples=min_samples,
            estimator=detector, input_name=name,
        )
    except ValueError as error:
        if "could not convert string" not in str(error):
            raise
        raise ValueError(
            f"{name} holds text, but must hold numbers ({error}). A pipeline makes numbers of it: "
            "docs/searches.md, 'A table of numbers and names'."
        ) from error


def _dtypes(detector, X, name):
    """Return the dtypes that are kept, of which others are converted to the first."""
    if name == "X_aux" and is_mapped(X) and X.dtype.kind in "biuf" and X.dtype.itemsize <= 8:
        return None  # to convert it now would be to load it: rows are when they are read
    return _TOKENS if detector.dtype == "int64" else _FLOATS


def _are_pixels(X):
    return X.ndim == 4 and X.dtype == np.uint8


def _range_of(X):
    """Return the range that images are read in, or None for rows that are no images."""
    if X.ndim != 4:
        return None
    if _are_pixels(X):
        return 0.0, 1.0
    part = X[:: max(1, len(X) // _N_LOOKED_AT)]
    return float(part.min()), float(part.max())


def _in_unit_range(low, high):
    return low > -_SLACK and high < 1 + _SLACK


def check_range(detector, X, name):
    """Refuse images of 0 to 255 beside ones of another range; as 8-bit, they mean [0, 1]."""
    fitted, came = detector._image_range, (0.0, 1.0)
    if fitted is None or X.ndim != 4 or not len(X):  # tables, beside which images are refused
        return
    if not _are_pixels(X):
        came = float(X.min()), float(X.max())
    if _in_unit_range(*fitted) and came[1] > _NO_UNIT:
        raise ValueError(
            f"the detector is fitted on images in [0, 1], as which 8-bit ones are read, but {name} "
            f"holds floats from {came[0]:.3g} to {came[1]:.3g}: pass uint8, or values scaled to "
            "[0, 1]."
        )
    if _are_pixels(X) and not _in_unit_range(*fitted):
        raise ValueError(
            f"the detector is fitted on images from {fitted[0]:.3g} to {fitted[1]:.3g}, but {name} "
            "holds 8-bit ones, which are read as [0, 1]: convert them as X was."
        )


def as_array(X, name="X"):
    """Give tensors, lists and SliceDatasets their own dtype as arrays; leave the rest."""
    check_container(X, name)
    if torch.is_tensor(X):
        return _to_numpy(X)
    if hasattr(X, "shape") and not isinstance(X, SliceDataset):
        return X
    if isinstance(X, SliceDataset):
        check_has_rows(X, name)
    try:  # check_array would take the values of a list for floats: 8-bit images are to stay 8-bit
        return np.asarray(X)
    except (ValueError, IndexError) as error:  # the second where a SliceDataset's items lack one
        raise ValueError(
            f"{name} must be an array, or what makes one: rows of one shape. Got a "
            f"{type(X).__name__} ({error})."
        ) from error


def check_has_rows(X, name):
    """Refuse a SliceDataset without rows, which fails where its first is asked for its shape."""
    if not len(X):
        raise ValueError(f"{name} is a SliceDataset without rows: give at least one.")


def numeric_rows(X, name):
    """Return rows that no detector has to know as an array of numbers, frames too."""
    X = np.asarray(X) if hasattr(X, "columns") else as_array(X, name)
    if X.ndim < 2 or X.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must hold numbers of shape (n, d) or (n, C, H, W), got {X.dtype} of shape "
            f"{X.shape}."
        )
    return X


def check_dataset(source, name):
    """Return a Dataset that can be asked for its items, or say that it cannot."""
    # Every Dataset inherits a __getitem__, which says that there is none.
    can_be_asked = type(source).__getitem__ is not Dataset.__getitem__
    if not hasattr(source, "__len__") or not can_be_asked:
        raise TypeError(
            f"{name} must be a map-style Dataset (with __len__ and __getitem__), "
            f"got {type(source).__name__}."
        )
    return source


def check_kind(X, name, tokens):
    """Refuse integers that would be misread: wide ones as images, floats as tokens."""
    if hasattr(X, "columns") and tokens:
        X = np.asarray(X)
    dtype = getattr(X, "dtype", None)
    kind = getattr(dtype, "kind", None)
    if tokens and kind == "O":
        dtype = np.array(X.tolist()).dtype
        kind = dtype.kind
    if tokens and kind == "f":
        raise TypeError(f"dtype='int64' needs {name} to hold integers, got {dtype}.")
    if not tokens and len(X.shape) == 4 and kind in ("i", "u") and dtype != np.uint8:
        raise TypeError(
            f"{name} holds images of {dtype}; pass uint8, which is read as [0, 1], or floats."
        )


def _to_numpy(tensor):
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()


def check_shape(shape, expected, name, *, is_array=True):
    """Refuse samples of another shape than the training samples', and tell arrays the way."""
    shape, expected = tuple(shape), tuple(expected)
    if shape != expected:
        remedy = _remedy(shape, expected, name) if is_array else ""
        raise ValueError(
            f"each sample of {name} must have the shape of a training sample, "
            f"{expected}; got {shape}.{remedy}"
        )


def _remedy(shape, expected, name):
    """Return how samples of a shape that often comes instead are brought into the expected one."""
    if expected == (1, *shape):
        return f" Add a channel axis: {name}[:, None]."
    if len(expected) == 3 and shape == (*expected[1:], expected[0]):
        return f" Pass channels first: {name}.transpose(0, 3, 1, 2)."
    if len(expected) > 1 and shape == (math.prod(expected),):
        return f" Give rows their shape back: {name}.reshape(-1, {str(expected)[1:-1]})."
    if name == "X_aux" and len(expected) == len(shape) == 1:
        return (
            " Outliers need the columns of X. Where a pipeline makes these, it has to make both: "
            "Pipeline(..., transform_input=['X_aux']) with metadata routing enabled."
        )
    return ""


def warn_about_scales(X):
    """Warn where some columns of a table are so much larger that a network sees only those."""
    if X.ndim != 2 or X.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):  # of values whose squares no float holds
        spread = X[:: max(1, len(X) // _N_LOOKED_AT)].std(axis=0, dtype=np.float64)
    spread = spread[spread > 0]
    if len(spread) and spread.max() > _MOST_UNEQUAL * np.median(spread):
        warnings.warn(
            f"a column of X is {spread.max() / np.median(spread):.0f} times as wide as most: "
            "a network learns little from the others. Scale X and the outliers alike, for "
            "example with StandardScaler in a Pipeline(..., transform_input=['X_aux']).",
            UserWarning,
            stacklevel=5,
        )


def warn_about_far_outliers(X, pool, names=None):
    """Warn where outliers of a table lie so far off that they look scaled otherwise than X.

    Outliers so far away are told apart by their scale alone, and teach nothing about real ones.
    """
    if X.ndim != 2 or X.dtype.kind != "f" or any(isinstance(s, Dataset) for s in pool.sources):
        return  # of a Dataset nothing is read but what is trained on
    rows_out = pool.take(np.arange(0, len(pool), max(1, len(pool) // _N_LOOKED_AT))).numpy()
    middle = np.median(rows_out, axis=0)
    # All rows are read only where some raise a suspicion: even steps may miss what recurs.
    for rows in (X[:: max(1, len(X) // _N_LOOKED_AT)], X):
        low, high = _edges(rows)
        varies = high - low > _CONSTANT * max(np.abs(low).max(), np.abs(high).max())
        outside = np.maximum(low - middle, middle - high)
        far = np.flatnonzero(varies & (outside > _FARTHEST * (high - low)))
        if not len(far):
            return
    worst = far[np.argmax(outside[far] / (high - low)[far])]
    column = worst if names is None else repr(str(names[worst]))
    warnings.warn(
        f"X_aux looks scaled otherwise than X: in column {column} X goes from {low[worst]:.3g} to "
        f"{high[worst]:.3g}, and half of the outliers lie beyond {middle[worst]:.3g}; so far off "
        f"are {len(far)} of {len(low)} columns. A network learns little from outliers like these. "
        "Scale both alike; in a pipeline, Pipeline(..., transform_input=['X_aux']) with metadata "
        "routing enabled.",
        UserWarning,
        stacklevel=5,
    )


def _edges(X):
    """Return the least and the largest value of each column; X may be larger than memory."""
    parts = (X[start : start + _N_LOOKED_AT] for start in range(0, len(X), _N_LOOKED_AT))
    lows, highs = zip(*((part.min(axis=0), part.max(axis=0)) for part in parts), strict=True)
    return np.min(lows, axis=0).astype(np.float64), np.max(highs, axis=0).astype(np.float64)
