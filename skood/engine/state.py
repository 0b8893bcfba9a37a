"""What a training is between two epochs: plain values, taken from its objects and put back."""

from collections import Counter, OrderedDict

import numpy as np
import torch

from .frozen import tensors_of
from .inference import device_of
from .processes import unwrapped

_SIMPLE = (type(None), bool, int, float, complex, str)
_MAPPINGS = (dict, OrderedDict, Counter)
_ARRAY = "__ndarray__"  # how an array is told from a tensor in a file that knows tensors alone


def plain(value):
    """Return a value in terms of what can be read without running code: numbers, text, tensors.

    Raises
    ------
    TypeError
        If it is, or contains, an object of another kind.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
        return {_ARRAY: torch.from_numpy(np.array(value))}
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, _MAPPINGS):
        kind = type(value) if type(value) in _MAPPINGS else dict
        return kind({plain(k): plain(v) for k, v in value.items()})
    if isinstance(value, (list, tuple)):
        return (tuple if isinstance(value, tuple) else list)(map(plain, value))
    if type(value) not in _SIMPLE:
        raise TypeError(f"an object of type {type(value).__name__}")
    return value


def rich(value):
    """Undo ``plain``."""
    if isinstance(value, dict):
        if value.keys() == {_ARRAY}:
            return value[_ARRAY].numpy()
        return type(value)({k: rich(v) for k, v in value.items()})
    if isinstance(value, (list, tuple)):
        return type(value)(map(rich, value))
    return value


# ---- modules


def of_module(module):
    """Return the state of a module, what its ``state_dict`` leaves out included."""
    state = _named(f"the state of a {type(module).__name__}", dict(module.state_dict()))
    rest = {name: plain(t) for name, t in tensors_of(module).items() if name not in state}
    learning = {name: weight.requires_grad for name, weight in module.named_parameters()}
    return {"state": state, "rest": rest, "learning": learning}


def to_module(module, kept):
    """Put the state back, into the same tensors: an optimizer may hold them already."""
    module.load_state_dict(rich(kept["state"]))
    for name, learns in kept["learning"].items():  # which a callback may have changed
        module.get_parameter(name).requires_grad_(learns)
    present, place = tensors_of(module), device_of(module)
    for name, tensor in kept["rest"].items():
        prefix, _, attribute = name.rpartition(".")
        device = present[name].device if name in present else place
        setattr(module.get_submodule(prefix), attribute, tensor.to(device))


# ---- generators


def of_generators(rng, device):
    """Return the state of the generators of a fit: torch's, NumPy's and that of a CUDA device."""
    state = {"torch": torch.get_rng_state(), "numpy": rng.bit_generator.state}
    if torch.device(device).type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def to_generators(kept, rng, device):
    """Put the state back; of a fit that was on another kind of device, as far as there is one."""
    torch.set_rng_state(kept["torch"])
    rng.bit_generator.state = kept["numpy"]
    if "cuda" in kept and torch.device(device).type == "cuda":
        torch.cuda.set_rng_state(kept["cuda"], device)


# ---- the loop


def of_net(net):
    """Return the state of a skorch net at the end of an epoch."""
    return {
        "module": of_module(unwrapped(net.module_)),
        "criterion": of_module(net.criterion_),
        "optimizer": _named("the state of the optimizer", net.optimizer_.state_dict()),
        "callbacks": {name: _of_callback(name, each) for name, each in net.callbacks_},
        "history": of_history(net.history),
        "generators": of_generators(net.loader.rng, net.device),
    }


def of_history(history):
    """Return the epochs without their batches, which are many and which nobody reads later."""
    rows = [{k: v for k, v in row.items() if k != "batches"} for row in history]
    return _named("the history", rows)


def to_net(net, kept):
    """Put the state into a net whose training has begun, and return the epochs that it has had."""
    to_module(unwrapped(net.module_), kept["module"])
    to_module(net.criterion_, kept["criterion"])
    net.optimizer_.load_state_dict(rich(kept["optimizer"]))
    for name, callback in net.callbacks_:
        _to_callback(callback, kept["callbacks"][name])
    net.history.extend({**row, "batches": []} for row in rich(kept["history"]))
    to_generators(kept["generators"], net.loader.rng, net.device)
    return len(net.history)


def _of_callback(name, callback):
    """Return what a callback has learned: by skorch's custom, attributes that end in _.

    Bars, files and the like are no state, and are left out.
    """
    state = {}
    for attribute, value in vars(callback).items():
        if not attribute.endswith("_") or isinstance(value, type):
            continue
        if hasattr(value, "state_dict"):
            state[attribute] = _named(
                f"the state of the callback {name!r}", value.state_dict()
            )
        elif _is_plain(value):
            state[attribute] = plain(value)
    return state


def _to_callback(callback, kept):
    for attribute, value in kept.items():
        present = getattr(callback, attribute, None)
        if hasattr(present, "load_state_dict"):
            present.load_state_dict(rich(value))
        else:
            setattr(callback, attribute, rich(value))


def _is_plain(value):
    try:
        plain(value)
    except TypeError:
        return False
    return True


def _named(what, value):
    try:
        return plain(value)
    except TypeError as error:
        raise TypeError(
            f"a checkpoint keeps numbers, text, arrays and tensors, but in {what} "
            f"there is {error}. Leave that out, or train with checkpoint=None."
        ) from error
