"""Fitted detectors in files that hold numbers and text alone: reading one runs no code."""

import reprlib
from contextlib import contextmanager
from inspect import signature

from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .engine import weights_file
from .engine.facts import described, differing
from .engine.packing import pack, pack_module, unpack, unpack_module
from .fitted import check_attributes

# What a detector that was fitted elsewhere may have otherwise: it says how to train or where to
# run. A network is known by its class and its tensors.
_FREE = {
    "module", "estimator", "lr", "max_epochs", "pretrain_epochs", "pretrain_lr", "batch_size",
    "outlier_ratio", "optimizer", "schedule", "augment", "compile", "callbacks", "checkpoint",
    "verbose", "device", "memory", "n_jobs", "random_state",
}
_FREE_PREFIXES = ("optimizer__", "callbacks__", "iterator_train__")
_FORM = {
    "detector": str, "parameters": dict, "attributes": dict, "networks": dict, "estimators": dict,
}
# What errors come of values that no fit sets: any that Python, NumPy and torch raise of values.
_OF_VALUES = (
    ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError,
)


class WeightFiles:
    """What a detector needs to be kept in a file of weights and read from one.

    A class of detectors that have networks says with ``_new_module`` how an untrained one is made.
    Every class says what all its fits set, and with ``_check_answers`` how it is tried.
    """

    _always_fitted = ()  # attributes
    _always_within = ()  # networks, or lists of estimators

    def save_weights(self, path):
        """Write what ``fit`` has found to a file of numbers and text, without code.

        Parameters
        ----------
        path : str or path-like
            A safetensors file. One that is there is replaced, at once and whole.

        Raises
        ------
        TypeError
            If something fitted is neither: an estimator of scikit-learn within this one, say. Use
            joblib or skops for it.
        ImportError
            If safetensors is missing: ``pip install "skood[weights]"``.

        See Also
        --------
        load_weights
        """
        check_is_fitted(self)
        tensors = {}
        weights_file.write(path, _packed(self, tensors, ""), tensors)

    def load_weights(self, path):
        """Take over what ``save_weights`` wrote; nothing of the file is run.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        self : estimator
            Fitted as the detector that was saved, its scores the same bit for bit on the same kind
            of processor. A network that this detector builds is on `device`; one that it was given
            is copied, filled, and stays where it is. Unchanged if this fails.

        Raises
        ------
        ValueError
            If the file is damaged, changed, foreign or of a newer format, or if it is of another
            class of detectors, of other parameters or of another network, lacks something that
            every fit sets, or gives no score for two rows. Parameters that say how to train or
            where to run may differ.
        TypeError
            If `estimator` is nothing that a network comes from.
        ImportError
            If safetensors is missing: ``pip install "skood[weights]"``.

        Notes
        -----
        The checksum tells damage. It does not tell who wrote a file.
        """
        with _naming(path):
            description, tensors = weights_file.read(path)
            draft = _restored(self, description, tensors, "")
        self.__dict__ = draft.__dict__
        return self


@contextmanager
def _naming(path):
    try:
        yield
    except ValueError as error:
        raise ValueError(f"path={str(path)!r}: {error}") from error


# ---- detectors


def _packed(detector, tensors, prefix):
    """Return what is fitted, in terms of JSON; arrays and weights go to ``tensors``."""
    kept = {
        "detector": type(detector).__name__, "parameters": _facts(detector),
        "attributes": {}, "networks": {}, "estimators": {},
    }
    for name, value in _split(detector)[1].items():
        where = prefix + name
        if isinstance(value, nn.Module):
            kept["networks"][name] = pack_module(value, tensors, where)
        elif name == "estimators_":
            kept["estimators"][name] = [
                _packed(_keepable(each), tensors, f"{where}.{i}.") for i, each in enumerate(value)
            ]
        else:
            kept["attributes"][name] = _plain(detector, value, tensors, where)
    return kept


def _plain(detector, value, tensors, name):
    try:
        return pack(value, tensors, name)
    except TypeError as error:
        raise TypeError(
            f"a file of weights keeps numbers, text, arrays and networks, but of a "
            f"{type(detector).__name__} {error}: keep it with joblib or skops."
        ) from error


def _keepable(estimator):
    """Return the detector that an estimator is, or that is frozen in it."""
    own = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    if not isinstance(own, WeightFiles):
        raise TypeError(
            f"a file of weights keeps detectors of skood, but estimator is a {type(own).__name__}: "
            "keep it with joblib or skops."
        )
    return own


def _restored(detector, kept, tensors, prefix):
    """Return another detector with the parameters of this one, fitted as the file says."""
    _check_form(kept)
    _check_same(detector, kept)
    with _telling_of_damage():
        found = unpack(kept["attributes"], tensors)
    networks, estimators = kept["networks"], kept["estimators"]
    _check_names(detector, [*found, *networks, *estimators])
    _check_within(detector, networks, estimators)
    draft = object.__new__(type(detector))
    draft.__dict__ = _split(detector)[0] | found
    check_attributes(draft, detector._always_fitted, sum(t.numel() for t in tensors.values()))
    for name, network in networks.items():
        setattr(draft, name, unpack_module(network, tensors, prefix + name, _network_of(draft)))
    for name, parts in estimators.items():
        some = [
            _refilled(detector.estimator, part, tensors, f"{prefix}{name}.{i}.")
            for i, part in enumerate(parts)
        ]
        setattr(draft, name, some)
    _try(draft)
    return draft


def _check_form(kept):
    """Refuse a description that has the right checksum and the wrong form."""
    for name, kind in _FORM.items():
        value = kept.get(name) if isinstance(kept, dict) else kept
        if not isinstance(value, kind):
            raise ValueError(
                "the file is not of the form in which save_weights writes it: what should be its "
                f"{name} is {reprlib.repr(value)}."
            )


def _check_within(detector, networks, estimators):
    within = {*networks, *estimators}
    missing = [name for name in detector._always_within if name not in within]
    if missing:
        raise ValueError(f"the file lacks {', '.join(missing)}, which every fit sets.")
    has_network = "module_" in detector._always_within
    right = all(isinstance(parts, list) for parts in estimators.values())
    if not right or (estimators if has_network else networks):
        raise ValueError(
            f"the file has within a {type(detector).__name__} what no fit puts there: "
            f"{reprlib.repr(estimators if has_network else networks)}."
        )


def _network_of(draft):
    """Return a network to be filled, of which a file has said what shape it reads."""
    try:
        return draft._new_module()
    except (ArithmeticError, LookupError, MemoryError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"the detector has no network for rows of shape {draft.input_shape_}, as the file has "
            f"them: {error}"
        ) from error


def _try(draft):
    """Refuse a file of which no score comes."""
    try:
        draft._check_answers()
    except _OF_VALUES as error:
        raise ValueError(
            f"a {type(draft).__name__} with what the file holds scores no row ({error!r}): "
            "something is missing, or of another form than save_weights writes."
        ) from error


@contextmanager
def _telling_of_damage():
    try:
        yield
    except (LookupError, MemoryError, OverflowError, RuntimeError, TypeError) as error:
        raise ValueError(
            f"the file is not of the form in which save_weights writes it ({error!r})."
        ) from error


def _check_names(detector, names):
    """Refuse a file that would set what no fit sets: parameters and methods."""
    settings = _settings(detector)
    refused = [name for name in names if name in settings or hasattr(type(detector), name)]
    if refused:
        raise ValueError(f"the file sets {', '.join(refused)}, which no fit does.")


def _refilled(estimator, kept, tensors, prefix):
    """Return a copy of an unfitted estimator, or of what is frozen in it, fitted."""
    restored = _restored(clone(_keepable(estimator)), kept, tensors, prefix)
    return FrozenEstimator(restored) if isinstance(estimator, FrozenEstimator) else restored


def _split(detector):
    """Return the attributes of a detector that users set, and those that a fit has set."""
    settings = _settings(detector)
    users = {name: value for name, value in vars(detector).items() if name in settings}
    return users, {name: value for name, value in vars(detector).items() if name not in settings}


def _settings(detector):
    """Return the names that no fit sets, and no file."""
    return {"_hidden", "_metadata_request", *detector.get_params(deep=False)}


# ---- parameters


def _facts(detector):
    """Return as text the parameters that must be those of the detector that was saved."""
    params = detector.get_params()
    return {name: _text(params[name]) for name in sorted(params) if _matters(name)}


def _matters(name):
    own = name.rpartition("estimator__")[2]
    if own != name:  # of a detector within this one its network alone is read
        return own.startswith("module__")
    return name not in _FREE and not name.startswith(_FREE_PREFIXES)


def _text(value):
    # The weights of a network among the options are in the file, with those of the whole.
    return type(value).__name__ if isinstance(value, nn.Module) else described(value)


def _defaults(detector):
    """Return as text what the parameters are where they are not set."""
    found = {}
    for each in reversed(type(detector).__mro__):  # some hand parameters on to their parents
        taken = signature(vars(each).get("__init__", object.__init__)).parameters
        found |= {name: p.default for name, p in taken.items() if p.default is not p.empty}
    return {name: _text(default) for name, default in found.items() if _matters(name)}


def _check_same(detector, kept):
    if type(detector).__name__ != kept["detector"]:
        raise ValueError(
            f"the file is of a {kept['detector']}, not of a {type(detector).__name__}."
        )
    # A parameter that is younger than the file was what it is by default.
    was = _defaults(detector) | kept["parameters"]
    others = differing(was, _facts(detector), "not set")
    if others:
        raise ValueError(
            f"the detector that was saved had other parameters: {'; '.join(others)}. Set them "
            "as they were, or fit anew."
        )
