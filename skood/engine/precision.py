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
    """Return the logits of a batch, in float32 or wider.

    Parameters
    ----------
    module : torch.nn.Module
    x : Tensor of shape (n, ...)
    precision : {"float32", "bf16"}
        "bf16" runs matrix products and convolutions in bfloat16, by torch's autocast; weights,
        normalisation, losses and scores stay in float32. "float32" leaves everything as it is.
    """
    if precision == "float32":
        return module(x)
    with torch.autocast(x.device.type, torch.bfloat16):
        return module(x).float()
