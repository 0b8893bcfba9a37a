"""ODIN: class probabilities at a high temperature, of inputs moved towards their class."""

from functools import partial
from numbers import Real

import torch
from sklearn.utils._param_validation import Interval

from .. import scores
from ..engine.frozen import around
from ..engine.inference import device_of, predict
from .base import BasePostHocDetector

_TEMPERATURES = 1e-30, 1e30  # beyond, float32 has no quotients of logits


class ODINDetector(BasePostHocDetector):
    """Largest class probability, at a high temperature, of inputs moved towards their class (ODIN).

    Parameters
    ----------
    estimator : None, estimator or torch.nn.Module, default=None
        The network to read. A trained ``nn.Module`` that returns logits is used as it is and not
        changed (whoever trains it further fits this anew); a detector of skood or a skorch net is
        cloned and fitted, unless wrapped in scikit-learn's ``FrozenEstimator``. None: a small
        network is trained, `skood.posthoc.Classifier`; without labels to tell X from synthetic
        outliers.
    temperature : float, default=1000.0
        In [1e-30, 1e30]. 1, with ``eps=0``, is `MSPDetector`.
    eps : float, default=0.0014
        Step of the input, in units of X, so 0.0014 for images in [0, 1]; 0 is none. The paper
        searches from 0 to 0.004 by means of outliers; a table may want more.
    contamination : float, default=0.05
        Share of the training samples below the threshold ``offset_``, in (0, 0.5]. A network is
        surer of what it was trained on: of new samples of the same kind it refuses more.
    dtype : {"float32", "float64", "int64"}, default="float32"
        What the network receives; "int64" for token ids.
    precision : {"float32", "bf16"}, default="float32"
        ``"bf16"`` runs the network in bfloat16; scores are computed in float64 either way.
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
    MSPDetector : Neither the one nor the other.

    Notes
    -----
    ``max softmax(f(x + eps * sign(g)) / temperature)``, where ``g`` is the gradient by x of ``log
    max softmax(f(x) / temperature)``. Inputs may leave [0, 1] by `eps`, as in the paper.

    It costs a gradient and a second forward pass, so about four times the others.

    Without labels the network has one output, the log-odds of X, which the step and the score are
    of.

    References
    ----------
    .. [1] S. Liang, Y. Li and R. Srikant, "Enhancing The Reliability of Out-of-distribution Image
       Detection in Neural Networks", ICLR 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import ODINDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> detector = ODINDetector(eps=0.1, random_state=0).fit(X, y)
    >>> detector.score_samples(X).shape
    (200,)
    """

    _reads_features = False
    _compares_classes = True

    _parameter_constraints = {
        **BasePostHocDetector._parameter_constraints,
        "temperature": [Interval(Real, *_TEMPERATURES, closed="both")],
        "eps": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        estimator=None,
        *,
        temperature=1000.0,
        eps=0.0014,
        contamination=0.05,
        dtype="float32",
        precision="float32",
        device="cpu",
        random_state=None,
    ):
        self.estimator = estimator
        self.temperature = temperature
        self.eps = eps
        self.contamination = contamination
        self.dtype = dtype
        self.precision = precision
        self.device = device
        self.random_state = random_state

    def _reading(self):
        return None

    def _reader(self, X):
        if self.dtype == "int64" and self.eps > 0:
            raise ValueError("ODIN moves floats, but the network reads int64: pass eps=0.")
        # Another module around the same weights, that ask for no gradients.
        with torch.inference_mode(False):
            weights = {name: _detached(w) for name, w in self.module_.named_parameters()}
            module = around(self.module_, weights).eval()
        return partial(self._read_moved, module)

    def _read_moved(self, module, X):
        """Return the logits of the rows moved, and no features."""
        # In inference mode, which a caller may be in, there are no gradients to be had.
        with torch.inference_mode(False):
            logits, = predict(
                partial(self._moved, module), X, self.dtype, self.precision, device_of(module),
                gradient=self.eps > 0,
            )
        return logits[:, : self._n_read], None

    def _moved(self, module, x):
        if self.eps == 0:
            return (module(x),)
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            logits = module(x)[:, : self._n_read].float()
            gradient, = torch.autograd.grad(self._sureness(logits).sum(), x)
        return (module(x.detach() + self.eps * gradient.sign()),)

    def _sureness(self, logits):
        if self._n_read == 1:
            return logits[:, 0]
        return torch.log_softmax(logits / self.temperature, dim=1).amax(dim=1)

    def _score(self, logits, features=None):
        return scores.msp(logits / self.temperature)


def _detached(weight):
    return weight.clone() if weight.is_inference() else weight.detach()
