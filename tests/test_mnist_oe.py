"""The Outlier Exposure authors' MNIST nets, read through the detector: their recorded results."""

import copy
import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.utils import Bunch

from skood import OutlierExposureDetector, scores
from skood.datasets import fetch_mnist
from skood.metrics import ood_report

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "mnist_oe.py"
spec = importlib.util.spec_from_file_location("mnist_oe", BENCHMARK)
mnist_oe = importlib.util.module_from_spec(spec)
spec.loader.exec_module(mnist_oe)

RESULTS = mnist_oe.recorded_results()
COLUMNS = list(mnist_oe.COLUMNS.values())
each_net = pytest.mark.parametrize("name", mnist_oe.NETS)


def loaded(fetch, *args):
    """Return a real set if it lies on this machine; nothing is downloaded by a test."""
    try:
        return fetch(*args, download=False, verbose=False)
    except (FileNotFoundError, ImportError) as error:
        pytest.skip(f"a data set is not on this machine: {error}")


# ----------------------------------------------------------------- with made-up images, everywhere


@pytest.fixture(scope="module")
def made_up():
    rng = np.random.default_rng(0)
    X = rng.integers(256, size=(60, *mnist_oe.SHAPE), dtype=np.uint8)
    return Bunch(X_train=X[:40], y_train=np.arange(40) % 10, X_test=X[40:])


@each_net
@pytest.mark.parametrize("score", ["msp", "uniform"])
@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-12), ("float32", 1e-5)])
def test_detector_scores_as_the_bare_net(name, score, dtype, rtol, made_up):
    net = mnist_oe.authors_net(name)
    detector = OutlierExposureDetector(module=net, max_epochs=0, score=score, dtype=dtype)
    detector.fit(made_up.X_train, made_up.y_train)
    bare = copy.deepcopy(net).to(getattr(torch, dtype)).eval()
    with torch.no_grad():
        logits = bare(torch.from_numpy(made_up.X_test).to(getattr(torch, dtype)) / 255).numpy()
    expected = getattr(scores, score)(logits)
    np.testing.assert_allclose(detector.score_samples(made_up.X_test), expected, rtol=rtol)
    np.testing.assert_array_equal(detector.predict_class(made_up.X_test), logits.argmax(axis=1))


@each_net
def test_no_epoch_leaves_the_weights_alone(name, made_up):
    net = mnist_oe.authors_net(name)
    before = copy.deepcopy(net.state_dict())
    detector = mnist_oe.detector_of(net, made_up)
    assert detector.n_iter_ == 0 and detector.history_ == []
    for key, value in before.items():
        assert torch.equal(net.state_dict()[key], value)
        assert torch.equal(detector.module_.state_dict()[key], value)


# ----------------------------------------------------------------------- with the real test images


@pytest.fixture(scope="module")
def mnist():
    return loaded(fetch_mnist)


@cache
def images(ood):
    # Fewer than the benchmark takes, for speed; but the first half of MNIST's test images is known
    # to be the easier one, so of their negatives all.
    n = 10_000 if ood == "Negative MNIST" else 2_000 if "Noise" in ood else 4_000
    return loaded(mnist_oe.SETS[ood], n)


@pytest.fixture(scope="module", params=mnist_oe.NETS)
def read(request, mnist):
    """One of the nets: its detector, its scores of the test images, and which it gets right."""
    detector = mnist_oe.detector_of(mnist_oe.authors_net(request.param), mnist)
    negative = detector.score_samples(images("Negative MNIST"))
    is_right = detector.predict_class(mnist.X_test) == mnist.y_test
    return Bunch(
        name=request.param, detector=detector, scores_in=detector.score_samples(mnist.X_test),
        negative=negative, is_right=is_right,
    )  # fmt: skip


# In percent. The stored numbers come from float64 scores: in float32 a few of the 10^6 pairs (or
# 10^8, below) may change places, each worth 10^-4 at most; an image more in an FPR is worth 10^-2.
SWAPS = 1e-3


def test_errors_and_their_detection(read):
    expected = RESULTS["deterministic"][read.name]
    recorded = RESULTS["recorded"][read.name]
    assert np.sum(~read.is_right) == expected["n_errors"]
    assert 100 * np.mean(~read.is_right) == pytest.approx(recorded["test_error"])
    detected = mnist_oe.error_detection(read.scores_in, read.is_right)
    for column in COLUMNS:
        stored = expected["error_detection_msp"][column]
        assert detected[column] == pytest.approx(stored, abs=SWAPS), column
        stored = recorded["sets"]["Error detection"][column]
        assert detected[column] == pytest.approx(stored, abs=0.005 + SWAPS), column


@pytest.mark.parametrize("score", ["msp", "h_uniform"])
def test_all_negatives(read, score, mnist):
    detector, sets = None, (read.scores_in, read.negative)
    if score == "h_uniform":
        detector = mnist_oe.detector_of(read.detector.module_, mnist, "uniform")
        sets = mnist.X_test, images("Negative MNIST")
    report = ood_report(detector, *sets, protocol="hendrycks")
    expected = RESULTS["deterministic"][read.name][f"negative_all_{score}"]
    for here, column in mnist_oe.COLUMNS.items():
        measured = 100 * report.loc["ood", here]
        assert measured == pytest.approx(expected[column], abs=SWAPS), column


@pytest.mark.parametrize("ood", mnist_oe.SETS)
def test_recorded_results_of_sampled_sets(read, ood):
    known = ood == "Negative MNIST"
    scores_ood = read.negative if known else read.detector.score_samples(images(ood))
    mean, _ = mnist_oe.in_draws(read.scores_in, scores_ood)
    recorded = RESULTS["recorded"][read.name]["sets"][ood]
    for column in COLUMNS:
        # Three standard deviations of their draws, and half a unit of their last digit.
        tolerance = 3 * recorded[f"{column}_std"] + 0.005
        assert mean[column] == pytest.approx(recorded[column], abs=tolerance), column
