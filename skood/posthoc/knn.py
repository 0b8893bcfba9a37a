"""Distances from single training rows in the space of features."""

import warnings
from functools import partial
from numbers import Integral

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions

from .base import BasePostHocDetector
from .blocks import blocks
from .moments import unit_rows

_N_QUERIES = 512  # that are looked up at a time
_TILE_BYTES = 2**25  # of the products of these with some rows of the bank, and of those rows
_SAME = 1e-6  # distance, relative to the length of a row, up to which two rows are one


class KNNDetector(BasePostHocDetector):
    """Minus the distance of the features from their k-th nearest neighbour in the training data.

    Parameters
    ----------
    estimator : None, estimator or torch.nn.Module, default=None
        The network to read. A trained ``nn.Module`` that returns logits is used as it is and not
        changed (whoever trains it further fits this anew); a detector of skood or a skorch net is
        cloned and fitted, unless wrapped in scikit-learn's ``FrozenEstimator``. None: a small
        network is trained, `skood.posthoc.Classifier`; without labels to tell X from synthetic
        outliers.
    n_neighbors : int, default=50
        Which neighbour, k, at least 1. Of fewer training rows the last, with a warning.
    normalize : bool, default=True
        Whether features are divided by their length first, as in the paper.
    engine : {"torch", "faiss"}, default="torch"
        What searches: both are exact. ``"faiss"``, an extra (``pip install 'skood[faiss]'``), in
        single precision.
    feature_layer : str, default=None
        Name of the layer whose output to read, as in ``module.named_modules()``; maps are averaged.
        None: the input of the last Linear layer.
    contamination : float, default=0.05
        Share of the training samples below the threshold ``offset_``, in (0, 0.5]. A network is
        surer of what it was trained on: of new samples of the same kind it refuses more.
    dtype : {"float32", "float64", "int64"}, default="float32"
        What the network receives; "int64" for token ids.
    precision : {"float32", "bf16"}, default="float32"
        ``"bf16"`` runs the network in bfloat16; scores are computed in float64 either way.
    memory : None, str or joblib.Memory, default=None
        Where to keep what the network said of the rows it has seen, so that a search over the
        parameters of this detector runs it once. It is known by its weights.
    device : str, default="cpu"
        Where the default network is trained; a network of yours stays where it is.
    random_state : int, RandomState or None, default=None
        Seeds the default network.

    Attributes
    ----------
    n_neighbors_ : int
        The neighbour that is looked at.
    module_ : torch.nn.Module
        The network that is read.
    offset_ : float
        Threshold on ``score_samples``.
    classes_ : ndarray of shape (n_classes,) or None
        Sorted class labels; None where none are known.
    history_ : list of dict
        That of the training, where there was one.
    n_iter_ : int
        Epochs trained.
    n_features_in_ : int
        Columns of a table, channels of an image.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X had them.
    input_shape_ : tuple of int
        Shape of a sample.

    See Also
    --------
    MahalanobisDetector : Needs the classes' means alone, not all rows.

    Notes
    -----
    Exact: all inner products, then a partition, of some rows at a time with some of the training
    rows. The features of all training rows are kept, 4 bytes each; what a call needs besides does
    not grow with their number.

    A row that is among the training rows is not its own neighbour.

    References
    ----------
    .. [1] Y. Sun, Y. Ming, X. Zhu and Y. Li, "Out-of-Distribution Detection with Deep Nearest
       Neighbors", ICML 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import KNNDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> detector = KNNDetector(n_neighbors=5, random_state=0).fit(X, y)
    >>> detector.predict([[0.0, 0.0], [1.0, 1.0]])
    array([ 1, -1])
    """

    _parameter_constraints = {
        **BasePostHocDetector._parameter_constraints,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "normalize": ["boolean"],
        "engine": [StrOptions({"torch", "faiss"})],
        "feature_layer": [None, str],
    }

    def __init__(
        self,
        estimator=None,
        *,
        n_neighbors=50,
        normalize=True,
        engine="torch",
        feature_layer=None,
        contamination=0.05,
        dtype="float32",
        precision="float32",
        memory=None,
        device="cpu",
        random_state=None,
    ):
        self.estimator = estimator
        self.n_neighbors = n_neighbors
        self.normalize = normalize
        self.engine = engine
        self.feature_layer = feature_layer
        self.contamination = contamination
        self.dtype = dtype
        self.precision = precision
        self.memory = memory
        self.device = device
        self.random_state = random_state

    def _learn(self, logits, features, y_in):
        if self.engine == "faiss":
            _faiss()  # now, not with the first score, one is told that it is missing
        self.n_neighbors_ = neighbors_among(len(features), self.n_neighbors)
        self._bank = self._prepared(features)

    def _score(self, logits, features):
        queries = self._prepared(features)
        return -kth_distances(queries, self._bank, self.n_neighbors_, self.engine)

    def _prepared(self, features):
        # In the network's own precision: the bank is large.
        return unit_rows(features, features.dtype) if self.normalize else features


def neighbors_among(n_rows, n_neighbors):
    """Return how many neighbours there are, at most those asked for; say so where they are less."""
    if n_neighbors > n_rows:
        warnings.warn(
            f"n_neighbors={n_neighbors}, but X has {n_rows} rows: {n_rows} are taken.",
            UserWarning, stacklevel=7,
        )
    return min(n_neighbors, n_rows)


def kth_distances(queries, bank, k, engine="torch"):
    """Return the distance of each query from its k-th nearest row of the bank, float64.

    A query that lies on its nearest row is that row, and the row is not counted: in training as
    later, none is its own neighbour. The neighbours are found in the precision of the bank;
    distances are computed anew, since of rows near each other little is left of a difference of
    squares.
    """
    # From about their middle: squares of numbers far from 0 leave nothing of their differences.
    middle = bank[:: max(1, len(bank) // 1000)].mean(axis=0)
    search, distances = partial(_SEARCHES[engine], middle), np.empty(len(queries))
    for part in blocks(len(queries), _N_QUERIES):
        rows = queries[part].astype(np.float64)
        _, index = _least_of_tiles(search, queries[part], bank, k + 1)
        own = _lengths(rows - bank[index[:, 0]]) <= _SAME * _lengths(rows)
        column = np.minimum(k - 1 + own, index.shape[1] - 1)
        distances[part] = _lengths(rows - bank[index[np.arange(len(rows)), column]])
    return distances


def _lengths(rows):
    return np.linalg.norm(rows, axis=1)


def largest_products(queries, bank, k):
    """Return the k largest inner products of each query with rows of the bank, (n, k)."""
    return np.concatenate([
        -_least_of_tiles(_by_product, queries[part], bank, k)[0]
        for part in blocks(len(queries), _N_QUERIES)
    ])


def _least_of_tiles(search, queries, bank, k):
    """Return the k least numbers that a search finds for each query, in order, and where.

    Parameters
    ----------
    search : callable
        ``search(queries, tile, k)``, of some rows of the bank, returns the k least numbers of each
        query and the rows of the tile that they belong to, two arrays of shape (n, k).

    Returns
    -------
    values, rows : ndarray of shape (n, min(k, len(bank)))
    """
    values = np.empty((len(queries), 0), queries.dtype)
    index = np.empty((len(queries), 0), np.int64)
    for tile in blocks(len(bank), max(1, _TILE_BYTES // (8 * max(bank.shape[1], _N_QUERIES)))):
        least, rows = search(queries, bank[tile], min(k, tile.stop - tile.start))
        values, index = np.hstack([values, least]), np.hstack([index, rows + tile.start])
        first = np.argsort(values, axis=1, kind="stable")[:, :k]
        values, index = (np.take_along_axis(each, first, axis=1) for each in (values, index))
    return values, index


def _by_torch(middle, queries, tile, k):
    """Return half the squared distances, less half the query's square, and the rows of a tile."""
    tile = torch.from_numpy(tile - middle)
    halves, queries = tile.square().sum(dim=1) / 2, torch.from_numpy(queries - middle)
    least, rows = torch.addmm(halves, queries, tile.T, alpha=-1).topk(k, dim=1, largest=False)
    return least.numpy(), rows.numpy()


def _by_faiss(middle, queries, tile, k):
    return _faiss().knn(*(
        np.ascontiguousarray(each - middle, dtype=np.float32) for each in (queries, tile)
    ), k)


_SEARCHES = {"torch": _by_torch, "faiss": _by_faiss}


def _by_product(queries, tile, k):
    """Return minus the inner products, and the rows of a tile."""
    products, rows = (torch.from_numpy(queries) @ torch.from_numpy(tile).T).topk(k, dim=1)
    return -products.numpy(), rows.numpy()


def _faiss():
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "engine='faiss' needs the package faiss-cpu: pip install 'skood[faiss]', or leave the "
            "default engine='torch', which is exact, too."
        ) from error
    return faiss

