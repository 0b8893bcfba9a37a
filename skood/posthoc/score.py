"""Any function of logits and features as a detector."""

from inspect import Parameter, signature

import numpy as np

from .. import scores
from .base import BasePostHocDetector

_POSITIONAL = Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD
_ANY = Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD


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
        n numbers, higher = more in-distribution. ``score(logits)`` will do as well, and so will
        the functions of `skood.scores`: see the notes. None: the energy.
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
    A function whose parameters without a default are called ``logits`` or ``features`` is given
    those two by their names, in whatever order, and may leave one of them out; so
    ``score=skood.scores.msp`` is read, and ``score=skood.scores.grad_norm``, which has the features
    first. Of any other names, the first parameter is given the logits and the second, if there is
    one, the features. What else the function needs, fix: ``functools.partial(skood.scores.react,
    weight=W, bias=b, threshold=1.0)``.

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
        args, kwargs = arguments_of(score, _read_only(logits), _read_only(features))
        values = np.asarray(score(*args, **kwargs))
        if values.shape != (len(logits),):
            raise ValueError(
                f"score must return one number a row, shape ({len(logits)},), got {values.shape}."
            )
        return values


def arguments_of(score, logits, features):
    """Return the positional and the keyword arguments that a function of rows is called with."""
    try:
        parameters = signature(score).parameters
    except (TypeError, ValueError):  # not every function that is written in C says
        return (logits, features), {}
    positional = [p for p in parameters.values() if p.kind in _POSITIONAL]
    needed = [n for n, p in parameters.items() if p.default is p.empty and p.kind not in _ANY]
    both = {"logits": logits, "features": features}
    known = {n for n, p in parameters.items() if p.kind is not p.POSITIONAL_ONLY} & set(both)
    if needed and set(needed) <= known:
        return (), {name: both[name] for name in both if name in known}
    if len(needed) > 2 or any(parameters[n].kind is Parameter.KEYWORD_ONLY for n in needed):
        raise ValueError(
            f"score must be a function of logits and features, but it also needs "
            f"{', '.join(n for n in needed if n not in both)}: fix what is no array of rows with "
            "functools.partial."
        )
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
    return (logits, features)[: 2 if takes_any else len(positional)], {}


def _read_only(array):
    """Return a view: other detectors may read the same array after this one."""
    view = array.view()
    view.flags.writeable = False
    return view
