"""Which layers are read by a method that reads several."""

import torch

from ..nn.tap import Layers, forward_layers, inner_layers


def layers_of(module, example, names, summary, parameter):
    """Return the layers that are read, and how many numbers the summary of each has.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    example : Tensor of shape (n, *input_shape)
    names : sequence of str or None
        None: all convolutions and Linear layers that are called, except the head.
    summary : callable
        As in `Layers`.
    parameter : str
        What messages call the names.

    Returns
    -------
    layers : Layers
    widths : list of int
    """
    if names is None:
        names = inner_layers(module, example)
        if not names:
            raise ValueError(
                "estimator calls no convolution or Linear layer before its head: pass "
                f"{parameter}, the names of those to read."
            )
    if not len(names):
        raise ValueError(f"{parameter} is empty: name at least one layer.")
    layers = Layers(tuple(names), summary, parameter)
    with torch.no_grad():
        _, summaries = forward_layers(module, example, layers)
    return layers, [each.shape[1] for each in summaries]
