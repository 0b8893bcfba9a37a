"""Items of a Dataset that have been decoded, kept while they may be asked for again."""

import math
import shutil
import tempfile
import warnings

import numpy as np
import torch

_MOST_BYTES_IN_MEMORY = 2**26


def there_is_room(n_bytes):
    """Whether what is decoded can be kept; if the disk is too full, say so."""
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if n_bytes <= max(_MOST_BYTES_IN_MEMORY, free):
        return True
    warnings.warn(
        f"items of X_aux are needed more than once in an epoch, but {tempfile.gettempdir()} has "
        f"{free / 1e9:.1f} GB free where {n_bytes / 1e9:.1f} GB would keep them: they are decoded "
        "again. Name a larger disk by the environment variable TMPDIR, or lower pool_size.",
        UserWarning,
        stacklevel=2,
    )
    return False


class Decoded:
    """The rows of one source that have been read, in memory or, if they are many, in a file.

    The file has no name any more when it is made: whatever ends the process deletes it.

    Parameters
    ----------
    n_rows : int
        Rows of the source.
    n_kept : int
        Different rows that will be asked for, at most.
    """

    def __init__(self, n_rows, n_kept):
        self._place = np.full(n_rows, -1)
        self._n_kept, self._n, self._rows = n_kept, 0, None

    def take(self, index, decode):
        """Return the rows ``index`` as a tensor; ``decode(index)`` is asked for those not kept."""
        new = np.unique(index[self._place[index] < 0])
        if len(new):
            self._keep(new, decode(new).numpy())
        return torch.from_numpy(self._rows[self._place[index]])

    def _keep(self, index, decoded):
        if self._rows is None:
            self._rows = _allocated((self._n_kept, *decoded.shape[1:]), decoded.dtype)
        like = self._rows
        if (decoded.shape[1:], decoded.dtype) != (like.shape[1:], like.dtype):
            raise ValueError(
                f"the items of X_aux must have one shape and one dtype, got {like.dtype} of shape "
                f"{like.shape[1:]} and {decoded.dtype} of shape {decoded.shape[1:]}. Pass Datasets "
                "of different dtypes as a tuple."
            )
        self._place[index] = np.arange(self._n, self._n + len(index))
        self._rows[self._n : self._n + len(index)] = decoded
        self._n += len(index)


def _allocated(shape, dtype):
    if math.prod(shape) * dtype.itemsize <= _MOST_BYTES_IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)
