"""Parameters beyond the named ones: skorch's prefixes, as its users know them."""

import inspect
import os
from collections.abc import Mapping
from functools import cache

from sklearn.base import BaseEstimator

from ._spelling import did_you_mean


def _pass_on(self, **kwargs):
    """Stand for the ``__init__`` that a class does not have."""


@cache
def _taken(init):
    """Return what an ``__init__`` takes; searches and clones ask it thousands of times."""
    return tuple(inspect.signature(init).parameters.values())


def check_is_network(network, name):
    """Refuse weights, their file and a class: scikit-learn's message says not what to do."""
    if isinstance(network, (str, os.PathLike)):
        raise TypeError(
            f"{name} must be a network, got {str(network)!r}. If that is a file of weights, "
            "build the network and load them: net.load_state_dict(torch.load(path)), then "
            f"{name}=net."
        )
    if name == "estimator" and isinstance(network, type):
        raise TypeError(
            f"estimator must be an object, got the class {network.__name__}: pass "
            f"{network.__name__}(...), trained if it is a network."
        )
    if isinstance(network, Mapping):
        raise TypeError(
            f"{name} must be a network, got its weights ({type(network).__name__}, as state_dict() "
            f"returns). Build it and load them: net.load_state_dict(weights), then {name}=net."
        )


class PrefixedParameters(BaseEstimator):
    """An estimator that also takes ``module__hidden=...``, ``optimizer__momentum=...`` and so on.

    A subclass spells out its parameters in ``__init__`` and ends with ``**kwargs`` for the
    prefixed ones, which it hands to ``_set_hidden``.
    """

    _hidden = {}  # never changed in place; an instance that has any has a dict of its own

    # Parameters of these prefixes reach the network, the optimizer, the callbacks and the loader.
    _prefixes = ("module__", "optimizer__", "callbacks__", "iterator_train__")

    def _set_hidden(self, **params):
        # Parameters that must not be attributes: of the prefixed ones scikit-learn allows none,
        # and `score` it would call. Names are checked in fit, as values are.
        self._hidden = {**self._hidden, **params}

    @classmethod
    def _named(cls):
        """Return the named parameters, with those that go to a parent through ``**kwargs``."""
        names = set()
        for each in cls.__mro__:
            taken = _taken(vars(each).get("__init__", _pass_on))
            names.update(p.name for p in taken if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))
            if not any(p.kind is p.VAR_KEYWORD for p in taken):
                break
        return sorted(names - {"self"})

    @classmethod
    def _get_param_names(cls):
        return [name for name in cls._named() if name != "score"]

    def _options(self, *prefixes):
        """Return the set parameters that have one of these prefixes, under their whole names."""
        return {name: value for name, value in self._hidden.items() if name.startswith(prefixes)}

    def _check_names(self):
        known = self._named()
        for name in self._hidden:
            if name not in known and not name.startswith(self._prefixes):
                raise TypeError(self._unknown(name, known))

    def _unknown(self, name, known):
        """Say what ``name`` should have been, by its part before the double underscore."""
        head, dunder, rest = name.partition("__")
        heads = [prefix.removesuffix("__") for prefix in self._prefixes] if dunder else known
        return (
            f"{name!r} is not a parameter of {type(self).__name__}, which takes "
            f"{', '.join([*known, *(f'{prefix}*' for prefix in self._prefixes)])}."
            + did_you_mean(head, heads, lambda near: repr(near + dunder + rest))
        )

    def get_params(self, deep=True):
        """Return the parameters, the prefixed ones that were set included.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of parameters that are estimators.

        Returns
        -------
        params : dict
        """
        return {**super().get_params(deep=deep), **self._hidden}

    def set_params(self, **params):
        """Set parameters, prefixed ones such as ``module__hidden`` and ``optimizer__lr`` included.

        Parameters
        ----------
        **params : dict
            Names and values.

        Returns
        -------
        self : estimator
        """
        known = self._named()
        hidden = {
            name: value for name, value in params.items()
            if name in self._hidden or name.startswith(self._prefixes)
        }
        for name in params:
            head, dunder, _ = name.partition("__")
            nested = dunder and not hasattr(getattr(self, head, None), "set_params")
            if name not in hidden and (head not in known or nested):
                raise ValueError(self._unknown(name, known))
        super().set_params(**{k: v for k, v in params.items() if k not in hidden})
        if hidden:
            self._hidden = {**self._hidden, **hidden}
        return self
