"""Distances from the classes in the space of features, in units of their spread."""

from typing import NamedTuple

import numpy as np
from scipy.linalg import blas

from ..engine.inference import in_eval_mode
from ..engine.packing import kept_in_files
from ..nn.tap import Layers, average
from .base import BasePostHocDetector
from .blocks import Mapped
from .layers import layers_of
from .moments import class_means, unit_rows, whitening
from .source import example_for


class MahalanobisDetector(BasePostHocDetector):
    """Minus the squared Mahalanobis distance of the features from the nearest class.

    Parameters
    ----------
    estimator : None, estimator or torch.nn.Module, default=None
        The network to read. A trained ``nn.Module`` that returns logits is used as it is and not
        changed (whoever trains it further fits this anew); a detector of skood or a skorch net is
        cloned and fitted, unless wrapped in scikit-learn's ``FrozenEstimator``. None: a small
        network is trained, `skood.posthoc.Classifier`; without labels to tell X from synthetic
        outliers.
    normalize : bool, default=False
        Whether features are divided by their length first, which is Mahalanobis++ [2]_.
    feature_layer : str or list of str, default=None
        Name of the layer whose output to read, as in ``module.named_modules()``; maps are averaged.
        None: the input of the last Linear layer. A list: several layers, whose distances are added.
        ``"all"``: all convolutions and Linear layers that are called, except the head.
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
    layers_ : list of str or None
        The layers that are read; None where it is the input of the last Linear layer.
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
    GramDetector : Reads several layers, too, and of their maps more than the mean.
    RMDSDetector : Less the distance from all classes together.

    Notes
    -----
    ``-min_c (h - mu_c)' P (h - mu_c)`` with the means of the classes and the pseudo-inverse ``P``
    of the covariance that they share. Directions in which the training rows do not vary, but for
    rounding, are left out; there may be fewer rows than features. Where none is left, as in a fit
    on one row of each class, there is a ``ValueError``.

    Of several layers it is the sum, each with its own nearest class and a weight of 1. A layer of
    more units has larger distances, about as many as it has units on training rows, and so counts
    for more. The paper joins its layers, the ends of a network's blocks, by a logistic regression
    on outliers, which are not there to be learned from here; and it perturbs the input, which this
    does not. Early layers see how an image looks more than what it shows: whether they help depends
    on the outliers.

    Without labels the classes are those that the network predicts.

    References
    ----------
    .. [1] K. Lee, K. Lee, H. Lee and J. Shin, "A Simple Unified Framework for Detecting Out-of-
       Distribution Samples and Adversarial Attacks", NeurIPS 2018.
    .. [2] M. Mueller and M. Hein, "Mahalanobis++: Improving OOD Detection via Feature
       Normalization", ICML 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import MahalanobisDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> detector = MahalanobisDetector(random_state=0).fit(X, y)
    >>> detector.predict([[0.0, 0.0], [1.0, 1.0]])
    array([ 1, -1])
    """

    _parameter_constraints = {
        **BasePostHocDetector._parameter_constraints,
        "normalize": ["boolean"],
        "feature_layer": [None, str, list, tuple],
    }

    def __init__(
        self,
        estimator=None,
        *,
        normalize=False,
        feature_layer=None,
        contamination=0.05,
        dtype="float32",
        precision="float32",
        memory=None,
        device="cpu",
        random_state=None,
    ):
        self.estimator = estimator
        self.normalize = normalize
        self.feature_layer = feature_layer
        self.contamination = contamination
        self.dtype = dtype
        self.precision = precision
        self.memory = memory
        self.device = device
        self.random_state = random_state

    def _look_at_layers(self, X):
        self.layers_, self._ends = None, []
        if self._reads_several():
            names = None if self.feature_layer == "all" else self.feature_layer
            module = in_eval_mode(self.module_)
            example = example_for(module, X, self.dtype)
            layers, widths = layers_of(module, example, names, average, "feature_layer")
            self.layers_, self._ends = list(layers.names), np.cumsum(widths)[:-1]
        elif self.feature_layer is not None:
            self.layers_ = [self.feature_layer]

    def _reads_several(self):
        return self.feature_layer == "all" or isinstance(self.feature_layer, list | tuple)

    def _reading(self):
        reading = super()._reading()
        if not self._reads_several():
            return reading
        if self.layers_ is None:  # of a fit that read one
            raise ValueError(
                f"feature_layer={self.feature_layer!r} was another in fit: set it back, or fit "
                "anew."
            )
        return reading._replace(layer=Layers(tuple(self.layers_), average, "feature_layer"))

    def _by_layer(self, features):
        return np.split(features, self._ends, axis=1)

    def _learn(self, logits, features, y_in):
        eps = precision_of(features, self.precision)
        self._layers = [
            tied_gaussians(Mapped(unit_rows, each) if self.normalize else each, y_in, eps)
            for each in self._by_layer(features)
        ]

    def _score(self, logits, features):
        return -sum(
            layer.distances(unit_rows(each) if self.normalize else each).min(axis=1)
            for layer, each in zip(self._layers, self._by_layer(features), strict=True)
        )


@kept_in_files
class Gaussians(NamedTuple):
    """Classes that share a covariance.

    Attributes
    ----------
    factor : ndarray of shape (d, d)
        Upper triangular: the map after which the covariance is the identity.
    centres : ndarray of shape (n_classes, d)
        The means of the classes, mapped.
    """

    factor: np.ndarray
    centres: np.ndarray

    def distances(self, features):
        """Return the squared distance of each row from each class, of shape (n, n_classes)."""
        return squared_distances(whitened(features, self.factor), self.centres)


def tied_gaussians(features, y, eps):
    """Return the `Gaussians` of the classes that have rows.

    Parameters
    ----------
    features : array of shape (n, d)
    y : int64 array of shape (n,)
    eps : float
        Relative precision that the features were computed in.
    """
    means = class_means(features, y, drop=False)
    factor = triangular(whitening(features, means, y, eps))
    return Gaussians(factor, whitened(means[np.unique(y)], factor))


def precision_of(features, precision):
    """Return the relative precision in which a network computed its features."""
    return 2.0**-8 if precision == "bf16" else float(np.finfo(features.dtype).eps)


def triangular(whitening):
    """Return the upper triangular (d, d) map after which lengths are those after `whitening`.

    So are distances, and half of a matrix product is saved.
    """
    d, rank = whitening.shape
    factor = np.zeros((d, d), order="F")
    factor[:rank] = np.linalg.qr(whitening.T, mode="r")
    return factor


def whitened(features, factor):
    """Return ``factor @ h`` for each row h, float64."""
    d = features.shape[1]
    if np.shape(factor) != (d, d):  # as SciPy says it in an error of a class of its own
        raise ValueError(f"{d} features do not fit a map of shape {np.shape(factor)}.")
    rows = features.astype(np.float64, order="C")  # a copy, which is written over
    return blas.dtrmm(1.0, factor, rows.T, overwrite_b=True).T


def squared_distances(rows, centres):
    """Return the squared distance of each row from each centre, of shape (n, n_centres)."""
    lengths = np.einsum("nd,nd->n", rows, rows)[:, None] + np.einsum("nd,nd->n", centres, centres)
    return np.maximum(lengths - 2 * (rows @ centres.T), 0)
