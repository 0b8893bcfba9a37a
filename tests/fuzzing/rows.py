"""Rows with odd values, in all dtypes and containers."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from .containers import AS_OUTLIERS, CONTAINERS, KIN, possible

N = 24  # rows of X; what is drawn is strange, not large
ODD_VALUES = {
    "plain": lambda x: x,
    "huge": lambda x: x * 1e30,
    "beyond float32": lambda x: x * 1e200,
    "tiny": lambda x: x * 1e-30,
    "constant": np.zeros_like,
    "repeated": lambda x: np.repeat(x[:1], len(x), axis=0),
    "NaN": lambda x: np.where(np.arange(x.size).reshape(x.shape) == 3, np.nan, x),
    "infinite": lambda x: np.where(np.arange(x.size).reshape(x.shape) == 3, np.inf, x),
}
DTYPES = {
    "float32": lambda x: x.astype(np.float32),
    "float64": lambda x: x,
    "float16": lambda x: x.astype(np.float16),
    "other byte order": lambda x: x.astype(np.dtype(np.float32).newbyteorder()),
    "uint8": lambda x: np.nan_to_num(x * 50 + 100).clip(0, 255).astype(np.uint8),
    "int64": lambda x: np.nan_to_num(x * 10).clip(-1000, 1000).astype(np.int64),
    "bool": lambda x: x > 0,
    "object": lambda x: x.astype(object),
    "text": lambda x: x.astype(str),
    "complex": lambda x: x.astype(complex),
}
SHAPES = [(3,), (1,), (0,), (), (1, 8, 8), (3, 8, 8), (2, 2), (1, 1, 1)]


@dataclass(frozen=True)
class Rows:
    """Some rows, as they are drawn and shown: ``build`` makes them."""

    n: int
    shape: tuple
    values: str
    dtype: str
    container: str
    seed: int

    def build(self, folder):
        x = np.random.default_rng(self.seed).normal(size=(self.n, *self.shape))
        with np.errstate(all="ignore"):
            x = DTYPES[self.dtype](ODD_VALUES[self.values](x)) if x.size > 3 else x
        return CONTAINERS[self.container if possible(self.container, x) else "array"](x, folder)


def mostly(usual, others):
    """Draw what is usual seven times of eight: of many oddities the first ends the case."""
    others = st.sampled_from([*others])
    return st.integers(0, 7).flatmap(lambda k: others if k == 7 else st.just(usual))


def rows(shape, container):
    """Draw a ``Rows``, mostly in the container named."""
    return st.builds(
        Rows, n=mostly(N, (0, 1, 2, 5)), shape=mostly(shape, SHAPES),
        values=mostly("plain", ODD_VALUES), dtype=mostly("float32", DTYPES),
        container=mostly(container, KIN.get(container, CONTAINERS)), seed=st.integers(0, 99),
    )


def outliers(shape, container):
    """Draw the ``Rows`` of an X_aux, as often in a tuple as not, or none."""
    return st.none() | rows(shape, container) | st.sampled_from(AS_OUTLIERS).flatmap(
        lambda other: rows(shape, other)
    )
