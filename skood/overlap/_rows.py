"""Rows of arrays, memmaps and datasets, read block by block and made comparable."""

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data
from torch.utils.data import Dataset

from ..engine.inputs import is_pixels, to_input
from ..engine.pool import OutlierPool
from ..validation import check_dataset, check_kind, numeric_rows

_BLOCK_BYTES = 2**25
_MOST_ROWS = 1024
_SLACK = 1e-3  # beyond [0, 1], of rounding


class Rows:
    """The rows of one or several sources under one index, of which a block at a time is read.

    Parameters
    ----------
    X : array-like, torch Dataset, or tuple of them
    name : str
        What the messages call it.
    """

    def __init__(self, X, name):
        self.name = name
        # A block across two sources holds both in a dtype that loses nothing of either.
        self._pool = OutlierPool([_source(part, name) for part in _parts(X)], "float64")
        if not len(self):
            raise ValueError(f"{name} is empty; pass at least one row.")
        firsts = [
            self._pool.take(np.array([start]))
            for start, n in zip(self._pool.starts, map(len, self._pool.sources), strict=False)
            if n
        ]
        self.shapes = {tuple(first.shape[1:]) for first in firsts}
        self.dtypes = {first.dtype for first in firsts}
        self.size = max(1, min(_MOST_ROWS, _BLOCK_BYTES // (8 * max(1, firsts[0].numel()))))

    def __len__(self):
        return len(self._pool)

    def take(self, index):
        """Return rows by number, as a tensor of their own dtype."""
        rows = self._pool.take(np.asarray(index))
        if rows.is_floating_point() and not rows.isfinite().all():
            bad = np.asarray(index)[~rows.flatten(1).isfinite().all(dim=1).numpy()][0]
            raise ValueError(f"{self.name} has NaN or infinity in row {bad}; leave such rows out.")
        return rows

    def blocks(self):
        """Yield the numbers of the rows of each block."""
        for start in range(0, len(self), self.size):
            yield np.arange(start, min(start + self.size, len(self)))


def _parts(X):
    return X if isinstance(X, tuple) else (X,)


def _source(X, name):
    if isinstance(X, Dataset):
        return check_dataset(X, name)
    X = numeric_rows(X, name)
    check_kind(X, name, tokens=False)
    return X


def check_names(X_in, X_aux):
    """Refuse frames whose columns are not those of X_in in its order, as ``fit`` does."""
    named = [
        (name, names)
        for name, X in (("X_in", X_in), ("X_aux", X_aux)) for part in _parts(X)
        if (names := _feature_names(part)) is not None
    ]
    remedy = "Order the columns alike, X_aux[X_in.columns]."
    if isinstance(X_in, tuple) or isinstance(X_aux, tuple):
        remedy = "Order the columns of all frames alike."
    for name, names in named:
        first_name, expected = named[0]
        if list(names) != list(expected):
            raise ValueError(
                f"The feature names of {name} should match those of {first_name}, in the same "
                f"order: {_first_difference(names, expected)}. {remedy}"
            )


def _feature_names(X):
    """Return the names of a frame's columns as scikit-learn reads them, None without."""
    if not hasattr(X, "columns"):
        return None
    reader = BaseEstimator()
    validate_data(reader, X, skip_check_array=True)
    return getattr(reader, "feature_names_in_", None)


def _first_difference(names, expected):
    for i, (came, wanted) in enumerate(zip(names, expected, strict=False)):
        if came != wanted:
            return f"column {i} is {str(came)!r}, not {str(wanted)!r}"
    return f"there are {len(names)} columns, not {len(expected)}"


def comparable(rows_in, rows_aux):
    """Return a function that makes rows of both, whatever their dtypes, comparable bit by bit.

    Floats are rounded to the lowest precision among them: a copy saved as float32 has lost the
    rest. 8-bit images beside floats become floats in [0, 1], which then the others must be too.
    """
    shapes = rows_in.shapes | rows_aux.shapes
    if len(shapes) > 1:
        raise ValueError(
            f"each sample of X_aux must have the shape of a sample of X_in; got {sorted(shapes)}."
        )
    dtypes = rows_in.dtypes | rows_aux.dtypes
    if len(dtypes) == 1:
        return _without_minus_zero
    images = len(next(iter(shapes))) == 3
    scaled = images and torch.uint8 in dtypes
    floats = [dtype for dtype in dtypes if dtype.is_floating_point]
    floats.append(torch.float32 if images else torch.float64)
    common = min(floats, key=lambda dtype: torch.finfo(dtype).bits)

    def convert(rows):
        if scaled and not is_pixels(rows):
            _check_unit_range(rows)
        return _without_minus_zero(to_input(rows, "float64").to(common))

    return convert


def _check_unit_range(rows):
    low, high = float(rows.min()), float(rows.max())
    if low < -_SLACK or high > 1 + _SLACK:
        raise ValueError(
            "beside 8-bit images, which are read as [0, 1], floats must lie there too; got values "
            f"from {low:.3g} to {high:.3g}."
        )


def _without_minus_zero(rows):
    """Let numbers that are equal have equal bits."""
    return (rows + 0.0 if rows.is_floating_point() else rows).numpy()
