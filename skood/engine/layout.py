"""The memory format of a network: channels last, in which convolutions are faster."""

import torch
from torch import nn

from .inference import in_eval_mode

_LARGEST_DIFFERENCE = 1e-3  # of the largest logit; rounding makes a thousandth of this


def in_fast_layout(module, example):
    """Lay the weights of an image network out with channels last, if it runs so.

    A training step of most convolutional networks gains a factor of 1.2 to 1.5 on a CPU, and the
    results differ by rounding. The first convolution turns its input, so callers need do nothing.
    A network that takes its activations apart by ``view`` refuses, and stays as it is. The choice
    never depends on timings, which would make fits irreproducible.

    Parameters
    ----------
    module : torch.nn.Module
        Changed in place.
    example : Tensor of shape (n, *input_shape)

    Returns
    -------
    torch.nn.Module
        The same.
    """
    convolves = any(isinstance(layer, nn.Conv2d) for layer in module.modules())
    if example.ndim != 4 or not example.is_floating_point() or not convolves:
        return module
    before = _trial(module, example)
    _lay_out(module, torch.channels_last)
    after = None if before is None else _trial(module, example)
    if after is None or (after - before).abs().max() > _LARGEST_DIFFERENCE * before.abs().max():
        _lay_out(module, torch.contiguous_format)
    return module


def _lay_out(module, memory_format):
    for weight in module.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=memory_format)


def _trial(module, example):
    """Send a few rows through and a gradient back; None where that fails."""
    module, x = in_eval_mode(module), example.clone().requires_grad_()
    learning = [weight for weight in module.parameters() if weight.requires_grad]
    try:
        with torch.enable_grad():
            logits = module(x)
            torch.autograd.grad(logits.sum(), [x, *learning], allow_unused=True)
    except RuntimeError:  # how torch says that a view does not fit the strides
        return None
    return logits.detach()
