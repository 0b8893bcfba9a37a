"""The attack in training: its size in units of X, and the half of the outliers that it moves."""

import math
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch.utils.data import Dataset

from .._numbers import check_bounds
from ..engine.attack import Attack
from ..engine.build import compiled
from ..engine.inputs import is_pixels

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


def set_attack(detector, x_in, pool):
    """Set ``eps_``, ``step_size_`` and ``bounds_``, derived from X where they are "auto"."""
    are_images = x_in.ndim == 4
    detector.bounds_ = _bounds(detector.bounds, detector.eps, x_in)
    if detector.eps != "auto":
        eps = detector.eps
    elif not are_images:
        eps = _EPS_OF_TABLES * _spread(x_in)
    elif _is_finite(detector.bounds_):
        eps = _EPS_OF_IMAGES * (detector.bounds_[1] - detector.bounds_[0])
    else:
        raise ValueError(
            f"eps='auto' is 8/255 of the range of images, but bounds={detector.bounds} gives none: "
            "give eps in units of X."
        )
    step_size = detector.step_size
    detector.eps_ = float(eps)
    detector.step_size_ = float(eps / _N_STEPS_ACROSS if step_size == "auto" else step_size)
    if pool is not None and detector.bounds_ is not None and detector.n_steps > 0:
        _keep_within(pool, detector.bounds_)


def _bounds(bounds, eps, x_in):
    are_images = x_in.ndim == 4
    if bounds is None:
        return None
    if bounds != "auto":
        bounds = check_bounds(bounds)
        if are_images and x_in.dtype == np.uint8 and bounds != (0, 1):
            raise ValueError(
                f"bounds={bounds} cannot be kept: 8-bit images are read as [0, 1]. Give bounds="
                "(0, 1), and eps and step_size in these units, so 8/255."
            )
        return bounds
    if not are_images and eps != "auto":
        raise ValueError(
            f"eps={eps} is in units of X, so for samples of shape {x_in.shape[1:]} their range "
            "must be given, too: bounds=(lowest, highest), or None for no range."
        )
    return (0.0, 1.0) if are_images else None


def _is_finite(bounds):
    return bounds is not None and math.isfinite(bounds[1] - bounds[0])


def _keep_within(pool, bounds):
    """Refuse outliers outside the bounds now, not when one of them happens to be attacked.

    Those that the detector drew for itself are clipped: they surround X, not its range.
    """
    for i, source in enumerate(pool.sources):
        if isinstance(source, Dataset) or (source.ndim == 4 and source.dtype == np.uint8):
            continue  # seen when they are read, or in [0, 1] by definition
        if pool.synthetic:
            pool.sources = (*pool.sources[:i], source.clip(*bounds), *pool.sources[i + 1 :])
            continue
        for start in range(0, len(source), _N_LOOKED_AT):
            _check_within(source[start : start + _N_LOOKED_AT], bounds, pool.dtype, "X_aux")


def _check_within(x, bounds, dtype, name):
    least, largest = float(x.min()), float(x.max())
    # As the network reads them: a bound that is one of the values is still one.
    values = np.array([bounds[0], least, largest, bounds[1]]).astype(dtype)
    if not (values[:-1] <= values[1:]).all():
        raise ValueError(
            f"{name} must lie within bounds={bounds}, as X, got values from {least:.6g} to "
            f"{largest:.6g}: clip or scale them, or give the range of the data as bounds and eps "
            "in its units; bounds=None for no clipping."
        )


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
    bounds = detector.bounds_
    are_images = len(detector.input_shape_) == 3 and _is_finite(bounds)
    attack = Attack(
        detector.module_, objective, detector.eps_, detector.step_size_, detector.n_steps, bounds,
        start_grid=_PIXEL * (bounds[1] - bounds[0]) if are_images else None,
        precision=detector.precision, run=compiled(detector.module_, detector.compile),
        processes=detector._processes,
    )

    def perturb(x_out):
        clean, rest = x_out.tensor_split([len(x_out) // 2])
        return torch.cat([clean, attack(rest)])

    return perturb


def within_bounds(detector):
    """Return a callable that refuses outliers, as ``augment`` returns them, outside the bounds.

    None where there is nothing to refuse.
    """
    if detector.bounds_ is None or detector.n_steps == 0:
        return None

    def check(x_out):
        if not is_pixels(x_out):
            _check_within(x_out, detector.bounds_, detector.dtype, "X_aux, as augment returns it,")

    return check
