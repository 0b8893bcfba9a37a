"""Mining: the released selection, ties, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from skood.sampling import informative

GOLDEN = np.load(Path(__file__).parent / "reference" / "mining.npz")
CASES = [(tag, i) for tag in "ab" for i in range(len(GOLDEN[f"{tag}_quantiles"]))]


@pytest.mark.parametrize("convert", [np.asarray, torch.tensor])
@pytest.mark.parametrize("tag, i", CASES)
def test_what_is_kept_is_what_the_released_code_keeps(tag, i, convert):
    n = GOLDEN[f"{tag}_n"].item()
    pool = convert(GOLDEN[f"{tag}_conf"][: 4 * n])
    kept = informative(pool, n, GOLDEN[f"{tag}_quantiles"][i].item())
    assert set(kept.tolist()) == set(GOLDEN[f"{tag}_kept"][i].tolist())
    assert len(kept) == n


@pytest.mark.parametrize("n_levels", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_ties_go_to_the_lower_index_as_in_a_stable_sort(n_levels, dtype):
    rng = np.random.default_rng(n_levels)
    confidence = (rng.integers(n_levels, size=60) / n_levels).astype(dtype)
    order = np.argsort(confidence, kind="stable")
    for n in (1, 2, 15, 60):
        for start in range(0, 60 - n + 1, 7):
            kept = informative(confidence, n, (start + 0.5) / 60)
            np.testing.assert_array_equal(kept, np.sort(order[start : start + n]))


def test_the_kind_of_the_indices_is_that_of_the_confidences():
    confidence = np.linspace(1, 0, 8, dtype=np.float32)
    kept = informative(confidence, 2, 0.25)
    assert isinstance(kept, np.ndarray) and kept.dtype == np.int64
    tensor = informative(torch.tensor(confidence, requires_grad=True), 2, 0.25)
    assert isinstance(tensor, torch.Tensor) and tensor.dtype == torch.int64
    np.testing.assert_array_equal(kept, [4, 5])
    np.testing.assert_array_equal(tensor, [4, 5])
    assert informative(torch.tensor(confidence).bfloat16(), 2, 0.25).tolist() == [4, 5]


def test_the_confidences_are_not_modified_and_may_be_read_only():
    confidence = np.random.default_rng(0).random(50)
    before = confidence.copy()
    tensor = torch.tensor(confidence)
    informative(tensor, 10, 0.5)
    confidence.setflags(write=False)
    informative(confidence, 10, 0.5)
    np.testing.assert_array_equal(confidence, before)
    np.testing.assert_array_equal(tensor, before)


def test_a_pool_too_small_is_refused_with_the_numbers():
    with pytest.raises(ValueError, match=r"n=60 .* quantile=0.5 of 100: only 50 .* 50 hardest"):
        informative(np.linspace(0, 1, 100), 60, 0.5)
    with pytest.raises(ValueError, match="only 0 are left"):
        informative(np.empty(0), 1, 0.0)
    assert len(informative(np.linspace(0, 1, 100), 50, 0.5)) == 50


@pytest.mark.parametrize(
    "confidence, n, quantile, error, message",
    [
        (np.zeros((4, 2)), 1, 0, ValueError, r"shape \(N,\).*\(4, 2\)"),
        (np.array([0.1, np.nan]), 1, 0, ValueError, "finite, got 1 NaN"),
        (torch.tensor([0.1, torch.inf]), 1, 0, ValueError, "finite"),
        (np.arange(4), 1, 0, TypeError, "floats, got torch.int64"),
        (np.array(["a"]), 1, 0, TypeError, "floats"),
        (np.zeros(4), 1.0, 0, TypeError, "n must be an integer, got 1.0"),
        (np.zeros(4), True, 0, TypeError, "n must be an integer"),
        (np.zeros(4), 0, 0, ValueError, "n must be at least 1, got 0"),
        (np.zeros(4), 1, "0", TypeError, "quantile must be a number"),
        (np.zeros(4), 1, 1.0, ValueError, r"quantile must be in \[0, 1\), got 1.0"),
        (np.zeros(4), 1, -0.1, ValueError, "quantile must be in"),
        (np.zeros(4), 1, float("nan"), ValueError, "quantile must be in"),
    ],
)
def test_wrong_arguments_are_named(confidence, n, quantile, error, message):
    with pytest.raises(error, match=message):
        informative(confidence, n, quantile)
