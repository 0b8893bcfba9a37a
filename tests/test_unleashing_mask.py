"""Unleashing Mask's parts: the published numbers, exact counts, and networks left as they were."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from skood.engine.checkpoint import NoCheckpoint
from skood.engine.inference import predict_logits
from skood.engine.loader import PairedLoader
from skood.engine.net import train
from skood.engine.processes import Alone
from skood.losses import flooding
from skood.nn import DenseNet
from skood.retuning.masks import (
    maskable_weights,
    masked,
    masked_cross_entropies,
    mean_cross_entropy,
    n_removed,
    random_masks,
    top_masks,
)
from skood.retuning.popup import PopupNet

UM = np.load(Path(__file__).parent / "reference" / "um.npz")
LOSSES = np.load(Path(__file__).parent / "reference" / "losses.npz")
LAYERS = ("conv1", "conv2", "fc")
KEEP = {"keep965": 0.965, "keep80": 0.8}


def reference(name):
    return torch.from_numpy(UM[name])


class PublishedNet(nn.Module):
    """The net of um.npz."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(8, 12, 3, padding=1, bias=False)
        self.fc = nn.Linear(12, 5)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return self.fc(F.relu(self.conv2(x)).mean((2, 3)))


@pytest.fixture
def published():
    net = PublishedNet().double()
    with torch.no_grad():
        for layer in LAYERS:
            getattr(net, layer).weight.copy_(reference(f"weight_{layer}"))
        net.fc.bias.copy_(reference("bias_fc"))
    return net


@pytest.fixture
def scores():
    return {f"{layer}.weight": reference(f"scores_{layer}") for layer in LAYERS}


class Everything(nn.Module):
    """Layers of many kinds, in training mode, some frozen, one tied, with a hook and dropout."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(4, 6)
        self.lift = nn.Conv1d(1, 3, 3, padding=1)
        self.norm = nn.BatchNorm1d(3)
        self.raise_ = nn.ConvTranspose1d(3, 2, 2, stride=2, groups=1)
        self.drop = nn.Dropout(0.3)
        self.hidden = nn.Linear(24, 24)
        self.again = nn.Linear(24, 24)
        self.again.weight = self.hidden.weight
        self.head = nn.Linear(24, 3)
        self.head.bias.requires_grad_(False)
        self.kept = {"weight": self.head.weight}
        self.head.register_forward_hook(lambda layer, args, out: 2 * out)

    def forward(self, x):
        x = x[:, None] + self.embedding.weight.mean(0)
        x = self.raise_(self.norm(self.lift(x))).flatten(1)
        return self.head(self.drop(self.again(F.relu(self.hidden(x)))))


@pytest.fixture
def net():
    net = Everything()
    net(torch.randn(32, 6))  # statistics that differ from their start
    net.norm.eval()
    return net


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(150, 6)).astype(np.float32), rng.integers(3, size=150)


def state(net):
    """Return whatever could be changed of a net."""
    tensors = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    return {
        "values": {name: tensor.detach().clone() for name, tensor in tensors.items()},
        "objects": {name: (id(t), t.data_ptr(), t.stride()) for name, t in tensors.items()},
        "flags": {name: (t.requires_grad, t.grad is None) for name, t in tensors.items()},
        "modes": [layer.training for layer in net.modules()],
        "attributes": [{k: id(v) for k, v in vars(layer).items()} for layer in net.modules()],
        "hooks": [
            {k: list(v.items()) for k, v in vars(layer).items() if k.endswith("_hooks")}
            for layer in net.modules()
        ],
    }


def assert_same_state(before, after):
    values, again = before.pop("values"), after.pop("values")
    assert before == after
    assert values.keys() == again.keys()
    for name in values:
        assert torch.equal(values[name], again[name]), name


def train_on(net, X, y, loss, **options):
    loader = PairedLoader(
        X, y, None, batch_size=32, outlier_ratio=1.0, rng=np.random.default_rng(0), augment=None,
        dtype="float32",
    )
    defaults = {"max_epochs": 3, "lr": 0.1, "precision": "float32"}
    return train(
        net, loader, loss, perturb=None, penalty=None, phase="retune", optimizer="sgd",
        schedule="cosine", watch=[], callbacks=None, processes=Alone(), verbose=0, options={},
        compile=False, kept=NoCheckpoint(0).next_phase(), **(defaults | options),
    )


def flooded(level):
    return lambda logits_in, y_in, logits_out: flooding(F.cross_entropy(logits_in, y_in), level)


# ---- flooding


@pytest.mark.parametrize("i", range(4))
@pytest.mark.parametrize("j", range(3))
def test_flooding_is_that_of_the_released_code(i, j):
    logits = torch.tensor(LOSSES["um_logits"][i], requires_grad=True)
    ce = F.cross_entropy(logits, torch.tensor(LOSSES["y_in"]))
    assert ce.item() == pytest.approx(LOSSES["um_ce"][i], abs=1e-9)
    loss = flooding(ce, LOSSES["um_level"][j])
    loss.backward()
    assert loss.item() == pytest.approx(LOSSES["um_loss"][i, j], abs=1e-9)
    np.testing.assert_allclose(logits.grad, LOSSES["um_grad"][i, j], rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_level_0_nothing_is_flooded_to_the_bit(dtype):
    # The last loss is exactly 0, where the derivative of an absolute value would be 0.
    loss = torch.cat([torch.rand(1000, dtype=dtype) ** 8, torch.zeros(1, dtype=dtype)])
    loss.requires_grad_()
    upstream = torch.randn(1001, dtype=dtype)
    assert torch.equal(flooding(loss, 0), loss)
    gradient, = torch.autograd.grad(flooding(loss, 0), loss, upstream)
    assert torch.equal(gradient, upstream)


def test_the_derivative_is_one_at_the_level_and_minus_one_below():
    loss = torch.tensor([0.25, 0.5, 0.75], requires_grad=True)
    flooding(loss, 0.5).sum().backward()
    assert loss.grad.tolist() == [-1, 1, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_half_precision_loss_is_flooded_in_float32(dtype):
    loss = torch.tensor(0.25, dtype=dtype, requires_grad=True)
    out = flooding(loss, 0.3)
    out.backward()
    assert out.dtype == torch.float32 and out.item() == pytest.approx(0.35, rel=1e-6)
    assert loss.grad.dtype == dtype and loss.grad == -1


def test_a_loss_that_is_not_finite_stays_so():
    loss = flooding(torch.tensor([float("nan"), float("inf")]), 0.5)
    assert loss[0].isnan() and loss[1] == float("inf")


@pytest.mark.parametrize(("loss", "level", "error", "match"), [
    (0.3, 0.1, TypeError, "loss must be a floating point torch.Tensor, got float"),
    (torch.tensor(1), 0.1, TypeError, "loss must be a floating point torch.Tensor, got torch.int"),
    (torch.tensor(1.0), -0.1, ValueError, "level must be finite and at least 0, got -0.1"),
    (torch.tensor(1.0), float("nan"), ValueError, "level must be finite"),
    (torch.tensor(1.0), "auto", TypeError, "level must be a number, got 'auto'"),
])
def test_bad_arguments_of_flooding_are_refused(loss, level, error, match):
    with pytest.raises(error, match=match):
        flooding(loss, level)


# ---- the published numbers


def test_the_whole_net_is_the_published_one(published):
    logits = predict_logits(published, UM["x"], "float64")
    np.testing.assert_allclose(logits, UM["logits_full"], rtol=0, atol=1e-9)
    ce = mean_cross_entropy(published, [(UM["x"], UM["y"])], "float64")
    assert ce == pytest.approx(UM["ce_full"].item(), abs=1e-9)


@pytest.mark.parametrize("setting", KEEP)
def test_masks_and_masked_nets_are_those_of_the_released_code(setting, published, scores):
    masks = top_masks(scores, KEEP[setting])
    for layer in LAYERS:
        mask = masks[f"{layer}.weight"]
        assert torch.equal(mask, reference(f"{setting}_mask_{layer}"))
        assert (~mask).sum() == UM[f"{setting}_n_dropped_{layer}"]
        assert n_removed(mask.numel(), KEEP[setting]) == UM[f"{setting}_n_dropped_{layer}"]
    net = masked(published, masks)
    logits = predict_logits(net, UM["x"], "float64")
    np.testing.assert_allclose(logits, UM[f"{setting}_logits"], rtol=0, atol=1e-9)
    assert (logits.argmax(1) == UM["y"]).mean() == UM[f"{setting}_acc"]
    ce = mean_cross_entropy(net, [(UM["x"], UM["y"])], "float64")
    assert ce == pytest.approx(UM[f"{setting}_ce"].item(), abs=1e-9)


def popup(published, scores, keep_fraction=0.8):
    net = PopupNet(published, keep_fraction)
    with torch.no_grad():
        for name, score in zip(net.names, net.scores, strict=True):
            score.copy_(scores[name])
    return net


@pytest.mark.parametrize("side", ["above", "below"])
def test_the_step_of_the_scores_is_that_of_the_released_code(side, published, scores):
    net = popup(published, scores)
    optimizer = torch.optim.SGD(
        net.parameters(), UM["umap_lr"].item(), momentum=0.9,
        weight_decay=UM["umap_weight_decay"].item(),
    )
    ce = F.cross_entropy(net(reference("x")), reference("y"))
    loss = flooding(ce, UM[f"umap_{side}_level"].item())
    loss.backward()
    optimizer.step()
    assert loss.item() == pytest.approx(UM[f"umap_{side}_loss"].item(), abs=1e-9)
    assert (ce > UM[f"umap_{side}_level"].item()) == (side == "above")
    for layer, score in zip(LAYERS, net.scores, strict=True):
        gradient = UM[f"umap_{side}_grad_scores_{layer}"]
        np.testing.assert_allclose(score.grad, gradient, rtol=0, atol=1e-9)
        # The gradient reaches what is masked, too.
        assert (gradient[~UM[f"keep80_mask_{layer}"]] != 0).any()
        after = UM[f"umap_{side}_scores_after_{layer}"]
        np.testing.assert_allclose(score.detach(), after, rtol=0, atol=1e-9)
        weight = net.net.get_parameter(f"{layer}.weight")
        assert weight.grad is None and torch.equal(weight, reference(f"weight_{layer}"))


@pytest.mark.parametrize("side", ["above", "below"])
def test_the_gradient_of_every_weight_is_that_of_the_released_code(side, published):
    ce = F.cross_entropy(published(reference("x")), reference("y"))
    loss = flooding(ce, UM[f"um_{side}_level"].item())
    loss.backward()
    assert loss.item() == pytest.approx(UM[f"um_{side}_loss"].item(), abs=1e-9)
    for layer in LAYERS:
        gradient = getattr(published, layer).weight.grad
        np.testing.assert_allclose(gradient, UM[f"um_{side}_grad_weight_{layer}"], atol=1e-9)
    np.testing.assert_allclose(published.fc.bias.grad, UM[f"um_{side}_grad_bias_fc"], atol=1e-9)


# ---- which weights, and how many


def test_conv_and_linear_weights_are_masked_and_nothing_else(net):
    weights = maskable_weights(net)
    assert list(weights) == ["lift.weight", "raise_.weight", "hidden.weight", "head.weight"]
    assert all(weights[name] is net.get_parameter(name) for name in weights)
    assert list(maskable_weights(nn.Linear(2, 3))) == ["weight"]
    twice = nn.Linear(2, 2)
    assert list(maskable_weights(nn.Sequential(twice, nn.ReLU(), twice))) == ["0.weight"]


class Tokens(nn.Module):
    """A head that is tied to the embedding, which has the first name of the two."""

    def __init__(self, n_classes=11):
        super().__init__()
        self.embedding = nn.Embedding(n_classes, 8)
        self.hidden = nn.Linear(8, 8)
        self.head = nn.Linear(8, n_classes, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x):
        return self.head(self.hidden(self.embedding(x).mean(1)).relu())


def test_a_head_tied_to_an_embedding_is_masked_and_stays_tied():
    net, x = Tokens(), torch.randint(11, (20, 5))
    assert sorted(maskable_weights(net)) == ["embedding.weight", "hidden.weight"]
    masks = random_masks(net, 0.5)
    popup = PopupNet(net, 0.5)
    for other, mask in ((masked(net, masks), masks), (popup.pruned(), popup.masks())):
        assert other.head.weight is other.embedding.weight
        assert torch.equal(other.head.weight, net.head.weight * mask["embedding.weight"])
    assert torch.equal(popup(x), popup.pruned()(x)) and not torch.equal(popup(x), net(x))


@pytest.mark.parametrize("layer", [
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
])
def test_convolutions_of_every_kind_are_masked(layer):
    convolution = layer(2, 4, 3, padding=1)
    x = torch.randn(2, 2, *[5] * (convolution.weight.ndim - 2))
    masks = random_masks(convolution, 0.5)
    other = masked(convolution, masks)
    assert torch.equal(other.weight, convolution.weight * masks["weight"])
    loss = PopupNet(convolution, 0.5)(x).square().sum()
    assert torch.isfinite(loss)


def test_a_net_without_such_weights_is_refused():
    with pytest.raises(ValueError, match="Sequential, has no Conv or Linear layer"):
        random_masks(nn.Sequential(nn.BatchNorm1d(3)), 0.9)


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize(
    "norm", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm]
)
def test_a_weight_that_is_computed_is_refused(norm):
    with pytest.raises(ValueError, match="0.weight of module is computed of other parameters"):
        PopupNet(nn.Sequential(norm(nn.Linear(3, 3))), 0.9)


@pytest.mark.parametrize("keep", [0.965, 0.8, 0.5, 0.01, 1 - 0.035, 1.0, 1])
@pytest.mark.parametrize("n", [1, 7, 60, 999])
def test_exactly_as_many_are_removed_as_released(keep, n):
    layer = nn.Linear(n, 1)
    tied = torch.randint(3, (1, n)).double() - 1  # hardly a magnitude that is there only once
    for mask in (random_masks(layer, keep)["weight"], top_masks({"w": tied}, keep)["w"]):
        assert mask.shape == (1, n) and mask.dtype == torch.bool
        assert (~mask).sum() == int((1 - keep) * n)
    top = top_masks({"w": tied}, keep)["w"]
    removed, kept = tied[~top].abs(), tied[top].abs()
    assert removed.numel() == 0 or kept.numel() == 0 or removed.max() <= kept.min()


def test_random_masks_follow_their_generator_and_are_even():
    layer = nn.Linear(50, 4)
    generator = torch.Generator().manual_seed(0)
    before = torch.random.get_rng_state()
    drawn = torch.stack([random_masks(layer, 0.7, generator)["weight"] for _ in range(400)])
    assert torch.equal(torch.random.get_rng_state(), before)
    again = random_masks(layer, 0.7, torch.Generator().manual_seed(0))["weight"]
    assert torch.equal(drawn[0], again) and not torch.equal(drawn[0], drawn[1])
    # Of 400 draws at 0.7 the standard error is 0.023.
    np.testing.assert_allclose(drawn.double().mean(0), 0.7, atol=0.115)
    seeded = [torch.manual_seed(3) and random_masks(layer, 0.7)["weight"] for _ in range(2)]
    assert torch.equal(*seeded)


@pytest.mark.parametrize(("keep", "error"), [
    (0, ValueError), (1.01, ValueError), (float("nan"), ValueError), ("all", TypeError),
])
def test_a_fraction_that_is_none_is_refused(keep, error):
    layer = nn.Linear(3, 3)
    for call in (lambda: random_masks(layer, keep), lambda: top_masks({"w": layer.weight}, keep),
                 lambda: PopupNet(layer, keep)):
        with pytest.raises(error, match="keep_fraction must be"):
            call()


# ---- masked networks


def test_tied_weights_stay_tied_and_the_rest_is_shared(net):
    masks = random_masks(net, 0.5)
    other = masked(net, masks)
    assert other.again.weight is other.hidden.weight
    assert torch.equal(other.hidden.weight, net.hidden.weight * masks["hidden.weight"])
    assert other.norm.running_mean is net.norm.running_mean
    assert other.head.bias is net.head.bias
    assert not other.head.weight.requires_grad


def test_the_level_does_not_depend_on_the_batches(net, rows):
    X, y = rows

    def losses(batches):
        return masked_cross_entropies(
            net, batches, 0.9, 3, "float32", generator=torch.Generator().manual_seed(0)
        )

    whole = losses([(X, y)])
    assert whole.shape == (3,) and whole.dtype == np.float64 and len(set(whole)) == 3
    parts = [(torch.from_numpy(X[i : i + 7]), torch.from_numpy(y[i : i + 7]))
             for i in range(0, 150, 7)]
    np.testing.assert_array_equal(losses(parts), whole)
    np.testing.assert_array_equal(losses([(X[:1], y[:1]), (X[1:], y[1:])]), whole)


def test_the_level_is_the_mean_over_rows_in_evaluation_mode(net, rows):
    X, y = rows
    masks = random_masks(net, 0.9)
    plain = copy.deepcopy(net).eval()
    with torch.no_grad():
        for name, mask in masks.items():
            plain.get_parameter(name).mul_(mask)
        expected = F.cross_entropy(plain(torch.from_numpy(X)), torch.from_numpy(y)).item()
    measured = mean_cross_entropy(masked(net, masks), [(X, y)], "float32")
    assert measured == pytest.approx(expected, rel=1e-6)


def test_nothing_removed_is_the_loss_of_the_net_itself(net, rows):
    own = mean_cross_entropy(net, [rows], "float32")
    assert masked_cross_entropies(net, [rows], 1.0, 2, "float32").tolist() == [own, own]


def test_8_bit_images_are_read_as_elsewhere():
    net = DenseNet((3, 8, 8), 4, depth=10)
    X = np.random.default_rng(0).integers(256, size=(40, 3, 8, 8), dtype=np.uint8)
    y = np.arange(40) % 4
    scaled = X.astype(np.float32) / 255
    own, expected = (mean_cross_entropy(net, [(each, y)], "float32") for each in (X, scaled))
    assert own == pytest.approx(expected, rel=1e-6)
    in_bf16 = mean_cross_entropy(net, [(X, y)], "float32", "bf16")
    assert in_bf16 != own and in_bf16 == pytest.approx(own, rel=0.05)


def test_batches_that_are_used_up_are_refused(net, rows):
    with pytest.raises(ValueError, match="batches must hold at least one batch"):
        masked_cross_entropies(net, iter([rows]), 0.9, 2, "float32")
    with pytest.raises(ValueError, match="n_masks must be at least 1, got 0"):
        masked_cross_entropies(net, [rows], 0.9, 0, "float32")


# ---- edge-popup


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_all_kept_is_the_untouched_net_to_the_bit(layout):
    net = DenseNet((3, 16, 16), 5, depth=16).to(memory_format=layout)
    x = torch.rand(6, 3, 16, 16)
    net(x)
    net.eval()
    popup = PopupNet(net, 1.0)
    with torch.no_grad():
        for other in (popup, popup.pruned(), masked(net, random_masks(net, 1.0))):
            assert torch.equal(other(x), net(x))
    for name, weight in popup.pruned().named_parameters():
        assert weight.stride() == net.get_parameter(name).stride()


def test_only_scores_are_trained_and_they_start_as_released(net):
    popup = PopupNet(net, 0.8)
    learning = [weight for weight in popup.parameters() if weight.requires_grad]
    assert [id(weight) for weight in learning] == [id(score) for score in popup.scores]
    for name, score in zip(popup.names, popup.scores, strict=True):
        weight = net.get_parameter(name)
        bound = weight[0].numel() ** -0.5
        assert score.shape == weight.shape and score.dtype == weight.dtype
        assert 0.7 * bound < score.abs().max() <= bound
        assert popup.net.get_parameter(name).data_ptr() == weight.data_ptr()
    first, again = (PopupNet(net, 0.8, torch.Generator().manual_seed(5)) for _ in range(2))
    assert all(map(torch.equal, first.scores, again.scores))


def test_the_gradient_is_straight_through():
    layer, x = nn.Linear(4, 3), torch.randn(5, 4)
    net = PopupNet(layer, 0.5)
    net(x).square().sum().backward()
    weight = (layer.weight * net.masks()["weight"]).detach().requires_grad_()
    F.linear(x, weight, layer.bias).square().sum().backward()
    expected = weight.grad * layer.weight.detach() * net.scores[0].detach().sign()
    torch.testing.assert_close(net.scores[0].grad, expected, rtol=1e-6, atol=0)
    assert layer.weight.grad is None


def test_training_learns_masks_and_pruning_bakes_them_in(net, rows):
    X, y = rows
    popup = PopupNet(net, 0.8)
    first = popup.masks()
    train_on(popup, X, y, flooded(0.0))
    last = popup.masks()
    assert any(not torch.equal(first[name], last[name]) for name in first)
    pruned = popup.pruned()
    assert type(pruned) is Everything
    for name, mask in last.items():
        assert torch.equal(pruned.get_parameter(name), net.get_parameter(name) * mask)
        assert (~mask).sum() == n_removed(mask.numel(), 0.8)
    assert pruned.again.weight is pruned.hidden.weight
    assert pruned.head.bias.data_ptr() == net.head.bias.data_ptr()
    np.testing.assert_array_equal(
        predict_logits(pruned, X, "float32"), predict_logits(popup, X, "float32")
    )
    # BatchNorm has moved its statistics, those of the copy; pruned holds them as they are now.
    assert not torch.equal(pruned.norm.running_mean, net.norm.running_mean)
    still = pruned.norm.running_mean.clone()
    train_on(popup, X, y, flooded(0.0), max_epochs=1)
    assert torch.equal(pruned.norm.running_mean, still)
    assert not torch.equal(popup.net.norm.running_mean, still)


@pytest.mark.parametrize("wrapped", [lambda net: net, lambda net: PopupNet(net, 0.8)])
def test_the_loss_of_a_trained_net_rises_to_the_level(rows, wrapped):
    X, _ = rows
    y = (X[:, 0] > 0).astype(np.int64) + (X[:, 0] > 1)
    net = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 3))
    train_on(net, X, y, flooded(0.0), max_epochs=30)
    retuned = wrapped(net)
    assert mean_cross_entropy(retuned, [(X, y)], "float32") < 0.25
    train_on(retuned, X, y, flooded(0.5), max_epochs=40)
    assert mean_cross_entropy(retuned, [(X, y)], "float32") == pytest.approx(0.5, abs=0.15)


def test_level_0_trains_as_no_level_to_the_bit(net, rows):
    nets = copy.deepcopy(net), copy.deepcopy(net)
    for each, loss in zip(
        nets, (flooded(0.0), lambda z, y, _: F.cross_entropy(z, y)), strict=True
    ):
        torch.manual_seed(0)
        train_on(each, *rows, loss)
    assert all(map(torch.equal, *(each.state_dict().values() for each in nets)))
    assert not torch.equal(nets[0].head.weight, net.head.weight)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_net_is_left_as_it_was(net, rows, precision):
    X, y = rows
    before = state(net)
    masked_cross_entropies(net, [(X, y)], 0.9, 2, "float32", precision)
    popup = PopupNet(net, 0.8)
    train_on(popup, X, y, flooded(0.3), precision=precision)
    pruned = popup.pruned()
    predict_logits(pruned, X, "float32", precision)
    pruned.requires_grad_(False).eval()
    del popup, pruned
    assert_same_state(before, state(net))
