"""The memory format of a network: channels last, in which convolutions are faster."""

from itertools import chain

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from .frozen import duplicate
from .precision import forward

_LARGEST_DIFFERENCE = 1e-3  # of the largest logit; rounding makes a thousandth of this


def in_fast_layout(module, example):
    """Lay the weights of an image network out with channels last, if it runs so.

    A training step of most convolutional networks gains a factor of 1.2 to 1.5 on a CPU, and the
    results differ by rounding. The first convolution turns its input, so callers need do nothing.
    A network that takes its activations apart by ``view`` refuses, and stays as it is, as does one
    whose tensors share memory. The choice never depends on timings, which would make fits
    irreproducible, and is made on copies: a trial leaves no trace.

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
    if not _shares_memory(module) and _runs_alike(module, example):
        _turn(module)
    return module


def _turn(module):
    for weight in module.parameters():
        if not is_lazy(weight) and weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    return module


def _shares_memory(module):
    """Whether tensors lie in the same memory without being one, a tie that a turn would undo."""
    tensors = chain(module.parameters(), module.buffers())
    places = [t.untyped_storage().data_ptr() for t in tensors if not is_lazy(t) and t.numel()]
    return len(set(places)) < len(places)


def _runs_alike(module, example):
    """Whether the logits of a few rows are the same, rounding apart, in both layouts."""
    plain = _trial(duplicate(module), example)
    turned = None if plain is None else _trial(_turn(duplicate(module)), example)
    if turned is None:
        return False
    return bool((turned - plain).abs().max() <= _LARGEST_DIFFERENCE * plain.abs().max())


def _trial(module, example):
    """Send a few rows through and a gradient back, in both modes; None where that fails.

    The logits are those of evaluation; in training, of which they may be random, it only has to
    run: some layers view their activations there alone.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            logits = _forward_and_back(module.eval(), example)
            _forward_and_back(module.train(), example)
    # How torch says that a view does not fit the strides, and that a layer wants more rows.
    except (RuntimeError, ValueError):
        return None
    return logits.detach()


def _forward_and_back(module, example):
    x = example.clone().requires_grad_()
    learning = [w for w in module.parameters() if w.requires_grad and not is_lazy(w)]
    logits = forward(module, x, "float32")
    if torch.is_tensor(logits):  # else training, which comes to it, says what is wrong
        torch.autograd.grad(logits.sum(), [x, *learning], allow_unused=True)
    return logits
