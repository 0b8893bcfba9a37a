"""The auxiliary outliers: one or several sources that are read by row, never loaded whole."""

import numpy as np
import torch
from torch.utils.data import Dataset

from .inputs import rows, to_input


def sample_of(item):
    """Return the input of a dataset item, which may be ``x`` or ``(x, anything)``, as a tensor."""
    sample = torch.as_tensor(item[0] if isinstance(item, (tuple, list)) else item).detach()
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
    """

    def __init__(self, sources, dtype="float32", check=None):
        self.sources = tuple(sources)
        self.dtype = dtype
        self.check = check
        self.starts = np.cumsum([0, *map(len, self.sources)])

    def __len__(self):
        return int(self.starts[-1])

    def take(self, index):
        """Return the rows ``index`` as one tensor, in that order."""
        source = np.searchsorted(self.starts, index, side="right") - 1
        parts = [(np.flatnonzero(source == s), s) for s in np.unique(source)]
        read = [self._read(s, index[where] - self.starts[s]) for where, s in parts]
        if len(read) == 1:
            return read[0]
        if len({part.dtype for part in read}) > 1:
            read = [to_input(part, self.dtype) for part in read]
        order = np.argsort(np.concatenate([where for where, _ in parts]))
        return torch.cat(read)[torch.from_numpy(order)]

    def _read(self, s, index):
        source = self.sources[s]
        if not isinstance(source, Dataset):
            return rows(source, index)
        batch = _read_items(source, index)
        if self.check is not None:
            self.check(batch)
        return batch

    def draw(self, n, rng):
        """Draw ``n`` row numbers without replacement; a pool that is too small is used again."""
        again, rest = divmod(n, len(self))
        passes = [rng.permutation(len(self)) for _ in range(again)]
        return np.concatenate([*passes, rng.choice(len(self), size=rest, replace=False)])


def _read_items(dataset, index):
    """Read items of a dataset, which nobody has seen before: they are checked here."""
    samples = [sample_of(dataset[int(i)]) for i in index]
    if len({sample.shape for sample in samples}) > 1:
        shapes = sorted({tuple(sample.shape) for sample in samples})
        raise ValueError(f"the items of X_aux must have one shape, got {shapes}.")
    batch = torch.stack(samples)
    if batch.is_floating_point() and not batch.isfinite().all():
        raise ValueError("X_aux contains NaN or infinity: leave such items out of the Dataset.")
    return batch
