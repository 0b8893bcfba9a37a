"""Fitted attributes as JSON and tensors, which are read without running any code."""

import reprlib

import numpy as np
import torch

from .frozen import filled, registered, stride_of, tensors_of

_NUMBERS = frozenset(
    map(np.dtype, ("bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"))
)
_TAG = "~"  # marks what JSON has no word for
_LARGEST_TEXT = 2**28  # bytes: an array of text is as wide as it says, however short its items
_KINDS = {}


def kept_in_files(cls):
    """Let instances of a class be attributes of a detector that a file of weights keeps.

    Files name the class, and its fields or attributes: they keep their names.
    """
    _KINDS[cls.__name__] = cls
    return cls


# ---- values


def pack(value, tensors, name):
    """Return a value in terms of JSON; its arrays go to ``tensors``, a dict.

    Parameters
    ----------
    value : object
    tensors : dict of str to tensor
        Gains arrays under names that begin with ``name``.
    name : str

    Raises
    ------
    TypeError
        If it is, or contains, what no file of weights can keep.
    """
    if isinstance(value, np.ndarray):
        return _pack_array(value, tensors, name)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, np.generic):  # before float, of which float64 is one
        return {_TAG: "scalar", "array": _pack_array(np.asarray(value), tensors, name)}
    if isinstance(value, (bool, int, float)):
        return value
    if type(value) in _KINDS.values():
        fields = value._asdict() if isinstance(value, tuple) else vars(value)
        return {_TAG: type(value).__name__, "fields": pack(fields, tensors, name)}
    if type(value) in (list, tuple):
        items = [pack(each, tensors, f"{name}.{i}") for i, each in enumerate(value)]
        return items if isinstance(value, list) else {_TAG: "tuple", "items": items}
    if type(value) is dict and all(isinstance(key, str) and key != _TAG for key in value):
        return {key: pack(each, tensors, f"{name}.{key}") for key, each in value.items()}
    raise TypeError(f"{name} is, or contains, a {type(value).__name__}")


def unpack(kept, tensors):
    """Undo ``pack``.

    Raises
    ------
    LookupError, OverflowError, RecursionError, TypeError or ValueError
        If ``pack`` did not make ``kept``.
    """
    if isinstance(kept, list):
        return [unpack(each, tensors) for each in kept]
    if not isinstance(kept, dict):
        return kept
    kind = kept.get(_TAG)
    if kind is None:
        return {key: unpack(each, tensors) for key, each in kept.items()}
    if kind == "array":
        return _unpack_array(kept, tensors)
    if kind == "list":
        return _unpack_list(kept, tensors)
    if kind == "scalar":
        return unpack(kept["array"], tensors)[()]
    if kind == "tuple":
        return tuple(unpack(kept["items"], tensors))
    return _made(_KINDS[kind], unpack(kept["fields"], tensors))


def _made(cls, fields):
    if not isinstance(fields, dict):
        raise ValueError(f"the file has no fields of a {cls.__name__}.")
    if issubclass(cls, tuple):
        return cls(**fields)
    hidden = sorted(name for name in fields if hasattr(cls, name))
    if hidden:
        raise ValueError(f"the file sets {', '.join(hidden)} of a {cls.__name__}.")
    value = object.__new__(cls)
    value.__dict__ = fields
    return value


def _pack_array(array, tensors, name):
    kept = {"dtype": array.dtype.str, "shape": list(array.shape)}
    if array.dtype.kind in "OU":
        items = pack(array.ravel().tolist(), tensors, name)
        return {_TAG: "list", **kept, "items": items}
    if array.dtype.kind == "V":
        raise TypeError(f"{name} is an array of dtype {array.dtype}")
    plain = np.array(array, order="C")
    if plain.dtype not in _NUMBERS:  # dates and the like lie as bytes
        plain = np.frombuffer(bytearray(plain.tobytes()), np.uint8)
    tensors[name] = torch.from_numpy(plain)
    # A product of matrices is rounded otherwise where they lie otherwise.
    by_columns = array.flags.f_contiguous and not array.flags.c_contiguous
    return {_TAG: "array", **kept, "tensor": name, "order": "F" if by_columns else "C"}


def _unpack_array(kept, tensors):
    plain = tensors[kept["tensor"]].numpy().view(kept["dtype"]).reshape(kept["shape"])
    return np.asarray(plain, order=kept["order"])


def _unpack_list(kept, tensors):
    dtype = np.dtype(kept["dtype"])
    if dtype.kind not in "OU" or len(kept["items"]) * dtype.itemsize > _LARGEST_TEXT:
        raise ValueError(f"the file has text in an array of dtype {dtype}.")
    array = np.empty(len(kept["items"]), dtype)
    array[:] = unpack(kept["items"], tensors)
    return array.reshape(kept["shape"])


# ---- networks


def pack_module(module, tensors, name):
    """Return what identifies a network, in terms of JSON; its tensors go to ``tensors``."""
    own, strides = tensors_of(module), {}
    for each, tensor in own.items():
        # Clones: the format has neither a memory layout nor tensors that share memory.
        clone = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        tensors[f"{name}.{each}"] = clone
        stride = stride_of(tensor)
        if stride != clone.stride():
            strides[each] = list(stride)
    attributes = sorted(own.keys() - registered(module).keys())
    return {"class": type(module).__qualname__, "strides": strides, "attributes": attributes}


def unpack_module(kept, tensors, name, module):
    """Return a copy of ``module`` with the tensors that were packed, to be read and not trained.

    Raises
    ------
    ValueError
        If they are another network's.
    """
    _check_network(kept)
    if type(module).__qualname__ != kept["class"]:
        raise ValueError(
            f"the network in the file is a {kept['class']}, that of the detector is a "
            f"{type(module).__qualname__}: give the one that was trained."
        )
    start = f"{name}."
    own = {n.removeprefix(start): each for n, each in tensors.items() if n.startswith(start)}
    missing = [each for each in [*kept["strides"], *kept["attributes"]] if each not in own]
    if missing:
        raise ValueError(f"the file lacks the tensors {', '.join(missing)} of the network.")
    own |= {n: _laid_out(own[n], stride) for n, stride in kept["strides"].items()}
    attributes = {each: own.pop(each) for each in kept["attributes"]}
    return filled(module, own, attributes).eval().requires_grad_(False)


def _check_network(kept):
    """Refuse what ``pack_module`` did not make."""
    kinds = {"class": str, "strides": dict, "attributes": list}
    right = isinstance(kept, dict) and all(isinstance(kept.get(n), k) for n, k in kinds.items())
    right = right and all(isinstance(stride, list) for stride in kept["strides"].values())
    names = kept["attributes"] if right else [None]
    if not all(isinstance(each, str) for each in names) or len(set(names)) < len(names):
        raise ValueError(f"the file describes a network by {reprlib.repr(kept)}.")


def _laid_out(tensor, stride):
    right = len(stride) == tensor.ndim and all(type(step) is int and step >= 0 for step in stride)
    steps = zip(tensor.shape, stride, strict=False)
    if not right or 1 + sum((size - 1) * step for size, step in steps) != tensor.numel():
        raise ValueError(f"the file lays {tuple(tensor.shape)} out by strides {stride}.")
    return torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype).copy_(tensor)
