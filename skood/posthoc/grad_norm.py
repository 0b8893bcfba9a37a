"""GradNorm: how far the last layer would have to move for an answer of "any class"."""

from .. import scores
from .base import BasePostHocDetector


class GradNormDetector(BasePostHocDetector):
    """Length of the last layer's gradient, if all classes were equally true (GradNorm).

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
    skood.scores.grad_norm : The formula.

    Notes
    -----
    The L1 norm of the gradient of ``sum_k -log softmax(logits)_k`` by the weight of the last layer,
    in closed form: ``sum_k |K p_k - 1| * sum_j |features_j|``.

    Without labels the network has one output, the log-odds of X, and the score is that output.

    References
    ----------
    .. [1] R. Huang, A. Geng and Y. Li, "On the Importance of Gradients for Detecting Distributional
       Shifts in the Wild", NeurIPS 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import GradNormDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> detector = GradNormDetector(random_state=0).fit(X, y)
    >>> detector.predict([[0.0, 0.0], [1.0, 1.0]])
    array([ 1, -1])
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

    def _score(self, logits, features):
        return scores.grad_norm(features, logits)
