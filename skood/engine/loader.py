"""Paired batches: in-distribution rows, their labels, and outliers beside them."""

from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch

from .inputs import augmentation, join, to_device, to_input
from .selection import RandomSelection
from .streaming import drawn_mixed, in_batches, is_large


@dataclass
class Pair:
    """One batch. skorch asks its length; in-distribution rows count, outliers ride along."""

    x: torch.Tensor
    n_in: int

    def __len__(self):
        return self.n_in


class PairedLoader:
    """Batches of in-distribution rows followed by outliers, re-drawn at every pass.

    skorch builds its iterator once and re-iterates it every epoch, so what ``__iter__`` does is
    what happens at the start of an epoch.

    Parameters
    ----------
    X : array of shape (n, *input_shape)
    y : int64 array of shape (n,)
    pool : OutlierPool or None
        None gives batches without outliers.
    batch_size : int
        The largest number of in-distribution rows in a batch.
    outlier_ratio : float
        Outliers per in-distribution row.
    rng : numpy.random.Generator
    augment : None, "crop-flip" or callable
        Applied to the joint batch, before it is converted to the module's dtype.
    dtype : {"float32", "float64", "int64"}
    device : str or torch.device, default="cpu"
        Where the batches are to lie. They go there as they are, and are converted there: images of
        8 bits are a quarter of what the module receives.
    shuffle : bool, default=True
        Whether to re-order the in-distribution rows at every pass.
    drop_last : bool, default=False
        Whether to leave out rows so that every batch has ``batch_size`` of them.
    read_ahead : bool, default=True
        Whether threads read rows that are not in memory, of X and, if it agrees, of the pool,
        before they are due. The batches are the same.

    Attributes
    ----------
    choose : RandomSelection, MinedSelection or BatchSelection
        Chooses the outliers of a pass. A method that selects its own replaces it.
    check : callable or None
        Called with the outliers of a batch, augmented, before they leave the CPU.
    """

    def __init__(
        self, X, y, pool, *, batch_size, outlier_ratio, rng, augment, dtype, device="cpu",
        shuffle=True, drop_last=False, read_ahead=True,
    ):
        if augment == "crop-flip" and X.ndim != 4:
            raise ValueError(
                f"augment='crop-flip' is for images (n, C, H, W), X has shape {X.shape}. Pass None "
                "or a callable."
            )
        self.X, self.y, self.pool = X, torch.from_numpy(y), pool
        self.batch_size, self.outlier_ratio = batch_size, outlier_ratio
        self.rng, self.augment, self.dtype = rng, augmentation(augment), dtype
        self.device, self.shuffle, self.drop_last = device, shuffle, drop_last
        self.read_ahead = read_ahead
        self.choose = RandomSelection(pool, rng)
        self.check = None

    def __len__(self):
        n = len(self.X)
        if self.drop_last:
            return max(1, n // self.batch_size)
        most = n if self.pool is not None else max(1, n // 2)
        return min(-(-n // self.batch_size), most)

    def __iter__(self):
        # All that a pass draws by `rng` it draws before its first batch: no thread has a say in it.
        indices = self._indices()
        with ExitStack() as stack:  # by which threads end with the pass, and what is kept for it
            x_in = stack.enter_context(closing(in_batches(self.X, indices, self.read_ahead)))
            x_out = self._outliers(stack)
            for index, *parts in zip(indices, x_in, x_out, strict=self.pool is not None):
                x = self._joint(*parts)
                if self.check is not None:
                    self.check(x[len(index) :])
                x = to_input(to_device(x, self.device), self.dtype)
                yield Pair(x, len(index)), to_device(self.y[index], self.device)

    def _indices(self):
        """Return the in-distribution row numbers of each batch."""
        n, sizes = len(self.X), self._sizes()
        if not self.shuffle:
            order = np.arange(n)
        elif is_large(self.X):
            order = drawn_mixed(self.X, n, sizes, self.rng)
        else:
            order = self.rng.permutation(n)
        ends = np.cumsum(sizes)
        return np.split(order[: ends[-1]], ends[:-1])

    def _sizes(self):
        """Return the in-distribution rows of each batch.

        Evenly, and of two rows at least, outliers included: on one BatchNorm cannot train.
        """
        n = len(self.X)
        if self.drop_last:
            n = min(n, len(self) * self.batch_size)
        size, larger = divmod(n, len(self))
        return [size + 1] * larger + [size] * (len(self) - larger)

    @property
    def sizes_out(self):
        """Number of outliers in each batch of a pass."""
        return [max(1, round(size * self.outlier_ratio)) for size in self._sizes()]

    @property
    def n_out(self):
        """Number of outliers in a pass."""
        return 0 if self.pool is None else sum(self.sizes_out)

    def _outliers(self, stack):
        """Return an iterator of each batch's outliers, of None without a pool."""
        if self.pool is None:
            return repeat(None)
        sizes = self.sizes_out
        n_again = self.choose.n_again(sizes)
        if n_again:
            stack.enter_context(self.pool.keeping(n_again))
        candidates = in_batches(self.pool, self.choose.candidates(sizes), self.read_ahead)
        return map(self.choose.kept, stack.enter_context(closing(candidates)), sizes)

    def _joint(self, x_in, x_out):
        x = x_in if x_out is None else join([x_in, x_out], self.dtype)
        return x if self.augment is None else self._augmented(x)

    def _augmented(self, x):
        out = self.augment(x)
        if not isinstance(out, torch.Tensor) or len(out) != len(x):
            came = f"{len(out)} rows" if isinstance(out, torch.Tensor) else type(out).__name__
            raise ValueError(
                f"augment must return a Tensor with a row for each of the {len(x)} it was given, "
                f"got {came}."
            )
        return out
