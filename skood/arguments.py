"""The arguments of ``fit``: samples, labels and outliers are told apart here."""

from dataclasses import dataclass, field
from functools import partial
from numbers import Integral

import numpy as np
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from skorch.helper import SliceDataset
from torch.utils.data import DataLoader, Dataset

from .containers import check_is_no_text
from .engine.inputs import Selection
from .engine.pool import OutlierPool
from .labels import is_in_distribution
from .validation import (
    check_dataset,
    check_has_rows,
    check_kind,
    check_range,
    check_samples,
    check_shape,
)


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
    held_out : ndarray of int64 of shape (n_held_out,)
        Rows that a method keeps out of its training.
    """

    x_in: np.ndarray
    y_in: np.ndarray
    classes: np.ndarray | None
    pool: OutlierPool | None
    held_out: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def trained_on(self):
        """Return the samples and labels that are not held out."""
        if not len(self.held_out):
            return self.x_in, self.y_in
        rows = np.delete(np.arange(len(self.x_in)), self.held_out)
        return Selection(self.x_in, rows), self.y_in[rows]


def read_training_data(detector, X, y, X_aux):
    """Check and tell apart the arguments of ``fit(X, y, X_aux)``.

    ``y`` may be class labels, labels in which -1 marks outliers, or the outliers themselves.
    Sets ``n_features_in_``, ``feature_names_in_`` and ``input_shape_`` on the detector.
    """
    X = check_samples(detector, X, reset=True, min_samples=2)
    if y is not None and are_outliers(y, X):
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
        y_in, classes = encode(y)
    check = partial(_check_items, detector)
    read_ahead = detector._options("iterator_train__").get("iterator_train__read_ahead", True)
    pool = OutlierPool(sources, detector.dtype, check, read_ahead=read_ahead) if sources else None
    if pool is not None:
        for row in pool.examples:  # of arrays known, but of a Dataset only now
            check_shape(row.shape[1:], detector.input_shape_, "X_aux", is_array=False)
    return TrainingData(X, y_in, classes, pool)


def are_outliers(y, X):
    """Whether the second positional argument has X's sample shape."""
    if isinstance(y, Dataset):
        return True
    if isinstance(y, SliceDataset):
        check_has_rows(y, "the second argument")
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
        return check_dataset(source, "X_aux")
    if isinstance(source, DataLoader):
        raise TypeError("X_aux is a DataLoader: batches are made here, pass its Dataset.")
    check_is_no_text(source, "X_aux")
    if isinstance(source, list) and source and len(np.shape(source[0])) == n_dims:
        raise TypeError("X_aux is a list of arrays: pass a tuple of them.")
    if not isinstance(source, (list, SliceDataset)) and not hasattr(source, "shape"):
        raise TypeError(
            "X_aux must be an array, a torch Dataset, or a tuple of them, got "
            f"{type(source).__name__}."
        )
    return check_samples(detector, source, name="X_aux", min_samples=0)


def _check_items(detector, batch):
    """Check items of a Dataset, which nobody can see before they are read."""
    batch = batch.numpy()
    check_kind(batch, "X_aux", tokens=detector.dtype == "int64")
    check_range(detector, batch, "X_aux")


def _check_enough(X):
    if len(X) < 2:
        raise ValueError(
            f"X has {len(X)} in-distribution rows left after those with y == -1 were taken as "
            "outliers; at least 2 are needed."
        )


def encode(y):
    """Return the labels as positions in the sorted classes, and the classes."""
    if y.dtype.kind == "O" and all(isinstance(label, Integral) for label in y):
        y = np.array(y.tolist())  # integers beside which -1 had to stand
    try:
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
    except TypeError as error:
        kinds = sorted({type(label).__name__ for label in y})
        raise TypeError(
            f"the labels in y must be of one kind, to be sorted, got {', '.join(kinds)}."
        ) from error
    if len(classes) < 2:
        return np.zeros(len(y), dtype=np.int64), None
    return codes.astype(np.int64), classes
