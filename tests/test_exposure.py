"""What the methods trained against outliers compute: identities, networks, phases, scores."""

import copy
import warnings

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from sklearn.datasets import load_digits, load_iris
from sklearn.preprocessing import scale
from torch import nn

from skood import EnergyExposureDetector, OutlierExposureDetector, losses
from skood.metrics import auroc
from skood.nn import MLP

FAST = {"max_epochs": 2, "batch_size": 16, "random_state": 0}
BOTH = [OutlierExposureDetector, EnergyExposureDetector]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 40)
    X = (rng.normal(size=(120, 4)) + 4 * np.eye(3, 4)[y]).astype(np.float32)
    return X, y, rng.uniform(-6, 6, size=(200, 4)).astype(np.float32)


def logits(detector, X):
    with torch.no_grad():
        return detector.module_(torch.from_numpy(X)).double().numpy()


# ---- the losses at work: one step of plain gradient descent, by hand


@pytest.mark.parametrize(
    ("make", "loss"),
    [
        (OutlierExposureDetector(beta=0.7), lambda a, y, b: losses.outlier_exposure(a, y, b, 0.7)),
        (
            EnergyExposureDetector(beta=0.2, m_in=-4, m_out=-1, pretrain_epochs=0),
            lambda a, y, b: losses.energy_hinge(a, y, b, -4, -1, 0.2),
        ),
    ],
    ids=["OE", "Energy"],
)
def test_one_step_is_the_gradient_of_the_papers_loss(table, make, loss):
    X, y, A = table
    start = MLP((4,), 3, hidden=(8,)).double()
    make = make.set_params(
        module=start, max_epochs=1, batch_size=120, outlier_ratio=200 / 120, lr=0.5,
        optimizer=torch.optim.SGD, schedule="constant", dtype="float64",
    )
    stepped = make.fit(X, y, X_aux=(A,)).module_
    by_hand = copy.deepcopy(start)
    a, b = (by_hand(torch.from_numpy(each).double()) for each in (X, A))
    loss(a, torch.from_numpy(y), b).backward()
    for after, before in zip(stepped.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(after, before - 0.5 * before.grad, rtol=1e-9, atol=1e-12)


class Watched(nn.Module):
    """A network that notes the size and mode of every training batch it sees."""

    seen: list = []

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.norm = nn.BatchNorm1d(input_shape[0])
        self.head = nn.Linear(input_shape[0], n_outputs)

    def forward(self, x):
        if self.training:
            self.seen.append(len(x))
        return self.head(self.norm(x))


@pytest.mark.parametrize("make", BOTH)
def test_one_joint_forward_a_step(table, make):
    X, y, A = table
    Watched.seen.clear()
    make(Watched, max_epochs=1, pretrain_epochs=0, batch_size=32, outlier_ratio=2).fit(
        X, y, X_aux=(A,)
    )
    assert Watched.seen == [90, 90, 90, 90]  # 30 in-distribution rows and 60 outliers


@pytest.mark.parametrize(("n", "size"), [(40, 8), (320, 20), (2000, 64)])
def test_automatic_batches_are_a_sixteenth_of_the_rows(n, size):
    Watched.seen.clear()
    X = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    OutlierExposureDetector(Watched, max_epochs=1, outlier_ratio=1).fit(X, X[:9] + 5)
    assert len(Watched.seen) == -(-n // size)
    assert max(Watched.seen) == 2 * min(size, -(-n // len(Watched.seen)))


def test_default_parameters_learn_a_small_real_table():
    X, y = load_iris(return_X_y=True)
    X = scale(X)
    known = y != 0
    for make in BOTH:
        learner = make(random_state=0)
        with pytest.warns(UserWarning, match="synthetic"):
            learner.fit(X[known][::2], y[known][::2])
        truth = np.r_[np.ones(50), -np.ones(50)]
        assert auroc(truth, learner.score_samples(np.r_[X[known][1::2], X[~known]])) > 0.8


def test_no_weight_on_the_outliers_of_an_MLP_is_a_plain_classifier(table):
    X, y, A = table
    ignoring = OutlierExposureDetector(beta=0, **FAST).fit(X, y, X_aux=(A,))
    other = OutlierExposureDetector(beta=0, **FAST).fit(X, y, X_aux=(A + 1,))
    np.testing.assert_array_equal(ignoring.score_samples(X), other.score_samples(X))


# ---- the scores


def test_scores_are_their_formulas(table):
    X, y, A = table
    oe = OutlierExposureDetector(**FAST).fit(X, y, X_aux=(A,))
    np.testing.assert_allclose(oe.score_samples(X), softmax(logits(oe, X), axis=1).max(axis=1))
    uniform = OutlierExposureDetector(score="uniform", **FAST).fit(X, y, X_aux=(A,))
    z = logits(uniform, X)
    np.testing.assert_allclose(uniform.score_samples(X), logsumexp(z, axis=1) - z.mean(axis=1))
    energy = EnergyExposureDetector(**FAST).fit(X, y, X_aux=(A,))
    np.testing.assert_allclose(energy.score_samples(X), logsumexp(logits(energy, X), axis=1))


def test_without_labels_X_stands_against_the_outliers(table):
    X, _, A = table
    oe = OutlierExposureDetector(**FAST).fit(X, A)
    np.testing.assert_allclose(oe.score_samples(X), -softmax(logits(oe, X), axis=1)[:, 1])
    energy = EnergyExposureDetector(**FAST).fit(X, A)
    np.testing.assert_allclose(energy.score_samples(X), logits(energy, X)[:, 0])


@pytest.mark.parametrize("make", BOTH)
def test_the_threshold_is_the_contamination_quantile(table, make):
    X, y, A = table
    fitted = make(contamination=0.1, **FAST).fit(X, y, X_aux=(A,))
    scores = fitted.score_samples(X)
    assert scores.dtype == np.float64
    assert fitted.offset_ == np.percentile(scores, 10)
    np.testing.assert_array_equal(fitted.decision_function(X), scores - fitted.offset_)
    assert (fitted.predict(X) == -1).mean() == pytest.approx(0.1)


@pytest.mark.parametrize("make", BOTH)
@pytest.mark.parametrize("labelled", [True, False])
def test_outliers_like_those_seen_are_detected(table, make, labelled):
    X, y, A = table
    unseen = np.random.default_rng(1).uniform(-6, 6, size=(300, 4))
    unseen = unseen[np.linalg.norm(unseen[:, None] - 4 * np.eye(3, 4), axis=2).min(axis=1) > 4]
    learner = make(max_epochs=40, batch_size=16, lr=0.01, random_state=0)
    learner.fit(X, y if labelled else None, X_aux=(A,))
    truth = np.r_[np.ones(len(X)), -np.ones(len(unseen))]
    assert auroc(truth, learner.score_samples(np.r_[X, unseen])) > 0.95


def test_exposure_beats_the_same_net_without_it_on_real_digits():
    X, y = load_digits(return_X_y=True)
    X, known, aux, new = X / 16, y < 6, np.isin(y, [6, 7]), y >= 8
    budget = {"batch_size": 32, "random_state": 0}
    plain = OutlierExposureDetector(max_epochs=0, pretrain_epochs=12, **budget)
    oe = OutlierExposureDetector(max_epochs=12, score="uniform", **budget)
    energy = EnergyExposureDetector(max_epochs=6, **budget)
    results = []
    for learner in (plain, oe, energy):
        learner.fit(X[known][::2], y[known][::2], X_aux=(X[aux],))
        test = np.r_[X[known][1::2], X[new]]
        truth = np.where(np.arange(len(test)) < known.sum() // 2, 1, -1)
        results.append(auroc(truth, learner.score_samples(test)))
        assert (learner.predict_class(X[known][1::2]) == y[known][1::2]).mean() > 0.95
    assert results[1] > results[0] + 0.01
    assert results[2] > results[0] + 0.01


# ---- margins of the energy


def test_margins_given_are_used(table):
    X, y, A = table
    fitted = EnergyExposureDetector(m_in=-9.5, m_out=2, **FAST).fit(X, y, X_aux=(A,))
    assert (fitted.m_in_, fitted.m_out_) == (-9.5, 2)


def test_margins_may_be_any_real_numbers(table):
    X, y, A = table
    fitted = EnergyExposureDetector(m_in=np.int64(-3), m_out=True, **FAST).fit(X, y, X_aux=(A,))
    assert (fitted.m_in_, fitted.m_out_) == (-3.0, 1.0)


def test_automatic_margins_are_the_mean_energies_of_the_pretrained_net(table):
    X, y, A = table
    A = np.zeros_like(A)  # what this net is unsure about
    params = FAST | {"max_epochs": 20, "lr": 0.02}
    start = OutlierExposureDetector(**params | {"max_epochs": 0, "pretrain_epochs": 40})
    start = start.fit(X, y, X_aux=(A,)).module_
    fitted = EnergyExposureDetector(start, **params | {"max_epochs": 0}).fit(X, y, X_aux=(A,))
    assert fitted.m_in_ == pytest.approx(-logsumexp(logits(fitted, X), axis=1).mean())
    assert fitted.m_out_ == pytest.approx(-logsumexp(logits(fitted, A), axis=1).mean())
    one = EnergyExposureDetector(start, m_in=-30, **params | {"max_epochs": 0})
    one.fit(X, y, X_aux=(A,))
    assert (one.m_in_, one.m_out_) == (-30, fitted.m_out_)


def test_automatic_margins_lie_a_nat_apart_at_least(table):
    X, y, _ = table
    far = 100 * X[:50]  # where an untrained, or a trained, net has lower energy than on X
    net = MLP((4,), 3)
    fitted = EnergyExposureDetector(net, **FAST | {"max_epochs": 0}).fit(X, y, X_aux=(far,))
    e_in, e_out = (-logsumexp(logits(fitted, each), axis=1).mean() for each in (X, far))
    assert e_out < e_in
    assert fitted.m_out_ - fitted.m_in_ == pytest.approx(1)
    assert fitted.m_out_ + fitted.m_in_ == pytest.approx(e_in + e_out)


@pytest.mark.parametrize("margins", [{"m_in": -5, "m_out": -23}, {"m_out": -50}, {"m_in": 50}])
def test_margins_the_wrong_way_round(table, margins):
    X, y, A = table
    with pytest.raises(ValueError, match="m_in must be below m_out"):
        EnergyExposureDetector(**margins, **FAST).fit(X, y, X_aux=(A,))


# ---- phases


@pytest.mark.parametrize("make", BOTH)
def test_a_fit_that_would_train_nothing(table, make):
    X, y, A = table
    with pytest.raises(ValueError, match="nothing was trained: max_epochs=0"):
        make(max_epochs=0).fit(X, y, X_aux=(A,))
    with (
        pytest.warns(UserWarning, match="pretrain_epochs=2 is passed over"),
        pytest.raises(ValueError, match="for which labels are needed"),
    ):
        make(max_epochs=0, pretrain_epochs=2).fit(X, A)


def test_a_fitted_network_holds_no_gradients(table):
    X, y, A = table
    fitted = OutlierExposureDetector(**FAST).fit(X, y, X_aux=(A,))
    assert all(p.grad is None and not p.requires_grad for p in fitted.module_.parameters())


def test_pretraining_on_single_rows_gets_pairs(table):
    X, y, A = table
    Watched.seen.clear()
    EnergyExposureDetector(Watched, batch_size=1, max_epochs=1, outlier_ratio=1).fit(
        X[::30], y[::30], X_aux=(A,)
    )
    assert Watched.seen == [2, 2, 2, 2, 2, 2]


def test_pretraining_comes_first_and_sees_no_outliers(table):
    X, y, A = table
    Watched.seen.clear()
    fitted = EnergyExposureDetector(
        Watched, pretrain_epochs=1, max_epochs=1, batch_size=60, outlier_ratio=0.5, random_state=0
    ).fit(X, y, X_aux=(A,))
    assert Watched.seen == [60, 60, 90, 90]
    assert [row["phase"] for row in fitted.history_] == ["pretrain", "exposure"]
    assert fitted.n_iter_ == 2
    for row in fitted.history_:
        assert type(row) is dict
        assert isinstance(row["train_loss"], float)
        assert row["dur"] > 0


@pytest.mark.parametrize(
    ("module", "labelled", "phases"),
    [
        (None, True, ["pretrain"] * 2 + ["exposure"] * 2),
        (MLP((4,), 3), True, ["exposure"] * 2),
        (None, False, ["exposure"] * 2),
    ],
    ids=["new", "trained", "unlabelled"],
)
def test_automatic_pretraining(table, module, labelled, phases):
    X, y, A = table
    fitted = EnergyExposureDetector(module, **FAST).fit(X, y if labelled else None, X_aux=(A,))
    assert [row["phase"] for row in fitted.history_] == phases


@pytest.mark.parametrize("make", BOTH)
def test_a_plain_classifier_needs_no_outliers(table, make):
    X, y, A = table
    params = FAST | {"max_epochs": 0, "pretrain_epochs": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = make(**params).fit(X, y)
    beside = make(**params).fit(X, y, X_aux=(A,))
    np.testing.assert_array_equal(alone.score_samples(X), beside.score_samples(X))


def test_progress_is_shown_on_request(table, capfd):
    X, y, A = table
    EnergyExposureDetector(**FAST).fit(X, y, X_aux=(A,))
    assert capfd.readouterr() == ("", "")
    EnergyExposureDetector(verbose=True, **FAST).fit(X, y, X_aux=(A,))
    shown = capfd.readouterr().err
    assert "pretrain" in shown
    assert "exposure: 100%" in shown
    assert "loss=" in shown


def test_the_cosine_schedule_ends_near_zero_and_the_constant_one_does_not(table):
    from skorch.callbacks import Callback

    class Rates(Callback):
        rates: list = []

        def on_batch_begin(self, net, **kwargs):
            self.rates.append(net.optimizer_.param_groups[0]["lr"])

    X, y, A = table
    for schedule, last in (("cosine", 1e-4), ("constant", 0.01)):
        Rates.rates.clear()
        OutlierExposureDetector(
            lr=0.01, schedule=schedule, callbacks=[Rates()], **FAST | {"max_epochs": 10}
        ).fit(X, y, X_aux=(A,))
        assert Rates.rates[0] == 0.01
        assert Rates.rates[-1] == pytest.approx(last, abs=1e-4)


def test_the_papers_optimizer_and_its_overriding(table):
    X, y, A = table
    seen = {}

    class SGD(torch.optim.SGD):
        def __init__(self, params, **kwargs):
            super().__init__(params, **kwargs)
            seen.update(kwargs)

    from skood.engine import net

    defaults = net.OPTIMIZERS["sgd"]
    try:
        net.OPTIMIZERS["sgd"] = (SGD, defaults[1])
        OutlierExposureDetector(
            optimizer="sgd", optimizer__weight_decay=0.1, lr=0.02, **FAST
        ).fit(X, y, X_aux=(A,))
    finally:
        net.OPTIMIZERS["sgd"] = defaults
    assert seen == {"lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"lr": 1e300}, ValueError, r"lr must be at most 1e\+30, got 1e\+300"),
        ({"optimizer__lr": 1e300}, ValueError, r"lr must be at most 1e\+30, got 1e\+300"),
        ({"optimizer": dict}, ValueError, r"optimizer=<class 'dict'> cannot be made .*'sgd'"),
        ({"optimizer": lambda weights: None}, TypeError, "optimizer=<function .* cannot be made"),
        ({"optimizer": lambda weights, lr: lr}, TypeError, "must make an optimizer .* got float"),
        ({"optimizer__weight_decay": "much"}, TypeError, r"optimizer__\* given: .*'str'"),
        ({"optimizer__weight_decay": -1}, ValueError, r"optimizer__\* given: Invalid weight_decay"),
    ],
)
def test_optimizers_that_cannot_be(table, params, error, message):
    X, y, A = table
    with pytest.raises(error, match=message):
        OutlierExposureDetector(**FAST | params).fit(X, y, X_aux=(A,))


def test_a_diverging_training_says_so(table):
    X, y, A = table
    with pytest.raises(ValueError, match=r"training diverged: the loss of epoch \d .* Lower lr"):
        OutlierExposureDetector(
            optimizer=torch.optim.SGD, lr=1e20, **FAST | {"max_epochs": 5}
        ).fit(X, y, X_aux=(A,))


# ---- networks


def factory(input_shape, n_outputs, width=5):
    return nn.Sequential(nn.Linear(*input_shape, width), nn.ReLU(), nn.Linear(width, n_outputs))


def test_a_callable_builds_the_network(table):
    X, y, A = table
    fitted = OutlierExposureDetector(factory, module__width=7, **FAST).fit(X, y, X_aux=(A,))
    assert fitted.module_[0].out_features == 7
    assert fitted.module_[2].out_features == 3


def test_a_trained_instance_is_copied_and_tuned(table):
    X, y, A = table
    net = factory((4,), 3)
    before = copy.deepcopy(net.state_dict())
    tuned = OutlierExposureDetector(net, **FAST).fit(X, y, X_aux=(A,))
    assert net.training
    for name, weight in net.state_dict().items():
        assert torch.equal(weight, before[name])
    untouched = OutlierExposureDetector(net, **FAST | {"max_epochs": 0}).fit(X, y, X_aux=(A,))
    for name, weight in untouched.module_.state_dict().items():
        assert torch.equal(weight, before[name])
    assert not np.array_equal(tuned.score_samples(X), untouched.score_samples(X))


def test_frozen_layers_of_an_instance_stay_frozen_unless_all_are(table):
    X, y, A = table
    net = factory((4,), 3)
    net[0].requires_grad_(False)
    tuned = OutlierExposureDetector(net, **FAST).fit(X, y, X_aux=(A,)).module_
    assert torch.equal(tuned[0].weight, net[0].weight)
    assert not torch.equal(tuned[2].weight, net[2].weight)
    again = OutlierExposureDetector(tuned, **FAST).fit(X, y, X_aux=(A,)).module_
    assert not torch.equal(again[0].weight, tuned[0].weight)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_network_has_the_dtype_asked_for(table, dtype):
    X, y, A = table
    for module in (None, factory((4,), 3), factory((4,), 3).double()):
        fitted = OutlierExposureDetector(module, dtype=dtype, **FAST).fit(X, y, X_aux=(A,))
        assert next(fitted.module_.parameters()).dtype == getattr(torch, dtype)


class Tokens(nn.Module):
    """A text net: the mean of embedded token ids."""

    def __init__(self, input_shape, n_outputs, vocabulary=50):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, 8)
        self.head = nn.Linear(8, n_outputs)

    def forward(self, ids):
        assert ids.dtype == torch.int64
        return self.head(self.embed(ids).mean(dim=1))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_token_ids_reach_an_embedding(dtype):
    rng = np.random.default_rng(0)
    X = np.r_[rng.integers(10, size=(40, 6)), rng.integers(10, 20, size=(40, 6))].astype(dtype)
    y, A = np.repeat(["one", "two"], 40), rng.integers(20, 50, size=(200, 6)).astype(dtype)
    fitted = OutlierExposureDetector(
        Tokens, dtype="int64", max_epochs=40, batch_size=16, lr=0.02, random_state=0
    ).fit(X, y, X_aux=(A,))
    assert (fitted.predict_class(X) == y).mean() > 0.95
    truth = np.r_[np.ones(80), -np.ones(200)]
    assert auroc(truth, fitted.score_samples(np.r_[X, A])) > 0.95


@pytest.mark.parametrize(
    ("module", "error", "message"),
    [
        (factory((4,), 5), ValueError, "module has 5 outputs, but y has 3 classes"),
        (factory((3,), 3), ValueError, "module cannot read a batch of shape"),
        (lambda shape, n: factory(shape, n + 1), ValueError, r"of shape \(n, 3\), got \(n, 4\)"),
        (lambda shape, n: nn.Unflatten(1, (2, 2)), ValueError, "must return logits of shape"),
        (lambda shape, n: n, TypeError, "module must build a torch.nn.Module, got int"),
        (lambda shape, n: nn.LSTM(4, n), TypeError, "must return a Tensor of logits, got tuple"),
    ],
    ids=["outputs", "inputs", "factory", "shape", "int", "tuple"],
)
def test_networks_that_do_not_fit(table, module, error, message):
    X, y, A = table
    with pytest.raises(error, match=message):
        OutlierExposureDetector(module, **FAST).fit(X, y, X_aux=(A,))


def test_an_instance_takes_no_module_parameters(table):
    X, y, A = table
    with pytest.raises(TypeError, match=r"module__\* parameters \(width\) build a network from a"):
        OutlierExposureDetector(factory((4,), 3), module__width=3).fit(X, y, X_aux=(A,))


def test_a_trained_instance_without_labels_says_what_is_missing(table):
    X, _, A = table
    with pytest.raises(ValueError, match="module has 3 outputs, but without labels .* Pass y"):
        OutlierExposureDetector(factory((4,), 3), **FAST).fit(X, A)


# ---- images


@pytest.mark.parametrize("wrong", [lambda b: b[:-1], lambda b: None, lambda b: b.numpy()])
def test_an_augmentation_keeps_the_rows(table, wrong):
    X, y, A = table
    with pytest.raises(ValueError, match="augment must return a Tensor with a row for each"):
        OutlierExposureDetector(augment=wrong, **FAST).fit(X, y, X_aux=(A,))
    with pytest.raises(ValueError, match="augment='crop-flip' is for images"):
        OutlierExposureDetector(augment="crop-flip", **FAST).fit(X, y, X_aux=(A,))


def test_augmentation_reaches_both_sides_in_the_dtype_of_X():
    rng = np.random.default_rng(0)
    X, A = (rng.integers(256, size=(n, 1, 8, 8), dtype=np.uint8) for n in (20, 40))
    seen = []

    def augment(batch):
        seen.append((len(batch), batch.dtype))
        return batch

    params = {"batch_size": 20, "max_epochs": 2, "random_state": 0}
    OutlierExposureDetector(augment=augment, **params).fit(X, np.arange(20) % 2, X_aux=(A,))
    assert seen == [(60, torch.uint8)] * 2
    plain = OutlierExposureDetector(**params).fit(X, np.arange(20) % 2, X_aux=(A,))
    moved = OutlierExposureDetector(augment="crop-flip", **params)
    moved.fit(X, np.arange(20) % 2, X_aux=(A,))
    assert not np.array_equal(plain.score_samples(X), moved.score_samples(X))


def test_the_default_image_net_learns_real_digits():
    X, y = load_digits(return_X_y=True)
    X = (X.reshape(-1, 1, 8, 8) * 15).astype(np.uint8)
    known = y < 8
    fitted = OutlierExposureDetector(max_epochs=5, random_state=0)
    with pytest.warns(UserWarning, match="synthetic"):
        fitted.fit(X[known][:900], y[known][:900])
    assert (fitted.predict_class(X[known][900:]) == y[known][900:]).mean() > 0.9
    noise = np.random.default_rng(0).integers(256, size=(200, 1, 8, 8), dtype=np.uint8)
    assert (fitted.predict(noise) == -1).mean() > 0.9
