"""GReg, GReg+ and DOS: the published numbers, the identities, and BatchNorm's second derivative."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import make_moons
from torch import nn
from torch.autograd import gradcheck
from torch.autograd.functional import jacobian
from torch.nn import functional as F

from skood import DOSDetector, EnergyExposureDetector, GRegDetector
from skood.engine.batch_norm import FusedBatchNorm
from skood.losses import energy_gradient, energy_hinge
from skood.nn import MLP
from skood.sampling import cluster_extremes, diverse
from skood.sampling._clusters import _extremes
from skood.sampling._kmeans import kmeans

GREG = np.load(Path(__file__).parent / "reference" / "greg.npz")
WEIGHTS = ("conv_w", "conv_b", "lin_w", "lin_b")
FAST = {"max_epochs": 3, "batch_size": 16, "random_state": 0}


def reference(name):
    return torch.from_numpy(GREG[name])


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=120)
    X = rng.normal(size=(120, 3)) * 0.3 + 2 * y[:, None]
    return X, y, rng.uniform(-3, 5, size=(400, 3))


def published_net(x, weights):
    return F.linear(F.relu(F.conv2d(x, *weights[:2], padding=1)).mean((2, 3)), *weights[2:])


@pytest.mark.parametrize("side", ["in", "out"])
def test_energies_lengths_and_what_counts_are_those_of_the_authors_code(side):
    weights, rows = [reference(name) for name in WEIGHTS], reference(f"x_{side}")
    # A row at a time beside one of the other kind, which is far from counting.
    for i in range(len(rows)):
        x = rows[[i, i]].requires_grad_()
        z_in, z_out = published_net(x, weights).split(1)
        energy = -z_in.logsumexp(1).item()
        assert energy == pytest.approx(GREG[f"energy_{side}"][i], rel=1e-12)
        for setting in range(3):
            margin = float(GREG[f"m_{side}"][setting])
            margins = (margin, np.inf) if side == "in" else (-np.inf, margin)
            expected = GREG[f"mask_{side}"][setting, i] * GREG[f"grad_norm_{side}"][i]
            term = energy_gradient(x, z_in, z_out, *margins).item()
            assert term == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("setting", range(3))
def test_the_loss_and_the_gradient_of_every_weight_are_those_of_the_authors_code(setting):
    weights = [reference(name).requires_grad_() for name in WEIGHTS]
    x = torch.cat([reference("x_in"), reference("x_out")]).requires_grad_()
    z_in, z_out = published_net(x, weights).tensor_split([len(reference("x_in"))])
    margins = float(GREG["m_in"][setting]), float(GREG["m_out"][setting])
    term = energy_gradient(x, z_in, z_out, *margins)
    loss = energy_hinge(z_in, reference("y_in"), z_out, *margins, float(GREG["beta"][setting]))
    loss = loss + float(GREG["lam"][setting]) * term
    np.testing.assert_allclose(term.item(), GREG["reg_paper"][setting], rtol=1e-9)
    np.testing.assert_allclose(
        term.item() / GREG["n_rows"], GREG["reg_code"][setting], rtol=1e-9
    )
    np.testing.assert_allclose(loss.item(), GREG["total_paper"][setting], rtol=1e-9)
    for name, gradient in zip(WEIGHTS, torch.autograd.grad(loss, weights), strict=True):
        np.testing.assert_allclose(
            gradient.numpy(), GREG[f"grad_paper_{name}"][setting], rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("kind", ["full", "trim"])
def test_the_ends_of_given_clusters_are_those_of_the_authors_code(kind):
    first, last = int(GREG[f"sel_{kind}_spt"]), int(GREG[f"sel_{kind}_ept"])
    order = np.argsort(GREG["sel_energy"], kind="stable")[first:last]
    n_clusters = int(GREG["sel_n_clusters"])
    lowest, highest = _extremes(torch.from_numpy(GREG["sel_labels"][order]), n_clusters)
    np.testing.assert_array_equal(order[lowest], GREG[f"sel_{kind}_lowest"])
    np.testing.assert_array_equal(order[highest], GREG[f"sel_{kind}_highest"])


def test_without_weight_it_is_energy_fine_tuning_to_the_bit(table):
    X, y, A = table
    energy = EnergyExposureDetector(**FAST).fit(X, y, X_aux=(A,))
    plain = GRegDetector(grad_weight=0, **FAST).fit(X, y, X_aux=(A,))
    np.testing.assert_array_equal(plain.score_samples(A), energy.score_samples(A))
    flat = GRegDetector(grad_weight=0.1, **FAST).fit(X, y, X_aux=(A,))
    assert (flat.score_samples(A) != energy.score_samples(A)).any()


def test_the_weight_shortens_the_gradients(table):
    X, y, A = table

    def length(detector):
        x = torch.from_numpy(A.astype(np.float32)).requires_grad_()
        energy = -detector.module_(x).logsumexp(1)
        return torch.autograd.grad(energy.sum(), x)[0].norm(dim=1).mean().item()

    options = FAST | {"max_epochs": 15}
    free = EnergyExposureDetector(**options).fit(X, y, X_aux=(A,))
    flat = GRegDetector(grad_weight=1.0, **options).fit(X, y, X_aux=(A,))
    assert length(flat) < 0.8 * length(free)


@pytest.fixture(scope="module", params=[(16,), (16, 16)], ids=str)
def certified(request):
    """Return a detector's energy, its threshold and, by side, points with their radii."""
    X, y = make_moons(800, noise=0.1, random_state=0)
    A = np.random.default_rng(0).uniform((-2.2, -1.8), (3.2, 2.3), (1200, 2))
    detector = GRegDetector(
        grad_weight=0.1, m_in=-8, m_out=-4, lr=0.01, max_epochs=15, batch_size=32,
        module__hidden=request.param, random_state=0,
    ).fit(X[:400], y[:400], X_aux=(A[:800],))
    net, gamma = deepcopy(detector.module_).double(), -detector.offset_
    sides = {1: _certify(net, X[400:], gamma, 1), -1: _certify(net, A[800:], gamma, -1)}
    return lambda x: -net(x.flatten(0, -2)).logsumexp(1).view(x.shape[:-1]), gamma, sides


def _certify(net, points, gamma, side):
    """Return the detected points, the bound on their gradients, and their radii.

    While no unit changes its sign, the logits are affine in x, and the gradient of the energy is a
    mean of their rows, the softmax being the weights: no longer than the longest row. That holds
    within the distance to the nearest border, and the gap to the threshold lasts for gap / longest.
    """
    hidden = x = torch.from_numpy(points)
    rows, borders = torch.eye(2, dtype=x.dtype).expand(len(x), 2, 2), []
    *layers, head = (layer for layer in net.modules() if isinstance(layer, nn.Linear))
    for layer in layers:
        before, rows = layer(hidden), layer.weight @ rows
        # A unit that does not depend on x has no border: 0 / 0 is to be infinite, as b / 0 is.
        borders.append((before.abs() / rows.norm(dim=2)).nan_to_num(np.inf))
        rows, hidden = rows * (before > 0).unsqueeze(2), before.relu()
    rows = head.weight @ rows
    torch.testing.assert_close(rows, jacobian(lambda x: net(x).sum(0), x).transpose(0, 1))
    longest = rows.norm(dim=2).amax(1)
    gap = side * (gamma + head(hidden).logsumexp(1))
    radius = torch.minimum(torch.cat(borders, 1).amin(1), gap / longest)
    return x[gap >= 0], longest[gap >= 0], radius[gap >= 0]


def _around(x, radius, n=64):
    """Return n points at the given distance from each x, all around it."""
    angle = torch.arange(n).double() * (2 * np.pi / n)
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    return x[:, None] + radius[:, None, None] * circle


@pytest.mark.parametrize("side", [1, -1])
def test_no_step_within_the_certified_radius_turns_a_decision(certified, side):
    energy, gamma, sides = certified
    x, longest, radius = sides[side]
    for share in (0.5, 0.999):  # of the radius; at its very end rounding would decide
        reached = energy(_around(x, share * radius))
        change = (reached - energy(x)[:, None]).abs()
        assert (change <= (longest * share * radius)[:, None] + 1e-12).all()
        assert (side * (gamma - reached) >= 0).all()


@pytest.mark.parametrize("side", [1, -1])
def test_the_certified_radius_is_worth_something(certified, side):
    energy, gamma, sides = certified
    x, _, radius = sides[side]
    assert len(x) > 100
    assert (radius > 0).double().mean() > 0.99
    assert radius.median() > 0.01
    turned = (side * (gamma - energy(_around(x, 10 * radius))) < 0).any(1)
    assert turned.double().mean() > 0.3  # so the test above may fail: 0.46 to 0.80, by net and side


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 5), (5, 3, 2, 4)])
def test_the_second_derivative_of_batch_norm_is_right(shape):
    generator = torch.Generator().manual_seed(0)
    x, v = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    weight, bias = torch.randn(2, 3, generator=generator, dtype=torch.float64)

    def gradient(x, weight):
        with FusedBatchNorm():
            y = F.batch_norm(x, None, None, weight, bias, training=True)
        return torch.autograd.grad((y**3 * v).sum(), x, create_graph=True)[0]

    assert gradcheck(gradient, (x.requires_grad_(), weight.requires_grad_()))


def test_no_row_on_its_side_costs_no_gradient():
    x = torch.ones(4, 2, requires_grad=True)
    logits = x * 2
    term = energy_gradient(x, logits[:2], logits[2:], m_in=-100.0, m_out=100.0)
    assert term == 0 and not term.requires_grad


def test_a_batch_without_gradients_is_refused():
    logits = torch.ones(2, 3)
    with pytest.raises(ValueError, match="x must be the batch of 4 rows"):
        energy_gradient(torch.ones(4, 2), logits, logits, -1.0, 1.0)


class Attending(nn.Module):
    """Attention, whose fast kernels cannot be differentiated twice."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.embed = nn.Linear(1, 8)
        self.attend = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.head = nn.Linear(8, n_outputs)

    def forward(self, x):
        return self.head(self.attend(self.embed(x.unsqueeze(-1))).mean(1))


class InPlace(MLP):
    def forward(self, x):
        return super().forward(x.sub_(1.0))


@pytest.mark.parametrize("module", [Attending, InPlace])
def test_networks_that_take_care_to_be_differentiated_twice_are_trained(module, table):
    X, y, A = table
    start, end = (
        GRegDetector(module, grad_weight=weight, **FAST).fit(X, y, X_aux=(A,)).score_samples(A)
        for weight in (0, 1.0)
    )
    assert np.isfinite(end).all() and (start != end).any()


class Detached(MLP):
    def forward(self, x):
        return super().forward(x.detach())


def test_logits_without_a_way_back_to_x_are_refused(table):
    X, y, A = table
    with pytest.raises(ValueError, match="do not depend on x by way of autograd"):
        GRegDetector(Detached, **FAST).fit(X, y, X_aux=(A,))


def test_what_augment_returns_is_not_marked(table):
    X, y, A = table
    returned = []

    def augment(x):
        returned.append(x)
        return x

    GRegDetector(augment=augment, dtype="float64", **FAST).fit(X, y, X_aux=(A,))
    assert not any(x.requires_grad for x in returned)


@pytest.mark.parametrize("Detector", [GRegDetector, DOSDetector])
def test_candidates_that_are_too_few_are_refused(Detector, table):
    X, y, A = table
    options = {"sampling": "clustered"} if Detector is GRegDetector else {}
    detector = Detector(n_candidates=4, **options, **FAST)
    with pytest.raises(ValueError, match="n_candidates=4 are to be looked at"):
        detector.fit(X, y, X_aux=(A,))


def test_too_many_clusters_are_refused(table):
    X, y, A = table
    with pytest.raises(ValueError, match="n_clusters=40 clusters with 2 from each"):
        GRegDetector(sampling="clustered", n_clusters=40, **FAST).fit(X, y, X_aux=(A,))


def test_a_quantile_that_leaves_too_few_is_refused(table):
    X, y, A = table
    with pytest.raises(ValueError, match="quantile=0.9 leaves"):
        DOSDetector(quantile=0.9, **FAST).fit(X, y, X_aux=(A,))


def test_every_blob_yields_both_its_ends():
    rng = np.random.default_rng(0)
    blob = np.repeat(np.arange(4), 25)
    features = np.eye(4)[blob] + 0.01 * rng.normal(size=(100, 4))
    energy = rng.normal(size=100)
    kept = cluster_extremes(energy, features, 4, generator=torch.Generator().manual_seed(0))
    expected = [end(np.flatnonzero(blob == b), key=lambda i: energy[i])
                for b in range(4) for end in (min, max)]
    np.testing.assert_array_equal(kept, np.sort(expected))
    hardest = diverse(energy, features, 4, generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(hardest, np.sort(expected[::2]))


def test_rows_that_are_alike_are_filled_up_at_random():
    energy = np.arange(10.0)
    kept = cluster_extremes(energy, np.ones((10, 3)), 4, generator=torch.Generator().manual_seed(0))
    assert len(np.unique(kept)) == 8
    assert {0, 9} <= set(kept.tolist())
    assert kmeans(torch.zeros(5, 2), 3).shape == (5,)


def test_a_generator_of_ones_own_leaves_torchs_alone():
    rng = np.random.default_rng(0)
    energy, features = rng.normal(size=50), rng.normal(size=(50, 4))
    before = torch.random.get_rng_state()
    kept = [
        cluster_extremes(e, f, 5, 12, generator=torch.Generator().manual_seed(3))
        for e, f in ((energy, features), (torch.tensor(energy), torch.tensor(features)))
    ]
    np.testing.assert_array_equal(*kept)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_is_passed_over_is_never_kept():
    rng = np.random.default_rng(0)
    energy = rng.normal(size=50)
    kept = diverse(energy, rng.normal(size=(50, 4)), 20, quantile=0.3)
    assert energy[kept].min() >= np.sort(energy)[15]


@pytest.mark.parametrize(("options", "error", "match"), [
    ({"n_clusters": 0}, ValueError, "n_clusters"),
    ({"n": 3}, ValueError, "n=3 is less than the 4"),
    ({"n": 30}, ValueError, "n=30 cannot be kept of 20"),
    ({"quantile": 1.0}, ValueError, "quantile must be in"),
    ({"energy": np.arange(20)}, TypeError, "energy must hold floats"),
    ({"energy": np.full(20, np.nan)}, ValueError, "energy must be finite"),
    ({"features": np.ones((3, 2))}, ValueError, "features must have shape"),
])
def test_bad_arguments_are_refused(options, error, match):
    good = {"energy": np.arange(20.0), "features": np.ones((20, 2)), "n_clusters": 2}
    with pytest.raises(error, match=match):
        cluster_extremes(**(good | options))
