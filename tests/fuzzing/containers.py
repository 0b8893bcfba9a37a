"""What rows come in: arrays of all layouts, files, frames, tensors, Datasets."""

import tempfile

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from skorch.helper import SliceDataset

from ..datasets import Items


def _frozen(x, folder):
    x = x.copy()
    x.flags.writeable = False
    return x


def _mapped(x, folder):
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".npy", delete=False) as file:
        np.save(file, x)
    return np.load(file.name, mmap_mode="r")


def _frame(x, folder):
    return pd.DataFrame(x, columns=[f"c{i}" for i in range(x.shape[1])])


def _shuffled(x, folder):
    return _frame(x, folder).iloc[:, ::-1]


def _renamed(x, folder):
    return _frame(x, folder).add_prefix("other ")


def _labelled(x, folder):
    """Return a frame whose rows are not numbered from 0."""
    return _frame(x, folder).set_index(np.arange(len(x))[::-1] * 2)


CONTAINERS = {
    "array": lambda x, folder: x,
    "read-only": _frozen,
    "Fortran": lambda x, folder: np.asfortranarray(x),
    "strided": lambda x, folder: np.repeat(x, 2, axis=0)[::2],
    "reversed": lambda x, folder: x[::-1],
    "memmap": _mapped,
    "list": lambda x, folder: x.tolist(),
    "frame": _frame,
    "shuffled frame": _shuffled,
    "renamed frame": _renamed,
    "frame with an index": _labelled,
    "tensor": lambda x, folder: torch.from_numpy(np.ascontiguousarray(x)),
    "tensor with a gradient": lambda x, folder: torch.tensor(x, requires_grad=True),
    "sparse": lambda x, folder: sparse.csr_array(x),
    "Dataset": lambda x, folder: Items(x),
    "SliceDataset": lambda x, folder: SliceDataset(Items([*zip(x, range(len(x)), strict=True)])),
    "tuple": lambda x, folder: (x, x[:1]),
    "tuple of one": lambda x, folder: (x,),
    "tuple of kinds": lambda x, folder: (_mapped(x, folder), Items(x)),
    "tuple of nothing": lambda x, folder: (),
    "list of arrays": lambda x, folder: [x, x],
}
# What rows may come in beside others in this container: names matter only between frames.
KIN = {"frame": ["array", "shuffled frame", "renamed frame", "frame with an index"]}
AS_OUTLIERS = [
    "tuple of one", "tuple", "tuple of kinds", "Dataset", "SliceDataset", "memmap",
]
_OF_TABLES = {"frame", "shuffled frame", "renamed frame", "frame with an index", "sparse"}


def possible(container, x):
    """Whether there is such a container of these rows."""
    native = x.dtype.isnative and x.dtype.kind not in "OU"
    # pandas holds numbers of another byte order, but asks for conversion: it cannot pick rows.
    if container in _OF_TABLES and (x.ndim != 2 or not x.dtype.isnative):
        return False
    if container == "sparse":
        return native and x.dtype != np.float16
    if container in ("memmap", "tuple of kinds"):
        return x.dtype.kind != "O" and x.size > 0
    if container == "tensor with a gradient":
        return native and x.dtype.kind in "fc"
    return native or container != "tensor"
