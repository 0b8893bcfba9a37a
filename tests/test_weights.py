"""save_weights and load_weights: the same detector bit for bit, and no code in the file."""

import copy
import json
import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from torch import nn

import skood
from skood import ConformalDetector, KNNDetector, MahalanobisDetector, MSPDetector
from skood import OutlierExposureDetector as OE
from skood.engine import weights_file
from skood.nn import MLP, SmallResNet

from .instances import make
from .test_persistence import (
    NETS,
    Buffers,
    OnBackbone,
    Tied,
    Tokens,
    assert_same_outputs,
    rows_of,
    weight_bytes,
)

FAST = {"max_epochs": 1, "batch_size": 32, "random_state": 0}
DETECTORS = [name for name in make() if "forest" not in name]


def fitted(table, module=None, **params):
    X, y, A = table
    return OE(module, **(FAST | params)).fit(X, y, X_aux=A)


def saved(detector, tmp_path):
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.safetensors"
    detector.save_weights(path)
    return path


def through_weights(detector, tmp_path):
    return clone(detector).load_weights(saved(detector, tmp_path))


# ---- every detector


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector(table, tmp_path, name, labelled):
    X, y, A = table
    detector = make()[name]
    epochs = {n: 1 for n in detector.get_params() if n.rpartition("__")[2] == "max_epochs"}
    detector.set_params(**epochs).fit(X, y if labelled else None, X_aux=A)
    loaded = through_weights(detector, tmp_path)
    assert vars(loaded).keys() == vars(detector).keys()
    for attribute in ("offset_", "n_iter_", "history_", "n_features_in_", "input_shape_"):
        np.testing.assert_equal(
            getattr(loaded, attribute, None), getattr(detector, attribute, None)
        )
    np.testing.assert_array_equal(loaded.classes_, detector.classes_)
    assert_same_outputs(loaded, detector, A)
    assert_same_outputs(through_weights(loaded, tmp_path), detector, A)


@pytest.mark.parametrize("name", ["OE", "Mahalanobis", "Conformal-OE"])
def test_a_loaded_detector_can_be_fitted_again(table, tmp_path, name):
    X, y, A = table
    detector = make()[name].set_params(random_state=0).fit(X, y, X_aux=A)
    loaded = through_weights(detector, tmp_path).fit(X, y, X_aux=A)
    np.testing.assert_array_equal(loaded.score_samples(A), detector.score_samples(A))


def test_one_that_is_fitted_forgets_its_fit(table, tmp_path):
    X, y, A = table
    detector = fitted(table)
    other = clone(detector).set_params(random_state=1).fit(X, X_aux=A)
    assert other.load_weights(saved(detector, tmp_path)) is other
    assert vars(other).keys() == vars(detector).keys()
    assert_same_outputs(other, detector, A)


def test_one_that_is_not_fitted_has_nothing_to_save(tmp_path):
    with pytest.raises(NotFittedError):
        OE().save_weights(tmp_path / "none")
    assert not list(tmp_path.iterdir())


# ---- what is fitted


@pytest.mark.parametrize("labels", [
    ["a", "bb", "cé"], np.array(["a", "bb", "c"], dtype=object), [3, 10, 700],
    np.array([1, 2, 4], np.uint8), [0.0, 1.0, 5.0], [False, True, True],
    np.array(["2026-01-01", "2026-01-02", "2027-01-01"], "M8[D]"),
], ids=["text", "objects", "int", "uint8", "float", "bool", "dates"])
def test_classes_of_every_kind(table, tmp_path, labels):
    X, y, A = table
    detector = OE(**FAST).fit(X, np.array(labels)[y], X_aux=A)
    loaded = through_weights(detector, tmp_path)
    assert loaded.classes_.dtype == detector.classes_.dtype
    np.testing.assert_array_equal(loaded.predict_class(X), detector.predict_class(X))


def test_columns_of_frames(table, tmp_path):
    X, y, A = (pd.DataFrame(each, columns=list("abcd")[: each.shape[-1]]) if each.ndim == 2 else
               each for each in table)
    loaded = through_weights(OE(**FAST).fit(X, y, X_aux=(A,)), tmp_path)
    assert loaded.feature_names_in_.dtype == object
    assert loaded.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(A[list("dcba")])


def test_images(images, tmp_path):
    X, y, _ = images
    detector = OE(SmallResNet, **FAST).fit(X, y)
    loaded = through_weights(detector, tmp_path)
    assert_same_outputs(loaded, detector, X)
    assert loaded.input_shape_ == (3, 8, 8)
    of_floats = through_weights(clone(detector).fit(X / np.float32(255) - 0.5, y), tmp_path)
    with pytest.raises(ValueError, match="8-bit"):
        of_floats.predict(X)


def test_two_that_save_into_one_file_leave_a_whole_one(table, tmp_path):
    X, y, A = table
    detector = OE(max_epochs=1, random_state=0).fit(X, y, X_aux=A)
    with ThreadPoolExecutor(3) as threads:
        saved = [threads.submit(detector.save_weights, tmp_path / "file") for _ in range(60)]
    for each in saved:
        each.result()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    clone(detector).load_weights(tmp_path / "file")


def test_arrays_in_a_history(table, tmp_path):
    X, y, A = table
    detector = skood.NTOMDetector(record_kept=True, **FAST).fit(X, y, X_aux=A)
    kept = through_weights(detector, tmp_path).history_[0]["kept_index"]
    np.testing.assert_array_equal(kept, detector.history_[0]["kept_index"])


def test_a_layout_by_columns_is_kept_because_products_round_otherwise(table, tmp_path):
    X, y, A = table
    detector = skood.ViMDetector(random_state=0).fit(X, y)
    detector._left_over = np.asfortranarray(detector._left_over)
    assert through_weights(detector, tmp_path)._left_over.flags.f_contiguous


# ---- networks


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("Net", NETS)
@pytest.mark.parametrize("instance", [False, True], ids=["class", "instance"])
def test_nets_of_every_kind(table, tmp_path, Net, instance):
    detector = fitted(table, Net((4,), 3) if instance else Net)
    other = OE(Net((4,), 3) if instance else Net, **FAST)
    loaded = other.load_weights(saved(detector, tmp_path))
    assert_same_outputs(loaded, detector, table[2])
    assert not any(p.requires_grad for p in loaded.module_.parameters())
    assert not any(m.training for m in loaded.module_.modules())


def test_tied_weights_lie_once_and_stay_tied(table, tmp_path):
    path = saved(fitted(table, Tied), tmp_path)
    assert {"module_.a.weight", "module_.b.weight"} & load_file(path).keys() == {"module_.a.weight"}
    module = OE(Tied, **FAST).load_weights(path).module_
    assert module.a.weight is module.b.weight


def test_buffers_that_no_state_dict_holds(table, tmp_path):
    detector = fitted(table, Buffers)
    for value, tensor in enumerate((detector.module_.shift, detector.module_.plain)):
        tensor.fill_(value + 0.5)
    module = through_weights(detector, tmp_path).module_
    assert (module.shift == 0.5).all() and (module.plain == 1.5).all()
    assert module.norm.num_batches_tracked > 0 and module.nothing is None


def test_dtypes_that_numpy_does_not_know(tmp_path):
    rng = np.random.default_rng(0)
    X, A = (rng.integers(20, size=(30, 5)) for _ in range(2))
    detector = OE(Tokens, dtype="int64", **FAST).fit(X, np.arange(30) % 2, X_aux=(A,))
    loaded = through_weights(detector, tmp_path)
    assert loaded.module_.scale.dtype == torch.bfloat16
    assert loaded.module_.small.dtype == torch.float8_e4m3fn
    assert_same_outputs(loaded, detector, A)


def test_a_memory_format_is_kept_because_convolutions_round_otherwise(images, tmp_path):
    X, y, _ = images
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(32, 2),
    )
    for memory_format in (torch.channels_last, torch.contiguous_format):
        trained = copy.deepcopy(net).to(memory_format=memory_format)
        detector = MSPDetector(trained).fit(X, y)
        loaded = MSPDetector(net).load_weights(saved(detector, tmp_path))
        assert loaded.module_[0].weight.stride() == trained[0].weight.stride()
        np.testing.assert_array_equal(loaded.score_samples(X), detector.score_samples(X))


def test_a_trained_net_that_was_widened(table, tmp_path):
    X, y, A = table
    detector = skood.NTOMDetector(MLP((4,), 3), **FAST).fit(X, y, X_aux=A)
    assert_same_outputs(through_weights(detector, tmp_path), detector, A)


def test_a_net_without_shapes_yet(table, tmp_path):
    lazy = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3))
    detector = fitted(table, lazy)
    assert_same_outputs(through_weights(detector, tmp_path), detector, table[2])


def test_a_net_among_the_options_needs_no_weights_to_begin_with(table, tmp_path):
    nets, matrix = [nn.Linear(4, 8), nn.Linear(4, 8)], torch.eye(4)
    detector = fitted(table, OnBackbone, module__backbone=nets[0], module__matrix=matrix)
    before = nets[1].weight.clone()
    other = clone(detector).set_params(module__backbone=nets[1])
    assert_same_outputs(other.load_weights(saved(detector, tmp_path)), detector, table[2])
    assert torch.equal(nets[1].weight, before)


def test_a_given_net_is_copied_and_filled(table, net, tmp_path):
    X, y, A = table
    detector = MahalanobisDetector(net).fit(X, y)
    path, untrained = saved(detector, tmp_path), MLP((4,), 3)
    before = untrained.head.weight.clone()
    loaded = MahalanobisDetector(untrained).load_weights(path)
    assert_same_outputs(loaded, detector, A)
    assert loaded.module_ is not untrained and torch.equal(untrained.head.weight, before)


def frozen(table):
    return FrozenEstimator(fitted(table))


def skorch_net(table):
    return NeuralNetClassifier(
        MLP, module__input_shape=(4,), module__n_outputs=3, criterion=nn.CrossEntropyLoss,
        max_epochs=1, verbose=0,
    )


def frozen_skorch_net(table):
    X, y, _ = table
    return FrozenEstimator(skorch_net(table).fit(X, y.astype(np.int64)))


@pytest.mark.parametrize("source", [
    frozen, skorch_net, frozen_skorch_net, lambda table: MSPDetector(OE(**FAST)),
    lambda table: FrozenEstimator(MSPDetector(OE(**FAST)).fit(*table[:2])),
], ids=["frozen", "skorch", "frozen skorch", "nested", "frozen nested"])
def test_networks_from_everywhere(table, tmp_path, source):
    X, y, A = table
    detector = KNNDetector(source(table)).fit(X, y)
    assert_same_outputs(through_weights(detector, tmp_path), detector, A)


def test_a_frozen_detector_that_is_not_fitted_yet_is_filled(table, tmp_path):
    X, y, A = table
    detector = KNNDetector(frozen(table)).fit(X, y)
    loaded = KNNDetector(FrozenEstimator(OE(**FAST))).load_weights(saved(detector, tmp_path))
    assert_same_outputs(loaded, detector, A)


@pytest.mark.parametrize("by", [None, "label", "predicted"])
def test_conformal_around_a_frozen_detector(table, tmp_path, by):
    X, y, A = table
    inner = fitted(table)
    detector = ConformalDetector(FrozenEstimator(inner), alpha=0.2, conditional_on=by).fit(X, y)
    path = saved(detector, tmp_path)
    empty = ConformalDetector(FrozenEstimator(clone(inner)), alpha=0.2, conditional_on=by)
    for loaded in (clone(detector).load_weights(path), empty.load_weights(path)):
        assert_same_outputs(loaded, detector, A)
        np.testing.assert_array_equal(loaded.p_values(A), detector.p_values(A))
        other = loaded.recalibrate(X[:100], y[:100]).p_values(A)
        np.testing.assert_array_equal(other, clone_of(detector, X[:100], y[:100]).p_values(A))


def clone_of(detector, X, y):
    return pickle.loads(pickle.dumps(detector)).recalibrate(X, y)


def test_the_caller_s_random_numbers_go_on_as_if_nothing_was_loaded(table, tmp_path):
    path = saved(fitted(table), tmp_path)
    state = torch.get_rng_state()
    OE(**FAST).load_weights(path)
    assert torch.equal(torch.get_rng_state(), state)


# ---- what lies in a file


def described(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["skood"])


def test_a_file_is_of_the_weights_and_text(table, tmp_path):
    path = saved(fitted(table, module__hidden=(600, 600)), tmp_path)
    detector = OE(module__hidden=(600, 600)).load_weights(path)
    weights = weight_bytes(detector.module_)
    assert weights < path.stat().st_size < 1.01 * weights
    assert load_file(path).keys() == {f"module_.{n}" for n in detector.module_.state_dict()} | {
        "classes_"
    }
    kept = described(path)
    assert kept["format"] == 1 and kept["version"] == skood.__version__
    assert kept["detector"] == "OutlierExposureDetector" and kept["attributes"]["n_iter_"] == 1


def test_no_training_data_in_a_file(table, tmp_path):
    content = saved(fitted(table), tmp_path).read_bytes()
    assert not any(row in content for X in (table[0], table[2]) for row in rows_of(X))


def test_a_device_is_in_no_file(table, tmp_path):
    detector = fitted(table).set_params(device="cuda")
    path = saved(detector, tmp_path)
    assert b"cuda" not in path.read_bytes()
    assert_same_outputs(OE(**FAST).load_weights(path), detector, table[2])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_from_one_device_to_the_other(table, tmp_path):
    X, y, A = table
    for name in ("OE", "Mahalanobis", "Conformal-OE"):
        detector = make()[name]
        there = {n: "cuda" for n in detector.get_params() if n.rpartition("__")[2] == "device"}
        here = dict.fromkeys(there, "cpu")
        path = saved(clone(detector).set_params(**there).fit(X, y, X_aux=A), tmp_path)
        on_gpu = clone(detector).set_params(**there).load_weights(path)
        on_cpu = clone(detector).set_params(**here).load_weights(path)
        np.testing.assert_allclose(
            on_cpu.score_samples(A), on_gpu.score_samples(A), rtol=1e-4, atol=1e-4
        )


def test_one_fit_has_one_file(table, tmp_path):
    detector = fitted(table)
    one, other = saved(detector, tmp_path), saved(pickle.loads(pickle.dumps(detector)), tmp_path)
    assert one.read_bytes() == other.read_bytes()


# ---- what cannot be saved


def test_what_no_file_of_weights_keeps_is_named_and_nothing_is_written(table, tmp_path):
    X, y, A = table
    path = tmp_path / "detector"
    forest = ConformalDetector(IsolationForest(n_estimators=5)).fit(X)
    with pytest.raises(TypeError, match="estimator is a IsolationForest.*joblib or skops"):
        forest.save_weights(path)
    detector = fitted(table)
    detector.note_ = {"seen": [object()]}
    with pytest.raises(TypeError, match="ExposureDetector note_.seen.0 is.*a object.*joblib"):
        detector.save_weights(path)
    detector.note_ = np.zeros(2, dtype=[("a", int)])
    with pytest.raises(TypeError, match="note_ is an array of dtype"):
        detector.save_weights(path)
    assert not path.exists()


class DoublyComplex(nn.Module):
    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.head = nn.Linear(input_shape[0], n_outputs)
        self.register_buffer("phase", torch.ones(1, dtype=torch.complex128))

    def forward(self, x):
        return self.head(x) * self.phase.real.to(x.dtype)


def test_a_dtype_that_safetensors_does_not_know(table, tmp_path):
    with pytest.raises(TypeError, match="complex128.*joblib"):
        fitted(table, DoublyComplex).save_weights(tmp_path / "detector")


def test_a_file_is_replaced_whole_or_not_at_all(table, tmp_path):
    detector, path = fitted(table), tmp_path / "detector"
    detector.save_weights(path)
    whole = path.read_bytes()
    detector.note_ = object()
    with pytest.raises(TypeError, match="note_"):
        detector.save_weights(path)
    assert path.read_bytes() == whole and [*tmp_path.iterdir()] == [path]


def test_safetensors_is_asked_for(table, tmp_path, monkeypatch):
    detector = fitted(table)
    path = saved(detector, tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "safetensors"]:
        monkeypatch.setitem(sys.modules, name, None)
    for act in (detector.save_weights, detector.load_weights):
        with pytest.raises(ImportError, match=r'pip install "skood\[weights\]"'):
            act(path)


# ---- what cannot be loaded


def assert_refused(detector, path, match, error=ValueError):
    """Check the error and that the detector, fitted or not, is as it was."""
    before = dict(vars(detector))
    with pytest.raises(error, match=match) as raised:
        detector.load_weights(path)
    assert str(path) in str(raised.value)
    assert vars(detector) == before


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("code-has-run",)


def foreign(path, how):
    if how == "text":
        path.write_text("lr: 0.1, and so on")
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "pickle":
        path.write_bytes(pickle.dumps(RunsCode()))
    elif how == "torch":
        torch.save({"weights": RunsCode()}, path)
    elif how == "safetensors":
        save_file({"weight": torch.zeros(3)}, path)
    elif how == "safetensors of others":
        save_file({"weight": torch.zeros(3)}, path, {"format": "pt"})


@pytest.mark.parametrize(
    "how", ["text", "empty", "pickle", "torch", "safetensors", "safetensors of others"]
)
def test_a_foreign_file_is_refused_and_runs_nothing(table, tmp_path, monkeypatch, how):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "detector"
    foreign(path, how)
    for detector in (OE(**FAST), fitted(table)):
        assert_refused(detector, path, "not written by save_weights|not one that save_weights")
    assert [*tmp_path.iterdir()] == [path]


def test_a_missing_file(tmp_path):
    assert_refused(OE(**FAST), tmp_path / "none", "No such file", FileNotFoundError)
    assert_refused(OE(**FAST), tmp_path, "Is a directory", IsADirectoryError)


def test_a_file_cut_anywhere_is_refused(table, tmp_path):
    path = saved(fitted(table), tmp_path)
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 997), len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert_refused(OE(**FAST), path, "damaged")


def test_a_file_with_any_byte_changed_is_refused(table, tmp_path):
    path = saved(fitted(table), tmp_path)
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for place in [*range(header), *range(header, len(whole), 211)]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert_refused(OE(**FAST), path, "damaged|changed|not one that save_weights wrote")


def rewritten(path, **description):
    tensors = load_file(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    metadata["skood"] = json.dumps(json.loads(metadata["skood"]) | description)
    save_file(tensors, path, metadata)


@pytest.mark.parametrize("text", ["[1]", "1", "null", '{"format": "new"}'])
def test_a_description_that_is_none_is_refused(table, tmp_path, text):
    path = saved(fitted(table), tmp_path)
    save_file(load_file(path), path, {"skood": text})
    assert_refused(OE(**FAST), path, "damaged|changed")


def test_text_that_was_changed_is_noticed(table, tmp_path):
    path = saved(fitted(table), tmp_path)
    rewritten(path, parameters={})
    assert_refused(OE(**FAST), path, "the file was changed after it was written")


def test_a_newer_format_says_what_to_do(table, tmp_path):
    path = saved(fitted(table), tmp_path)
    rewritten(path, format=2, version="9.0")
    assert_refused(
        OE(**FAST), path,
        rf"written by skood 9\.0 in format 2; this is {skood.__version__}.*up to 1: upgrade",
    )


def test_another_detector(table, tmp_path):
    path = saved(fitted(table), tmp_path)
    assert_refused(
        skood.NTOMDetector(**FAST), path, "of a OutlierExposureDetector, not of a NTOMDetector"
    )
    X, y, A = table
    path = saved(ConformalDetector(OE(**FAST)).fit(X, y, X_aux=A), tmp_path)
    assert_refused(
        ConformalDetector(skood.NTOMDetector(**FAST)), path,
        "of a OutlierExposureDetector, not of a NTOMDetector",
    )


def test_other_parameters(table, tmp_path):
    path = saved(fitted(table, beta=0.5, module__dropout=0.0), tmp_path)
    assert_refused(
        OE(beta=0.7, contamination=0.1, **FAST), path,
        r"beta was 0\.5, now 0\.7; contamination was 0\.05, now 0\.1; "
        r"module__dropout was 0\.0, now not set\. Set them",
    )


def test_how_to_train_and_where_to_run_may_differ(table, tmp_path):
    detector = fitted(table)
    other = OE(
        lr=1.0, max_epochs=7, batch_size=3, random_state=5, optimizer="sgd", verbose=True,
        checkpoint="fit", optimizer__momentum=0.5, callbacks=[],
    )
    params = other.get_params()
    assert_same_outputs(other.load_weights(saved(detector, tmp_path)), detector, table[2])
    assert other.get_params() == params


def test_the_score_of_a_detector_within_another_is_compared_but_not_of_one_that_is_read(
    table, tmp_path
):
    X, y, A = table
    inner = OE(score="uniform", **FAST)
    around, read = (each(inner).fit(X, y, X_aux=A) for each in (ConformalDetector, KNNDetector))
    assert_refused(ConformalDetector(OE(**FAST)), saved(around, tmp_path), "score was 'uniform'")
    loaded = KNNDetector(OE(**FAST)).load_weights(saved(read, tmp_path))
    np.testing.assert_array_equal(loaded.score_samples(A), read.score_samples(A))


class Other(MLP):
    pass


def test_another_network(table, net, tmp_path):
    X, y, A = table
    path = saved(fitted(table), tmp_path)
    assert_refused(OE(Other, **FAST), path, "is a MLP, that of the detector is a Other")
    path = saved(MahalanobisDetector(net).fit(X, y), tmp_path)
    assert_refused(
        MahalanobisDetector(MLP((4,), 3, hidden=(32, 64))), path,
        r"hidden\.0\.bias is float32 of shape \(64,\) in the file and float32 of shape \(32,\) in",
    )
    assert_refused(
        MahalanobisDetector(MLP((4,), 3, hidden=(64, 64, 64))), path,
        r"hidden\.4\.bias is missing in the file and float32 of shape \(64,\) in the network",
    )
    linear = saved(MSPDetector(nn.Sequential(nn.Linear(4, 3))).fit(X), tmp_path)
    lazy = MSPDetector(nn.Sequential(nn.LazyLinear(3)))
    assert_refused(lazy, linear, "not there before the first batch in the network")
    assert_refused(
        MahalanobisDetector(copy.deepcopy(net).double()), path, "float32 .* and float64"
    )


def test_a_parameter_that_is_younger_than_the_file_has_to_be_its_default(table, tmp_path):
    path = saved(fitted(table), tmp_path)
    description, tensors = weights_file.read(path)
    for name in ("beta", "score"):
        del description["parameters"][name]
    weights_file.write(path, description, tensors)
    OE(**FAST).load_weights(path)
    assert_refused(OE(beta=0.7, **FAST), path, r"beta was 0\.5, now 0\.7\. Set")
    description["parameters"]["older"] = "1"
    weights_file.write(path, description, tensors)
    assert_refused(OE(**FAST), path, "older was 1, now not set")


def test_a_file_sets_no_parameter(table, tmp_path):
    path = saved(skood.MSPDetector(OE(**FAST)).fit(*table[:2]), tmp_path)
    description, tensors = weights_file.read(path)
    description["attributes"] |= {"memory": "a-folder", "_hidden": {"module__hidden": [1]}}
    weights_file.write(path, description, tensors)
    assert_refused(MSPDetector(OE(**FAST)), path, "sets memory, _hidden, which no fit does")


def test_a_file_hides_no_method(table, tmp_path):
    path = saved(fitted(table), tmp_path)
    description, tensors = weights_file.read(path)
    description["attributes"] |= {"predict": 1, "__class__": 2}
    weights_file.write(path, description, tensors)
    assert_refused(OE(**FAST), path, "sets predict, __class__, which no fit does")


BROKEN = {
    "no attributes": lambda kept: kept.pop("attributes"),
    "attributes of another kind": lambda kept: kept.update(attributes=[1]),
    "no networks": lambda kept: kept.pop("networks"),
    "a network of another kind": lambda kept: kept.update(networks={"module_": 1}),
    "a network without a class": lambda kept: kept["networks"]["module_"].pop("class"),
    "strides of no tensor": lambda kept: kept["networks"]["module_"].update(strides={"a": [1]}),
    "an unknown kind": lambda kept: kept["attributes"].update(note_={"~": "Path", "fields": {}}),
    "an array that is not there": lambda kept: kept["attributes"]["classes_"].update(tensor="a"),
    "an array of another shape": lambda kept: kept["attributes"]["classes_"].update(shape=[99]),
    "estimators of another kind": lambda kept: kept.update(estimators={"estimators_": [1]}),
    "no detector": lambda kept: kept.pop("detector"),
    "parameters of another kind": lambda kept: kept.update(parameters=1),
}


def test_a_file_replaces_nothing_that_a_network_computes_with(table, tmp_path):
    path = saved(fitted(table), tmp_path)
    description, tensors = weights_file.read(path)
    for name in ("forward", "training", "_parameters"):
        network = description["networks"]["module_"] | {"attributes": [name]}
        changed = description | {"networks": {"module_": network}}
        weights_file.write(path, changed, tensors | {f"module_.{name}": torch.zeros(1)})
        assert_refused(OE(**FAST), path, f"the file sets {name} of a MLP, which is taken")


@pytest.mark.parametrize("stride", [[0, 0], [2**40, 1], [1], [-3, 1]])
def test_strides_that_lay_out_no_tensor_are_refused(table, tmp_path, stride):
    path = saved(fitted(table), tmp_path)
    description, tensors = weights_file.read(path)
    name = next(n for n, t in tensors.items() if t.ndim == 2).removeprefix("module_.")
    description["networks"]["module_"]["strides"] = {name: stride}
    weights_file.write(path, description, tensors)
    assert_refused(OE(**FAST), path, "strides|not of the form")


class Expanded(nn.Linear):
    def __init__(self, input_shape, n_outputs):
        super().__init__(input_shape[0], n_outputs)
        self.register_buffer("scale", torch.ones(1).expand(n_outputs))

    def forward(self, x):
        return super().forward(x) * self.scale


def test_a_tensor_that_repeats_one_number_is_kept(table, tmp_path):
    detector = fitted(table, Expanded)
    loaded = OE(Expanded, **FAST).load_weights(saved(detector, tmp_path))
    for other in (loaded, pickle.loads(pickle.dumps(detector))):
        assert_same_outputs(other, detector, table[2])


@pytest.mark.parametrize("how", BROKEN)
def test_a_description_of_another_form_is_refused(table, tmp_path, how):
    path = saved(fitted(table), tmp_path)
    description, tensors = weights_file.read(path)
    BROKEN[how](description)
    weights_file.write(path, description, tensors)
    assert_refused(OE(**FAST), path, ".")


def test_bytes_of_a_file_never_become_references_to_objects(table, tmp_path):
    path = saved(fitted(table), tmp_path)
    description, tensors = weights_file.read(path)
    description["attributes"]["classes_"]["dtype"] = "|O"
    weights_file.write(path, description, tensors)
    assert_refused(OE(**FAST), path, "not of the form.*data-type")
