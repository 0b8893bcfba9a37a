"""What makes a fit fast where there is a GPU, as far as it can be seen without one."""

import pickle

import numpy as np
import pytest
import torch
from skorch.callbacks import LRScheduler
from torch.utils._python_dispatch import TorchDispatchMode

from skood import (
    ACETDetector,
    ATOMDetector,
    EnergyExposureDetector,
    GRegDetector,
    NTOMDetector,
    OutlierExposureDetector,
    SOFLDetector,
    UnleashingMaskDetector,
    WOODSDetector,
)
from skood.engine import net
from skood.engine.inputs import to_device

FAST = {"max_epochs": 2, "module__hidden": (8,), "random_state": 0}
COMPILED = {"backend": "aot_eager"}  # all of torch.compile but the code generation


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    X, A = (rng.integers(256, size=(n, 3, 8, 8), dtype=np.uint8) for n in (64, 320))
    return X, np.repeat([0, 1], 32), A


# ---- no step waits for the device


class Reads(TorchDispatchMode):
    """Counts the numbers that Python asks of a tensor: each would wait for a GPU."""

    def __init__(self):
        super().__init__()
        self.n = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.n += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


def n_reads(detector, table):
    X, y, A = table
    with Reads() as reads:
        detector.fit(X, y, X_aux=A)
    return reads.n


@pytest.fixture
def asynchronous(monkeypatch):
    """Let the loop take the CPU for a device that is asynchronous."""
    monkeypatch.setattr(net, "_is_asynchronous", lambda device: True)


@pytest.mark.parametrize(
    "Detector",
    [
        OutlierExposureDetector, EnergyExposureDetector, NTOMDetector, ATOMDetector, ACETDetector,
        SOFLDetector, UnleashingMaskDetector, WOODSDetector,
    ],
)
def test_no_number_is_read_in_a_step(images, asynchronous, Detector):
    # SGD, because torch keeps the step count of Adam on the CPU, where to read it is no wait.
    params = {"optimizer": "sgd", "max_epochs": 2, "random_state": 0, "augment": "crop-flip"}
    few = n_reads(Detector(batch_size=32, **params), images)
    many = n_reads(Detector(batch_size=4, **params), images)
    assert many == few


def test_a_batch_goes_to_a_gpu_from_pinned_memory_and_nobody_waits(monkeypatch):
    done, batch = [], torch.zeros(2, 3)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: done.append("pinned") or self)
    monkeypatch.setattr(
        torch.Tensor, "to", lambda self, *args, **how: done.append((*args, how)) or self
    )
    assert to_device(batch, "cuda:1") is batch
    assert done == ["pinned", ("cuda:1", {"non_blocking": True})]
    done.clear()
    to_device(batch, "cpu")
    assert done == [("cpu", {})]


def test_losses_read_at_the_end_of_an_epoch_are_those_read_at_once(table, monkeypatch):
    X, y, A = table
    at_once = NTOMDetector(**FAST).fit(X, y, X_aux=A)
    monkeypatch.setattr(net, "_is_asynchronous", lambda device: True)
    late = NTOMDetector(**FAST).fit(X, y, X_aux=A)
    assert [r["train_loss"] for r in late.history_] == [r["train_loss"] for r in at_once.history_]
    np.testing.assert_array_equal(late.score_samples(A), at_once.score_samples(A))


def test_a_callback_may_read_the_loss_of_a_batch_early(table, monkeypatch):
    X, y, A = table
    halving = LRScheduler("ReduceLROnPlateau", monitor="train_loss", step_every="batch", patience=0)
    params = {"schedule": "constant", "callbacks": [halving], **FAST}
    at_once = NTOMDetector(**params).fit(X, y, X_aux=A)
    monkeypatch.setattr(net, "_is_asynchronous", lambda device: True)
    late = NTOMDetector(**params).fit(X, y, X_aux=A)
    np.testing.assert_array_equal(late.score_samples(A), at_once.score_samples(A))
    plain = NTOMDetector(**params | {"callbacks": None}).fit(X, y, X_aux=A)
    assert not np.array_equal(plain.score_samples(A), at_once.score_samples(A))  # it did step


# ---- torch.compile


@pytest.mark.parametrize("Detector", [OutlierExposureDetector, ATOMDetector])
def test_a_compiled_training_is_the_same(table, Detector):
    X, y, A = table
    plain = Detector(**FAST).fit(X, y, X_aux=A)
    compiled = Detector(compile=COMPILED, **FAST).fit(X, y, X_aux=A)
    np.testing.assert_allclose(
        compiled.score_samples(A), plain.score_samples(A), rtol=1e-4, atol=1e-5
    )
    assert type(compiled.module_) is type(plain.module_)
    again = pickle.loads(pickle.dumps(compiled))
    np.testing.assert_array_equal(again.score_samples(A), compiled.score_samples(A))


def test_the_passes_of_training_and_attack_are_compiled(table):
    X, y, A = table
    seen = []

    def backend(graph, inputs):
        seen.append(graph)
        return graph.forward

    torch._dynamo.reset()
    detector = ATOMDetector(compile={"backend": backend}, **FAST)
    detector.fit(X, y, X_aux=A)
    assert len(seen) >= 2  # one in training mode, one in evaluation mode


def test_what_cannot_be_compiled_is_refused(table):
    X, y, A = table
    with pytest.raises(ValueError, match="compile=True.*grad_weight=0"):
        GRegDetector(compile=True, **FAST).fit(X, y, X_aux=A)
    GRegDetector(compile=COMPILED, grad_weight=0, **FAST).fit(X, y, X_aux=A)
