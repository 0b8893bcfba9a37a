"""A fit touches nothing but its detector, and all that it does follows from its arguments."""

import copy
import os
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from joblib import Parallel, delayed
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from skood import EnergyExposureDetector, OutlierExposureDetector
from skood.nn import MLP

from .instances import make_training as make

FAST = {"max_epochs": 2, "batch_size": 16, "random_state": 0}
DETECTORS = [OutlierExposureDetector, EnergyExposureDetector]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=60)
    X = (rng.normal(size=(60, 4)) + 3 * np.eye(3, 4)[y]).astype(np.float32)
    return X, y, rng.uniform(-6, 6, size=(80, 4)).astype(np.float32)


def fitted(table, module=None, **params):
    X, y, A = table
    return OutlierExposureDetector(module, **(FAST | params)).fit(X, y, X_aux=A)


class Stochastic(nn.Module):
    """Batch statistics and dropout: a net that remembers and one that draws."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.body = nn.Linear(input_shape[0], 16)
        self.norm = nn.BatchNorm1d(16)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(16, n_outputs)

    def forward(self, x):
        return self.head(self.drop(self.norm(self.body(x)).relu()))


def photograph(module):
    """Return everything that could change about a net."""
    hooks = [name for name in vars(nn.Module()) if "hook" in name]
    return {
        "tensors": {
            name: (id(tensor), tensor.requires_grad, tensor.grad, tensor.detach().clone())
            for name, tensor in [*module.named_parameters(), *module.named_buffers()]
        },
        "layers": {
            name: (id(layer), layer.training, sorted(vars(layer)),
                   [dict(getattr(layer, each) or {}) for each in hooks])
            for name, layer in module.named_modules()
        },
    }


def assert_untouched(module, before):
    now = photograph(module)
    assert now["layers"] == before["layers"]
    assert now["tensors"].keys() == before["tensors"].keys()
    for name, (*facts, values) in now["tensors"].items():
        *expected, expected_values = before["tensors"][name]
        assert facts == expected
        assert torch.equal(values, expected_values)


def state(detector):
    """Return what a detector is: parameters, fitted attributes, and the net's tensors."""
    attributes = {name: value for name, value in vars(detector).items() if name != "module_"}
    module = getattr(detector, "module_", None)
    tensors = {} if module is None else {k: v.clone() for k, v in module.state_dict().items()}
    return id(module), copy.copy(attributes), tensors


def assert_state(detector, before):
    now = state(detector)
    assert now[0] == before[0]
    assert now[1].keys() == before[1].keys()
    for name, value in now[1].items():
        assert value is before[1][name]
    assert now[2].keys() == before[2].keys()
    assert all(torch.equal(now[2][name], tensor) for name, tensor in before[2].items())


# ---- the user's net


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("n_outputs", [3, 2])
def test_two_detectors_on_one_net_leave_it_as_it_was(table, training, n_outputs):
    X, y, A = table
    y = y % n_outputs
    net = Stochastic((4,), n_outputs).train(training)
    net.norm.eval()
    net.body.bias.requires_grad_(False)
    net.note = "mine"
    net.register_forward_hook(lambda *args: None)
    before = photograph(net)
    detectors = [Detector(net, **FAST).fit(X, y, X_aux=A) for Detector in DETECTORS]
    for detector in detectors:
        for method in ("score_samples", "predict", "predict_proba", "predict_class"):
            getattr(detector, method)(A)
    assert_untouched(net, before)
    alone = EnergyExposureDetector(copy.deepcopy(net), **FAST).fit(X, y, X_aux=A)
    np.testing.assert_array_equal(detectors[1].score_samples(A), alone.score_samples(A))


@pytest.mark.parametrize("Detector", DETECTORS)
def test_a_net_that_has_to_be_widened_is_left_as_it_was(table, Detector):
    X, _, A = table
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    before = photograph(net)
    Detector(net, **FAST).fit(X, A)
    assert_untouched(net, before)
    assert net[2].out_features == 1


def test_a_callable_that_returns_the_users_net_is_given_a_copy_of_it(table):
    net = Stochastic((4,), 3)
    before = photograph(net)
    detector = fitted(table, lambda input_shape, n_outputs: net)
    assert_untouched(net, before)
    np.testing.assert_array_equal(
        detector.score_samples(table[2]), fitted(table, net).score_samples(table[2])
    )


def test_a_callable_that_changes_its_options_changes_copies(table):
    def on_backbone(input_shape, n_outputs, backbone):
        backbone[1] = nn.Linear(8, n_outputs)
        return backbone

    backbone = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 1000))
    before = photograph(backbone)
    fitted(table, on_backbone, module__backbone=backbone)
    assert_untouched(backbone, before)


def test_a_fit_that_fails_leaves_the_users_net_as_it_was(table):
    X, y, A = table
    net = Stochastic((4,), 3)
    before = photograph(net)
    with pytest.raises(RuntimeError, match="stop"):
        OutlierExposureDetector(net, callbacks=[Raising(RuntimeError)], **FAST).fit(X, y, X_aux=A)
    assert_untouched(net, before)


def test_scores_do_not_follow_the_users_net(table):
    X, y, A = table
    net = Stochastic((4,), 3)
    detector = fitted(table, net)
    scores = detector.score_samples(A)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(torch.from_numpy(X)), torch.from_numpy(y)).backward()
        optimizer.step()
    np.testing.assert_array_equal(detector.score_samples(A), scores)
    # Nor does one detector follow another that was built on its net.
    EnergyExposureDetector(detector.module_, **FAST).fit(X, y, X_aux=A)
    np.testing.assert_array_equal(detector.score_samples(A), scores)


def test_scores_do_not_depend_on_the_mode_of_the_net(table):
    A = table[2]
    detector = fitted(table, Stochastic)
    scores, tensors = detector.score_samples(A), state(detector)
    detector.module_.train()
    detector.module_.norm.eval()
    np.testing.assert_array_equal(detector.score_samples(A), scores)
    modes = {name: layer.training for name, layer in detector.module_.named_modules()}
    assert modes == {"": True, "body": True, "norm": False, "drop": True, "head": True}
    assert_state(detector, tensors)


def test_a_net_in_training_mode_scores_alike_in_many_threads(table):
    A = np.tile(table[2], (50, 1))
    detector = fitted(table, Stochastic)
    expected, before = detector.score_samples(A), state(detector)
    detector.module_.train()
    found = Parallel(n_jobs=4, backend="threading")(
        delayed(detector.score_samples)(A) for _ in range(40)
    )
    assert_state(detector, before)  # the batch statistics among the rest
    for scores in found:
        np.testing.assert_array_equal(scores, expected)


def test_scoring_leaves_the_detector_as_it_was(table):
    detector = fitted(table, Stochastic)
    before, photo = state(detector), photograph(detector.module_)
    for method in ("score_samples", "decision_function", "predict", "predict_proba"):
        getattr(detector, method)(table[2])
    assert_state(detector, before)
    assert_untouched(detector.module_, photo)


def test_arguments_are_not_written_to(table):
    X, y, A = (each.copy() for each in table)
    for each in (X, y, A):
        each.flags.writeable = False
    detector = OutlierExposureDetector(**FAST).fit(X, y, X_aux=(A,))
    detector.score_samples(A)
    images = np.random.default_rng(0).integers(256, size=(20, 1, 8, 8), dtype=np.uint8)
    images.flags.writeable = False
    OutlierExposureDetector(**FAST).fit(images, images).score_samples(images)


# ---- fitting again


@pytest.mark.parametrize("name", make())
def test_fitting_again_is_fitting_anew(table, name):
    X, y, A = table
    short = {"max_epochs": 1, "random_state": 0}
    again = make()[name].set_params(**short)
    again.fit(X[:, :2], y % 2, X_aux=A[:, :2])
    again.fit(X, y, X_aux=A)
    anew = make()[name].set_params(**short).fit(X, y, X_aux=A)
    np.testing.assert_array_equal(again.score_samples(A), anew.score_samples(A))
    np.testing.assert_array_equal(again.predict_proba(A), anew.predict_proba(A))
    assert vars(again).keys() == vars(anew).keys()
    assert again.n_features_in_ == 4 and again.n_iter_ == anew.n_iter_
    assert len(again.history_) == len(anew.history_)


def test_fitting_again_forgets_labels_and_names(table):
    X, y, A = table
    detector = OutlierExposureDetector(**FAST)
    named_X, named_A = (pd.DataFrame(each, columns=list("abcd")) for each in (X, A))
    detector.fit(named_X, y, X_aux=(named_A,))
    assert list(detector.classes_) == [0, 1, 2] and hasattr(detector, "feature_names_in_")
    detector.fit(X, A)
    assert detector.classes_ is None
    assert not hasattr(detector, "feature_names_in_")
    for method in ("predict_proba", "predict_class"):
        assert not hasattr(detector, method)
        with pytest.raises(AttributeError) as raised:
            getattr(detector, method)
        assert "without labels of two or more classes" in str(raised.value.__cause__)
    np.testing.assert_array_equal(
        detector.score_samples(A), OutlierExposureDetector(**FAST).fit(X, A).score_samples(A)
    )


class SometimesMeasuring(OutlierExposureDetector):
    def _problem(self, data, rng):
        if self.classes_ is not None:
            self.measured_ = len(data.x_in)
        return super()._problem(data, rng)


def test_fitting_again_forgets_what_only_the_first_fit_had(table):
    X, y, A = table
    detector = SometimesMeasuring(**FAST).fit(X, y, X_aux=A)
    assert detector.measured_ == 60
    assert not hasattr(detector.fit(X, A), "measured_")


def test_fitting_again_does_not_start_from_the_first_fit(table):
    X, y, A = table
    net = Stochastic((4,), 3)
    detector = fitted(table, net)
    scores, first = detector.score_samples(A), detector.module_
    np.testing.assert_array_equal(detector.fit(X, y, X_aux=A).score_samples(A), scores)
    assert detector.module_ is not first


# ---- reproducible everywhere


def scores_of(table, random_state, Detector=OutlierExposureDetector):
    X, y, A = table
    params = FAST | {"random_state": random_state}
    return Detector(Stochastic, **params).fit(X, y, X_aux=A).score_samples(A)


@pytest.mark.parametrize("Detector", DETECTORS)
def test_the_seed_decides(table, Detector):
    expected = scores_of(table, 0, Detector)
    np.testing.assert_array_equal(scores_of(table, 0, Detector), expected)
    np.testing.assert_array_equal(scores_of(table, np.random.RandomState(7), Detector),
                                  scores_of(table, np.random.RandomState(7), Detector))
    assert not np.array_equal(scores_of(table, 1, Detector), expected)
    assert not np.array_equal(scores_of(table, None, Detector), scores_of(table, None, Detector))


def test_a_random_state_moves_on_from_fit_to_fit(table):
    shared = np.random.RandomState(0)
    assert not np.array_equal(scores_of(table, shared), scores_of(table, shared))


def test_synthetic_outliers_follow_the_seed(table):
    X, y, A = table
    first, second, other = (
        OutlierExposureDetector(**(FAST | {"random_state": seed})) for seed in (0, 0, 1)
    )
    with pytest.warns(UserWarning, match="synthetic"):
        first, second, other = (each.fit(X, y).score_samples(A) for each in (first, second, other))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_the_same_in_four_threads(table):
    seeds = [0, 1, 2, 3] * 3
    expected = {seed: scores_of(table, seed) for seed in set(seeds)}
    found = Parallel(n_jobs=4, backend="threading")(
        delayed(scores_of)(table, seed) for seed in seeds
    )
    for seed, scores in zip(seeds, found, strict=True):
        np.testing.assert_array_equal(scores, expected[seed])


def test_the_same_in_two_processes(table):
    seeds = [0, 1, 0, 1]
    found = Parallel(n_jobs=2)(delayed(scores_of)(table, seed) for seed in seeds)
    for seed, scores in zip(seeds, found, strict=True):
        np.testing.assert_array_equal(scores, scores_of(table, seed))


def test_one_detector_scores_in_many_threads(table):
    A = table[2]
    detector = fitted(table, Stochastic)
    expected = detector.score_samples(A)
    found = Parallel(n_jobs=4, backend="threading")(
        delayed(detector.score_samples)(A) for _ in range(40)
    )
    for scores in found:
        np.testing.assert_array_equal(scores, expected)


def test_scoring_beside_a_fit(table):
    A = table[2]
    scorer = fitted(table, Stochastic)
    expected, fits, ended = scorer.score_samples(A), [], threading.Event()

    def fit():
        fits.extend(scores_of(table, 0) for _ in range(3))
        ended.set()

    thread = threading.Thread(target=fit)
    thread.start()
    while not ended.is_set():
        np.testing.assert_array_equal(scorer.score_samples(A), expected)
    thread.join()
    for scores in fits:
        np.testing.assert_array_equal(scores, scores_of(table, 0))


@pytest.mark.parametrize("random_state", [None, 0, "RandomState"])
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("name", make())
def test_global_random_states_are_not_touched(table, name, random_state, fails):
    X, y, A = table
    if random_state == "RandomState":
        random_state = np.random.RandomState(0)
    detector = make()[name].set_params(max_epochs=1, random_state=random_state)
    if fails:
        detector.set_params(callbacks=[Raising(RuntimeError, epoch=1)])
    of_torch, of_numpy = torch.get_rng_state(), np.random.get_state(legacy=False)  # noqa: NPY002
    try:
        detector.fit(X, y, X_aux=A).score_samples(A)
        assert not fails
    except RuntimeError:
        assert fails
    assert torch.equal(torch.get_rng_state(), of_torch)
    np.testing.assert_equal(np.random.get_state(legacy=False), of_numpy)  # noqa: NPY002


def test_global_seeds_do_not_matter(table):
    expected = scores_of(table, 0)
    torch.manual_seed(123)
    np.testing.assert_array_equal(scores_of(table, 0), expected)


# ---- fits that fail, and fits that are interrupted


class Raising(Callback):
    """Raises at the end of an epoch."""

    def __init__(self, error, epoch=2):
        self.error = error
        self.epoch = epoch

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == self.epoch:
            raise self.error("stop")


class Diverging(Callback):
    def on_batch_begin(self, net, **kwargs):
        with torch.no_grad():
            next(net.module_.parameters()).fill_(float("nan"))


FAILURES = {
    "X with a missing value": (ValueError, {"X": np.nan}, {}),
    "X of one row": (ValueError, {"X": slice(1)}, {}),
    "outliers of another shape": (ValueError, {"X_aux": "narrow"}, {}),
    "a parameter out of range": (ValueError, {}, {"lr": -1.0}),
    "a parameter that is not one": (TypeError, {}, {"module__hiden": (3,)}),
    "a net of the wrong size": (ValueError, {}, {"module": MLP((4,), 7)}),
    "a loss that diverges": (ValueError, {}, {"callbacks": [Diverging()]}),
    "a callback that raises": (RuntimeError, {}, {"callbacks": [Raising(RuntimeError)]}),
    "an interrupt": (KeyboardInterrupt, {}, {"callbacks": [Raising(KeyboardInterrupt)]}),
    "an interrupt at once": (KeyboardInterrupt, {}, {"callbacks": [Raising(KeyboardInterrupt, 1)]}),
    "an interrupt beside early stopping": (
        KeyboardInterrupt, {},
        {"callbacks": [EarlyStopping(monitor="train_loss"), Raising(KeyboardInterrupt)]},
    ),
}


def spoiled(table, change):
    X, y, A = table
    if isinstance(change.get("X"), slice):
        X, y = X[change["X"]], y[change["X"]]
    elif "X" in change:
        X = np.where(np.arange(X.size).reshape(X.shape) == 5, change["X"], X)
    return X, y, A[:, :2] if "X_aux" in change else A


@pytest.mark.parametrize("Detector", DETECTORS)
@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_fit_leaves_an_unfitted_detector_unfitted(table, Detector, name):
    error, change, params = FAILURES[name]
    X, y, A = spoiled(table, change)
    detector = Detector(**(FAST | params))
    before = state(detector)
    with pytest.raises(error):
        detector.fit(X, y, X_aux=A)
    assert_state(detector, before)
    assert not [attribute for attribute in vars(detector) if attribute.endswith("_")]


@pytest.mark.parametrize("Detector", DETECTORS)
@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_fit_leaves_a_fitted_detector_as_it_was(table, Detector, name):
    error, change, params = FAILURES[name]
    X, y, A = spoiled(table, change)
    detector = Detector(**FAST).fit(table[0], table[1], X_aux=table[2])
    scores, decisions = detector.score_samples(table[2]), detector.predict(table[2])
    detector.set_params(random_state=1, **params)
    before = state(detector)
    with pytest.raises(error):
        detector.fit(X, y, X_aux=A)
    assert_state(detector, before)
    np.testing.assert_array_equal(detector.score_samples(table[2]), scores)
    np.testing.assert_array_equal(detector.predict(table[2]), decisions)


def test_after_an_interrupt_the_next_fit_is_as_if_nothing_had_been(table):
    X, y, A = table
    detector = OutlierExposureDetector(callbacks=[Raising(KeyboardInterrupt)], **FAST)
    with pytest.raises(KeyboardInterrupt):
        detector.fit(X, y, X_aux=A)
    detector.set_params(callbacks=None).fit(X, y, X_aux=A)
    np.testing.assert_array_equal(detector.score_samples(A), fitted(table).score_samples(A))


# ---- callbacks


@pytest.mark.parametrize("Detector", DETECTORS)
@pytest.mark.parametrize("load_best", [False, True])
def test_early_stopping_ends_the_training_and_the_fit_is_complete(table, Detector, load_best):
    X, y, A = table
    stop = EarlyStopping(
        monitor="train_loss", patience=2, threshold=1e3, threshold_mode="abs", load_best=load_best
    )
    before = copy.deepcopy(vars(stop))
    detector = Detector(
        pretrain_epochs=0, callbacks=[stop], schedule="constant", **(FAST | {"max_epochs": 50})
    )
    detector.fit(X, y, X_aux=A)
    assert detector.n_iter_ == len(detector.history_) == 3
    assert vars(stop) == before
    assert set(detector.predict(A)) <= {-1, 1}
    epochs = 1 if load_best else 3
    by_count = Detector(
        pretrain_epochs=0, schedule="constant", **(FAST | {"max_epochs": epochs})
    ).fit(X, y, X_aux=A)
    np.testing.assert_array_equal(detector.score_samples(A), by_count.score_samples(A))


class Counting(Callback):
    def on_train_begin(self, net, **kwargs):
        self.epochs_ = 0

    def on_epoch_end(self, net, **kwargs):
        self.epochs_ += 1


def test_callbacks_are_cloned(table):
    X, y, A = table
    callback, named = Counting(), ("count", Counting())
    callbacks = [callback, named]
    detector = OutlierExposureDetector(callbacks=callbacks, **FAST).fit(X, y, X_aux=A)
    assert detector.callbacks is callbacks and callbacks == [callback, named]
    assert not vars(callback) and not vars(named[1])


def test_a_callback_does_not_change_the_fit(table):
    scores = fitted(table, callbacks=[Counting()]).score_samples(table[2])
    np.testing.assert_array_equal(scores, fitted(table).score_samples(table[2]))


class Keeping(Callback):
    """Has an attribute that is no parameter, which skorch allows."""

    def __init__(self):
        self.losses = []

    def on_epoch_end(self, net, **kwargs):
        self.losses.append(net.history[-1, "train_loss"])


def test_a_callback_with_attributes_that_are_no_parameters(table):
    callback = Keeping()
    scores = fitted(table, callbacks=[callback]).score_samples(table[2])
    assert callback.losses == []
    np.testing.assert_array_equal(scores, fitted(table).score_samples(table[2]))


def test_early_stopping_on_a_validation_loss_says_that_there_is_none(table):
    with pytest.raises(ValueError, match="train_loss"):
        fitted(table, callbacks=[EarlyStopping()])


def test_what_is_no_callback_is_refused(table):
    with pytest.raises(TypeError, match="callbacks"):
        fitted(table, callbacks=["early stopping"])


def test_a_diverging_training_names_the_rate_it_ran_at(table):
    X, y, A = table
    with pytest.raises(ValueError, match="diverged.*10000"):
        OutlierExposureDetector(
            optimizer="sgd", optimizer__lr=10000.0, schedule="constant",
            **(FAST | {"max_epochs": 50}),
        ).fit(100 * X, y, X_aux=100 * A)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only POSIX systems fork")
def test_a_process_forked_during_a_fit_can_take_the_lock():
    from skood._locks import TORCH_RANDOM

    held, done = threading.Event(), threading.Event()

    def hold():
        with TORCH_RANDOM:
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    child = os.fork()
    if child == 0:
        os._exit(0 if TORCH_RANDOM.acquire(timeout=5) else 1)
    status = os.waitpid(child, 0)[1]
    done.set()
    holder.join()
    assert os.waitstatus_to_exitcode(status) == 0
