"""Arrays and tensors alike: what every score does with its logits first."""

from functools import wraps
from inspect import signature

import numpy as np
import torch


def array_or_tensor(formula):
    """Let a formula on floating tensors (n, K) read arrays as well, and answer in kind."""

    @wraps(formula)
    def score(logits, *args, **kwargs):
        is_tensor = isinstance(logits, torch.Tensor)
        z = logits if is_tensor else _from_array(logits)
        _check_logits(z)
        result = formula(z.to(torch.promote_types(z.dtype, torch.float32)), *args, **kwargs)
        return result.to(z.dtype) if is_tensor else result.numpy()

    return score


def arrays_or_tensors(formula):
    """Let a formula on floating tensors (n, d) and more of them read arrays, and answer in kind.

    The first argument is the features or logits of the rows; array or tensor, so must be the others
    that are no plain numbers, by position or by name.
    """
    parameters = signature(formula)

    @wraps(formula)
    def score(*args, **kwargs):
        given = parameters.bind(*args, **kwargs).arguments
        first = next(iter(given.values()))
        if not isinstance(first, torch.Tensor):
            given = {n: _from_array(a, n) if _is_array(a) else a for n, a in given.items()}
            return formula(**given).numpy()
        wide = torch.promote_types(first.dtype, torch.float32)
        given = {n: a.to(wide) if isinstance(a, torch.Tensor) else a for n, a in given.items()}
        return formula(**given).to(first.dtype)

    return score


def _is_array(argument):
    return isinstance(argument, (np.ndarray, list))


def _from_array(logits, name="logits"):
    array = np.asarray(logits)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be real numbers, got an array of dtype {array.dtype}.")
    # torch shares memory only with writable, forward-strided arrays; a read-only memmap is copied.
    return torch.from_numpy(np.require(array, np.float64, ["C", "W"]))


def _check_logits(logits):
    if not logits.is_floating_point():
        raise TypeError(f"logits must be a floating point tensor, got {logits.dtype}.")
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(
            f"logits must have shape (n, K) with K >= 1 classes, got {tuple(logits.shape)}. "
            "Give one row as logits[None]."
        )
