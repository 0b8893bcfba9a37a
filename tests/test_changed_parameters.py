"""A parameter that was changed after ``fit`` and that no score can be read with is named."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils._param_validation import make_constraint

from .fuzzing import INSTANCES
from .fuzzing.errors import raised_on_purpose
from .fuzzing.parameters import members

NAMES = [name for name in INSTANCES if "forest" not in name and "defaults" not in name]


def values_of(detector, name):
    """Return values that a parameter may take, and some that it may not."""
    rules = type(detector)._parameter_constraints.get(name, "no_validation")
    allowed = [] if rules == "no_validation" else [
        value for rule in rules for value in members(make_constraint(rule))
    ]
    return [*allowed, None, "no such value"]


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_given_or_an_error_on_purpose(table, rows, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)  # memory may be any text
    X, y, A = table
    detector = clone(INSTANCES[name]).fit(X[:60], y[:60], X_aux=A)
    for parameter, old in detector.get_params(deep=False).items():
        for value in values_of(detector, parameter):
            detector.set_params(**{parameter: value})
            try:
                assert detector.score_samples(rows).shape == (3,)
            except ImportError as error:
                assert "pip install" in str(error)
            except (ValueError, TypeError, AttributeError) as error:
                assert raised_on_purpose(error), (parameter, value, error)
        detector.set_params(**{parameter: old})


@pytest.mark.parametrize("parameter, value, said", [
    ("dtype", "float64", "dtype='float64', but the network was fitted in float32: set it back"),
    ("dtype", "float31", "'dtype' parameter of OutlierExposureDetector must be a str among"),
    ("score", "surprise", "'score' parameter of OutlierExposureDetector must be a str among"),
])
def test_the_parameter_is_named(table, parameter, value, said):
    X, y, A = table
    detector = clone(INSTANCES["OE"]).fit(X[:60], y[:60], X_aux=A)
    old = detector.get_params()[parameter]
    for read in (detector.score_samples, detector.predict_proba):
        if parameter == "dtype" or read == detector.score_samples:
            detector.set_params(**{parameter: value})
            with pytest.raises(ValueError, match=said):
                read(A)
    detector.set_params(**{parameter: old}).score_samples(A)
