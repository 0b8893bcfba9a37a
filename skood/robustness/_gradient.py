"""The network behind a detector, and what a white-box attack on it climbs."""

from sklearn.utils.validation import check_is_fitted
from torch import nn

from ..engine.inference import device_of, in_eval_mode, rows_per_gradient
from ..engine.inputs import TORCH_DTYPES, rows, to_input
from ..engine.precision import forward

_N_EXAMPLE = 32  # rows that the size of a batch is measured on
_BLACK_BOX = "attacks=('natural', 'corrupted') ask for score_samples only"


class Gradient:
    """A detector's objective as a function of its inputs.

    Parameters
    ----------
    detector : estimator
        With ``module_`` and, without an `objective`, ``_objective``.
    objective : callable or None
        ``objective(logits) -> Tensor of shape (n,)``; None: the detector's own.

    Attributes
    ----------
    module : torch.nn.Module
        In evaluation mode; the detector's own stays in its mode.
    """

    def __init__(self, detector, objective):
        self.module = in_eval_mode(_check_module(detector))
        self.dtype = _check_dtype(detector)
        self.objective = _check_objective(detector, objective)
        self.precision = getattr(detector, "precision", "float32")
        self.device = device_of(self.module)

    def __call__(self, x):
        return self.objective(forward(self.module, x, self.precision))

    def batches(self, X):
        """Return the slices of X to take the gradient of at a time."""
        n = rows_per_gradient(self.module, self.read(X, slice(_N_EXAMPLE)), self.precision)
        return [slice(start, start + n) for start in range(0, len(X), n)]

    def read(self, X, index):
        """Return the rows as the network receives them."""
        return to_input(rows(X, index), self.dtype).to(self.device)


def _check_module(detector):
    module = getattr(detector, "module_", None)
    if isinstance(module, nn.Module):
        return module
    if hasattr(detector, "_objective"):
        check_is_fitted(detector)
    advice = _BLACK_BOX
    if hasattr(detector, "steps"):
        advice = (
            "evaluate its last step on inputs transformed by the others, evaluate_robustness("
            f"pipeline[-1], pipeline[:-1].transform(X_in), ...); or else {advice}"
        )
    raise TypeError(
        "the attacks 'linf' and 'compositional' need the gradient of a torch network, detector."
        f"module_, but {type(detector).__name__} has none: {advice}."
    )


def _check_dtype(detector):
    dtype = getattr(detector, "dtype", "float32")
    if dtype not in TORCH_DTYPES or not TORCH_DTYPES[dtype].is_floating_point:
        raise ValueError(
            f"the attacks 'linf' and 'compositional' move floats, but the network reads {dtype}: "
            f"{_BLACK_BOX}."
        )
    return dtype


def _check_objective(detector, objective):
    if objective is None:
        objective = getattr(detector, "_objective", None)
    if objective is None:
        raise TypeError(
            f"{type(detector).__name__} has no differentiable score of its own; pass objective="
            "callable(logits) -> tensor of shape (n,), such as skood.scores.energy, or "
            f"{_BLACK_BOX}."
        )
    if not callable(objective):
        raise TypeError(f"objective must be callable or None, got {objective!r}.")
    return objective
