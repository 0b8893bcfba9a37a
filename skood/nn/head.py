"""The last Linear layer that any net calls, its head: found, and widened."""

import torch
from torch import nn

from .._numbers import check_integer
from ._hooks import recording, undisturbed_eval


def linears_of(module):
    """Return the Linear layers of a net, and the name of each."""
    return {layer: name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}


def check_logits(logits, x):
    """Raise unless `logits` is a (n, K) tensor for the n rows of `x`."""
    if not isinstance(logits, torch.Tensor):
        raise ValueError(
            f"module must return one tensor of logits, shape (n, K); it returned a "
            f"{type(logits).__name__}. Wrap it in a module that returns the logits alone."
        )
    if logits.ndim != 2 or len(logits) != len(x):
        raise ValueError(
            f"module must return logits of shape (n, K) = ({len(x)}, K) for {len(x)} rows; "
            f"it returned shape {tuple(logits.shape)}."
        )


def find_head(module, x):
    """Find the Linear layer that a net calls last: its head.

    The order is that of execution, not of definition. The net runs once on `x`, in eval mode and
    without gradients; the mode of every submodule, torch's random state and the hooks are
    afterwards as they were.

    Parameters
    ----------
    module : torch.nn.Module
        Net that returns logits of shape (n, K).
    x : tensor of shape (n, *input_shape)
        A few rows that the net accepts; two are enough.

    Returns
    -------
    name : str
        Name of the layer in ``module.named_modules()``; ``""`` when it is `module` itself. A layer
        that stands in several places goes by its first name.
    head : torch.nn.Linear
        That layer, with K outputs.

    Raises
    ------
    ValueError
        If no Linear is called, if the net does not return a (n, K) tensor, or if the Linear that
        is called last does not have K outputs, so that it is not what the logits come from.

    See Also
    --------
    forward_features : Logits and the input of the head in one pass.
    widen_head : Give the head more outputs.

    Examples
    --------
    >>> import torch
    >>> from skood.nn import MLP, find_head
    >>> find_head(MLP((4,), 3), torch.zeros(2, 4))
    ('head', Linear(in_features=64, out_features=3, bias=True))
    """
    linears = linears_of(module)
    with undisturbed_eval(module, x), recording(linears) as call:
        logits = module(x)
    check_logits(logits, x)
    check_head(call.layer, logits)
    return linears[call.layer], call.layer


def check_head(layer, logits):
    """Raise unless `layer` is a Linear with as many outputs as there are logits."""
    if layer is None:
        raise ValueError(
            "module called no nn.Linear, so it has no head to read or widen. Let it end in an "
            "nn.Linear (a 1x1 convolution before global pooling can be one after it), and pass "
            "the plain module rather than a scripted or DataParallel one."
        )
    if layer.out_features != logits.shape[1]:
        raise ValueError(
            f"module returns {logits.shape[1]} logits, but the last nn.Linear that it calls has "
            f"{layer.out_features} outputs: the logits must come from that layer."
        )


def widen_head(module, x, n_outputs):
    """Give the head of a net more outputs, in place, keeping the old ones bit for bit.

    The rows that are added start as torch's default Linear does (uniform in ±1/sqrt(in_features)),
    drawn from torch's CPU generator, so that a seed gives the same rows on every device. Type,
    device and `requires_grad` of weight and bias stay. The layer object itself stays too, and with
    it its subclass, its hooks and every place that it stands in; weight and bias become new
    parameters, so make the optimizer afterwards, and a weight tied to another layer (an embedding)
    is no longer tied.

    Parameters
    ----------
    module : torch.nn.Module
        Net that returns logits of shape (n, K). It is changed: pass a deep copy of a user's net.
    x : tensor of shape (n, *input_shape)
        A few rows that the net accepts.
    n_outputs : int
        Number of logits to have, at least K. K does nothing.

    Returns
    -------
    module : torch.nn.Module
        `module` itself, now with `n_outputs` logits; the first K are the old ones.

    Raises
    ------
    ValueError
        If `n_outputs` is below K, if the net has no head (see `find_head`), if the head's weight is
        computed by a parametrization or pruning mask, or if the widened net does not
        return `n_outputs` logits; in these cases the net is left as it was.

    See Also
    --------
    find_head : What counts as the head.

    Examples
    --------
    >>> import torch
    >>> from skood.nn import MLP, widen_head
    >>> widen_head(MLP((4,), 3), torch.zeros(2, 4), 5)(torch.zeros(2, 4)).shape
    torch.Size([2, 5])
    """
    name, head = find_head(module, x)
    old = head.out_features
    if check_integer("n_outputs", n_outputs, 1) == old:
        return module
    if n_outputs < old:
        raise ValueError(f"n_outputs must be at least the module's {old} logits, got {n_outputs}.")
    if not all(isinstance(p, nn.Parameter | None) for p in (head.weight, head.bias)):
        raise ValueError(
            f"the weight or bias of the head {name!r} is computed from other parameters (by a "
            "parametrization or pruning); make it plain first, with "
            "torch.nn.utils.parametrize.remove_parametrizations or torch.nn.utils.prune.remove."
        )
    kept = head.weight, head.bias, old
    fresh = nn.Linear(
        head.in_features, n_outputs - old, bias=head.bias is not None, dtype=head.weight.dtype
    )
    bias = None if head.bias is None else _stacked(head.bias, fresh.bias)
    _set_head(head, _stacked(head.weight, fresh.weight), bias, n_outputs)
    _keep_if_it_fits(module, x, head, kept)
    return module


def _stacked(old, new):
    rows = torch.cat([old.detach(), new.detach().to(old.device)])
    return nn.Parameter(rows, requires_grad=old.requires_grad)


def _set_head(head, weight, bias, n_outputs):
    head.weight, head.bias, head.out_features = weight, bias, n_outputs


def _keep_if_it_fits(module, x, head, kept):
    """Run the widened net; put the head back and raise if its logits are not as many as wanted.

    So fails a net with something after its head that counts on the old number of outputs.
    """
    wanted, fits, cause = (len(x), head.out_features), False, None
    try:
        with undisturbed_eval(module, x):
            fits = module(x).shape == wanted
    except RuntimeError as error:
        cause = error
    finally:
        if not fits:
            _set_head(head, *kept)
    if not fits:
        raise ValueError(
            f"the module does not work with its head widened from {kept[2]} to {wanted[1]} "
            f"outputs: something else in it counts on {kept[2]}. Pass a module that already has "
            f"{wanted[1]} outputs."
        ) from cause
