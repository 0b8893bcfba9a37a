"""Checkpoints: a fit that is stopped, by whatever, goes on as if nothing had been."""

import io
import multiprocessing
import os
import pickle
import shutil
import signal
import time

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    EpochScoring,
    Freezer,
    LRScheduler,
    Unfreezer,
)
from torch import nn

from skood import (
    ATOMDetector,
    MSPDetector,
    NTOMDetector,
    OutlierExposureDetector,
    UnleashingMaskDetector,
)
from skood.engine.checkpoint import _DIGEST, _HEAD, _read
from skood.engine.state import of_module, to_module

from .instances import make_training
from .test_forged_files import GONE, changed, places

FAST = {"max_epochs": 3, "batch_size": 16, "module__hidden": (8,), "random_state": 0}
SEEDED = {name: each for name, each in make_training().items() if not name.endswith("defaults")}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=60)
    X = (rng.normal(size=(60, 4)) + 3 * np.eye(3, 4)[y]).astype(np.float32)
    return X, y, rng.uniform(-6, 6, size=(80, 4)).astype(np.float32)


class Stopping(Callback):
    """Interrupts in the middle of an epoch: that of this number, counted over the phases."""

    at = None
    n_begun = 0

    def on_epoch_begin(self, net, **kwargs):
        Stopping.n_begun += 1

    def on_batch_end(self, net, training, **kwargs):
        if Stopping.n_begun == Stopping.at and len(net.history[-1, "batches"]) == 2:
            raise KeyboardInterrupt


def stopped(detector, at, *args, **kwargs):
    """Fit until the middle of an epoch, and return what is said then."""
    Stopping.at, Stopping.n_begun = at, 0
    try:
        with pytest.raises(KeyboardInterrupt) as said:
            detector.fit(*args, **kwargs)
    finally:
        Stopping.at = None
    return str(said.value)


def without_times(history):
    return [
        {k: np.asarray(v).tolist() for k, v in row.items() if not k.endswith("dur")}
        for row in history
    ]


def assert_same_fit(resumed, whole, X):
    assert without_times(resumed.history_) == without_times(whole.history_)
    assert vars(resumed).keys() == vars(whole).keys()
    for name, value in vars(whole).items():
        if isinstance(value, nn.Module):
            weights = value.state_dict()
            assert all(torch.equal(w, weights[k]) for k, w in
                       getattr(resumed, name).state_dict().items()), name
        elif name.endswith("_") and name != "history_":
            np.testing.assert_array_equal(getattr(resumed, name), value)
    np.testing.assert_array_equal(resumed.score_samples(X), whole.score_samples(X))


# ---- the same result


@pytest.mark.parametrize("given", ["labels and outliers", "outliers", "labels"])
@pytest.mark.parametrize("name", SEEDED)
def test_a_fit_that_was_stopped_in_any_epoch_ends_as_one_that_was_not(
    table, tmp_path, name, given
):
    X, y, A = table
    y, A = y if "labels" in given else None, A if "outliers" in given else None
    params = {"max_epochs": 2, "callbacks": [Stopping()]}
    detector = clone(SEEDED[name]).set_params(**params)
    whole = clone(detector).fit(X, y, X_aux=A)
    for at in range(1, whole.n_iter_ + 1):
        detector.set_params(checkpoint=tmp_path / str(at))
        stopped(detector, at, X, y, X_aux=A)
        assert_same_fit(detector.fit(X, y, X_aux=A, resume=True), whole.set_params(
            checkpoint=tmp_path / str(at)), X)


def test_a_fit_that_is_stopped_in_every_epoch_ends_as_one_that_was_not(table, tmp_path):
    X, y, A = table
    params = FAST | {"pretrain_epochs": 2, "callbacks": [Stopping()]}
    detector = ATOMDetector(checkpoint=str(tmp_path / "fit"), **params)
    for _ in range(4):  # each time one epoch is run, and the next is stopped
        stopped(detector, 2, X, y, X_aux=A, resume=True)
    whole = ATOMDetector(**params).fit(X, y, X_aux=A)
    whole.set_params(checkpoint=str(tmp_path / "fit"))
    assert_same_fit(detector.fit(X, y, X_aux=A, resume=True), whole, X)


class Remembering(nn.Module):
    """A net with dropout and with state that no state_dict holds."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(input_shape[0], 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3),
            nn.Flatten(), nn.LazyLinear(n_outputs),
        )
        self.register_buffer("scale", torch.ones(1), persistent=False)
        self.seen = torch.zeros(1)

    def forward(self, x):
        if self.training:
            self.scale, self.seen = self.scale * 0.99, self.seen + len(x)
        return self.layers(x) * self.scale + 1e-3 * self.seen.log1p()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_dropout_augmentation_lazy_layers_and_state_outside_the_state_dict(tmp_path, precision):
    rng = np.random.default_rng(0)
    X, y = rng.integers(256, size=(40, 3, 8, 8), dtype=np.uint8), np.repeat([0, 1], 20)
    A = rng.integers(256, size=(50, 3, 8, 8), dtype=np.uint8)
    detector = NTOMDetector(
        Remembering, augment="crop-flip", max_epochs=4, batch_size=16, pretrain_epochs=1,
        precision=precision, callbacks=[Stopping()], random_state=3,
    )
    whole = clone(detector).fit(X, y, X_aux=A).set_params(checkpoint=tmp_path / "fit")
    detector.set_params(checkpoint=tmp_path / "fit")
    stopped(detector, 3, X, y, X_aux=A)
    assert_same_fit(detector.fit(X, y, X_aux=A, resume=True), whole, X)
    assert detector.module_.seen == whole.module_.seen > 0


def test_state_outside_the_state_dict_goes_back_to_the_device_of_the_network():
    module = Remembering((3, 8, 8), 2)
    module(torch.zeros(2, 3, 8, 8))
    module.layers[0].last = torch.ones(2)  # as layers keep features, which a new one has not yet
    kept = of_module(module)
    other = Remembering((3, 8, 8), 2)
    other(torch.zeros(2, 3, 8, 8))
    other.to("meta")  # stands for a GPU
    with pytest.warns(UserWarning, match="no-op"):
        to_module(other, kept)
    assert other.scale.is_meta and other.layers[0].last.is_meta
    assert not other.seen.is_meta  # which the network keeps on the CPU


CALLBACKS = {
    "early stopping": lambda: [
        EarlyStopping("train_loss", patience=2, threshold=1e3, threshold_mode="abs")
    ],
    "the best weights": lambda: [
        EarlyStopping("train_loss", patience=4, threshold=0.5, load_best=True)
    ],
    "milestones": lambda: [LRScheduler("MultiStepLR", milestones=[2, 3])],
    "a plateau": lambda: [LRScheduler("ReduceLROnPlateau", monitor="train_loss", patience=0)],
    "weights that are frozen for a while": lambda: [Freezer("head*", at=1), Unfreezer("*", at=5)],
    "one cycle": lambda: [
        LRScheduler(
            torch.optim.lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=40, step_every="batch"
        )
    ],
}


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks_go_on_too(table, tmp_path, name, optimizer):
    X, y, A = table
    params = FAST | {"max_epochs": 6, "schedule": "constant", "optimizer": optimizer}
    whole = OutlierExposureDetector(callbacks=[*CALLBACKS[name](), Stopping()], **params)
    detector = clone(whole).set_params(checkpoint=tmp_path / "fit")
    whole.fit(X, y, X_aux=A).set_params(checkpoint=tmp_path / "fit")
    stopped(detector, 3, X, y, X_aux=A)
    assert_same_fit(detector.fit(X, y, X_aux=A, resume=True), whole, X)


class Counting(Callback):
    n_epochs = 0

    def on_epoch_begin(self, net, **kwargs):
        Counting.n_epochs += 1


def test_a_fit_that_is_complete_is_not_repeated(table, tmp_path):
    X, y, A = table
    detector = OutlierExposureDetector(
        pretrain_epochs=2, callbacks=[Counting()], checkpoint=tmp_path / "fit", **FAST
    )
    Counting.n_epochs = 0
    first = clone(detector).fit(X, y, X_aux=A, resume=True)  # no file yet: it begins
    assert Counting.n_epochs == 5
    second = clone(detector).fit(X, y, X_aux=A, resume=True)
    assert Counting.n_epochs == 5
    assert_same_fit(second, first, X)


@pytest.mark.parametrize("at", [2, 3])
def test_no_epoch_that_is_kept_is_run_again(table, tmp_path, at):
    X, y, A = table
    detector = OutlierExposureDetector(
        callbacks=[Stopping(), Counting()], checkpoint=tmp_path / "fit", **FAST
    )
    said = stopped(detector, at, X, y, X_aux=A)
    assert {2: "1 epoch is kept", 3: "2 epochs are kept"}[at] in said
    Counting.n_epochs = 0
    detector.fit(X, y, X_aux=A, resume=True)
    assert Counting.n_epochs == 3 - (at - 1)


def test_without_a_seed_the_fit_goes_on_with_the_one_it_had(table, tmp_path):
    X, _, A = table
    detector = UnleashingMaskDetector(  # it draws its outliers itself, and holds no labels
        **(FAST | {"random_state": None}), callbacks=[Stopping()], checkpoint=tmp_path / "fit",
    )
    stopped(detector, 3, X)
    shutil.copy(tmp_path / "fit", tmp_path / "copy")
    one = clone(detector).fit(X, resume=True)
    shutil.copy(tmp_path / "copy", tmp_path / "fit")
    other = clone(detector).fit(X, resume=True)
    assert_same_fit(one, other, A)


def test_what_does_not_move_the_weights_may_change(table, tmp_path):
    X, y, A = table
    detector = OutlierExposureDetector(
        callbacks=[Stopping()], checkpoint=tmp_path / "a", **FAST
    )
    stopped(detector, 2, X, y, X_aux=A)
    os.rename(tmp_path / "a", tmp_path / "b")
    detector.set_params(checkpoint=tmp_path / "b", contamination=0.2)
    detector.fit(X, y, X_aux=A, resume=True)
    whole = clone(detector).set_params(checkpoint=None).fit(X, y, X_aux=A)
    assert detector.offset_ == whole.offset_


def test_the_progress_bar_goes_on_where_the_fit_does(table, tmp_path, capsys):
    X, y, A = table
    detector = OutlierExposureDetector(
        callbacks=[Stopping()], checkpoint=tmp_path / "fit", **FAST
    )
    stopped(detector, 3, X, y, X_aux=A)
    detector.set_params(verbose=True).fit(X, y, X_aux=A, resume=True)
    assert "3/3" in capsys.readouterr().err


# ---- killed


class Logging(Callback):
    """Writes down each epoch when it begins, past all buffers."""

    def __init__(self, path):
        self.path = path

    def on_epoch_begin(self, net, **kwargs):
        with open(self.path, "ab", buffering=0) as log:
            log.write(b"%d %d\n" % (net.loader.pool is not None, len(net.history) + 1))


def killed_detector(folder):
    return NTOMDetector(
        checkpoint=folder / "fit", callbacks=[Logging(str(folder / "log"))], pretrain_epochs=10,
        **(FAST | {"max_epochs": 20}),
    )


def fit_in_a_process(folder, table, begun):
    X, y, A = table
    begun.set()
    detector = killed_detector(folder).fit(X, y, X_aux=A, resume=True)
    np.save(folder / "scores.npy", detector.score_samples(A))


def test_killed_fifty_times_the_file_is_whole_and_an_epoch_is_lost_at_most(table, tmp_path):
    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("needs the forkserver, which this system has not")
    X, y, A = table
    expected = killed_detector(tmp_path).set_params(checkpoint=None).fit(X, y, X_aux=A)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__])
    rng = np.random.default_rng(0)
    n_kills = n_complete = 0
    while n_kills < 50:
        folder = tmp_path / str(n_complete)
        folder.mkdir(exist_ok=True)
        begun = processes.Event()
        process = processes.Process(target=fit_in_a_process, args=(folder, table, begun))
        process.start()
        begun.wait()
        time.sleep(rng.uniform(0, 0.15))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        n_kills += process.exitcode == -signal.SIGKILL
        assert_one_epoch_lost_at_most(folder)
        if (folder / "scores.npy").exists():
            np.testing.assert_array_equal(
                np.load(folder / "scores.npy"), expected.score_samples(A)
            )
            n_complete += 1
    process = processes.Process(target=fit_in_a_process, args=(folder, table, begun))
    process.start()
    process.join()
    assert process.exitcode == 0
    np.testing.assert_array_equal(np.load(folder / "scores.npy"), expected.score_samples(A))
    assert sorted(p.name for p in folder.iterdir()) == ["fit", "log", "scores.npy"]


def assert_one_epoch_lost_at_most(folder):
    if not (folder / "log").exists():
        return
    begun = [tuple(map(int, line.split())) for line in open(folder / "log")]
    phase, epoch = begun[-1]
    kept = _read(folder / "fit")["phases"] if (folder / "fit").exists() else []
    lengths = [len(each["history"]) for each in kept] + [0, 0]
    if phase == 1 or epoch > 1:
        assert (folder / "fit").exists()
    assert lengths[0] == 10 or phase == 0
    assert epoch - 1 <= lengths[phase] <= epoch


def test_what_a_killed_writer_leaves_behind_is_cleared_away(table, tmp_path):
    X, y, A = table
    (tmp_path / f".fit.{32 * '0'}.part").write_bytes(b"half")
    others = tmp_path / f".fit.2.{32 * '0'}.part"
    others.write_bytes(b"of another file")
    OutlierExposureDetector(checkpoint=tmp_path / "fit", **FAST).fit(X, y, X_aux=A)
    assert set(tmp_path.iterdir()) == {tmp_path / "fit", others}


def test_a_write_that_fails_leaves_the_last_epoch_as_it_was(table, tmp_path, monkeypatch):
    X, y, A = table
    detector = OutlierExposureDetector(callbacks=[Stopping()], checkpoint=tmp_path / "fit", **FAST)
    stopped(detector, 2, X, y, X_aux=A)
    before = (tmp_path / "fit").read_bytes()

    def full(descriptor):
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space"):
            detector.fit(X, y, X_aux=A, resume=True)
    assert (tmp_path / "fit").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["fit"]
    detector.fit(X, y, X_aux=A, resume=True)


def test_of_a_link_the_file_that_it_leads_to_is_written(table, tmp_path):
    X, y, A = table
    (tmp_path / "disk").mkdir()
    (tmp_path / "fit").symlink_to(tmp_path / "disk" / "fit")
    detector = OutlierExposureDetector(checkpoint=tmp_path / "fit", **FAST)
    detector.fit(X, y, X_aux=A)
    assert (tmp_path / "fit").is_symlink() and (tmp_path / "disk" / "fit").is_file()
    detector.fit(X, y, X_aux=A, resume=True)


# ---- what an interrupt says


def test_an_interrupt_says_what_is_kept_and_leaves_the_detector(table, tmp_path):
    X, y, A = table
    detector = OutlierExposureDetector(
        pretrain_epochs=1, callbacks=[Stopping()], checkpoint=tmp_path / "fit", **FAST
    )
    said = stopped(detector, 1, X, y, X_aux=A)
    assert "No epoch was finished" in said and str(tmp_path / "fit") in said
    said = stopped(detector, 3, X, y, X_aux=A)
    assert "2 epochs are kept" in said and "resume=True" in said and str(tmp_path / "fit") in said
    assert not [attribute for attribute in vars(detector) if attribute.endswith("_")]


def test_an_interrupt_while_the_file_is_written_counts_what_is_in_it(
    table, tmp_path, monkeypatch
):
    X, y, A = table
    detector = OutlierExposureDetector(checkpoint=tmp_path / "fit", **FAST)
    save, n_saved = torch.save, []

    def interrupted(*args):
        n_saved.append(1)
        if len(n_saved) == 3:
            raise KeyboardInterrupt
        save(*args)

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt, match="2 epochs are kept"):
        detector.set_params(pretrain_epochs=0).fit(X, y, X_aux=A)
    assert [len(phase["history"]) for phase in _read(tmp_path / "fit")["phases"]] == [2]


def test_an_interrupt_while_the_threshold_is_measured_says_what_is_kept(
    table, tmp_path, monkeypatch
):
    X, y, A = table

    def interrupted(self, X):
        raise KeyboardInterrupt

    monkeypatch.setattr(OutlierExposureDetector, "_set_offset", interrupted)
    detector = OutlierExposureDetector(checkpoint=tmp_path / "fit", pretrain_epochs=0, **FAST)
    with pytest.raises(KeyboardInterrupt, match="3 epochs are kept"):
        detector.fit(X, y, X_aux=A)


def test_an_interrupt_without_a_checkpoint_says_that_nothing_is_kept(table):
    X, y, A = table
    said = stopped(OutlierExposureDetector(callbacks=[Stopping()], **FAST), 2, X, y, X_aux=A)
    assert "nothing of it is kept" in said and "checkpoint=path" in said


# ---- what is refused


@pytest.fixture
def begun(table, tmp_path):
    X, y, A = table
    detector = OutlierExposureDetector(callbacks=[Stopping()], checkpoint=tmp_path / "fit", **FAST)
    stopped(detector, 2, X, y, X_aux=A)
    return detector


def test_a_file_that_exists_is_not_written_over(table, begun):
    X, y, A = table
    before = begun.checkpoint.read_bytes()
    with pytest.raises(ValueError, match=r"checkpoint=.*exists.*resume=True"):
        begun.fit(X, y, X_aux=A)
    assert begun.checkpoint.read_bytes() == before


def test_to_resume_without_a_checkpoint_is_refused(table):
    X, y, A = table
    with pytest.raises(ValueError, match=r"resume=True.*checkpoint=None"):
        OutlierExposureDetector(**FAST).fit(X, y, X_aux=A, resume=True)


OTHER_PARAMS = {
    "a parameter": ({"lr": 0.5}, r"lr was 0\.003, now 0\.5"),
    "a prefixed parameter": ({"module__hidden": (9,)}, r"module__hidden was \[8\], now \[9\]"),
    "an optimizer's parameter": ({"optimizer__eps": 1e-3}, r"optimizer__eps was not there"),
    "more epochs": ({"max_epochs": 4}, r"max_epochs was 3, now 4"),
    "other callbacks": ({"callbacks": None}, r"callbacks was \[Stopping\], now None"),
}


@pytest.mark.parametrize("name", OTHER_PARAMS)
def test_another_fit_is_refused_by_its_parameters(table, begun, name):
    X, y, A = table
    params, said = OTHER_PARAMS[name]
    with pytest.raises(ValueError, match=said):
        begun.set_params(**params).fit(X, y, X_aux=A, resume=True)


def test_another_parameter_of_a_callback_is_refused(table, begun):
    X, y, A = table
    lists = [[Stopping(), LRScheduler("StepLR", step_size=1, gamma=g)] for g in (0.5, 0.1)]
    begun.checkpoint.unlink()
    begun.set_params(schedule="constant", callbacks=lists[0])
    stopped(begun, 2, X, y, X_aux=A)
    with pytest.raises(ValueError, match=r"callbacks was .*'gamma': 0\.5.*, now .*'gamma': 0\.1"):
        clone(begun).set_params(callbacks=lists[1]).fit(X, y, X_aux=A, resume=True)
    clone(begun).set_params(callbacks=lists[0]).fit(X, y, X_aux=A, resume=True)


def labelled(input_shape, n_outputs, names=None):
    return nn.Linear(input_shape[0], n_outputs)


def test_arrays_of_text_among_the_parameters_tell_fits_apart(table, tmp_path):
    X, y, A = table
    params = {"checkpoint": tmp_path / "fit", "max_epochs": 1, "random_state": 0}
    for kind in ("U1", object):
        detector = OutlierExposureDetector(labelled, module__names=np.array(["a"], kind), **params)
        detector.fit(X, y, X_aux=A)
        clone(detector).fit(X, y, X_aux=A, resume=True)
        with pytest.raises(ValueError, match=r"module__names was .*\['a'\], now .*\['b'\]"):
            clone(detector).set_params(module__names=np.array(["b"], kind)).fit(
                X, y, X_aux=A, resume=True
            )
        params["checkpoint"].unlink()


OTHER_DATA = {
    "X": lambda X, y, A: (X + 1, y, A),
    "fewer X": lambda X, y, A: (X[1:], y[1:], A),
    "y": lambda X, y, A: (X, (y + 1) % 3, A),
    "no y": lambda X, y, A: (X, None, A),
    "X_aux": lambda X, y, A: (X, y, A[::-1]),
    "no X_aux": lambda X, y, A: (X, y, None),
}


@pytest.mark.parametrize("name", OTHER_DATA)
def test_another_fit_is_refused_by_its_data(table, begun, name):
    X, y, A = OTHER_DATA[name](*table)
    with pytest.raises(ValueError, match=rf"of another fit: .*{name.split()[-1]} was"):
        begun.fit(X, y, X_aux=A, resume=True)


def test_another_method_is_refused(table, begun):
    X, y, A = table
    other = ATOMDetector(callbacks=[Stopping()], checkpoint=begun.checkpoint, **FAST)
    with pytest.raises(ValueError, match="detector was OutlierExposureDetector, now ATOMDetector"):
        other.fit(X, y, X_aux=A, resume=True)


def test_another_trained_network_is_refused(table, tmp_path):
    X, y, A = table
    nets = [OutlierExposureDetector(**FAST | {"random_state": i}).fit(X, y, X_aux=A).module_
            for i in range(2)]
    params = {"callbacks": [Stopping()], "checkpoint": tmp_path / "fit", "max_epochs": 3}
    detector = OutlierExposureDetector(nets[0], random_state=0, **params)
    stopped(detector, 2, X, y, X_aux=A)
    with pytest.raises(ValueError, match="module was MLP with weights"):
        clone(detector).set_params(module=nets[1]).fit(X, y, X_aux=A, resume=True)
    detector.fit(X, y, X_aux=A, resume=True)


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("code-has-run",)


def spoil(path, how):
    whole = path.read_bytes()
    if how == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("lr: 0.1")
    elif how == "a bit is flipped":  # in a weight, say
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    elif how == "a pickle that runs code":
        path.write_bytes(pickle.dumps(RunsCode()))
    elif how == "ours, with a pickle that runs code":
        rewrite(path, pickle.dumps(RunsCode(), protocol=2))
    elif how == "ours, with code":
        rewrite(path, saved({"format": 1, "facts": RunsCode()}))
    elif how == "torch's, of something else":
        torch.save({"weights": torch.zeros(3)}, path)


def saved(kept):
    content = io.BytesIO()
    torch.save(kept, content)
    return content.getvalue()


def rewrite(path, content):
    """Write what a forger would, who knows how the checksum is made."""
    path.write_bytes(_HEAD + _DIGEST(content).digest() + content)


@pytest.mark.parametrize("how", [
    "truncated", "empty", "text", "a bit is flipped", "a pickle that runs code",
    "ours, with a pickle that runs code", "ours, with code", "torch's, of something else",
])
def test_a_file_that_is_no_checkpoint_is_refused_and_runs_nothing(
    table, begun, tmp_path, monkeypatch, how
):
    X, y, A = table
    spoil(begun.checkpoint, how)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="is damaged or no checkpoint of skood"):
        begun.fit(X, y, X_aux=A, resume=True)
    assert not (tmp_path / "code-has-run").exists()


def test_a_file_of_a_newer_format_is_refused(table, begun):
    X, y, A = table
    kept = _read(begun.checkpoint)
    rewrite(begun.checkpoint, saved(kept | {"format": 2, "version": "9.0"}))
    with pytest.raises(ValueError, match="written by skood 9.0 in format 2"):
        begun.fit(X, y, X_aux=A, resume=True)


ODD = [GONE, None, -1, 10**30, 0.5, "text", [], {}, torch.zeros(1)]


@pytest.mark.parametrize("at", [2, 4])  # in the classifier's epochs, and in the method's
def test_a_forged_file_is_refused_by_its_path_or_gone_on_from(table, tmp_path, at):
    X, y, A = table
    params = FAST | {"max_epochs": 2, "pretrain_epochs": 2}
    detector = OutlierExposureDetector(
        callbacks=[Stopping()], checkpoint=tmp_path / "fit", **params
    )
    stopped(detector, at, X, y, X_aux=A)
    kept = _read(detector.checkpoint)
    within = {"optimizer", "callbacks"}  # whose own code alone knows what their state is
    cases = [(place, value) for place in places(kept) for value in ODD if not within & {*place}]
    for number in np.random.default_rng(at).permutation(len(cases))[:40]:
        rewrite(detector.checkpoint, saved(changed(kept, *cases[number])))
        try:
            clone(detector).fit(X, y, X_aux=A, resume=True).predict(X)
        except ValueError as error:
            assert f"checkpoint={str(detector.checkpoint)!r}" in str(error), cases[number]


@pytest.mark.parametrize("length, fits", [(216, True), (217, False)])
def test_a_name_may_be_as_long_as_that_of_its_part_allows(table, tmp_path, length, fits):
    X, y, A = table
    detector = OutlierExposureDetector(checkpoint=tmp_path / (length * "a"), **FAST)
    if fits:
        detector.fit(X, y, X_aux=A)
        assert detector.checkpoint.exists()
    else:
        with pytest.raises(ValueError, match="checkpoint=.*217 bytes.*at most 216"):
            detector.fit(X, y, X_aux=A)


def test_a_folder_that_is_missing_is_refused_before_the_training(table, tmp_path):
    X, y, A = table
    detector = OutlierExposureDetector(callbacks=[Counting()], **FAST)
    Counting.n_epochs = 0
    for path, said in ((tmp_path / "no" / "fit", "missing"), (tmp_path, "is a folder")):
        with pytest.raises(ValueError, match=said):
            detector.set_params(checkpoint=path).fit(X, y, X_aux=A)
    assert Counting.n_epochs == 0


def test_two_fits_that_write_one_file_are_told(table, tmp_path):
    X, y, A = table
    other = OutlierExposureDetector(checkpoint=tmp_path / "fit", **FAST)
    detector = clone(other)
    copy = tmp_path / "copy"
    other.fit(X, y, X_aux=A)
    os.rename(tmp_path / "fit", copy)

    class Meddling(Callback):
        def on_epoch_begin(self, net, **kwargs):
            shutil.copy(copy, tmp_path / "fit")

    with pytest.raises(ValueError, match="another fit writes checkpoint="):
        detector.set_params(callbacks=[Meddling()]).fit(X, y, X_aux=A)


def test_a_search_with_a_checkpoint_is_told(table, tmp_path):
    X, y, A = table
    search = GridSearchCV(
        OutlierExposureDetector(checkpoint=tmp_path / "fit", **FAST), {"lr": [1e-3, 1e-2]}, cv=2,
        scoring=lambda detector, X, y: 0.0, error_score="raise",
    )
    with pytest.raises(ValueError, match="exists, and a fit never writes over another's"):
        search.fit(X, y, X_aux=(A,))


# ---- detectors around others


def test_a_detector_that_reads_a_network_resumes_its_training(table, tmp_path):
    X, y, A = table
    net = OutlierExposureDetector(callbacks=[Stopping()], checkpoint=tmp_path / "fit", **FAST)
    detector = MSPDetector(net)
    stopped(detector, 2, X, y, X_aux=A)
    detector.fit(X, y, X_aux=A, resume=True)
    whole = MSPDetector(clone(net).set_params(checkpoint=None)).fit(X, y, X_aux=A)
    np.testing.assert_array_equal(detector.score_samples(X), whole.score_samples(X))


def test_what_trains_nothing_has_nothing_to_resume(table):
    X, y, A = table
    trained = OutlierExposureDetector(**FAST).fit(X, y, X_aux=A)
    for estimator, said in (
        (FrozenEstimator(trained), "frozen estimator trains no more"),
        (trained.module_, "keeps no checkpoint"),
        (NeuralNetClassifier(nn.Linear(4, 3)), "keeps no checkpoint"),
    ):
        with pytest.raises(ValueError, match=said):
            MSPDetector(estimator).fit(X, y, resume=True)


# ---- callbacks whose state cannot be kept


class Scheduling(Callback):
    class _State:
        def state_dict(self):
            return {"an object": object()}

    def initialize(self):
        self.state_ = self._State()
        return self


def test_state_that_cannot_be_kept_is_named(table, tmp_path):
    X, y, A = table
    detector = OutlierExposureDetector(
        callbacks=[Scheduling()], checkpoint=tmp_path / "fit", **FAST
    )
    with pytest.raises(TypeError, match="the callback 'Scheduling' there is an object of type"):
        detector.fit(X, y, X_aux=A)


class Recording(Callback):
    def on_epoch_end(self, net, **kwargs):
        net.history.record("an object", object())


@pytest.mark.parametrize("max_epochs", [1, 2])
def test_a_record_that_cannot_be_kept_is_named(table, tmp_path, max_epochs):
    X, y, A = table
    detector = OutlierExposureDetector(
        callbacks=[Recording()], checkpoint=tmp_path / "fit", **FAST | {"max_epochs": max_epochs}
    )
    with pytest.raises(TypeError, match="in the history there is an object of type object"):
        detector.set_params(pretrain_epochs=0).fit(X, y, X_aux=A)


def test_scoring_callbacks_are_kept(table, tmp_path):
    X, y, A = table
    scoring = EpochScoring(lambda net, X, y=None: 1.0, name="one", on_train=True, use_caching=False)
    detector = OutlierExposureDetector(
        callbacks=[scoring], checkpoint=tmp_path / "fit", **FAST
    ).fit(X, y, X_aux=A)
    assert [row["one"] for row in detector.history_] == [1.0] * 3
