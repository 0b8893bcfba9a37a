"""A network as a skeleton and NumPy arrays: what is pickled instead of torch tensors.

Arrays are written once, carry no device, and can be mapped from the file. The skeleton is the
module itself with outlines in place of its tensors, so a module that can be pickled can be stored.
No torch tensor is left, not even one on the meta device, which skops could not hold.
"""

import copy
import warnings
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.parameter import is_lazy


class Frozen(NamedTuple):
    """A module as it lies in a file.

    Attributes
    ----------
    skeleton : torch.nn.Module
        With an ``Outline`` in place of each tensor.
    arrays : dict of str to ndarray
    """

    skeleton: torch.nn.Module
    arrays: dict


class Outline:
    """What there is of a tensor besides its values, in plain numbers and text.

    Parameters
    ----------
    name : str
        Of its values, in ``Frozen.arrays``.
    tensor : torch.Tensor
    """

    # No named tuple: recurrent layers refer weakly to what stands in place of their weights.
    def __init__(self, name, tensor):
        self.name, self.stride = name, stride_of(tensor)
        self.dtype = str(tensor.dtype).removeprefix("torch.")
        self.is_parameter = isinstance(tensor, torch.nn.Parameter)
        self.requires_grad = self.is_parameter and tensor.requires_grad

    def tensor(self, array):
        """Return the tensor with these values, which stay where they lie if that can be."""
        tensor = _to_tensor(array, getattr(torch, self.dtype), self.stride)
        return torch.nn.Parameter(tensor, self.requires_grad) if self.is_parameter else tensor


def freeze(module):
    """Split a module into its skeleton and its weights, a ``Frozen``."""
    own = {name: tensor for name, tensor in tensors_of(module).items() if not is_lazy(tensor)}
    skeleton = _replace(module, {name: Outline(name, tensor) for name, tensor in own.items()})
    return Frozen(skeleton, {name: _to_array(tensor) for name, tensor in own.items()})


def thaw(frozen):
    """Put the arrays back: the same module, its weights where the arrays lie (maybe in a file)."""
    outlines = [each for each in _held(frozen.skeleton) if isinstance(each, Outline)]
    tensors = {id(each): each.tensor(frozen.arrays[each.name]) for each in outlines}
    return copy.deepcopy(frozen.skeleton, tensors)


def _held(module):
    """Return what submodules hold as parameters, buffers and plain attributes, tied ones often."""
    for child in module.modules():
        yield from chain(child._parameters.values(), child._buffers.values(), vars(child).values())


def shadow(module):
    """Return another module around the same tensors: its modes and hooks are its own."""
    return _replace(module, tensors_of(module))


def around(module, tensors):
    """Return another module with other tensors in place of some of its own; tied ones stay tied.

    Parameters
    ----------
    module : torch.nn.Module
        Not changed. Its remaining tensors are shared; modes and hooks of the two are their own.
    tensors : dict of str to tensor
        By the names of parameters and buffers. Parameters among them do not require gradients.
    """
    parameters, buffers = dict(module.named_parameters()), dict(module.named_buffers())
    mine = {
        id(parameters[name]): torch.nn.Parameter(tensor, requires_grad=False)
        for name, tensor in tensors.items() if name in parameters
    }
    mine |= {id(buffers[name]): tensor for name, tensor in tensors.items() if name in buffers}
    other = shadow(module)
    for layer in other.modules():
        for name, tensor in chain(layer._parameters.items(), layer._buffers.items()):
            if id(tensor) in mine:
                setattr(layer, name, mine[id(tensor)])
    return other


def filled(module, tensors, attributes):
    """Return a copy of a module with other values in its tensors, on the devices of the old ones.

    Parameters
    ----------
    module : torch.nn.Module
        Not changed.
    tensors : dict of str to tensor
        All parameters and buffers, by their names.
    attributes : dict of str to tensor
        Plain attributes, as ``tensors_of`` names them. The module need not have them yet: what a
        network remembers of its last forward pass, it has after the first.

    Raises
    ------
    ValueError
        If ``tensors`` are not those of the module.
    """
    other = duplicate(module)
    own = registered(other)
    _check_alike(tensors, own)
    for name, tensor in own.items():
        tensor.data = tensors[name].to(tensor.device)
    place = next((tensor.device for tensor in own.values()), torch.device("cpu"))
    for name, tensor in attributes.items():
        prefix, _, attribute = name.rpartition(".")
        child = other.get_submodule(prefix)
        _check_is_free(child, attribute)
        setattr(child, attribute, tensor.to(place))
    return other


def _check_is_free(child, attribute):
    """Refuse a tensor in the place of what a module is made of or computes with."""
    present = getattr(child, attribute, None)
    if attribute in registered(child) or not (present is None or torch.is_tensor(present)):
        raise ValueError(f"the file sets {attribute} of a {type(child).__name__}, which is taken.")


def _check_alike(tensors, own):
    for name in sorted(tensors.keys() | own.keys()):
        kept, now = _described(tensors.get(name)), _described(own.get(name))
        if kept != now:
            raise ValueError(
                f"{name} is {kept} in the file and {now} in the network of the detector: give the "
                "network that was trained."
            )


def _described(tensor):
    if tensor is None:
        return "missing"
    if is_lazy(tensor):
        return "not there before the first batch"
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {tuple(tensor.shape)}"


def duplicate(module):
    """Copy a trained module, also one that keeps a tensor of its last forward pass.

    Such a tensor, a stored feature or the weight of ``torch.nn.utils.weight_norm``, is part of an
    autograd graph, which torch does not copy: its values are.
    """
    kept = {n: t for n, t in _attributes(module).items() if not t.is_leaf}
    return copy.deepcopy(module, {id(t): t.detach().clone() for t in kept.values()})


def _attributes(module):
    """Return the tensors that submodules hold as plain attributes, unknown to torch."""
    return {
        f"{prefix}.{name}": value
        for prefix, child in module.named_modules()
        for name, value in vars(child).items()
        if torch.is_tensor(value)
    }


def tensors_of(module):
    """Return all tensors of a module by name, each once: parameters, buffers, plain attributes."""
    return {**_attributes(module), **registered(module)}


def registered(module):
    """Return the parameters and buffers of a module by name, each once."""
    # Not the state_dict: that leaves out non-persistent buffers and lists tied weights twice.
    return dict(chain(module.named_parameters(), module.named_buffers()))


def _replace(module, tensors):
    """Copy ``module`` with other tensors in place of its own; tied ones stay tied."""
    own = tensors_of(module)
    return copy.deepcopy(module, {id(own[name]): tensor for name, tensor in tensors.items()})


def stride_of(tensor):
    """Return how a copy of a tensor lies: as it does itself, unless it repeats its numbers."""
    return tuple(torch.empty_like(tensor, device="meta").stride())


def _bits(dtype):
    """Return the integer dtype to store a float in that NumPy does not know, or None."""
    known = (torch.float16, torch.float32, torch.float64)
    if not dtype.is_floating_point or dtype in known:
        return None
    return {1: torch.uint8, 2: torch.int16}[dtype.itemsize]


def _to_array(tensor):
    tensor, bits = tensor.detach().cpu(), _bits(tensor.dtype)
    return (tensor if bits is None else tensor.view(bits)).numpy()


def _to_tensor(array, dtype, stride):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensor = torch.from_numpy(np.asarray(array))
    if _bits(dtype) is not None:
        tensor = tensor.view(dtype)
    if tensor.stride() == stride:
        return tensor
    # Files keep no memory format but rows first, and convolutions round otherwise in channels_last.
    return torch.empty_strided(tensor.shape, stride, dtype=dtype).copy_(tensor)
