"""scikit-learn's own checks, over every detector in several configurations: none may fail."""

import os

import pytest
from sklearn.ensemble import IsolationForest
from sklearn.utils.estimator_checks import parametrize_with_checks

import skood

from .instances import make

KNOWN = {name: getattr(skood, name) for name in skood.__all__} | {
    "IsolationForest": IsolationForest
}


@parametrize_with_checks(list(make().values()))
def test_estimator_checks(estimator, check):
    check(estimator)


def test_no_check_is_skipped_in_silence():
    assert os.environ.get("SCIPY_ARRAY_API") == "1", (
        "set SCIPY_ARRAY_API=1 before Python starts, as make test does: without it "
        "check_array_api_input does nothing"
    )


def test_the_table_holds_every_detector():
    detectors = {name for name in skood.__all__ if name.endswith("Detector")}
    assert detectors == {type(instance).__name__ for instance in make().values()}


def test_public_names_are_sorted():
    assert skood.__all__ == sorted(skood.__all__)


@pytest.mark.parametrize("name", make())
def test_repr_names_what_was_set(name):
    instance = make()[name]
    again = eval(repr(instance), KNOWN)
    assert plain_params(again) == plain_params(instance)


def plain_params(detector):
    """Return the parameters, those of estimators among them, but not these themselves."""
    params = detector.get_params()
    return {name: value for name, value in params.items() if not hasattr(value, "get_params")}
