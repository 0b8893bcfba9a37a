"""Which outliers are trained on: drawn at random, or chosen by the network itself.

What a loader asks of each is ``batches(sizes)``, the row numbers of each batch of a pass, and
``record``, a dict of what there is to say of the last pass.
"""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .inference import predict_features, predict_logits
from .inputs import Selection
from .pool import OutlierPool, draw

_QUANTILES = (0, 0.25, 0.5, 0.75, 1)


class _Whole:
    """Base of those that choose a whole pass's outliers at its start: ``self(n)`` does so."""

    def batches(self, sizes):
        """Return the row numbers of each batch."""
        return np.split(self(sum(sizes)), np.cumsum(sizes)[:-1])


@dataclass
class RandomSelection(_Whole):
    """Draws row numbers of the pool, none twice before all have come."""

    pool: OutlierPool
    rng: np.random.Generator
    record: dict = field(default_factory=dict)

    def __call__(self, n):
        """Return ``n`` row numbers."""
        return draw(len(self.pool), n, self.rng)


@dataclass
class MinedSelection(_Whole):
    """Scores candidates with the network as it is at that moment, and keeps some of them.

    Only row numbers and one confidence a candidate are held: the candidates themselves are read
    batch by batch, in the order in which they lie in the pool.

    Attributes
    ----------
    module : torch.nn.Module
    pool : OutlierPool
    confidence : callable
        ``confidence(logits) -> ndarray of shape (n,)``, how surely each is taken for an outlier.
    select : callable
        ``select(confidence, n) -> row numbers of shape (n,)`` among the candidates.
    n_candidates, n_kept : int
    dtype : {"float32", "float64", "int64"}
    precision : {"float32", "bf16"}
    rng : numpy.random.Generator
    keeps_index : bool
        Whether the record is to hold the numbers of the rows kept.
    record : dict
        What happened at the last call, for the history.
    """

    module: Any
    pool: OutlierPool
    confidence: Any
    select: Any
    n_candidates: int
    n_kept: int
    dtype: str
    precision: str
    rng: np.random.Generator
    keeps_index: bool = False
    record: dict = field(default_factory=dict)

    def __call__(self, n):
        """Return ``n`` row numbers of the pool; if fewer are kept, all come equally often."""
        start = time.perf_counter()
        candidates = self.pool.windows(self.n_candidates, self.rng)
        rows = Selection(self.pool, candidates)
        logits = predict_logits(self.module, rows, self.dtype, self.precision)
        confidence = self.confidence(logits)
        kept = self.select(confidence, self.n_kept)
        self.record = {
            "pool_confidence": _quantiles(confidence),
            "kept_confidence": _quantiles(confidence[kept]),
            "selection_dur": time.perf_counter() - start,
        }
        if self.keeps_index:
            self.record["kept_index"] = candidates[kept]
        return candidates[kept][draw(self.n_kept, n, self.rng)]


@dataclass
class BatchSelection:
    """Looks, before each batch, at candidates drawn for it alone, and keeps some of them.

    No candidate comes twice before all have come.

    Attributes
    ----------
    module : torch.nn.Module
    pool : OutlierPool
    score : callable
        ``score(logits) -> ndarray of shape (n,)``.
    select : callable
        ``select(score, features, n) -> row numbers of shape (n,)`` among the candidates.
    ratio : float
        Candidates for each outlier kept, at least 1.
    dtype : {"float32", "float64", "int64"}
    precision : {"float32", "bf16"}
    rng : numpy.random.Generator
    record : dict
        What happened in the last pass, for the history.
    """

    module: Any
    pool: OutlierPool
    score: Any
    select: Any
    ratio: float
    dtype: str
    precision: str
    rng: np.random.Generator
    record: dict = field(default_factory=dict)

    def batches(self, sizes):
        """Yield the row numbers of each batch, chosen when the batch is due."""
        n_candidates = [round(self.ratio * size) for size in sizes]
        drawn = draw(len(self.pool), sum(n_candidates), self.rng)
        self.record = {"selection_dur": 0.0}
        for candidates, n in zip(np.split(drawn, np.cumsum(n_candidates)[:-1]), sizes, strict=True):
            start = time.perf_counter()
            kept = candidates[self._select(candidates, n)]
            self.record["selection_dur"] += time.perf_counter() - start
            yield kept

    def _select(self, candidates, n):
        logits, features = predict_features(
            self.module, Selection(self.pool, candidates), self.dtype, self.precision
        )
        return self.select(self.score(logits), features, n)


def _quantiles(values):
    """Return minimum, quartiles and maximum as plain numbers."""
    return np.quantile(values, _QUANTILES).tolist()
