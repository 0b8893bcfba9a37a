"""Where rows are compared: as coarse pictures, as scaled columns, or by a network's features."""

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._images import boxes
from ..engine.inference import predict_features
from ..engine.inputs import to_input
from ..posthoc.moments import unit_rows
from ..validation import check_samples

_BOXES = 8  # a side: noise, compression and small shifts are averaged away, the motif is not
_FLAT = 0.05  # of the usual contrast: below it there is no motif, only noise to enlarge
_N_LOOKED_AT = 1000


def pixels(rows_in):
    """Return a map of images to coarse ones, every channel without its mean, all of one contrast.

    Nearly flat images keep less contrast.
    """
    sizes = next(iter(rows_in.shapes))[1:]
    means_y, means_x = (boxes(size, min(_BOXES, size))[0] for size in sizes)

    def coarse(rows):
        images = means_y @ to_input(rows, "float32").numpy() @ means_x.T
        images -= images.mean(axis=(2, 3), keepdims=True)
        return images.reshape(len(images), -1)

    some = np.unique(np.linspace(0, len(rows_in) - 1, _N_LOOKED_AT).astype(int))
    usual = np.concatenate([
        _lengths(coarse(rows_in.take(part))) for part in np.array_split(some, -(-len(some) // 100))
    ])
    least = max(_FLAT * np.median(usual), np.finfo(np.float32).tiny)

    def project(rows):
        images = coarse(rows)
        return images / np.maximum(_lengths(images), least)

    return project


def _lengths(rows):
    return np.linalg.norm(rows, axis=1, keepdims=True)


def columns(rows_in):
    """Return a map of rows to columns of mean 0 and variance 1 in the in-distribution rows."""
    scaler = StandardScaler()
    for index in rows_in.blocks():
        scaler.partial_fit(_flat(rows_in.take(index)))

    def project(rows):
        return scaler.transform(_flat(rows)).astype(np.float32)

    return project


def _flat(rows):
    return rows.flatten(1).double().numpy()


def features(network, layer):
    """Return a map of rows to a network's features, divided by their length."""
    if isinstance(network, nn.Module):
        module, dtype, precision = network, "float32", "float32"

        def read(rows):
            return rows.numpy()
    else:
        if not hasattr(network, "fit"):
            raise TypeError(
                "detector must be a fitted detector with a network, a torch.nn.Module or None, got "
                f"{type(network).__name__}."
            )
        check_is_fitted(network)
        if not isinstance(getattr(network, "module_", None), nn.Module):
            remedy = "Pass its network, or None to compare the rows themselves."
            if hasattr(network, "steps"):
                remedy = (
                    "Pass its last step and rows transformed by the others: outlier_overlap("
                    "pipeline[:-1].transform(X_in), pipeline[:-1].transform(X_aux), "
                    "detector=pipeline[-1])."
                )
            raise TypeError(
                f"detector must have a network, module_, to read; {type(network).__name__} has "
                f"none. {remedy}"
            )
        module, dtype, precision = network.module_, network.dtype, network.precision

        def read(rows):
            return check_samples(network, rows.numpy())

    def project(rows):
        found = predict_features(module, read(rows), dtype, precision, layer)[1]
        return unit_rows(found.reshape(len(found), -1), np.float32)

    return project


def check_layer(layer, network):
    """Refuse a layer's name without a network."""
    if layer is not None and network is None:
        raise ValueError("feature_layer names a layer of the detector's network; pass a detector.")


def space(rows_in, network, layer):
    """Return the map that suits the rows, and its name."""
    check_layer(layer, network)
    if network is not None:
        return features(network, layer), "features"
    if len(next(iter(rows_in.shapes))) == 3:
        return pixels(rows_in), "pixels"
    return columns(rows_in), "columns"


class Bank:
    """Vectors of the in-distribution rows, among which nearest ones are looked for.

    Parameters
    ----------
    vectors : ndarray of float32 of shape (n_in, d)
        Overwritten.
    """

    _TILE = 2**14  # columns of the matrix of products that exist at a time

    def __init__(self, vectors):
        # From their middle: squares of numbers far from 0 leave nothing of their differences.
        self._middle = vectors.mean(axis=0)
        vectors -= self._middle
        self.vectors = vectors
        self._halves = torch.from_numpy(np.einsum("ij,ij->i", vectors, vectors) / 2)

    def centred(self, vectors):
        """Return vectors as the bank holds its own."""
        return vectors - self._middle

    def nearest(self, queries, k):
        """Return the numbers of the k nearest rows, nearest first, for centred queries."""
        queries, bank = torch.from_numpy(queries), torch.from_numpy(self.vectors)
        nearness, index = torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=int)
        for start in range(0, len(bank), self._TILE):
            tile = slice(start, start + self._TILE)
            products = torch.addmm(-self._halves[tile], queries, bank[tile].T)
            found = products.topk(min(k, products.shape[1]), dim=1)
            nearness = torch.cat([nearness, found.values], dim=1)
            index = torch.cat([index, found.indices + start], dim=1)
            kept = nearness.topk(min(k, nearness.shape[1]), dim=1)
            nearness, index = kept.values, index.gather(1, kept.indices)
        return index.numpy()

    def distances(self, queries, index):
        """Return the distance of each query from one row, anew: products leave little of it."""
        return np.linalg.norm(queries.astype(np.float64) - self.vectors[index], axis=1)
