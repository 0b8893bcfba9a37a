"""GROOD: how an artificial prototype of outliers would be moved by a sample."""

import warnings

import numpy as np
from scipy.special import softmax

from .._random import as_generator
from ..engine.inputs import rows, to_input
from .base import BasePostHocDetector, nan_where_unreadable, warn_of_outputs
from .blocks import blocks
from .knn import kth_distances
from .mahalanobis import squared_distances
from .moments import class_means, unit_rows

_N_MIXED = 4096  # mixed rows, at most, that the prototype of outliers is the mean of
_N_READ = 512  # rows of outliers that are read at a time: images are large


class GROODDetector(BasePostHocDetector):
    """Minus how far a row's gradient, at a prototype of outliers, is from training rows' (GROOD).

    Parameters
    ----------
    estimator : None, estimator or torch.nn.Module, default=None
        The network to read. A trained ``nn.Module`` that returns logits is used as it is and not
        changed (whoever trains it further fits this anew); a detector of skood or a skorch net is
        cloned and fitted, unless wrapped in scikit-learn's ``FrozenEstimator``. None: a small
        network is trained, `skood.posthoc.Classifier`; without labels to tell X from synthetic
        outliers.
    feature_layer : str, default=None
        Name of the layer whose output to read, as in ``module.named_modules()``; maps are averaged.
        None: the input of the last Linear layer.
    contamination : float, default=0.05
        Share of the training samples below the threshold ``offset_``, in (0, 0.5], each scored by
        the others.
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
        Seeds the default network, and which rows are mixed where no outliers are given.

    Attributes
    ----------
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
    KNNDetector : The distance of the features themselves.

    Notes
    -----
    The prototype of a class is the mean of its features, that of outliers, ``o``, the mean of the
    features of ``X_aux``; without outliers of up to 4096 training rows, each averaged with one of
    another class (drawn anew by ``random_state``; where there is one class, with any other row).
    Logits are minus the distances from the prototypes, and the loss is their cross-entropy with the
    predicted class. Its gradient by ``o`` has a closed form: ::

        p_o(h) * (h - o) / |h - o|

    where ``p_o`` is the probability of ``o``. The score is minus the distance of this gradient from
    the nearest of those of the training rows that the network classifies correctly. Exact; these
    gradients are kept, 8 bytes a feature.

    A training row's own gradient is among them, at distance 0, and is left out, for `offset_` and
    whenever such a row is scored: it is the second nearest then that counts.

    What lies between the classes, near ``o``, has a gradient unlike the training rows'; what lies
    beyond a class, where ``p_o`` is small, need not have.

    The paper mixes in an early layer, which layer that is depending on the network; here inputs
    are mixed. Labels are those given; without them all predictions count as correct.

    References
    ----------
    .. [1] M. ElAraby, S. Sahoo, Y. Pequignot, P. Novello and L. Paull, "GROOD: GRadient-Aware
       Out-of-Distribution Detection", TMLR 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import GROODDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> detector = GROODDetector(random_state=0).fit(X, y)
    >>> detector.predict([[0.0, 0.0], [1.0, 1.0]])
    array([ 1, -1])
    """

    _parameter_constraints = {
        **BasePostHocDetector._parameter_constraints,
        "feature_layer": [None, str],
    }

    def __init__(
        self,
        estimator=None,
        *,
        feature_layer=None,
        contamination=0.05,
        dtype="float32",
        precision="float32",
        memory=None,
        device="cpu",
        random_state=None,
    ):
        self.estimator = estimator
        self.feature_layer = feature_layer
        self.contamination = contamination
        self.dtype = dtype
        self.precision = precision
        self.memory = memory
        self.device = device
        self.random_state = random_state

    # ---- the fit

    def _fit_score(self, data):
        logits, features = self._read(data.x_in)
        self._finite(nan_where_unreadable(logits, features))
        warn_of_outputs(data, logits)
        predicted = logits.argmax(axis=1)
        y_in = predicted if data.classes is None else data.y_in
        pool = self._mixed(data.x_in, y_in) if data.pool is None else data.pool
        self._prototypes = np.concatenate([class_means(features, y_in), self._mean_features(pool)])
        gradients = np.concatenate([self._gradients(features[part]) for part in blocks(len(y_in))])
        self._bank = gradients[_unless_none(predicted == y_in)]
        self._set_threshold(self._finite(-kth_distances(gradients, self._bank, 1)))

    def _mean_features(self, pool):
        """Return the mean features (1, d) of the rows of a pool, which is read in blocks."""
        total = 0
        for part in blocks(len(pool), _N_READ):
            index = np.arange(part.start, part.stop)
            total = total + self._read(pool[index])[1].sum(axis=0, dtype=np.float64, keepdims=True)
        if not np.isfinite(total).all():
            raise ValueError(
                "the network's features of X_aux are not finite: the values of X_aux may be too "
                f"large for {self.dtype}. Scale X_aux as X."
            )
        return total / len(pool)

    def _mixed(self, X, y):
        """Return rows that are half one training row and half one of another class."""
        if self.dtype == "int64":
            raise ValueError(
                "GROOD mixes training rows where there are no outliers, but the network reads "
                "int64, of which there is no mean: pass X_aux."
            )
        rng = as_generator(self.random_state)
        some = rng.permutation(len(X))[:_N_MIXED]
        return Mixed(X, some, partners(some, y, rng), self.dtype)

    # ---- scores

    def _gradients(self, features):
        features = features.astype(np.float64)
        distances = np.sqrt(squared_distances(features, self._prototypes))
        p_outlier = softmax(-distances, axis=1)[:, -1:]
        return p_outlier * unit_rows(features - self._prototypes[-1])

    def _score(self, logits, features):
        return -kth_distances(self._gradients(features), self._bank, 1)


class Mixed:
    """Means of pairs of rows, made when they are asked for.

    Parameters
    ----------
    X : array of shape (n, ...)
    one, other : int64 arrays of shape (m,)
        Row numbers of the pairs.
    dtype : {"float32", "float64"}
    """

    def __init__(self, X, one, other, dtype):
        self.X, self.one, self.other, self.dtype = X, one, other, dtype

    def __len__(self):
        return len(self.one)

    def __getitem__(self, index):
        pair = (to_input(rows(self.X, i[index]), self.dtype) for i in (self.one, self.other))
        return (sum(pair) / 2).numpy()


def partners(index, y, rng):
    """Return for each row one of another class, or, if there is but one class, another row.

    Parameters
    ----------
    index : int64 array of shape (m,)
        Rows that partners are wanted for.
    y : int64 array of shape (n,)
        The classes of all rows.
    rng : numpy.random.Generator

    Returns
    -------
    int64 array of shape (m,)
    """
    if (y == y[0]).all():
        y = np.arange(len(y))
    # Of all rows, in the order of their classes, the class of each is a stretch to step over.
    order = np.argsort(y, kind="stable")
    _, code, counts = np.unique(y, return_inverse=True, return_counts=True)
    starts, own = np.cumsum(counts) - counts, code[index]
    place = rng.integers(len(y) - counts[own])
    return order[place + np.where(place >= starts[own], counts[own], 0)]


def _unless_none(right):
    if not right.any():
        warnings.warn(
            "the network classifies no training row correctly: the gradients of all are kept.",
            UserWarning, stacklevel=6,
        )
        return np.ones_like(right)
    return right
