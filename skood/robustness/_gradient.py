"""The network behind a detector, and what a white-box attack on it climbs."""

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ..engine import inference
from ..engine.inputs import TORCH_DTYPES, rows, to_input

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
        self.module = inference.in_eval_mode(_check_module(detector))
        self.dtype = _check_dtype(detector)
        self.objective = _check_objective(detector, objective)
        weight = next(self.module.parameters(), None)
        self.device = torch.device("cpu") if weight is None else weight.device

    def __call__(self, x):
        return self.objective(self.module(x))

    def batches(self, X):
        """Return the slices of X that go through the network at a time, as many as in scoring."""
        multiple = inference._MULTIPLE if X.ndim == 2 else inference._MULTIPLE_OF_IMAGES
        with torch.no_grad(), inference._Watch(multiple) as watch:
            self.module(inference._padded(self.read(X, slice(multiple)), multiple))
        row_bytes = max(watch.row_bytes, 4 * int(np.prod(X.shape[1:])))
        n = inference._n_fitting(row_bytes, multiple, self.device)
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
