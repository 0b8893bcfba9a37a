"""Files: weights once, as NumPy arrays, without training data, and the same scores bit for bit."""

import copy
import functools
import io
import pickle
import subprocess
import sys

import cloudpickle
import joblib
import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback, EarlyStopping, EpochScoring
from torch import nn

from skood import EnergyExposureDetector, OutlierExposureDetector
from skood.nn import MLP, WideResNet

from .instances import make_training as make

FAST = {"max_epochs": 1, "batch_size": 16, "random_state": 0}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=60)
    X = (rng.normal(size=(60, 4)) + 3 * np.eye(3, 4)[y]).astype(np.float32)
    return X, y, rng.uniform(-6, 6, size=(80, 4)).astype(np.float32)


def fitted(table, module=None, **params):
    X, y, A = table
    return OutlierExposureDetector(module, **(FAST | params)).fit(X, y, X_aux=A)


def through_pickle(detector, tmp_path):
    return pickle.loads(pickle.dumps(detector))


def through_cloudpickle(detector, tmp_path):
    return pickle.loads(cloudpickle.dumps(detector))


def through_joblib(detector, tmp_path, mmap_mode=None, **options):
    # A new file each time: writing over a file that is mapped ends the process.
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.joblib"
    joblib.dump(detector, path, **options)
    return joblib.load(path, mmap_mode=mmap_mode)


def through_mapped_joblib(detector, tmp_path):
    return through_joblib(detector, tmp_path, mmap_mode="r")


def through_deepcopy(detector, tmp_path):
    return copy.deepcopy(detector)


WAYS = [
    through_pickle, through_cloudpickle, through_joblib,
    functools.partial(through_joblib, compress=3), through_mapped_joblib, through_deepcopy,
]
every_way = pytest.mark.parametrize(
    "way", WAYS, ids=["pickle", "cloudpickle", "joblib", "compressed", "mapped", "deepcopy"]
)


def assert_same_outputs(loaded, detector, X):
    for method in ("score_samples", "decision_function", "predict", "predict_proba"):
        assert hasattr(loaded, method) == hasattr(detector, method)
        if hasattr(detector, method):
            np.testing.assert_array_equal(getattr(loaded, method)(X), getattr(detector, method)(X))


def weight_bytes(module):
    return sum(p.numel() * p.element_size() for p in module.parameters())


# ---- every detector, every way


@every_way
@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("name", make())
def test_a_fitted_detector(table, tmp_path, name, labelled, way):
    X, y, A = table
    detector = make()[name].set_params(max_epochs=1).fit(X, y if labelled else None, X_aux=A)
    loaded = way(detector, tmp_path)
    assert loaded.get_params() == detector.get_params()
    assert vars(loaded).keys() == vars(detector).keys()
    for attribute in ("offset_", "n_iter_", "history_", "n_features_in_", "input_shape_"):
        np.testing.assert_equal(getattr(loaded, attribute), getattr(detector, attribute))
    np.testing.assert_array_equal(loaded.classes_, detector.classes_)
    assert not any(p.requires_grad or p.is_meta for p in loaded.module_.parameters())
    assert_same_outputs(loaded, detector, A)
    again = way(loaded, tmp_path)
    assert_same_outputs(again, detector, A)


@every_way
@pytest.mark.parametrize("name", make())
def test_a_detector_that_is_not_fitted(table, tmp_path, name, way):
    X, y, A = table
    detector = make()[name].set_params(max_epochs=1, random_state=3)
    loaded = way(detector, tmp_path)
    assert loaded.get_params() == detector.get_params()
    assert not [k for k in vars(loaded) if k.endswith("_")]
    np.testing.assert_array_equal(
        loaded.fit(X, y, X_aux=A).score_samples(A), detector.fit(X, y, X_aux=A).score_samples(A)
    )


@every_way
def test_a_loaded_detector_can_be_fitted_again(table, tmp_path, way):
    X, y, A = table
    detector = fitted(table)
    loaded = way(detector, tmp_path)
    before = detector.score_samples(A)
    np.testing.assert_array_equal(loaded.fit(X, y, X_aux=A).score_samples(A), before)
    loaded.set_params(random_state=1).fit(X, y, X_aux=A)
    assert not np.array_equal(loaded.score_samples(A), before)
    np.testing.assert_array_equal(detector.score_samples(A), before)


@every_way
def test_the_net_of_a_loaded_detector_can_be_trained_by_another(table, tmp_path, way):
    X, y, A = table
    detector = fitted(table)
    loaded = way(detector, tmp_path)
    from_file, from_fit = (
        EnergyExposureDetector(each.module_, **FAST).fit(X, y, X_aux=A)
        for each in (loaded, detector)
    )
    np.testing.assert_array_equal(from_file.score_samples(A), from_fit.score_samples(A))
    assert_same_outputs(loaded, detector, A)


IN_A_FRESH_PROCESS = """
import joblib, numpy as np
X = np.load("X.npy")
for mmap_mode in (None, "r"):
    detector = joblib.load("detector.joblib", mmap_mode=mmap_mode)
    np.save(f"{mmap_mode}.npy", [detector.score_samples(X), detector.predict(X)])
"""


def test_scores_in_a_fresh_process(table, tmp_path):
    detector, X = fitted(table), table[2]
    joblib.dump(detector, tmp_path / "detector.joblib")
    np.save(tmp_path / "X.npy", X)
    subprocess.run([sys.executable, "-c", IN_A_FRESH_PROCESS], cwd=tmp_path, check=True)
    for mmap_mode in (None, "r"):
        scores, decisions = np.load(tmp_path / f"{mmap_mode}.npy")
        np.testing.assert_array_equal(scores, detector.score_samples(X))
        np.testing.assert_array_equal(decisions, detector.predict(X))


# ---- what lies in a file


@pytest.mark.parametrize("module", [None, MLP], ids=["default", "class"])
def test_a_file_holds_the_weights_once(table, tmp_path, module):
    detector = fitted(table, module, module__hidden=(600, 600))
    joblib.dump(detector, tmp_path / "detector.joblib")
    weights = weight_bytes(detector.module_)
    assert weights < (tmp_path / "detector.joblib").stat().st_size < 1.01 * weights
    assert weights < len(pickle.dumps(detector)) < 1.01 * weights


def test_a_trained_instance_is_a_parameter_and_so_stored_beside_the_result(table):
    detector = fitted(table, MLP((4,), 3, hidden=(600, 600)))
    weights = weight_bytes(detector.module_)
    assert 2 * weights < len(pickle.dumps(detector)) < 2.02 * weights


def rows_of(X):
    """Return the bytes of every row as they are, as floats, and as what a module receives."""
    for row in X:
        yield row.tobytes()
        if row.dtype == np.uint8:
            yield row.astype(np.float32).tobytes()
            yield (row.astype(np.float32) / np.float32(255)).tobytes()
        else:
            yield row.astype(np.float64).tobytes()


def test_no_training_data_in_a_file_of_a_table(table):
    X, y, A = table
    stop = EarlyStopping(monitor="train_loss")
    detector = fitted(table, callbacks=[stop])
    without_labels = OutlierExposureDetector(**FAST).fit(X, A)
    stacked = OutlierExposureDetector(**FAST).fit(np.r_[X, A], np.r_[y, np.full(len(A), -1)])
    energy = EnergyExposureDetector(**FAST).fit(X, y, X_aux=A)
    for each in (detector, without_labels, stacked, energy):
        for data in (pickle.dumps(each), pickle.dumps(each.set_params(device="cpu"))):
            assert not any(row in data for row in (*rows_of(X), *rows_of(A)))


def test_no_training_data_in_a_file_of_images():
    rng = np.random.default_rng(0)
    X, A = (rng.integers(1, 256, size=(20, 1, 8, 8), dtype=np.uint8) for _ in range(2))
    detector = OutlierExposureDetector(**FAST).fit(X, np.arange(20) % 2, X_aux=(A,))
    assert detector.score_samples(X).shape == (20,)
    data = pickle.dumps(detector)
    assert not any(row in data for row in (*rows_of(X), *rows_of(A)))
    kept = pickle.dumps((detector, X[0].astype(np.float32)))
    assert any(row in kept for row in rows_of(X))  # the search does find rows


TORCH_STORAGE = (b"torch.storage", b"_load_from_bytes", b"_rebuild_tensor")


@pytest.mark.parametrize("name", make())
def test_no_torch_tensor_with_data_in_a_file(table, name):
    X, y, A = table
    data = pickle.dumps(make()[name].set_params(max_epochs=1).fit(X, y, X_aux=A))
    assert not any(mark in data for mark in TORCH_STORAGE)


def test_the_search_for_torch_tensors_finds_one(table):
    data = pickle.dumps((fitted(table), torch.zeros(2)))
    assert any(mark in data for mark in TORCH_STORAGE)


# ---- nets of every kind


class Buffers(nn.Module):
    """Batch statistics, and buffers of every kind."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.body = nn.Linear(input_shape[0], 8)
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, n_outputs)
        self.register_buffer("shift", torch.arange(8.0), persistent=False)
        self.register_buffer("scale", torch.tensor(0.5))
        self.register_buffer("empty", torch.zeros(0, 3))
        self.register_buffer("nothing", None)
        self.plain = torch.full((8,), 0.25)

    def forward(self, x):
        return self.head(self.norm(self.body(x)) * self.scale + self.shift * self.plain)


class Tied(nn.Module):
    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.a = nn.Linear(input_shape[0], input_shape[0])
        self.b = nn.Linear(input_shape[0], input_shape[0])
        self.b.weight = self.a.weight
        self.head = nn.Linear(input_shape[0], n_outputs)

    def forward(self, x):
        return self.head(self.b(self.a(x).relu()).relu())


class Recurrent(nn.Module):
    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.body = nn.LSTM(1, 8, batch_first=True)
        self.head = nn.Linear(8, n_outputs)

    def forward(self, x):
        return self.head(self.body(x[..., None])[0][:, -1])


class Complex(nn.Module):
    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.phase = nn.Parameter(torch.randn(input_shape[0], dtype=torch.complex64))
        self.head = nn.Linear(2 * input_shape[0], n_outputs)

    def forward(self, x):
        product = x * self.phase
        return self.head(torch.cat([product.real, product.imag], dim=1))


class Remembering(nn.Module):
    """Keeps its features, as many nets for OOD detection do."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.body = nn.Linear(input_shape[0], 8)
        self.head = nn.Linear(8, n_outputs)

    def forward(self, x):
        self.features = self.body(x).relu()
        return self.head(self.features)


class Normed(nn.Module):
    """The older normalisations of torch keep their weight as a plain attribute."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.a = nn.utils.spectral_norm(nn.Linear(input_shape[0], 8))
        self.b = nn.utils.weight_norm(nn.Linear(8, 8))
        self.head = nn.Linear(8, n_outputs)

    def forward(self, x):
        return self.head(self.b(self.a(x).relu()).relu())


class Tokens(nn.Module):
    """Integers in, and buffers of dtypes that NumPy does not know."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        self.body = nn.Embedding(20, 8)
        self.head = nn.Linear(8, n_outputs)
        self.register_buffer("scale", torch.linspace(0.5, 2, 8).bfloat16())
        self.register_buffer("scalar", torch.tensor(1.5, dtype=torch.bfloat16))
        self.register_buffer("small", torch.linspace(0.5, 2, 8).to(torch.float8_e4m3fn))

    def forward(self, x):
        return self.head(self.body(x).mean(1) * self.scale * self.scalar * self.small.float())


NETS = [Buffers, Tied, Recurrent, Complex, Remembering, Normed]


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@every_way
@pytest.mark.parametrize("Net", NETS)
@pytest.mark.parametrize("instance", [False, True], ids=["class", "instance"])
def test_nets_of_every_kind(table, tmp_path, Net, instance, way):
    X, y, A = table
    detector = fitted(table, Net((4,), 3) if instance else Net)
    loaded = way(detector, tmp_path)
    assert_same_outputs(loaded, detector, A)
    of_loaded, of_fitted = (
        dict([*each.module_.named_parameters(), *each.module_.named_buffers()])
        for each in (loaded, detector)
    )
    assert of_loaded.keys() == of_fitted.keys()
    for name, tensor in of_fitted.items():
        assert of_loaded[name].dtype == tensor.dtype
        assert torch.equal(of_loaded[name], tensor)
    assert not any(mark in pickle.dumps(detector) for mark in TORCH_STORAGE)
    np.testing.assert_array_equal(
        loaded.fit(X, y, X_aux=A).score_samples(A), detector.fit(X, y, X_aux=A).score_samples(A)
    )


def test_tied_weights_stay_tied(table, tmp_path):
    for way in WAYS:
        module = way(fitted(table, Tied), tmp_path).module_
        assert module.a.weight is module.b.weight


def test_buffers_of_every_kind(table, tmp_path):
    for way in WAYS:
        module = way(fitted(table, Buffers), tmp_path).module_
        assert torch.equal(module.shift, torch.arange(8.0))
        assert module.scale.shape == () and module.scale == 0.5
        assert module.empty.shape == (0, 3) and module.nothing is None
        assert torch.equal(module.plain, torch.full((8,), 0.25))
        assert module.norm.num_batches_tracked > 0
        assert "shift" not in module.state_dict()


@every_way
def test_dtypes_that_numpy_does_not_know(tmp_path, way):
    rng = np.random.default_rng(0)
    X, A = (rng.integers(20, size=(30, 5)) for _ in range(2))
    detector = OutlierExposureDetector(Tokens, dtype="int64", **FAST)
    detector.fit(X, np.arange(30) % 2, X_aux=(A,))
    loaded = way(detector, tmp_path)
    assert_same_outputs(loaded, detector, A)
    assert loaded.module_.scale.dtype == torch.bfloat16
    assert loaded.module_.small.dtype == torch.float8_e4m3fn
    assert not any(mark in pickle.dumps(detector) for mark in TORCH_STORAGE)


@every_way
def test_a_memory_format_is_kept_because_convolutions_round_otherwise(tmp_path, way):
    rng = np.random.default_rng(0)
    X, A = (rng.integers(256, size=(20, 3, 8, 8), dtype=np.uint8) for _ in range(2))
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2),
    ).to(memory_format=torch.channels_last)
    detector = OutlierExposureDetector(net, **FAST).fit(X, np.arange(20) % 2, X_aux=(A,))
    loaded = way(detector, tmp_path)
    assert loaded.module_[0].weight.stride() == (27, 1, 9, 3)
    np.testing.assert_array_equal(loaded.score_samples(A), detector.score_samples(A))


def test_a_published_net(tmp_path):
    rng = np.random.default_rng(0)
    X, A = (rng.integers(256, size=(8, 3, 32, 32), dtype=np.uint8) for _ in range(2))
    net = WideResNet((3, 32, 32), 2, depth=10, width=1)
    detector = OutlierExposureDetector(net, **FAST).fit(X, np.arange(8) % 2, X_aux=(A,))
    for way in WAYS:
        np.testing.assert_array_equal(
            way(detector, tmp_path).score_samples(A), detector.score_samples(A)
        )


@every_way
def test_a_trained_instance_survives_as_the_parameter(table, tmp_path, way):
    net = MLP((4,), 3).eval()
    net.head.bias.requires_grad_(False)
    loaded = way(fitted(table, net), tmp_path)
    assert loaded.module is not net and not loaded.module.training
    assert loaded.module.hidden[0].weight.requires_grad
    assert not loaded.module.head.bias.requires_grad
    for name, tensor in net.state_dict().items():
        assert torch.equal(loaded.module.state_dict()[name], tensor)


class OnBackbone(nn.Module):
    def __init__(self, input_shape, n_outputs, backbone, matrix):
        super().__init__()
        self.backbone = backbone
        self.matrix = nn.Parameter(matrix)
        self.head = nn.Linear(8, n_outputs)

    def forward(self, x):
        return self.head(self.backbone(x @ self.matrix).relu())


def test_a_net_among_the_options_is_copied_and_stored_as_arrays(table, tmp_path):
    X, y, A = table
    backbone, matrix = nn.Linear(4, 8), torch.eye(4)
    before = copy.deepcopy(backbone.state_dict())
    detector = fitted(table, OnBackbone, module__backbone=backbone, module__matrix=matrix)
    assert detector.module_.backbone is not backbone
    assert backbone.weight.requires_grad and torch.equal(matrix, torch.eye(4))
    assert all(torch.equal(before[name], each) for name, each in backbone.state_dict().items())
    detector.set_params(module__matrix=None)
    assert not any(mark in pickle.dumps(detector) for mark in TORCH_STORAGE)
    for way in WAYS:
        loaded = way(detector, tmp_path)
        assert torch.equal(loaded.get_params()["module__backbone"].weight, backbone.weight)
        assert_same_outputs(loaded, detector, A)


def test_an_instance_without_shapes_yet(table, tmp_path):
    X, y, A = table
    net = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3))
    detector = OutlierExposureDetector(net, **FAST)
    for way in WAYS:
        loaded = way(detector, tmp_path)
        assert isinstance(loaded.module[0], nn.LazyLinear)
        assert loaded.fit(X, y, X_aux=A).module_[0].weight.shape == (8, 4)


# ---- mapped files


def test_weights_of_a_mapped_file_stay_in_the_file(table, tmp_path):
    detector = fitted(table, module__hidden=(64,))
    loaded = through_mapped_joblib(detector, tmp_path)
    assert_same_outputs(loaded, detector, table[2])
    weight = loaded.module_.head.weight
    assert not weight.requires_grad  # a step of an optimizer would write to a read-only map
    content = weight.numpy().tobytes()
    with open(tmp_path / "0.joblib", "r+b") as file:
        file.seek(file.read().index(content))
        file.write(b"\0" * len(content))
    assert not weight.any()  # what changes in the file changes in the detector


def test_a_mapped_instance_is_trained_as_a_copy(table, tmp_path):
    X, y, A = table
    detector = OutlierExposureDetector(MLP((4,), 3), **FAST)
    loaded = through_mapped_joblib(detector, tmp_path)
    content = (tmp_path / "0.joblib").read_bytes()
    np.testing.assert_array_equal(
        loaded.fit(X, y, X_aux=A).score_samples(A), detector.fit(X, y, X_aux=A).score_samples(A)
    )
    assert (tmp_path / "0.joblib").read_bytes() == content


# ---- what cannot be stored says so


def test_a_local_class_needs_cloudpickle(table):
    class Local(MLP):
        pass

    detector = fitted(table, Local)
    with pytest.raises((pickle.PicklingError, AttributeError), match="Local"):
        pickle.dumps(detector)
    with pytest.raises((pickle.PicklingError, AttributeError), match="Local"):
        joblib.dump(detector, io.BytesIO())
    loaded = pickle.loads(cloudpickle.dumps(detector))
    assert_same_outputs(loaded, detector, table[2])
    assert_same_outputs(copy.deepcopy(detector), detector, table[2])


def test_a_lambda_needs_cloudpickle(table):
    detector = fitted(table, lambda input_shape, n_outputs: MLP(input_shape, n_outputs))
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(detector)
    loaded = pickle.loads(cloudpickle.dumps(detector))
    assert_same_outputs(loaded, detector, table[2])


class KeepsTheNet(Callback):
    def on_train_end(self, net, X=None, y=None, **kwargs):
        self.net_, self.X_ = net, X


def test_callbacks_are_stored_as_they_were_given(table, tmp_path):
    X, _, A = table
    callback = KeepsTheNet()
    detector = fitted(table, callbacks=[callback])
    assert not vars(callback)  # a clone was used
    for way in WAYS:
        loaded = way(detector, tmp_path)
        assert [type(each) for each in loaded.callbacks] == [KeepsTheNet]
        assert_same_outputs(loaded, detector, A)
    data = pickle.dumps(detector)
    assert not any(row in data for row in rows_of(X))
    assert not any(mark in data for mark in TORCH_STORAGE)


def test_a_callback_that_cannot_be_pickled_says_so(table):
    callback = EpochScoring(lambda net, X, y: 0.0, name="zero")
    detector = fitted(table, callbacks=[callback])
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(detector)
    assert_same_outputs(pickle.loads(cloudpickle.dumps(detector)), detector, table[2])


def test_a_parametrized_net_says_that_torch_cannot_pickle_it(table):
    net = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 8)), nn.Linear(8, 3))
    detector = fitted(table, net)
    with pytest.raises(RuntimeError, match="parametrized modules"):
        pickle.dumps(detector)
    assert_same_outputs(copy.deepcopy(detector), detector, table[2])


def test_a_pipeline_is_stored_with_its_detector(table, tmp_path):
    X, y, A = table
    pipeline = make_pipeline(FunctionTransformer(np.negative), OutlierExposureDetector(**FAST))
    pipeline.fit(X, y, outlierexposuredetector__X_aux=(A,))
    for way in WAYS:
        np.testing.assert_array_equal(
            way(pipeline, tmp_path).score_samples(A), pipeline.score_samples(A)
        )
