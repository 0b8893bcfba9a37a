"""ViM: the energy less what the principal directions of the training data leave over."""

import warnings

import numpy as np

from .. import scores
from .residual import BaseResidualDetector


class ViMDetector(BaseResidualDetector):
    """Energy minus the scaled length of the features outside their principal directions (ViM).

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
        ``"auto"``: half of the features; the paper takes 1000 of 2048, 512 of 768.
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
    alpha_ : float
        Weight of the residual, which brings it to the scale of the logits.
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
    ResidualDetector : The residual alone.

    Notes
    -----
    ``logsumexp(logits) - alpha_ * |R' (h - o)|``: ``o`` is the point nearest to the origin whose
    logits are 0, ``R`` the eigenvectors of the training rows' second moment about it that are not
    among the largest, and ``alpha_`` the mean largest logit over the mean residual of the training
    rows.

    References
    ----------
    .. [1] H. Wang, Z. Li, L. Feng and W. Zhang, "ViM: Out-Of-Distribution with Virtual-logit
       Matching", CVPR 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import ViMDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> detector = ViMDetector(random_state=0).fit(X, y)
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

    def _learn(self, logits, features, y_in):
        super()._learn(logits, features, y_in)
        residual, largest = self._residual(features).mean(), logits.max(axis=1).mean()
        length = np.linalg.norm(features - self._origin, axis=1).mean()
        # Where rounding alone is left over, nothing is to be subtracted.
        nothing = residual <= 10 * np.finfo(features.dtype).eps * length
        if largest <= 0:
            warnings.warn(
                "the largest logits are not above 0 on average, and ViM takes its scale from them: "
                "the residual is left out. Shift the logits, which changes no probability.",
                UserWarning, stacklevel=6,
            )
        self.alpha_ = 0.0 if nothing or largest <= 0 else float(largest / residual)

    def _score(self, logits, features):
        return scores.energy(logits) - self.alpha_ * self._residual(features)
