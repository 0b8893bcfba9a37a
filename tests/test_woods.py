"""WOODS: the published terms and updates, and the constraint kept whatever the mixture."""

from pathlib import Path

import numpy as np
import pytest
import torch

from skood.losses import augmented_lagrangian

GOLDEN = np.load(Path(__file__).parent / "reference" / "losses.npz")


def test_the_lagrangian_is_that_of_the_released_code():
    c = torch.tensor(GOLDEN["alm_c"], requires_grad=True)
    for j, multiplier in enumerate(GOLDEN["alm_lam"]):
        for k, penalty in enumerate(GOLDEN["alm_penalty"]):
            value = augmented_lagrangian(c, multiplier, penalty)
            gradient, = torch.autograd.grad(value.sum(), c)
            expected = GOLDEN["alm_value"][:, j, k], GOLDEN["alm_dvalue_dc"][:, j, k]
            np.testing.assert_allclose(value.detach(), expected[0], rtol=0, atol=1e-12)
            np.testing.assert_allclose(gradient, expected[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ((1.0, 0.0, 1.0), TypeError, "constraint must be a floating point torch.Tensor, got float"),
        ((torch.tensor(1), 0.0, 1.0), TypeError, "got torch.int64"),
        ((torch.tensor(1.0), -0.5, 1.0), ValueError, "multiplier must be at least 0, got -0.5"),
        ((torch.tensor(1.0), 0.0, 0.0), ValueError, "penalty must be above 0, got 0"),
    ],
)
def test_the_lagrangian_refuses_what_has_no_meaning(given, error, match):
    with pytest.raises(error, match=match):
        augmented_lagrangian(*given)
