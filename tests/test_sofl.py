"""SOFL: reject classes, pseudo-labels, two phases, and what it detects."""

import copy

import numpy as np
import pytest
import torch
from scipy.special import softmax
from skorch.callbacks import Callback
from torch.nn import functional as F

from skood import NTOMDetector, OutlierExposureDetector, SOFLDetector
from skood.datasets import load_digits_ood
from skood.metrics import auroc
from skood.nn import MLP

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


def far_from_X(A):
    return np.linalg.norm(A[:, None] - 4 * np.eye(3, 4), axis=2).min(axis=1) > 4


def one_step(Detector, table, module, **params):
    """Fit by one step of plain gradient descent on everything at once."""
    X, y, A = table
    return Detector(
        module, max_epochs=1, pretrain_epochs=0, batch_size=120, outlier_ratio=200 / 120, lr=0.5,
        optimizer=torch.optim.SGD, schedule="constant", dtype="float64", random_state=0, **params,
    ).fit(X, y, X_aux=(A,)).module_


# ---- the loss at work


def test_with_one_reject_class_a_step_is_that_of_ntom(table):
    net = MLP((4,), 4, hidden=(8,)).double()
    sofl = one_step(SOFLDetector, table, net, n_reject=1, beta=0.7)
    ntom = one_step(NTOMDetector, table, net, beta=0.7, quantile=0, pool_size=200)  # keeps all
    for after, expected in zip(sofl.parameters(), ntom.parameters(), strict=True):
        torch.testing.assert_close(after, expected, rtol=1e-9, atol=1e-12)


def test_a_step_is_the_gradient_of_the_papers_loss(table):
    X, y, A = (torch.from_numpy(each) for each in table)
    net = MLP((4,), 5, hidden=(8,)).double()
    with torch.no_grad():
        list(net.parameters())[-1][3:] += 20  # every outlier is in a reject class already
    stepped = one_step(SOFLDetector, table, net, n_reject=2)
    by_hand = copy.deepcopy(net)
    a, b = by_hand(X.double()), by_hand(A.double())
    assert set(b.argmax(dim=1).tolist()) == {3, 4}
    (F.cross_entropy(a, y) + 5 * F.cross_entropy(b, b.argmax(dim=1))).backward()
    for after, before in zip(stepped.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(after, before - 0.5 * before.grad, rtol=1e-9, atol=1e-12)


def test_outliers_come_to_be_rejected_and_X_does_not(table):
    X, y, A = table
    A = A[far_from_X(A)]
    fitted = SOFLDetector(
        max_epochs=40, pretrain_epochs=2, batch_size=16, lr=0.01, random_state=0
    ).fit(X, y, X_aux=(A,))
    assert (logits(fitted, A).argmax(axis=1) >= 3).mean() > 0.9
    assert (logits(fitted, X).argmax(axis=1) == y).mean() > 0.9


# ---- phases


class Watching(Callback):
    """Notes the state of the optimizer with which each phase begins."""

    seen: list = []

    def on_train_begin(self, net, **kwargs):
        optimizer = net.optimizer_
        self.seen.append((len(optimizer.state), optimizer.param_groups[0]["lr"]))


def test_two_phases_each_with_a_fresh_optimizer(table):
    X, y, A = table
    Watching.seen.clear()
    fitted = SOFLDetector(callbacks=[Watching()], lr=0.002, **FAST).fit(X, y, X_aux=(A,))
    assert [row["phase"] for row in fitted.history_] == ["pretrain"] * 2 + ["exposure"] * 2
    assert fitted.n_iter_ == 4
    assert Watching.seen == [(0, 0.002), (0, 0.002)]


def test_the_first_phase_is_a_classifier_over_all_outputs(table):
    X, y, A = table
    only = SOFLDetector(**FAST | {"max_epochs": 0, "pretrain_epochs": 30}).fit(X, y, X_aux=(A,))
    assert logits(only, X).shape == (120, 8)
    assert only.predict_class(X).tolist() == y.tolist()
    assert (only.score_samples(X) > -0.1).mean() > 0.9  # no reject class holds X


def test_a_trained_network_is_given_reject_classes_and_no_first_phase(table):
    X, y, A = table
    start = OutlierExposureDetector(max_epochs=0, pretrain_epochs=2, random_state=0)
    start = start.fit(X, y, X_aux=(A,)).module_
    before = copy.deepcopy(start.state_dict())
    fitted = SOFLDetector(start, n_reject=4, lr=1e-9, **FAST).fit(X, y, X_aux=(A,))
    assert [row["phase"] for row in fitted.history_] == ["exposure"] * 2
    assert all(torch.equal(start.state_dict()[name], before[name]) for name in before)
    z = logits(fitted, X)
    assert z.shape == (120, 7)
    with torch.no_grad():
        np.testing.assert_allclose(z[:, :3], start(torch.from_numpy(X)), atol=1e-5)


def test_without_labels_X_stands_against_the_reject_classes(table):
    X, _, A = table
    fitted = SOFLDetector(n_reject=3, max_epochs=15, batch_size=16, lr=0.01, random_state=0)
    fitted.fit(X, A)
    assert [row["phase"] for row in fitted.history_] == ["exposure"] * 15
    p = softmax(logits(fitted, X), axis=1)
    assert p.shape == (120, 4)
    np.testing.assert_allclose(fitted.score_samples(X), -(1 - p[:, 0]), atol=1e-12)
    far = A[far_from_X(A)]
    truth = np.r_[np.ones(len(X)), -np.ones(len(far))]
    assert auroc(truth, fitted.score_samples(np.r_[X, far])) > 0.95


# ---- score and classes


@pytest.mark.parametrize("n_reject", [1, 5])
def test_the_score_is_what_the_classes_leave(table, n_reject):
    X, y, A = table
    fitted = SOFLDetector(n_reject=n_reject, **FAST).fit(X, y, X_aux=(A,))
    kept = softmax(logits(fitted, A), axis=1)[:, :3].sum(axis=1)
    np.testing.assert_allclose(fitted.score_samples(A), -(1 - kept), rtol=0, atol=1e-12)
    objective = fitted._objective(torch.from_numpy(logits(fitted, A)))
    np.testing.assert_allclose(objective, np.log(kept / (1 - kept)), rtol=1e-6)


def test_classes_are_predicted_among_those_of_y(table):
    X, y, A = table
    names = np.array(["ash", "birch", "oak"])[y]
    fitted = SOFLDetector(max_epochs=20, lr=0.01, random_state=0).fit(X, names, X_aux=(A,))
    assert set(fitted.predict_class(A)) <= {"ash", "birch", "oak"}  # of outliers, too
    assert (fitted.predict_class(X) == names).mean() > 0.9
    p = fitted.predict_proba(A)
    assert p.shape == (200, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("n_reject", [0, -1, 2.0])
def test_a_number_of_reject_classes_that_cannot_be(table, n_reject):
    X, y, A = table
    with pytest.raises(ValueError, match="'n_reject' parameter of SOFLDetector must be an int"):
        SOFLDetector(n_reject=n_reject).fit(X, y, X_aux=(A,))


# ---- on real digits


@pytest.mark.parametrize("seed", [0, 1])
def test_sofl_beats_the_same_net_without_outliers_on_real_digits(seed):
    data = load_digits_ood()
    X, X_test, A, *unseen = (
        images.reshape(len(images), -1) / np.float32(255)
        for images in (data.X_train, data.X_test, data.X_aux, *data.ood.values())
    )
    sofl = SOFLDetector(max_epochs=20, random_state=seed)
    plain = OutlierExposureDetector(max_epochs=0, pretrain_epochs=40, random_state=seed)
    results = []
    for detector in (sofl, plain):
        detector.fit(X, data.y_train, X_aux=(A,))
        known = detector.score_samples(X_test)
        results.append(np.mean([
            auroc(np.r_[np.ones(len(X_test)), -np.ones(len(new))],
                  np.r_[known, detector.score_samples(new)])
            for new in unseen
        ]))
    assert sofl.n_iter_ == plain.n_iter_
    assert results[0] > results[1] + 0.05
    assert (sofl.predict_class(X_test) == data.y_test).mean() > 0.95
