"""The least values of each class, which row has them, and how far other rows fall short."""

from typing import NamedTuple

import numpy as np

from ..engine.packing import kept_in_files

_SAME = 1e-6  # relative difference up to which a sum is that of the training row at the bound


class Extremes:
    """The two least values of each class in each column, and whose the least is.

    Parameters
    ----------
    shape : tuple (n_classes, n_columns)
    """

    def __init__(self, shape):
        self.first, self.second = np.full(shape, np.inf), np.full(shape, np.inf)
        self.row = np.zeros(shape, dtype=np.int64)
        self.counts = np.zeros(shape[0], dtype=np.int64)

    def add(self, values, y, start):
        """Take in rows of shape (n, n_columns), of the classes y, numbered from ``start``."""
        order = np.argsort(y, kind="stable")
        classes, starts, counts = np.unique(y[order], return_index=True, return_counts=True)
        values = values[order].astype(np.float64)
        first = np.minimum.reduceat(values, starts, axis=0)
        # The first of those that have it, so that of equal ones the second least is equal too.
        place = np.where(
            values == np.repeat(first, counts, axis=0), np.arange(len(y))[:, None], len(y) - 1
        )
        place = np.minimum.reduceat(place, starts, axis=0)
        np.put_along_axis(values, place, np.inf, axis=0)
        second = np.minimum.reduceat(values, starts, axis=0)
        self._merge(classes, first, second, order[place] + start)
        self.counts[classes] += counts

    def _merge(self, classes, first, second, row):
        before = self.first[classes]
        loser = np.maximum(before, first)
        self.second[classes] = np.minimum(np.minimum(self.second[classes], second), loser)
        self.row[classes] = np.where(first < before, row, self.row[classes])
        self.first[classes] = np.minimum(before, first)

    def _of_all(self):
        """Return the two least values of all classes together, (2, n_columns), and whose."""
        best = self.first.argmin(axis=0)[None]
        others = self.first.copy()
        np.put_along_axis(others, best, np.take_along_axis(self.second, best, axis=0), axis=0)
        row = np.take_along_axis(self.row, best, axis=0)[0]
        return np.stack([self.first.min(axis=0), others.min(axis=0)]), row

    def size(self):
        """Return the largest absolute value, of shape (n_columns,), of the least of the classes."""
        return np.abs(self.first[self.counts > 0]).max(axis=0)

    def bounds(self, floor):
        """Return the `Bounds` of the classes; of a class of less than two rows those of all rows.

        Parameters
        ----------
        floor : array of shape (n_columns,)
            The smallest units.
        """
        both = np.stack([self.first, self.second])
        both[:, self.counts < 2] = self._of_all()[0][:, None]
        return Bounds(both[0], np.maximum(np.abs(both[0]), floor), short_of(*both, floor))

    def left_out(self, y, layer_of, floor):
        """Return by how much each row falls short of the other rows' least, by layers.

        Parameters
        ----------
        y : int64 array of shape (n,)
            The classes of all rows.
        layer_of : int64 array of shape (n_columns,)
        floor : array of shape (n_columns,)
            The smallest units.

        Returns
        -------
        ndarray of shape (n, n_layers)
        """
        common, (of_all, row_of_all) = self.counts >= 2, self._of_all()
        short = short_of(self.first[common], self.second[common], floor)
        # The bounds of all rows are there for the rows of the other classes.
        short_of_all = np.where(common[y[row_of_all]], 0, short_of(*of_all, floor))
        row, n_layers = np.append(self.row[common], row_of_all[None], axis=0), layer_of[-1] + 1
        sums = np.bincount(
            (row * n_layers + layer_of).ravel(), np.append(short, short_of_all),
            minlength=len(y) * n_layers,
        )
        return sums.reshape(len(y), n_layers)


@kept_in_files
class Bounds(NamedTuple):
    """What the training rows of each class have at least.

    Attributes
    ----------
    least : ndarray of shape (n_classes, n_columns)
    unit : ndarray of shape (n_classes, n_columns)
        That a shortfall is measured in.
    left_out : ndarray of shape (n_classes, n_columns)
        By how much the row that has the least falls short of the others.
    """

    least: np.ndarray
    unit: np.ndarray
    left_out: np.ndarray

    def shortfall(self, values, y):
        """Return by how much values, of shape (n, n_columns), are below the bounds, float64.

        A value that is the bound is a training row's own, and measured by the others.
        """
        short = (self.least[y] - values) / self.unit[y]
        return np.where(np.abs(short) <= _SAME, self.left_out[y], np.maximum(short, 0))


def short_of(values, bounds, floor):
    """Return by how much values are below bounds, in units of these, which are floored."""
    return (bounds - values) / np.maximum(np.abs(bounds), floor)
