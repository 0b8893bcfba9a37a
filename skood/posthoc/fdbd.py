"""fDBD: how far the features are from the borders between classes."""

import numpy as np
from scipy.spatial.distance import cdist

from .base import BasePostHocDetector
from .blocks import blocks

_LEAST = 1e-6  # distance from the mean, relative to that of training rows: no row is divided by 0


class FDBDDetector(BasePostHocDetector):
    """Distance of the features from the borders to other classes, over that from their mean (fDBD).

    Parameters
    ----------
    estimator : None, estimator or torch.nn.Module, default=None
        The network to read. A trained ``nn.Module`` that returns logits is used as it is and not
        changed (whoever trains it further fits this anew); a detector of skood or a skorch net is
        cloned and fitted, unless wrapped in scikit-learn's ``FrozenEstimator``. None: a small
        network is trained, `skood.posthoc.Classifier`; without labels to tell X from synthetic
        outliers.
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
    NCIDetector : Reads how near the features are to the weight of their class.

    Notes
    -----
    ``sum_k (max logits - logits_k) / |w_max - w_k| / |h - mean|`` over the other classes, whose
    distance in the last layer the first factor is; the paper divides by their number, which changes
    no rank. ``|h - mean|`` is at least a millionth of its mean over the training rows, so that a
    row at the very mean has a finite score.

    Without labels the network has one output, the log-odds of X, and the score is that output.

    References
    ----------
    .. [1] L. Liu and Y. Qin, "Fast Decision Boundary based Out-of-Distribution Detector", ICML
       2024.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import FDBDDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> detector = FDBDDetector(random_state=0).fit(X, y)
    >>> detector.score_samples(X).shape
    (200,)
    """

    _compares_classes = True
    _reads_head = True

    def __init__(
        self,
        estimator=None,
        *,
        contamination=0.05,
        dtype="float32",
        precision="float32",
        memory=None,
        device="cpu",
        random_state=None,
    ):
        self.estimator = estimator
        self.contamination = contamination
        self.dtype = dtype
        self.precision = precision
        self.memory = memory
        self.device = device
        self.random_state = random_state

    def _learn(self, logits, features, y_in):
        self._mean = features.mean(axis=0, dtype=np.float64)
        spread = np.mean([self._from_mean(features[part]).mean() for part in blocks(len(features))])
        self._least = _LEAST * spread if spread > 0 else 1.0
        apart = cdist(self._weight, self._weight)
        # Classes with one weight have no border between them, nor has a class with itself.
        self._per_distance = np.divide(1, apart, out=np.zeros_like(apart), where=apart > 0)

    def _score(self, logits, features):
        below = logits.max(axis=1, keepdims=True) - logits.astype(np.float64)
        borders = (below * self._per_distance[logits.argmax(axis=1)]).sum(axis=1)
        return borders / np.maximum(self._from_mean(features), self._least)

    def _from_mean(self, features):
        return np.linalg.norm(features - self._mean, axis=1)
