"""Channels last: which networks are laid out so, that they stay the same, and that others do."""

import copy
import pickle

import joblib
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import skood
from skood.engine.inference import predict_logits
from skood.engine.layout import in_fast_layout
from skood.nn import MLP, DenseNet, MNISTConvNet, SmallResNet, WideResNet

from .instances import make_training as make

N_OUTPUTS = 3
LIBRARY = {
    "SmallResNet": SmallResNet((3, 8, 8), N_OUTPUTS),
    "SmallResNet-grey": SmallResNet((1, 28, 28), N_OUTPUTS),
    "WideResNet": WideResNet((3, 16, 16), N_OUTPUTS, depth=10, width=1),
    "DenseNet": DenseNet((3, 16, 16), N_OUTPUTS, depth=10),
    "MNISTConvNet": MNISTConvNet((1, 28, 28), N_OUTPUTS),
}
DETECTORS = ["OE", "OE-bf16", "Energy", "NTOM", "ATOM", "ATOM-bf16", "ACET", "SOFL"]


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    X, A = rng.random((2, 48, 3, 8, 8), dtype=np.float32)
    return X, rng.integers(N_OUTPUTS, size=48), A


def sides_of(name):
    return {"SmallResNet": (3, 8, 8), "WideResNet": (3, 16, 16), "DenseNet": (3, 16, 16)}.get(
        name, (1, 28, 28)
    )


def strides(module):
    return [parameter.stride() for parameter in module.parameters()]


def is_turned(module):
    """Whether every weight of four dimensions lies with channels last, and one only so."""
    kernels = [weight for weight in module.parameters() if weight.ndim == 4]
    turned = [k.is_contiguous(memory_format=torch.channels_last) for k in kernels]
    return all(turned) and not all(k.is_contiguous() for k in kernels)


def is_contiguous(module):
    return all(parameter.is_contiguous() for parameter in module.parameters())


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def assert_same_state(module, before):
    assert module.state_dict().keys() == before.keys()
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def fit(images, module, **params):
    X, y, A = images
    params = {"max_epochs": 1, "batch_size": 16, "random_state": 0} | params
    return skood.OutlierExposureDetector(module, **params).fit(X, y, X_aux=(A,))


# ---- networks that are laid out


@pytest.mark.parametrize("name", LIBRARY)
def test_nets_of_the_library_are_laid_out_and_give_the_same_up_to_rounding(name):
    net = copy.deepcopy(LIBRARY[name])
    X = np.random.default_rng(0).random((20, *sides_of(name)), dtype=np.float32)
    before, expected = state(net), predict_logits(net, X, "float32")
    assert not is_turned(net)
    assert in_fast_layout(net, torch.from_numpy(X[:2])) is net
    assert is_turned(net)
    assert_same_state(net, before)
    logits = predict_logits(net, X, "float32")
    np.testing.assert_allclose(logits, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("name", DETECTORS)
def test_detectors_train_and_keep_their_net_so(name, images):
    X, y, A = images
    # Not the small default: the tables' parameters name layers of an MLP.
    params = {k: v for k, v in make()[name].get_params().items() if k != "module__hidden"}
    detector = type(make()[name])(**params | {"max_epochs": 1, "module__width": 4})
    assert is_turned(detector.fit(X, y, X_aux=(A,)).module_)


def test_the_choice_is_the_same_in_double_precision(images):
    detector = fit(images, None, dtype="float64")
    assert is_turned(detector.module_)
    assert all(p.dtype == torch.float64 for p in detector.module_.parameters())


def test_the_choice_does_not_depend_on_an_autocast_around_it(images):
    with torch.autocast("cpu", torch.bfloat16):
        assert is_turned(fit(images, None).module_)


class Parametrised(nn.Module):
    """A network whose convolution has a weight that is computed, by `norm`."""

    def __init__(self, input_shape, n_outputs, norm):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.conv = norm(nn.Conv2d(6, 8, 3))
        self.head = nn.Linear(8, n_outputs)

    def forward(self, x):
        return self.head(self.conv(self.stem(x)).relu().mean((2, 3)))


@pytest.mark.filterwarnings("ignore:.*torch.nn.utils.weight_norm.*is deprecated:FutureWarning")
@pytest.mark.parametrize(
    "norm", [
        parametrizations.weight_norm, parametrizations.spectral_norm,
        nn.utils.weight_norm, nn.utils.spectral_norm,
    ],
    ids=["weight", "spectral", "weight-by-hook", "spectral-by-hook"],
)
def test_computed_weights_follow_what_they_are_computed_from(norm, images):
    X, _, _ = images
    net = Parametrised((3, 8, 8), N_OUTPUTS, norm)
    before, expected = state(net), predict_logits(net, X, "float32")
    in_fast_layout(net, torch.from_numpy(X[:2]))
    assert is_turned(net)
    assert_same_state(net, before)
    logits = predict_logits(net, X, "float32")
    np.testing.assert_allclose(logits, expected, rtol=0, atol=2e-6 * np.abs(expected).max())
    trained = fit(images, net, max_epochs=2).module_
    moved = dict(trained.named_parameters())
    assert all(not torch.equal(moved[name], weight) for name, weight in net.named_parameters())


class Tied(nn.Module):
    """Two convolutions with one weight: as one parameter, or as two in the same memory."""

    def __init__(self, input_shape, n_outputs, as_one):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 3, 3, bias=False), nn.Conv2d(3, 3, 3, bias=False)
        if as_one:
            self.two.weight = self.one.weight
        else:
            self.two.weight.data = self.one.weight.data
        self.head = nn.Linear(3, n_outputs)

    def forward(self, x):
        return self.head(self.two(self.one(x)).mean((2, 3)))


@pytest.mark.parametrize("as_one", [True, False], ids=["one-parameter", "one-memory"])
def test_tied_weights_stay_tied(as_one, images):
    module = fit(images, Tied, module__as_one=as_one, max_epochs=2).module_
    assert is_turned(module) == as_one
    assert (module.one.weight is module.two.weight) == as_one
    assert module.one.weight.data_ptr() == module.two.weight.data_ptr()


class Volumes(nn.Module):
    """A network with weights of four dimensions and of five."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.flat, self.deep = nn.Conv2d(3, 6, 3), nn.Conv3d(1, 2, 3)
        self.head = nn.Linear(2, n_outputs)

    def forward(self, x):
        return self.head(self.deep(self.flat(x)[:, None]).mean((2, 3, 4)))


def test_of_weights_of_five_dimensions_the_layout_stays(images):
    X, _, _ = images
    net = Volumes((3, 8, 8), N_OUTPUTS)
    before, expected = state(net), predict_logits(net, X, "float32")
    in_fast_layout(net, torch.from_numpy(X[:2]))
    assert_same_state(net, before)
    assert net.deep.weight.is_contiguous() and not net.flat.weight.is_contiguous()
    logits = predict_logits(net, X, "float32")
    np.testing.assert_allclose(logits, expected, rtol=0, atol=2e-6 * np.abs(expected).max())
    assert fit(images, Volumes).module_.deep.weight.is_contiguous()


def test_wrapped_and_frozen_nets_are_laid_out(images):
    X, _, _ = images
    wrapped = nn.DataParallel(SmallResNet((3, 8, 8), N_OUTPUTS, width=4))
    assert is_turned(in_fast_layout(wrapped, torch.from_numpy(X[:2])))
    frozen = SmallResNet((3, 8, 8), N_OUTPUTS, width=4).requires_grad_(False)
    assert is_turned(in_fast_layout(frozen, torch.from_numpy(X[:2])))
    assert not any(p.requires_grad for p in frozen.parameters())


class Lazy(nn.Module):
    """A network that builds a layer at its first use and another only in training."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.conv, self.late = nn.LazyConv2d(6, 3), nn.LazyConv2d(6, 1)
        self.head = nn.LazyLinear(n_outputs)

    def forward(self, x):
        x = self.conv(x)
        return self.head((self.late(x) if self.training else x).mean((2, 3)))


def test_lazily_built_nets_are_trained_as_without(images):
    module = fit(images, Lazy).module_
    assert is_turned(nn.Sequential(module.conv))
    assert module.late.weight.shape == (6, 6, 1, 1)


# ---- networks that stay as they are


class _Head(nn.Module):
    def __init__(self, input_shape, n_outputs, n_features=6 * 6 * 6):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.head = nn.Linear(n_features, n_outputs)


class Viewing(_Head):
    def forward(self, x):
        return self.head(self.conv(x).view(len(x), -1))


class ViewingInTraining(_Head):
    def forward(self, x):
        x = self.conv(x)
        return self.head(x.view(len(x), -1) if self.training else x.flatten(1))


class _Flatten(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.flatten(1)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return (x.view(len(x), -1) * 0 + gradient).view(x.shape)


class ViewingBackwards(_Head):
    def forward(self, x):
        return self.head(_Flatten.apply(self.conv(x)))


class Striding(_Head):
    """Reads activations in the order in which they lie: silently other logits."""

    def forward(self, x):
        x = self.conv(x)
        return self.head(x.as_strided((len(x), 216), (216, 1)))


class OfHalves(_Head):
    """Normalises halves of a batch, of which two rows have not enough to train."""

    def __init__(self, input_shape, n_outputs):
        super().__init__(input_shape, n_outputs)
        self.norm = nn.BatchNorm1d(216)

    def forward(self, x):
        halves = self.conv(x).flatten(1).tensor_split(2)
        return self.head(torch.cat([self.norm(half) for half in halves]))


class Overflowing(_Head):
    def forward(self, x):
        return self.head(self.conv(x).flatten(1)) / 0


class Scripted(nn.Module):
    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.inner = torch.jit.script(Viewing(input_shape, n_outputs))

    def forward(self, x):
        return self.inner(x)


STAYING = [Viewing, ViewingInTraining, ViewingBackwards, Striding, OfHalves, Scripted]


@pytest.mark.parametrize("net", STAYING)
def test_nets_that_depend_on_their_layout_keep_it(net, images):
    X, _, _ = images
    net = net((3, 8, 8), N_OUTPUTS)
    before, places = state(net), [p.data_ptr() for p in net.parameters()]
    expected = predict_logits(net, X, "float32")
    assert in_fast_layout(net, torch.from_numpy(X[:2])) is net
    assert is_contiguous(net)
    assert [p.data_ptr() for p in net.parameters()] == places
    assert_same_state(net, before)
    np.testing.assert_array_equal(predict_logits(net, X, "float32"), expected)


@pytest.mark.parametrize("net", [Viewing, ViewingInTraining, ViewingBackwards, Striding, OfHalves])
def test_without_the_trial_these_nets_would_fail_or_change(net, images):
    x = torch.from_numpy(images[0][:6])
    net = net((3, 8, 8), N_OUTPUTS)
    expected = net.eval()(x)
    net.conv.weight.data = net.conv.weight.data.contiguous(memory_format=torch.channels_last)
    if isinstance(net, Striding):
        assert (net(x) - expected).abs().max() > 0.05 * expected.abs().max()
    elif isinstance(net, OfHalves):
        with pytest.raises(ValueError, match="more than 1 value"):
            net.train()(x[:2])
    else:
        with pytest.raises(RuntimeError, match="view size is not compatible"):
            net.train()(x).sum().backward()


@pytest.mark.parametrize("net", STAYING)
def test_nets_that_keep_their_layout_are_trained_as_ever(net, images):
    detector = fit(images, net, max_epochs=3, lr=0.01)
    assert is_contiguous(detector.module_)
    losses = [row["train_loss"] for row in detector.history_]
    assert losses[-1] < losses[0]


def test_logits_that_are_not_finite_say_nothing(images):
    net = Overflowing((3, 8, 8), N_OUTPUTS)
    assert is_contiguous(in_fast_layout(net, torch.from_numpy(images[0][:2])))


def test_a_net_without_convolutions_is_not_even_tried(images):
    def refuse(*args):
        raise AssertionError("it was called")

    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    net.register_forward_hook(refuse)
    in_fast_layout(net, torch.from_numpy(images[0][:2]))
    table = MLP((5,), 3)
    table.register_forward_hook(refuse)
    assert is_contiguous(in_fast_layout(table, torch.zeros(2, 5)))


class OfTokens(nn.Module):
    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.embed, self.conv = nn.Embedding(9, 4), nn.Conv2d(1, 6, 3)
        self.head = nn.Linear(6, n_outputs)

    def forward(self, x):
        return self.head(self.conv(self.embed(x)[:, None]).mean((2, 3)))


def test_nets_of_tokens_stay(images):
    rng = np.random.default_rng(0)
    X, A = rng.integers(9, size=(2, 40, 5))
    detector = skood.OutlierExposureDetector(
        OfTokens, dtype="int64", max_epochs=1, random_state=0
    ).fit(X, rng.integers(2, size=40), X_aux=(A,))
    assert is_contiguous(detector.module_)


# ---- what is the user's, and what the trial leaves behind


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("training", [True, False])
def test_an_instance_given_is_never_changed(memory_format, training, images):
    net = SmallResNet((3, 8, 8), N_OUTPUTS, width=4).to(memory_format=memory_format)
    net.train(training)
    before, order, places = state(net), strides(net), [p.data_ptr() for p in net.parameters()]
    assert is_turned(fit(images, net).module_)
    assert_same_state(net, before)
    assert strides(net) == order
    assert [p.data_ptr() for p in net.parameters()] == places
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
    assert all(child.training == training for child in net.modules())


def test_an_instance_of_any_strides_keeps_them_where_the_trial_refuses(images):
    net = Viewing((3, 8, 8), N_OUTPUTS)
    net.conv.weight.data = net.conv.weight.data.transpose(2, 3).contiguous().transpose(2, 3)
    order = strides(net)
    assert strides(in_fast_layout(net, torch.from_numpy(images[0][:2]))) == order


class Remembering(nn.Module):
    """Everything that a forward pass may leave behind."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)
        self.dropout, self.head = nn.Dropout(), nn.Linear(216, n_outputs)
        self.register_buffer("seen", torch.zeros(()))
        self.n_calls, self.kept = 0, []

    def forward(self, x):
        self.n_calls += 1
        self.seen += 1
        noise = torch.rand(len(x), 1)  # in evaluation, too
        x = self.norm(self.conv(x))
        self.kept = [x]
        return self.head(self.dropout(x.flatten(1))) + noise


@pytest.mark.parametrize("training", [True, False])
def test_a_trial_leaves_no_trace(training, images):
    net = Remembering((3, 8, 8), N_OUTPUTS).train(training)
    net.norm.eval()
    modes = [child.training for child in net.modules()]
    before, draws, x = state(net), torch.get_rng_state(), torch.from_numpy(images[0][:2]).clone()
    copied = x.clone()
    in_fast_layout(net, x)
    assert is_turned(net)
    assert_same_state(net, before)
    assert [child.training for child in net.modules()] == modes
    assert torch.equal(torch.get_rng_state(), draws) and torch.is_grad_enabled()
    assert all(p.grad is None and p.requires_grad and p.is_leaf for p in net.parameters())
    assert torch.equal(x, copied) and not x.requires_grad
    assert net.n_calls == 0 and net.kept == []


def test_running_statistics_are_those_of_training_alone(images, monkeypatch):
    def statistics():
        norms = [m for m in fit(images, None).module_.modules() if isinstance(m, nn.BatchNorm2d)]
        return [(m.num_batches_tracked.item(), m.running_mean) for m in norms]

    tried = statistics()
    monkeypatch.setattr("skood.engine.build.in_fast_layout", lambda module, example: module)
    for (n, mean), (n_untried, mean_untried) in zip(tried, statistics(), strict=True):
        assert n == n_untried == 3
        # Steps of Adam enlarge rounding, to 2e-3 here; a fourth batch would move them by a tenth.
        torch.testing.assert_close(mean, mean_untried, rtol=0, atol=5e-3 * mean.abs().max().item())


def test_fits_are_reproducible(images):
    first, second = fit(images, None), fit(images, None)
    assert strides(first.module_) == strides(second.module_)
    np.testing.assert_array_equal(first.score_samples(images[0]), second.score_samples(images[0]))


# ---- files


@pytest.mark.parametrize("way", ["pickle", "joblib", "mapped", "deepcopy"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_files_keep_layout_and_scores(way, precision, images, tmp_path):
    X, _, A = images
    detector = fit(images, None, precision=precision)
    if way in ("joblib", "mapped"):
        joblib.dump(detector, tmp_path / "detector")
        mode = "r" if way == "mapped" else None
        loaded = joblib.load(tmp_path / "detector", mmap_mode=mode)
    else:
        loaded = pickle.loads(pickle.dumps(detector))
        loaded = copy.deepcopy(detector) if way == "deepcopy" else loaded
    assert is_turned(loaded.module_)
    assert strides(loaded.module_) == strides(detector.module_)
    for Z in (X, A, X[:1], A[3:20]):
        np.testing.assert_array_equal(loaded.score_samples(Z), detector.score_samples(Z))
