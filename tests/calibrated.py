"""What the tests of ConformalDetector calibrate: detectors whose scores are known."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.frozen import FrozenEstimator

from skood import ConformalDetector

FAST = {"max_epochs": 2, "batch_size": 32, "module__hidden": (8,), "random_state": 0}


class FirstColumn(OutlierMixin, BaseEstimator):
    """A detector with nothing to learn: the score is column 0, the predicted class column 1."""

    classes_ = np.array(["common", "rare"])

    def fit(self, X, y=None):
        raise AssertionError("frozen: nothing is to be trained")

    def __sklearn_is_fitted__(self):
        return True

    def score_samples(self, X):
        return np.asarray(X)[:, 0]

    def predict_proba(self, X):
        return np.eye(2)[np.asarray(X)[:, 1].astype(int)]


class Recorder(OutlierMixin, BaseEstimator):
    """Remembers what it was trained on; the score is column 0."""

    def fit(self, X, y=None, X_aux=None, sample_weight=None):
        self.seen_, self.y_, self.X_aux_, self.weight_ = np.asarray(X), y, X_aux, sample_weight
        return self

    def score_samples(self, X):
        return np.asarray(X)[:, 0]


class Nearest(OutlierMixin, BaseEstimator):
    """The distance to the nearest training row, which is 0 for these: as overfitted as can be."""

    def fit(self, X, y=None):
        self.seen_ = np.sort(X[:, 0])
        return self

    def score_samples(self, X):
        x = np.asarray(X)[:, 0]
        place = np.searchsorted(self.seen_, x).clip(1, len(self.seen_) - 1)
        return -np.minimum(abs(x - self.seen_[place - 1]), abs(x - self.seen_[place]))


def frozen(**params):
    return ConformalDetector(FrozenEstimator(FirstColumn()), random_state=0, **params)


def quietly(function, *arguments):
    """Call what warns of calibration rows too few to refuse anything."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "alpha=.* needs at least")
        return function(*arguments)


def columns(scores, classes=None):
    return np.column_stack([scores, np.zeros(len(scores)) if classes is None else classes])


def calibration_rows(detector, X):
    """Return which rows of X the Recorder was not trained on."""
    return calibration_rows_of(detector.estimator_, X)


def calibration_rows_of(recorder, X):
    return np.flatnonzero(~np.isin(X[:, 0], recorder.seen_[:, 0]))


def three_classes():
    """Return rows, labels and as many outliers."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=150)
    X = (rng.normal(size=(150, 4)) + 3 * np.eye(3, 4)[y]).astype(np.float32)
    return X, y, rng.uniform(-6, 6, size=(150, 4)).astype(np.float32)
