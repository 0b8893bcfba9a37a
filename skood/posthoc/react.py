"""ReAct: the energy after unusually large features were cut off."""

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval

from .. import scores
from .base import BasePostHocDetector


class ReActDetector(BasePostHocDetector):
    """Energy after features that are unusually large were cut off (ReAct).

    Parameters
    ----------
    estimator : None, estimator or torch.nn.Module, default=None
        The network to read. A trained ``nn.Module`` that returns logits is used as it is and not
        changed (whoever trains it further fits this anew); a detector of skood or a skorch net is
        cloned and fitted, unless wrapped in scikit-learn's ``FrozenEstimator``. None: a small
        network is trained, `skood.posthoc.Classifier`; without labels to tell X from synthetic
        outliers.
    percentile : float, default=90.0
        Percent of all training features that are not cut off, in [0, 100].
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
    threshold_ : float
        Where features are cut off.
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
    ASHDetector : Sets the small ones to 0.
    skood.scores.react : The formula.

    Notes
    -----
    ``logsumexp(weight @ min(features, threshold_) + bias)``. The input of the network's last Linear
    layer is read; the method is meant for features that are not negative, as after a ReLU.

    References
    ----------
    .. [1] Y. Sun, C. Guo and Y. Li, "ReAct: Out-of-distribution Detection With Rectified
       Activations", NeurIPS 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import ReActDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> detector = ReActDetector(random_state=0).fit(X, y)
    >>> detector.predict([[0.0, 0.0], [1.0, 1.0]])
    array([ 1, -1])
    """

    _reads_head = True

    _parameter_constraints = {
        **BasePostHocDetector._parameter_constraints,
        "percentile": [Interval(Real, 0, 100, closed="both")],
    }

    def __init__(
        self,
        estimator=None,
        *,
        percentile=90.0,
        contamination=0.05,
        dtype="float32",
        precision="float32",
        memory=None,
        device="cpu",
        random_state=None,
    ):
        self.estimator = estimator
        self.percentile = percentile
        self.contamination = contamination
        self.dtype = dtype
        self.precision = precision
        self.memory = memory
        self.device = device
        self.random_state = random_state

    def _learn(self, logits, features, y_in):
        self.threshold_ = float(np.percentile(features, self.percentile))

    def _score(self, logits, features):
        return scores.react(features, self._weight, self._bias, self.threshold_)
