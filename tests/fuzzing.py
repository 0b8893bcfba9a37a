"""Random data, parameters and orders of calls, and what must hold after any of them.

A case is a detector of the common table, some data, and a few calls in some order. Whatever it is,
each call gives a result within its documented range or an error that was raised on purpose: by
skood or by scikit-learn's validation, not from within torch or NumPy.
"""

import copy
import math
import pickle
import tempfile
import traceback
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import Interval, Options, make_constraint
from torch import nn

from .datasets import Items
from .instances import make

N = 24  # rows of X; what is drawn is strange, not large
INSTANCES = {name: each for name, each in make().items() if not name.endswith("defaults")}
ON_PURPOSE = (TypeError, ValueError, NotFittedError, AttributeError)
# Scores of these are probabilities, or their negatives, where there are classes.
RANGES = {
    "MSPDetector": (0, 1), "NTOMDetector": (-1, 0), "ATOMDetector": (-1, 0), "DOSDetector": (-1, 0),
    "SOFLDetector": (-1, 0),
}


def network(input_shape, n_outputs, hidden=(4,)):
    """Make a very small network, for rows of any shape."""
    return nn.Sequential(OrderedDict(
        flat=nn.Flatten(), hidden=nn.Linear(math.prod(input_shape), *hidden), act=nn.ReLU(),
        head=nn.Linear(*hidden, n_outputs),
    ))


# ---- data


ODD_VALUES = {
    "plain": lambda x: x,
    "huge": lambda x: x * 1e30,
    "beyond float32": lambda x: x * 1e200,
    "tiny": lambda x: x * 1e-30,
    "constant": np.zeros_like,
    "repeated": lambda x: np.repeat(x[:1], len(x), axis=0),
    "NaN": lambda x: np.where(np.arange(x.size).reshape(x.shape) == 3, np.nan, x),
    "infinite": lambda x: np.where(np.arange(x.size).reshape(x.shape) == 3, np.inf, x),
}
DTYPES = {
    "float32": lambda x: x.astype(np.float32),
    "float64": lambda x: x,
    "float16": lambda x: x.astype(np.float16),
    "uint8": lambda x: np.nan_to_num(x * 50 + 100).clip(0, 255).astype(np.uint8),
    "int64": lambda x: np.nan_to_num(x * 10).clip(-1000, 1000).astype(np.int64),
    "bool": lambda x: x > 0,
    "object": lambda x: x.astype(object),
    "text": lambda x: x.astype(str),
    "complex": lambda x: x.astype(complex),
}
CONTAINERS = {
    "array": lambda x: x,
    "read-only": lambda x: _frozen(x),
    "Fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=0)[::2],
    "list": lambda x: x.tolist(),
    "frame": lambda x: pd.DataFrame(x, columns=[f"c{i}" for i in range(x.shape[1])]),
    "tensor": lambda x: torch.from_numpy(np.ascontiguousarray(x)),
    "sparse": lambda x: sparse.csr_array(x),
    "Dataset": Items,
    "tuple": lambda x: (x, x[:1]),
}
SHAPES = [(3,), (1,), (0,), (), (1, 8, 8), (3, 8, 8), (2, 2), (1, 1, 1)]


def _frozen(x):
    x = x.copy()
    x.flags.writeable = False
    return x


@dataclass(frozen=True)
class Rows:
    """Some rows, as they are drawn and shown: ``build`` makes them."""

    n: int
    shape: tuple
    values: str
    dtype: str
    container: str
    seed: int

    def build(self):
        x = np.random.default_rng(self.seed).normal(size=(self.n, *self.shape))
        with np.errstate(all="ignore"):
            x = DTYPES[self.dtype](ODD_VALUES[self.values](x)) if x.size > 3 else x
        return CONTAINERS[self._possible_container(x)](x)

    def _possible_container(self, x):
        for_tables = self.container in ("frame", "sparse") and x.ndim != 2
        for_numbers = self.container in ("tensor", "sparse") and x.dtype.kind in "OU"
        for_wider = self.container == "sparse" and x.dtype == np.float16
        return "array" if for_tables or for_numbers or for_wider else self.container


def mostly(usual, others):
    """Draw what is usual seven times of eight: of many oddities the first ends the case."""
    others = st.sampled_from([*others])
    return st.integers(0, 7).flatmap(lambda k: others if k == 7 else st.just(usual))


def rows(shape):
    """Draw a ``Rows``."""
    return st.builds(
        Rows, n=mostly(N, (0, 1, 2, 5)), shape=mostly(shape, SHAPES),
        values=mostly("plain", ODD_VALUES), dtype=mostly("float32", DTYPES),
        container=mostly("array", CONTAINERS), seed=st.integers(0, 99),
    )


LABELS = {
    "none": lambda n: None,
    "integers": lambda n: np.arange(n) % 2,
    "gaps": lambda n: np.arange(n) % 3 * 10,
    "text": lambda n: np.array(["cat", "dog"])[np.arange(n) % 2],
    "column": lambda n: (np.arange(n) % 2)[:, None],
    "marked": lambda n: np.where(np.arange(n) % 3, np.arange(n) % 2, -1),
    "floats": lambda n: np.arange(n) / 3,
    "NaN": lambda n: np.full(n, np.nan),
    "one class": lambda n: np.zeros(n, int),
    "one of a class": lambda n: np.arange(n) == 0,
    "only outliers": lambda n: np.full(n, -1),
    "too few": lambda n: np.zeros(max(n - 1, 0), int),
    "objects": lambda n: np.array([None, "a"] * n, dtype=object)[:n],
    "of two kinds": lambda n: np.array(["a", 1] * n, dtype=object)[:n],
}


@dataclass(frozen=True)
class Data:
    """X, y and X_aux of a fit, and other rows to ask about."""

    X: Rows
    y: str
    X_aux: Rows | None
    asked: Rows

    def build(self):
        given = {"X": self.X.build(), "y": LABELS[self.y](self.X.n)}
        return given | {"X_aux": self.X_aux and self.X_aux.build(), "asked": self.asked.build()}


def data():
    """Draw a ``Data``."""
    usual = st.sampled_from(["integers", "text", "none"])
    return st.sampled_from([(3,), (3,), (1, 8, 8)]).flatmap(lambda shape: st.builds(
        Data, X=rows(shape), y=usual.flatmap(lambda kind: mostly(kind, LABELS)),
        X_aux=rows(shape) | rows(shape) | st.none(), asked=rows(shape),
    ))


def _length(X):
    return X.shape[0] if hasattr(X, "shape") else len(X)


# ---- parameters


def _members(constraint):
    """Return values of a constraint of scikit-learn's, and some beside it."""
    if isinstance(constraint, Options):
        return [*constraint.options, "no such option"]
    if isinstance(constraint, Interval):
        low, high = constraint.left, constraint.right
        middle = 1 if low is None or high is None else (low + high) / 2
        found = [low, high, middle, 2, -1, 0.5, float("nan")]
        return [value for value in found if value is not None]
    return [None, True, 0, 1, "text", [], {}]


@st.composite
def parameters(draw, detector):
    """Draw a change of one parameter, allowed or not, or none."""
    constraints = {
        name: rule for name, rule in type(detector)._parameter_constraints.items()
        if name in detector.get_params(deep=False) and rule != "no_validation"
        and name not in ("max_epochs", "checkpoint", "compile", "verbose", "device")
    }
    name = draw(st.sampled_from(sorted(constraints)))
    rules = [make_constraint(each) for each in constraints[name]]
    values = [value for rule in rules for value in _members(rule)]
    value = draw(st.sampled_from(values))
    large = isinstance(value, (int, float)) and name in ("n_masks", "n_steps", "pretrain_epochs")
    return {name: min(value, 2) if large and not isinstance(value, bool) else value}


# ---- calls


@st.composite
def cases(draw, names=tuple(INSTANCES)):
    """Draw the name of a detector, two sets of data, a change of a parameter, and some calls."""
    name = draw(st.sampled_from(names))
    return {
        "name": name,
        "data": [draw(data()), draw(data())],
        "change": draw(parameters(INSTANCES[name])),
        "calls": draw(st.lists(st.sampled_from([*CALLS]), min_size=2, max_size=6)),
    }


def run(case):
    """Run a case.

    Returns
    -------
    dict of str to int
        How many calls gave a result, and how many an error on purpose.

    Raises
    ------
    AssertionError
        If a result is not what it must be, or an error is none that was raised on purpose.
    """
    count = {"results": 0, "errors": 0}
    with tempfile.TemporaryDirectory() as folder:
        world = World(case, Path(folder))
        for call in ["fit", *case["calls"]]:
            try:
                before = world.kept()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    warnings.simplefilter("error", RuntimeWarning)
                    CALLS[call](world)
                count["results"] += 1
            except Exception as error:  # whatever is raised is looked at
                assert raised_on_purpose(error), f"{call}: {error!r}"
                count["errors"] += 1
                world.check_unchanged(before)
    return count


def raised_on_purpose(error):
    """Whether an error says what is wrong, rather than being what went wrong."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = "/skood/" in last.filename and last.line.startswith("raise")
    theirs = "/sklearn/" in last.filename or "/joblib/" in last.filename  # n_jobs=0
    return isinstance(error, ON_PURPOSE) and (ours or theirs)


class World:
    """A detector between its calls."""

    def __init__(self, case, folder):
        self.detector = clone(INSTANCES[case["name"]])
        for trained in (self.detector, getattr(self.detector, "estimator", None)):
            if "module" in getattr(trained, "get_params", dict)():
                trained.set_params(module=network, max_epochs=1, batch_size=16)
        self.data = [each.build() for each in case["data"]]
        self.change, self.folder = case["change"], folder

    @property
    def is_fitted(self):
        return hasattr(self.detector, "offset_")

    @property
    def probe(self):
        """Rows like those of the last fit, which can always be asked about."""
        detector = self.detector
        shape = getattr(detector, "input_shape_", None) or (detector.n_features_in_,)
        return np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)

    def kept(self):
        """Return what a call that fails must leave as it is."""
        scores = self.detector.score_samples(self.probe) if self.is_fitted else None
        return repr(self.detector.get_params()), scores

    def check_unchanged(self, before):
        params, scores = self.kept()
        assert params == before[0]
        assert (scores is None) == (before[1] is None)
        if scores is not None:
            np.testing.assert_array_equal(scores, before[1])

    def fit(self, index=0, **options):
        given = self.data[index]
        before = copy.deepcopy(given)
        try:
            self.detector.fit(given["X"], given["y"], X_aux=given["X_aux"], **options)
        finally:
            check_same(given, before)
        scores = self.detector.score_samples(self.probe)
        check_scores(self.detector, scores, 3)

    def asked(self):
        return self.data[0]["asked"]


def check_same(given, before):
    """Check that the user's data are as they were."""
    for name, value in given.items():
        if isinstance(value, (np.ndarray, pd.DataFrame, torch.Tensor)):
            one, other = (np.asarray(each).tolist() for each in (value, before[name]))
            assert repr(one) == repr(other)  # NaN among objects is not equal to itself


def check_scores(detector, scores, n):
    assert scores.dtype == np.float64 and scores.shape == (n,) and np.isfinite(scores).all()
    low, high = RANGES.get(type(detector).__name__, (-np.inf, np.inf))
    if getattr(detector, "classes_", None) is not None:
        assert (low - 1e-6 <= scores).all() and (scores <= high + 1e-6).all()


def score_samples(world):
    scores = world.detector.score_samples(world.asked())
    check_scores(world.detector, scores, _length(world.asked()))


def decision_function(world):
    decided = world.detector.decision_function(world.asked())
    scores = world.detector.score_samples(world.asked())
    np.testing.assert_array_equal(decided, scores - world.detector.offset_)


def predict(world):
    decided = world.detector.predict(world.asked())
    assert decided.shape == (_length(world.asked()),) and set(decided) <= {1, -1}


def predict_proba(world):
    p = world.detector.predict_proba(world.asked())
    assert p.shape == (_length(world.asked()), len(world.detector.classes_))
    assert ((p >= 0) & (p <= 1)).all()
    np.testing.assert_allclose(p.sum(axis=1), 1)


def predict_class(world):
    named = world.detector.predict_class(world.asked())
    assert named.shape == (_length(world.asked()),)
    assert set(named) <= set(world.detector.classes_)


def fit_predict(world):
    given = world.data[0]
    decided = world.detector.fit_predict(given["X"], given["y"], X_aux=given["X_aux"])
    assert set(decided) <= {1, -1}


def set_params(world):
    params = world.detector.get_params(deep=False)
    world.detector.set_params(**world.change)
    try:
        world.fit()
    except ON_PURPOSE:
        world.detector.set_params(**{name: params[name] for name in world.change})
        raise


def cloned(world):
    world.detector = clone(world.detector)
    assert not world.is_fitted


def _same_scores(world, other):
    np.testing.assert_array_equal(
        other.score_samples(world.probe), world.detector.score_samples(world.probe)
    )


def pickled(world):
    other = pickle.loads(pickle.dumps(world.detector))
    if world.is_fitted:
        _same_scores(world, other)
    world.detector = other


def copied(world):
    other = copy.deepcopy(world.detector)
    if world.is_fitted:
        _same_scores(world, other)
    world.detector = other


def weights(world):
    path = world.folder / "weights"
    world.detector.save_weights(path)
    other = clone(world.detector).load_weights(path)
    _same_scores(world, other)
    world.detector = other


def resumed(world):
    if "checkpoint" not in world.detector.get_params():
        return
    world.detector.set_params(checkpoint=world.folder / "fit")
    try:
        world.fit(resume=True)
        _same_scores(world, clone(world.detector).fit(**_fitted_on(world), resume=True))
    finally:
        world.detector.set_params(checkpoint=None)


def _fitted_on(world):
    return {name: world.data[0][name] for name in ("X", "y", "X_aux")}


CALLS = {
    "fit": World.fit,
    "fit on other data": lambda world: world.fit(1),
    "fit_predict": fit_predict,
    "score_samples": score_samples,
    "decision_function": decision_function,
    "predict": predict,
    "predict_proba": predict_proba,
    "predict_class": predict_class,
    "set_params": set_params,
    "clone": cloned,
    "pickle": pickled,
    "deepcopy": copied,
    "weights": weights,
    "resume": resumed,
    "repr": lambda world: repr(world.detector),
}
