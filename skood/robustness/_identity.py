"""What stands for a detector in a memory: what its scores depend on, never where it lies."""

import pickle

import joblib
import numpy as np
from torch import nn

from .._version import __version__
from ..engine.frozen import freeze

# Of parameters: the fitted network stands for them, or they change no score.
_PASSED_OVER = {"module", "callbacks", "verbose"}
_NOT_ASKED = {"history_", "n_iter_"}


def identity(detector, *others):
    """Return a hash of the detector's class, parameters, weights and fitted attributes.

    Parameters
    ----------
    detector : object
        With ``score_samples``.
    *others : object
        What else results depend on.
    """
    parts = {"version": __version__, "others": others, **_parts(detector)}
    return joblib.hash({name: _hash(name, part) for name, part in parts.items()})


def _parts(detector):
    if not isinstance(getattr(detector, "module_", None), nn.Module):
        return {type(detector).__name__: detector}
    params = detector.get_params(deep=False) if hasattr(detector, "get_params") else {}
    fitted = {
        name: value for name, value in vars(detector).items()
        if name.endswith("_") and not name.startswith("_") and name not in _NOT_ASKED
    }
    kept = {n: v for n, v in params.items() if n.partition("__")[0] not in _PASSED_OVER}
    return {"class": type(detector), **{n: _content(v) for n, v in {**kept, **fitted}.items()}}


def _content(value):
    """Return networks as their description and arrays, detectors by parts, the rest as it is."""
    if isinstance(value, nn.Module):
        arrays = freeze(value).arrays.items()
        return repr(value), {name: np.ascontiguousarray(array) for name, array in arrays}
    return _parts(value) if hasattr(value, "module_") else value


def _hash(name, part):
    try:
        return joblib.hash(part)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"memory must recognise what results depend on, but {name} cannot be pickled "
            f"({error}): use a function that can be imported by its name, or memory=None."
        ) from error
