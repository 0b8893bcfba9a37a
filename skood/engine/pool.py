"""The auxiliary outliers: one or several sources that are read by row, never loaded whole."""

from contextlib import contextmanager
from functools import cached_property, partial

import numpy as np
import torch
from torch.utils.data import Dataset

from .ahead import looked_at
from .decoded import Decoded, there_is_room
from .inputs import is_mapped, join, rows

_LONGEST_WINDOW = 1024  # rows: long enough to be read in one go, short enough to mix the sources
_LEAST_WINDOWS = 64  # from as many places of the pool at least


def sample_of(item):
    """Return the input of a dataset item, which may be ``x`` or ``(x, anything)``, as a tensor."""
    sample = item[0] if isinstance(item, (tuple, list)) else item
    if isinstance(sample, np.ndarray):
        if sample.dtype.kind not in "biufc":
            raise TypeError(f"the items of X_aux must hold numbers, got dtype {sample.dtype}.")
        # A copy in torch's terms: it takes no pixels that are read-only, as PIL's are, mirrored by
        # a negative stride, or in another byte order.
        sample = torch.from_numpy(np.array(sample, sample.dtype.newbyteorder("="), order="C"))
    if not isinstance(sample, torch.Tensor):
        raise TypeError(
            "the items of X_aux must be arrays or Tensors, or tuples that begin with one, got "
            f"{type(sample).__name__}: have __getitem__ convert it (of images, channels first)."
        )
    sample = sample.detach()
    return sample.float() if sample.dtype == torch.bfloat16 else sample


class OutlierPool:
    """Rows of several arrays, memmaps and map-style datasets under one index.

    Parameters
    ----------
    sources : sequence of array-like or torch Dataset
        Each of shape (n_i, *input_shape).
    dtype : {"float32", "float64", "int64"}
        What rows are converted to where the sources' dtypes differ.
    check : callable, default=None
        Called with each batch of items that is read from a Dataset.
    synthetic : bool, default=False
        Whether a detector drew them for itself.
    read_ahead : bool, default=True
        Whether a thread may read what comes next.
    """

    def __init__(self, sources, dtype="float32", check=None, synthetic=False, read_ahead=True):
        self.sources = tuple(sources)
        self.dtype = dtype
        self.check, self.synthetic, self.read_ahead = check, synthetic, read_ahead
        self.starts = np.cumsum([0, *map(len, self.sources)])
        self._decoded = {}

    def __len__(self):
        return int(self.starts[-1])

    def __getitem__(self, index):
        return self.take(index).numpy()

    @property
    def shape(self):
        """Number of rows and the shape of a row."""
        return (len(self), *self.examples[0].shape[1:])

    @property
    def ndim(self):
        """Number of dimensions, that of the rows included."""
        return len(self.shape)

    @property
    def examples(self):
        """The first row of each source that has any."""
        return [row for row, _ in self._looked_at]

    @cached_property
    def _looked_at(self):
        """Those rows, and whether it took draws from global generators to read them."""
        return [self._look_at(source) for source in self.sources if len(source)]

    def _look_at(self, source):
        read = partial(self._read_anew, source, np.array([0]))
        return looked_at(read) if isinstance(source, Dataset) else (read(), False)

    @property
    def row_bytes(self):
        """Bytes of a row, as it is read."""
        return max(row.nbytes for row in self.examples)

    @property
    def datasets(self):
        """Those of the sources whose items are decoded, by their place among the sources."""
        return {s: each for s, each in enumerate(self.sources) if isinstance(each, Dataset)}

    @property
    def is_streamed(self):
        """Whether any of the rows are not in memory."""
        return bool(self.datasets) or any(map(is_mapped, self.sources))

    @property
    def reads_ahead(self):
        """Whether a thread reads what comes next: not of items that draw from global generators."""
        drawing = any(drew for _, drew in self._looked_at)
        return self.is_streamed and self.read_ahead and not drawing

    @contextmanager
    def keeping(self, n):
        """Within the block, in which ``n`` different rows are read, decode no item twice."""
        sizes = {s: (len(source), min(n, len(source))) for s, source in self.datasets.items()}
        if sizes and there_is_room(sum(kept for _, kept in sizes.values()) * self.row_bytes):
            self._decoded = {s: Decoded(*size) for s, size in sizes.items()}
        try:
            yield
        finally:
            self._decoded = {}

    def take(self, index):
        """Return the rows ``index`` as one tensor, in that order."""
        source = np.searchsorted(self.starts, index, side="right") - 1
        parts = [(np.flatnonzero(source == s), s) for s in np.unique(source)]
        read = [self._read(s, index[where] - self.starts[s]) for where, s in parts]
        if len(read) == 1:
            return read[0]
        order = np.argsort(np.concatenate([where for where, _ in parts]))
        return join(read, self.dtype)[torch.from_numpy(order)]

    def _read(self, s, index):
        read = partial(self._read_anew, self.sources[s])
        return self._decoded[s].take(index, read) if s in self._decoded else read(index)

    def _read_anew(self, source, index):
        if not isinstance(source, Dataset):
            return rows(source, index)
        batch = _read_items(source, index)
        if self.check is not None:
            self.check(batch)
        return batch

    def windows(self, n, rng):
        """Draw ``n`` row numbers without replacement, in stretches of neighbours, increasing.

        A file far larger than memory is read so in whole pages, and still from all its parts.
        """
        if n == len(self):
            return np.arange(n)
        length = int(np.clip(n // _LEAST_WINDOWS, 1, _LONGEST_WINDOW))
        offset = rng.integers(length)  # of the first window, which the start of the pool cuts
        n_windows = -(-(len(self) + offset) // length)
        # Three to spare: the first and the last window may be cut short, and n be no multiple.
        starts = rng.permutation(n_windows)[: n // length + 3] * length - offset
        index = (starts[:, None] + np.arange(length)).ravel()
        return np.sort(index[(index >= 0) & (index < len(self))][:n])


def _read_items(dataset, index):
    """Read items of a dataset, which nobody has seen before: they are checked here."""
    samples = [sample_of(dataset[int(i)]) for i in index]
    if len({sample.shape for sample in samples}) > 1:
        shapes = sorted({tuple(sample.shape) for sample in samples})
        raise ValueError(f"the items of X_aux must have one shape, got {shapes}.")
    batch = torch.stack(samples)
    if batch.is_complex():
        raise ValueError(f"the items of X_aux must be real, got {batch.dtype}.")
    if batch.is_floating_point() and not batch.isfinite().all():
        raise ValueError("X_aux contains NaN or infinity: leave such items out of the Dataset.")
    return batch
