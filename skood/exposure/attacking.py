"""The attack in training: its size in units of X, and the half of the outliers that it moves."""

from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions

from ..engine.attack import Attack

ATTACK_CONSTRAINTS = {
    "eps": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
    "step_size": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
    "n_steps": [Interval(Integral, 0, None, closed="left")],
    "bounds": [tuple, list, None, StrOptions({"auto"})],
    "dtype": [StrOptions({"float32", "float64"})],
}

_PIXEL = 1 / 255
_EPS_OF_IMAGES = 8 * _PIXEL
_EPS_OF_TABLES = 0.1  # of the columns' spread, the size of a measurement's error
_N_STEPS_ACROSS = 4  # steps from the middle of the ball to its edge, as published
_N_LOOKED_AT = 10_000  # rows from which the spread of a table is read


def set_attack(detector, x_in):
    """Set ``eps_``, ``step_size_`` and ``bounds_``, derived from X where they are "auto"."""
    are_images = x_in.ndim == 4
    eps, bounds = detector.eps, detector.bounds
    if bounds == "auto":
        if not are_images and eps != "auto":
            raise ValueError(
                f"eps={eps} is in units of X, so for samples of shape {x_in.shape[1:]} their range "
                "must be given, too: bounds=(lowest, highest), or None for no range."
            )
        bounds = (0.0, 1.0) if are_images else None
    if eps == "auto":
        eps = _EPS_OF_IMAGES if are_images else _EPS_OF_TABLES * _spread(x_in)
    step_size = detector.step_size
    detector.eps_ = float(eps)
    detector.step_size_ = float(eps / _N_STEPS_ACROSS if step_size == "auto" else step_size)
    detector.bounds_ = bounds


def _spread(X):
    """Return the root mean square of the columns' standard deviations."""
    part = X[:: max(1, len(X) // _N_LOOKED_AT)]
    return float(np.sqrt(part.var(axis=0, dtype=np.float64).mean())) or 1.0  # of constant rows


def half_attacked(detector, objective):
    """Return the perturbation that moves half of the outliers to where the objective is higher.

    Parameters
    ----------
    detector : BaseExposureDetector
        After ``set_attack``, with the network that is to be trained.
    objective : callable
        ``objective(logits) -> Tensor of shape (n,)``.
    """
    are_pixels = len(detector.input_shape_) == 3 and tuple(detector.bounds_ or ()) == (0, 1)
    attack = Attack(
        detector.module_, objective, detector.eps_, detector.step_size_, detector.n_steps,
        detector.bounds_, start_grid=_PIXEL if are_pixels else None, precision=detector.precision,
    )

    def perturb(x_out):
        clean, rest = x_out.tensor_split([len(x_out) // 2])
        return torch.cat([clean, attack(rest)])

    return perturb
