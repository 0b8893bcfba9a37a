"""What tells one fit from another: parameters and data, as text that can be compared and read."""

import inspect
import zlib
from functools import partial
from numbers import Number

import numpy as np
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import Dataset

from .frozen import freeze

_FREE = {  # what moves no weight
    "checkpoint", "contamination", "device", "iterator_train__read_ahead", "verbose"
}
_N_ROWS = 1000  # read of each array, evenly spread: all of a large file would take minutes


def facts_of(detector, data):
    """Return a dict of texts that differ between fits that would not go the same way.

    Parameters
    ----------
    detector : BaseTrainedDetector
    data : TrainingData
    """
    params = detector.get_params(deep=False)
    facts = {name: described(value) for name, value in params.items() if name not in _FREE}
    facts["detector"] = type(detector).__name__
    facts["X"] = _array(data.x_in)
    facts["y"] = _labels(data)
    if data.pool is not None and not data.pool.synthetic:
        facts["X_aux"] = ", ".join(map(_source, data.pool.sources))
    return facts


def differing(was, now, missing):
    """Return a sentence for each fact in which two dicts differ; ``missing`` stands for none."""
    return [
        f"{name} was {was.get(name, missing)}, now {now.get(name, missing)}"
        for name in sorted(was.keys() | now.keys()) if was.get(name) != now.get(name)
    ]


def described(value):
    """Return a text that is equal for equal values, also in another process."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (Number, str)):
        return repr(value)
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {described(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(described, value)) + "]"
    if isinstance(value, nn.Module):
        arrays = freeze(value).arrays
        return f"{type(value).__name__} with weights {_sum(arrays[k] for k in sorted(arrays))}"
    if isinstance(value, partial):
        return f"partial({described([value.func, value.args, value.keywords])})"
    if inspect.isroutine(value) or isinstance(value, type):
        return value.__qualname__
    if isinstance(value, Callback):
        parameters = {k: v for k, v in vars(value).items() if not k.endswith("_")}  # not learned
        return type(value).__name__ + (described(parameters) if parameters else "")
    return type(value).__name__


def _sum(arrays):
    total = 0
    for array in arrays:
        total = zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data, total)
    return f"{total:08x}"


def _array(X):
    if X.dtype.kind not in "biufc":  # text, and objects whose bytes are addresses
        return f"{X.dtype}{list(X.shape)} {described(X.tolist())}"
    some = X[:: max(1, len(X) // _N_ROWS)] if X.ndim else X
    return f"{X.dtype}{list(X.shape)} {_sum([some])}"


def _labels(data):
    if data.classes is None:
        return "none"
    return f"{len(data.classes)} classes {_sum([data.y_in])}"


def _source(source):
    return f"Dataset of {len(source)}" if isinstance(source, Dataset) else _array(source)
