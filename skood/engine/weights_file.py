"""A safetensors file with a description in JSON and a checksum of both."""

import hashlib
import json

import torch

from .._files import replaced
from .._version import __version__

_FORMAT = 1
_CHANGED = "the file was changed after it was written: its checksum differs."
_INSTALL = 'safetensors keeps and reads weights: pip install "skood[weights]"'


def write(path, description, tensors):
    """Write a file.

    Parameters
    ----------
    path : str or path-like
    description : dict
        In terms of JSON.
    tensors : dict of str to tensor
        On the CPU, contiguous, none sharing memory with another.
    """
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise ImportError(_INSTALL) from error
    description = {"format": _FORMAT, "version": __version__, **description}
    description["sha256"] = _checksum(description, tensors)
    try:
        # One entry: safetensors writes several in any order, and one fit shall have one file.
        content = save(tensors, {"skood": json.dumps(description)})
    except KeyError as error:  # how it says that it does not know a dtype
        raise TypeError(
            f"safetensors keeps no tensors of {error.args[0]}: keep the detector with joblib."
        ) from error
    with replaced(path) as file:
        file.write(content)


def read(path):
    """Return the description and the tensors of a file, of which nothing is run.

    Raises
    ------
    OSError
        If there is no such file.
    ValueError
        If the file is not one of ours, is damaged, or is newer than this version.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ImportError(_INSTALL) from error
    open(path, "rb").close()  # Python says plainly what is missing, a folder, or not to be read
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            description = _description(file.metadata() or {})
            # Copies: what is read from a file that stays mapped would change with it.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}
    except SafetensorError as error:
        raise ValueError(
            f"the file is damaged, or was not written by save_weights ({error})."
        ) from error
    if description.pop("sha256", None) != _checksum(description, tensors):
        raise ValueError(_CHANGED)
    return description, tensors


def _description(metadata):
    if "skood" not in metadata:
        raise ValueError("a safetensors file, but not one that save_weights wrote.")
    try:
        description = json.loads(metadata["skood"])
        again = json.dumps(description)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"the file is damaged: its description is no JSON ({error}).") from error
    if not isinstance(description, dict):
        raise ValueError("the file is damaged: its description is not one.")
    # Neither need be there: the checksum comes later, as another format may have another.
    number, version = description.get("format", 0), description.get("version")
    if not isinstance(number, int):
        raise ValueError(f"the file is damaged: its format is {number!r}.")
    if number > _FORMAT:
        raise ValueError(
            f"the file was written by skood {version} in format {number}; this is {__version__}, "
            f"which reads formats up to {_FORMAT}: upgrade skood."
        )
    if again != metadata["skood"]:  # a digit that no float is fine enough for
        raise ValueError(_CHANGED)
    return description


def _checksum(description, tensors):
    total = hashlib.sha256(json.dumps(description).encode())
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        if tensor.numel():  # of an empty one torch shows no bytes
            total.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()
