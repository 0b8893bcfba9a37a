"""Changes of one parameter, allowed or not, of a detector or of what is within it."""

from hypothesis import strategies as st
from sklearn.utils._param_validation import Interval, Options, make_constraint

from .rows import mostly

# What takes long or prints.
_LEFT_OUT = {"compile", "verbose"}
_FEW = {"max_epochs", "pretrain_epochs", "n_masks", "n_steps", "n_estimators", "n_jobs"}
_ODD = [None, True, 0, 1, "text", [], {}]
_PREFIXED = {
    "module__no_such": [1],
    "optimizer__weight_decay": [0.1, -1, "text", None],
    "optimizer__lr": [0.1, 0.0],
    "optimizer__no_such": [1],
    "iterator_train__shuffle": [True, False],
    "iterator_train__drop_last": [True, False],
    "iterator_train__read_ahead": [True, False],
    "iterator_train__no_such": [1],
    "callbacks__no_such__x": [1],
    "no_such": [1],
    "no_such__x": [1],
    "modul__hidden": [(4,)],
}
_OF_OWN_NETWORK = {"module__hidden": [(4,), [6]]}  # what else it is given is not skood's to check
_OF_DEFAULT_NETWORK = {"module__hidden": [(4,), [6], (), (4, 3), (0,), 4, "text", None]}


def members(constraint):
    """Return values of a constraint of scikit-learn's, and some beside it."""
    if isinstance(constraint, Options):
        return [*constraint.options, "no such option"]
    if isinstance(constraint, Interval):
        low, high = constraint.left, constraint.right
        middle = 1 if low is None or high is None else (low + high) / 2
        found = [low, high, middle, 2, -1, 0.5, float("nan"), float("inf")]
        return [value for value in found if value is not None]
    return _ODD


def _values(name, rules):
    if rules == "no_validation":
        return _ODD
    values = [value for rule in rules for value in members(make_constraint(rule))]
    few = name in _FEW
    return [min(v, 2) if few and type(v) in (int, float) else v for v in values]


def _named(estimator):
    """Return values to try of the named parameters."""
    known = estimator.get_params(deep=False)
    return {
        name: _values(name, rules)
        for name, rules in type(estimator)._parameter_constraints.items()
        if name in known and name not in _LEFT_OUT
    }


def _beneath(estimator, prefix=""):
    """Return values to try of parameters with a double underscore."""
    found, known = {}, estimator.get_params(deep=False)
    if "module" in known:
        own = _OF_OWN_NETWORK if "module__hidden" in known else _OF_DEFAULT_NETWORK
        found |= _PREFIXED | own
    within = known.get("estimator")
    if "estimator" in known:
        found["estimator__no_such"] = [1]
    if hasattr(within, "get_params"):
        below = _named(within) | _beneath(within)
        found |= {f"estimator__{name}": values for name, values in below.items()}
    return found


@st.composite
def parameters(draw, detector):
    """Draw a change of one parameter."""
    named, beneath = _named(detector), _beneath(detector)
    choices = draw(mostly(named, [beneath]) | st.just(beneath)) if beneath else named
    name = draw(st.sampled_from(sorted(choices)))
    return {name: draw(st.sampled_from(choices[name]))}


def change(detector, changed, folder):
    """Set parameters; files are written in a folder."""
    detector.set_params(**{name: _in(folder, name, v) for name, v in changed.items()})


def _in(folder, name, value):
    is_path = value == "text" and name.endswith(("memory", "checkpoint"))
    return str(folder / name) if is_path else value


def restore(detector, changed, params):
    """Set parameters back to what ``get_params`` gave before."""
    for name in changed:
        if name in params:
            detector.set_params(**{name: params[name]})
        elif name in detector.get_params():
            owner, _, rest = name.partition("estimator__")
            _unset(detector.estimator if rest and not owner else detector, rest or name)


def _unset(detector, name):
    # No public method does: a prefixed parameter that was set can only be set to something else.
    detector._hidden = {k: v for k, v in detector._hidden.items() if k != name}
