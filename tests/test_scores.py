"""Scores: published numbers, both kinds of input, and logits at the edge of the number range."""

from pathlib import Path

import numpy as np
import pytest
import torch

from skood import scores

GOLDEN = np.load(Path(__file__).parent / "reference" / "scores.npz")
KEYS = {"msp": "msp", "max_logit": "max_logit", "energy": "energy", "uniform": "h_uniform"}
EVERY = pytest.mark.parametrize("score", [getattr(scores, name) for name in KEYS], ids=KEYS)


@pytest.mark.parametrize(("name", "key"), KEYS.items())
def test_golden_numbers(name, key):
    score, logits = getattr(scores, name), GOLDEN["logits_test"]
    expected = GOLDEN[f"score_{key}"]
    np.testing.assert_allclose(score(logits), expected, rtol=0, atol=1e-9)
    np.testing.assert_allclose(score(torch.tensor(logits)), expected, rtol=0, atol=1e-9)


@EVERY
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_arrays_are_computed_in_float64_and_left_alone(score, dtype):
    logits = GOLDEN["logits_test"].astype(dtype)
    before = logits.copy()
    result = score(logits)
    assert isinstance(result, np.ndarray)
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result, score(logits.astype(np.float64)))
    np.testing.assert_array_equal(logits, before)


@EVERY
def test_arrays_of_any_memory_layout(score):
    logits = GOLDEN["logits_test"].copy()
    expected = score(logits)
    np.testing.assert_array_equal(score(logits[::-1])[::-1], expected)
    np.testing.assert_array_equal(score(np.asfortranarray(logits)), expected)
    np.testing.assert_array_equal(score(logits.tolist()), expected)
    logits.flags.writeable = False
    np.testing.assert_array_equal(score(logits), expected)


@EVERY
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_keep_their_dtype_and_are_differentiable(score, dtype):
    logits = torch.tensor(GOLDEN["logits_test"], dtype=dtype, requires_grad=True)
    result = score(logits)
    assert result.dtype == dtype
    assert result.shape == (200,)
    result.sum().backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().sum() > 0
    wide = score(logits.detach().double()).to(dtype)
    torch.testing.assert_close(result.detach(), wide)


@EVERY
def test_gradients_are_the_derivatives(score):
    logits = torch.tensor(GOLDEN["logits_test"][:8], requires_grad=True)
    assert torch.autograd.gradcheck(score, logits)


@EVERY
@pytest.mark.parametrize("size", [1e4, 1e8, 1e30])
def test_huge_logits_stay_finite(score, size):
    logits = np.array([[size, 0.0, -size], [-size, -size, -size], [size, size, size]])
    assert np.isfinite(score(logits)).all()
    assert torch.isfinite(score(torch.tensor(logits, dtype=torch.float32))).all()


def test_a_common_shift_of_the_logits_is_not_seen_by_softmax_scores():
    logits = np.array([[0.0, 2.0, 4.0]])
    for score in (scores.msp, scores.uniform):
        shifted = score(torch.tensor(logits + 2.0**23, dtype=torch.float32))
        np.testing.assert_allclose(shifted, score(logits), rtol=1e-6)


@EVERY
def test_empty_batch_and_single_class(score):
    assert score(np.zeros((0, 3))).shape == (0,)
    assert score(np.zeros((2, 1))).shape == (2,)


def test_energy_lies_between_the_largest_logit_and_it_plus_log_k():
    logits = GOLDEN["logits_test"]
    np.testing.assert_allclose(scores.energy(logits, 1e-3), scores.max_logit(logits), atol=1e-2)
    for temperature in (0.5, 2.0, 100.0):
        above = scores.energy(logits, temperature) - scores.max_logit(logits)
        assert (above >= 0).all()
        assert (above <= temperature * np.log(10) + 1e-9).all()
        expected = temperature * scores.energy(logits / temperature)
        np.testing.assert_allclose(scores.energy(logits, temperature), expected, rtol=1e-12)


@pytest.mark.parametrize("temperature", [0, -1.0, np.nan, np.inf, "1", None])
def test_energy_refuses_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(ValueError, match="temperature must be a positive finite number"):
        scores.energy(np.zeros((2, 3)), temperature=temperature)


@EVERY
@pytest.mark.parametrize(
    ("logits", "error"),
    [
        (np.zeros(3), ValueError),
        (torch.zeros(2, 3, 4), ValueError),
        (np.zeros((3, 0)), ValueError),
        (np.zeros((2, 3), dtype=complex), TypeError),
        (np.array([["a", "b"]]), TypeError),
        (torch.zeros(2, 3, dtype=torch.int64), TypeError),
    ],
)
def test_what_is_not_a_matrix_of_numbers_is_refused(score, logits, error):
    with pytest.raises(error, match="logits must"):
        score(logits)


@pytest.mark.parametrize("name", ["msp", "abstention"])
def test_log_odds_keep_the_order_and_never_saturate(name):
    score, logits = getattr(scores, name), GOLDEN["logits_test"]
    p = np.abs(score(logits))
    expected = np.log(p / (1 - p)) * (1 if name == "msp" else -1)
    np.testing.assert_allclose(score(logits, log_odds=True), expected, rtol=1e-9, atol=1e-9)
    sure = torch.tensor([[0.0, 1.0, 200.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(score(sure).sum(), sure)
    assert not gradient.any()  # the score is flat here, in single precision
    (gradient,) = torch.autograd.grad(score(sure, log_odds=True).sum(), sure)
    assert gradient[0, 2].abs() == 1


# ---- several reject classes


@pytest.mark.parametrize("log_odds", [False, True])
def test_one_reject_class_is_abstention(log_odds):
    logits = GOLDEN["logits_test"]
    np.testing.assert_allclose(
        scores.rejection(logits, 1, log_odds), scores.abstention(logits, log_odds), rtol=1e-9
    )


@pytest.mark.parametrize("n_reject", [1, 3, 9])
def test_rejection_is_what_the_first_classes_leave(n_reject):
    logits = GOLDEN["logits_test"]
    p = torch.softmax(torch.tensor(logits), dim=1)[:, :-n_reject].sum(dim=1).numpy()
    result = scores.rejection(logits, n_reject)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, -(1 - p), rtol=0, atol=1e-12)
    np.testing.assert_allclose(scores.rejection(torch.tensor(logits), n_reject), result, rtol=1e-12)
    odds = scores.rejection(logits, n_reject, log_odds=True)
    np.testing.assert_allclose(-1 / (1 + np.exp(odds)), result, rtol=1e-9)


@pytest.mark.parametrize("log_odds", [False, True])
def test_rejection_is_differentiable_finite_and_in_range(log_odds):
    def score(logits):
        return scores.rejection(logits, 3, log_odds)

    logits = torch.tensor(GOLDEN["logits_test"][:8], requires_grad=True)
    assert torch.autograd.gradcheck(score, logits)
    half = score(logits.detach().half())
    assert half.dtype == torch.float16
    for size in (1e4, 1e8, 1e30):
        huge = torch.tensor([[size, 0, -size, size], [-size] * 4, [-size, size, size, size]])
        assert torch.isfinite(score(huge)).all()
        if not log_odds:
            assert ((score(huge) >= -1) & (score(huge) <= 0)).all()


def test_log_odds_of_rejection_never_saturate():
    sure = torch.tensor([[0.0, 1.0, 200.0, 1.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(scores.rejection(sure, 2).sum(), sure)
    assert not gradient.any()  # the score is flat here, in single precision
    (gradient,) = torch.autograd.grad(scores.rejection(sure, 2, log_odds=True).sum(), sure)
    assert gradient[0, 2] == -1


@pytest.mark.parametrize(
    ("n_reject", "error"), [(0, ValueError), (4, ValueError), (-1, ValueError), (1.0, TypeError)]
)
def test_rejection_refuses_a_number_of_classes_that_cannot_be(n_reject, error):
    with pytest.raises(error, match="n_reject must be"):
        scores.rejection(np.zeros((2, 4)), n_reject)
