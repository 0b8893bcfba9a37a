"""Losses: numbers and gradients of the released code, and what a training loop relies on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from skood.losses import energy_hinge, outlier_exposure, uniform_cross_entropy

GOLDEN = np.load(Path(__file__).parent / "reference" / "losses.npz")


@pytest.fixture
def batch():
    logits_in = torch.tensor(GOLDEN["logits_in"], requires_grad=True)
    logits_out = torch.tensor(GOLDEN["logits_out"], requires_grad=True)
    return logits_in, torch.tensor(GOLDEN["y_in"]), logits_out


def test_uniform_cross_entropy_is_that_of_the_released_code(batch):
    loss = uniform_cross_entropy(batch[2])
    assert loss.item() == pytest.approx(GOLDEN["oe_uniform_ce"].item(), abs=1e-9)
    rows = uniform_cross_entropy(batch[2], reduction="none")
    assert rows.shape == (18,)
    assert rows.mean().item() == pytest.approx(loss.item(), abs=1e-12)


def test_outlier_exposure_is_that_of_the_released_code(batch):
    loss = outlier_exposure(*batch, beta=GOLDEN["oe_lambda"].item())
    loss.backward()
    assert loss.item() == pytest.approx(GOLDEN["oe_loss"].item(), abs=1e-9)
    np.testing.assert_allclose(batch[0].grad, GOLDEN["oe_grad_in"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(batch[2].grad, GOLDEN["oe_grad_out"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("i", range(4))
def test_energy_hinge_is_that_of_the_released_code(batch, i):
    m_in, m_out, beta = (GOLDEN[f"energy_{name}"][i].item() for name in ("m_in", "m_out", "beta"))
    loss = energy_hinge(*batch, m_in=m_in, m_out=m_out, beta=beta)
    loss.backward()
    assert loss.item() == pytest.approx(GOLDEN["energy_loss"][i], abs=1e-9)
    np.testing.assert_allclose(batch[0].grad, GOLDEN["energy_grad_in"][i], rtol=0, atol=1e-9)
    np.testing.assert_allclose(batch[2].grad, GOLDEN["energy_grad_out"][i], rtol=0, atol=1e-9)


def test_defaults_are_the_published_weights(batch):
    assert outlier_exposure(*batch) == outlier_exposure(*batch, beta=0.5)
    assert energy_hinge(*batch, -3, -1) == energy_hinge(*batch, m_in=-3, m_out=-1, beta=0.1)


def test_the_ratio_of_outliers_in_the_batch_does_not_matter(batch):
    logits_in, y_in, logits_out = batch
    doubled = torch.cat([logits_out, logits_out])
    for loss in (outlier_exposure, lambda *b: energy_hinge(*b, m_in=-3.0, m_out=-1.0)):
        once, twice = loss(logits_in, y_in, logits_out), loss(logits_in, y_in, doubled)
        assert once.item() == pytest.approx(twice.item(), abs=1e-12)


def test_a_flat_softmax_costs_log_k():
    assert uniform_cross_entropy(torch.zeros(3, 8)).item() == pytest.approx(np.log(8))


def test_satisfied_margins_leave_the_classification_loss(batch):
    loss = energy_hinge(*batch, m_in=1e3, m_out=-1e3)
    assert loss.item() == pytest.approx(GOLDEN["ce_in"].item(), abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    logits_in = torch.tensor(GOLDEN["logits_in"], dtype=dtype, requires_grad=True)
    logits_out = torch.tensor(GOLDEN["logits_out"], dtype=dtype, requires_grad=True)
    y_in = torch.tensor(GOLDEN["y_in"])
    for loss in (outlier_exposure, lambda *b: energy_hinge(*b, m_in=-3.0, m_out=-1.0)):
        half = loss(logits_in, y_in, logits_out)
        full = loss(logits_in.detach().double(), y_in, logits_out.detach().double())
        half.backward()
        assert half.dtype == torch.float32
        assert half.item() == pytest.approx(full.item(), rel=1e-5)
        assert logits_in.grad.dtype == logits_out.grad.dtype == dtype


def test_huge_logits_stay_finite_and_exact():
    logits = torch.tensor([[1e8, 1e8, 1e8 - 16]])
    expected = np.log(2) + 16 / 3  # lse - mean with the common 1e8 taken out by hand
    assert uniform_cross_entropy(logits).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("logits_out", "error", "match"),
    [
        (np.zeros((4, 7)), TypeError, "logits_out must be a floating point torch.Tensor"),
        (torch.zeros(4, 7, dtype=torch.int64), TypeError, "logits_out must be a floating"),
        (torch.zeros(7), ValueError, r"logits_out must have shape \(n, K\)"),
        (torch.zeros(0, 7), ValueError, "at least one row"),
        (torch.zeros(4, 6), ValueError, "same number of classes, got 7 and 6"),
    ],
)
def test_errors_name_the_argument(batch, logits_out, error, match):
    with pytest.raises(error, match=match):
        outlier_exposure(batch[0], batch[1], logits_out)
    with pytest.raises(error, match=match):
        energy_hinge(batch[0], batch[1], logits_out, m_in=-3.0, m_out=-1.0)


def test_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="reduction must be 'mean' or 'none', got 'sum'"):
        uniform_cross_entropy(torch.zeros(2, 3), reduction="sum")
