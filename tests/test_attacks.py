"""PGD: the released attacks, identities on linear objectives, and what must not be touched."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from skood.attacks import pgd_linf, random_start

GOLDEN = np.load(Path(__file__).parent / "reference" / "pgd.npz")
PX = 1 / 255
DTYPES = [(torch.float64, 1e-9), (torch.float32, 2e-5 * PX)]


def golden(name, dtype=torch.float64):
    return torch.tensor(GOLDEN[name], dtype=dtype)


def build_net(head, dtype=torch.float64):
    weights = [golden(name, dtype) for name in ("conv_w", "conv_b", f"{head}_w", f"{head}_b")]
    conv, linear = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, len(weights[2]))
    net = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear).to(dtype)
    for parameter, weight in zip(net.parameters(), weights, strict=True):
        parameter.data = weight
    return net.eval()


def outlier_loss(net):
    return lambda x: -torch.log_softmax(net(x), dim=1)[:, -1]


def rugged(x):
    return torch.sin(400 * x).sum(dim=1)


def uniform_loss(net):
    return lambda x: -torch.log_softmax(net(x), dim=1).mean(dim=1)


@pytest.mark.parametrize("dtype, atol", DTYPES)
def test_the_training_attack_is_that_of_the_released_code(dtype, atol):
    objective = outlier_loss(build_net("lin", dtype))
    x, start = golden("x", dtype), golden("start_rounded", dtype) * PX
    adv = pgd_linf(objective, x, 8 * PX, 2 * PX, 5, start=start)
    np.testing.assert_allclose(adv, GOLDEN["train_adv"], rtol=0, atol=atol)
    if dtype == torch.float64:
        value = objective(adv).detach()
        np.testing.assert_allclose(value, GOLDEN["train_adv_loss"], rtol=0, atol=1e-9)
        np.testing.assert_allclose(value, GOLDEN["train_losses"].max(axis=1), rtol=0, atol=1e-9)
    assert torch.equal(adv[10], x[10])  # its clean image is the best iterate


@pytest.mark.parametrize("dtype, atol", DTYPES)
@pytest.mark.parametrize(
    "name, head, loss", [("atom", "lin", outlier_loss), ("conf", "lin_k", uniform_loss)]
)
def test_the_evaluation_attacks_are_those_of_the_released_code(name, head, loss, dtype, atol):
    objective = loss(build_net(head, dtype))
    x, start = golden("x", dtype), golden("start_rounded", dtype) * PX
    adv = pgd_linf(objective, x, 8 * PX, PX, 40, start=start, round_to=PX)
    np.testing.assert_allclose(adv, GOLDEN[f"eval_{name}_adv"], rtol=0, atol=atol)
    if dtype == torch.float64:
        value = objective(adv).detach()
        np.testing.assert_allclose(value, GOLDEN[f"eval_{name}_adv_loss"], rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(5, 7), (5, 3, 4, 4), (5,)])
def test_a_linear_objective_ends_at_the_corner_of_the_ball(shape, dtype):
    torch.manual_seed(0)
    x, weight = torch.randn(shape, dtype=dtype), torch.randn(shape[1:], dtype=dtype)
    adv = pgd_linf(
        lambda x: (x * weight).flatten(1).sum(1) if x.ndim > 1 else x * weight,
        x,
        0.3,
        0.1,
        7,
        bounds=None,
    )
    assert adv.dtype == dtype
    torch.testing.assert_close(adv, x + 0.3 * weight.sign())


@pytest.mark.parametrize("round_to", [None, PX, 0.013, 0.2])
@pytest.mark.parametrize("bounds", [(0, 1), (-0.5, 1.25), None])
def test_no_perturbation_leaves_the_ball_or_the_bounds(bounds, round_to):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(20, 3, 8, 8, generator=generator)
    x[0], x[1] = 0, 1
    objective = outlier_loss(build_net("lin", torch.float32))
    start = 100 * torch.randn(x.shape, generator=generator)
    adv = pgd_linf(objective, x, 8 * PX, 0.7, 3, start, bounds, round_to)
    assert (adv - x).abs().max() <= 8 * PX + 1e-6
    if bounds is not None:
        assert bounds[0] <= adv.min() and adv.max() <= bounds[1]


@pytest.mark.parametrize("round_to", [None, 3 * PX])
def test_the_objective_is_never_below_that_of_the_clean_samples(round_to):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(200, 4, generator=generator, dtype=torch.float64)

    adv = pgd_linf(rugged, x, 8 * PX, 5 * PX, 3, round_to=round_to, generator=generator)
    assert (rugged(adv) >= rugged(x)).all()
    assert (rugged(adv) > rugged(x)).any()


def test_rounding_that_loses_the_gain_gives_the_clean_sample_back():
    x = torch.tensor([[0.5], [0.5]])
    peaks = torch.tensor([0.6, 0.504])  # whole steps of .1: reached, and overshot by rounding
    adv = pgd_linf(
        lambda x: -(x[:, 0] - peaks).abs(), x, 0.2, 0.06, 1, torch.zeros_like(x), round_to=0.1
    )
    torch.testing.assert_close(adv, torch.tensor([[0.6], [0.5]]))


def test_a_rounded_perturbation_is_a_multiple_inside_the_ball():
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(256, (6, 3, 8, 8), generator=generator) / 255
    adv = pgd_linf(
        outlier_loss(build_net("lin", torch.float32)),
        x,
        6.7 * PX,
        0.9 * PX,
        5,
        round_to=PX,
        generator=generator,
    )
    levels = (adv - x) * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    assert levels.abs().max().round() == 6


def test_a_zero_gradient_moves_nothing():
    x = torch.full((2, 3), 0.5)
    start = torch.full((2, 3), 0.05)
    seen = []

    def flat(x):
        seen.append(x.detach().clone())
        return (x * torch.tensor([1.0, 0.0, 0.0])).sum(dim=1)

    adv = pgd_linf(flat, x, 0.1, 0.01, 4, start=start)
    torch.testing.assert_close(adv, torch.tensor([[0.59, 0.55, 0.55]] * 2))
    for iterate in seen[1:]:
        torch.testing.assert_close(iterate[:, 1:], torch.full((2, 2), 0.55))
    constant = pgd_linf(lambda x: (0 * x).sum(dim=1), x, 0.1, 0.01, 4)
    assert torch.equal(constant, x)  # no iterate is strictly better than the clean one


@pytest.mark.parametrize("start, round_to, n_more", [(0.05, None, 2), (0.0, None, 1), (0.0, PX, 2)])
def test_no_pass_is_done_twice(start, round_to, n_more):
    with_gradient = []

    def objective(x):
        with_gradient.append(x.requires_grad)
        return x.sum(dim=1)

    x = torch.full((2, 3), 0.5)
    pgd_linf(objective, x, 0.1, 0.01, 4, torch.full_like(x, start), round_to=round_to)
    assert sum(with_gradient) == 4
    assert len(with_gradient) == 4 + n_more


def test_no_steps_give_x_itself_and_draw_nothing():
    x = torch.full((2, 3), 0.5)
    generator = torch.Generator().manual_seed(0)
    states = generator.get_state(), torch.get_rng_state()
    called = []
    assert pgd_linf(called.append, x, 0.1, 0.01, 0, generator=generator) is x
    assert pgd_linf(called.append, x, 0.1, 0.01, 0) is x
    assert torch.equal(states[0], generator.get_state())
    assert torch.equal(states[1], torch.get_rng_state())
    assert not called


def test_the_generator_decides_and_the_global_one_is_left_alone():
    x = golden("x", torch.float32)
    objective = outlier_loss(build_net("lin", torch.float32))

    def attack(seed):
        return pgd_linf(objective, x, 8 * PX, PX, 1, generator=torch.Generator().manual_seed(seed))

    state = torch.get_rng_state()
    first = attack(0)
    assert torch.equal(first, attack(0))
    assert not torch.equal(first, attack(1))
    assert torch.equal(state, torch.get_rng_state())
    start = random_start(x, 8 * PX, generator=torch.Generator().manual_seed(0))
    assert torch.equal(first, pgd_linf(objective, x, 8 * PX, PX, 1, start=start))


def test_the_start_is_uniform_and_rounded_on_demand():
    x = torch.empty(100_000)
    start = random_start(x, 8 * PX, generator=torch.Generator().manual_seed(0))
    assert start.abs().max() <= 8 * PX
    assert start.std() == pytest.approx(8 * PX / 3**0.5, rel=0.01)
    rounded = random_start(x, 8 * PX, PX, torch.Generator().manual_seed(0))
    torch.testing.assert_close(rounded, (start * 255).round() / 255)
    assert len(rounded.unique()) == 17


@pytest.mark.parametrize("cut", [1, 3, 7])
@pytest.mark.parametrize("n_restarts", [1, 3])
def test_batches_of_one_generator_draw_what_one_call_does(n_restarts, cut):
    x = golden("x", torch.float32)

    def attack(x, generator):
        # No step is allowed to move: the results are starts.
        return pgd_linf(
            lambda x: x.flatten(1).sum(1), x, 8 * PX, 1e-30, 1, round_to=PX, generator=generator,
            n_restarts=n_restarts,
        )

    whole = attack(x, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(torch.cat([attack(part, generator) for part in x.split(cut)]), whole)
    assert not torch.equal(whole, x)


@pytest.mark.parametrize("round_to", [None, 3 * PX])
@pytest.mark.parametrize("given", [False, True])
def test_more_restarts_find_more_and_never_less(given, round_to):
    x = torch.rand(200, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    start = torch.full_like(x, 2 * PX) if given else None

    def attack(n_restarts, generator=None):
        generator = generator or torch.Generator().manual_seed(0)
        return pgd_linf(
            rugged, x, 8 * PX, PX, 3, start, round_to=round_to, generator=generator,
            n_restarts=n_restarts,
        )

    if given:  # the first run is that of the start, whatever is drawn for the others
        drawn = random_start(x, 8 * PX, round_to, torch.Generator().manual_seed(0))
        runs = [attack(1), pgd_linf(rugged, x, 8 * PX, PX, 3, drawn, round_to=round_to)]
    else:
        starts = random_start(
            x[:, None].expand(-1, 2, -1), 8 * PX, round_to, torch.Generator().manual_seed(0)
        )
        runs = [
            pgd_linf(rugged, x, 8 * PX, PX, 3, each, round_to=round_to) for each in starts.unbind(1)
        ]
    values = torch.stack([rugged(run) for run in runs])
    best = torch.where((values[1] > values[0])[:, None], runs[1], runs[0])
    assert torch.equal(attack(2), best)
    assert (values[1] > values[0]).any() and (values[1] < values[0]).any()


def test_a_tie_leaves_the_result_of_the_earlier_run():
    x = torch.full((20, 1), 0.5)
    start = torch.full_like(x, -0.125)
    generator = torch.Generator().manual_seed(0)
    # Two peaks of one height: the first run begins on the lower, some others end on the upper.
    adv = pgd_linf(
        lambda x: (x[:, 0] - 0.5).abs(), x, 0.125, 0.125, 3, start,
        generator=generator, n_restarts=3,
    )
    assert torch.equal(adv, x + start)


def test_restarts_evaluate_the_clean_samples_once():
    passes = []

    def objective(x):
        passes.append(x)
        return x.sum(dim=1)

    pgd_linf(objective, torch.full((2, 3), 0.5), 0.1, 0.01, 4, round_to=PX, n_restarts=3)
    assert len(passes) == 1 + 3 * (4 + 2)


@pytest.mark.parametrize("grad_enabled", [True, False])
def test_nothing_but_the_result_changes(grad_enabled):
    net = build_net("lin", torch.float32)
    x = golden("x", torch.float32).requires_grad_()
    start = golden("start_rounded", torch.float32) * PX
    before = x.detach().clone(), start.clone()
    with torch.set_grad_enabled(grad_enabled):
        adv = pgd_linf(outlier_loss(net), x, 8 * PX, 2 * PX, 2, start=start)
        assert torch.is_grad_enabled() == grad_enabled
    assert not adv.requires_grad
    assert x.grad is None and all(p.grad is None for p in net.parameters())
    assert torch.equal(x, before[0]) and torch.equal(start, before[1])
    assert not net.training
    frozen = net.requires_grad_(False)
    assert torch.equal(adv, pgd_linf(outlier_loss(frozen), x, 8 * PX, 2 * PX, 2, start=start))


def test_an_empty_batch_is_returned():
    assert pgd_linf(lambda x: x.sum(1), torch.empty(0, 3), 0.1, 0.1, 2).shape == (0, 3)


X = torch.full((2, 3), 0.5)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"x": X.numpy()}, TypeError, "x must be a torch.Tensor, got ndarray"),
        ({"x": X.half()}, TypeError, "float32 or float64, got torch.float16"),
        ({"x": torch.tensor(0.5)}, ValueError, "x must have shape"),
        ({"x": X * 255}, ValueError, r"bounds=\(0, 1\), got values from 127.5"),
        ({"x": X * torch.nan}, ValueError, "within bounds"),
        ({"eps": -0.1}, ValueError, "eps must be finite and at least 0, got -0.1"),
        ({"eps": "8"}, TypeError, "eps must be a number"),
        ({"step_size": 0}, ValueError, "step_size must be finite and above 0"),
        ({"step_size": float("inf")}, ValueError, "step_size"),
        ({"n_steps": 1.0}, TypeError, "n_steps must be an integer"),
        ({"n_restarts": 2.0}, TypeError, "n_restarts must be an integer, got 2.0"),
        ({"n_restarts": 0}, ValueError, "n_restarts must be at least 1, got 0"),
        ({"n_steps": -1}, ValueError, "n_steps must be at least 0"),
        ({"round_to": 0}, ValueError, "round_to must be finite and above 0"),
        ({"generator": 0}, TypeError, "generator must be a torch.Generator"),
        ({"bounds": 1}, TypeError, "bounds must be a pair"),
        ({"bounds": ("0", 1)}, TypeError, "bounds must be a pair"),
        ({"bounds": (1, 0)}, ValueError, "lowest < highest"),
        ({"start": 0.0}, TypeError, "start must be a torch.Tensor"),
        ({"start": X[:1]}, ValueError, r"x's shape \(2, 3\), got \(1, 3\)"),
        ({"objective": lambda x: x.sum()}, ValueError, r"shape \(2,\), got \(\)"),
        ({"objective": lambda x: 1.0}, ValueError, r"shape \(2,\), got float"),
        ({"objective": lambda x: x.detach().sum(1)}, ValueError, "differentiable in x"),
        ({"objective": lambda x: torch.ones(2, requires_grad=True)}, ValueError, "differentiable"),
    ],
)
def test_wrong_arguments_are_named(change, error, message):
    arguments = {
        "objective": lambda x: x.sum(1),
        "x": X,
        "eps": 0.1,
        "step_size": 0.1,
        "n_steps": 2,
    }
    with pytest.raises(error, match=message):
        pgd_linf(**arguments | change)
