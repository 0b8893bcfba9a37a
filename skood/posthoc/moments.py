"""Means and covariances of features, in float64, in blocks of rows."""

import numpy as np
import torch

from .blocks import blocks


def unit_rows(features, dtype=np.float64):
    """Return rows of length 1, divided in float64; rows of zeros stay."""
    units = np.empty(features.shape, dtype)
    for part in blocks(len(features)):
        rows = features[part].astype(np.float64)
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        units[part] = rows / np.where(length > 0, length, 1)
    return units


def class_means(features, y, drop=True):
    """Return the mean of the rows of each class.

    Parameters
    ----------
    features : array of shape (n, d)
    y : int64 array of shape (n,)
    drop : bool
        Whether classes without rows are left out; if not, their mean is 0.

    Returns
    -------
    ndarray of float64 of shape (n_classes, d)
    """
    sums = torch.zeros(y.max() + 1, features.shape[1], dtype=torch.float64)
    for part in blocks(len(y)):
        rows = torch.from_numpy(np.asarray(features[part], dtype=np.float64))
        sums.index_add_(0, torch.from_numpy(y[part]), rows)
    counts = np.bincount(y)
    means = sums.numpy() / np.maximum(counts, 1)[:, None]
    return means[counts > 0] if drop else means


def second_moment(features, origin):
    """Return the mean outer product (d, d) of the rows less the origin.

    Parameters
    ----------
    features : array of shape (n, d)
    origin : array of shape (d,) or (n, d), or callable, slice of rows -> such an array

    Raises
    ------
    ValueError
        If squares are too large for float64.
    """
    total = 0
    with np.errstate(over="ignore", invalid="ignore"):  # said below
        for part in blocks(len(features)):
            rows = features[part] - (origin(part) if callable(origin) else origin)
            total = total + rows.T @ rows
    if not np.isfinite(total).all():
        raise ValueError("the features of X are too large to be squared in float64. Scale X.")
    return total / len(features)


def whitening(features, means, y, eps):
    """Return the map (d, rank) after which the covariance within classes is the identity.

    Directions of no variance but what rounding gives them are left out: a pseudo-inverse, without
    a ridge that would have to know the scale of the features.

    Parameters
    ----------
    eps : float
        Relative precision that the features were computed in.

    Raises
    ------
    ValueError
        If no direction is left.
    """
    variances, vectors = np.linalg.eigh(second_moment(features, lambda part: means[y[part]]))
    mean_square = np.mean([np.square(features[part], dtype=np.float64).mean() for part in
                           blocks(len(features))])
    # Rounding alone has a twelfth of eps^2; but features are sums, in which errors add up.
    of_rounding = max(
        len(variances) * np.finfo(np.float64).eps * variances[-1], eps**2 * mean_square
    )
    kept = variances > of_rounding
    if not kept.any():
        raise ValueError(
            "the features of X do not vary within a class, and distances are measured in units of "
            "that: pass several rows of each class, or read features that are not constant."
        )
    return vectors[:, kept] / np.sqrt(variances[kept])
