"""Informative outlier mining: the plan of NTOM and ATOM, and what is said where a pool is small."""

import math
import warnings

from ..engine.selection import MinedSelection
from ..sampling import informative

_POOL_RATIO = 4  # candidates for each outlier kept, as published


def mined(detector, loader):
    """Return the selection by which a loader mines its pool at the start of every epoch.

    Parameters
    ----------
    detector : BaseExposureDetector
        With the parameters ``quantile``, ``pool_size`` and ``record_kept``.
    loader : PairedLoader
    """
    n_candidates, n_kept = _plan(detector.pool_size, loader.pool, loader.n_out)
    _check_quantile(detector.quantile, n_candidates, n_kept)
    return MinedSelection(
        detector.module_, loader.pool,
        confidence=lambda logits: -detector._score(logits),
        select=lambda confidence, n: informative(confidence, n, detector.quantile),
        n_candidates=n_candidates, n_kept=n_kept, dtype=detector.dtype,
        precision=detector.precision, rng=loader.rng, keeps_index=detector.record_kept,
        processes=detector._processes,
    )


def _plan(pool_size, pool, n_out):
    """Return how many candidates are scored at each epoch, and how many of them are kept."""
    n_pool = len(pool)
    if pool_size != "auto":
        if pool_size > n_pool:
            raise ValueError(
                f"pool_size={pool_size} candidates are to be scored at each epoch, but there are "
                f"{n_pool} outliers. Give more of them, or a pool_size of at most {n_pool}; "
                "'auto' takes what there is."
            )
        return int(pool_size), n_out
    if n_pool >= _POOL_RATIO * n_out:
        return _POOL_RATIO * n_out, n_out
    n_kept = max(1, n_pool // _POOL_RATIO)
    if not pool.synthetic:  # of those it is said already that there are better ones
        warnings.warn(
            f"X_aux has {n_pool} rows, fewer than the {_POOL_RATIO * n_out} candidates of an epoch "
            f"({_POOL_RATIO} for each of the {n_out} outliers that it draws, outlier_ratio for "
            f"each row of X): each epoch scores all rows of X_aux, keeps {n_kept} and draws each "
            f"about {n_out / n_kept:.3g} times.",
            UserWarning,
            stacklevel=7,
        )
    return n_pool, n_kept


def _check_quantile(quantile, n_candidates, n_kept):
    first = math.floor(quantile * n_candidates)
    if first + n_kept > n_candidates:
        most = math.floor(1000 * (1 - n_kept / n_candidates)) / 1000
        raise ValueError(
            f"quantile={quantile} passes over the {first} hardest of {n_candidates} candidates, "
            f"which leaves {n_candidates - first} where {n_kept} are to be kept. Lower quantile "
            f"to {most} or less, or raise pool_size."
            if n_kept <= n_candidates
            else f"pool_size={n_candidates} candidates are fewer than the {n_kept} outliers that "
            "an epoch trains on (outlier_ratio for each row of X): raise it, or give 'auto'."
        )
