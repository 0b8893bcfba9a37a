"""ATOM's attack in training: whom it moves, how far, and what it leaves as it was."""

import numpy as np
import pytest
import torch

from skood import ATOMDetector, NTOMDetector
from skood.engine.attack import Attack, held_still
from skood.nn import SmallResNet

FAST = {"max_epochs": 2, "batch_size": 10, "random_state": 0}


def images(n=20, n_aux=160, shape=(1, 8, 8)):
    rng = np.random.default_rng(0)
    X, A = (rng.integers(256, size=(k, *shape), dtype=np.uint8) for k in (n, n_aux))
    return X // 2, np.arange(n) % 2, A


def table(n=40, n_aux=400):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 3)), np.arange(n) % 2, rng.uniform(-4, 4, size=(n_aux, 3))


class Spy(ATOMDetector):
    """Notes what goes into and comes out of the perturbation, and the module's state around it."""

    calls: list = []

    def _perturbation(self):
        perturb = super()._perturbation()

        def spied(x_out):
            out = perturb(x_out)
            assert all(m.training for m in self.module_.modules())
            assert all(p.requires_grad for p in self.module_.parameters())
            with torch.no_grad(), held_still(self.module_):
                values = [self._objective(self.module_(x)) for x in (x_out, out)]
            Spy.calls.append((x_out, out, *values))
            return out

        return spied


@pytest.fixture
def calls(request):
    Spy.calls = []
    X, y, A = request.param() if hasattr(request, "param") else images()
    Spy(**FAST).fit(X, y, X_aux=(A,))
    return Spy.calls


# ---- identities


@pytest.mark.parametrize("data", [images, table])
@pytest.mark.parametrize("labelled", [True, False])
def test_without_steps_it_is_ntom_to_the_bit(data, labelled):
    X, y, A = data()
    y = y if labelled else None
    atom = ATOMDetector(n_steps=0, **FAST).fit(X, y, X_aux=(A,))
    ntom = NTOMDetector(**FAST).fit(X, y, X_aux=(A,))
    np.testing.assert_array_equal(atom.score_samples(X), ntom.score_samples(X))
    assert atom.offset_ == ntom.offset_
    for own, other in zip(atom.history_, ntom.history_, strict=True):
        assert own["train_loss"] == other["train_loss"]


def test_with_steps_it_is_not():
    X, y, A = images()
    scores = [
        ATOMDetector(n_steps=n, **FAST).fit(X, y, X_aux=(A,)).score_samples(X) for n in (0, 1)
    ]
    assert np.abs(scores[0] - scores[1]).max() > 1e-4


@pytest.mark.parametrize("data", [images, table])
def test_it_is_reproducible(data):
    X, y, A = data()
    one, other = (ATOMDetector(**FAST).fit(X, y, X_aux=(A,)).score_samples(X) for _ in range(2))
    np.testing.assert_array_equal(one, other)


# ---- the perturbation


@pytest.mark.parametrize("calls", [images, table], indirect=True)
def test_the_second_half_is_moved_and_the_first_is_not(calls):
    for before, after, *_ in calls:
        assert before.shape == after.shape
        assert torch.equal(before[:10], after[:10])
        moved = (before[10:] != after[10:]).flatten(1).any(1)
        assert moved.float().mean() > 0.8  # where no step helps, the clean outlier stays


def test_it_stays_in_the_ball_and_in_the_range(calls):
    for before, after, *_ in calls:
        assert (after - before).abs().max() <= 8 / 255 + 1e-6
        assert after.min() >= 0 and after.max() <= 1


@pytest.mark.parametrize("calls", [images, table], indirect=True)
def test_an_attacked_outlier_never_looks_more_like_one(calls):
    gains = torch.cat([after - before for _, _, before, after in calls])
    assert gains.min() >= -1e-5  # the best iterate of another batch size: rounding apart
    assert gains.max() > 0.01


def test_an_odd_outlier_is_attacked():
    X, y, A = table()
    Spy.calls = []
    Spy(**FAST | {"max_epochs": 1, "outlier_ratio": 0.1}).fit(X, y, X_aux=(A,))
    assert [len(before) for before, *_ in Spy.calls] == [1] * 4
    assert any((before != after).any() for before, after, *_ in Spy.calls)


def test_the_start_is_on_whole_pixel_values_and_the_result_is_not_rounded():
    net, x = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2)), torch.zeros(50, 64)
    attack = Attack(
        net, lambda z: z[:, 0], eps=8 / 255, step_size=0.3 / 255, n_steps=1, bounds=(0, 1),
        start_grid=1 / 255,
    )
    out = attack(x + 0.5)
    pixels = (out - 0.5).double() * 255
    pixels = pixels[pixels.any(1)]  # where neither start nor step helps, the clean one stays
    offset = (pixels - pixels.round()).abs()
    assert len(pixels) > 10
    # A step of .3 from whole values; at the edge of the ball there is no room for it.
    assert ((offset < 1e-3) | ((offset - 0.3).abs() < 1e-3)).all()
    assert ((offset < 1e-3) == (pixels.abs() > 7.9)).double().mean() > 0.9


# ---- the module


@pytest.mark.parametrize("fails", [False, True])
def test_the_module_is_held_still_and_put_back(fails):
    net = SmallResNet((1, 8, 8), 3)
    net.stages[0].eval()
    net.head.weight.requires_grad_(False)
    modes = [m.training for m in net.modules()]
    flags = [p.requires_grad for p in net.parameters()]
    state = {k: v.clone() for k, v in net.state_dict().items()}

    def objective(logits):
        assert not net.training and not any(p.requires_grad for p in net.parameters())
        if fails:
            raise KeyboardInterrupt
        return logits[:, 0]

    x = torch.rand(3, 1, 8, 8)
    try:
        Attack(net, objective, 0.1, 0.05, n_steps=2, bounds=(0, 1), start_grid=None)(x)
    except KeyboardInterrupt:
        assert fails
    assert [m.training for m in net.modules()] == modes
    assert [p.requires_grad for p in net.parameters()] == flags
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


# ---- the size of the attack


def test_images_have_the_published_size():
    X, y, A = images()
    detector = ATOMDetector(**FAST).fit(X, y, X_aux=(A,))
    assert (detector.eps_, detector.step_size_) == (8 / 255, pytest.approx(2 / 255))
    assert detector.bounds_ == (0, 1)


def test_a_table_has_a_tenth_of_its_spread():
    X, y, A = table()
    detector = ATOMDetector(**FAST).fit(X * 10, y, X_aux=(A * 10,))
    assert detector.eps_ == pytest.approx(0.1 * np.sqrt((X * 10).var(axis=0).mean()))
    assert detector.step_size_ == pytest.approx(detector.eps_ / 4)
    assert detector.bounds_ is None


def test_bounds_hold_on_a_table():
    X, y, A = (np.clip(each, -1, 1) if each.dtype.kind == "f" else each for each in table())
    Spy.calls = []
    Spy(eps=0.3, bounds=(-1, 1), **FAST).fit(X, y, X_aux=(A,))
    assert max(after.abs().max() for _, after, *_ in Spy.calls) <= 1
    assert max((after - before).abs().max() for before, after, *_ in Spy.calls) > 0.2


def test_eps_of_a_table_needs_bounds():
    X, y, A = table()
    with pytest.raises(ValueError, match=r"eps=0.1 is in units of X.*bounds=\(lowest, highest\)"):
        ATOMDetector(eps=0.1, **FAST).fit(X, y, X_aux=(A,))


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"eps": 0}, ValueError, "eps"),
        ({"eps": "large"}, ValueError, "eps"),
        ({"step_size": 0.0}, ValueError, "step_size"),
        ({"n_steps": -1}, ValueError, "n_steps"),
        ({"n_steps": 2.5}, ValueError, "n_steps"),
        ({"bounds": (1, 0)}, ValueError, "bounds must be .lowest, highest."),
        ({"bounds": (0,)}, TypeError, "bounds must be a pair"),
        ({"bounds": "unit"}, ValueError, "bounds"),
        ({"quantile": 1.0}, ValueError, "quantile"),
        ({"pool_size": 0}, ValueError, "pool_size"),
        ({"dtype": "int64"}, ValueError, "dtype"),
    ],
)
def test_bad_parameters_are_refused(params, error, message):
    X, y, A = images()
    with pytest.raises(error, match=message):
        ATOMDetector(**FAST | params).fit(X, y, X_aux=(A,))


def test_images_outside_the_bounds_are_refused():
    X, y, A = images()
    X, A = ((each / 255 - 0.5) / 0.25 for each in (X, A))
    with pytest.raises(ValueError, match=r"x must lie within bounds=\(0.0, 1.0\)"):
        ATOMDetector(**FAST).fit(X, y, X_aux=(A,))
    detector = ATOMDetector(eps=0.1, bounds=(-2, 2), **FAST).fit(X, y, X_aux=(A,))
    assert detector.bounds_ == (-2, 2)
