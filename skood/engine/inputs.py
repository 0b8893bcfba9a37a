"""From the user's rows to what a module receives: dtype, the [0, 1] range, augmentation."""

import numpy as np
import torch
from torch.nn import functional as F

from .mapped import announce, mapping_of

TORCH_DTYPES = {"float32": torch.float32, "float64": torch.float64, "int64": torch.int64}


def rows(X, index):
    """Copy ``X[index]`` into a tensor of X's own dtype.

    ``X`` may be a read-only array or a memmap: only the rows asked for are read.
    """
    if not isinstance(index, slice):  # of one, the system sees what comes next
        announce(*_origin(X, index))
    # An array of row numbers has copied already; a slice has not.
    picked = np.array(X[index]) if isinstance(index, slice) else np.asarray(X[index])
    return torch.from_numpy(picked.astype(picked.dtype.newbyteorder("="), copy=False))


def is_mapped(X):
    """Whether an array, or what a ``Selection`` selects from, lies in a mapped file."""
    return mapping_of(_origin(X, None)[0]) is not None


def _origin(X, index):
    """Return the array that a ``Selection`` selects from, and which of its rows are meant."""
    while isinstance(X, Selection):
        X, index = X.X, X.index if index is None else X.index[index]
    return X, index


class Selection:
    """Some rows of an array, read when they are asked for: of a memmap nothing is copied.

    Parameters
    ----------
    X : array of shape (m, ...)
    index : integer array of shape (n,)
    """

    def __init__(self, X, index):
        self.X, self.index = X, index
        self.shape, self.ndim, self.dtype = (len(index), *X.shape[1:]), X.ndim, X.dtype

    def __len__(self):
        return len(self.index)

    def __getitem__(self, index):
        return self.X[self.index[index]]


def is_pixels(batch):
    """Whether a batch holds 8-bit images, which are read as [0, 1]."""
    return batch.dtype == torch.uint8 and batch.ndim == 4


def to_input(batch, dtype):
    """Convert a batch to the dtype the module receives; 8-bit images become [0, 1].

    Parameters
    ----------
    batch : Tensor of shape (n, ...)
    dtype : {"float32", "float64", "int64"}
    """
    converted = batch.to(TORCH_DTYPES[dtype])
    return converted.div_(255) if is_pixels(batch) and dtype != "int64" else converted


def to_device(tensor, device):
    """Move a tensor to a device; to a GPU without waiting for what that still computes.

    Only from pinned memory does a copy not wait.
    """
    if torch.device(device).type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def join(parts, dtype):
    """Concatenate batches; only when their dtypes differ are they converted first."""
    if len({part.dtype for part in parts}) > 1:
        parts = [to_input(part, dtype) for part in parts]
    return torch.cat(parts)


def crop_flip(images):
    """Shift each image by up to an eighth of its size (zero padding) and mirror half of them.

    For 32x32 images this is the papers' RandomCrop(32, padding=4) and horizontal flip, drawn for
    the whole batch at once from torch's generator.

    Parameters
    ----------
    images : Tensor of shape (n, C, H, W), any dtype
    """
    n, channels, height, width = images.shape
    pad_y, pad_x = height // 8, width // 8
    padded = F.pad(images, (pad_x, pad_x, pad_y, pad_y))
    y = torch.randint(2 * pad_y + 1, (n, 1)) + torch.arange(height)
    x = torch.randint(2 * pad_x + 1, (n, 1)) + torch.arange(width)
    x = torch.where(torch.rand(n, 1) < 0.5, x.flip(1), x)
    # Pixels by their number, for all channels at once: 5 times as fast as indexing by (y, x).
    pixel = (y[:, :, None] * padded.shape[3] + x[:, None, :]).view(n, 1, -1)
    cropped = padded.flatten(2).gather(2, pixel.expand(-1, channels, -1))
    return cropped.view(n, channels, height, width)


def augmentation(augment):
    """Return the batch transform that the parameter ``augment`` names, or None."""
    return crop_flip if augment == "crop-flip" else augment
