"""What the layers of any net receive and return, read in one pass that leaves no trace on it."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from ._hooks import recording, recording_output, undisturbed_eval
from .head import check_head, check_logits, find_head, linears_of


def _flat_features(features, x, name):
    """Return `features` as (n, d), or say why the layer's input cannot be read so."""
    if not isinstance(features, torch.Tensor) or features.ndim < 1 or len(features) != len(x):
        shape = getattr(features, "shape", None)
        found = "no tensor" if shape is None else f"shape {tuple(shape)}"
        raise ValueError(
            f"features are the input of the layer {name!r}, one row for each row of x ({len(x)}); "
            f"that layer was given {found}."
        )
    return features.flatten(1) if features.ndim > 1 else features[:, None]


def forward_features(module, x, head_name=None):
    """Run a net once and return its logits and the input of its head.

    Neither the mode nor the gradient state is touched: call it under ``torch.no_grad()`` and after
    ``module.eval()`` to score, or with gradients to train on the features. Several threads may run
    it on one net at the same time, and each gets its own features.

    Parameters
    ----------
    module : torch.nn.Module
        Net that returns logits of shape (n, K).
    x : tensor of shape (n, *input_shape)
        Rows that the net accepts.
    head_name : str, default=None
        Name of the layer whose input to return, as in ``module.named_modules()`` (any layer, not
        only a Linear; the last call counts). None: the Linear that is called last in this pass.

    Returns
    -------
    logits : tensor of shape (n, K)
        What the net returned.
    features : tensor of shape (n, d)
        The input of that layer, flattened row by row.

    Raises
    ------
    ValueError
        If there is no such layer, if it was not called, if its input does not have one row for
        each row of `x`, or if the net does not return a (n, K) tensor.

    See Also
    --------
    find_head : The name of the head.

    Examples
    --------
    >>> import torch
    >>> from skood.nn import MLP, forward_features
    >>> net = MLP((4,), 3)
    >>> logits, features = forward_features(net, torch.zeros(2, 4))
    >>> features.shape
    torch.Size([2, 64])
    >>> torch.allclose(net.head(features), logits)
    True
    """
    layers = linears_of(module) if head_name is None else [_named_layer(module, head_name)]
    with recording(layers) as call:
        logits = module(x)
    check_logits(logits, x)
    if head_name is None:
        check_head(call.layer, logits)
        head_name = layers[call.layer]
    elif call.layer is None:
        raise ValueError(f"head_name={head_name!r} names a layer that module(x) never calls.")
    return logits, _flat_features(call.input, x, head_name)


def forward_layer(module, x, name):
    """Run a net once and return its logits and what one of its layers returned.

    Parameters
    ----------
    module : torch.nn.Module
        Net that returns logits of shape (n, K).
    x : tensor of shape (n, *input_shape)
        Rows that the net accepts.
    name : str
        Name of a layer as in ``module.named_modules()``; the last call counts.

    Returns
    -------
    logits : tensor of shape (n, K)
        What the net returned.
    features : tensor of shape (n, d)
        What the layer returned; of maps, (n, d, ...), the mean over all positions.

    Raises
    ------
    ValueError
        If there is no such layer, if it was not called, or if it does not return one tensor with a
        row for each row of `x`.

    See Also
    --------
    forward_features : What a layer is given, the head above all.

    Examples
    --------
    >>> import torch
    >>> from skood.nn import SmallResNet, forward_layer
    >>> net = SmallResNet((3, 32, 32), 10)
    >>> logits, features = forward_layer(net, torch.zeros(2, 3, 32, 32), "stem")
    >>> len(features)
    2
    """
    logits, (features,) = forward_layers(module, x, Layers((name,), average, "feature_layer"))
    return logits, features


def average(maps):
    """Return the mean over the positions of maps of shape (n, d, n_positions)."""
    return maps.mean(2)


def _check_output(out, x, name):
    if not isinstance(out, torch.Tensor) or out.ndim < 2 or len(out) != len(x):
        came = f"shape {tuple(out.shape)}" if isinstance(out, torch.Tensor) else type(out).__name__
        raise ValueError(
            f"layer {name!r} must return a tensor with one row for each of the {len(x)} rows of x; "
            f"it returned {came}."
        )


class Layers(NamedTuple):
    """Several layers, and what is to be known of each.

    Attributes
    ----------
    names : tuple of str
        As in ``module.named_modules()``.
    summary : callable
        ``summary(maps)``, of a tensor of shape (n, d, n_positions), returns one of shape (n, m).
    parameter : str
        What messages call the names.
    """

    names: tuple
    summary: Callable
    parameter: str = "layers"


def forward_layers(module, x, layers):
    """Run a net once and return its logits and a summary of what each of several layers returned.

    A summary is made as soon as its layer returns: no maps are kept, and what the net does to them
    in place afterwards (``nn.ReLU(inplace=True)``) makes no difference.

    Parameters
    ----------
    module : torch.nn.Module
        Net that returns logits of shape (n, K).
    x : tensor of shape (n, *input_shape)
        Rows that the net accepts.
    layers : Layers
        Of a layer that is called several times the last call counts.

    Returns
    -------
    logits : tensor of shape (n, K)
        What the net returned.
    summaries : list of tensors of shape (n, m)
        In the order of ``layers.names``.

    Raises
    ------
    ValueError
        If there is no such layer, if it was not called, or if it does not return one tensor with a
        row for each row of `x`.

    See Also
    --------
    forward_layer : The output of one layer.
    """
    with ExitStack() as stack:
        lasts = [
            stack.enter_context(recording_output(
                _named_layer(module, name, layers.parameter),
                partial(_summarise, x, layers.summary, name),
            ))
            for name in layers.names
        ]
        logits = module(x)
    check_logits(logits, x)
    for name, last in zip(layers.names, lasts, strict=True):
        if last.output is None:
            raise ValueError(f"{layers.parameter} holds {name!r}, which module(x) never calls.")
    return logits, [last.output for last in lasts]


def _summarise(x, summary, name, layer, output):
    _check_output(output, x, name)
    maps = output.movedim(-1, 1) if _has_units_last(layer) else output
    return summary(maps.reshape(*maps.shape[:2], -1))


def _has_units_last(layer):
    """Whether a layer is one of tokens, whose positions, if any, come before their units."""
    if isinstance(layer, nn.LayerNorm):
        return len(layer.normalized_shape) == 1
    return isinstance(layer, nn.Linear)


def inner_layers(module, x):
    """Return the names of the convolutions and Linear layers that a net calls before its head.

    Parameters
    ----------
    module : torch.nn.Module
        Net that returns logits of shape (n, K) and ends in a Linear layer.
    x : tensor of shape (n, *input_shape)
        A few rows that the net accepts; two are enough.

    Returns
    -------
    list of str
        In the order of ``module.named_modules()``.

    See Also
    --------
    find_head : What counts as the head.
    """
    _, head = find_head(module, x)
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
    layers = {
        name: layer for name, layer in module.named_modules()
        if isinstance(layer, kinds) and layer is not head
    }
    with undisturbed_eval(module, x), ExitStack() as stack:
        lasts = {n: stack.enter_context(recording_output(layer)) for n, layer in layers.items()}
        module(x)
    return [name for name, last in lasts.items() if last.output is not None]


def _named_layer(module, name, parameter="head_name"):
    layers = dict(module.named_modules(remove_duplicate=False))
    if name not in layers:
        known = ", ".join(each for each in layers if each)
        raise ValueError(f"{parameter}={name!r} is no layer of module; it has {known}.")
    return layers[name]
