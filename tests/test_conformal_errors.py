"""ConformalDetector: what it warns of and what it refuses."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.ensemble import IsolationForest
from sklearn.frozen import FrozenEstimator
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from skorch import NeuralNetClassifier
from torch.utils.data import TensorDataset

from skood import ConformalDetector, EnergyExposureDetector, KNNDetector, OutlierExposureDetector

from .calibrated import (
    FAST,
    Recorder,
    columns,
    frozen,
    three_classes,
)


@pytest.fixture(scope="module")
def table():
    return three_classes()


# ---- warnings and errors


def test_too_few_rows_for_alpha():
    X = columns(np.arange(18.0))
    with pytest.warns(UserWarning, match="alpha=0.05 needs at least 19 .* there are 18") as got:
        detector = frozen().fit(X)
    assert got[0].filename == __file__
    assert detector.offset_ == -np.inf
    far = columns(np.array([-1e9]))
    assert detector.predict(far)[0] == 1 and detector.decision_function(far)[0] == np.inf
    assert detector.p_values(far)[0] == 1 / 19
    with pytest.warns(UserWarning, match="needs at least 19") as got:
        detector.recalibrate(X)
    assert got[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert frozen().fit(columns(np.arange(19.0))).predict(far)[0] == -1


@pytest.mark.parametrize("params", [{}, {"method": "cross"}, {"conditional_on": "label"},
                                    {"conditional_on": "predicted"}])
def test_too_few_rows_are_told_before_the_training(table, params):
    X, y, _ = table

    class NeverFitted(Recorder):
        def fit(self, X, y=None):
            raise AssertionError("trained before the warning")

        def predict_proba(self, X):
            raise AssertionError("trained before the warning")

    detector = ConformalDetector(NeverFitted(), alpha=0.001, random_state=0, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="alpha=0.001 needs at least 999 calibration rows"):
            detector.fit(X, y)


def test_too_few_rows_are_told_once():
    X = columns(np.arange(18.0))
    for params in ({}, {"conditional_on": "predicted"}):
        with warnings.catch_warnings(record=True) as got:
            warnings.simplefilter("always")
            frozen(**params).fit(X)
        assert [w.filename for w in got] == [__file__]


def test_the_advice_fits_the_call(table):
    X, y, _ = table

    def advice(call):
        with pytest.warns(UserWarning, match="needs at least") as got:
            call()
        return str(got[0].message).partition("refused. ")[2]

    params = {"alpha": 0.001, "random_state": 0}
    more_rows = "Give more rows, or raise alpha."
    split = ConformalDetector(Recorder(), **params)
    assert advice(lambda: split.fit(X)) == (
        "Give more rows, or raise alpha or calibration_size, or use method='cross', in which all "
        "rows calibrate."
    )
    assert advice(lambda: split.recalibrate(X)) == more_rows
    assert advice(lambda: frozen(alpha=0.001).fit(columns(np.arange(18.0)))) == more_rows
    crossed = ConformalDetector(Recorder(), method="cross", **params)
    assert advice(lambda: crossed.fit(X)) == more_rows
    by_label = ConformalDetector(Recorder(), conditional_on="label", **params)
    assert advice(lambda: by_label.fit(X, y)) == (
        "Give more rows, or raise alpha or calibration_size."
    )


def test_too_few_rows_of_one_class():
    X = columns(np.arange(100.0), np.repeat([0, 1], [90, 10]))
    y = np.repeat(["common", "rare"], [90, 10])
    far = columns(np.full(2, -1e9), [0, 1])
    with pytest.warns(UserWarning, match=r"\['rare'\] there are 10: the .* nothing is refused"):
        assert frozen(conditional_on="label").fit(X, y).predict(far).tolist() == [1, 1]
    with pytest.warns(UserWarning, match=r"\['rare'\] there are 10: their .* no row of theirs"):
        assert frozen(conditional_on="predicted").fit(X).predict(far).tolist() == [-1, 1]


def test_a_class_that_calibrates_whole(table):
    X, _, _ = table
    y = np.r_[:10, np.full(140, 10)]
    detector = ConformalDetector(Recorder(), random_state=0)
    with pytest.warns(UserWarning, match=r"all rows of the classes \[.*\] calibrate") as got:
        detector.fit(X, y)
    assert got[0].filename == __file__


def test_classes_that_differ_between_folds(table):
    X, y, A = table
    y = np.r_[99, y[1:]]
    detector = ConformalDetector(
        EnergyExposureDetector(**FAST), method="cross", n_folds=2, random_state=0
    ).fit(X, y, X_aux=(A,))
    assert detector.classes_ is None
    with pytest.raises(AttributeError) as caught:
        detector.predict_proba(X)
    assert "other ones in each fold" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    ("params", "data", "error", "message"),
    [
        ({"estimator": LocalOutlierFactor()}, "X", TypeError, "must have score_samples .* got Loc"),
        ({"alpha": 0}, "X", ValueError, "'alpha' parameter .* must be a float in the range"),
        ({"alpha": 5}, "X", ValueError, "'alpha' parameter"),
        ({"method": "jackknife"}, "X", ValueError, "'method' parameter"),
        ({"calibration_size": 1.0}, "X", ValueError, "'calibration_size' parameter"),
        ({"calibration_size": 150}, "X", ValueError, "n_samples=150 .* needs at least 151"),
        ({"method": "cross", "n_folds": 151}, "X", ValueError, "n_samples=150 .* at least 151"),
        ({"method": "cross", "n_folds": 1}, "X", ValueError, "'n_folds' parameter"),
        ({"method": "cross", "conditional_on": "label"}, "Xy", ValueError, "needs method='split'"),
        ({"method": "cross", "estimator": OutlierExposureDetector(checkpoint="run")}, "Xy",
         ValueError, "would write one file, checkpoint='run': pass checkpoint=None, or method="),
        ({"method": "cross", "estimator": make_pipeline(OutlierExposureDetector(checkpoint="a"))},
         "Xy", ValueError, "pass outlierexposuredetector__checkpoint=None"),
        ({"conditional_on": "label"}, "X", ValueError, "needs labels of two or more classes"),
        ({"conditional_on": "predicted"}, "X", ValueError, "needs an estimator with predict_proba"),
        ({"estimator": KNNDetector(), "conditional_on": "predicted"}, "X", ValueError,
         "needs predicted classes, and KNNDetector, .* pass labels of two or more classes"),
        ({"estimator": GaussianMixture(), "conditional_on": "predicted"}, "Xy", ValueError,
         "needs predicted classes, and GaussianMixture"),
        ({"estimator": torch.nn.Linear(4, 3)}, "X", TypeError,
         r"got Linear\. .*MSPDetector\(net\)\.fit.*FrozenEstimator\(fitted\)\)\.fit\(X_held"),
        ({"estimator": NeuralNetClassifier(torch.nn.Linear(4, 3))}, "Xy", TypeError,
         r"got NeuralNetClassifier\. .*ConformalDetector\(MSPDetector\(net\)\)"),
        ({"estimator": FrozenEstimator(NeuralNetClassifier(torch.nn.Linear(4, 3)))}, "X", TypeError,
         r"got NeuralNetClassifier\. .*MSPDetector\(FrozenEstimator\(net\)\)\.fit\(X, y\)"),
        ({"estimator": FrozenEstimator(torch.nn.Linear(4, 3))}, "X", TypeError,
         r"got Linear\. .*fit\(X_held\), on rows that it has not seen"),
        ({"estimator": None}, "X", TypeError, "must have score_samples .* got NoneType"),
        ({"conditional_on": "class"}, "X", ValueError, "'conditional_on' parameter"),
        ({}, "XA", TypeError, "IsolationForest.fit takes no outliers"),
    ],
)
def test_what_is_refused(table, params, data, error, message):
    X, y, A = table
    arguments = {"X": (X,), "Xy": (X, y), "XA": (X, A)}[data]
    detector = ConformalDetector(**({"estimator": IsolationForest(n_estimators=5)} | params))
    with pytest.raises(error, match=message):
        detector.fit(*arguments)
    assert not hasattr(detector, "offset_")


def test_a_torch_dataset_is_no_x(table):
    X, _, _ = table
    with pytest.raises(TypeError, match="X is a torch Dataset.*SliceDataset"):
        ConformalDetector(Recorder()).fit(TensorDataset(torch.from_numpy(X)))


def test_no_class_outputs_where_the_estimator_has_none(table):
    X, y, A = table
    assert not hasattr(ConformalDetector(IsolationForest()), "predict_class")
    detector = ConformalDetector(OutlierExposureDetector(**FAST), random_state=0)
    assert hasattr(detector, "predict_class")
    assert not hasattr(detector.fit(X, X_aux=(A,)), "predict_class")
    assert hasattr(detector.fit(X, y, X_aux=(A,)), "predict_class")


def test_components_are_no_classes(table):
    X, _, A = table
    detector = ConformalDetector(GaussianMixture(3, random_state=0), random_state=0).fit(X)
    assert np.mean(detector.predict(A) == -1) > 0.5
    assert not hasattr(detector, "predict_class") and not hasattr(detector, "predict_proba")


def test_no_estimator_without_classes_is_trained_to_predict_them(table):
    X, y, _ = table

    class NeverFitted(Recorder):
        def fit(self, X, y=None):
            raise AssertionError("trained before the check")

    with pytest.raises(ValueError, match="needs an estimator with predict_proba"):
        ConformalDetector(NeverFitted(), conditional_on="predicted").fit(X, y)


def test_there_is_one_estimator_or_several(table):
    X, _, _ = table
    detector = ConformalDetector(Recorder(), method="cross", random_state=0).fit(X)
    with pytest.raises(AttributeError, match="see estimators_"):
        detector.estimator_  # noqa: B018
