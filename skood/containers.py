"""Containers whose rows cannot be read as samples, and what to pass instead."""

import os

import numpy as np
import torch
from skorch.helper import SliceDataset
from torch.utils.data import DataLoader, Dataset


def check_container(X, name):
    """Refuse what has no shape to check, or whose items would be read in part.

    Parameters
    ----------
    X : object
        Samples in any container.
    name : str
        What the messages call it.
    """
    check_is_no_text(X, name)
    if isinstance(X, DataLoader):
        raise TypeError(
            f"{name} is a DataLoader: batches are made here. Pass the samples as an array; of its "
            f"dataset, {_ways_out('loader.dataset')}"
        )
    if isinstance(X, Dataset):
        raise TypeError(
            f"{name} is a torch Dataset, which has no shape that can be checked: pass "
            f"{_ways_out('dataset')}"
        )
    if isinstance(X, SliceDataset) and len(X):
        _check_items(X, name)


def check_is_no_text(X, name):
    """Refuse names of files, which say neither how to read them nor in which size, and texts."""
    is_flat = (isinstance(X, np.ndarray) or hasattr(X, "iloc")) and X.ndim == 1
    first = next(iter(X), None) if is_flat or isinstance(X, list) else X
    if not isinstance(first, (str, os.PathLike)):
        return
    if name == "X_aux":
        raise TypeError(
            f"X_aux must hold samples, got names of files, {str(first)!r}. Of images pass a torch "
            "Dataset that opens them, which takes a dozen lines (docs/streaming.md, 'A folder of "
            "images'); of a .npy file np.load(path, mmap_mode='r')."
        )
    raise TypeError(
        f"{name} must hold samples, got text, {str(first)!r}. Of names of files pass what the "
        "files hold: images are read into an array in a dozen lines (docs/streaming.md, 'A folder "
        "of images'), a .npy file by np.load(path, mmap_mode='r')."
    )


def _ways_out(dataset):
    return (
        f"{_stacked(dataset)} where items are arrays, or skorch.helper.SliceDataset({dataset}) "
        "where they are (x, label)."
    )


def _stacked(dataset):
    return f"np.stack([{dataset}[i] for i in range(len({dataset}))])"


def _check_items(X, name):
    """Refuse bare arrays as items: SliceDataset would take the first row or channel of each."""
    item = X.dataset[X.indices_[0]]
    if isinstance(item, (np.ndarray, torch.Tensor)) and item.ndim and len(item):
        raise TypeError(
            f"{name} is a SliceDataset whose items are arrays of shape {tuple(item.shape)}, and it "
            f"takes entry {X.idx!r} of each. Let __getitem__ return (x, label), or pass "
            f"{_stacked('dataset')}."
        )
