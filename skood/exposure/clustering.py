"""Outliers from every region of feature space: the plan of GReg+ and DOS for a batch."""

import math

import numpy as np

from ..engine.inputs import to_input
from ..engine.selection import BatchSelection
from ..nn import find_head

_N_TRIED = 2  # rows on which the head of the network is looked for


def clustered(detector, loader, score, select, ratio):
    """Return the selection by which a loader chooses among a batch's candidates.

    Parameters
    ----------
    detector : BaseExposureDetector
        With the parameter ``n_candidates``.
    loader : PairedLoader
    score : callable
        ``score(logits) -> ndarray of shape (n,)``, low for those that look in-distribution.
    select : callable
        ``select(score, features, n) -> row numbers of shape (n,)`` among the candidates.
    ratio : float
        Candidates for each outlier kept, where ``n_candidates`` is "auto".
    """
    few = loader.pool.take(np.arange(min(_N_TRIED, len(loader.pool))))
    few = to_input(few, detector.dtype).to(detector._processes.device)
    find_head(detector.module_, few)  # or it raises
    return BatchSelection(
        detector.module_, loader.pool, score, select,
        ratio=_ratio(detector.n_candidates, max(loader.sizes_out), len(loader.pool), ratio),
        dtype=detector.dtype, precision=detector.precision, rng=loader.rng,
        processes=detector._processes,
    )


def _ratio(n_candidates, n_kept, n_pool, ratio):
    """Return the candidates for each outlier kept."""
    if n_candidates == "auto":
        return max(1, min(ratio, n_pool / n_kept))
    if not n_kept <= n_candidates <= n_pool:
        raise ValueError(
            f"n_candidates={n_candidates} are to be looked at for each batch, of which {n_kept} "
            f"are kept: give from {n_kept} to {n_pool}, as many as there are outliers, or 'auto'."
            if n_kept <= n_pool
            else f"n_candidates={n_candidates}: there are {n_pool} outliers in all, fewer than the "
            f"{n_kept} of a batch. Give more of them, or 'auto', which takes what there is."
        )
    return n_candidates / n_kept


def check_n_clusters(n_clusters, n_kept, n_ends):
    """Refuse more clusters than the outliers of a batch, ``n_ends`` from each, can come from."""
    if n_clusters != "auto" and n_clusters * n_ends > n_kept:
        raise ValueError(
            f"n_clusters={n_clusters} clusters with {n_ends} from each are more than the {n_kept} "
            f"outliers of a batch. Give {_at_most(n_kept // n_ends)}'auto', or raise outlier_ratio "
            "or batch_size."
        )


def _at_most(n):
    return f"at most {n}, " if n else ""


def check_quantile(quantile, ratio, sizes):
    """Refuse to pass over so many candidates that fewer are left than a batch keeps."""
    for n_kept in sizes:
        n_candidates = round(ratio * n_kept)
        n_left = n_candidates - math.floor(quantile * n_candidates)
        if n_left < n_kept:
            raise ValueError(
                f"quantile={quantile} leaves {n_left} of {n_candidates} candidates, where {n_kept} "
                "are to be kept for a batch. Lower quantile, or give more candidates (n_candidates "
                "and, if there are no more, outliers)."
            )
