"""What every loss asks of its logits."""

import torch


def at_least_float32(logits):
    # A log-sum-exp in half precision keeps about three digits, too few for a gradient.
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def check_logits(name, logits):
    if not isinstance(logits, torch.Tensor) or not logits.is_floating_point():
        came = getattr(logits, "dtype", type(logits).__name__)
        raise TypeError(f"{name} must be a floating point torch.Tensor, got {came}.")
    if logits.ndim != 2 or 0 in logits.shape:
        raise ValueError(
            f"{name} must have shape (n, K) with at least one row and one class, got "
            f"{tuple(logits.shape)}. The mean over no rows is not defined."
        )


def check_pair(logits_in, logits_out):
    check_logits("logits_in", logits_in)
    check_logits("logits_out", logits_out)
    if logits_in.shape[1] != logits_out.shape[1]:
        raise ValueError(
            "logits_in and logits_out must have the same number of classes, got "
            f"{logits_in.shape[1]} and {logits_out.shape[1]}."
        )
