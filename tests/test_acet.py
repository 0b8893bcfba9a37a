"""ACET: Outlier Exposure with half of the outliers attacked, and what that buys."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from torch import nn

from skood import ACETDetector, OutlierExposureDetector, scores
from skood.attacks import pgd_linf
from skood.datasets import load_digits_ood
from skood.engine.attack import held_still
from skood.metrics import auroc

FAST = {"max_epochs": 2, "batch_size": 16, "random_state": 0}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 40)
    X = (rng.normal(size=(120, 4)) + 4 * np.eye(3, 4)[y]).astype(np.float32)
    return X, y, rng.uniform(-6, 6, size=(200, 4)).astype(np.float32)


def logits(detector, X):
    with torch.no_grad():
        return detector.module_(torch.from_numpy(X)).double().numpy()


def assert_equal_fits(one, other, X):
    np.testing.assert_array_equal(one.score_samples(X), other.score_samples(X))
    assert one.offset_ == other.offset_
    losses = [[row["train_loss"] for row in each.history_] for each in (one, other)]
    assert losses[0] == losses[1]
    tensors = (each.module_.state_dict().values() for each in (one, other))
    assert all(torch.equal(*pair) for pair in zip(*tensors, strict=True))


class Stochastic(nn.Sequential):
    """Batch statistics and dropout: a net that remembers and one that draws."""

    def __init__(self, input_shape, n_outputs):
        super().__init__(
            nn.Linear(input_shape[0], 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(16, n_outputs),
        )


# ---- beside Outlier Exposure


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("score", ["msp", "uniform"])
@pytest.mark.parametrize("beta", [0.5, 1.0])
def test_without_steps_it_is_outlier_exposure(table, labelled, score, beta):
    X, y, A = table
    settings = {"beta": beta, "score": score, "outlier_ratio": 1.5} | FAST
    acet = ACETDetector(Stochastic, n_steps=0, **settings)
    oe = OutlierExposureDetector(Stochastic, **settings)
    for detector in (acet, oe):
        detector.fit(X, y if labelled else None, X_aux=(A,))
    assert_equal_fits(acet, oe, A)


def test_the_score_decides_nothing_in_training(table):
    X, y, A = table
    msp, uniform = (
        ACETDetector(score=score, **FAST).fit(X, y, X_aux=(A,)) for score in ("msp", "uniform")
    )
    z = logits(msp, A)
    np.testing.assert_array_equal(logits(uniform, A), z)
    np.testing.assert_allclose(msp.score_samples(A), softmax(z, axis=1).max(axis=1))
    np.testing.assert_allclose(uniform.score_samples(A), logsumexp(z, axis=1) - z.mean(axis=1))


def test_without_labels_the_score_is_minus_the_probability_of_the_outliers(table):
    X, _, A = table
    fitted = ACETDetector(**FAST).fit(X, A)
    np.testing.assert_allclose(fitted.score_samples(A), -softmax(logits(fitted, A), axis=1)[:, 1])


# ---- the attack in training


class Watched(ACETDetector):
    """Notes the outliers of every batch before and after, and the network's logits on both."""

    seen: list = []

    def _perturbation(self):
        perturb = super()._perturbation()

        def watched(x_out):
            moved = perturb(x_out)
            attacked = slice(len(x_out) // 2, None)
            with held_still(self.module_), torch.no_grad():
                outputs = [self.module_(each[attacked]) for each in (x_out, moved)]
            self.seen.append((x_out, moved, *outputs))
            assert self.module_.training
            return moved

        return watched


@pytest.fixture
def watched():
    Watched.seen.clear()
    return Watched


@pytest.mark.parametrize("score", ["msp", "uniform"])
@pytest.mark.parametrize("labelled", [True, False])
def test_the_attack_raises_what_training_lowers_on_the_second_half(
    table, watched, labelled, score
):
    X, y, A = table
    fitted = watched(Stochastic, score=score, dtype="float64", outlier_ratio=1.4, **FAST)
    fitted.fit(X, y if labelled else None, X_aux=(A,))
    assert len(watched.seen) == 2 * 8
    n_raised = 0
    for x_out, moved, before, after in watched.seen:
        half = len(x_out) // 2
        assert len(x_out) == 21 and len(before) == 11
        assert torch.equal(moved[:half], x_out[:half])
        assert (moved - x_out).abs().max() <= fitted.eps_ + 1e-12
        climbed = scores.uniform if labelled else lambda z: scores.abstention(z, log_odds=True)
        assert (climbed(after) >= climbed(before)).all()
        n_raised += (climbed(after) > climbed(before)).sum()
    assert n_raised > 0.9 * 16 * 11


def test_attacked_images_stay_within_reach_and_range(watched):
    rng = np.random.default_rng(0)
    X, A = (rng.integers(256, size=(n, 1, 8, 8), dtype=np.uint8) for n in (20, 40))
    A[:, :, :4], A[:, :, 4:] = 0, 255  # at the edges of the range
    fitted = watched(**FAST | {"batch_size": 10}).fit(X, np.arange(20) % 2, X_aux=(A,))
    assert (fitted.eps_, fitted.step_size_, fitted.bounds_) == (8 / 255, 2 / 255, (0.0, 1.0))
    for x_out, moved, *_ in watched.seen:
        assert moved.min() >= 0 and moved.max() <= 1
        assert 0 < (moved - x_out).abs().max() <= 8 / 255 + 1e-6


def test_a_table_needs_its_range_beside_eps(table):
    X, y, A = table
    with pytest.raises(ValueError, match="range must be given, too: bounds="):
        ACETDetector(eps=0.1).fit(X, y, X_aux=(A,))
    bounded = ACETDetector(eps=0.1, bounds=(-9, 9), **FAST).fit(X, y, X_aux=(A,))
    assert (bounded.eps_, bounded.step_size_, bounded.bounds_) == (0.1, 0.025, (-9, 9))


def test_token_ids_cannot_be_attacked(table):
    X, y, A = table
    with pytest.raises(ValueError, match="'dtype' parameter of ACETDetector must be a str among"):
        ACETDetector(dtype="int64").fit(X, y, X_aux=(A,))


# ---- classes


def test_classes_are_predicted_among_those_of_y(table):
    X, y, A = table
    names = np.array(["ash", "birch", "oak"])[y]
    fitted = ACETDetector(max_epochs=20, lr=0.01, random_state=0).fit(X, names, X_aux=(A,))
    assert set(fitted.predict_class(A)) <= {"ash", "birch", "oak"}
    assert (fitted.predict_class(X) == names).mean() > 0.9
    np.testing.assert_allclose(fitted.predict_proba(A).sum(axis=1), 1, rtol=1e-12)


# ---- on real digits


def mean_auroc(detector, X_test, unseen):
    known = detector.score_samples(X_test)
    return np.mean([
        auroc(np.r_[np.ones(len(X_test)), -np.ones(len(new))],
              np.r_[known, detector.score_samples(new)])
        for new in unseen
    ])


def attacked(detector, X, eps):
    moved = pgd_linf(
        lambda x: detector._objective(detector.module_(x)), torch.from_numpy(X), eps, eps / 4,
        n_steps=20, generator=torch.Generator().manual_seed(0),
    )
    return moved.numpy()


@pytest.mark.parametrize("seed", [0, 1])
def test_acet_beats_the_plain_net_and_under_attack_outlier_exposure_on_real_digits(seed):
    data = load_digits_ood()
    X, X_test, A, *unseen = (
        images.reshape(len(images), -1) / np.float32(255)
        for images in (data.X_train, data.X_test, data.X_aux, *data.ood.values())
    )
    eps = 0.2
    acet = ACETDetector(max_epochs=20, eps=eps, bounds=(0, 1), random_state=seed)
    same = {"max_epochs": 20, "beta": 1.0, "outlier_ratio": 1.0}  # but for the attack
    oe = OutlierExposureDetector(random_state=seed, **same)
    plain = OutlierExposureDetector(max_epochs=0, pretrain_epochs=20, random_state=seed)
    for detector in (acet, oe, plain):
        detector.fit(X, data.y_train, X_aux=(A,))
    assert mean_auroc(acet, X_test, unseen) > mean_auroc(plain, X_test, unseen) + 0.05
    robust, usual = (
        mean_auroc(each, X_test, [attacked(each, new, eps) for new in unseen])
        for each in (acet, oe)
    )
    assert robust > usual + 0.015
    assert (acet.predict_class(X_test) == data.y_test).mean() > 0.95
