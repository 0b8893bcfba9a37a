"""The forward pass in the precision that was asked for."""

import torch


def check_precision(precision, dtype):
    """Refuse to compute in bfloat16 what is asked for in double precision."""
    if precision == "bf16" and dtype == "float64":
        raise ValueError(
            "precision='bf16' computes in bfloat16, which dtype='float64' rules out: use "
            "dtype='float32', or precision='float32', which then is float64 throughout."
        )


def forward(module, x, precision):
    """Return the logits of a batch, or whatever tensors the module returns, in float32 or wider.

    Parameters
    ----------
    module : torch.nn.Module or callable
    x : Tensor of shape (n, ...)
    precision : {"float32", "bf16"}
        "bf16" runs matrix products and convolutions in bfloat16, by torch's autocast; weights,
        normalisation, losses and scores stay in float32. "float32" leaves everything as it is. An
        autocast of the caller's own changes neither.
    """
    device, lower = x.device.type, precision == "bf16"
    if not lower and not torch.is_autocast_enabled(device):
        return module(x)
    # Without the cache of weights in bfloat16: inside an autocast of the caller's it would outlive
    # the steps of the optimizer, and the network would never be seen to learn.
    with torch.autocast(device, torch.bfloat16, enabled=lower, cache_enabled=False):
        out = module(x)
        return _widened(out) if lower else out


def _widened(out):
    if isinstance(out, tuple):
        return tuple(map(_widened, out))
    return out.to(torch.promote_types(out.dtype, torch.float32))
