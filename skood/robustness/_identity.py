"""What stands for a detector in a memory: what its results depend on, never where it lies."""

import pickle
from types import CodeType, FunctionType, MethodType, ModuleType

import joblib
import torch
from joblib.hashing import NumpyHasher
from torch import nn

from .._version import __version__

# Of parameters: the fitted network stands for them, or they change no score.
_PASSED_OVER = {"module", "callbacks", "verbose"}
_NOT_ASKED = {"history_", "n_iter_", "_hidden"}  # the last are parameters, once more


def identity(detector, objective=None, *others):
    """Return a hash of a detector's class, parameters, network and other attributes.

    Parameters
    ----------
    detector : object
        With ``score_samples``.
    objective : callable or None
        What is climbed. Of a function or a callable object its code counts, not only its name:
        in a notebook the same name soon means something else.
    *others : object
        What else results depend on.
    """
    if getattr(objective, "__self__", None) is detector:
        objective = objective.__func__
    methods = [each for each in vars(type(objective)).values() if isinstance(each, FunctionType)]
    parts = {"detector": (detector, *others), "objective": (objective, methods)}
    return joblib.hash([__version__, *(_hash(name, part) for name, part in parts.items())])


def _hash(name, part):
    try:
        return _Hasher(coerce_mmap=True).hash(part)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"memory must recognise what results depend on, but {name} cannot be pickled "
            f"({error}): make it of what can be, with classes and functions that can be imported "
            "by their names, or pass memory=None."
        ) from error


class _Hasher(NumpyHasher):
    """Hashes networks, tensors, functions and detectors by what they hold, wherever they are."""

    def save(self, obj):
        super().save((obj.__func__, obj.__self__) if isinstance(obj, MethodType) else obj)

    def reducer_override(self, obj):
        if isinstance(obj, type):
            return NotImplemented
        for kind, describe in _DESCRIBED.items():
            if isinstance(obj, kind):
                return _Part, (), describe(obj)
        fitted = isinstance(getattr(obj, "module_", None), nn.Module)
        return (_Part, (), _detector(obj)) if fitted else NotImplemented


class _Part:
    """Stands in a hash for an object; its state is the object's description."""


def _detector(detector):
    named = {"module_": detector.module_, **getattr(detector, "__dict__", {})}
    if hasattr(detector, "get_params"):
        named |= detector.get_params(deep=False)
        named = {name: value for name, value in named.items() if not _is_passed_over(name)}
    return _name(type(detector)), named


def _is_passed_over(name):
    return name in _NOT_ASKED or name.partition("__")[0] in _PASSED_OVER


def _module(module):
    held = {
        # Hooks go by numbers that count all hooks there ever were.
        name: list(value.values()) if "_hooks" in name and isinstance(value, dict) else value
        for name, value in vars(module).items() if name != "training"
    }
    return _name(type(module)), held


def _script(module):
    return repr(module), dict(module.state_dict())  # the rest is not Python's


def _tensor(tensor):
    # Bytes: NumPy lacks some of the dtypes. Contiguous: the memory format changes no score.
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return str(tensor.dtype), tuple(tensor.shape), flat.view(torch.uint8).numpy()


def _function(function):
    """Return a function's code and the values it sees, of its own module's functions their code."""
    named = _names(function.__code__) & function.__globals__.keys()
    seen = {name: function.__globals__[name] for name in named}
    seen = {name: each for name, each in seen.items() if _is_own(each, function.__module__)}
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    given = function.__defaults__, function.__kwdefaults__
    return _name(function), function.__code__, given, cells, seen


def _is_own(value, module):
    if isinstance(value, FunctionType):
        return value.__module__ == module
    return not isinstance(value, ModuleType) and not callable(value)


def _code(code):
    return code.co_code, code.co_names, code.co_consts


def _names(code):
    inner = (each for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _name(obj):
    return f"{obj.__module__}.{obj.__qualname__}"


_DESCRIBED = {
    torch.jit.ScriptModule: _script,
    nn.Module: _module,
    torch.Tensor: _tensor,
    FunctionType: _function,
    CodeType: _code,
}
