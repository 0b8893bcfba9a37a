"""A detector between its calls, and what each of them must leave as it is."""

import copy

import numpy as np
import pandas as pd
import torch

from .detectors import fast
from .ranges import score_range

_ROUNDING = 1e-6


class World:
    """A detector between its calls."""

    def __init__(self, case, folder):
        self.detector = fast(case["name"])
        self.data = [each.build(folder) for each in case["data"]]
        self.change, self.folder = case["change"], folder

    @property
    def is_fitted(self):
        return hasattr(self.detector, "offset_")

    @property
    def is_foreign(self):
        """Whether what is fitted is an estimator of another library."""
        within = getattr(self.detector, "estimator", None)
        return type(within).__module__.startswith("sklearn.")

    @property
    def asked(self):
        return self.data[0]["asked"]

    @property
    def probe(self):
        """Rows like those of the last fit, which can always be asked about."""
        detector = self.detector
        shape = getattr(detector, "input_shape_", None) or (detector.n_features_in_,)
        return np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)

    def given(self, index=0):
        """Return the arguments of a fit."""
        return {name: self.data[index][name] for name in ("X", "y", "X_aux")}

    def fit(self, index=0, **options):
        before = copy.deepcopy(self.data[index])
        try:
            self.detector.fit(**self.given(index), **options)
        finally:
            _check_same(self.data[index], before)
        check_scores(self.detector, self.detector.score_samples(self.probe), 3)

    def kept(self):
        """Return what a call that fails must leave as it is."""
        params = repr(self.detector.get_params())
        if not self.is_fitted:
            return params, None, None
        return params, self.detector.score_samples(self.probe), np.copy(self.detector.offset_)

    def check_unchanged(self, before):
        params, scores, offset = self.kept()
        assert params == before[0]
        assert (scores is None) == (before[1] is None)
        if scores is not None:
            np.testing.assert_array_equal(scores, before[1])
            np.testing.assert_array_equal(offset, before[2])


def _check_same(given, before):
    """Check that the user's data are as they were."""
    for name, value in given.items():
        if isinstance(value, (np.ndarray, pd.DataFrame, torch.Tensor)):
            one, other = map(_plain, (value, before[name]))
            assert repr(one) == repr(other)  # NaN among objects is not equal to itself


def _plain(values):
    return (values.detach() if torch.is_tensor(values) else np.asarray(values)).tolist()


def check_scores(detector, scores, n):
    assert scores.dtype == np.float64 and scores.shape == (n,) and np.isfinite(scores).all()
    low, high = score_range(detector)
    assert (low - _ROUNDING <= scores).all() and (scores <= high + _ROUNDING).all()


def check_same_scores(world, other):
    """Check that a detector scores as the one of the world does."""
    one, another = (each.score_samples(world.probe) for each in (world.detector, other))
    np.testing.assert_array_equal(another, one)
