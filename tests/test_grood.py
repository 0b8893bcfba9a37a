"""GROOD: the gradient against autograd, the score in plain loops, the prototype of outliers."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

import skood
from skood.nn import MLP
from skood.posthoc import Classifier, grood


@pytest.fixture(scope="module")
def table():
    """Three classes that overlap a little, and outliers around them."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=120)
    X = rng.normal(size=(120, 4)) + 2 * np.eye(3, 4)[y]
    return X, y, rng.uniform(-6, 6, size=(80, 4))


@pytest.fixture(scope="module")
def net(table):
    """A network trained on the table, that gets some of it wrong."""
    X, y, _ = table
    return Classifier(max_epochs=5, dtype="float64", random_state=0).fit(X, y).module_


def make(net, **params):
    return skood.GROODDetector(net, **({"dtype": "float64", "random_state": 0} | params))


def features_of(net, X):
    with torch.no_grad():
        return net.hidden(torch.from_numpy(X)).numpy()


# ---- the formula


def test_the_gradient_is_that_of_autograd(table, net):
    X, y, A = table
    detector = make(net).fit(X, y, X_aux=(A,))
    prototypes = torch.from_numpy(detector._prototypes)
    features, predicted = features_of(net, A), net(torch.from_numpy(A)).argmax(1)
    gradients = detector._gradients(features)
    for h, c, gradient in zip(torch.from_numpy(features), predicted, gradients, strict=True):
        outlier = prototypes[-1].clone().requires_grad_()
        logits = -(h - torch.cat([prototypes[:-1], outlier[None]])).norm(dim=1)
        loss = F.cross_entropy(logits[None], c[None])
        expected, = torch.autograd.grad(loss, outlier)
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-15)


class Plain:
    """The method, row by row."""

    def __init__(self, net, X, y, outliers):
        h, self.net = features_of(net, X), net
        predicted = net(torch.from_numpy(X)).argmax(1).numpy()
        self.classes = [
            sum(h[i] for i in range(len(X)) if y[i] == c) / sum(y == c) for c in sorted(set(y))
        ]
        self.outlier = sum(features_of(net, outliers)) / len(outliers)
        self.rows = range(len(X))
        self.right = [i for i in self.rows if predicted[i] == y[i]]
        self.train = [self.gradient(row) for row in h]

    def gradient(self, h):
        distances = [np.linalg.norm(h - prototype) for prototype in (*self.classes, self.outlier)]
        weights = [np.exp(-distance) for distance in distances]
        return weights[-1] / sum(weights) * (h - self.outlier) / distances[-1]

    def score(self, gradient, without=None):
        return -min(
            np.linalg.norm(gradient - self.train[i]) for i in self.right if i != without
        )

    def scores(self, X):
        return [self.score(self.gradient(h)) for h in features_of(self.net, X)]


@pytest.mark.parametrize("given", [True, False])
def test_the_score_is_the_formula_in_plain_loops(table, net, given):
    X, y, A = table
    outliers = A
    if not given:
        rng = np.random.default_rng(0)
        some = rng.permutation(len(X))
        outliers = (X[some] + X[grood.partners(some, y, rng)]) / 2
    plain = Plain(net, X, y, outliers)
    assert 0 < len(plain.right) < len(X)
    detector = make(net).fit(X, y, X_aux=(A,) if given else None)
    np.testing.assert_allclose(detector.score_samples(A), plain.scores(A), rtol=1e-6)
    left_out = [plain.score(plain.train[i], without=i) for i in plain.rows]
    np.testing.assert_allclose(detector.score_samples(X), left_out, rtol=1e-6)
    assert detector.offset_ == pytest.approx(np.percentile(left_out, 5), rel=1e-6)


def test_outliers_score_lower_and_new_rows_are_seldom_refused():
    """Outliers between the classes, and a threshold by rows that are not their own neighbours."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=800)
    X = (rng.normal(size=(800, 4)) * 0.5 + 3 * np.eye(3, 4)[y]).astype(np.float32)
    A = (rng.normal(size=(800, 4)) * 0.5 + [1, 1, 1, 0]).astype(np.float32)
    estimator = Classifier(max_epochs=20, random_state=0)
    for X_aux in (None, (A[:400],)):
        detector = skood.GROODDetector(estimator, random_state=0)
        detector.fit(X[:400], y[:400], X_aux=X_aux)
        both = np.concatenate([X[400:], A[400:]])
        assert roc_auc_score(np.repeat([1, 0], 400), detector.score_samples(both)) > 0.95
        assert 0.01 < (detector.predict(X[400:]) < 0).mean() < 0.12
        assert (detector.predict(X[:400]) < 0).mean() == pytest.approx(0.05, abs=0.01)


def test_a_row_at_the_prototype_of_outliers_has_no_direction(table, net):
    X, y, A = table
    detector = make(net).fit(X, y, X_aux=(np.repeat(A[:1], 5, axis=0),))
    assert np.isfinite(detector.score_samples(A)).all()


# ---- the prototype of outliers


def test_outliers_may_come_in_any_way(table, net, monkeypatch):
    X, y, A = table
    expected = make(net).fit(X, y, X_aux=(A,)).score_samples(A)
    dataset = TensorDataset(torch.from_numpy(A))
    for X_aux in (A, (A[:30], A[30:]), dataset):
        scores = make(net).fit(X, y, X_aux=X_aux).score_samples(A)
        np.testing.assert_allclose(scores, expected, rtol=1e-9)
    stacked = make(net).fit(np.concatenate([X, A]), np.append(y, np.full(len(A), -1)))
    np.testing.assert_allclose(stacked.score_samples(A), expected, rtol=1e-9)
    monkeypatch.setattr(grood, "_N_READ", 7)
    in_blocks = make(net).fit(X, y, X_aux=(A,))
    np.testing.assert_allclose(in_blocks.score_samples(A), expected, rtol=1e-9)


def test_partners_are_of_another_class_and_all_of_them_come():
    rng = np.random.default_rng(0)
    y = np.array([2, 0, 0, 4, 2, 2, 0, 4])
    index = np.repeat(np.arange(8), 500)
    found = grood.partners(index, y, rng)
    assert (y[found] != y[index]).all()
    for i in range(8):
        often = np.bincount(found[index == i], minlength=8)
        np.testing.assert_array_equal(often > 0, y != y[i])
        assert often.max() < 2 * often[often > 0].min()
    alone = grood.partners(index, np.zeros(8, dtype=int), rng)
    assert (alone != index).all() and set(alone) == set(range(8))


def test_mixing_is_seeded(table, net):
    X, y, A = table
    first, again, other = (
        make(net, random_state=seed).fit(X, y).score_samples(A) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(again, first)
    assert (other != first).any()
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make(net, random_state=None).fit(X, y)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_at_most_so_many_rows_are_mixed(table, net, monkeypatch):
    X, y, _ = table
    monkeypatch.setattr(grood, "_N_MIXED", 10)
    mixed = make(net)._mixed(X, y)
    assert len(mixed) == 10 and len(set(mixed.one)) == 10


def test_8_bit_images_are_mixed_as_unit_interval():
    X = np.zeros((4, 1, 4, 4), dtype=np.uint8)
    X[2:] = 255
    mixed = skood.GROODDetector()._mixed(X, np.array([0, 0, 1, 1]))
    np.testing.assert_array_equal(mixed[np.arange(4)], np.full((4, 1, 4, 4), 0.5, np.float32))


def test_one_class_is_mixed_with_itself(table):
    X, _, A = table
    one = MLP((4,), 1).double()
    scores = make(one).fit(X).score_samples(A)
    assert np.isfinite(scores).all() and np.ptp(scores) > 0


class Embedded(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(9, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.embedding(x).mean(1))


def test_tokens_are_not_mixed(table):
    _, y, _ = table
    X = np.random.default_rng(0).integers(9, size=(120, 5))
    detector = make(Embedded(), dtype="int64")
    with pytest.raises(ValueError, match="reads int64, of which there is no mean: pass X_aux"):
        detector.fit(X, y)
    assert not hasattr(detector, "offset_")
    assert detector.fit(X, y, X_aux=(X[:20],)).score_samples(X).shape == (120,)


# ---- the rows whose gradients are kept


def test_of_a_network_that_is_always_wrong_all_are_kept(table, net):
    X, _, _ = table
    predicted = net(torch.from_numpy(X)).argmax(1).numpy()
    with pytest.warns(UserWarning, match="classifies no training row correctly"):
        detector = make(net).fit(X, (predicted + 1) % 3)
    assert len(detector._bank) == len(X)


def test_one_row_may_be_the_only_one_that_is_right(table, net):
    X, _, A = table
    predicted = net(torch.from_numpy(X)).argmax(1).numpy()
    y = (predicted + 1) % 3
    y[0] = predicted[0]
    detector = make(net).fit(X, y)
    assert len(detector._bank) == 1
    assert np.isfinite(detector.score_samples(A)).all()
