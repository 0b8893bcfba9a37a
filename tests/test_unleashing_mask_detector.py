"""Unleashing Mask as a detector: identities, the level, the network it came from, outliers."""

import copy
import warnings

import joblib
import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from torch import nn

from skood import (
    EnergyExposureDetector,
    GradNormDetector,
    KNNDetector,
    MahalanobisDetector,
    MSPDetector,
    ODINDetector,
    OutlierExposureDetector,
    ReActDetector,
    UnleashingMaskDetector,
    scores,
)
from skood.datasets import load_digits_ood
from skood.metrics import auroc, fpr95
from skood.nn import MLP
from skood.retuning import IntermediateStage, level, masks
from skood.retuning.masks import mean_cross_entropy

FAST = {"max_epochs": 3, "batch_size": 16, "lr": 0.01, "random_state": 0}
STRATEGIES = ["finetune", "prune"]


class Stochastic(nn.Module):
    """Batch statistics and dropout: a net that remembers and one that draws."""

    def __init__(self, input_shape=(4,), n_outputs=3):
        super().__init__()
        self.body = nn.Linear(input_shape[0], 32)
        self.norm = nn.BatchNorm1d(32)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(32, n_outputs)

    def forward(self, x):
        return self.head(self.drop(self.norm(self.body(x)).relu()))


@pytest.fixture(scope="module")
def table():
    """Three classes that overlap, and outliers around them."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 40)
    X = (rng.normal(size=(120, 4)) + 2 * np.eye(3, 4)[y]).astype(np.float32)
    return X, y, rng.uniform(-6, 6, size=(200, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def trained(table):
    X, y, _ = table
    return plain(Stochastic, table, 40).module_


def plain(module, table, epochs, **params):
    """Return a detector whose net is trained by cross-entropy alone."""
    X, y, _ = table
    options = FAST | {"max_epochs": 0, "pretrain_epochs": epochs} | params
    return EnergyExposureDetector(module, **options).fit(X, y)


def um(module=None, **params):
    return UnleashingMaskDetector(module, **(FAST | params))


def assert_same_net(one, other):
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


# ---- identities


def test_level_0_goes_on_with_plain_training_to_the_bit(table, trained):
    X, y, _ = table
    retuned = um(trained, level=0).fit(X, y)
    assert_same_net(retuned.module_, plain(trained, table, 3).module_)
    assert [row["phase"] for row in retuned.history_] == ["retune"] * 3
    assert not torch.equal(retuned.module_.head.weight, trained.head.weight)


@pytest.mark.parametrize(("exposure", "sibling", "beta"), [
    ("energy", EnergyExposureDetector, 0.2), ("oe", OutlierExposureDetector, 0.7),
])
@pytest.mark.parametrize("instance", [False, True])
def test_level_0_with_outliers_is_the_sibling_to_the_bit(
    table, trained, exposure, sibling, beta, instance
):
    X, y, A = table
    module = trained if instance else Stochastic
    detectors = [
        each.set_params(beta=beta, pretrain_epochs="auto").fit(X, y, X_aux=(A,))
        for each in (um(module, level=0, exposure=exposure), sibling(module, **FAST))
    ]
    assert_same_net(*(each.module_ for each in detectors))


def test_a_level_changes_the_training_with_outliers(table, trained):
    X, y, A = table
    for exposure in ("energy", "oe"):
        low, high = (um(trained, level=level, exposure=exposure).fit(X, y, X_aux=(A,))
                     for level in (0, 1.0))
        assert not torch.equal(low.module_.head.weight, high.module_.head.weight)
        assert hasattr(high, "m_in_") == (exposure == "energy")


def test_the_margins_are_used_as_given(table, trained):
    X, y, A = table
    detector = um(trained, exposure="energy", m_in=-4.0, m_out=-1.0).fit(X, y, X_aux=(A,))
    assert (detector.m_in_, detector.m_out_) == (-4.0, -1.0)
    with pytest.raises(ValueError, match="m_in must be below m_out"):
        um(trained, exposure="energy", m_in=1.0, m_out=0.0).fit(X, y, X_aux=(A,))


@pytest.mark.parametrize("exposure", ["energy", "oe"])
def test_the_loss_is_the_flooded_cross_entropy_and_the_term_of_the_outliers(exposure):
    rng = torch.Generator().manual_seed(0)
    logits_in, logits_out = torch.randn(2, 9, 3, dtype=torch.float64, generator=rng)
    y = torch.arange(9) % 3
    detector = um(exposure=exposure, beta=0.3)
    detector.classes_, detector.m_in_, detector.m_out_ = np.arange(3), -2.0, -1.0
    ce = nn.functional.cross_entropy(logits_in, y)
    p = logits_out.log_softmax(1)
    energy_in, energy_out = -logits_in.logsumexp(1), -logits_out.logsumexp(1)
    hinges = (energy_in + 2).clamp(min=0).square().mean()
    hinges += (-1 - energy_out).clamp(min=0).square().mean()
    term = {"energy": hinges, "oe": -p.mean()}[exposure]
    for detector.level_ in (ce.item() - 0.5, ce.item() + 0.5):
        expected = (ce - detector.level_).abs() + detector.level_ + 0.3 * term
        torch.testing.assert_close(detector._loss(logits_in, y, logits_out), expected)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_epochs_leave_the_trained_net(table, trained, strategy):
    X, y, _ = table
    detector = um(trained, strategy=strategy, max_epochs=0).fit(X, y)
    assert_same_net(detector.module_, trained)
    assert not hasattr(detector, "level_") and detector.n_iter_ == 0


def test_all_weights_kept_is_the_untouched_net(table, trained):
    X, y, _ = table
    net = plain(MLP, table, 5).module_
    kept = um(net, strategy="prune", keep_fraction=1).fit(X, y)
    assert kept.n_iter_ == 3
    assert_same_net(kept.module_, net)
    # Where there is BatchNorm its statistics move, and nothing else.
    kept = um(trained, strategy="prune", keep_fraction=1).fit(X, y).module_
    assert all(map(torch.equal, kept.parameters(), trained.parameters()))
    assert not torch.equal(kept.norm.running_mean, trained.norm.running_mean)


# ---- the level


@pytest.mark.parametrize("augment", [None, lambda x: x + 0.1 * torch.randn(x.shape)])
def test_the_level_does_not_depend_on_the_batch_size(table, trained, augment):
    X, y, _ = table
    levels = {
        (each.level_, each.level_std_) for each in (
            um(trained, augment=augment, batch_size=size, max_epochs=1).fit(X, y)
            for size in (5, 64, "auto")
        )
    }
    assert len(levels) == 1 and min(levels.pop()) > 0


def test_of_many_rows_a_drawn_part_is_measured_whatever_the_batch_size(
    table, trained, monkeypatch
):
    X, y, _ = table
    whole = um(trained, max_epochs=1).fit(X, y).level_
    monkeypatch.setattr(level, "_N_MEASURED", 50)
    parts = {um(trained, batch_size=size, max_epochs=1).fit(X, y).level_ for size in (5, 64)}
    assert len(parts) == 1 and whole not in parts


def test_the_level_rises_with_what_is_removed_and_the_masks_are_as_many_as_asked(table, trained):
    X, y, _ = table
    own = mean_cross_entropy(trained, [(X, y)], "float32")
    fit = {share: um(trained, remove_fraction=share, max_epochs=1).fit(X, y)
           for share in (0.0, 0.1, 0.5)}
    assert fit[0.0].level_ == pytest.approx(own, rel=1e-12)
    assert fit[0.0].level_std_ == pytest.approx(0, abs=1e-12)
    assert own < fit[0.1].level_ < fit[0.5].level_
    assert um(trained, n_masks=1, max_epochs=1).fit(X, y).level_std_ == 0
    given = um(trained, level=0.25, max_epochs=1).fit(X, y)
    assert given.level_ == 0.25 and not hasattr(given, "level_std_")


def test_the_level_is_measured_on_augmented_rows(table, trained):
    X, y, _ = table
    plainly, far = (um(trained, augment=augment, max_epochs=1).fit(X, y).level_
                    for augment in (None, lambda x: -x))
    assert far > plainly


@pytest.fixture
def disagreeing(monkeypatch):
    """Make the loss under masks what a test says."""
    def say(*values):
        monkeypatch.setattr(
            level, "masked_cross_entropies", lambda *args: np.array(values)
        )
    return say


@pytest.mark.parametrize(("values", "warns"), [
    # Of two masks the standard error is half of what lies between them.
    ([0.76, 1.24], False), ([0.74, 1.26], True),
    ([0.4, 1.0, 1.6, 1.0, 1.0], False), ([0.1, 1.0, 1.9, 1.0, 1.0], True),
    ([1.0], False), ([0.0, 0.0], False),
])
def test_masks_that_disagree_about_the_level_are_pointed_out(
    table, trained, disagreeing, values, warns
):
    disagreeing(*values)
    X, y, _ = table
    detector = um(trained, n_masks=len(values), max_epochs=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        detector.fit(X, y)
    assert [str(w.message).startswith("the masks disagree") for w in caught] == [True] * warns
    assert all(w.filename == __file__ for w in caught)
    assert detector.level_ == pytest.approx(np.mean(values))


def test_a_level_that_is_not_finite_is_refused(table, trained):
    X, y, _ = table
    broken = copy.deepcopy(trained)
    broken.head.bias.data[0] = float("nan")
    with pytest.raises(ValueError, match="level='auto': the cross-entropy under masks is nan"):
        um(broken).fit(X, y)


class Functional(nn.Module):
    """A net without a layer whose weights could be masked."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(*input_shape, n_outputs))

    def forward(self, x):
        return x @ self.weight


@pytest.mark.parametrize("params", [{}, {"strategy": "prune", "level": 0.3}])
def test_a_net_that_cannot_be_masked_is_refused_before_it_is_trained(table, params, monkeypatch):
    X, y, _ = table
    monkeypatch.setattr(UnleashingMaskDetector, "_pretrain", lambda *args: pytest.fail("trained"))
    with pytest.raises(ValueError, match="Functional, has no Conv or Linear layer"):
        um(Functional, **params).fit(X, y)


def test_a_net_that_cannot_be_masked_is_finetuned_to_a_given_level(table):
    X, y, _ = table
    detector = um(Functional, level=0.9, max_epochs=40).fit(X, y)
    assert mean_cross_entropy(detector.module_, [(X, y)], "float32") == pytest.approx(0.9, abs=0.1)


def test_every_mask_removes_the_share_named(table, trained, monkeypatch):
    X, y, _ = table
    seen, draw = [], masks.random_masks
    monkeypatch.setattr(masks, "random_masks", lambda *args: seen.append(args[1]) or draw(*args))
    um(trained, remove_fraction=0.25, n_masks=4, max_epochs=1).fit(X, y)
    assert seen == [0.75] * 4


def test_without_labels_loss_and_level_are_the_binary_cross_entropy(table):
    X, _, A = table
    net, A = MLP((4,), 1), A[:120]
    with torch.no_grad():
        logits = net(torch.from_numpy(np.concatenate([X, A])))[:, 0]
    truth = torch.arange(240).lt(120).float()
    expected = nn.functional.binary_cross_entropy_with_logits(logits, truth).item()
    whole = {"batch_size": 120, "outlier_ratio": 1.0, "max_epochs": 1, "lr": 1e-9}
    detector = um(net, remove_fraction=0, **whole).fit(X, A)
    assert detector.level_ == pytest.approx(expected, rel=1e-6)
    loss = um(net, level=0, **whole).fit(X, A).history_[0]["train_loss"]
    assert loss == pytest.approx(expected, rel=1e-6)


# ---- real images, both ways


@pytest.fixture(scope="module")
def digits():
    data = load_digits_ood()
    start = EnergyExposureDetector(max_epochs=0, pretrain_epochs=15, random_state=0)
    return data, start.fit(data.X_train, data.y_train)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_loss_of_a_net_that_learned_by_heart_rises_to_the_level(digits, strategy):
    data, start = digits
    own = mean_cross_entropy(start.module_, [(data.X_train, data.y_train)], "float32")
    assert own < 0.01
    detector = UnleashingMaskDetector(
        start.module_, strategy=strategy, level=0.3, max_epochs=8, batch_size=128, random_state=0
    ).fit(data.X_train, data.y_train)
    retuned = mean_cross_entropy(detector.module_, [(data.X_train, data.y_train)], "float32")
    assert retuned == pytest.approx(0.3, abs=0.15)
    assert np.mean(detector.predict_class(data.X_test) == data.y_test) > 0.85


def test_pruning_keeps_the_net_it_began_with(digits):
    data, start = digits
    detector = UnleashingMaskDetector(
        start.module_, strategy="prune", max_epochs=1, random_state=0
    ).fit(data.X_train, data.y_train)
    assert_same_net(detector.original_module_, start.module_)
    assert type(detector.module_) is type(start.module_)
    original = dict(detector.original_module_.named_parameters())
    removed = total = 0
    for name, weight in detector.module_.named_parameters():
        assert torch.equal(weight[weight != 0], original[name][weight != 0])
        if weight.ndim > 1:
            removed, total = removed + (weight == 0).sum().item(), total + weight.numel()
        elif "bias" in name and original[name].ndim == 1 and "norm" not in name:
            assert weight.data_ptr() == original[name].data_ptr()
    assert removed / total == pytest.approx(0.2, abs=0.01)
    assert not detector.original_module_.training
    assert not any(w.requires_grad for w in original.values())


# ---- the user's net, files


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("training", [False, True])
def test_the_users_net_is_left_as_it_was(table, strategy, training):
    X, y, A = table
    net = copy.deepcopy(plain(Stochastic, table, 2).module_).requires_grad_(True).train(training)
    net.head.bias.requires_grad_(False)
    net.register_forward_hook(lambda *args: None)

    def facts():
        tensors = [*net.named_parameters(), *net.named_buffers()]
        return (
            [(name, id(t), t.requires_grad, t.grad, t.detach().numpy().tobytes())
             for name, t in tensors],
            [(name, m.training, sorted(vars(m)), len(m._forward_hooks))
             for name, m in net.named_modules()],
        )

    before = facts()
    for X_aux in (None, (A,)):
        um(net, strategy=strategy).fit(X, y, X_aux=X_aux).score_samples(A)
    assert facts() == before


@pytest.mark.parametrize("mmap_mode", [None, "r"])
def test_a_file_brings_back_both_nets(table, trained, tmp_path, mmap_mode):
    X, y, A = table
    detector = um(trained, strategy="prune").fit(X, y)
    joblib.dump(detector, tmp_path / "um.joblib")
    loaded = joblib.load(tmp_path / "um.joblib", mmap_mode=mmap_mode)
    np.testing.assert_array_equal(loaded.score_samples(A), detector.score_samples(A))
    assert_same_net(loaded.original_module_, trained)
    assert (loaded.level_, loaded.level_std_) == (detector.level_, detector.level_std_)
    again = um(loaded.original_module_, strategy="prune").fit(X, y)
    np.testing.assert_array_equal(again.score_samples(A), detector.score_samples(A))


# ---- scores


@pytest.mark.parametrize("score", ["energy", "msp", "max_logit", scores.uniform])
def test_the_score_is_the_one_asked_for(table, trained, score):
    X, y, A = table
    detector = um(trained, score=score, max_epochs=1).fit(X, y)
    with torch.no_grad():
        logits = detector.module_(torch.from_numpy(A)).double().numpy()
    formula = score if callable(score) else getattr(scores, score)
    np.testing.assert_allclose(detector.score_samples(A), formula(logits), rtol=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("reading", [
    MSPDetector, ODINDetector, MahalanobisDetector, ReActDetector, KNNDetector, GradNormDetector,
])
def test_what_reads_a_trained_net_reads_the_retuned_one(table, strategy, reading):
    X, y, A = table
    detector = um(strategy=strategy).fit(X, y)
    fitted = reading(FrozenEstimator(detector)).fit(X, y)
    by_module = reading(detector.module_).fit(X, y)
    np.testing.assert_array_equal(fitted.score_samples(A), by_module.score_samples(A))
    # Unfrozen it is fitted first, with the same seed.
    again = reading(um(strategy=strategy)).fit(X, y)
    np.testing.assert_array_equal(again.score_samples(A), fitted.score_samples(A))
    start = reading(um(strategy=strategy, max_epochs=0, pretrain_epochs=3)).fit(X, y)
    assert not np.allclose(start.score_samples(A), fitted.score_samples(A))


def test_an_attack_climbs_what_does_not_saturate():
    sure = torch.tensor([[60.0, 0.0, 0.0], [0.0, 40.0, 0.5]], requires_grad=True)
    for score in ("energy", "msp", "max_logit", scores.uniform):
        values = um(score=score)._objective(sure)
        gradient, = torch.autograd.grad(values.sum(), sure)
        assert (gradient.abs().sum(1) > 0.5).all(), score


# ---- which outliers are asked for


def test_with_labels_no_outliers_are_drawn(table):
    X, y, _ = table
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector = um(max_epochs=5).fit(X, y)
    assert detector.predict_proba(X).shape == (120, 3)
    assert [row["phase"] for row in detector.history_] == ["pretrain"] * 5 + ["retune"] * 5


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_without_labels_it_tells_X_from_the_outliers(table, strategy):
    X, _, A = table
    detector = um(strategy=strategy, max_epochs=30, level=0.2).fit(X, A)
    assert detector.classes_ is None and not hasattr(detector, "m_in_")
    truth = np.repeat([1, -1], [len(X), len(A)])
    both = np.concatenate([X, A])
    assert auroc(truth, detector.score_samples(both)) > 0.85
    with torch.no_grad():
        logit = detector.module_(torch.from_numpy(both))[:, 0].double()
    np.testing.assert_allclose(detector.score_samples(both), logit, rtol=1e-5, atol=1e-6)
    # The loss that floats is the binary cross-entropy, both sides weighing alike.
    loss = nn.functional.softplus(-logit[: len(X)]).mean() / 2
    loss += nn.functional.softplus(logit[len(X) :]).mean() / 2
    assert loss == pytest.approx(0.2, abs=0.1)
    assert detector.history_[29]["train_loss"] < 0.3  # pretrained until below, then up
    assert um(max_epochs=1).fit(X, A).level_ > 0


def test_without_labels_and_outliers_synthetic_ones_are_drawn_with_a_warning(table):
    X, _, A = table
    with pytest.warns(UserWarning, match="synthetic"):
        detector = um().fit(X)
    assert detector.level_ > 0 and np.isfinite(detector.score_samples(A)).all()


# ---- refusals


@pytest.mark.parametrize(("params", "match"), [
    ({"strategy": "both"}, "'strategy' parameter"),
    ({"remove_fraction": 1.0}, "'remove_fraction' parameter"),
    ({"keep_fraction": 0.0}, "'keep_fraction' parameter"),
    ({"n_masks": 0}, "'n_masks' parameter"),
    ({"level": -0.1}, "'level' parameter"),
    ({"level": "low"}, "'level' parameter"),
    ({"score": "odin"}, r"score must be one of 'energy', .*, got 'odin'.*FrozenEstimator"),
    ({"score": None}, "'score' parameter"),
    ({"exposure": None}, "'exposure' parameter"),
    ({"beta": -1.0}, "'beta' parameter"),
    ({"score": lambda z: z}, r"score must return one number a row, shape \(120,\)"),
    ({"pretrain_epochs": 0}, "pretrain_epochs=0 leaves no trained network"),
])
def test_what_has_no_meaning_is_refused(table, params, match):
    X, y, _ = table
    with pytest.raises(ValueError, match=match):
        um(**params).fit(X, y)


def test_a_class_probability_without_classes_is_refused(table):
    X, _, A = table
    with pytest.raises(ValueError, match="score='msp' is a probability among classes"):
        um(score="msp").fit(X, A)


def test_a_given_level_floods_a_training_from_scratch(table):
    X, y, _ = table
    detector = um(pretrain_epochs=0, level=0.6, max_epochs=40).fit(X, y)
    loss = mean_cross_entropy(detector.module_, [(X, y)], "float32")
    assert loss == pytest.approx(0.6, abs=0.1)


# ---- the intermediate stage


@pytest.fixture
def stage(table):
    X, y, A = table
    names = np.array(["ant", "bee", "cat"])[y]
    return names, IntermediateStage(X[::2], names[::2], A[:50])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_epoch_is_measured_and_nothing_else_changes(table, stage, strategy):
    X, y, A = table
    names, callback = stage
    with_it = um(Stochastic, strategy=strategy, callbacks=[callback]).fit(X, names)
    without = um(Stochastic, strategy=strategy).fit(X, names)
    np.testing.assert_array_equal(with_it.score_samples(A), without.score_samples(A))
    last = with_it.history_[-1]
    truth = np.repeat([1, -1], [60, 50])
    values = with_it.score_samples(np.concatenate([X[::2], A[:50]]))
    assert last["id_accuracy"] == np.mean(with_it.predict_class(X[::2]) == names[::2])
    assert last["ood_auroc"] == auroc(truth, values)
    assert last["ood_fpr95"] == fpr95(truth, values)
    assert all(np.isfinite(row["ood_fpr95"]) for row in with_it.history_)
    assert sorted(vars(callback)) == ["X_in", "X_ood", "score", "y_in"]


def test_the_curves_are_those_of_the_history(table, stage):
    pytest.importorskip("matplotlib").use("Agg")
    names, callback = stage
    history = um(callbacks=[callback]).fit(table[0], names).history_
    axes = IntermediateStage.plot(history)
    curves = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    curves = {k: np.asarray(v)[np.isfinite(v)] for k, v in curves.items()}  # phases have gaps
    np.testing.assert_array_equal(curves["AUROC"], [row["ood_auroc"] for row in history])
    np.testing.assert_array_equal(curves["FPR95"], [row["ood_fpr95"] for row in history])
    np.testing.assert_array_equal(curves["accuracy on X"], [r["id_accuracy"] for r in history])
    ends = [line.get_xdata()[0] for line in axes.get_lines() if len(set(line.get_xdata())) == 1]
    assert ends == [3.5]
    assert IntermediateStage.plot(history, ax=axes) is axes
    axes.figure.clear()


def test_a_history_without_measurements_and_a_class_that_is_missing_are_refused(table, stage):
    X, y, A = table
    history = um().fit(X, y).history_
    for each in ([], history):
        with pytest.raises(ValueError, match="history must be the history_ of a detector"):
            IntermediateStage.plot(each)
    with pytest.raises(ValueError, match="y_in must hold every class: it has 2, the network 3"):
        um(callbacks=[IntermediateStage(X[:80], y[:80], A)]).fit(X, y)


@pytest.mark.parametrize(("changed", "match"), [
    ({"y_in": lambda y: y[:50]}, r"y_in must hold one label for each of the 120 .* got \(50,\)"),
    ({"y_in": lambda y: y[:, None]}, r"y_in must hold one label .* got \(120, 1\)"),
    ({"X_in": lambda X: X[:, :3]}, r"each sample of X_in must have the shape .* got \(3,\)"),
    ({"X_ood": lambda A: A[:, :3]}, r"each sample of X_ood must have the shape .* got \(3,\)"),
    ({"X_ood": lambda A: A[:0]}, "X_ood must hold at least one sample"),
    ({"score": lambda score: "odin"}, "score must be one of 'energy'"),
])
def test_a_stage_is_checked_before_an_epoch_is_spent(table, changed, match, monkeypatch):
    X, y, A = table
    given = {"X_in": X, "y_in": y, "X_ood": A, "score": "energy"}
    stage = IntermediateStage(**{k: changed.get(k, lambda v: v)(v) for k, v in given.items()})
    monkeypatch.setattr(stage.__class__, "on_epoch_end", lambda *a, **k: pytest.fail("trained"))
    with pytest.raises(ValueError, match=match):
        um(callbacks=[stage]).fit(X, y)
