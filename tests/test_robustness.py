"""Robust evaluation: what attacks do to linear scores, what they must not touch, and resuming."""

import copy
import pickle
import threading
from functools import partial
from pathlib import Path
from unittest import mock

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from torch import nn

import skood
from skood import attacks, corruptions, scores
from skood.datasets import load_digits_ood
from skood.engine import inference
from skood.metrics import fpr95, ood_report, threshold_at_tpr
from skood.robustness import _evaluation, evaluate_robustness

GOLDEN = np.load(Path(__file__).parent / "reference" / "pgd.npz")
PX = 1 / 255
ALL = ("natural", "corrupted", "linf", "compositional")
KINDS = [("bright", 1), ("bright", 2), ("grain", 1), ("grain", 2)]


class Linear:
    """Scores x @ weight; counts what it is asked."""

    def __init__(self, weight, dtype="float64"):
        self.dtype, self.weight = dtype, np.asarray(weight, float)
        linear = nn.Linear(len(self.weight), 1, bias=False)
        linear.weight.data = torch.tensor(self.weight)[None]
        self.module_ = nn.Sequential(nn.Flatten(), linear).to(getattr(torch, dtype))
        self.asked = []

    def score_samples(self, X):
        self.asked.append(X)
        flat = np.asarray(X, float).reshape(len(X), -1)
        return (flat / 255 if X.dtype == np.uint8 else flat) @ self.weight

    def _objective(self, logits):
        return logits[:, 0]


class Kept:
    """Shows every outcome."""

    def __init__(self):
        self.outcomes = []

    def scores(self, detector, X_in, X, **arguments):
        """Return the scores of X, one array an attack, in the order of their computation."""
        outcome = _evaluation.outcome

        def call(*args):
            self.outcomes.append(outcome(*args))
            return self.outcomes[-1]

        with mock.patch.object(_evaluation, "outcome", call):
            evaluate_robustness(detector, X_in, X, **arguments)
        return [outcome.scores for outcome in self.outcomes]


@pytest.fixture
def few_corruptions(monkeypatch):
    """Four corruptions that are quick and known; returns the calls."""
    calls = []

    def corrupt(X, name, severity, *, random_state=None):
        calls.append((name, severity, random_state))
        step = 10 * severity
        if name == "grain":
            step = np.random.default_rng(random_state).integers(-step, step + 1, X.shape)
        return (X.astype(int) + step).clip(0, 255).astype(np.uint8)

    monkeypatch.setattr(corruptions, "CORRUPTIONS", ("bright", "grain"))
    monkeypatch.setattr(corruptions, "SEVERITIES", (1, 2))
    monkeypatch.setattr(corruptions, "corrupt", corrupt)
    return calls


@pytest.fixture(scope="module")
def digits():
    return load_digits_ood()


@pytest.fixture(scope="module")
def exposed(digits):
    detector = skood.OutlierExposureDetector(max_epochs=1, random_state=0)
    return detector.fit(digits.X_train, digits.y_train, X_aux=(digits.X_aux,))


def images(n, seed, low=0, high=256):
    rng = np.random.default_rng(seed)
    return rng.integers(low, high, (n, 3, 4, 4), dtype=np.uint8)


WEIGHT = np.random.default_rng(0).normal(size=48)


# ---------------------------------------------------------------- linear scores, known exactly


@pytest.mark.parametrize("as_float", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_linf_moves_a_linear_score_by_eps_times_the_weights_within_bounds(dtype, as_float):
    X_in, X_out = images(40, 0), images(30, 1)  # many pixels have less room than eps
    room = np.where(WEIGHT > 0, 255 - X_out.reshape(30, -1).astype(int), X_out.reshape(30, -1))
    moved = np.minimum(room, 8) @ np.abs(WEIGHT) / 255
    if as_float:
        X_in, X_out = X_in / 255, X_out / 255
    detector = Linear(WEIGHT, dtype)
    natural, attacked = Kept().scores(detector, X_in, X_out, attacks=("natural", "linf"))
    atol = 1e-12 if dtype == "float64" or not as_float else 1e-5
    np.testing.assert_allclose(attacked, natural + moved, rtol=0, atol=atol)

    report = evaluate_robustness(detector, X_in, X_out, attacks=["linf"])
    y = np.repeat([1, -1], [40, 30])
    known = np.concatenate([detector.score_samples(X_in), natural + moved])
    assert report.loc[("linf", "ood"), "fpr95"] == fpr95(y, known, protocol="atom")
    assert fpr95(y, known, protocol="atom") > 0


def test_8_bit_images_are_scored_as_8_bit_images():
    detector, X = Linear(WEIGHT), images(30, 1)
    evaluate_robustness(detector, X, X, attacks=["linf"], eps=3.5 * PX)
    attacked = detector.asked[-1]
    assert attacked.dtype == np.uint8
    assert np.abs(attacked.astype(int) - X).max() == 3


def test_floats_off_the_grid_move_by_whole_pixel_values():
    detector, X = Linear(WEIGHT), np.random.default_rng(0).uniform(0.1, 0.9, (20, 3, 4, 4))
    evaluate_robustness(detector, X, X, attacks=["linf"], eps=3.5 * PX)
    np.testing.assert_allclose((detector.asked[-1] - X) * 255, 3 * np.sign(WEIGHT).reshape(3, 4, 4)
                               + np.zeros(X.shape), atol=1e-9)


def test_tables_move_in_their_own_units_without_limits():
    rng = np.random.default_rng(0)
    X_in, X_out = 50 * rng.normal(size=(40, 5)), 50 * rng.normal(size=(30, 5))
    weight = rng.normal(size=5)
    natural, attacked = Kept().scores(
        Linear(weight), X_in, X_out, attacks=("natural", "linf"), eps=20.25, step_size=2,
        bounds=None,
    )
    np.testing.assert_allclose(attacked, natural + 20.25 * np.abs(weight).sum())


@pytest.mark.parametrize("seed", range(10))
def test_the_range_of_a_table_in_double_precision_may_be_its_bounds(seed):
    rng = np.random.default_rng(seed)
    X, weight = rng.normal(size=(30, 5)), rng.normal(size=5)
    natural, attacked = Kept().scores(  # a network in single precision, where X rounds over them
        Linear(weight, "float32"), X, X, attacks=("natural", "linf"), eps=0.5, step_size=0.1,
        bounds=(X.min(), X.max()),
    )
    moved = np.minimum(np.where(weight > 0, X.max() - X, X - X.min()), 0.5) @ np.abs(weight)
    np.testing.assert_allclose(attacked, natural + moved, rtol=0, atol=1e-5)


def test_images_in_another_range_are_neither_rounded_nor_taken_for_pixels():
    X = 2 * (images(10, 1, 64, 192) / 255) - 1
    natural, attacked = Kept().scores(
        Linear(WEIGHT), X, X, attacks=("natural", "linf"), eps=0.1234, step_size=0.01,
        bounds=(-1, 1),
    )
    np.testing.assert_allclose(attacked, natural + 0.1234 * np.abs(WEIGHT).sum())


def test_the_worst_corruption_is_kept_and_the_compositional_attack_begins_there(few_corruptions):
    X_in, X_out = images(40, 0), images(1030, 1, 60, 190)
    kept, detector = Kept(), Linear(WEIGHT)
    natural, corrupted, attacked = kept.scores(
        detector, X_in, X_out, attacks=("natural", "corrupted", "compositional")
    )
    assert [call[:2] for call in few_corruptions[:4]] == KINDS
    blocks = (slice(0, 512), slice(512, 1024), slice(1024, 1030))
    calls = [few_corruptions[4 * i : 4 * i + 4] for i in range(3)]
    for block, seeded in zip(blocks, calls, strict=True):
        versions = [X_out[block]] + [
            corruptions.corrupt(X_out[block], name, severity, random_state=seed)
            for name, severity, seed in seeded
        ]
        best = np.max([detector.score_samples(version) for version in versions], axis=0)
        np.testing.assert_array_equal(corrupted[block], best)
    worst = kept.outcomes[1].X
    assert worst.dtype == np.uint8
    np.testing.assert_array_equal(corrupted, detector.score_samples(worst))
    assert (corrupted >= natural).all() and (corrupted > natural).any()
    np.testing.assert_allclose(attacked, corrupted + 8 * PX * np.abs(WEIGHT).sum())


def test_each_corruption_of_each_block_draws_for_itself(few_corruptions):
    X = images(600, 0)
    evaluate_robustness(Linear(WEIGHT), X, X, attacks=["corrupted"])
    assert len({seed for *_, seed in few_corruptions}) == 8 == len(few_corruptions)


def test_the_compositional_attack_alone_searches_the_corruptions_once(few_corruptions):
    X = images(20, 0)
    alone = evaluate_robustness(Linear(WEIGHT), X, X, attacks="compositional")
    assert len(few_corruptions) == 4
    among = evaluate_robustness(Linear(WEIGHT), X, X)
    assert len(few_corruptions) == 8
    columns = ["fpr95", "auroc", "n_ood"]
    pd.testing.assert_frame_equal(alone[columns], among.loc[["compositional"], columns])


def test_an_objective_that_misleads_makes_no_outlier_weaker():
    X = images(20, 0)
    natural, attacked = Kept().scores(
        Linear(WEIGHT), X, X, attacks=("natural", "linf"), objective=lambda z: -z[:, 0]
    )
    np.testing.assert_array_equal(attacked, natural)


def test_the_objective_takes_the_place_of_the_score():
    X = images(20, 0)
    natural, attacked = Kept().scores(
        Linear(WEIGHT), X, X, attacks=("natural", "linf"), objective=lambda z: torch.exp(z[:, 0])
    )
    assert (attacked > natural).all()


def test_the_attack_computes_in_the_precision_of_the_detector():
    class Spy(nn.Linear):
        def forward(self, x):
            logits = super().forward(x)
            seen.append((logits.dtype, x.requires_grad))
            return logits

    detector, seen = Linear(WEIGHT, "float32"), []
    detector.module_[1] = Spy(48, 1)  # score_samples does without the network
    for precision, dtype in [("float32", torch.float32), ("bf16", torch.bfloat16)]:
        detector.precision = precision
        evaluate_robustness(detector, images(20, 0), images(20, 0), attacks=["linf"], n_steps=2)
        assert set(seen) == {(dtype, False), (dtype, True)}
        seen.clear()


def test_the_objective_of_a_detector_finds_a_way_where_its_score_is_flat():
    rng = np.random.default_rng(0)
    X, outliers = rng.normal(size=(60, 40)), np.zeros((8, 40))
    detector = skood.NTOMDetector(
        lambda input_shape, n_outputs: nn.Linear(40, n_outputs), max_epochs=1, random_state=0
    ).fit(X, X_aux=(X + 4,))
    with torch.no_grad():  # p_K = 1 - exp(-60) at the outliers, 1 to single precision far around
        detector.module_.weight.copy_(torch.tensor([[0.0], [-1.0]]))
        detector.module_.bias.copy_(torch.tensor([0.0, 60.0]))
    arguments = {"attacks": ["linf"], "eps": 2, "step_size": 0.2, "bounds": None}
    flat = Kept().scores(detector, X, outliers, objective=scores.abstention, **arguments)[-1]
    found = Kept().scores(detector, X, outliers, **arguments)[-1]
    np.testing.assert_array_equal(flat, -1)
    np.testing.assert_allclose(found, 0, atol=1e-7)  # log-odds of 20


# ---------------------------------------------------------------- the released code


class Golden:
    dtype = "float64"

    def __init__(self, head, score):
        names = ("conv_w", "conv_b", f"{head}_w", f"{head}_b")
        weights = [torch.tensor(GOLDEN[name]) for name in names]
        conv, linear = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, len(weights[2]))
        self.module_ = nn.Sequential(
            conv, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear
        ).double()
        for parameter, weight in zip(self.module_.parameters(), weights, strict=True):
            parameter.data = weight
        self.score = score

    def score_samples(self, X):
        with torch.no_grad():
            return self.score(self.module_(torch.tensor(X))).numpy()


@pytest.mark.parametrize(
    "name, head, score, objective, of_clean, of_attacked",
    [
        ("atom", "lin", scores.abstention, lambda z: -torch.log_softmax(z, 1)[:, -1],
         "eval_atom_clean_score", "eval_atom_adv_score"),
        ("conf", "lin_k", scores.msp, scores.uniform, "eval_conf_clean_msp", "eval_conf_adv_msp"),
    ],
)
def test_the_scores_after_linf_are_those_of_the_released_code(
    name, head, score, objective, of_clean, of_attacked, monkeypatch
):
    start = torch.tensor(GOLDEN["start_rounded"]) * PX
    monkeypatch.setattr(attacks, "random_start", lambda x, *args: start.reshape(x.shape))
    natural, attacked = Kept().scores(
        Golden(head, score), GOLDEN["x"], GOLDEN["x"], attacks=("natural", "linf"),
        objective=objective,
    )
    np.testing.assert_allclose(natural, GOLDEN[of_clean], rtol=0, atol=1e-9)
    # Of its attacked image and the clean one, the released code does not take the worse.
    expected = np.maximum(GOLDEN[of_attacked], GOLDEN[of_clean])
    np.testing.assert_allclose(attacked, expected, rtol=0, atol=1e-9)
    assert (attacked > natural).mean() > 0.5


# ---------------------------------------------------------------- the table


def test_natural_rows_are_those_of_the_report_and_the_threshold_is_of_clean_data(digits, exposed):
    sets = {name: X[:size] for (name, X), size in zip(
        digits.ood.items(), (90, 80, 70, 60), strict=True
    )}
    report = evaluate_robustness(
        exposed, digits.X_test, sets, attacks=("natural", "linf"), n_steps=2, tpr=0.9
    )
    expected = ood_report(exposed, digits.X_test, sets, protocol="atom", tpr=0.9)
    assert list(report.columns) == [*expected.columns, "n_ood", "seconds"]
    assert list(report.columns)[0] == "fpr90"
    pd.testing.assert_frame_equal(
        report.loc["natural", expected.columns], expected, check_names=False
    )
    y = np.repeat([1, -1], [len(digits.X_test), 1])
    known = np.append(exposed.score_samples(digits.X_test), 0)
    assert report.attrs["threshold"] == threshold_at_tpr(y, known, tpr=0.9, protocol="atom")
    assert report.attrs["n_in"] == len(digits.X_test) and report.attrs["protocol"] == "atom"
    attacked = report.loc["linf", expected.columns]
    np.testing.assert_allclose(attacked.loc["mean"], attacked.drop(index="mean").mean())
    assert (attacked["auroc"] < expected["auroc"]).all()
    assert list(report.loc["linf", "n_ood"]) == [90, 80, 70, 60, 300]
    assert (report["seconds"] > 0).all()


def test_attacks_only_make_it_harder(digits, exposed):
    sets = {"letters": digits.ood["letters"]}
    kept = Kept()
    natural, corrupted, linf, compositional = kept.scores(
        exposed, digits.X_test, sets, n_samples=30, n_steps=5
    )
    for easier, harder in [(natural, corrupted), (natural, linf), (corrupted, compositional)]:
        assert (harder >= easier).all() and (harder > easier).any()
    report = evaluate_robustness(
        exposed, digits.X_test, sets, n_samples=30, n_steps=5, attacks=("compositional", *ALL[:3])
    )
    fpr = report["fpr95"].xs("mean", level="set")
    assert fpr["natural"] < fpr["corrupted"] <= fpr["compositional"]
    assert fpr["natural"] < fpr["linf"]
    assert list(fpr.index) == ["compositional", *ALL[:3]]


def test_draws_follow_random_state_alone(digits, exposed, monkeypatch):
    sets = {name: digits.ood[name][:40] for name in ("letters", "noise")}

    def attacked(sets, **arguments):
        arguments = {"n_samples": 24, "n_steps": 2, "attacks": ("natural", "linf")} | arguments
        return Kept().scores(exposed, digits.X_test[:50], sets, **arguments)

    first = attacked(sets)
    np.testing.assert_array_equal(first, attacked(sets))
    np.testing.assert_array_equal(first, attacked(sets, random_state=0))
    # The rows of a set do not depend on the others.
    np.testing.assert_array_equal(first[2:], attacked({"noise": sets["noise"]}))
    other = attacked(sets, random_state=np.random.RandomState(1))
    np.testing.assert_array_equal(
        other, attacked(sets, random_state=np.random.RandomState(1))
    )
    assert not np.array_equal(first[0], other[0])
    fresh = [attacked(sets, random_state=None, n_samples=None)[1] for _ in range(2)]
    assert not np.array_equal(*fresh)
    monkeypatch.setattr(inference, "_LARGEST_BYTES", 1)  # the smallest batches there are
    np.testing.assert_allclose(attacked(sets), first, rtol=1e-4)


def test_a_small_set_is_taken_whole():
    X = images(20, 0)
    report = evaluate_robustness(
        Linear(WEIGHT), X, {"few": X[:5], "many": X}, attacks=["natural"], n_samples=10
    )
    assert list(report["n_ood"]) == [5, 10, 15]


def test_more_restarts_cost_more_and_find_no_less(exposed, digits):
    X = digits.ood["letters"][:30]
    results = [
        Kept().scores(exposed, digits.X_test, X, attacks=["linf"], n_steps=1, n_restarts=n)[-1]
        for n in (1, 20)
    ]
    assert results[1].mean() > results[0].mean()


# ---------------------------------------------------------------- what must not be touched


@pytest.mark.parametrize("training", [False, True])
def test_the_detector_and_the_random_states_are_left_as_they_were(
    digits, exposed, few_corruptions, training
):
    detector = copy.deepcopy(exposed)
    detector.module_.train(training)
    X = {"letters": digits.ood["letters"][:20]}
    before = {n: t.clone() for n, t in detector.module_.state_dict().items()}
    kept = X["letters"].copy()
    states = torch.get_rng_state(), check_random_state(None).get_state()[1].copy()
    report = evaluate_robustness(detector, digits.X_test, X, n_steps=2)
    assert torch.equal(states[0], torch.get_rng_state())
    np.testing.assert_array_equal(states[1], check_random_state(None).get_state()[1])
    np.testing.assert_array_equal(kept, X["letters"])
    assert all(module.training == training for module in detector.module_.modules())
    assert all(torch.equal(before[n], t) for n, t in detector.module_.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in detector.module_.parameters())
    same = evaluate_robustness(exposed, digits.X_test, X, n_steps=2)
    pd.testing.assert_series_equal(report["auroc"], same["auroc"])


def test_read_only_memmaps_are_read(tmp_path, few_corruptions):
    X = images(20, 0)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    reports = [evaluate_robustness(Linear(WEIGHT), X, each, n_steps=2) for each in (X, mapped)]
    pd.testing.assert_series_equal(reports[0]["auroc"], reports[1]["auroc"])


# ---------------------------------------------------------------- other detectors and containers


def test_any_object_that_scores_is_judged_by_what_needs_no_gradient(few_corruptions):
    class BlackBox:
        def score_samples(self, X):
            return X.mean(axis=(1, 2, 3))

    X = images(20, 0)
    report = evaluate_robustness(BlackBox(), X, X, attacks=("natural", "corrupted"))
    assert report.loc[("natural", "ood"), "auroc"] == 0.5
    assert report.loc[("corrupted", "ood"), "auroc"] < 0.5
    with pytest.raises(TypeError, match=r"BlackBox has none: attacks=\('natural', 'corrupted'\)"):
        evaluate_robustness(BlackBox(), X, X)


def test_tables_in_frames_keep_their_names():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(60, 2)), columns=["a", "b"])
    far = pd.DataFrame(rng.normal(size=(30, 2)) + 4, columns=["a", "b"])
    forest = IsolationForest(random_state=0).fit(X)
    expected = ood_report(forest, X, far, protocol="atom")
    report = evaluate_robustness(forest, X, far, attacks=["natural"])
    pd.testing.assert_series_equal(
        report["auroc"].loc["natural"], expected["auroc"], check_names=False
    )
    detector = skood.OutlierExposureDetector(max_epochs=2, random_state=0).fit(X, X_aux=(far,))
    report = evaluate_robustness(
        detector, X, far, attacks=("natural", "linf"), n_samples=20, eps=1, step_size=0.1,
        bounds=None,
    )
    assert report.loc[("linf", "ood"), "auroc"] < report.loc[("natural", "ood"), "auroc"]


def test_a_pipeline_is_judged_by_its_last_step():
    rng = np.random.default_rng(0)
    X, far = rng.normal(size=(60, 2)), rng.normal(size=(30, 2)) + 4
    detector = skood.OutlierExposureDetector(max_epochs=2, random_state=0)
    pipeline = make_pipeline(StandardScaler(), detector).fit(X, outlierexposuredetector__X_aux=far)
    report = evaluate_robustness(pipeline, X, far, attacks=["natural"])
    assert report.loc[("natural", "ood"), "n_ood"] == 30
    with pytest.raises(TypeError, match=r"pipeline\[-1\], pipeline\[:-1\].transform\(X_in\)"):
        evaluate_robustness(pipeline, X, far, attacks=["linf"], bounds=None)
    scaled = [pipeline[:-1].transform(each) for each in (X, far)]
    assert evaluate_robustness(pipeline[-1], *scaled, attacks=["linf"], bounds=None).size


def test_progress_is_shown_on_demand(few_corruptions, capsys):
    X = images(20, 0)
    evaluate_robustness(Linear(WEIGHT), X, {"far": X}, n_steps=1)
    assert capsys.readouterr().err == ""
    evaluate_robustness(Linear(WEIGHT), X, {"far": X}, n_steps=1, verbose=True)
    shown = capsys.readouterr().err
    assert all(f"X_ood['far'], {attack}: 100%" in shown for attack in ALL[1:])


# ---------------------------------------------------------------- memory


class Counting:
    """A detector of the user's own, whose work is counted."""

    asked = 0
    dtype = "float64"

    def __init__(self, weight=WEIGHT, **attributes):
        self.module_, self.scale = Linear(weight).module_, 1.0
        vars(self).update(attributes)

    def score_samples(self, X):
        Counting.asked += 1
        with torch.no_grad():
            x = torch.tensor(np.asarray(X, float) / (255 if X.dtype == np.uint8 else 1))
            return self.scale * self.module_(x)[:, 0].numpy()

    def _objective(self, logits):
        return self.scale * logits[:, 0]


class OfParameters(Counting):
    """One more, of scikit-learn's manner."""

    def get_params(self, deep=True):
        return {"scale": self.scale, "verbose": np.random.default_rng().random()}


def with_net(change, kind=Counting):
    """Return a detector whose network was changed in what may not show in natural scores."""
    detector = kind()
    change(detector.module_)
    return detector


def named(source, **seen):
    """Return the function `objective` of a notebook's cell."""
    names = {"torch": torch, **seen}
    exec(f"def objective(z{', k=' + str(seen['k']) if 'k' in seen else ''}):\n    {source}", names)
    return names["objective"]


class Objective:
    def __init__(self, factor=1.0):
        self.factor = factor

    def __call__(self, logits):
        return self.factor * logits[:, 0]


def closure(factor):
    return lambda logits: factor * logits[:, 0]


def first_logit(logits, factor=1.0):
    return factor * logits[:, 0]


def asked(*args, **arguments):
    before = Counting.asked
    report = evaluate_robustness(*args, **arguments)
    return Counting.asked - before, report


def test_what_is_finished_is_not_computed_again(few_corruptions, tmp_path):
    X, memory = images(20, 0), str(tmp_path)
    sets = {"a": images(20, 1), "b": images(20, 2)}
    of_a_set = 4 + 1 + 1  # four corruptions, linf, compositional; and always natural, one more
    n, first = asked(Counting(), X, sets, memory=memory)
    assert n == 1 + 2 * (1 + of_a_set) and len(few_corruptions) == 8
    # Another object, from a file: what counts is its content.
    detector = pickle.loads(pickle.dumps(Counting()))
    detector.module_.eval()
    n, again = asked(detector, X, sets, memory=joblib.Memory(memory, verbose=0))
    assert n == 1 + 2
    pd.testing.assert_frame_equal(first.drop(columns="seconds"), again.drop(columns="seconds"))
    kept = [report["seconds"].drop(index="natural", level="attack") for report in (first, again)]
    pd.testing.assert_series_equal(*kept)
    assert asked(detector, X[:10], {"renamed": sets["b"]}, memory=memory)[0] == 1 + 1
    n, _ = asked(detector, X, {**sets, "c": images(20, 3)}, memory=tmp_path)  # a path, too
    assert n == 1 + 3 + of_a_set


def values(report):
    return report.drop(columns="seconds")


@pytest.mark.parametrize(
    "before, change, n",
    [
        ({}, {"eps": 0.5}, 2),  # linf and, from the corruptions that are there, compositional
        ({}, {"n_restarts": 2}, 2),
        ({}, {"objective": first_logit}, 2),
        ({}, {"random_state": 1}, 6),
        ({}, {"detector": Counting(scale=2.0)}, 6),
        ({}, {"detector": Counting(weight=-WEIGHT)}, 6),
        ({}, {"X_ood": images(20, 7)}, 6),
        ({}, {"tpr": 0.9}, 0),
        ({}, {"verbose": True}, 0),
        # What natural scores do not show.
        ({}, {"detector": Counting(shift=2.0)}, 6),
        ({}, {"detector": Counting(centres_=np.ones(2))}, 6),
        ({"detector": Counting(centres_=torch.ones(2))},
         {"detector": Counting(centres_=torch.zeros(2))}, 6),
        ({"detector": Counting(centres_=torch.ones(2))},
         {"detector": Counting(centres_=torch.ones(2))}, 0),
        ({}, {"detector": OfParameters()}, 6),
        ({"detector": OfParameters()}, {"detector": OfParameters()}, 0),
        ({"detector": OfParameters()}, {"detector": OfParameters(verbose=3, n_iter_=4)}, 0),
        ({"detector": OfParameters()}, {"detector": OfParameters(centres_=np.ones(2))}, 6),
        ({"detector": OfParameters()}, {"detector": OfParameters(_shift=2.0)}, 6),
        ({}, {"detector": with_net(lambda net: setattr(net, "T", -3.0))}, 6),
        ({}, {"detector": with_net(lambda net: setattr(net[1], "act", torch.relu))}, 6),
        ({}, {"detector": with_net(lambda net: net[1].register_buffer("T", torch.ones(1)))}, 6),
        ({}, {"detector": with_net(nn.Module.eval)}, 0),
        # A name that was given anew.
        ({"objective": named("return z[:, 0]")}, {"objective": named("return z[:, 0]")}, 0),
        ({"objective": named("return z[:, 0]")}, {"objective": named("return -z[:, 0]")}, 2),
        ({"objective": named("return 2 * z[:, 0]")}, {"objective": named("return 3 * z[:, 0]")}, 2),
        ({"objective": named("return torch.sin(z[:, 0])")},
         {"objective": named("return torch.cos(z[:, 0])")}, 2),
        ({"objective": named("return (lambda: 2 * z[:, 0])()")},
         {"objective": named("return (lambda: 3 * z[:, 0])()")}, 2),
        ({"objective": named("return k * z[:, 0]", k=2)},
         {"objective": named("return k * z[:, 0]", k=3)}, 2),
        ({"objective": named("return T * z[:, 0]", T=2)},
         {"objective": named("return T * z[:, 0]", T=3)}, 2),
        ({"objective": named("return f(z)", f=named("return z[:, 0]"))},
         {"objective": named("return f(z)", f=named("return -z[:, 0]"))}, 2),
        ({"objective": closure(2)}, {"objective": closure(2)}, 0),
        ({"objective": closure(2)}, {"objective": closure(3)}, 2),
        ({"objective": partial(first_logit, factor=2)},
         {"objective": partial(first_logit, factor=2)}, 0),
        ({"objective": partial(first_logit, factor=2)},
         {"objective": partial(first_logit, factor=3)}, 2),
        ({"objective": Objective(2)}, {"objective": Objective(3)}, 2),
        ({"objective": Objective(2).__call__}, {"objective": Objective(3).__call__}, 2),
    ],
)
def test_what_depends_on_a_change_is_computed_anew(few_corruptions, tmp_path, before, change, n):
    arguments = {"detector": Counting(), "X_in": images(20, 0), "X_ood": images(20, 1)} | before
    evaluate_robustness(**arguments, memory=str(tmp_path))
    n_asked, report = asked(**arguments | change, memory=str(tmp_path))
    assert n_asked == 1 + 1 + n
    pd.testing.assert_frame_equal(values(report), values(evaluate_robustness(**arguments | change)))


@pytest.mark.parametrize(
    "kind, name, value, objective",
    [
        (Objective, "__call__", lambda self, logits: -logits[:, 0], Objective()),
        (Counting, "_objective", lambda self, logits: -logits[:, 0], None),
        (Counting, "precision", "bf16", None),
    ],
)
def test_a_class_defined_anew_is_another(tmp_path, monkeypatch, kind, name, value, objective):
    X, memory = images(20, 0), str(tmp_path)
    arguments = {"attacks": ["linf"], "objective": objective, "memory": memory}
    evaluate_robustness(Counting(), X, X, **arguments)
    assert asked(Counting(), X, X, **arguments)[0] == 2
    monkeypatch.setattr(kind, name, value, raising=name != "precision")
    assert asked(Counting(), X, X, **arguments)[0] == 3


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # it still works
@pytest.mark.parametrize("wrap", [nn.utils.parametrizations.weight_norm, torch.jit.script])
def test_a_memory_knows_networks_that_cannot_be_pickled(tmp_path, wrap):
    X, memory = images(20, 0), str(tmp_path)

    def detector(weight):
        linear = Linear(weight).module_[1]
        return Counting(module_=nn.Sequential(nn.Flatten(), wrap(linear)))

    arguments = {"attacks": ["linf"], "memory": memory}
    assert asked(detector(WEIGHT), X, X, **arguments)[0] == 3
    assert asked(detector(WEIGHT), X, X, **arguments)[0] == 2
    assert asked(detector(-WEIGHT), X, X, **arguments)[0] == 3


def test_an_interrupted_evaluation_goes_on_where_it_was(few_corruptions, tmp_path, monkeypatch):
    arguments = {
        "detector": Counting(), "X_in": images(20, 0),
        "X_ood": {"a": images(20, 1), "b": images(20, 2)}, "memory": str(tmp_path),
    }
    whole = evaluate_robustness(**arguments | {"memory": None})
    climb, n_runs = attacks._climb, []

    def stop_at_the_third(*args):
        n_runs.append(1)
        if len(n_runs) == 3:
            raise KeyboardInterrupt
        return climb(*args)

    monkeypatch.setattr(attacks, "_climb", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        evaluate_robustness(**arguments)
    n, resumed = asked(**arguments)
    assert n == 1 + 2 + 2  # natural, linf and compositional of the second set
    pd.testing.assert_frame_equal(values(resumed), values(whole))


def test_a_memory_knows_a_fitted_detector_again(digits, exposed, tmp_path, monkeypatch):
    n_runs, climb = [], attacks._climb
    monkeypatch.setattr(attacks, "_climb", lambda *args: n_runs.append(1) or climb(*args))

    def evaluate(detector):
        before = len(n_runs)
        evaluate_robustness(
            detector, digits.X_test, digits.ood["letters"][:10], attacks=["linf"], n_steps=1,
            memory=str(tmp_path),
        )
        return len(n_runs) - before

    assert evaluate(exposed) == 1
    assert evaluate(exposed) == 0
    assert evaluate(pickle.loads(pickle.dumps(exposed))) == 0
    again = copy.deepcopy(exposed).set_params(verbose=True)
    assert evaluate(again.fit(digits.X_train, digits.y_train, X_aux=(digits.X_aux,))) == 0
    with torch.no_grad():
        next(again.module_.parameters()).mul_(1.001)
    assert evaluate(again) == 1


def test_a_memory_says_what_it_cannot_recognise(tmp_path):
    X, memory = images(5, 0), str(tmp_path)
    with pytest.raises(ValueError, match="detector cannot be pickled .*lock.* or pass memory=None"):
        evaluate_robustness(Counting(lock=threading.Lock()), X, X, memory=memory)
    lock = threading.Lock()
    with pytest.raises(ValueError, match="objective cannot be pickled .*lock"):
        evaluate_robustness(
            Counting(), X, X, attacks=["linf"], objective=lambda z: z[:, 0] if lock else z,
            memory=memory,
        )


# ---------------------------------------------------------------- bad input

X = images(5, 0)
TOKENS = Linear(WEIGHT)
TOKENS.dtype = "int64"
WITHOUT_OBJECTIVE = Golden("lin", scores.msp)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"attacks": ("natural", "l2")}, ValueError, r"attacks must be among .*, got 'l2'"),
        ({"attacks": ()}, ValueError, "one or more different names"),
        ({"attacks": ("linf", "linf")}, ValueError, "one or more different names"),
        ({"X_ood": {}}, ValueError, "X_ood is empty"),
        ({"X_ood": {"mean": X}}, ValueError, "must not name a set 'mean'"),
        ({"X_ood": {"a": X[:0]}}, ValueError, r"X_ood\['a'\] is empty"),
        ({"X_ood": {"a": X[:, :1]}}, ValueError, r"shape of a sample of X_in, \(3, 4, 4\); got"),
        ({"X_ood": X[:, 0, 0, 0]}, ValueError, r"X_ood\['ood'\] must hold numbers of shape \(n, d"),
        ({"X_ood": X.astype(str)}, ValueError, "must hold numbers"),
        ({"X_in": X[:0]}, ValueError, "X_in is empty"),
        ({"X_in": torch.utils.data.TensorDataset(torch.ones(2, 3))}, TypeError, "SliceDataset"),
        ({"X_ood": X * 1.0, "attacks": "linf"}, ValueError,
         r"X_ood\['ood'\] must lie within bounds=\(0, 1\), got values from \d+ to 2\d\d"),
        ({"X_ood": X / np.nan, "attacks": "linf"}, ValueError, "within bounds"),
        ({"bounds": (0.5, 1)}, ValueError, "which bounds=.* must contain"),
        ({"X_ood": X / 255, "bounds": (0.5, 1), "attacks": "linf"}, ValueError,
         r"bounds=\(0.5, 1\), got values"),
        ({"eps": 4, "step_size": 1, "bounds": (0, 255)}, ValueError,
         r"X_ood\['a'\] holds 8-bit .* units of \[0, 1\], so 8/255 .* eps=4 and bounds=\(0, 2"),
        ({"eps": 4, "attacks": "linf"}, ValueError, "so 8/255 .* eps=4"),
        ({"eps": 4, "attacks": "linf", "bounds": None}, ValueError, "so 8/255 .* bounds=None"),
        ({"bounds": (0, 255), "attacks": "linf"}, ValueError, r"must be \(0, 1\) or None"),
        ({"bounds": (-1, 1), "attacks": "compositional"}, ValueError, r"must be \(0, 1\) or None"),
        ({"bounds": 1}, TypeError, "bounds must be a pair"),
        ({"eps": -PX}, ValueError, "eps must be finite and at least 0"),
        ({"step_size": 0}, ValueError, "step_size must be finite and above 0"),
        ({"n_steps": 1.5}, TypeError, "n_steps must be an integer"),
        ({"n_restarts": 0}, ValueError, "n_restarts must be at least 1"),
        ({"n_samples": 0}, ValueError, "n_samples must be at least 1"),
        ({"tpr": 95}, ValueError, "tpr must be in"),
        ({"random_state": "0"}, ValueError, "seed"),
        ({"memory": 3}, ValueError, "memory"),
        ({"objective": 3}, TypeError, "objective must be callable"),
        ({"objective": lambda z: z}, ValueError, r"objective must return a tensor of shape"),
        ({"detector": "msp"}, TypeError, "detector must have score_samples"),
        ({"detector": TOKENS}, ValueError, "move floats, but the network reads int64"),
        ({"detector": WITHOUT_OBJECTIVE}, TypeError, "no differentiable score .* pass objective="),
        ({"detector": skood.OutlierExposureDetector()}, NotFittedError, "not fitted"),
        *[
            ({"X_in": wrong, "X_ood": {"b": wrong}, "attacks": attacks, "bounds": bounds},
             ValueError, rf"X_ood\['b'\] must hold images .* {came}.* leave out 'corr")
            for attacks in ("corrupted", ("natural", "compositional"))
            for wrong, bounds, came in [
                (X[:, 0, 0], (0, 1), r"shape \(5, 4\)"),
                (X[:, :2], (0, 1), r"shape \(5, 2, 4, 4\)"),
                (X[:, :, :3], (0, 1), r"shape \(5, 3, 3, 4\)"),
                (X[..., :3], (0, 1), r"shape \(5, 3, 4, 3\)"),
                (X / 127.5 - 1, (-1, 1), r"float64 .*, from -\d.* to"),
                (X / 100, (0, 3), "float64 .* to 2"),
                (X / np.nan, None, "from nan to nan"),
                (X.astype(int), (0, 255), "int64 .* to 2"),
            ]
        ],
    ],
)
def test_wrong_arguments_are_named(change, error, message, few_corruptions):
    arguments = {"detector": Linear(WEIGHT), "X_in": X, "X_ood": {"a": X}, "n_steps": 1}
    with pytest.raises(error, match=message):
        evaluate_robustness(**arguments | change)


@pytest.mark.parametrize("bounds", [None, (0, 1), [0.0, 1.0]])
@pytest.mark.parametrize("n_channels", [1, 3])
def test_8_bit_images_of_any_kind_are_attacked(few_corruptions, n_channels, bounds):
    X = images(5, 0)[:, :n_channels]
    detector = Linear(WEIGHT[: n_channels * 16])
    report = evaluate_robustness(detector, X, X, n_steps=1, eps=1, bounds=bounds)
    assert report.loc[("compositional", "ood"), "auroc"] < 0.5


def test_scores_that_are_not_finite_name_their_set():
    class Broken:
        def score_samples(self, X):
            return np.full(len(X), np.nan if len(X) == 3 else 1.0)

    with pytest.raises(ValueError, match=r"scores of X_ood\['a'\], natural has 3 NaN"):
        evaluate_robustness(Broken(), X, {"a": X[:3]}, attacks=["natural"])
