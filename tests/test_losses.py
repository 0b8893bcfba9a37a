"""Losses: numbers and gradients of the released code, and what a training loop relies on."""

from pathlib import Path

import numpy as np
import pytest
import torch

from skood.losses import (
    abstention,
    energy_hinge,
    outlier_exposure,
    rejection,
    uniform_cross_entropy,
)

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


# ---- several reject classes


@pytest.mark.parametrize("beta", [0.0, 1.0, 5.0])
def test_one_reject_class_is_abstention(batch, beta):
    gradients = []
    for loss in (abstention(*batch, beta), rejection(*batch, 1, beta)):
        gradients.append((loss.detach(), *torch.autograd.grad(loss, (batch[0], batch[2]))))
    for one, several in zip(*gradients, strict=True):
        torch.testing.assert_close(several, one, rtol=0, atol=0)


def pseudo_labels(logits_out, n_reject, generator=None):
    """Read them from the gradient, ``p - 1`` for the label and ``p`` for every other class."""
    logits_out = logits_out.clone().requires_grad_()
    logits_in = torch.zeros(1, logits_out.shape[1], dtype=logits_out.dtype)
    rejection(
        logits_in, torch.tensor([0]), logits_out, n_reject, generator=generator
    ).backward()
    assert torch.isfinite(logits_out.grad).all()
    assert ((logits_out.grad < 0).sum(dim=1) == 1).all()
    return logits_out.grad.argmin(dim=1)


@pytest.mark.parametrize("n_reject", [1, 2, 5, 7])
def test_pseudo_labels_are_the_likeliest_or_a_random_reject_class(n_reject):
    n_classes = 8 - n_reject
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2000, 8, dtype=torch.float64, generator=generator)
    likeliest = logits.argmax(dim=1)
    labels = pseudo_labels(logits, n_reject, generator)
    rejected = likeliest >= n_classes
    assert torch.equal(labels[rejected], likeliest[rejected])
    drawn = torch.bincount(labels[~rejected], minlength=8)
    assert not drawn[:n_classes].any()
    share = drawn[n_classes:] / drawn.sum()
    np.testing.assert_allclose(share, 1 / n_reject, atol=0.1)
    # However little the net thinks of the reject classes, no outlier gets another label.
    logits[:, n_classes:] -= 30
    assert (pseudo_labels(logits, n_reject) >= n_classes).all()


def test_pseudo_labels_follow_the_generator():
    logits = torch.zeros(50, 6)  # the first class wins ties, so that all labels are drawn
    first, again = (pseudo_labels(logits, 4, torch.Generator().manual_seed(0)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, pseudo_labels(logits, 4, torch.Generator().manual_seed(1)))
    state = torch.get_rng_state()
    pseudo_labels(logits, 4, torch.Generator())
    assert torch.equal(torch.get_rng_state(), state)
    drawn = pseudo_labels(logits, 4)
    torch.set_rng_state(state)
    assert torch.equal(pseudo_labels(logits, 4), drawn)


def test_rejection_is_the_mean_over_rows_weighed_by_beta(batch):
    logits_in, y_in, logits_out = batch
    logits_out = logits_out.detach() + 10 * torch.eye(7)[6]  # every pseudo-label is the last class
    y_in = y_in.clamp(max=3)
    log_p_in, log_p_out = (torch.log_softmax(each, dim=1) for each in (logits_in, logits_out))
    expected = -log_p_in[torch.arange(len(y_in)), y_in].mean() - 5 * log_p_out[:, 6].mean()
    for n_out in (1, 3):
        loss = rejection(logits_in, y_in, logits_out.repeat(n_out, 1), n_reject=3)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rejection_in_half_precision_is_computed_in_float32(dtype):
    logits = torch.tensor(GOLDEN["logits_out"], dtype=dtype, requires_grad=True)
    y_in = torch.zeros(len(logits), dtype=torch.int64)
    losses = [
        rejection(each, y_in, each, 3, generator=torch.Generator().manual_seed(0))
        for each in (logits, logits.detach().double())
    ]
    losses[0].backward()
    assert losses[0].dtype == torch.float32
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-5)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("n_reject", "error", "match"),
    [
        (0, ValueError, "n_reject must be at least 1 and below the 7 columns .* got 0"),
        (7, ValueError, "n_reject must be at least 1 and below the 7 columns .* got 7"),
        (2.0, TypeError, "n_reject must be an integer, got 2.0"),
        (True, TypeError, "n_reject must be an integer, got True"),
    ],
)
def test_a_number_of_reject_classes_that_cannot_be(batch, n_reject, error, match):
    with pytest.raises(error, match=match):
        rejection(*batch, n_reject)


@pytest.mark.parametrize("loss", [abstention, lambda *batch: rejection(*batch, 2)])
def test_logits_of_different_width_are_refused(batch, loss):
    with pytest.raises(ValueError, match="same number of classes, got 7 and 6"):
        loss(batch[0], batch[1], torch.zeros(4, 6))
    with pytest.raises(TypeError, match="logits_in must be a floating point torch.Tensor"):
        loss(batch[0].detach().numpy(), batch[1], batch[2])
