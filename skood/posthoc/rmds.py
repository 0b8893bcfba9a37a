"""RMDS: the distance from the nearest class, relative to that from all of them."""

import numpy as np

from .base import BasePostHocDetector
from .mahalanobis import precision_of, tied_gaussians


class RMDSDetector(BasePostHocDetector):
    """Minus the distance from the nearest class relative to that from all classes (RMDS).

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
    MahalanobisDetector : The distance from the nearest class.

    Notes
    -----
    ``-min_c d_c(h) + d_0(h)``, where ``d_c`` is the squared distance of `MahalanobisDetector` and
    ``d_0`` that from the mean of all training rows by their total covariance: what is far from
    everything in a way that says nothing of classes does not count.

    Without labels the classes are those that the network predicts. Of one class both distances are
    the same, and the score is minus that distance.

    References
    ----------
    .. [1] J. Ren, S. Fort, J. Liu, A. G. Roy, S. Padhy and B. Lakshminarayanan, "A Simple Fix to
       Mahalanobis Distance for Improving Near-OOD Detection", 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import RMDSDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> detector = RMDSDetector(random_state=0).fit(X, y)
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

    def _learn(self, logits, features, y_in):
        eps = precision_of(features, self.precision)
        self._of_classes = tied_gaussians(features, y_in, eps)
        self._of_all = tied_gaussians(features, np.zeros_like(y_in), eps)

    def _score(self, logits, features):
        nearest = self._of_classes.distances(features).min(axis=1)
        if len(self._of_classes.centres) == 1:
            return -nearest
        return self._of_all.distances(features)[:, 0] - nearest
