"""The nets' dropout against torch's: the same rates and means, from other random numbers."""

import pytest
import torch
from torch import nn

from skood.nn import DenseNet, WideResNet
from skood.nn._dropout import CheapDropout, _random_bits

LAST = torch.rand(7, 5, 6, 9).contiguous(memory_format=torch.channels_last)
INPUTS = {
    "channels last": LAST,
    "not dense": LAST[:, ::2],
    "expanded": LAST.expand(2, *LAST.shape),
    "transposed": LAST.transpose(0, 3),
    "odd": torch.rand(3),
    "of one number": torch.rand(()),
    "empty": LAST[:0],
    "float64": LAST.double(),
    "bfloat16": LAST.bfloat16(),
}


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
def test_rate_is_that_of_each_element(p):
    torch.manual_seed(0)
    n = 400_000
    kept = CheapDropout(p)(torch.ones(n)) > 0
    four_draws = kept.view(-1, 4).double()
    spread = (p * (1 - p)) ** 0.5
    assert abs(four_draws.mean(0) - (1 - p)).max() < 4 * spread / (n // 4) ** 0.5
    # The four that come of one draw, and neighbours that do not, are dropped independently.
    centred = torch.cat([four_draws[:-1], four_draws[1:]], dim=1) - (1 - p)
    correlations = centred.T @ centred / len(centred) / spread**2
    assert abs(correlations - torch.eye(8)).max() < 5 / len(centred) ** 0.5


def test_all_sixteen_bits_are_random():
    torch.manual_seed(0)
    bits = _random_bits(torch.empty(2**18))
    assert (bits.min(), bits.max()) == (-(2**15), 2**15 - 1)
    ones = torch.stack([(bits >> k & 1).double().mean() for k in range(16)])
    assert abs(ones - 0.5).max() < 4 * 0.5 / len(bits) ** 0.5


@pytest.mark.parametrize("name", INPUTS)
def test_elements_are_dropped_or_divided_and_so_are_their_gradients(name):
    x = INPUTS[name].clone().requires_grad_()
    out = CheapDropout(0.3)(x)
    out.sum().backward()
    n_kept = round(0.7 * 2**16)
    expected = torch.where(out == 0, 0.0, x / (n_kept / 2**16))
    torch.testing.assert_close(out, expected.to(x.dtype))
    torch.testing.assert_close(x.grad * x, out)
    assert out.dtype == x.dtype
    if x.numel():
        assert out.stride() == nn.Dropout(0.3)(x).stride()


@pytest.mark.parametrize("p", [0.0, 1e-7, 1 - 1e-7, 1.0])
def test_all_or_nothing_is_left_to_torch(p):
    x = torch.rand(1000)
    torch.manual_seed(0)
    mine = CheapDropout(p)(x)
    torch.manual_seed(0)
    assert torch.equal(mine, nn.Dropout(p)(x))


def test_evaluation_draws_nothing():
    x, state = torch.rand(1000), torch.get_rng_state()
    assert CheapDropout(0.3).eval()(x) is x
    assert torch.equal(torch.get_rng_state(), state)


def test_one_seed_gives_one_mask():
    masks = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        masks.append(CheapDropout(0.3)(torch.ones(1000)))
    assert torch.equal(masks[0], masks[1]) and not torch.equal(masks[0], masks[2])


@pytest.mark.parametrize("make", [DenseNet, WideResNet])
def test_nets_drop_at_the_rate_asked_for(make):
    layers = [m for m in make(depth=10, dropout=0.2).modules() if isinstance(m, nn.Dropout)]
    assert layers and all(type(m) is CheapDropout and m.p == 0.2 for m in layers)
