"""Rows that are not in memory: drawn by windows of neighbours, and read a block ahead."""

import math

import numpy as np
import torch

from .ahead import in_turn
from .inputs import Selection, is_mapped, rows
from .order import draw, mixed
from .pool import OutlierPool

_BLOCK_BYTES = 2**26  # what is read in one go, and mixed: two are held
_MOST_ITEMS = 512  # of a Dataset in a block: whoever interrupts a fit waits for one
_LEAST_BLOCKS = 16  # of an epoch: nothing is done while the first is read
_WINDOW_BYTES = 2**18  # of neighbours: long enough for a disk
_LEAST_WINDOWS = 64  # of a block: from as many places of the file at least


def is_streamed(X):
    """Whether rows of an array, a Selection or a pool lie elsewhere than in memory."""
    return X.is_streamed if isinstance(X, OutlierPool) else is_mapped(X)


def reads_ahead(X):
    """Whether a thread may read rows of X that are needed next."""
    while isinstance(X, Selection):
        X = X.X
    return X.reads_ahead if isinstance(X, OutlierPool) else is_mapped(X)


def is_large(X):
    """Whether it matters in what order X is read. What fits into a block may be read in any."""
    return is_streamed(X) and len(X) * _row_bytes(X) > _BLOCK_BYTES


def drawn(X, sizes, rng, among=None):
    """Draw the row numbers of batches of these sizes, none twice before all have come.

    Parameters
    ----------
    X : array, Selection or OutlierPool
    sizes : sequence of int
    rng : numpy.random.Generator
    among : integer array, default=None
        The row numbers to draw from; None is all.

    Returns
    -------
    list of integer arrays
    """
    n_rows = len(X) if among is None else len(among)
    if is_large(X):
        index = drawn_mixed(X, n_rows, sizes, rng)
        among = None if among is None else np.sort(among)  # whose neighbours are neighbours in X
    else:
        index = draw(n_rows, sum(sizes), rng)
    return np.split(index if among is None else among[index], np.cumsum(sizes)[:-1])


def drawn_mixed(X, n_rows, sizes, rng):
    """Draw ``sum(sizes)`` of the numbers below ``n_rows``, by the blocks in which X is read."""
    per_block = _batches_per_block(X, sizes)
    window = min(_WINDOW_BYTES // _row_bytes(X), per_block * max(sizes) // _LEAST_WINDOWS)
    blocks = np.add.reduceat(sizes, np.arange(0, len(sizes), per_block))
    return mixed(n_rows, blocks, max(1, window), rng)


def in_batches(X, indices, read_ahead=True):
    """Yield the rows of each batch as a tensor.

    Those of X that are not in memory are read by blocks of some batches, from the first row to the
    last, and where that can be, in a thread.

    Parameters
    ----------
    X : array, Selection or OutlierPool
    indices : list of integer arrays
        The row numbers of each batch.
    read_ahead : bool, default=True
    """
    def read(index):
        return X.take(index) if isinstance(X, OutlierPool) else rows(X, index)

    def read_block(block):
        index, place = np.unique(np.concatenate(block), return_inverse=True)
        return read(index), torch.from_numpy(place).split([len(part) for part in block])

    if not is_streamed(X):
        yield from map(read, indices)
        return
    per_block = _batches_per_block(X, [len(index) for index in indices])
    blocks = [indices[i : i + per_block] for i in range(0, len(indices), per_block)]
    for block, places in in_turn(read_block, blocks, read_ahead and reads_ahead(X)):
        for place in places:
            yield block[place]


def _batches_per_block(X, sizes):
    most = _BLOCK_BYTES // _row_bytes(X)
    if isinstance(X, OutlierPool) and X.datasets:
        most = min(most, _MOST_ITEMS)
    return max(1, min(most // max(sizes), len(sizes) // _LEAST_BLOCKS))


def _row_bytes(X):
    if isinstance(X, OutlierPool):
        return X.row_bytes
    return math.prod(X.shape[1:]) * X.dtype.itemsize
