"""A network as a skeleton and NumPy arrays: what is pickled instead of torch tensors.

Arrays are written once, carry no device, and can be mapped from the file. The skeleton is the
module itself with its tensors on the meta device, so any module that can be copied can be stored.
"""

import copy
import warnings
from itertools import chain

import torch


def _tensors(module):
    # Not the state_dict: that leaves out non-persistent buffers and lists tied weights twice.
    return dict(chain(module.named_parameters(), module.named_buffers()))


def _replace(module, tensors):
    """Copy ``module`` with other tensors in place of its own; tied ones stay tied."""
    own = _tensors(module)
    return copy.deepcopy(module, {id(own[name]): tensor for name, tensor in tensors.items()})


def _like(original, tensor):
    if isinstance(original, torch.nn.Parameter):
        return torch.nn.Parameter(tensor, requires_grad=original.requires_grad)
    return tensor


def freeze(module):
    """Split a module into its skeleton and its weights.

    Returns
    -------
    skeleton : torch.nn.Module
        On the meta device.
    arrays : dict of str to ndarray
    """
    own = _tensors(module)
    skeleton = _replace(module, {n: _like(t, t.detach().to("meta")) for n, t in own.items()})
    return skeleton, {name: _to_array(tensor) for name, tensor in own.items()}


def thaw(skeleton, arrays):
    """Put the arrays back: the same module, its weights where the arrays lie (maybe in a file)."""
    own = _tensors(skeleton)
    return _replace(skeleton, {n: _like(t, _to_tensor(arrays[n], t.dtype)) for n, t in own.items()})


def _to_array(tensor):
    tensor = tensor.detach().cpu()
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy()


def _to_tensor(array, dtype):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensor = torch.from_numpy(array)
    return tensor.view(dtype) if dtype == torch.bfloat16 else tensor
