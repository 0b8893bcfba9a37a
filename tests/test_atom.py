"""ATOM's attack in training: whom it moves, how far, and what it leaves as it was."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

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


class Forbidden(Callback):
    """A callback that lets nobody train."""

    def on_train_begin(self, net, **kwargs):
        raise AssertionError("trained")


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
        ({"bounds": ("a", "b"), "n_steps": 0}, TypeError, "bounds must be a pair"),
        ({"bounds": "unit"}, ValueError, "bounds"),
        ({"quantile": 1.0}, ValueError, "quantile"),
        ({"pool_size": 0}, ValueError, "pool_size"),
        ({"dtype": "int64"}, ValueError, "dtype"),
    ],
)
def test_bad_parameters_are_refused(params, error, message):
    X, y, A = images()
    detector = ATOMDetector(pretrain_epochs=1, callbacks=[Forbidden()], **FAST | params)
    with pytest.raises(error, match=message):
        detector.fit(X, y, X_aux=(A,))


def test_images_outside_the_bounds_are_refused_before_any_training():
    X, y, A = images()
    X, A = ((each / 255 - 0.5) / 0.25 for each in (X, A))
    detector = ATOMDetector(pretrain_epochs=1, callbacks=[Forbidden()], **FAST)
    with pytest.raises(ValueError, match=r"X_aux must lie within bounds=\(0.0, 1.0\)"):
        detector.fit(X, y, X_aux=(A,))
    detector = ATOMDetector(bounds=[-2, 2], **FAST).fit(X, y, X_aux=(A,))
    assert detector.bounds_ == (-2, 2)
    assert detector.eps_ == pytest.approx(4 * 8 / 255)  # the same share of the range


def test_one_outlier_outside_the_bounds_is_enough():
    X, y, A = table()
    A[377] = 4.2
    with pytest.raises(ValueError, match=r"X_aux must lie within bounds=\(-4, 4\).*to 4.2"):
        ATOMDetector(eps=0.1, bounds=(-4, 4), callbacks=[Forbidden()], **FAST).fit(
            X, y, X_aux=(A[:200], A[200:])
        )


def test_items_of_a_dataset_and_augmented_ones_are_seen_when_they_are_read():
    X, y, A = images()
    with pytest.raises(ValueError, match="X_aux, as augment returns it, must lie within"):
        ATOMDetector(augment=lambda x: x.float() / 255 + 0.1, **FAST).fit(X, y, X_aux=(A,))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(5))
def test_the_range_of_the_data_itself_is_kept_to(dtype, seed):
    rng = np.random.default_rng(seed)
    X, A = rng.normal(size=(20, 3)), rng.normal(size=(80, 3)).clip(-1.7, 1.9)
    bounds = (A.min(), A.max())  # not exact in single precision
    detector = ATOMDetector(eps=0.1, bounds=bounds, dtype=dtype, **FAST | {"max_epochs": 1})
    assert detector.fit(X, A).bounds_ == bounds


def test_outliers_of_its_own_are_kept_in_the_bounds():
    X, y, _ = table()
    Spy.calls = []
    with pytest.warns(UserWarning, match="synthetic ones are drawn") as caught:
        Spy(eps=0.1, bounds=(-3, 3), **FAST).fit(X.clip(-3, 3), y)
    assert max(x_out.abs().max() for x_out, *_ in Spy.calls) == 3
    assert len(caught) == 1  # and nothing is said of their number


@pytest.mark.parametrize("bounds", [(0, 255), (-1, 1)])
def test_8_bit_images_have_no_other_bounds(bounds):
    X, y, A = images()
    with pytest.raises(ValueError, match=r"8-bit images are read as \[0, 1\]"):
        ATOMDetector(eps=4, bounds=bounds, **FAST).fit(X, y, X_aux=(A,))


@pytest.mark.parametrize("bounds", [None, (0, np.inf)])
def test_images_without_a_range_need_eps(bounds):
    X, y, A = images()
    X, A = X / 255.0, A / 255.0
    with pytest.raises(ValueError, match="eps='auto' is 8/255 of the range of images"):
        ATOMDetector(bounds=bounds, **FAST).fit(X, y, X_aux=(A,))
    ATOMDetector(bounds=bounds, eps=0.02, **FAST | {"max_epochs": 1}).fit(X, y, X_aux=(A,))


# ---- the attack is the one that the parameters name


def test_the_step_is_the_one_given():
    X, y, A = images()
    moves = {}
    for step in (1 / 255, 4 / 255):
        Spy.calls = []
        Spy(step_size=step, n_steps=1, eps=30 / 255, **FAST).fit(X, y, X_aux=(A,))
        before, after, *_ = Spy.calls[0]
        moves[step] = (after - before)[10:] * 255
    # From one start on whole pixel values: what differs is the step, up or down.
    difference = (moves[4 / 255] - moves[1 / 255]).abs()
    assert ((difference - 3).abs() < 1e-2).double().mean() > 0.5


def test_the_attack_of_a_fit_starts_at_random_on_whole_pixel_values():
    X, y, A = images()
    Spy.calls = []
    Spy(step_size=1e-4 / 255, n_steps=1, **FAST).fit(X, y, X_aux=(A,))
    pixels = torch.cat([(after - before)[10:] for before, after, *_ in Spy.calls]) * 255
    moved = pixels[(pixels != 0).flatten(1).any(1)]
    assert len(moved) > 5
    assert moved.abs().max() > 7 and moved.std() > 3  # anywhere in the ball
    inside = ((moved - moved.round()).abs() < 1e-3).double().mean()
    assert inside > 0.99  # rounding of x + delta apart


def test_an_attack_uses_its_whole_reach():
    X, y, A = images()
    Spy.calls = []
    Spy(n_steps=8, **FAST).fit(X, y, X_aux=(A,))
    reach = torch.cat([(after - before)[10:].flatten(1).abs().amax(1) for before, after, *_ in
                       Spy.calls])
    assert (reach > 7.9 / 255).double().mean() > 0.8


def test_parts_that_fit_the_cache_change_nothing():
    net, x = SmallResNet((1, 8, 8), 3), torch.rand(40, 1, 8, 8)
    seen = []
    net.register_forward_hook(lambda net, args, logits: seen.append(len(logits)))

    def attack(n_rows):
        torch.manual_seed(0)
        attack = Attack(net, lambda z: z[:, 0], 0.1, 0.02, 3, (0, 1), None)
        attack._n_rows = n_rows
        return attack(x)

    whole = attack(40)
    assert set(seen) == {40}
    seen.clear()
    parts = attack(16)
    assert set(seen) == {13, 14}  # three parts, evenly
    # Signs of gradients that rounding decides may differ in a few pixels.
    assert ((whole - parts).abs() < 1e-6).double().mean() > 0.99


def test_a_score_that_saturates_is_climbed_all_the_same():
    class Sure(torch.nn.Module):
        """Gives outliers the last class by sixty nats: in single precision p_K is 1 around x."""

        def __init__(self, shape, n_outputs):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(shape))

        def forward(self, x):
            z = 60 - (x * self.weight).sum(1)
            return torch.stack([torch.zeros_like(z), torch.zeros_like(z), z], 1)

    X, y, _ = table()
    Spy.calls = []
    detector = Spy(Sure, lr=1e-9, eps=0.5, n_steps=8, bounds=None, **FAST)
    detector.fit(X * 0.1, y, X_aux=(np.zeros((80, 3)),))
    before, after, *_ = Spy.calls[0]
    assert ((after - before)[10:] - 0.5).abs().max() < 1e-6  # straight up
