"""Which outliers are trained on: drawn at random, or chosen by the network itself.

What a loader asks of each: ``candidates(sizes)``, the row numbers that are read for each batch of a
pass; ``kept(x_out, n)``, those of a batch's rows that are trained on; ``n_again(sizes)``, how many
different rows are read in a pass in which some are read more than once, or 0; and ``record``, a
dict of what there is to say of the last pass.
"""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from .inference import predict_features, predict_logits
from .inputs import Selection
from .pool import OutlierPool
from .processes import Alone
from .streaming import drawn

_QUANTILES = (0, 0.25, 0.5, 0.75, 1)


@dataclass
class RandomSelection:
    """Draws row numbers of the pool, none twice before all have come."""

    pool: OutlierPool
    rng: np.random.Generator
    record: dict = field(default_factory=dict)

    def candidates(self, sizes):
        """Return the row numbers of each batch."""
        return drawn(self.pool, sizes, self.rng)

    def kept(self, x_out, n):
        """Return the rows as they are."""
        return x_out

    def n_again(self, sizes):
        """Return the rows of the pool, where it has to be gone through more than once."""
        return _n_again(self.pool, sum(sizes))


@dataclass
class MinedSelection:
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
    processes : Alone or Together
        Those that share the candidates.
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
    processes: Alone = field(default_factory=Alone)
    record: dict = field(default_factory=dict)

    def candidates(self, sizes):
        """Return the row numbers of each batch; if fewer are kept, all come equally often."""
        return drawn(self.pool, sizes, self.rng, self.mined())

    def kept(self, x_out, n):
        """Return the rows as they are: the network has chosen them before."""
        return x_out

    def n_again(self, sizes):
        """Return the candidates, of which those that are kept are read again."""
        return self.n_candidates

    def mined(self):
        """Return the row numbers of the candidates that are kept."""
        start = time.perf_counter()
        candidates = self.pool.windows(self.n_candidates, self.rng)
        logits, = self.processes.shared(
            lambda own: (self._logits(candidates[own]),), len(candidates)
        )
        confidence = self.confidence(logits)
        kept = self.select(confidence, self.n_kept)
        self.record = {
            "pool_confidence": _quantiles(confidence),
            "kept_confidence": _quantiles(confidence[kept]),
            "selection_dur": time.perf_counter() - start,
        }
        if self.keeps_index:
            self.record["kept_index"] = candidates[kept]
        return candidates[kept]

    def _logits(self, candidates):
        rows = Selection(self.pool, candidates)
        return predict_logits(self.module, rows, self.dtype, self.precision)


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
    processes : Alone or Together
        Those that share the candidates.
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
    processes: Alone = field(default_factory=Alone)
    record: dict = field(default_factory=dict)

    def candidates(self, sizes):
        """Return the row numbers of the candidates of each batch."""
        self.record = {"selection_dur": 0.0}
        return drawn(self.pool, self._n_candidates(sizes), self.rng)

    def kept(self, x_out, n):
        """Return ``n`` of the candidates, chosen by the network as it is when the batch is due."""
        start = time.perf_counter()
        logits, features = self.processes.shared(
            lambda own: self._read(x_out[own].numpy()), len(x_out)
        )
        kept = self.select(self.score(logits), features, n)
        self.record["selection_dur"] += time.perf_counter() - start
        return x_out[torch.from_numpy(kept)]

    def n_again(self, sizes):
        """Return the rows of the pool, where it has to be gone through more than once."""
        return _n_again(self.pool, sum(self._n_candidates(sizes)))

    def _n_candidates(self, sizes):
        return [round(self.ratio * size) for size in sizes]

    def _read(self, candidates):
        return predict_features(self.module, candidates, self.dtype, self.precision)


def _n_again(pool, n):
    return len(pool) if n > len(pool) else 0


def _quantiles(values):
    """Return minimum, quartiles and maximum as plain numbers."""
    return np.quantile(values, _QUANTILES).tolist()
