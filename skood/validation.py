"""What comes through the door: samples, labels and outliers are checked and told apart here."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data
from torch.utils.data import Dataset

from .engine.pool import OutlierPool

# The first of each is what other dtypes are converted to; the others are kept as they are.
_FLOATS = [np.float32, np.float64, np.float16, np.uint8]
_TOKENS = [np.int64, np.int32, np.int16, np.uint8]


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
    if torch.is_tensor(X):
        X = _to_numpy(X)
    tokens = detector.dtype == "int64"
    if tokens and getattr(getattr(X, "dtype", None), "kind", "i") == "f":
        raise TypeError(f"dtype='int64' needs {name} to hold integers, got {X.dtype}.")
    shape = tuple(getattr(X, "shape", ()))
    if not reset and len(shape) > 1 and max(len(shape) - 1, len(detector.input_shape_)) > 1:
        _check_shape(shape[1:], detector.input_shape_, name)  # of tables, scikit-learn says it
    checked = check_array(
        X, dtype=_TOKENS if tokens else _FLOATS, allow_nd=True, ensure_min_samples=min_samples,
        estimator=detector, input_name=name,
    )
    # Names and number of features; only of frames is the original asked, for its names.
    original = X if hasattr(X, "columns") else checked
    validate_data(detector, original, reset=reset, skip_check_array=True)
    if reset:
        detector.input_shape_ = checked.shape[1:]
    _check_shape(checked.shape[1:], detector.input_shape_, name)
    return checked


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
    sources = [] if X_aux is None else _read_outliers(detector, X_aux)
    y_in, classes = np.zeros(len(X), dtype=np.int64), None
    if y is not None:
        y = _read_labels(y, X)
        outlying = _marked_as_outliers(y)
        if outlying.any():
            sources.append(X[outlying])
            X, y = X[~outlying], y[~outlying]
        _check_enough(X)
        y_in, classes = _encode(y)
    pool = OutlierPool(sources, detector.dtype) if sources else None
    return TrainingData(X, y_in, classes, pool)


def _are_outliers(y, X):
    """Whether the second positional argument has X's sample shape."""
    if isinstance(y, Dataset):
        return True
    if isinstance(y, tuple) and any(len(getattr(each, "shape", ())) > 1 for each in y):
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


def _read_outliers(detector, X_aux):
    given = X_aux if isinstance(X_aux, tuple) else (X_aux,)
    sources = [_read_source(detector, source) for source in given]
    if not sum(map(len, sources)):
        raise ValueError("X_aux holds no outliers: give at least one row, or leave it out.")
    return sources


def _read_source(detector, source):
    if not isinstance(source, Dataset):
        return check_samples(detector, source, name="X_aux")
    if not hasattr(source, "__len__") or not hasattr(source, "__getitem__"):
        raise TypeError(
            "X_aux must be a map-style Dataset (with __len__ and __getitem__), "
            f"got {type(source).__name__}."
        )
    item = source[0]
    sample = item[0] if isinstance(item, (tuple, list)) else item
    _check_shape(np.shape(sample), detector.input_shape_, "X_aux")
    return source


def _read_labels(y, X):
    y = column_or_1d(y)
    check_consistent_length(X, y)
    if y.dtype.kind == "U" and np.any(y == "-1"):
        raise TypeError(
            "y holds the string '-1'; keep string labels in an object array, where -1 stays the "
            "integer that marks outliers."
        )
    if y.dtype.kind in "fO" and any(v is None or v != v for v in y):
        raise ValueError("y holds missing values: give a label for every row, -1 for outliers.")
    return y


def _marked_as_outliers(y):
    return np.asarray(y == -1, dtype=bool) if y.dtype.kind in "ifO" else np.zeros(len(y), bool)


def _check_enough(X):
    if len(X) < 2:
        raise ValueError(
            f"X has {len(X)} in-distribution rows left after those with y == -1 were taken as "
            "outliers; at least 2 are needed."
        )


def _encode(y):
    """Return the labels as positions in the sorted classes, and the classes."""
    check_classification_targets(y)
    classes, codes = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        return np.zeros(len(y), dtype=np.int64), None
    return codes.astype(np.int64), classes
