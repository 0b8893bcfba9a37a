"""Nets against the papers' sizes and the authors' weights; the tap against every kind of net."""

import copy
import hashlib
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from skood.datasets import fetch_mnist
from skood.nn import (
    CIFAR_MEAN,
    CIFAR_STD,
    MLP,
    DenseNet,
    MNISTConvNet,
    SmallResNet,
    WideResNet,
    find_head,
    forward_features,
    widen_head,
)

REFERENCE = Path(__file__).parent / "reference" / "mnist_oe"
MNIST_NETS = ["baseline", "oe_tune", "oe_scratch"]

NETS = {
    "mlp": lambda shape, n: MLP(shape, n, hidden=(16, 8), dropout=0.2),
    "linear": lambda shape, n: MLP(shape, n, hidden=()),
    "small": lambda shape, n: SmallResNet(shape, n, width=4, dropout=0.2),
    "wide": lambda shape, n: WideResNet(shape, n, depth=10, width=1),
    "dense": lambda shape, n: DenseNet(shape, n, depth=10, growth=4, dropout=0.2),
    "mnist": MNISTConvNet,
}
SHAPES = [(c, side, side) for c in (1, 3) for side in (8, 28, 32)]
CASES = [(name, shape) for name in NETS for shape in SHAPES if (name, shape[1]) != ("mnist", 8)]


def n_parameters(net):
    return sum(p.numel() for p in net.parameters())


def build(name, shape=(3, 28, 28), n_outputs=5):
    torch.manual_seed(0)
    return NETS[name](shape, n_outputs)


def hooks(net):
    return [hook for layer in net.modules() for hook in layer._forward_pre_hooks.values()]


# ------------------------------------------------------------------------------------------ nets


@pytest.mark.parametrize(
    "net, expected",
    [
        (lambda: WideResNet((3, 32, 32), 10, depth=40, width=2), 2_243_546),
        (lambda: WideResNet(), 2_243_546),
        (lambda: DenseNet((3, 32, 32), 11, depth=100, growth=12, reduction=0.5), 769_505),
        (lambda: MNISTConvNet(), 21_840),
        (lambda: MLP((20,), 3), 20 * 64 + 64 + 64 * 64 + 64 + 64 * 3 + 3),
        (lambda: MLP((3, 4), 2, hidden=()), 12 * 2 + 2),
    ],
)
def test_parameter_counts(net, expected):
    assert n_parameters(net()) == expected


@pytest.mark.parametrize("name, shape", CASES)
def test_logits_have_the_promised_shape_and_train(name, shape):
    net = build(name, shape)
    x = torch.rand(4, *shape)
    logits = net(x)
    assert logits.shape == (4, 5)
    logits.square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters())


@pytest.mark.parametrize("shape", [(2, 4, 4), (1, 5, 9), (3, 64, 48), (3, 130, 130)])
@pytest.mark.parametrize("name", ["small", "wide", "dense"])
def test_image_nets_take_other_sizes(name, shape):
    assert build(name, shape)(torch.rand(2, *shape)).shape == (2, 5)


def stage_sides(side):
    """Return the sides of the images that the three stages of a SmallResNet put out."""
    net, sides = SmallResNet((1, side, side), 2, width=2), []
    for stage in net.stages:
        stage.register_forward_hook(lambda layer, args, out: sides.append(out.shape[-1]))
    net(torch.rand(2, 1, side, side))
    return sides


@pytest.mark.parametrize(
    "side, expected",
    [
        (4, [4, 4, 4]),
        (8, [8, 8, 4]),
        (16, [16, 8, 4]),
        (28, [14, 7, 4]),
        (32, [16, 8, 4]),
        (45, [23, 12, 6]),
        (46, [12, 6, 3]),
        (128, [16, 8, 4]),
    ],
)
def test_small_resnet_ends_near_four_pixels(side, expected):
    assert stage_sides(side) == expected


@pytest.mark.parametrize("name", NETS)
def test_eval_is_deterministic_and_draws_nothing(name):
    net = build(name).eval()
    x = torch.rand(3, 3, 28, 28)
    state = torch.get_rng_state()
    with torch.no_grad():
        assert torch.equal(net(x), net(x))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["mlp", "small", "wide", "dense", "mnist"])
def test_dropout_acts_in_training(name):
    net, x = build(name), torch.rand(8, 3, 28, 28)
    assert not torch.equal(net(x), net(x))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
@pytest.mark.parametrize("name", NETS)
def test_nets_copy_and_pickle(name, copied):
    net, x = build(name).eval(), torch.rand(2, 3, 28, 28)
    assert torch.equal(copied(net)(x), net(x))


@pytest.mark.parametrize("name", NETS)
def test_one_seed_gives_one_net(name):
    first, second = build(name).state_dict(), build(name).state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("make", [WideResNet, DenseNet])
def test_paper_nets_normalise_as_on_cifar(make):
    net = make(depth=10)
    x = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    mean, std = (
        torch.tensor(c, dtype=torch.float64)[:, None, None] for c in (CIFAR_MEAN, CIFAR_STD)
    )
    torch.testing.assert_close(net.normalize(x), (x - mean) / std, rtol=1e-6, atol=1e-6)
    assert {"mean", "std"} <= net.state_dict().keys()


def test_cifar_constants_are_averaged_for_grey_images():
    net = WideResNet((1, 8, 8), 2, depth=10, width=1)
    assert net.mean.shape == net.std.shape == (1, 1, 1)
    assert net.mean.item() == pytest.approx(np.mean(CIFAR_MEAN), rel=1e-6)
    assert net.std.item() == pytest.approx(np.mean(CIFAR_STD), rel=1e-6)


@pytest.mark.parametrize("make", [WideResNet, DenseNet, SmallResNet])
def test_given_normalisation_equals_normalising_outside(make):
    torch.manual_seed(0)
    net = make((3, 8, 8), 2, mean=0.25, std=(1, 2, 4)).eval()
    outside = copy.deepcopy(net)
    outside.mean.zero_()
    outside.std.fill_(1)
    x = torch.rand(3, 3, 8, 8)
    expected = outside((x - 0.25) / torch.tensor([1.0, 2.0, 4.0])[:, None, None])
    assert torch.equal(net(x), expected)


def test_small_resnet_default_normalisation():
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(SmallResNet((3, 8, 8), 2).normalize(x), (x - 0.5) / 0.25)


@pytest.mark.parametrize("make", [WideResNet, DenseNet])
def test_paper_nets_start_as_published(make):
    torch.manual_seed(0)
    net = make()
    assert net.fc.bias.abs().max() == 0
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d) and layer.weight.numel() > 5000:
            fan_out = layer.out_channels * layer.kernel_size[0] ** 2
            assert layer.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)


def test_wide_resnet_has_the_released_parameter_names():
    names = WideResNet().state_dict().keys()
    released = {"conv1.weight", "block3.layer.5.bn2.running_var", "bn1.weight", "fc.bias"}
    assert released <= names
    shortcuts = {name for name in names if "convShortcut" in name}
    assert shortcuts == {f"block{i}.layer.0.convShortcut.weight" for i in (1, 2, 3)}


def test_wide_resnet_block_projects_the_activated_input():
    torch.manual_seed(0)
    block = WideResNet((3, 8, 8), 2, depth=10, width=2).block2.layer[0].eval()
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 32, 8, 8)
    assert torch.equal(block(x), block.convShortcut(torch.relu(block.bn1(x))))


def test_dense_layer_appends_to_its_input():
    layer = DenseNet((3, 8, 8), 2, depth=10, growth=4).block1.layer[0].eval()
    x = torch.randn(2, 8, 8, 8)
    out = layer(x.clone())
    assert out.shape == (2, 12, 8, 8)
    assert torch.equal(out[:, :8], x)


@pytest.mark.parametrize("name", ["small", "wide", "dense"])
def test_channels_last_gives_the_same_logits(name):
    net = build(name).eval()
    x = torch.rand(4, 3, 28, 28)
    moved = copy.deepcopy(net).to(memory_format=torch.channels_last)
    torch.testing.assert_close(moved(x.to(memory_format=torch.channels_last)), net(x))


@pytest.mark.parametrize(
    "make, error, words",
    [
        (lambda: SmallResNet((20,), 2), ValueError, "input_shape must be"),
        (lambda: SmallResNet((3, 3, 8), 2), ValueError, "H and W >= 4"),
        (lambda: MNISTConvNet((1, 8, 8), 2), ValueError, "H and W >= 16"),
        (lambda: WideResNet((3, 8.0, 8), 2), TypeError, "input_shape"),
        (lambda: WideResNet(depth=41), ValueError, "depth must be 6"),
        (lambda: DenseNet(depth=101), ValueError, "depth must be 6"),
        (lambda: DenseNet(reduction=0), ValueError, "reduction"),
        (lambda: WideResNet(width=0), ValueError, "width"),
        (lambda: SmallResNet((3, 8, 8), 2, mean=(0.1, 0.2)), ValueError, "mean must be one number"),
        (lambda: SmallResNet((3, 8, 8), 2, mean=float("nan")), ValueError, "mean must be finite"),
        (lambda: SmallResNet((3, 8, 8), 2, std=0), ValueError, "std must be positive"),
        (lambda: MLP((4,), 0), ValueError, "n_outputs"),
        (lambda: MLP((4,), 2.0), TypeError, "n_outputs"),
        (lambda: MLP((4,), 2, hidden=8), TypeError, "hidden must be a sequence"),
        (lambda: MLP((4,), 2, hidden=(8, 0)), ValueError, "hidden"),
    ],
)
def test_wrong_arguments_are_named(make, error, words):
    with pytest.raises(error, match=words):
        make()


# ------------------------------------------------------------------------- the authors' MNIST nets


def mnist_net(name):
    net = MNISTConvNet()
    with np.load(REFERENCE / f"{name}.npz", allow_pickle=False) as weights:
        net.load_state_dict({key: torch.from_numpy(weights[key]) for key in weights})
    return net.double().eval()


def logits_of(net, images):
    with torch.no_grad():
        return net(torch.from_numpy(images).double() / 255).numpy()


@pytest.fixture(scope="module")
def golden():
    with np.load(REFERENCE / "logits.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", MNIST_NETS)
def test_authors_nets_on_made_up_images(name, golden):
    logits = logits_of(mnist_net(name), golden["synthetic_uint8"][:, None])
    np.testing.assert_allclose(logits, golden[f"logits_synthetic_{name}"], rtol=0, atol=1e-9)


@pytest.fixture(scope="module")
def mnist_images(golden):
    try:
        data = fetch_mnist(download=False)
    except (FileNotFoundError, ImportError) as error:
        pytest.skip(f"MNIST is not on this machine: {error}")
    images = np.ascontiguousarray(data.X_test[golden["index"]])
    assert hashlib.sha256(images.tobytes()).hexdigest() == str(golden["images_sha256"])
    np.testing.assert_array_equal(data.y_test[golden["index"]], golden["labels"])
    return images


@pytest.mark.parametrize("name", MNIST_NETS)
def test_authors_nets_on_mnist(name, golden, mnist_images):
    logits = logits_of(mnist_net(name), mnist_images)
    np.testing.assert_allclose(logits, golden[f"logits_{name}"], rtol=0, atol=1e-9)


# ------------------------------------------------------------------------------------------ the tap


class HeadDefinedFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(6, 3)
        self.body = nn.Linear(4, 6)

    def forward(self, x):
        return self.out(torch.relu(self.body(x)))


class ByKeyword(HeadDefinedFirst):
    def forward(self, x):
        return self.out(input=self.body(x))


class Scaled(nn.Linear):
    """A Linear subclass with a forward of its own."""

    def __init__(self, n_in, n_out, scale):
        super().__init__(n_in, n_out)
        self.scale = scale

    def forward(self, x):
        return self.scale * super().forward(x)


class InAList(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 6), nn.Linear(6, 3)])

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Shared(nn.Module):
    """One Linear under two names and in a plain Python list."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 3)
        self.second = self.first
        self.plain = [self.first]

    def forward(self, x):
        return (self.first(x) + self.second(x) + self.plain[0](x)) / 3


class Returning(nn.Module):
    """A net whose output is passed through `change`."""

    def __init__(self, change):
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.change = change

    def forward(self, x):
        return self.change(self.head(x))


def sequential():
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Sequential(nn.Dropout(), nn.Linear(6, 3)))


TAPPED = {
    "out": HeadDefinedFirst,
    "out ": ByKeyword,
    "2.1": sequential,
    "layers.1": InAList,
    "first": Shared,
    "": lambda: nn.Linear(4, 3),
    "1": lambda: nn.Sequential(nn.BatchNorm1d(4), Scaled(4, 3, 0.5)),
    "head": lambda: MLP((4,), 3, dropout=0.3),
    "1 ": lambda: nn.Sequential(nn.LazyLinear(6), nn.LazyLinear(3), nn.LogSoftmax(1)),
}
tapped = pytest.mark.parametrize("name, make", TAPPED.items(), ids=[repr(key) for key in TAPPED])


@tapped
def test_find_head_goes_by_execution(name, make):
    net = make()
    found, head = find_head(net, torch.rand(2, 4))
    assert found == name.strip()
    assert head is net.get_submodule(name.strip())
    assert isinstance(head, nn.Linear)


@tapped
def test_find_head_leaves_no_trace(name, make):
    net = make()
    net(torch.rand(2, 4))  # so that lazy layers have their weights
    for i, layer in enumerate(net.modules()):
        layer.training = i % 2 == 0
    modes = [layer.training for layer in net.modules()]
    weights = copy.deepcopy(net.state_dict())
    state = torch.get_rng_state()
    find_head(net, torch.rand(2, 4, generator=torch.Generator().manual_seed(0)))
    assert [layer.training for layer in net.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert hooks(net) == []
    assert all(torch.equal(value, weights[key]) for key, value in net.state_dict().items())


def test_find_head_restores_the_random_state_of_a_net_that_draws():
    net = Returning(lambda z: nn.functional.dropout(z, training=True))
    state = torch.get_rng_state()
    find_head(net, torch.zeros(2, 4))
    assert torch.equal(torch.get_rng_state(), state)


def test_find_head_keeps_a_users_hooks():
    net = sequential()
    calls = []
    net[2][1].register_forward_pre_hook(lambda layer, args: calls.append(layer))
    find_head(net, torch.rand(2, 4))
    assert len(hooks(net)) == 1 and len(calls) == 1


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.dropout = nn.Dropout().eval()

    def forward(self, x):
        self.head(x)
        raise RuntimeError("broken net")


@pytest.mark.parametrize("tap", [find_head, forward_features, lambda net, x: widen_head(net, x, 5)])
def test_an_error_in_the_net_leaves_no_trace(tap):
    net = Failing()
    state = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="broken net"):
        tap(net, torch.zeros(2, 4))
    assert hooks(net) == []
    assert net.training and net.head.training and not net.dropout.training
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("tap", [find_head, forward_features])
@pytest.mark.parametrize(
    "net, words",
    [
        (nn.Sequential(nn.ReLU()), "called no nn.Linear"),
        (Returning(lambda z: (z, z)), "returned a tuple"),
        (Returning(lambda z: z[:, 0]), r"returned shape \(2,\)"),
        (Returning(lambda z: z[:1]), r"returned shape \(1, 3\)"),
        (Returning(lambda z: z[:, :2]), "returns 2 logits, .* 3 outputs"),
    ],
)
def test_nets_without_a_head_are_refused(tap, net, words):
    with pytest.raises(ValueError, match=words):
        tap(net, torch.zeros(2, 4))


@tapped
def test_forward_features_are_the_input_of_the_head(name, make):
    net, x = make().eval(), torch.rand(5, 4)
    name = name.strip()
    logits, features = forward_features(net, x)
    named_logits, named_features = forward_features(net, x, name)
    assert torch.equal(logits, net(x)) and torch.equal(named_logits, logits)
    assert torch.equal(features, named_features)
    # log_softmax twice is log_softmax once, so that a net may end in it
    z = net.get_submodule(name)(features)
    torch.testing.assert_close(torch.log_softmax(logits, 1), torch.log_softmax(z, 1))
    assert hooks(net) == []


def test_forward_features_flattens_and_reads_any_layer():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3))
    x = torch.rand(4, 1, 8, 8)
    assert torch.equal(forward_features(net, x, "1")[1], net[0](x).flatten(1))
    assert forward_features(net, x)[1].shape == (4, 72)


def test_forward_features_keeps_mode_and_gradients():
    net = MLP((4,), 3)
    x = torch.rand(2, 4, requires_grad=True)
    logits, features = forward_features(net, x, "head")
    assert net.training and logits.requires_grad and features.requires_grad
    features.sum().backward()
    assert x.grad is not None
    with torch.no_grad():
        assert not forward_features(net, x)[1].requires_grad


@pytest.mark.parametrize(
    "name, words", [("nothing", "no layer of module"), ("unused", "never calls")]
)
def test_forward_features_names_a_wrong_layer(name, words):
    net = InAList()
    net.unused = nn.Linear(3, 3)
    with pytest.raises(ValueError, match=words):
        forward_features(net, torch.zeros(2, 4), name)


def test_forward_features_refuses_inputs_that_are_not_one_row_each():
    body = nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (-1, 2)), nn.Linear(2, 3))
    net = nn.Sequential(body, nn.Unflatten(0, (-1, 2)), nn.Flatten(1), nn.Linear(6, 3))
    assert forward_features(net, torch.zeros(5, 4))[1].shape == (5, 6)
    with pytest.raises(ValueError, match=r"that layer was given shape \(10, 2\)"):
        forward_features(net, torch.zeros(5, 4), "0.2")


class Meeting(nn.Module):
    """A net in which two threads wait for each other, before and after its head is called."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.barrier = threading.Barrier(2, timeout=30)

    def forward(self, x):
        self.barrier.wait()
        logits = self.head(x)
        self.barrier.wait()
        return logits


@pytest.mark.parametrize("head_name", [None, "head"])
def test_threads_each_get_their_own_features(head_name):
    net, results = Meeting(), {}

    def tap(value):
        x = torch.full((2, 4), float(value))
        results[value] = forward_features(net, x, head_name)[1]

    threads = [threading.Thread(target=tap, args=(value,)) for value in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {value: features.unique().tolist() for value, features in results.items()} == {
        1: [1.0],
        2: [2.0],
    }
    assert hooks(net) == []


def test_many_threads_tap_one_net():
    net, wrong = sequential().eval(), []

    def tap(value):
        x = torch.full((3, 4), float(value))
        expected = net[1](net[0](x))
        for _ in range(200):
            if not torch.equal(forward_features(net, x)[1], expected):
                wrong.append(value)

    threads = [threading.Thread(target=tap, args=(value,)) for value in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert hooks(net) == []


# ------------------------------------------------------------------------------------- widening


@tapped
def test_widening_keeps_the_old_rows(name, make):
    net, x = make(), torch.rand(6, 4)
    before = find_head(net, x)[1]
    old = copy.deepcopy(before.state_dict())
    old_out = net.eval()(x)
    wide = widen_head(net, x, 5)
    head = find_head(wide, x)[1]
    assert head.out_features == 5 and type(head) is type(before)
    assert torch.equal(head.weight[:3], old["weight"])
    assert torch.equal(head.bias[:3], old["bias"])
    assert head.weight[3:].abs().max() <= head.in_features**-0.5
    assert len(torch.unique(torch.cat([head.weight[3:].flatten(), head.bias[3:]]))) > 2
    out = wide(x)
    assert out.shape == (6, 5)
    torch.testing.assert_close(torch.log_softmax(out[:, :3], 1), torch.log_softmax(old_out, 1))
    assert hooks(wide) == []


def test_widening_keeps_type_and_frozen_state():
    net = nn.Sequential(nn.Linear(4, 3, bias=False, dtype=torch.float64))
    net[0].weight.requires_grad_(False)
    widen_head(net, torch.zeros(2, 4, dtype=torch.float64), 4)
    assert net[0].weight.dtype == torch.float64 and net[0].bias is None
    assert isinstance(net[0].weight, nn.Parameter) and not net[0].weight.requires_grad


def test_widening_moves_every_name_of_a_shared_head():
    net = widen_head(Shared(), torch.zeros(2, 4), 5)
    assert net.first is net.second is net.plain[0]
    assert net(torch.zeros(2, 4)).shape == (2, 5)


def test_new_rows_follow_the_seed_and_are_those_of_a_fresh_linear():
    def widened(seed):
        net = build("mlp", (4,), 3)
        torch.manual_seed(seed)
        return widen_head(net, torch.zeros(2, 4), 5).head.weight[3:]

    first, again = widened(7), widened(7)
    torch.manual_seed(7)
    assert torch.equal(first, again) and torch.equal(first, nn.Linear(8, 2).weight)
    assert not torch.equal(widened(7), widened(8))


def test_widening_to_the_same_size_does_nothing():
    net = sequential()
    weight, state = net[2][1].weight, torch.get_rng_state()
    assert widen_head(net, torch.zeros(2, 4), 3) is net
    assert net[2][1].weight is weight
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "n_outputs, error, words",
    [(2, ValueError, "at least the module's 3"), (4.0, TypeError, "n_outputs must be an integer")],
)
def test_widening_refuses_other_sizes(n_outputs, error, words):
    with pytest.raises(error, match=words):
        widen_head(sequential(), torch.zeros(2, 4), n_outputs)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)),
        lambda: nn.Sequential(nn.Linear(4, 3), nn.Unflatten(1, (3, 1)), nn.Flatten()),
        lambda: Returning(lambda z: z[:, :3]),
    ],
)
def test_a_net_that_counts_on_its_outputs_is_left_alone(make):
    net = make()
    weights = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match="widened from 3 to 5"):
        widen_head(net, torch.zeros(2, 4), 5)
    assert all(torch.equal(value, weights[key]) for key, value in net.state_dict().items())
    assert net(torch.zeros(2, 4)).shape == (2, 3)
    assert find_head(net, torch.zeros(2, 4))[1].out_features == 3


@pytest.mark.parametrize(
    "reparametrise",
    [
        parametrizations.weight_norm,
        lambda layer: prune.random_unstructured(layer, "weight", amount=0.5),
        lambda layer: prune.random_unstructured(layer, "bias", amount=0.5),
    ],
)
def test_a_reparametrised_head_is_refused(reparametrise):
    net = nn.Sequential(nn.Linear(4, 3))
    reparametrise(net[0])
    with pytest.raises(ValueError, match="computed from other parameters"):
        widen_head(net, torch.zeros(2, 4), 5)


def test_looking_for_the_head_waits_for_a_running_fit():
    from skood._locks import TORCH_RANDOM

    net, done = MLP((3,), 2), threading.Event()
    looker = threading.Thread(target=lambda: (find_head(net, torch.zeros(2, 3)), done.set()))
    with TORCH_RANDOM:
        looker.start()
        assert not done.wait(0.2)
    assert done.wait(10)
    looker.join()
