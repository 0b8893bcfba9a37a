"""Outliers from every region of feature space."""

import math

import torch

from .._numbers import check_integer
from ._candidates import check_finite, floats, n_passed_over, one_a_candidate
from ._kmeans import kmeans


def cluster_extremes(
    energy, features, n_clusters, n=None, *, both_ends=True, quantile=0.0, generator=None
):
    """Choose the outliers of lowest and of highest energy of each cluster of features.

    The lowest break the margin most, so they teach the energy; the highest are safely out, so their
    gradients count in gradient regularisation. Clusters make them come from everywhere.

    Parameters
    ----------
    energy : ndarray or torch.Tensor of floats of shape (N,)
        Of each candidate; any finite score that is low for what looks in-distribution may stand in.
    features : ndarray or torch.Tensor of floats of shape (N, d)
        Of each candidate; their directions are clustered, their lengths do not matter.
    n_clusters : int
        At least 1.
    n : int, default=None
        Number of candidates to keep, at least as many as the clusters can yield: the rest is drawn
        at random. None: ``2 * n_clusters``, or ``n_clusters`` without `both_ends`.
    both_ends : bool, default=True
        Whether to keep the highest of each cluster, too.
    quantile : float, default=0.0
        Share of the candidates, those of lowest energy, to pass over first, in [0, 1).
    generator : torch.Generator, default=None
        For the start of k-means and for the rest; None draws from torch's own.

    Returns
    -------
    ndarray or torch.Tensor of int64 of shape (n,)
        Indices of the candidates kept, increasing; of the kind, and on the device, of `energy`.

    Raises
    ------
    TypeError
        If `energy` or `features` do not hold floats, or a number is not one.
    ValueError
        If a shape does not fit, a value is not finite, a number is out of its range, or there are
        too few candidates.

    See Also
    --------
    diverse : The lowest of as many clusters as are kept.
    informative : The hardest, whatever their region.

    Notes
    -----
    Rows are divided by their length, then clustered by ten iterations of k-means from a k-means++
    start. A cluster of one row yields that row once, an empty one none.

    References
    ----------
    Sharifi, Entesari, Safaei, Patel, Fazlyab, "Gradient-Regularized Out-of-Distribution Detection",
    ECCV 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.sampling import cluster_extremes
    >>> features = np.array([[1.0, 0], [2, 0], [3, 0], [0, 1], [0, 2], [0, 3]])
    >>> energy = np.array([-3.0, -2, -1, -1, -4, -2])
    >>> cluster_extremes(energy, features, n_clusters=2)
    array([0, 2, 3, 4])
    """
    values, rows = _check_candidates("energy", energy, features)
    n_kept = _check_numbers(len(values), n_clusters, n, 1 + bool(both_ends), quantile)
    order = values.argsort(stable=True)[math.floor(quantile * len(values)) :]
    values, rows = values[order], torch.nn.functional.normalize(rows[order])
    chosen = torch.zeros(len(order), dtype=torch.bool, device=values.device)
    for end in _extremes(kmeans(rows, n_clusters, generator), n_clusters)[: 1 + bool(both_ends)]:
        chosen[end] = True
    kept = order[_filled(chosen, n_kept, generator)].sort().values
    return kept if isinstance(energy, torch.Tensor) else kept.numpy()


def diverse(confidence, features, n, *, quantile=0.0, generator=None):
    """Choose the hardest outlier of each of `n` clusters of features.

    Parameters
    ----------
    confidence : ndarray or torch.Tensor of floats of shape (N,)
        Probability of the outlier class for each candidate, or any finite score that rises with
        being an outlier.
    features : ndarray or torch.Tensor of floats of shape (N, d)
        Of each candidate; their directions are clustered.
    n : int
        Number of clusters and of candidates to keep, in [1, N].
    quantile : float, default=0.0
        Share of the hardest candidates to pass over first, in [0, 1).
    generator : torch.Generator, default=None
        For the start of k-means, and for what empty clusters leave over; None draws from torch's
        own.

    Returns
    -------
    ndarray or torch.Tensor of int64 of shape (n,)
        Indices of the candidates kept, increasing; of the kind, and on the device, of `confidence`.

    Raises
    ------
    TypeError, ValueError
        As ``cluster_extremes``.

    See Also
    --------
    cluster_extremes : Both ends of each cluster.
    informative : The hardest, whatever their region.

    References
    ----------
    Jiang, Cheng, Chen, Wang, Wei, "DOS: Diverse Outlier Sampling for Out-of-Distribution
    Detection", ICLR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.sampling import diverse
    >>> features = np.array([[1.0, 0], [2, 0], [3, 0], [0, 1], [0, 2], [0, 3]])
    >>> confidence = np.array([0.1, 0.2, 0.3, 0.9, 0.8, 0.7])
    >>> diverse(confidence, features, n=2)  # the two hardest lie in one direction: 0 and 1
    array([0, 5])
    """
    return cluster_extremes(
        confidence, features, n, n, both_ends=False, quantile=quantile, generator=generator
    )


def _extremes(labels, n_clusters):
    """Return the first and the last row of each cluster that has any."""
    row = torch.arange(len(labels), device=labels.device)
    none = torch.full((n_clusters,), len(labels), device=labels.device)
    first = none.scatter_reduce(0, labels, row, "amin")
    last = (none - len(labels) - 1).scatter_reduce(0, labels, row, "amax")
    return first[first < len(labels)], last[last >= 0]


def _filled(chosen, n, generator):
    """Return n rows: those chosen, and others at random."""
    device = chosen.device if generator is None else generator.device
    keys = torch.rand(len(chosen), generator=generator, device=device).to(chosen.device)
    keys[chosen] = -1.0  # before all others
    return keys.argsort(stable=True)[:n]


def _check_candidates(name, score, features):
    """Return scores and features as tensors without graph, single precision or better."""
    values, rows = one_a_candidate(name, score), floats("features", features)
    if rows.ndim != 2 or len(rows) != len(values):
        raise ValueError(
            f"features must have shape (N, d), a row for each of the {len(values)} candidates, got "
            f"{tuple(rows.shape)}."
        )
    check_finite("features", rows)
    return values, rows


def _check_numbers(n_candidates, n_clusters, n, n_ends, quantile):
    """Return how many are kept."""
    check_integer("n_clusters", n_clusters, 1)
    n = n_clusters * n_ends if n is None else n
    check_integer("n", n, 1)
    if n < n_clusters * n_ends:
        raise ValueError(
            f"n={n} is less than the {n_clusters * n_ends} that {n_clusters} clusters can yield. "
            "Raise n or lower n_clusters."
        )
    n_left = n_candidates - n_passed_over(quantile, n_candidates)
    if n > n_left:
        raise ValueError(
            f"n={n} cannot be kept of {n_left} candidates ({n_candidates} less the quantile="
            f"{quantile} of them). Give more candidates, or lower n or quantile."
        )
    return int(n)
