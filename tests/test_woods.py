"""WOODS: the published terms and updates, and the constraint kept whatever the mixture."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.datasets import load_digits

from skood import OutlierExposureDetector, WOODSDetector
from skood.datasets import load_digits_ood
from skood.exposure.constraining import ConstrainedLoss, Constraint
from skood.losses import augmented_lagrangian
from skood.metrics import auroc
from skood.posthoc import Classifier

GOLDEN = np.load(Path(__file__).parent / "reference" / "losses.npz")
CLOSE = {"rtol": 0, "atol": 1e-12}
FAST = {"max_epochs": 3, "batch_size": 16, "random_state": 0}


# ---- the published numbers


def test_the_lagrangian_is_that_of_the_released_code():
    c = torch.tensor(GOLDEN["alm_c"], requires_grad=True)
    for j, multiplier in enumerate(GOLDEN["alm_lam"]):
        for k, penalty in enumerate(GOLDEN["alm_penalty"]):
            value = augmented_lagrangian(c, multiplier, penalty)
            gradient, = torch.autograd.grad(value.sum(), c)
            expected = GOLDEN["alm_value"][:, j, k], GOLDEN["alm_dvalue_dc"][:, j, k]
            np.testing.assert_allclose(value.detach(), expected[0], **CLOSE)
            np.testing.assert_allclose(gradient, expected[1], **CLOSE)


def test_the_updates_are_those_of_the_released_code():
    rule = {
        "lr": float(GOLDEN["alm_lr_lam"]), "growth": float(GOLDEN["alm_penalty_mult"]),
        "tolerance": float(GOLDEN["alm_constraint_tol"]),
    }
    for i, j, k in np.ndindex(GOLDEN["alm_lam_next"].shape):
        constraint = Constraint(float(GOLDEN["alm_lam"][j]), float(GOLDEN["alm_penalty"][k]))
        constraint.update(float(GOLDEN["alm_c"][i]), **rule)
        np.testing.assert_allclose(constraint.multiplier, GOLDEN["alm_lam_next"][i, j, k], **CLOSE)
        np.testing.assert_allclose(constraint.penalty, GOLDEN["alm_penalty_next"][i, j, k], **CLOSE)


def published_loss(setting):
    """Return the loss in the state of one setting of the reference."""
    value = {name: float(GOLDEN[f"woods_{name}"][setting]) for name in (
        "alpha", "ce_tol", "ce0", "out_weight", "lam_in", "penalty_in", "lam_ce", "penalty_ce")}
    loss = ConstrainedLoss(
        float(GOLDEN["woods_w"]), float(GOLDEN["woods_b"]), value["alpha"],
        value["ce_tol"] * value["ce0"], value["out_weight"],
    ).double()
    # Both were made in single precision, like the weights of a network.
    loss.slope.data.fill_(float(GOLDEN["woods_w"]))
    loss.shift.data.fill_(float(GOLDEN["woods_b"]))
    loss.constraints["false_alarms"] = Constraint(value["lam_in"], value["penalty_in"])
    loss.constraints["ce"] = Constraint(value["lam_ce"], value["penalty_ce"])
    return loss


@pytest.mark.parametrize("setting", range(5))
def test_the_loss_and_its_gradients_are_those_of_the_released_code(setting):
    loss = published_loss(setting)
    z_in, z_out = (
        torch.tensor(GOLDEN[f"logits_{side}"], requires_grad=True) for side in ("in", "out")
    )
    value = loss(z_in, torch.tensor(GOLDEN["y_in"]), z_out)
    np.testing.assert_allclose(value.item(), GOLDEN["woods_loss"][setting], **CLOSE)
    gradients = torch.autograd.grad(value, [z_in, z_out, loss.slope, loss.shift])
    for gradient, name in zip(gradients, ("in", "out", "w", "b"), strict=True):
        np.testing.assert_allclose(gradient, GOLDEN[f"woods_grad_{name}"][setting], **CLOSE)


@pytest.mark.parametrize("setting", range(5))
def test_the_constraints_are_measured_as_in_the_released_code(setting):
    loss = published_loss(setting)
    z_in, y_in = torch.tensor(GOLDEN["logits_in"]), torch.tensor(GOLDEN["y_in"])
    values = loss.measure(z_in, y_in, z_in[:0])
    np.testing.assert_allclose(values["false_alarms"], GOLDEN["woods_in_value"][setting], **CLOSE)
    np.testing.assert_allclose(values["ce"], GOLDEN["woods_ce_value"][setting], **CLOSE)
    assert loss.gap == 0


# ---- what the constraints do


def test_rows_held_out_that_are_refused_more_tighten_the_bound():
    loss = ConstrainedLoss(-1.0, 0.0, alpha=0.2, most_ce=1.0, beta=1.0)
    sure, unsure = torch.full((4, 1), 3.0), torch.full((2, 1), -1.0)
    y = torch.zeros(4, dtype=torch.int64)
    values = loss.measure(sure, y, unsure)
    assert values["false_alarms"] == pytest.approx(expit(1.0) - 0.2)
    assert loss.gap == pytest.approx(expit(1.0) - expit(-3.0))
    loss.measure(unsure, y[:2], sure)
    assert loss.gap == 0  # never looser than as published


def test_a_multiplier_never_becomes_negative():
    constraint = Constraint(multiplier=0.5, penalty=1.0)
    constraint.update(-10.0, lr=3.0, growth=1.5, tolerance=0.0)
    assert constraint == Constraint(multiplier=0.0, penalty=1.0)


def wild_mixture(share, seed, n=480):
    """Return labelled digits, their labels, and a mixture with a share of other digits."""
    digits, rng = load_digits_ood(), np.random.default_rng(seed)
    labelled, rest = np.array_split(rng.permutation(len(digits.X_train)), 2)
    inside = digits.X_train[rest[: round(share * n)]]
    outside = digits.X_aux[rng.permutation(len(digits.X_aux))[: n - len(inside)]]
    return digits.X_train[labelled], digits.y_train[labelled], np.concatenate([inside, outside])


def known_and_unknown(detector):
    """Return the scores of new digits, and those of all outliers."""
    digits = load_digits_ood()
    unknown = np.concatenate(list(digits.ood.values()))
    return detector.score_samples(digits.X_test), detector.score_samples(unknown)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_new_rows_are_refused_as_seldom_as_promised(share):
    X, y, wild = wild_mixture(share, seed=0)
    detector = WOODSDetector(random_state=0).fit(X, y, X_aux=(wild,))
    last = detector.history_[-1]
    known, unknown = known_and_unknown(detector)
    # Of 481 new digits, with a bound kept on 96 others: two standard errors of their difference.
    tolerance = 2 * np.sqrt(0.05 * 0.95 * (1 / 481 + 1 / 96))
    g = last["slope"] * known + last["shift"]
    assert np.mean(g > 0) <= 0.05 + tolerance
    assert expit(g).mean() <= 0.05 + tolerance  # softly, as the constraint counts
    assert np.mean(last["slope"] * unknown + last["shift"] > 0) >= 0.6


def test_wild_data_find_outliers_better_than_none():
    X, y, wild = wild_mixture(share=0.1, seed=0)
    plain = OutlierExposureDetector(
        max_epochs=0, pretrain_epochs=30, score="uniform", lr=3e-4, random_state=0
    ).fit(X, y)
    found = []
    for detector in (
        WOODSDetector(plain.module_, max_epochs=0, random_state=0),
        WOODSDetector(plain.module_, random_state=0),
    ):
        known, unknown = known_and_unknown(detector.fit(X, y, X_aux=(wild,)))
        truth = np.repeat([1, -1], [len(known), len(unknown)])
        found.append(auroc(truth, np.concatenate([known, unknown])))
    assert found[1] > found[0]


def test_classes_are_kept_by_a_network_that_was_not_given():
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    plain = Classifier(random_state=0).fit(X[:500], y[:500])
    with pytest.warns(UserWarning, match="synthetic"):
        detector = WOODSDetector(random_state=0).fit(X[:500], y[:500])
    kept, known = ((d.predict_class(X[500:]) == y[500:]).mean() for d in (detector, plain))
    assert kept > known - 0.05


# ---- the fit


def test_the_classifier_has_a_learning_rate_of_its_own(table):
    X, y, _ = table
    plain = Classifier(max_epochs=3, lr=0.01, random_state=0).fit(X, y)
    options = {"max_epochs": 0, "pretrain_epochs": 3, "lr": 1e-9, "random_state": 0}
    detector = WOODSDetector(pretrain_lr=0.01, **options).fit(X, y)
    np.testing.assert_array_equal(detector.predict_proba(X), plain.predict_proba(X))


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=120)
    X = rng.normal(size=(120, 3)) * 0.3 + 2 * y[:, None]
    return X, y, rng.uniform(-3, 5, size=(200, 3))


def test_the_history_holds_what_the_constraints_cost(table):
    X, y, wild = table
    history = WOODSDetector(**FAST).fit(X, y, X_aux=(wild,)).history_
    own = [row for row in history if row["phase"] == "exposure"]
    assert len(own) == 3
    for name in ("false_alarms", "ce"):
        before = Constraint()
        for row in own:
            before.update(row[f"{name}_violation"], lr=1.0, growth=1.5, tolerance=0.0)
            assert row[f"{name}_multiplier"] == before.multiplier
            assert row[f"{name}_penalty"] == before.penalty
    assert own[0]["slope"] < 0
    assert len({row["slope"] for row in own}) == 3  # g is trained, too


def test_rows_held_out_are_not_trained_on(table):
    X, y, wild = table
    seen = []

    def watched(x):
        seen.append(x[:, 0].numpy().copy())
        return x

    detector = WOODSDetector(augment=watched, validation_fraction=0.25, **FAST)
    detector.fit(X, y, X_aux=(wild,))
    n_trained = np.isin(X[:, 0], np.concatenate(seen)).sum()
    assert n_trained == 120 - int(0.25 * 118)  # one of each class is never held out


def test_nothing_is_held_out_of_very_few_rows():
    X, y = np.eye(3), np.array([0, 1, 2])
    detector = WOODSDetector(**FAST).fit(X, y, X_aux=(np.full((4, 3), 5.0),))
    assert detector.score_samples(X).shape == (3,)


def test_a_new_network_that_would_never_learn_the_classes_is_refused(table):
    X, y, wild = table
    with pytest.raises(ValueError, match="pretrain_epochs=0, but WOODS keeps the classes"):
        WOODSDetector(pretrain_epochs=0, **FAST).fit(X, y, X_aux=(wild,))


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ((1.0, 0.0, 1.0), TypeError, "constraint must be a floating point torch.Tensor, got float"),
        ((torch.tensor(1), 0.0, 1.0), TypeError, "got torch.int64"),
        ((torch.tensor(1.0), -0.5, 1.0), ValueError, "multiplier must be at least 0, got -0.5"),
        ((torch.tensor(1.0), 0.0, 0.0), ValueError, "penalty must be above 0, got 0"),
    ],
)
def test_the_lagrangian_refuses_what_has_no_meaning(given, error, match):
    with pytest.raises(error, match=match):
        augmented_lagrangian(*given)
