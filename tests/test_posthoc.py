"""Scores of a trained network: published numbers, identities, peers' faults."""

import sys
import tracemalloc
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.covariance import EmpiricalCovariance
from sklearn.neighbors import NearestNeighbors
from torch import nn

import skood
from skood.engine import inference
from skood.nn import forward_layer
from skood.posthoc import knn
from skood.robustness import evaluate_robustness

from .instances import make_reading
from .networks import Counting, Identity

GOLDEN = np.load(Path(__file__).parent / "reference" / "scores.npz")


class Head(nn.Module):
    """The reference's last layer: its inputs are the features."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(32, 10).double()
        self.fc.weight.data = torch.from_numpy(GOLDEN["fc_weight"])
        self.fc.bias.data = torch.from_numpy(GOLDEN["fc_bias"])

    def forward(self, x):
        return self.fc(x)


def number(name):
    return GOLDEN[name].item()


PUBLISHED = {
    "msp": lambda net: skood.MSPDetector(net, dtype="float64"),
    "max_logit": lambda net: skood.MaxLogitDetector(net, dtype="float64"),
    "energy": lambda net: skood.EnergyDetector(net, dtype="float64"),
    "gen": lambda net: skood.GENDetector(
        net, gamma=number("gen_gamma"), n_largest=number("gen_m"), dtype="float64"
    ),
    "klm": lambda net: skood.KLMatchingDetector(net, dtype="float64"),
    "mahalanobis": lambda net: skood.MahalanobisDetector(net, dtype="float64"),
    "rmds": lambda net: skood.RMDSDetector(net, dtype="float64"),
    "knn_distance": lambda net: skood.KNNDetector(
        net, n_neighbors=number("knn_k"), dtype="float64"
    ),
    "vim": lambda net: skood.ViMDetector(net, n_dims=number("vim_dim"), dtype="float64"),
    "residual": lambda net: skood.ResidualDetector(
        net, n_dims=number("residual_dim"), dtype="float64"
    ),
    "react": lambda net: skood.ReActDetector(
        net, percentile=number("percentile"), dtype="float64"
    ),
    **{
        f"ash_{variant}": lambda net, variant=variant: skood.ASHDetector(
            net, variant=variant, percentile=number("percentile"), dtype="float64"
        )
        for variant in "pbs"
    },
    "scale": lambda net: skood.SCALEDetector(
        net, percentile=number("percentile"), dtype="float64"
    ),
    "dice": lambda net: skood.DICEDetector(net, percentile=number("percentile"), dtype="float64"),
    "gradnorm": lambda net: skood.GradNormDetector(net, dtype="float64"),
    "she": lambda net: skood.SHEDetector(net, dtype="float64"),
    "fdbd": lambda net: skood.FDBDDetector(net, dtype="float64"),
    "nci": lambda net: skood.NCIDetector(net, alpha=number("nci_alpha"), dtype="float64"),
    "nnguide": lambda net: skood.NNGuideDetector(
        net, n_neighbors=number("nnguide_k"), dtype="float64"
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_scores_are_the_published_ones(name):
    detector = PUBLISHED[name](Head()).fit(GOLDEN["features_train"], GOLDEN["labels_train"])
    # NNGuide's reference adds 1e-10 to what it has normalised.
    rtol = 1e-6 if name == "nnguide" else 1e-9
    np.testing.assert_allclose(
        detector.score_samples(GOLDEN["features_test"]), GOLDEN[f"score_{name}"],
        rtol=rtol, atol=1e-9,
    )


@pytest.mark.parametrize(("name", "Detector"), [
    ("mahalanobis_dead", skood.MahalanobisDetector), ("rmds_dead", skood.RMDSDetector),
])
def test_features_that_are_always_0_are_left_out(name, Detector):
    train, test = GOLDEN["features_train"].copy(), GOLDEN["features_test"].copy()
    train[:, GOLDEN["dead_columns"]] = test[:, GOLDEN["dead_columns"]] = 0
    detector = Detector(Head(), dtype="float64").fit(train, GOLDEN["labels_train"])
    np.testing.assert_allclose(detector.score_samples(test), GOLDEN[f"score_{name}"], rtol=1e-8)


# ---- identities


def features_of(net, X):
    with torch.no_grad():
        return net.hidden(torch.from_numpy(X)).numpy()


@pytest.mark.parametrize("temperature", [1e-31, 1e300, 0])
def test_odin_has_no_temperature_beyond_what_its_logits_can_be_divided_by(table, net, temperature):
    X, y, _ = table
    with pytest.raises(ValueError, match=r"'temperature' parameter .*\[1e-30, 1e\+30\]"):
        skood.ODINDetector(net, temperature=temperature).fit(X, y)
    for most in (1e-30, 1e30):
        scores = skood.ODINDetector(net, temperature=most).fit(X, y).score_samples(X)
        assert np.isfinite(scores).all()


def test_odin_without_its_step_and_temperature_is_msp(table, net):
    X, y, A = table
    odin = skood.ODINDetector(net, eps=0, temperature=1).fit(X, y)
    np.testing.assert_array_equal(
        odin.score_samples(A), skood.MSPDetector(net).fit(X, y).score_samples(A)
    )


def test_odin_moves_the_input_towards_its_class(table, net):
    X, y, A = table
    x = torch.from_numpy(A).requires_grad_()
    sureness = torch.log_softmax(net(x) / 100, 1).amax(1)
    moved = x + 0.1 * torch.autograd.grad(sureness.sum(), x)[0].sign()
    expected = torch.softmax(net(moved) / 100, 1).amax(1).detach()
    odin = skood.ODINDetector(net, eps=0.1, temperature=100).fit(X, y)
    np.testing.assert_allclose(odin.score_samples(A), expected, rtol=1e-6)


def test_odin_has_its_gradients_in_inference_mode(table, net):
    X, y, A = table
    expected = skood.ODINDetector(net, eps=0.1).fit(X, y).score_samples(A)
    with torch.inference_mode():
        odin = skood.ODINDetector(net, eps=0.1).fit(X, y)
        np.testing.assert_array_equal(odin.score_samples(A), expected)
        made_here = deepcopy(net)
        odin = skood.ODINDetector(made_here, eps=0.1).fit(X, y)
        np.testing.assert_array_equal(odin.score_samples(A), expected)


def test_odins_batches_on_a_gpu_have_room_for_activations(table, net, monkeypatch):
    X, y, _ = table
    odin, budgets = skood.ODINDetector(net, eps=0.1).fit(X, y), []

    def fitting(watch, on_cpu, on_gpu):
        budgets.append(on_gpu)
        return 64

    monkeypatch.setattr(inference._Watch, "n_fitting", fitting)
    odin.score_samples(X)
    odin.set_params(eps=0).score_samples(X)
    assert budgets == [
        inference._LARGEST_BYTES_OF_GRADIENT_ON_GPU, inference._LARGEST_BYTES_ON_GPU
    ]


@pytest.mark.parametrize("normalize", [False, True])
def test_knn_is_that_of_scikit_learn(table, net, normalize):
    X, y, A = table
    bank, queries = features_of(net, X).astype(float), features_of(net, A).astype(float)
    if normalize:
        bank, queries = (f / np.linalg.norm(f, axis=1)[:, None] for f in (bank, queries))
    distances, _ = NearestNeighbors(n_neighbors=7).fit(bank).kneighbors(queries)
    detector = skood.KNNDetector(net, n_neighbors=7, normalize=normalize).fit(X, y)
    np.testing.assert_allclose(detector.score_samples(A), -distances[:, -1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_rows", [1, 2, 30, 199])
def test_knn_in_parts_is_knn_at_once(monkeypatch, n_rows):
    rng = np.random.default_rng(0)
    queries, bank = rng.normal(size=(50, 5)), rng.normal(size=(200, 5))
    whole = knn.kth_distances(queries, bank, 3), knn.largest_products(queries, bank, 3)
    monkeypatch.setattr(knn, "_N_QUERIES", 7)
    monkeypatch.setattr(knn, "_TILE_BYTES", 8 * 7 * n_rows)  # of the bank at a time
    np.testing.assert_allclose(knn.kth_distances(queries, bank, 3), whole[0], rtol=1e-12)
    np.testing.assert_allclose(knn.largest_products(queries, bank, 3), whole[1], rtol=1e-12)


def peak_bytes(function, *args):
    """Return how much memory NumPy held at most during a call, beyond what it held before."""
    tracemalloc.start()
    try:
        function(*args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_large_bank_is_neither_copied_nor_multiplied_at_once():
    rng = np.random.default_rng(0)
    bank, queries = (rng.normal(size=(n, 32)).astype(np.float32) for n in (200_000, 40))
    assert bank.nbytes > 3 * max(
        peak_bytes(knn.kth_distances, queries, bank, 3),
        peak_bytes(knn.largest_products, queries, bank, 3),
    )


@pytest.mark.parametrize(("Detector", "shape"), [
    (skood.KLMatchingDetector, (100_000, 2, 40)), (skood.SHEDetector, (100_000, 40, 2)),
    (partial(skood.MahalanobisDetector, normalize=True), (100_000, 40, 3)),
])
def test_a_fit_holds_no_second_copy_of_what_the_network_said(Detector, shape):
    n, d, n_classes = shape
    rng, detector = np.random.default_rng(0), Detector()
    features, logits = (
        rng.normal(size=(n, columns)).astype(np.float32) for columns in (d, n_classes)
    )
    detector._ends = []
    said = max(features.nbytes, logits.nbytes)
    assert peak_bytes(detector._learn, logits, features, logits.argmax(axis=1)) < said / 2


def test_faiss_finds_the_same_neighbours(table, net):
    pytest.importorskip("faiss", reason="the extra 'faiss' is not installed")
    X, y, A = table
    scores = [
        skood.KNNDetector(net, n_neighbors=7, engine=engine).fit(X, y).score_samples(A)
        for engine in ("torch", "faiss")
    ]
    np.testing.assert_allclose(*scores, rtol=1e-5)


def test_faiss_that_is_missing_is_said_in_fit(table, net, monkeypatch):
    X, y, _ = table
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r"pip install 'skood\[faiss\]'"):
        skood.KNNDetector(net, engine="faiss").fit(X, y)


def test_mahalanobis_is_that_of_scikit_learn(table):
    X, y, A = table
    means = np.stack([X[y == c].mean(axis=0, dtype=float) for c in range(3)])
    covariance = EmpiricalCovariance(assume_centered=True).fit(X - means[y])
    expected = np.min([
        EmpiricalCovariance.mahalanobis(_centred(covariance, mean), A) for mean in means
    ], axis=0)
    detector = skood.MahalanobisDetector(Identity(4, 3)).fit(X, y)
    np.testing.assert_allclose(detector.score_samples(A), -expected, rtol=1e-5)


def _centred(covariance, mean):
    covariance.location_ = mean
    return covariance


def test_dice_that_drops_no_weight_is_the_energy(table, net):
    X, y, A = table
    np.testing.assert_allclose(
        skood.DICEDetector(net, percentile=0).fit(X, y).score_samples(A),
        skood.EnergyDetector(net).fit(X, y).score_samples(A), rtol=1e-5,
    )


def test_grad_norm_is_the_length_of_the_gradient(table, net):
    X, y, A = table
    exact, expected = deepcopy(net).double().requires_grad_(), []
    for x in torch.from_numpy(A).double():
        loss = -torch.log_softmax(exact(x[None]), 1).sum()
        expected.append(torch.autograd.grad(loss, exact.head.weight)[0].abs().sum().item())
    detector = skood.GradNormDetector(exact, dtype="float64").fit(X.astype(float), y)
    np.testing.assert_allclose(detector.score_samples(A), expected, rtol=1e-10)


def test_a_score_of_ones_own_sees_logits_and_features(table, net):
    X, y, A = table

    def score(logits, features):
        return logits[:, 0] + features.sum(axis=1)

    detector = skood.ScoreDetector(net, score=score).fit(X, y)
    expected = score(net(torch.from_numpy(A)).detach().numpy(), features_of(net, A))
    np.testing.assert_allclose(detector.score_samples(A), expected, rtol=1e-5)
    with pytest.raises(ValueError, match=r"score must return one number a row, shape \(150,\)"):
        skood.ScoreDetector(net, score=lambda logits, features: features).fit(X, y)


@pytest.mark.parametrize(("score", "expected"), [
    (skood.scores.msp, lambda z, h: skood.scores.msp(z)),
    (skood.scores.energy, lambda z, h: skood.scores.energy(z)),
    (partial(skood.scores.energy, temperature=2.0), lambda z, h: skood.scores.energy(z, 2.0)),
    (skood.scores.grad_norm, lambda z, h: skood.scores.grad_norm(h, z)),
    (partial(skood.scores.react, weight=np.eye(8, 64), bias=np.ones(8), threshold=0.5),
     lambda z, h: skood.scores.react(h, np.eye(8, 64), np.ones(8), 0.5)),
    (lambda z: z.max(axis=1), lambda z, h: z.max(axis=1)),
    (lambda a, b: b[:, 0] - a[:, 0], lambda z, h: h[:, 0] - z[:, 0]),
    (lambda features: features[:, 0], lambda z, h: h[:, 0]),
    (lambda features, logits: features[:, 0] - logits[:, 0], lambda z, h: h[:, 0] - z[:, 0]),
    (lambda logits, features=None: features[:, 0], lambda z, h: h[:, 0]),
    (lambda logits, features, /: features[:, 0], lambda z, h: h[:, 0]),
    (lambda a, b, weight=2.0: weight * b[:, 0], lambda z, h: 2 * h[:, 0]),
    (lambda logits, b: b[:, 0], lambda z, h: h[:, 0]),
    (lambda *arrays: arrays[1][:, 0], lambda z, h: h[:, 0]),
    (lambda logits, features, **options: features[:, 0], lambda z, h: h[:, 0]),
])
def test_a_score_is_given_what_it_asks_for(table, net, score, expected):
    X, y, A = table
    detector = skood.ScoreDetector(net, score=score).fit(X, y)
    z, h = net(torch.from_numpy(A)).detach().numpy(), features_of(net, A)
    np.testing.assert_allclose(detector.score_samples(A), expected(z, h), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("score", "names"), [
    (skood.scores.react, "weight, bias, threshold"),
    (lambda logits, *, scale: scale * logits[:, 0], "scale"),
])
def test_a_score_that_needs_more_says_what(table, net, score, names):
    X, y, _ = table
    with pytest.raises(ValueError, match=f"it also needs {names}: fix .* functools.partial"):
        skood.ScoreDetector(net, score=score).fit(X, y)


def test_the_output_of_a_layer_by_name(table, net):
    X, y, A = table
    by_name = skood.KNNDetector(net, feature_layer="hidden").fit(X, y)
    np.testing.assert_array_equal(
        by_name.score_samples(A), skood.KNNDetector(net).fit(X, y).score_samples(A)
    )
    first = skood.KNNDetector(net, feature_layer="hidden.0").fit(X, y)
    assert (first.score_samples(A) != by_name.score_samples(A)).any()
    with pytest.raises(ValueError, match="'hiden' is no layer of module"):
        skood.KNNDetector(net, feature_layer="hiden").fit(X, y)


# ---- Mahalanobis distances in several layers


LAYERS = ["hidden.0", "hidden.2"]


@pytest.mark.parametrize("normalize", [False, True])
def test_several_layers_are_the_sum_of_each(table, net, normalize):
    X, y, A = table

    def scores(layer):
        detector = skood.MahalanobisDetector(net, feature_layer=layer, normalize=normalize)
        return detector.fit(X, y).score_samples(A)

    np.testing.assert_allclose(scores(LAYERS), sum(map(scores, LAYERS)), rtol=1e-12)
    np.testing.assert_array_equal(scores(LAYERS[:1]), scores(LAYERS[0]))
    np.testing.assert_array_equal(scores("all"), scores(LAYERS))


def test_which_layers_are_read_is_told(table, net):
    X, y, _ = table
    for layer, names in ((None, None), ("hidden", ["hidden"]), ("all", LAYERS)):
        assert skood.MahalanobisDetector(net, feature_layer=layer).fit(X, y).layers_ == names


def test_several_layers_of_images_are_averaged_over_positions(images):
    X, y, own = images
    names = ["stem", "stages.0", "stages.2"]
    detector = skood.MahalanobisDetector(own, feature_layer=names).fit(X, y)
    x = torch.from_numpy(X).float() / 255
    with torch.no_grad():
        maps = [forward_layer(own.eval(), x, name)[1].numpy() for name in names]
    expected = 0
    for each in maps:
        means = np.stack([each[y == c].mean(axis=0, dtype=float) for c in range(2)])
        rows = each - means[y]
        inverse = np.linalg.pinv(rows.T @ rows / len(rows), rtol=1e-12, hermitian=True)
        away = each[:, None] - means
        expected = expected - np.einsum("ncd,de,nce->nc", away, inverse, away).min(axis=1)
    np.testing.assert_allclose(detector.score_samples(X), expected, rtol=1e-4)


def test_several_layers_are_read_in_one_pass(table, net):
    X, y, A = table
    own = Counting(net)
    detectors = [
        skood.MahalanobisDetector(
            own, feature_layer=[f"net.{name}" for name in LAYERS], normalize=normalize
        ).fit(X, y)
        for normalize in (False, True)
    ]
    alone = [detector.score_samples(A) for detector in detectors]
    Counting.n_rows = 0
    skood.MSPDetector(own).fit(X, y).score_samples(A)
    once, Counting.n_rows = Counting.n_rows, 0
    skood.MahalanobisDetector(own, feature_layer=[f"net.{n}" for n in LAYERS]).fit(X, y)
    detectors[0].score_samples(A)
    # Two rows more, of which the widths of the layers are known.
    assert Counting.n_rows == once + 2
    Counting.n_rows = 0
    together = skood.score_many(detectors, A)
    assert Counting.n_rows < once / 2
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("layer", "match"), [
    ([], "feature_layer is empty: name at least one layer"),
    (["hiden"], "feature_layer='hiden' is no layer of module; it has"),
    (("hidden.0", 3), "feature_layer=3 is no layer of module; it has"),
])
def test_layers_that_are_none_are_refused(table, net, layer, match):
    X, y, _ = table
    with pytest.raises(ValueError, match=match):
        skood.MahalanobisDetector(net, feature_layer=layer).fit(X, y)


def test_layers_of_tokens_have_their_units_last():
    own = nn.Sequential(
        nn.Linear(6, 8), nn.LayerNorm(8), nn.Flatten(), nn.Linear(40, 2)
    ).requires_grad_(False)
    x = torch.randn(3, 5, 6)
    for name, units in (("0", own[0](x)), ("1", own[:2](x))):
        torch.testing.assert_close(forward_layer(own, x, name)[1], units.mean(1))


@pytest.mark.parametrize("Detector", [skood.MahalanobisDetector, skood.RMDSDetector])
@pytest.mark.parametrize("kind", ["one row of each class", "one value"])
def test_no_spread_is_no_unit_of_distance(Detector, kind):
    X, y = np.eye(3, 4, dtype=np.float32), np.arange(3)
    if kind == "one value":
        X, y = np.ones((30, 4), dtype=np.float32), np.arange(30) % 3
    with pytest.raises(ValueError, match="do not vary within a class"):
        Detector(Identity(4, 3)).fit(X, y)


# ---- features that peers stumble over


@pytest.mark.parametrize("name", make_reading())
@pytest.mark.parametrize("kind", ["constant", "rank-deficient", "fewer rows than features"])
def test_scores_of_degenerate_features_are_finite(name, kind):
    rng = np.random.default_rng(0)
    n = 20 if kind == "fewer rows than features" else 200
    X, y = rng.normal(size=(n, 6)).astype(np.float32), np.arange(n) % 3
    X += 3 * np.eye(3, 6, dtype=np.float32)[y]
    if kind == "constant":
        X[:, 3:] = 1.0
    if kind == "rank-deficient":
        X[:, 3:] = X[:, :3]
    detector = make_reading()[name].set_params(estimator=Wide())
    if "feature_layer" in detector.get_params():
        detector.set_params(feature_layer=None)
    detector.fit(X, y)
    new = np.concatenate([X[:5], rng.normal(size=(5, 6)).astype(np.float32) * 5])
    assert np.isfinite(detector.score_samples(new)).all()


class Wide(nn.Module):
    """Features in plenty, of few inputs; some never fire."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.body, self.head = nn.Linear(6, 64), nn.Linear(64, 3)
        for layer in (self.body, self.head):
            layer.weight.data = torch.randn(layer.weight.shape, generator=generator)
        self.body.bias.data = torch.where(torch.arange(64) < 16, -100.0, 0.0)

    def forward(self, x):
        return self.head(self.body(x).relu())


class Broken(nn.Module):
    """A network that gives, of rows that begin with -7, what is no number."""

    def __init__(self, net, where):
        super().__init__()
        self.hidden, self.head, self.where = net.hidden, net.head, where

    def forward(self, x):
        features, strange = self.hidden(x), x[:, 0] == -7
        if self.where == "features":
            features = features.masked_fill(strange[:, None], torch.inf)
            return self.head(features).nan_to_num(0, 0, 0)
        logits = self.head(features)
        logits[strange, 1] = torch.nan
        return logits


READS_FEATURES = [
    name for name, detector in make_reading().items()
    if detector._reads_features and not isinstance(detector, skood.GramDetector)
]


@pytest.mark.parametrize(("name", "where"), [
    *((name, "logits") for name in make_reading()), *((name, "features") for name in READS_FEATURES)
])
def test_what_is_no_number_is_named(table, net, name, where):
    X, y, A = table
    own = Broken(net, where)
    detector = make_reading()[name].set_params(estimator=own)
    if detector.get_params().get("feature_layer") is not None:
        detector.set_params(feature_layer=None)
    detector.fit(X, y)
    strange = A.copy()
    strange[[8, 60], 0] = -7
    match = "no finite score for 2 of 100 samples, the first at row 8"
    with pytest.raises(ValueError, match=match):
        detector.score_samples(strange)
    with pytest.raises(ValueError, match=match):
        skood.score_many([detector, clone(detector).fit(X, y)], strange)
    strange = X.copy()
    strange[[8, 60], 0] = -7
    with pytest.raises(ValueError, match=match.replace("100", "150")):
        detector.fit(strange, y)


def test_outliers_whose_features_are_no_numbers_are_named(table, net):
    X, y, A = table
    A = A.copy()
    A[3, 0] = -7
    with pytest.raises(ValueError, match="features of X_aux are not finite"):
        skood.GROODDetector(Broken(net, "features")).fit(X, y, X_aux=(A,))


@pytest.mark.parametrize("Detector", [skood.MahalanobisDetector, skood.ViMDetector])
def test_features_too_large_to_be_squared_are_refused(Detector):
    X, y = np.random.default_rng(0).normal(size=(60, 4)) * 1e200, np.arange(60) % 3
    with pytest.raises(ValueError, match="too large to be squared in float64"):
        Detector(Identity(4, 3).double(), dtype="float64").fit(X, y)


def test_a_row_at_the_mean_has_a_finite_fdbd(table, net):
    X, y, _ = table
    detector = skood.FDBDDetector(Identity(4, 3)).fit(X, y)
    detector._mean = X[0].astype(float)
    at_mean, near = detector.score_samples(np.stack([X[0], X[0] + np.float32(0.01)]))
    assert near < at_mean < 1e9


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_distances_do_not_depend_on_the_scale_of_features(scale):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 4)), np.arange(200) % 3
    A = rng.normal(size=(50, 4)) * 3
    for Detector in (skood.MahalanobisDetector, skood.RMDSDetector):
        plain, scaled = (
            Detector(Identity(4, 3).double(), dtype="float64").fit(X * s, y).score_samples(A * s)
            for s in (1, scale)
        )
        np.testing.assert_allclose(scaled, plain, rtol=1e-8)


def test_half_precision_changes_little(table, net):
    X, y, A = table
    for name, detector in make_reading().items():
        if "layer" in str(detector) or name in ("KNN-defaults", "MSP-defaults"):
            continue
        detector.set_params(estimator=net)
        exact, rough = (
            clone(detector).set_params(precision=p, estimator=net).fit(X, y).score_samples(A)
            for p in ("float32", "bf16")
        )
        assert np.corrcoef(exact.argsort().argsort(), rough.argsort().argsort())[0, 1] > 0.97, name


@pytest.mark.parametrize("Detector", [skood.KNNDetector, skood.NNGuideDetector])
def test_more_neighbours_than_rows_are_as_many_as_there_are(table, net, Detector):
    X, y, A = table
    few = slice(20)
    with pytest.warns(UserWarning, match="n_neighbors=30, but X has 20 rows: 20 ") as caught:
        detector = Detector(net, n_neighbors=30).fit(X[few], y[few])
    assert caught[0].filename == __file__
    assert detector.n_neighbors_ == 20
    all_of_them = Detector(net, n_neighbors=20).fit(X[few], y[few])
    np.testing.assert_array_equal(detector.score_samples(A), all_of_them.score_samples(A))


def test_no_row_is_its_own_neighbour(table, net):
    X, y, A = table
    detector = skood.KNNDetector(net, n_neighbors=1).fit(X, y)
    assert (detector.score_samples(X) < 0).all()
    new = X[:50] + np.float32(1e-3)
    assert (detector.predict(new) == 1).mean() > 0.8


def test_neighbours_far_from_0_are_told_apart():
    rng = np.random.default_rng(0)
    bank, queries = (rng.normal(size=(n, 16)) + 1000 for n in (500, 60))
    found = knn.kth_distances(*(a.astype(np.float32) for a in (queries, bank)), 10)
    expected = NearestNeighbors(n_neighbors=10).fit(bank).kneighbors(queries)[0][:, -1]
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_logits_below_0_leave_vim_the_energy(table, net):
    X, y, A = table
    low = deepcopy(net)
    low.head.bias.sub_(100)
    with pytest.warns(UserWarning, match="largest logits are not above 0") as caught:
        detector = skood.ViMDetector(low).fit(X, y)
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(
        detector.score_samples(A), skood.EnergyDetector(low).fit(X, y).score_samples(A)
    )


# ---- images, attacks


@pytest.mark.parametrize("name", make_reading())
def test_images_are_read_by_their_features(images, name):
    X, y, own = images
    detector = make_reading()[name].set_params(estimator=own)
    if "feature_layer" in detector.get_params():
        detector.set_params(feature_layer="stages.0")
    scores = detector.fit(X, y).score_samples(X)
    as_floats = detector.score_samples(X.astype(np.float32) / 255)
    np.testing.assert_allclose(as_floats, scores, rtol=1e-5, atol=1e-6)
    assert np.ptp(scores) > 0


def test_the_maps_of_a_layer_are_averaged():
    own = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    x = torch.randn(5, 3, 8, 8)
    logits, features = forward_layer(own, x, "1")
    assert torch.equal(logits, own(x))
    torch.testing.assert_close(features, own[:2](x).mean((2, 3)))


def test_scores_of_logits_are_attacked_and_others_say_what_to_do(table, net):
    X, y, A = table
    options = {"attacks": ("linf",), "eps": 0.5, "step_size": 0.1, "n_steps": 3, "bounds": None}
    for Detector in (skood.MSPDetector, skood.EnergyDetector, skood.GENDetector):
        report = evaluate_robustness(Detector(net).fit(X, y), X, {"far": A}, **options)
        assert np.isfinite(report.auroc).all()
    with pytest.raises(TypeError, match="no differentiable score of its own; pass objective="):
        evaluate_robustness(skood.KNNDetector(net).fit(X, y), X, {"far": A}, **options)
