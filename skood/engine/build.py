"""The network of a fit: a default, the user's factory called, or the user's trained net copied."""

import copy
import inspect
from itertools import chain

import torch
from torch import nn

from .._spelling import did_you_mean
from ..nn import MLP, SmallResNet, widen_head
from .frozen import duplicate
from .inference import in_eval_mode
from .inputs import TORCH_DTYPES
from .layout import in_fast_layout


def build_module(module, options, example, *, n_classes, n_outputs, dtype):
    """Build the network that a detector trains.

    Parameters
    ----------
    module : None, type, callable or torch.nn.Module
        As the detectors' parameter ``module``. An instance is copied, never changed.
    options : dict
        The detector's ``module__*`` parameters, without their prefix.
    example : Tensor of shape (n, *input_shape)
        A few rows as the module will receive them.
    n_classes : int
        In-distribution classes: what a trained instance may have as outputs before widening.
    n_outputs : int
        Outputs that the method needs.
    dtype : {"float32", "float64", "int64"}

    Raises
    ------
    TypeError
        If ``options`` holds a name that the factory does not take, or the module returns no logits.
    ValueError
        If the module's outputs are not the ones needed.
    """
    if isinstance(module, nn.Module):
        built = _from_instance(module, options, example, n_classes, n_outputs, dtype)
    else:
        built = _from_factory(module, options, example, n_outputs, dtype)
    return in_fast_layout(built, example)


def _from_factory(module, options, example, n_outputs, dtype):
    shape = tuple(example.shape[1:])
    factory = _default(shape, dtype) if module is None else module
    check_options("module", factory, options, n_positional=2)
    # Copies: a trained backbone or an embedding matrix among the options stays as it was, and so
    # does a net of the user's own that a callable returns instead of building one.
    built = factory(shape, n_outputs, **copy.deepcopy(options))
    if not isinstance(built, nn.Module):
        raise TypeError(f"module must build a torch.nn.Module, got {type(built).__name__}.")
    built = _converted(built if isinstance(factory, type) else duplicate(built), dtype)
    n_now = count_outputs(built, example)
    if n_now != n_outputs:
        raise ValueError(
            f"module must return logits of shape (n, {n_outputs}), got (n, {n_now}). A class or "
            "callable is called as module(input_shape, n_outputs, **module__params)."
        )
    return built


def _converted(module, dtype):
    if dtype != "int64":
        for tensor in chain(module.parameters(), module.buffers()):
            # module.to(dtype) would drop the imaginary part of complex weights.
            if tensor.is_floating_point():
                tensor.data = tensor.data.to(TORCH_DTYPES[dtype])
    return module


def _default(shape, dtype):
    if dtype != "int64" and len(shape) == 1:
        return MLP
    if dtype != "int64" and len(shape) == 3:
        if shape[-1] in (1, 3) and shape[0] > 4:
            raise ValueError(
                f"X holds images of shape {shape}, which looks like channels last; pass channels "
                "first: X.transpose(0, 3, 1, 2)."
            )
        return SmallResNet
    if len(shape) == 2:
        raise ValueError(
            f"module=None has no default for samples of shape {shape}. For grey images add a "
            "channel axis, X[:, None]; for sequences pass a class or callable as module."
        )
    raise ValueError(
        f"module=None has a default for float rows of shape (d,) and (C, H, W) only, not for "
        f"shape {shape} with dtype={dtype!r}. Pass a class or callable "
        "(input_shape, n_outputs) -> nn.Module."
    )


def _from_instance(module, options, example, n_classes, n_outputs, dtype):
    if options:
        raise TypeError(
            f"module__* parameters ({', '.join(sorted(options))}) build a network from a class; "
            "module is an instance already built. Pass its class, or drop them."
        )
    built = _converted(duplicate(module).cpu(), dtype)
    if not any(p.requires_grad for p in built.parameters()):
        built.requires_grad_(True)  # a fitted detector's module_: frozen to be read, not for good
    n_now = count_outputs(built, example)
    if n_now == n_outputs:
        return built
    if n_now == n_classes:
        return widen_head(built, example, n_outputs)
    if n_classes == 1:
        raise ValueError(
            f"module has {n_now} outputs, but without labels the method needs {n_outputs}. Pass y, "
            "the labels it was trained with, or a class that builds a new network."
        )
    raise ValueError(
        f"module has {n_now} outputs, but y has {n_classes} classes"
        + (f" (the method needs {n_outputs} outputs)" if n_outputs != n_classes else "")
        + ". A trained instance must have one output for each class of y, in sorted order: "
        "pass the labels it was trained with, or a class that builds a new network."
    )


def count_outputs(module, example, name="module"):
    """Run a module on a few rows, in evaluation mode, and count its logits.

    Parameters
    ----------
    module : torch.nn.Module
    example : Tensor of shape (n, *input_shape)
        As the module will receive them.
    name : str
        What the messages call the module.
    """
    try:
        with torch.no_grad():
            logits = in_eval_mode(module)(example)
    except RuntimeError as error:  # how torch says that shapes or dtypes do not fit
        raise ValueError(
            f"{name} cannot read a batch of shape {tuple(example.shape)} and dtype "
            f"{example.dtype}: {error}" + _dtype_remedy(module, example)
        ) from error
    if not torch.is_tensor(logits):
        raise TypeError(f"{name} must return a Tensor of logits, got {type(logits).__name__}.")
    if logits.ndim != 2 or len(logits) != len(example):
        raise ValueError(
            f"{name} must return logits of shape (n, n_outputs), got {tuple(logits.shape)} for "
            f"{len(example)} rows."
        )
    return logits.shape[1]


def _dtype_remedy(module, example):
    """Return what to do with a network that is read as it is, and whose weights are not float32."""
    weights = {p.dtype for p in module.parameters() if p.is_floating_point()}
    if not example.is_floating_point() or not weights or example.dtype in weights:
        return ""
    if weights == {torch.float64}:
        return ". Its weights are float64: pass dtype='float64'."
    names = ", ".join(sorted(map(str, weights)))
    return f". Its weights are {names}: pass a copy.deepcopy(net).float()."


def compiled(module, how):
    """Return a function that computes as the module does, or None where nothing is compiled.

    The module itself stays as it is, and is what is kept: what is compiled cannot be stored.

    Parameters
    ----------
    module : torch.nn.Module
    how : bool or dict
        True, or arguments of ``torch.compile``. False: not.
    """
    if how is False:
        return None
    # A function: skorch would train, move and copy the compiled module beside its original.
    return torch.compile(module, **({} if how is True else how)).__call__


def check_device(device):
    """Refuse a device that torch does not know or this machine does not have."""
    try:
        kind = torch.device(device).type
        if kind == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("this torch finds no CUDA device")
        if kind == "meta":
            raise RuntimeError("tensors there hold no numbers")
        torch.empty(1, device=device)
    except RuntimeError as error:
        raise ValueError(f"device={device!r} cannot be used: {error}. Pass 'cpu'.") from error


def check_options(prefix, factory, options, n_positional):
    """Refuse a prefixed parameter that its target does not take, and name the nearest."""
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except ValueError:  # a builtin without a signature: Python itself will check the call
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    taken = [p.name for p in parameters[n_positional:] if p.kind is not p.VAR_POSITIONAL]
    for name in sorted(set(options) - set(taken)):
        raise TypeError(
            f"{prefix}__{name} is not a parameter of {_called(factory)}, which takes "
            f"{', '.join(f'{prefix}__{each}' for each in taken) or 'none'}."
            + did_you_mean(name, taken, f"{prefix}__{{}}".format)
        )


def _called(factory):
    """Return what messages call a factory, which may be a partial or an object with __call__."""
    inner = getattr(factory, "func", factory)
    return getattr(inner, "__name__", type(inner).__name__).lstrip("_")
