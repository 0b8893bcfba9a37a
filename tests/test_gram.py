"""Gram matrices: the formula in plain loops, which layers are read, and what is held of them."""

from itertools import product

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

import skood
from skood.nn import MLP, SmallResNet
from skood.nn.tap import Layers, forward_layers, inner_layers
from skood.posthoc import Classifier, base, gram

POWERS = (1, 2, 3, 10)


@pytest.fixture(scope="module")
def table():
    """Three classes, and outliers around them."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=90)
    X = rng.normal(size=(90, 4)) + 3 * np.eye(3, 4)[y]
    return X, y, rng.uniform(-6, 6, size=(60, 4))


def network():
    torch.manual_seed(0)
    return MLP((4,), 3, hidden=(9, 8)).double()


def image_network():
    torch.manual_seed(0)
    return SmallResNet((1, 4, 4), 3, width=2).double().eval()


# ---- the formula


def sums_of(maps, p):
    """Return the roots of the row sums of one row's Gram matrix, maps of shape (d, n_positions)."""
    matrix = np.array([[(a**p * b**p).sum() for b in maps] for a in maps])
    sums = matrix.sum(axis=1)
    return np.sign(sums) * np.abs(sums) ** (1 / p)


def outputs_of(net, names, X):
    """Return the logits and, for each row, the maps of each layer."""
    kept, layers = {}, dict(net.named_modules())
    hooks = [
        layers[name].register_forward_hook(lambda m, a, out, n=name: kept.update({n: out.clone()}))
        for name in names
    ]
    with torch.no_grad():
        logits = net(torch.from_numpy(X)).numpy()
    for hook in hooks:
        hook.remove()
    return logits, [
        [kept[name][i].flatten(1).numpy() if kept[name].ndim > 2 else kept[name][i, :, None].numpy()
         for name in names]
        for i in range(len(X))
    ]


class Plain:
    """The method, row by row, layer by layer, power by power and channel by channel."""

    def __init__(self, net, names, powers, X):
        self.net, self.names, self.powers = net, names, powers
        self.predicted, self.sums = self.read(X)
        self.of_class = {
            c: [i for i in range(len(X)) if self.predicted[i] == c] for c in set(self.predicted)
        }
        self.largest = {
            key: max(np.abs(self.bounds(c, key)).max() for c in self.of_class)
            for key in product(range(len(names)), range(len(powers)))
        }
        self.train = np.array([self.deviations(self.predicted[i], self.sums[i], without=i)
                               for i in range(len(X))])
        self.expected = [column.mean() for column in self.train.T]

    def read(self, X):
        logits, maps = outputs_of(self.net, self.names, X)
        sums = [
            {(i, j): sums_of(each, p) for i, each in enumerate(row)
             for j, p in enumerate(self.powers)}
            for row in maps
        ]
        return logits.argmax(axis=1), sums

    def bounds(self, c, key, without=None):
        rows = self.of_class.get(c, [])
        if len(rows) < 2:
            rows = range(len(self.sums))
        values = np.array([self.sums[i][key] for i in rows if i != without])
        return values.min(axis=0), values.max(axis=0)

    def deviations(self, c, sums, without=None):
        deviations = np.zeros(len(self.names))
        for key, values in sums.items():
            low, high = self.bounds(c, key, without)
            for value, lo, hi in zip(values, low, high, strict=True):
                least = 1e-6 * self.largest[key]
                if value < lo:
                    deviations[key[0]] += (lo - value) / max(abs(lo), least)
                if value > hi:
                    deviations[key[0]] += (value - hi) / max(abs(hi), least)
        return deviations

    def score(self, X):
        predicted, sums = self.read(X)
        return np.array([
            -sum(self.deviations(*row) / self.expected) for row in zip(predicted, sums, strict=True)
        ])


@pytest.mark.parametrize("kind", ["table", "images"])
def test_the_score_is_the_formula_in_plain_loops(table, kind):
    X, y, A = table
    net = network()
    if kind == "images":
        rng = np.random.default_rng(0)
        X, y, A = rng.random((30, 1, 4, 4)), np.arange(30) % 3, rng.random((10, 1, 4, 4)) * 2
        net = image_network()
    detector = skood.GramDetector(net, powers=POWERS, dtype="float64").fit(X, y)
    plain = Plain(net, detector.layers_, POWERS, X)
    np.testing.assert_allclose(detector.score_samples(A), plain.score(A), rtol=1e-8)
    left_out = -(plain.train / plain.expected).sum(axis=1)
    np.testing.assert_allclose(detector.score_samples(X), left_out, rtol=1e-6, atol=1e-9)
    assert detector.offset_ == pytest.approx(np.percentile(left_out, 5), rel=1e-6)
    assert (left_out < 0).any() and (plain.score(A) < 0).any()


@pytest.mark.parametrize("n_rare", [0, 1])
def test_a_class_of_less_than_two_rows_has_the_ranges_of_all(table, n_rare):
    X, _, A = table
    net = network()
    predicted = net(torch.from_numpy(X)).argmax(1).numpy()
    rare = np.bincount(predicted, minlength=3).argmax()  # so that A holds some of it
    few = np.append(np.flatnonzero(predicted != rare), np.flatnonzero(predicted == rare)[:n_rare])
    detector = skood.GramDetector(net, powers=(1, 2), dtype="float64").fit(X[few])
    plain = Plain(net, detector.layers_, (1, 2), X[few])
    assert (plain.read(A)[0] == rare).any()
    np.testing.assert_allclose(detector.score_samples(A), plain.score(A), rtol=1e-8)
    left_out = -(plain.train / plain.expected).sum(axis=1)
    np.testing.assert_allclose(detector.score_samples(X[few]), left_out, rtol=1e-6, atol=1e-9)


def test_row_sums_need_no_gram_matrix_and_do_not_overflow():
    maps = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = [np.concatenate([sums_of(row.numpy(), p) for p in POWERS]) for row in maps]
    np.testing.assert_allclose(gram.GramSums(POWERS)(maps), expected, rtol=1e-9)
    large = gram.GramSums((10,))(maps.float() * 1e8)  # to the power of 20: 1e160
    np.testing.assert_allclose(large / 1e16, gram.GramSums((10,))(maps), rtol=1e-5)
    assert not gram.GramSums(POWERS)(torch.zeros(2, 3, 4)).any()


def test_the_order_and_the_number_of_powers_are_free(table):
    X, y, A = table
    net = network()
    scores = [
        skood.GramDetector(net, powers=powers, dtype="float64").fit(X, y).score_samples(A)
        for powers in ((1, 2, 5), [5, 1, 2], (2,))
    ]
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-9)
    assert (scores[2] != scores[0]).any()


def test_the_score_does_not_depend_on_the_scale_of_activations(table):
    X, y, A = table
    net = nn.Sequential(nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False))
    net.double()
    plain, scaled = (
        skood.GramDetector(net, dtype="float64").fit(X * s, y).score_samples(A * s)
        for s in (1, 1e5)
    )
    np.testing.assert_allclose(scaled, plain, rtol=1e-7)


def test_outliers_score_lower_and_new_rows_are_seldom_refused():
    """The sign that a peer has had wrong, and a threshold by rows that are not their own bounds."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=800)
    X = (rng.normal(size=(800, 4)) + 3 * np.eye(3, 4)[y]).astype(np.float32)
    A = rng.uniform(-6, 6, size=(400, 4)).astype(np.float32)
    detector = skood.GramDetector(Classifier(max_epochs=20, random_state=0)).fit(X[:400], y[:400])
    new = X[400:]
    truth = np.repeat([1, 0], 400)
    assert roc_auc_score(truth, detector.score_samples(np.concatenate([new, A]))) > 0.9
    assert 0.01 < (detector.predict(new) < 0).mean() < 0.12
    assert (detector.predict(X[:400]) < 0).mean() == pytest.approx(0.05, abs=0.01)


# ---- the two least of each class


def test_extremes_in_parts_are_the_extremes():
    rng = np.random.default_rng(0)
    values, y = rng.integers(20, size=(60, 5)).astype(float), rng.integers(4, size=60)
    extremes = gram.Extremes((5, 5))  # of the last class there is no row
    for part in (slice(0, 1), slice(1, 30), slice(30, 60)):
        extremes.add(values[part], y[part], part.start)
    for c in range(4):
        ordered = np.sort(values[y == c], axis=0)
        np.testing.assert_array_equal(extremes.first[c], ordered[0])
        np.testing.assert_array_equal(extremes.second[c], ordered[1])
        np.testing.assert_array_equal(values[extremes.row[c], np.arange(5)], ordered[0])
        assert (y[extremes.row[c]] == c).all()
    np.testing.assert_array_equal(extremes.counts, np.bincount(y, minlength=5))


# ---- bounded memory, equal rows


def test_rows_are_read_in_blocks_and_scored_alike(table, monkeypatch):
    X, y, A = table
    net = network()
    whole = skood.GramDetector(net, dtype="float64").fit(X, y)
    expected = whole.score_samples(A)
    n_columns, lengths, run = len(whole._layer_of), [], base.run

    def watched(module, X, reading):
        lengths.append(len(X))
        return run(module, X, reading)

    monkeypatch.setattr(gram, "_SUMS_BYTES", 8 * 7 * n_columns)
    monkeypatch.setattr(gram, "_PART_BYTES", 8 * 3 * n_columns)
    monkeypatch.setattr(base, "run", watched)
    parts = skood.GramDetector(net, dtype="float64").fit(X, y)
    np.testing.assert_array_equal(parts.score_samples(A), expected)
    assert parts.offset_ == whole.offset_
    assert max(lengths) == 7 and sum(lengths) == len(X) + len(A)


@pytest.mark.parametrize("kind", ["table", "images"])
def test_a_row_scores_the_same_in_any_company(table, kind):
    X, y, A = (each.astype(np.float32) if each.ndim > 1 else each for each in table)
    net = MLP((4,), 3, hidden=(33, 7))
    if kind == "images":
        rng = np.random.default_rng(0)
        X, A = (rng.random((n, 3, 8, 8), dtype=np.float32) for n in (90, 60))
        net = SmallResNet((3, 8, 8), 3)
    detector = skood.GramDetector(net).fit(X, y)
    scores = detector.score_samples(A)
    alone = np.concatenate([detector.score_samples(row[None]) for row in A[:9]])
    np.testing.assert_array_equal(alone, scores[:9])
    np.testing.assert_array_equal(detector.score_samples(A[::-1]), scores[::-1])


def test_a_memory_keeps_the_sums(table, tmp_path, monkeypatch):
    X, y, A = table
    net = network()
    detector = skood.GramDetector(net, dtype="float64", memory=str(tmp_path))
    first = detector.fit(X, y).score_samples(A)
    monkeypatch.setattr(base, "run", None)  # that would run the network
    again = detector.set_params(contamination=0.2).fit(X, y).score_samples(A)
    np.testing.assert_array_equal(again, first)
    monkeypatch.undo()
    other = detector.set_params(powers=(1,)).fit(X, y).score_samples(A)
    assert (other != first).any()


# ---- the layers


class Odd(nn.Module):
    """Layers that are called twice, never, and overwritten in place."""

    def __init__(self):
        super().__init__()
        self.body, self.unused = nn.Linear(4, 4), nn.Linear(4, 4)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.relu(self.body(self.relu(self.body(x)))))


def test_by_default_all_layers_before_the_head_are_read(table):
    X, y, _ = table
    detector = skood.GramDetector(network(), dtype="float64").fit(X, y)
    assert detector.layers_ == ["hidden.0", "hidden.2"]
    net = SmallResNet((3, 8, 8), 3)
    assert len(inner_layers(net, torch.rand(2, 3, 8, 8))) == sum(
        isinstance(module, nn.Conv2d) for module in net.modules()
    )
    assert inner_layers(Odd(), torch.rand(2, 4)) == ["body"]


def test_an_output_is_read_before_it_is_overwritten():
    net, x = Odd().eval(), torch.randn(6, 4)
    layers = Layers(("body", "head"), lambda maps: maps[:, :, 0].clone())
    logits, (body, head) = forward_layers(net, x, layers)
    torch.testing.assert_close(body, net.body(net.body(x).relu()))
    assert (body < 0).any()
    torch.testing.assert_close(head, logits)
    assert not any(module._forward_hooks for module in net.modules())


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(2, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.body(x.view(-1, 2, 2)).relu().mean(1))


def test_the_units_of_a_linear_layer_are_its_channels(table):
    X, y, _ = table
    net = Tokens().double()
    _, (sums,) = forward_layers(net, torch.from_numpy(X), Layers(("body",), gram.GramSums((1, 2))))
    assert sums.shape == (90, 2 * 5)
    maps = net.body(torch.from_numpy(X[:1]).view(-1, 2, 2))[0].T.detach().numpy()
    expected = np.concatenate([sums_of(maps, p) for p in (1, 2)])
    np.testing.assert_allclose(sums[0].detach(), expected, rtol=1e-9)
    skood.GramDetector(net, dtype="float64").fit(X, y)


def test_layers_by_name(table):
    X, y, A = table
    net = network()
    named, default = (
        skood.GramDetector(net, layers=layers, dtype="float64").fit(X, y)
        for layers in (["hidden.2", "hidden.0"], None)
    )
    assert named.layers_ == ["hidden.2", "hidden.0"]
    np.testing.assert_allclose(named.score_samples(A), default.score_samples(A), rtol=1e-9)
    skood.GramDetector(net, layers=["head"], dtype="float64").fit(X, y)


class Bare(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(x)


@pytest.mark.parametrize(("net", "params", "match"), [
    (Odd(), {"layers": ["bdy"]}, "layers='bdy' is no layer of module; it has"),
    (Odd(), {"layers": ["unused"]}, "layers holds 'unused', which module.x. never calls"),
    (Odd(), {"layers": []}, "layers is empty: name at least one layer"),
    (Odd(), {"layers": "body"}, "'layers' parameter"),
    (Bare(), {}, "calls no convolution or Linear layer before its head: pass layers"),
    (Odd(), {"powers": (0, 1)}, r"powers must be integers of at least 1, got \(0, 1\)"),
    (Odd(), {"powers": (1.5,)}, "powers must be integers of at least 1"),
    (Odd(), {"powers": ()}, "powers must be integers of at least 1"),
    (Odd(), {"powers": 3}, "'powers' parameter"),
])
def test_what_cannot_be_read_is_refused(table, net, params, match):
    X, y, _ = table
    detector = skood.GramDetector(net, **params)
    with pytest.raises(ValueError, match=match):
        detector.fit(X.astype(np.float32), y)
    assert not hasattr(detector, "offset_")
    assert not any(module._forward_hooks for module in net.modules())


def test_activations_beyond_floats_are_pointed_out(table):
    X, y, _ = table
    with pytest.raises(ValueError, match="no finite score"):
        skood.GramDetector(network().float()).fit(X.astype(np.float32) * 1e36, y)


def test_rows_that_are_all_alike_have_no_deviation():
    net = network()
    detector = skood.GramDetector(net, dtype="float64").fit(np.ones((5, 4)))
    np.testing.assert_array_equal(detector.score_samples(np.ones((2, 4))), 0)
    assert detector.score_samples(np.full((1, 4), 3.0)) < 0
