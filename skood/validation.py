"""What comes through the door: samples, labels and outliers are checked and told apart here."""

import warnings
from dataclasses import dataclass
from functools import partial
from numbers import Integral

import numpy as np
import torch
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data
from skorch.helper import SliceDataset
from torch.utils.data import Dataset

from .engine.inputs import Selection
from .engine.pool import OutlierPool, sample_of
from .labels import is_in_distribution

# The first of each is what other dtypes are converted to; the others are kept as they are.
_FLOATS = [np.float32, np.float64, np.float16, np.uint8]
_TOKENS = [np.int64, np.int32, np.int16, np.uint8]

_N_LOOKED_AT = 1000  # rows from which the scale of columns is read
_SLACK = 0.5  # beyond [0, 1], for noise and for what resizing overshoots
_MOST_UNEQUAL = 100  # times the median of the columns' standard deviations


@dataclass
class TrainingData:
    """What a fit received, told apart.

    Attributes
    ----------
    x_in : ndarray of shape (n, *input_shape)
    y_in : ndarray of int64 of shape (n,)
        Positions in ``classes``; zeros without labels.
    classes : ndarray of shape (n_classes,) or None
        None without labels, and where all labels are the same and so say nothing.
    pool : OutlierPool or None
    """

    x_in: np.ndarray
    y_in: np.ndarray
    classes: np.ndarray | None
    pool: OutlierPool | None


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
    if isinstance(X, Dataset):
        raise TypeError(
            f"{name} is a torch Dataset, which has no shape that can be checked. Wrap it: "
            "skorch.helper.SliceDataset(dataset)."
        )
    X = _as_array(X)
    shape = tuple(X.shape)
    if not reset and len(shape) > 1 and (name != "X" or max(len(shape), _ndim(detector)) > 2):
        _check_shape(shape[1:], detector.input_shape_, name)  # of tables X, scikit-learn says it
    _check_kind(X, name, tokens=detector.dtype == "int64")
    checked = check_array(
        X, dtype=_TOKENS if detector.dtype == "int64" else _FLOATS, allow_nd=True,
        ensure_min_samples=min_samples, estimator=detector, input_name=name,
    )
    # Names and number of features; only of frames is the original asked, for its names.
    original = X if hasattr(X, "columns") else checked
    validate_data(detector, original, reset=reset, skip_check_array=True)
    if reset:
        detector.input_shape_ = checked.shape[1:]
        detector._image_range = _range_of(checked)
    _check_range(detector, checked, name)
    return checked


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


def _check_range(detector, X, name):
    """Refuse 8-bit images beside floats of another range: they are read as [0, 1]."""
    if X.ndim != 4 or not len(X):
        return
    fitted, came = detector._image_range, (0.0, 1.0)
    if not _are_pixels(X):
        came = float(X.min()), float(X.max())
    if _in_unit_range(*fitted) and not _in_unit_range(*came):
        raise ValueError(
            f"the detector is fitted on images in [0, 1], as which 8-bit ones are read, but {name} "
            f"holds floats from {came[0]:.3g} to {came[1]:.3g}: pass uint8, or values scaled to "
            "[0, 1] (noise of skood.outliers: value_range=(0, 1))."
        )
    if _are_pixels(X) and not _in_unit_range(*fitted):
        raise ValueError(
            f"the detector is fitted on images from {fitted[0]:.3g} to {fitted[1]:.3g}, but {name} "
            "holds 8-bit ones, which are read as [0, 1]: convert them as X was."
        )


def _ndim(detector):
    return 1 + len(detector.input_shape_)


def _as_array(X):
    """Give tensors, lists and SliceDatasets their own dtype as arrays; leave the rest."""
    if torch.is_tensor(X):
        return _to_numpy(X)
    # check_array would take the values of a list for floats: 8-bit images are to stay 8-bit.
    return X if hasattr(X, "shape") and not isinstance(X, SliceDataset) else np.asarray(X)


def _check_kind(X, name, tokens):
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


def _check_shape(shape, expected, name):
    if tuple(shape) != tuple(expected):
        raise ValueError(
            f"each sample of {name} must have the shape of a training sample, "
            f"{tuple(expected)}; got {tuple(shape)}."
        )


def read_training_data(detector, X, y, X_aux):
    """Check and tell apart the arguments of ``fit(X, y, X_aux)``.

    ``y`` may be class labels, labels in which -1 marks outliers, or the outliers themselves.
    Sets ``n_features_in_``, ``feature_names_in_`` and ``input_shape_`` on the detector.
    """
    X = check_samples(detector, X, reset=True, min_samples=2)
    if y is not None and _are_outliers(y, X):
        if X_aux is not None:
            raise ValueError(
                "outliers came twice: the second argument has X's sample shape, so it was read as "
                "outliers, and X_aux was given too. Pass fit(X, y, X_aux=outliers)."
            )
        y, X_aux = None, y
    sources = [] if X_aux is None else _read_outliers(detector, X_aux, X)
    y_in, classes = np.zeros(len(X), dtype=np.int64), None
    if y is not None:
        y = column_or_1d(y)
        check_consistent_length(X, y)
        known = is_in_distribution(y, "y")
        if not known.all():
            sources.append(Selection(X, np.flatnonzero(~known)))
            X, y = Selection(X, np.flatnonzero(known)), y[known]
        _check_enough(X)
        y_in, classes = _encode(y)
    check = partial(_check_items, detector)
    pool = OutlierPool(sources, detector.dtype, check) if sources else None
    return TrainingData(X, y_in, classes, pool)


def warn_about_scales(X):
    """Warn where some columns of a table are so much larger that a network sees only those."""
    if X.ndim != 2 or X.dtype.kind != "f":
        return
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


def _are_outliers(y, X):
    """Whether the second positional argument has X's sample shape."""
    if isinstance(y, Dataset):
        return True
    if isinstance(y, SliceDataset):
        return np.shape(y[0]) == X.shape[1:]
    if isinstance(y, tuple) and any(map(_is_source, y)):
        return True
    shape = y.shape if hasattr(y, "shape") else np.asarray(y).shape
    if len(shape) < 2:
        return False
    is_column = len(shape) == 2 and shape[1] == 1
    if shape[1:] == X.shape[1:] and not (is_column and shape[0] == len(X)):
        return True
    if is_column:
        return False
    raise ValueError(
        f"the second argument must be labels of shape ({len(X)},) or ({len(X)}, 1), or outliers "
        f"whose samples have X's shape {X.shape[1:]}; got an array of shape {tuple(shape)}."
    )


def _is_source(part):
    if isinstance(part, (Dataset, SliceDataset)):
        return True
    return len(part.shape if hasattr(part, "shape") else np.shape(part)) > 1


def _read_outliers(detector, X_aux, X):
    given = X_aux if isinstance(X_aux, tuple) else (X_aux,)
    given = [part for part in given if not (isinstance(part, list) and not part)]
    sources = [_read_source(detector, source, X.ndim) for source in given]
    if not sum(map(len, sources)):
        raise ValueError("X_aux holds no outliers: give at least one row, or leave it out.")
    return sources


def _read_source(detector, source, n_dims):
    if isinstance(source, Dataset):
        return _read_dataset(detector, source)
    if isinstance(source, list) and source and len(np.shape(source[0])) == n_dims:
        raise TypeError("X_aux is a list of arrays: pass a tuple of them.")
    if not isinstance(source, (list, SliceDataset)) and not hasattr(source, "shape"):
        raise TypeError(
            "X_aux must be an array, a torch Dataset, or a tuple of them, got "
            f"{type(source).__name__}."
        )
    return check_samples(detector, source, name="X_aux", min_samples=0)


def _read_dataset(detector, source):
    if not hasattr(source, "__len__") or not hasattr(source, "__getitem__"):
        raise TypeError(
            "X_aux must be a map-style Dataset (with __len__ and __getitem__), "
            f"got {type(source).__name__}."
        )
    if len(source):
        sample = sample_of(source[0])
        _check_shape(sample.shape, detector.input_shape_, "X_aux")
        _check_items(detector, sample[None])
    return source


def _check_items(detector, batch):
    """Check items of a Dataset, which nobody can see before they are read."""
    batch = batch.numpy()
    _check_kind(batch, "X_aux", tokens=detector.dtype == "int64")
    _check_range(detector, batch, "X_aux")


def _check_enough(X):
    if len(X) < 2:
        raise ValueError(
            f"X has {len(X)} in-distribution rows left after those with y == -1 were taken as "
            "outliers; at least 2 are needed."
        )


def _encode(y):
    """Return the labels as positions in the sorted classes, and the classes."""
    if y.dtype.kind == "O" and all(isinstance(label, Integral) for label in y):
        y = np.array(y.tolist())  # integers beside which -1 had to stand
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        return np.zeros(len(y), dtype=np.int64), None
    return codes.astype(np.int64), classes
