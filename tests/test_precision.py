"""bfloat16 on request: what runs in it, what never does, and how far scores move."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

import skood
from skood import WOODSDetector
from skood.engine.attack import Attack, held_still
from skood.engine.inference import predict_logits
from skood.engine.pool import OutlierPool
from skood.engine.precision import forward
from skood.engine.selection import MinedSelection
from skood.exposure.constraining import ConstrainedLoss
from skood.metrics import auroc
from skood.model_selection import OODScorer
from skood.nn import MLP, DenseNet, SmallResNet, WideResNet
from skood.robustness import evaluate_robustness
from skood.sampling import informative
from skood.scores import abstention

from .instances import make_training as make

FAST = {"max_epochs": 2, "batch_size": 16, "random_state": 0}
NAMES = [name for name in make() if "float64" not in name and "defaults" not in name]
N = 333
NETS = {
    "MLP": (MLP, (20,)),
    "MLP-odd-widths": (lambda *args: MLP(*args, hidden=(33, 7)), (5,)),
    "SmallResNet": (SmallResNet, (3, 32, 32)),
    "SmallResNet-8x8": (SmallResNet, (1, 8, 8)),
    "WideResNet": (lambda *args: WideResNet(*args, depth=10, width=2), (3, 16, 16)),
    "DenseNet": (lambda *args: DenseNet(*args, depth=10), (3, 16, 16)),
}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=120)
    X = (rng.normal(size=(120, 4)) + 3 * np.eye(3, 4)[y]).astype(np.float32)
    return X, y, rng.uniform(-6, 6, size=(600, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    X, A = rng.random((2, 96, 1, 8, 8), dtype=np.float32)
    return X[:40], rng.integers(3, size=40), A


def fit(detector, data):
    X, y, A = data
    return detector.fit(X, y, X_aux=(A,))


def oe(**params):
    return skood.OutlierExposureDetector(**FAST | params)


@contextmanager
def products():
    """Collect the dtype of what each linear and convolutional layer returns, and its mode.

    Batches of two are left out: on so many a network is tried before it is trained.
    """
    seen = set()

    def note(layer, args, out):
        if isinstance(layer, (nn.Linear, nn.Conv2d)) and len(out) > 2:
            seen.add((layer.training, out.dtype))

    with register_module_forward_hook(note):
        yield seen


def autocast_state():
    return (
        torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu"),
        torch.is_autocast_cache_enabled(),
    )


@pytest.fixture(params=[torch.bfloat16, torch.float16], ids=str)
def unchanged(request):
    """Hold a test to leave autocast as it was, its usual dtype or another."""
    usual = torch.get_autocast_dtype("cpu")
    torch.set_autocast_dtype("cpu", request.param)
    before = autocast_state()
    yield
    after = autocast_state()
    torch.set_autocast_dtype("cpu", usual)
    assert after == before == (False, request.param, True)


# ---- what is computed in which precision


@pytest.mark.parametrize("name", NAMES)
def test_losses_scores_and_objectives_get_float32(name, table, monkeypatch):
    detector = make()[name].set_params(precision="bf16")
    seen = {"_loss": set(), "_score": set(), "_objective": set()}

    def spied(method, original):
        def call(self, *args):
            floats = [a for a in args if str(a.dtype).removeprefix("torch.")[:2] in ("fl", "bf")]
            seen[method].update(str(a.dtype).removeprefix("torch.") for a in floats)
            return original(self, *args)

        return call

    of_the_class = {method: (type(detector), method) for method in seen}
    if isinstance(detector, WOODSDetector):  # its loss has a state of its own
        of_the_class["_loss"] = ConstrainedLoss, "forward"
    for method, (owner, attribute) in of_the_class.items():
        monkeypatch.setattr(owner, attribute, spied(method, getattr(owner, attribute)))
    fit(detector, table).score_samples(table[2])
    assert seen["_loss"] == seen["_score"] == {"float32"}
    # ACET with labels climbs another function than the objective of its score.
    assert seen["_objective"] == ({"float32"} if name.startswith("ATOM") else set())


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("name", NAMES)
def test_products_of_training_and_scoring_run_in_it(name, precision, table):
    detector = make()[name].set_params(precision=precision)
    dtype = {"float32": torch.float32, "bf16": torch.bfloat16}[precision]
    with products() as seen:
        fit(detector, table)
    assert seen == {(True, dtype), (False, dtype)}
    with products() as seen:
        detector.score_samples(table[0])
    assert seen == {(False, dtype)}


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("Detector", [skood.OutlierExposureDetector, skood.ATOMDetector])
def test_convolutions_of_training_run_in_it(Detector, precision, images):
    detector = Detector(precision=precision, module__width=4, **FAST)
    dtype = {"float32": torch.float32, "bf16": torch.bfloat16}[precision]
    with products() as seen:
        fit(detector, images)
    assert seen == {(True, dtype), (False, dtype)}


@pytest.mark.parametrize("name", NAMES)
def test_weights_and_statistics_stay_in_float32(name, images):
    params = {k: v for k, v in make()[name].get_params().items() if k != "module__hidden"}
    params |= {"precision": "bf16", "module__width": 4}
    if "bounds" in params:
        params |= {"eps": "auto", "bounds": "auto"}
    tensors = fit(type(make()[name])(**params), images).module_.state_dict().values()
    assert {t.dtype for t in tensors if t.is_floating_point()} == {torch.float32}


@pytest.mark.parametrize("Detector", [skood.OutlierExposureDetector, skood.NTOMDetector])
def test_token_nets_run_in_it_too(Detector):
    class OfTokens(nn.Module):
        def __init__(self, input_shape, n_outputs):
            super().__init__()
            self.embed, self.head = nn.Embedding(9, 4), nn.Linear(4, n_outputs)

        def forward(self, x):
            return self.head(self.embed(x).mean(1))

    X, A = np.random.default_rng(0).integers(9, size=(2, 300, 5))
    X, y = X[:60], np.arange(60) % 2
    detector = Detector(OfTokens, dtype="int64", precision="bf16", **FAST)
    with products() as seen:
        fit(detector, (X, y, A))
    assert {dtype for _, dtype in seen} == {torch.bfloat16}
    assert detector.score_samples(X).dtype == np.float64


def test_forward_returns_float32_or_wider():
    net, x = MLP((4,), 3).eval(), torch.rand(5, 4)
    assert forward(net, x, "bf16").dtype == forward(net, x, "float32").dtype == torch.float32
    assert torch.equal(forward(net, x, "float32"), net(x))
    assert forward(net.double(), x.double(), "bf16").dtype == torch.float64


# ---- scores


@pytest.mark.parametrize("name", NETS)
def test_a_row_has_the_same_logits_alone_and_in_company(name, monkeypatch):
    build, shape = NETS[name]
    net = build(shape, 10).eval()
    X = np.random.default_rng(0).random((N, *shape), dtype=np.float32)
    whole = predict_logits(net, X, "float32", "bf16")
    for rows in (slice(0, 1), slice(332, 333), slice(17, 18), slice(3, 10), slice(100, 333)):
        np.testing.assert_array_equal(predict_logits(net, X[rows], "float32", "bf16"), whole[rows])
    np.testing.assert_array_equal(predict_logits(net, X[::-1], "float32", "bf16"), whole[::-1])
    for n_bytes in (1, 2**16, 2**24):
        monkeypatch.setattr("skood.engine.inference._LARGEST_BYTES", n_bytes)
        np.testing.assert_array_equal(predict_logits(net, X, "float32", "bf16"), whole)


@pytest.mark.parametrize("kind", ["table", "images"])
@pytest.mark.parametrize("Detector", [skood.OutlierExposureDetector, skood.ATOMDetector])
def test_scores_are_float64_and_a_rows_own(Detector, kind, request):
    data = request.getfixturevalue(kind)
    detector = fit(Detector(precision="bf16", **FAST), data)
    scores = detector.score_samples(data[2])
    assert scores.dtype == np.float64
    alone = np.concatenate([detector.score_samples(row[None]) for row in data[2][:20]])
    np.testing.assert_array_equal(alone, scores[:20])
    np.testing.assert_array_equal(detector.score_samples(data[2][5:40]), scores[5:40])


def digits(as_images):
    """Return seven classes, three held back, and noise to train against."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32).reshape(-1, *((1, 8, 8) if as_images else (64,)))
    known = y < 7
    A = np.random.default_rng(0).random((2000, *X.shape[1:]), dtype=np.float32)
    return (X[known], y[known], A), X[~known]


# Measured: largest and mean change of a score, as shares of the range of all scores, and of AUROC.
CLOSE = {
    # .0098, .0009, .0001
    "table-OE": (False, skood.OutlierExposureDetector(max_epochs=10, random_state=0)),
    # .0042, .0011, .0004
    "table-Energy": (False, skood.EnergyExposureDetector(max_epochs=10, random_state=0)),
    # .0093, .0001, .0002
    "table-ATOM": (False, skood.ATOMDetector(max_epochs=10, random_state=0)),
    # .0044, .0002, .0003
    "table-SOFL": (False, skood.SOFLDetector(max_epochs=10, random_state=0)),
    # .0125, .0011, .0000; after ten epochs .0217, .0013
    "images-OE": (True, skood.OutlierExposureDetector(max_epochs=3, random_state=0)),
}


@pytest.mark.parametrize("name", CLOSE)
def test_scores_are_near_those_of_the_same_weights_in_float32(name):
    as_images, detector = CLOSE[name]
    (X, y, A), X_ood = digits(as_images)
    detector = clone(detector).fit(X, y, X_aux=(A,))
    everything, truth = np.r_[X, X_ood], np.r_[np.ones(len(X)), -np.ones(len(X_ood))]
    exact = detector.score_samples(everything)
    rough = detector.set_params(precision="bf16").score_samples(everything)
    change = np.abs(rough - exact) / np.ptp(exact)
    assert 0 < change.max() <= 0.03
    assert change.mean() <= 0.002
    assert abs(auroc(truth, rough) - auroc(truth, exact)) <= 0.001


def test_a_net_trained_in_it_detects_as_well():
    (X, y, A), X_ood = digits(as_images=False)
    train = np.arange(len(X)) % 4 > 0
    truth = np.r_[np.ones((~train).sum()), -np.ones(len(X_ood))]
    values = {}
    for precision in ("float32", "bf16"):
        detector = skood.OutlierExposureDetector(
            max_epochs=10, random_state=0, precision=precision
        ).fit(X[train], y[train], X_aux=(A,))
        found = auroc(truth, detector.score_samples(np.r_[X[~train], X_ood]))
        values[precision] = found, (detector.predict_class(X[~train]) == y[~train]).mean()
    # AUROC and accuracy, of which the first moved by .0004 and the second not at all.
    np.testing.assert_allclose(values["bf16"], values["float32"], rtol=0, atol=0.01)


def test_fits_in_it_are_reproducible(images):
    first, second = (fit(oe(precision="bf16"), images).score_samples(images[2]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - fit(oe(), images).score_samples(images[2])).max() > 0


# ---- attacks and mining


@pytest.mark.parametrize("name", ["MLP", "SmallResNet-8x8"])
def test_attacks_stay_in_the_ball_and_never_do_worse_than_nothing(name):
    build, shape = NETS[name]
    net = build(shape, 4)
    x = torch.rand(24, *shape)
    eps = 8 / 255
    attack = Attack(
        net, lambda logits: abstention(logits, log_odds=True), eps, eps / 4, 5, (0.0, 1.0), None,
        precision="bf16",
    )
    with products() as seen:
        moved = attack(x)
    assert seen == {(False, torch.bfloat16)}
    assert moved.dtype == torch.float32
    assert (moved - x).abs().max() <= eps + 1e-7
    assert moved.min() >= 0 and moved.max() <= 1
    with torch.no_grad(), held_still(net):
        before, after = (attack.objective(forward(net, z, "bf16")) for z in (x, moved))
    assert (after >= before).all()
    assert (after > before).float().mean() > 0.9


class Noting(skood.ATOMDetector):
    """Notes what the perturbation of a training batch made of it."""

    pairs: list = []

    def _perturbation(self):
        perturb = super()._perturbation()

        def noted(x_out):
            self.pairs.append((x_out, perturb(x_out)))
            return self.pairs[-1][1]

        return noted


@pytest.mark.parametrize("kind", ["table", "images"])
def test_attacks_in_training_stay_in_the_ball(kind, request, monkeypatch):
    monkeypatch.setattr(Noting, "pairs", [])
    detector = fit(Noting(precision="bf16", **FAST), request.getfixturevalue(kind))
    assert Noting.pairs
    for x, moved in Noting.pairs:
        half = len(x) // 2
        assert torch.equal(moved[:half], x[:half])
        change = (moved - x).abs().flatten(1).max(1).values
        assert (change <= detector.eps_ + 1e-6).all()  # x + delta, of a table up to 6, rounds
        assert (change[half:] > 0).all()
        if detector.bounds_ is not None:
            assert moved.min() >= 0 and moved.max() <= 1


def test_mining_ranks_by_the_scores_in_it():
    net = MLP((4,), 3).eval()
    X = np.random.default_rng(0).normal(size=(500, 4)).astype(np.float32)

    def confidence(logits):
        assert logits.dtype == np.float32
        return -abstention(logits)

    selection = MinedSelection(
        net, OutlierPool([X], "float32"), confidence, lambda c, n: informative(c, n, 0.1),
        n_candidates=500, n_kept=100, dtype="float32", precision="bf16",
        rng=np.random.default_rng(0), keeps_index=True,
    )
    with products() as seen:
        drawn = np.concatenate(selection.candidates([100]))
    assert seen == {(False, torch.bfloat16)}
    expected = informative(-abstention(predict_logits(net, X, "float32", "bf16")), 100, 0.1)
    np.testing.assert_array_equal(selection.record["kept_index"], expected)
    np.testing.assert_array_equal(np.sort(drawn), expected)


def test_the_robust_evaluation_attacks_what_scores(table):
    X, _, A = table
    detector = fit(skood.ATOMDetector(precision="bf16", **FAST), table)
    far = A[np.abs(A).max(1) > 4][:60]
    with products() as seen:
        report = evaluate_robustness(
            detector, X, {"far": far}, attacks=("natural", "linf"), eps=0.5, step_size=0.1,
            n_steps=5, bounds=None,
        )
    assert seen == {(False, torch.bfloat16)}
    natural, attacked = (report.loc[(attack, "far"), "auroc"] for attack in ("natural", "linf"))
    assert attacked < natural


# ---- parameters


@pytest.mark.parametrize("name", NAMES)
def test_double_precision_rules_it_out(name, table):
    detector = fit(make()[name], table)
    before = detector.score_samples(table[0])
    refused = clone(detector).set_params(dtype="float64", precision="bf16")
    with pytest.raises(ValueError, match=r"precision='bf16'.*dtype='float64'.*use dtype='float32'"):
        fit(refused, table)
    assert not [attribute for attribute in vars(refused) if attribute.endswith("_")]
    detector.set_params(dtype="float64", precision="bf16")
    with pytest.raises(ValueError, match="precision='bf16'"):
        fit(detector, table)
    detector.set_params(**{k: make()[name].get_params()[k] for k in ("dtype", "precision")})
    np.testing.assert_array_equal(detector.score_samples(table[0]), before)


@pytest.mark.parametrize("precision", ["fp16", "bfloat16", None, torch.bfloat16, 16])
def test_another_precision_is_refused(precision, table):
    with pytest.raises(ValueError, match="'precision' parameter of OutlierExposureDetector") as e:
        fit(oe(precision=precision), table)
    assert "'bf16'" in str(e.value) and "'float32'" in str(e.value)
    assert repr(precision) in str(e.value)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_clone_and_files(name, table):
    detector = make()[name].set_params(precision="bf16")
    assert detector.get_params()["precision"] == clone(detector).precision == "bf16"
    loaded = pickle.loads(pickle.dumps(fit(detector, table)))
    assert loaded.precision == "bf16"
    np.testing.assert_array_equal(
        loaded.score_samples(table[2]), detector.score_samples(table[2])
    )
    again = fit(clone(loaded), table)
    np.testing.assert_array_equal(again.score_samples(table[2]), detector.score_samples(table[2]))


def test_a_search_compares_both(table):
    X, y, A = table
    search = GridSearchCV(
        oe(max_epochs=10), {"precision": ["float32", "bf16"]}, scoring=OODScorer(A[:100]),
        refit="auroc", cv=StratifiedKFold(2), error_score="raise",
    ).fit(X, y, X_aux=(A,))
    found = search.cv_results_["mean_test_auroc"]
    assert found[0] != found[1]
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=0.01)


# ---- the caller's autocast


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("name", ["OE", "NTOM", "ATOM"])
def test_autocast_is_left_as_it_was(name, precision, table):
    detector = make()[name].set_params(precision=precision)
    before = autocast_state()
    fit(detector, table)
    assert autocast_state() == before
    detector.score_samples(table[0])


class Failing(MLP):
    """Fails in its second training batch."""

    def __init__(self, input_shape, n_outputs):
        super().__init__(input_shape, n_outputs)
        self.n_batches = 0

    def forward(self, x):
        self.n_batches += self.training
        if self.n_batches == 2:
            raise RuntimeError("no second batch")
        return super().forward(x)


class Blind(MLP):
    """Fails where it scores more than a few rows: after the training."""

    def forward(self, x):
        if not self.training and len(x) > 2:
            raise RuntimeError("not to be scored")
        return super().forward(x)


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("detector", "error"), [
        (oe(module=Failing, precision="bf16"), "no second batch"),
        (oe(module=Blind, precision="bf16"), "not to be scored"),
        (oe(lr=1e30, optimizer="sgd", precision="bf16"), "diverged"),
        (skood.ATOMDetector(module=Blind, precision="bf16", **FAST), "not to be scored"),
    ],
    ids=["in-training", "in-scoring", "diverged", "in-mining"],
)
def test_autocast_is_left_as_it_was_when_a_fit_fails(detector, error, table):
    with pytest.raises((RuntimeError, ValueError), match=error):
        fit(detector, table)


@pytest.mark.parametrize("outer", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("kind", ["table", "images"])
def test_scores_do_not_depend_on_an_autocast_around_them(kind, precision, outer, request):
    data = request.getfixturevalue(kind)
    detector = fit(oe(precision=precision), data)
    expected = detector.score_samples(data[2])
    with torch.autocast("cpu", outer):
        inside = autocast_state()
        np.testing.assert_array_equal(detector.score_samples(data[2]), expected)
        assert autocast_state() == inside
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(
    ("name", "outer"), [
        ("OE", torch.bfloat16), ("OE", torch.float16), ("Energy", torch.bfloat16),
        ("NTOM", torch.bfloat16), ("ATOM", torch.float16), ("SOFL", torch.bfloat16),
    ],
)
def test_nets_learn_inside_an_autocast(name, outer, precision, table):
    # torch keeps weights in the lower precision until the outermost autocast ends: steps of the
    # optimizer would then change nothing that the network computes.
    detector = make()[name].set_params(precision=precision, max_epochs=10, lr=0.01)
    losses = [row["train_loss"] for row in fit(clone(detector), table).history_]
    with torch.autocast("cpu", outer):
        found = [row["train_loss"] for row in fit(detector, table).history_]
    np.testing.assert_allclose(found, losses, rtol=0.02)
    assert abs(losses[-1] - losses[0]) > 0.1 * losses[0]  # else nothing would show


def test_a_fit_in_it_is_the_same_inside_an_autocast_of_the_same(table):
    expected = fit(oe(precision="bf16"), table).score_samples(table[2])
    with torch.autocast("cpu", torch.bfloat16):
        found = fit(oe(precision="bf16"), table).score_samples(table[2])
    np.testing.assert_array_equal(found, expected)


def test_a_trained_net_is_fine_tuned_and_widened_inside_an_autocast(table):
    net = fit(oe(), table).module_
    with torch.autocast("cpu", torch.bfloat16):
        detector = fit(skood.NTOMDetector(net, precision="bf16", **FAST), table)
    assert np.isfinite(detector.score_samples(table[2])).all()
    assert detector.module_(torch.zeros(1, 4)).shape == (1, 4)


def test_threads_of_both_precisions_do_not_meet(images):
    exact = fit(oe(), images)
    rough = copy.deepcopy(exact).set_params(precision="bf16")
    expected = [d.score_samples(images[2]) for d in (exact, rough)]
    assert (expected[0] != expected[1]).any()
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda d: d.score_samples(images[2]), [exact, rough] * 12))
    for scores, alone in zip(found, expected * 12, strict=True):
        np.testing.assert_array_equal(scores, alone)
