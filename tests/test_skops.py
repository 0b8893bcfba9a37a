"""skops: files whose types are looked through before they are loaded, with the same scores."""

import numpy as np
import pytest
import skops.io
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skops.io.exceptions import UntrustedTypesFoundException

from skood import KNNDetector, MahalanobisDetector
from skood import OutlierExposureDetector as OE
from skood.nn import MLP, SmallResNet

from .instances import make
from .test_persistence import NETS, Tokens, assert_same_outputs

FAST = {"max_epochs": 1, "batch_size": 32, "random_state": 0}


def types_in(data):
    return skops.io.get_untrusted_types(data=data)


def through_skops(estimator):
    data = skops.io.dumps(estimator)
    return skops.io.loads(data, trusted=types_in(data))


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("name", make())
def test_every_detector(table, name, labelled):
    X, y, A = table
    detector = make()[name]
    epochs = {n: 1 for n in detector.get_params() if n.rpartition("__")[2] == "max_epochs"}
    outliers = {} if "forest" in name else {"X_aux": A}
    detector.set_params(**epochs).fit(X, y if labelled else None, **outliers)
    loaded = through_skops(detector)
    assert vars(loaded).keys() == vars(detector).keys()
    assert_same_outputs(loaded, detector, A)
    assert_same_outputs(through_skops(loaded), detector, A)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("Net", NETS)
@pytest.mark.parametrize("instance", [False, True], ids=["class", "instance"])
def test_nets_of_every_kind(table, Net, instance):
    X, y, A = table
    detector = OE(Net((4,), 3) if instance else Net, **FAST).fit(X, y, X_aux=A)
    loaded = through_skops(detector)
    assert_same_outputs(loaded, detector, A)
    np.testing.assert_array_equal(
        loaded.fit(X, y, X_aux=A).score_samples(A), detector.fit(X, y, X_aux=A).score_samples(A)
    )


def test_dtypes_that_numpy_does_not_know():
    rng = np.random.default_rng(0)
    X, A = (rng.integers(20, size=(30, 5)) for _ in range(2))
    detector = OE(Tokens, dtype="int64", **FAST).fit(X, np.arange(30) % 2, X_aux=(A,))
    loaded = through_skops(detector)
    assert loaded.module_.small.dtype == torch.float8_e4m3fn
    assert_same_outputs(loaded, detector, A)


def test_images(images):
    X, y, net = images
    for detector in (OE(SmallResNet, **FAST), MahalanobisDetector(net)):
        assert_same_outputs(through_skops(detector.fit(X, y)), detector, X)


def test_a_given_net_is_held_once(table):
    X, y, A = table
    for estimator in (MLP((4,), 3, hidden=(600, 600)), FrozenEstimator(
        OE(module__hidden=(600, 600), **FAST).fit(X, y, X_aux=A)
    )):
        detector = KNNDetector(estimator).fit(X, y)
        data = skops.io.dumps(detector)
        weights = sum(p.nbytes for p in detector.module_.parameters())
        assert weights < len(data) - detector._bank.nbytes < 1.2 * weights
        loaded = skops.io.loads(data, trusted=types_in(data))
        assert loaded.module_ is loaded._given_module()
        assert_same_outputs(loaded, detector, A)


def test_a_pipeline(table):
    X, y, A = table
    pipeline = make_pipeline(StandardScaler(), OE(**FAST)).fit(X, y)
    loaded = through_skops(pipeline)
    np.testing.assert_array_equal(loaded.score_samples(A), pipeline.score_samples(A))


def test_types_are_asked_about_and_are_classes_of_skood_and_torch(table):
    X, y, A = table
    data = skops.io.dumps(OE(**FAST).fit(X, y, X_aux=A))
    with pytest.raises(UntrustedTypesFoundException):
        skops.io.loads(data)
    assert {name.partition(".")[0] for name in types_in(data)} == {"skood", "torch"}
