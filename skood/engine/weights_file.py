"""A safetensors file with a description in JSON and a checksum of both."""

import hashlib
import json

import torch

from .._files import replaced
from .._version import __version__

_FORMAT = 1
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
    text = json.dumps({"format": _FORMAT, "version": __version__, **description})
    content = save(tensors, {"skood": text, "sha256": _checksum(text, tensors)})
    with replaced(path) as file:
        file.write(content)


def read(path):
    """Return the description and the tensors of a file, of which nothing is run.

    Raises
    ------
    ValueError
        If the file is not one of ours, is damaged, or is newer than this version.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise ImportError(_INSTALL) from error
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            text, checksum = _metadata(file.metadata() or {})
            description = _description(text)
            # Copies: what is read from a file that stays mapped would change with it.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"the file is damaged, or was not written by save_weights ({error})."
        ) from error
    if _checksum(text, tensors) != checksum:
        raise ValueError("the file was changed after it was written: its checksum differs.")
    return description, tensors


def _metadata(metadata):
    try:
        return metadata["skood"], metadata["sha256"]
    except KeyError:
        raise ValueError("a safetensors file, but not one that save_weights wrote.") from None


def _description(text):
    try:
        description = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"the file is damaged: its description is no JSON ({error}).") from error
    number, version = description["format"], description["version"]
    if number > _FORMAT:
        raise ValueError(
            f"the file was written by skood {version} in format {number}; this is {__version__}, "
            f"which reads formats up to {_FORMAT}: upgrade skood."
        )
    return description


def _checksum(text, tensors):
    total = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        if tensor.numel():  # of an empty one torch shows no bytes
            total.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()
