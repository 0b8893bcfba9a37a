"""SHE: features beside the stored pattern of the class that is predicted."""

import numpy as np

from ..engine.inputs import Selection
from .base import BasePostHocDetector
from .moments import class_means


class SHEDetector(BasePostHocDetector):
    """Inner product of the features with the mean features of the predicted class (SHE).

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
    MahalanobisDetector : The distance from the class's mean.

    Notes
    -----
    The mean is that of the training rows of a class that the network classifies correctly; where
    there are none, of all its rows; and for classes without rows, of all rows.

    Without labels the network has one output, the log-odds of X, and the score is that output.

    References
    ----------
    .. [1] J. Zhang et al., "Out-of-Distribution Detection based on In-Distribution Data Patterns
       Memorization with Modern Hopfield Energy", ICLR 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import SHEDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> detector = SHEDetector(random_state=0).fit(X, y)
    >>> detector.score_samples(X).shape
    (200,)
    """

    _compares_classes = True

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
        n_classes, right = logits.shape[1], np.flatnonzero(logits.argmax(axis=1) == y_in)
        self._patterns = np.tile(features.mean(axis=0, dtype=np.float64), (n_classes, 1))
        self._patterns[np.unique(y_in)] = class_means(features, y_in)
        if len(right):
            known = np.unique(y_in[right])
            self._patterns[known] = class_means(Selection(features, right), y_in[right])

    def _score(self, logits, features):
        return np.einsum("nd,nd->n", features, self._patterns[logits.argmax(axis=1)])
