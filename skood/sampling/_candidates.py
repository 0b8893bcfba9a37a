"""What is asked of candidates, and of the share of them that is passed over."""

import math
from numbers import Real

import numpy as np
import torch


def one_a_candidate(name, values, advice=""):
    """Return a number for each candidate as `floats` does, or say why there is none."""
    values = floats(name, values, advice)
    if values.ndim != 1:
        raise ValueError(
            f"{name} must have shape (N,), one number a candidate, got {tuple(values.shape)}."
        )
    check_finite(name, values)
    return values


def floats(name, values, advice=""):
    """Return a tensor without graph, single precision or better, of an array or a tensor."""
    values = values.detach() if isinstance(values, torch.Tensor) else _tensor(name, values)
    if not values.is_floating_point():
        raise TypeError(f"{name} must hold floats, got {values.dtype}{advice}.")
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _tensor(name, values):
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold floats, got an array of {array.dtype}.")
    if array.dtype.kind == "f":
        # torch knows neither long doubles nor foreign byte orders, and warns of read-only maps.
        array = array.astype(np.float32 if array.dtype.itemsize < 8 else np.float64)
    return torch.from_numpy(array)


def check_finite(name, values):
    """Refuse what has no order, and no distance."""
    n_bad = int((~torch.isfinite(values)).sum())
    if n_bad:
        raise ValueError(f"{name} must be finite, got {n_bad} NaN or infinite values.")


def n_passed_over(quantile, n_candidates):
    """Return how many of the hardest candidates a quantile leaves out."""
    if isinstance(quantile, bool) or not isinstance(quantile, Real):
        raise TypeError(f"quantile must be a number, got {quantile!r}.")
    if not 0 <= quantile < 1:
        raise ValueError(f"quantile must be in [0, 1), got {quantile}.")
    return math.floor(quantile * n_candidates)
