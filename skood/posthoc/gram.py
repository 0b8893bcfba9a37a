"""Gram matrices of the layers, against the ranges that they have on the training rows."""

from numbers import Integral
from typing import NamedTuple

import numpy as np
import torch

from ..engine.inference import in_eval_mode
from ..nn.tap import Layers
from .base import BasePostHocDetector, Reading, nan_where_unreadable, warn_of_outputs
from .blocks import blocks
from .extremes import Extremes
from .layers import layers_of
from .source import example_for

_SUMS_BYTES = 2**26  # of the row sums that are held at a time
_PART_BYTES = 2**20  # of those that are compared at a time, to stay in cache
# The smallest unit, as a share of the largest bound of its layer and power: a bound of 0, of a unit
# that never fires, is none. The released code adds this number to all bounds instead.
_LEAST_BOUND = 1e-6


class GramDetector(BasePostHocDetector):
    """Minus how far the layers' Gram matrices leave the ranges of the predicted class.

    Parameters
    ----------
    estimator : None, estimator or torch.nn.Module, default=None
        The network to read. A trained ``nn.Module`` that returns logits is used as it is and not
        changed (whoever trains it further fits this anew); a detector of skood or a skorch net is
        cloned and fitted, unless wrapped in scikit-learn's ``FrozenEstimator``. None: a small
        network is trained, `skood.posthoc.Classifier`; without labels to tell X from synthetic
        outliers.
    layers : list of str, default=None
        Names of the layers whose outputs to read, as in ``module.named_modules()``. None: all
        convolutions and Linear layers that are called, except the head.
    powers : tuple of int, default=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
        The powers p, each at least 1.
    contamination : float, default=0.05
        Share of the training samples below the threshold ``offset_``, in (0, 0.5], each scored by
        the ranges of the others.
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
    layers_ : list of str
        The layers that are read.
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
    MahalanobisDetector : Reads one layer, by its means and covariance.

    Notes
    -----
    With the maps ``F`` (channels x positions) of a layer l, of a Linear layer one position, ``S`` =
    ``G 1`` is the vector of row sums of ``G = F^p (F^p)'``, powers elementwise, and ``s = sign(S)
    |S|^(1/p)``. Where the training rows of the predicted class have ``s`` from ``low`` to ``high``,
    the deviation is ::

        delta_l = sum_p sum_channels (low - s)_+ / |low| + (s - high)_+ / |high|

    and the score ``-sum_l delta_l / E[delta_l]``. Deviations are in units of the bound: the score
    does not depend on the scale of a layer, but on where its 0 is.

    As the released code does, and unlike the paper's formula, it is the row sums and not the
    entries that are compared: one number for each channel, for which no Gram matrix is made.

    The paper takes ``E[delta_l]`` over validation data. Here each training row deviates from the
    ranges of the other rows of its class, which only a row with the least or largest ``s`` does:
    from the two least and largest of each class all such deviations follow, and no row has to be
    held out. So it is for `offset_` and wherever a row has an ``s`` that is a bound, which is then
    its own: otherwise no training row would deviate at all. The released code divides the deviation
    by the largest class probability besides, which the formula does not, and adds 1e-6 to the
    bounds that it divides by; here these count as 1e-6 of the largest of their layer and power at
    least, so that no scale matters.

    Kept are six numbers for each class, channel and power. A class that is predicted for less than
    two training rows has the ranges of all of them. Labels are not read; without labels the network
    has one class.

    References
    ----------
    .. [1] C. S. Sastry and S. Oore, "Detecting Out-of-Distribution Examples with Gram Matrices",
       ICML 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import GramDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> detector = GramDetector(random_state=0).fit(X, y)
    >>> detector.layers_
    ['hidden.0', 'hidden.2']
    >>> detector.predict([[0.0, 0.0], [1.0, 1.0]])
    array([ 1, -1])
    """

    _parameter_constraints = {
        **BasePostHocDetector._parameter_constraints,
        "layers": [None, list, tuple],
        "powers": [list, tuple],
    }

    def __init__(
        self,
        estimator=None,
        *,
        layers=None,
        powers=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
        contamination=0.05,
        dtype="float32",
        precision="float32",
        memory=None,
        device="cpu",
        random_state=None,
    ):
        self.estimator = estimator
        self.layers = layers
        self.powers = powers
        self.contamination = contamination
        self.dtype = dtype
        self.precision = precision
        self.memory = memory
        self.device = device
        self.random_state = random_state

    def _reading(self):
        self._check_powers()  # which may have been set since the fit
        layers = Layers(tuple(self.layers_), GramSums(tuple(self.powers)))
        return Reading(self.dtype, self.precision, True, layers)

    # ---- the fit

    def _fit_score(self, data):
        self._check_powers()
        self._look_at_layers(data.x_in)
        logits, least, largest = self._extremes(data.x_in)
        warn_of_outputs(data, logits)
        predicted = logits.argmax(axis=1)
        floor = self._smallest_units(least, largest)
        self._low, self._high = least.bounds(floor), largest.bounds(floor)
        deviations = sum(
            each.left_out(predicted, self._layer_of, floor) for each in (least, largest)
        )
        expected = deviations.mean(axis=0)
        # A layer in which no row differs from all others: nothing is known of its unit.
        self._expected = np.where(expected > 0, expected, 1.0)
        self._set_threshold(self._finite(-(deviations / self._expected).sum(axis=1)))

    def _check_powers(self):
        whole = all(isinstance(p, Integral) and not isinstance(p, bool) for p in self.powers)
        if not whole or not len(self.powers) or min(self.powers) < 1:
            raise ValueError(f"powers must be integers of at least 1, got {self.powers!r}.")

    def _look_at_layers(self, X):
        """Set the names of the layers and to which layer, and which power of it, sums belong."""
        module = in_eval_mode(self.module_)
        example = example_for(module, X, self.dtype)
        summary, n_powers = GramSums(tuple(self.powers)), len(self.powers)
        layers, widths = layers_of(module, example, self.layers, summary, "layers")
        self.layers_, widths = list(layers.names), np.array(widths)
        self._starts = np.cumsum(widths) - widths
        self._layer_of = np.repeat(np.arange(len(widths)), widths)
        self._part_of = np.repeat(
            np.arange(len(widths) * n_powers), np.repeat(widths // n_powers, n_powers)
        )

    def _extremes(self, X):
        """Return the logits and, of each class, the least sums and the largest, negated."""
        shape = self._n_read, len(self._layer_of)
        least, largest, outputs, unreadable = Extremes(shape), Extremes(shape), [], []
        read = self._reader(X)
        for part in self._blocks(len(X), _SUMS_BYTES):
            logits, sums = read(X[part])
            outputs.append(logits)
            unreadable.append(nan_where_unreadable(logits, sums))
            least.add(sums, logits.argmax(axis=1), part.start)
            largest.add(-sums, logits.argmax(axis=1), part.start)
        self._finite(np.concatenate(unreadable))
        return np.concatenate(outputs), least, largest

    def _smallest_units(self, least, largest):
        largest = np.maximum(least.size(), largest.size())
        of_parts = np.zeros(self._part_of[-1] + 1)
        np.maximum.at(of_parts, self._part_of, largest)
        # Where all is 0, any unit will do.
        return np.where(of_parts > 0, _LEAST_BOUND * of_parts, 1.0)[self._part_of]

    # ---- scores

    def _blocks(self, n, n_bytes):
        return blocks(n, max(1, n_bytes // (8 * len(self._layer_of))))

    def _predict_scores(self, X):
        read = self._reader(X)
        return np.concatenate([
            self._score_rows(*read(X[part])) for part in self._blocks(len(X), _SUMS_BYTES)
        ])

    def _score(self, logits, sums):
        predicted = logits.argmax(axis=1)
        deviations = np.concatenate([
            self._deviations(sums[part], predicted[part])
            for part in self._blocks(len(sums), _PART_BYTES)
        ])
        return -(deviations / self._expected).sum(axis=1)

    def _deviations(self, sums, predicted):
        """Return how far the sums of each row are outside the ranges, of shape (n, n_layers)."""
        excess = self._low.shortfall(sums, predicted) + self._high.shortfall(-sums, predicted)
        return np.add.reduceat(excess, self._starts, axis=1)


class GramSums(NamedTuple):
    """The summary of a layer: signed roots of the row sums of its Gram matrices.

    Attributes
    ----------
    powers : tuple of int
    """

    powers: tuple

    def __call__(self, maps):
        """Return the sums, of shape (n, n_powers * d), of maps of shape (n, d, n_positions).

        Of (F / c)^p they are computed, c the largest entry, and multiplied by c^2: a tenth power of
        activations would be too large for the dtype.
        """
        exact = maps.double()
        scale = exact.abs().amax(dim=(1, 2), keepdim=True)
        exact = exact / torch.where(scale > 0, scale, 1.0)
        sums, power = {}, torch.ones_like(exact)
        for p in range(1, max(self.powers) + 1):
            power *= exact
            if p in self.powers:
                # (F F') 1 = F (F' 1): no Gram matrix is made.
                row_sums = torch.bmm(power, power.sum(dim=1)[:, :, None])[:, :, 0]
                sums[p] = row_sums.sign() * row_sums.abs() ** (1 / p) * scale[:, 0] ** 2
        joined = torch.cat([sums[p] for p in self.powers], dim=1)
        return joined.to(torch.promote_types(maps.dtype, torch.float32))
