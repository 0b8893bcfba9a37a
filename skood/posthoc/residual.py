"""The part of the features that the principal directions of the training data leave over."""

from numbers import Integral

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from .base import BasePostHocDetector
from .moments import second_moment


class BaseResidualDetector(BasePostHocDetector):
    """Base of the methods that measure what is off the principal directions."""

    _reads_head = True

    _parameter_constraints = {
        **BasePostHocDetector._parameter_constraints,
        "n_dims": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
    }

    def _learn(self, logits, features, y_in):
        d = features.shape[1]
        self.n_dims_ = d // 2 if self.n_dims == "auto" else self.n_dims
        if self.n_dims_ >= d:
            raise ValueError(
                f"n_dims must be less than the {d} features, so that something is left over; got "
                f"{self.n_dims_}."
            )
        # The point whose logits are 0, as near to the origin as there is one.
        self._origin = -np.linalg.pinv(self._weight) @ self._bias
        _, vectors = np.linalg.eigh(second_moment(features, self._origin))
        self._left_over = vectors[:, : d - self.n_dims_]

    def _residual(self, features):
        return np.linalg.norm((features - self._origin) @ self._left_over, axis=1)


class ResidualDetector(BaseResidualDetector):
    """Minus the length of the features outside their principal directions.

    Parameters
    ----------
    estimator : None, estimator or torch.nn.Module, default=None
        The network to read. A trained ``nn.Module`` that returns logits is used as it is and not
        changed (whoever trains it further fits this anew); a detector of skood or a skorch net is
        cloned and fitted, unless wrapped in scikit-learn's ``FrozenEstimator``. None: a small
        network is trained, `skood.posthoc.Classifier`; without labels to tell X from synthetic
        outliers.
    n_dims : int or "auto", default="auto"
        How many principal directions to leave out, at least 1 and below the number of features.
        ``"auto"``: half of the features.
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
    n_dims_ : int
        The directions left out.
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
    ViMDetector : Joins it with the energy.

    Notes
    -----
    ``-|R' (h - o)|`` as in `ViMDetector`.

    References
    ----------
    .. [1] H. Wang, Z. Li, L. Feng and W. Zhang, "ViM: Out-Of-Distribution with Virtual-logit
       Matching", CVPR 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import ResidualDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> detector = ResidualDetector(random_state=0).fit(X, y)
    >>> detector.predict([[0.0, 0.0], [1.0, 1.0]])
    array([ 1, -1])
    """

    def __init__(
        self,
        estimator=None,
        *,
        n_dims="auto",
        contamination=0.05,
        dtype="float32",
        precision="float32",
        memory=None,
        device="cpu",
        random_state=None,
    ):
        self.estimator = estimator
        self.n_dims = n_dims
        self.contamination = contamination
        self.dtype = dtype
        self.precision = precision
        self.memory = memory
        self.device = device
        self.random_state = random_state

    def _score(self, logits, features):
        return -self._residual(features)
