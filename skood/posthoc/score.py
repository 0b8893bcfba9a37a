"""Any function of logits and features as a detector."""

import numpy as np

from .. import scores
from .base import BasePostHocDetector


class ScoreDetector(BasePostHocDetector):
    """A score of your own: any function of the logits and features of a trained network.

    Parameters
    ----------
    estimator : None, estimator or torch.nn.Module, default=None
        The network to read. A trained ``nn.Module`` that returns logits is used as it is and not
        changed (whoever trains it further fits this anew); a detector of skood or a skorch net is
        cloned and fitted, unless wrapped in scikit-learn's ``FrozenEstimator``. None: a small
        network is trained, `skood.posthoc.Classifier`; without labels to tell X from synthetic
        outliers.
    score : callable, default=None
        ``score(logits, features)`` of arrays (n, K) and (n, d), in the network's precision, returns
        n numbers, higher = more in-distribution. None: the energy.
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
    skood.scores : Formulas to begin with.

    Notes
    -----
    It sees the rows in blocks, and a row should not be scored by its neighbours in one. What it has
    learned of the training data must be in it already.

    References
    ----------
    .. [1] W. Liu, X. Wang, J. Owens and Y. Li, "Energy-based Out-of-distribution Detection",
       NeurIPS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import ScoreDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> def length(logits, features):
    ...     return np.linalg.norm(features, axis=1)
    >>> detector = ScoreDetector(score=length, random_state=0).fit(X, y)
    >>> detector.score_samples(X).shape
    (200,)
    """

    _parameter_constraints = {
        **BasePostHocDetector._parameter_constraints,
        "score": [None, callable],
        "feature_layer": [None, str],
    }

    def __init__(
        self,
        estimator=None,
        *,
        score=None,
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
        self._set_hidden(score=score)

    def _score(self, logits, features):
        score = self._hidden["score"]
        if score is None:
            return scores.energy(logits)
        values = np.asarray(score(_read_only(logits), _read_only(features)))
        if values.shape != (len(logits),):
            raise ValueError(
                f"score must return one number a row, shape ({len(logits)},), got {values.shape}."
            )
        return values


def _read_only(array):
    """Return a view: other detectors may read the same array after this one."""
    view = array.view()
    view.flags.writeable = False
    return view
