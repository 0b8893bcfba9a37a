"""save_weights and load_weights: the same detector bit for bit, and no code in the file."""

import numpy as np
import pytest
from sklearn.base import clone

from .instances import make
from .test_persistence import assert_same_outputs

FORESTS = [name for name in make() if "forest" in name]
ALL = [name for name in make() if name not in FORESTS]


def instance(name):
    detector = make()[name]
    short = {n: 1 for n in detector.get_params() if n.rpartition("__")[2] == "max_epochs"}
    return detector.set_params(**short)


def through_weights(detector, tmp_path, into=None):
    path = tmp_path / "detector.safetensors"
    detector.save_weights(path)
    return (clone(detector) if into is None else into).load_weights(path)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("name", ALL)
def test_every_detector(table, tmp_path, name, labelled):
    X, y, A = table
    detector = instance(name).fit(X, y if labelled else None, X_aux=A)
    loaded = through_weights(detector, tmp_path)
    assert vars(loaded).keys() == vars(detector).keys()
    for attribute in ("offset_", "n_iter_", "history_", "n_features_in_", "input_shape_"):
        np.testing.assert_equal(
            getattr(loaded, attribute, None), getattr(detector, attribute, None)
        )
    np.testing.assert_array_equal(loaded.classes_, detector.classes_)
    assert_same_outputs(loaded, detector, A)
    assert_same_outputs(through_weights(loaded, tmp_path), detector, A)
