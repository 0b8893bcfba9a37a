"""The contract of ``fit``: what it accepts as samples, labels and outliers, and what it refuses."""

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from skorch.helper import SliceDataset
from torch.utils.data import DataLoader, Dataset, TensorDataset

from skood import ConformalDetector, EnergyExposureDetector, OutlierExposureDetector
from skood.engine.inputs import rows
from skood.metrics import auroc

from .datasets import Items

FAST = {"max_epochs": 2, "batch_size": 16, "random_state": 0}


def detector(**params):
    return OutlierExposureDetector(**(FAST | params))


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 20)
    X = (rng.normal(size=(60, 4)) + 4 * np.eye(3, 4)[y]).astype(np.float32)
    return X, y, rng.uniform(-6, 6, size=(80, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    X = rng.integers(256, size=(24, 3, 8, 8), dtype=np.uint8)
    return X, np.arange(24) % 2, rng.integers(256, size=(30, 3, 8, 8), dtype=np.uint8)


def scores(X, *args, **kwargs):
    test = X if isinstance(X, np.ndarray) else np.asarray(X)
    return detector().fit(X, *args, **kwargs).score_samples(test)


# ---- the second argument


def test_outliers_as_the_second_argument(table):
    X, _, A = table
    fitted = detector().fit(X, A)
    assert fitted.classes_ is None
    assert not hasattr(fitted, "predict_proba")
    expected = scores(X, X_aux=(A,))
    for second in (A, (A,), torch.from_numpy(A), pd.DataFrame(A), (A[:30], A[30:])):
        np.testing.assert_array_equal(scores(X, second), expected)


def test_a_column_of_labels_is_labels(table):
    X, y, A = table
    np.testing.assert_array_equal(scores(X, y[:, None], X_aux=A), scores(X, y, X_aux=A))
    frame = pd.DataFrame({"label": y})
    np.testing.assert_array_equal(scores(X, frame, X_aux=A), scores(X, y, X_aux=A))


def test_with_one_feature_a_column_of_the_same_length_is_labels(table):
    X, y, _ = table
    with pytest.warns(UserWarning, match="synthetic"):
        assert detector().fit(X[:, :1], y[:, None]).classes_.tolist() == [0, 1, 2]
    assert detector().fit(X[:, :1], X[:7, :1]).classes_ is None


@pytest.mark.parametrize("shape", [(60, 3), (60, 2), (10, 5), (60, 4, 1)])
def test_any_other_array_is_refused(table, shape):
    with pytest.raises(ValueError, match="must be labels of shape .* or outliers whose samples"):
        detector().fit(table[0], np.zeros(shape))


def test_outliers_must_not_come_twice(table):
    X, _, A = table
    with pytest.raises(ValueError, match="outliers came twice"):
        detector().fit(X, A, X_aux=A)


# ---- labels


@pytest.mark.parametrize(
    "name",
    [[3, 7, 40], ["ant", "bee", "cat"], [0.0, 2.0, 5.0], [True, False, True]],
    ids=["gaps", "strings", "floats", "bools"],
)
def test_labels_of_any_kind(table, name):
    X, y, A = table
    labels = np.array(name)[y]
    fitted = detector(max_epochs=30, lr=0.02).fit(X, labels, X_aux=(A,))
    np.testing.assert_array_equal(fitted.classes_, np.unique(labels))
    assert fitted.predict_class(X).dtype == labels.dtype
    assert (fitted.predict_class(X) == labels).mean() > 0.9
    proba = fitted.predict_proba(X)
    assert proba.shape == (60, len(fitted.classes_))
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_array_equal(fitted.classes_[proba.argmax(axis=1)], fitted.predict_class(X))


@pytest.mark.parametrize("as_type", [list, pd.Series, pd.Categorical, torch.tensor])
def test_labels_in_any_container(table, as_type):
    X, y, A = table
    np.testing.assert_array_equal(scores(X, as_type(y), X_aux=A), scores(X, y, X_aux=A))


def test_rows_marked_minus_one_are_outliers(table):
    X, y, A = table
    stacked, marked = np.r_[X, A], np.r_[y, np.full(len(A), -1)]
    by_mark = detector().fit(stacked, marked)
    given = detector().fit(X, y, X_aux=A)
    np.testing.assert_array_equal(by_mark.score_samples(X), given.score_samples(X))
    assert by_mark.offset_ == given.offset_
    assert by_mark.classes_.tolist() == [0, 1, 2]


def test_marked_rows_among_strings(table):
    X, y, A = table
    names = np.r_[np.array(["ant", "bee", "cat"], object)[y], np.full(len(A), -1, object)]
    fitted = detector().fit(np.r_[X, A], names)
    assert fitted.classes_.tolist() == ["ant", "bee", "cat"]


def test_marked_rows_join_the_outliers_given(table):
    X, y, A = table
    seen = detector().fit(np.r_[X, A[:30]], np.r_[y, np.full(30, -1)], X_aux=(A[30:],))
    np.testing.assert_array_equal(
        seen.score_samples(X), scores(X, y, X_aux=(A[30:], A[:30]))
    )


def test_one_class_is_no_label(table):
    X, _, A = table
    fitted = detector().fit(np.r_[X, A], np.r_[np.ones(60), -np.ones(80)])
    assert fitted.classes_ is None
    np.testing.assert_array_equal(fitted.score_samples(X), scores(X, A))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.full(60, -1), "X has 0 in-distribution rows left"),
        (np.r_[0, np.full(59, -1)], "X has 1 in-distribution rows left"),
        (np.linspace(0.1, 0.9, 60), "Unknown label type"),
        (np.r_[np.nan, np.zeros(59)], "y has missing labels"),
        (np.array([None] + ["a"] * 59, object), "y has missing labels .* row 0: .* leave such"),
        (np.array(["NaT"] + ["2026-01-01"] * 59, "datetime64[D]"), "y has missing labels"),
        (np.r_[np.inf, np.zeros(59)], "y has infinite labels"),
        (np.zeros(59), "inconsistent numbers of samples"),
    ],
)
def test_labels_that_cannot_be(table, y, message):
    with pytest.raises(ValueError, match=message):
        detector().fit(table[0], y)


# ---- no outliers


@pytest.mark.parametrize("make", [OutlierExposureDetector, EnergyExposureDetector])
@pytest.mark.parametrize("labelled", [True, False])
def test_without_outliers_synthetic_ones_are_drawn_and_said(table, make, labelled):
    X, y, _ = table
    fitted = []
    for _ in range(2):
        with pytest.warns(UserWarning, match="synthetic ones are drawn from X") as caught:
            fitted.append(make(**FAST).fit(X, y if labelled else None))
        assert caught[0].filename == __file__  # the user's line, not the library's
    np.testing.assert_array_equal(fitted[0].score_samples(X), fitted[1].score_samples(X))


@pytest.mark.parametrize("make", [OutlierExposureDetector, EnergyExposureDetector])
@pytest.mark.parametrize("labelled", [True, False])
def test_without_outliers_a_table_is_told_from_what_surrounds_it(table, make, labelled):
    X, y, A = table
    learner = make(max_epochs=60, lr=0.01, batch_size=8, random_state=0)
    with pytest.warns(UserWarning, match="synthetic"):
        learner.fit(X, y if labelled else None)
    assert auroc(np.r_[np.ones(60), -np.ones(80)], learner.score_samples(np.r_[X, A])) > 0.95


# ---- containers and dtypes of samples


def test_samples_in_any_container(table):
    X, y, A = table
    expected = scores(X, y, X_aux=A)
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    for given in (X.tolist(), torch.from_numpy(X), np.asfortranarray(X), SliceDataset(dataset)):
        np.testing.assert_array_equal(detector().fit(given, y, X_aux=A).score_samples(X), expected)
    sliced = detector().fit(SliceDataset(dataset), SliceDataset(dataset, idx=1), X_aux=A)
    np.testing.assert_array_equal(sliced.score_samples(X), expected)


def test_a_tensor_that_takes_gradients(table):
    X, y, A = table
    np.testing.assert_array_equal(
        detector().fit(torch.from_numpy(X).requires_grad_(), y, X_aux=A).score_samples(X),
        scores(X, y, X_aux=A),
    )


def test_frames_keep_their_names(table):
    X, y, A = table
    frame, outliers = (pd.DataFrame(each, columns=list("abcd")) for each in (X, A))
    fitted = detector().fit(frame, y, X_aux=(outliers,))
    assert fitted.feature_names_in_.tolist() == list("abcd")
    np.testing.assert_array_equal(fitted.score_samples(frame), scores(X, y, X_aux=A))
    with pytest.raises(ValueError, match="feature names"):
        fitted.score_samples(frame[list("dcba")])
    with pytest.raises(ValueError, match="X_aux must have the columns of X(?s:.*)same order"):
        detector().fit(frame, y, X_aux=(outliers[list("dcba")],))
    with pytest.raises(ValueError, match="X_aux must have the columns of X(?s:.*)- z"):
        detector().fit(frame, y, X_aux=outliers.rename(columns={"a": "z"}))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, bool])
def test_floats_are_taken_as_they_are(table, dtype):
    X, y, A = (np.round(each).astype(dtype) for each in table)
    y = table[1]
    expected = scores(X.astype(np.float32), y, X_aux=A.astype(np.float32))
    np.testing.assert_array_equal(detector().fit(X, y, X_aux=A).score_samples(X), expected)


def test_images_of_8_bits_are_read_as_zero_to_one(images):
    X, y, A = images
    unit = (X / 255).astype(np.float32), y, (A / 255).astype(np.float32)
    by_bits = detector().fit(X, y, X_aux=(A,))
    by_floats = detector().fit(unit[0], y, X_aux=(unit[2],))
    expected = by_bits.score_samples(X)
    np.testing.assert_allclose(by_floats.score_samples(unit[0]), expected, rtol=1e-5)
    mixed = detector().fit(X, y, X_aux=(unit[2],))
    np.testing.assert_allclose(mixed.score_samples(X), expected, rtol=1e-5)
    np.testing.assert_allclose(mixed.score_samples(unit[0]), expected, rtol=1e-5)


def test_a_memmap_stays_mapped(images, tmp_path, monkeypatch):
    X, y, A = images
    mapped = []
    for name, array in (("x", X), ("a", A)):
        np.save(tmp_path / f"{name}.npy", array)
        mapped.append(np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
    read = []

    def spy(X, index, _original=rows):
        read.append(np.shares_memory(X, mapped[0]))
        return _original(X, index)

    monkeypatch.setattr("skood.engine.streaming.rows", spy)
    fitted = detector().fit(mapped[0], y, X_aux=(mapped[1],))
    assert read
    assert all(read)
    np.testing.assert_array_equal(fitted.score_samples(mapped[0]), scores(X, y, X_aux=A))


class Reads(Dataset):
    """A pool that counts what is asked of it."""

    def __init__(self, A, labelled):
        self.A, self.labelled, self.asked = A, labelled, []

    def __len__(self):
        return len(self.A)

    def __getitem__(self, i):
        self.asked.append(i)
        x = torch.from_numpy(self.A[i])
        return (x, 0) if self.labelled else x


@pytest.mark.parametrize("labelled", [True, False])
def test_a_dataset_of_outliers_is_never_loaded_whole(table, labelled):
    X, y, A = table
    many = Reads(np.tile(A, (100, 1)), labelled)
    detector(max_epochs=1, outlier_ratio=1).fit(X, y, X_aux=many)
    assert len(many.asked) <= len(X) + 1  # one for its shape
    few = Reads(A, labelled)
    np.testing.assert_array_equal(
        detector().fit(X, y, X_aux=(few,)).score_samples(X), scores(X, y, X_aux=A)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector().fit(X, few)


# ---- refusals


@pytest.mark.parametrize("items", [np.empty((0, 4)), np.empty((60, 0))])
def test_a_SliceDataset_of_nothing_is_refused_by_name(table, items):
    X, y, _ = table
    nothing = SliceDataset([*items.astype(np.float32)])  # of rows without a second entry
    with pytest.raises(ValueError, match="X is a SliceDataset without rows|X must be an array"):
        detector().fit(nothing, y)
    with pytest.raises(ValueError, match="X_aux is a SliceDataset without|X_aux must be an array"):
        detector().fit(X, y, X_aux=nothing)


def test_a_SliceDataset_without_rows_as_second_argument_is_refused_by_name(table):
    X, _, _ = table
    nothing = SliceDataset(TensorDataset(torch.from_numpy(X[:0])))
    with pytest.raises(ValueError, match="^the second argument is a SliceDataset without rows"):
        detector().fit(X, nothing)


def test_a_dataset_as_X_is_sent_to_SliceDataset(table):
    X, y, A = table
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    with pytest.raises(TypeError, match="SliceDataset"):
        detector().fit(dataset, y, X_aux=A)
    with pytest.raises(TypeError, match="SliceDataset"):
        detector().fit(X, y, X_aux=A).predict(dataset)


def test_a_loader_as_X_or_outliers_is_told_to_pass_its_rows(table):
    X, y, A = table
    loader = DataLoader(TensorDataset(torch.from_numpy(X)))
    learner = detector().fit(X, y, X_aux=A)
    for call in (learner.predict, lambda X: detector().fit(X, y, X_aux=A)):
        with pytest.raises(TypeError, match="X is a DataLoader.*array.*loader.dataset"):
            call(loader)
    with pytest.raises(TypeError, match=r"X_aux is a DataLoader.*pass its Dataset"):
        detector().fit(X, y, X_aux=(loader,))


def test_a_SliceDataset_does_not_take_the_first_channel_of_each_image(images):
    X, y, A = images
    learner = detector().fit(X, y, X_aux=A)
    bare = SliceDataset([*X])
    with pytest.raises(TypeError, match=r"X is a SliceDataset whose items.*\(3, 8, 8\).*np\.stack"):
        learner.predict(bare)
    with pytest.raises(TypeError, match="X_aux is a SliceDataset whose items are arrays"):
        detector().fit(X, y, X_aux=(bare,))
    dataset = bare.dataset
    rows = np.stack([dataset[i] for i in range(len(dataset))])  # as the message has it
    np.testing.assert_array_equal(learner.predict(rows), learner.predict(X))


def test_outliers_of_other_columns_are_sent_through_the_pipeline(table):
    X, y, A = table
    wider = make_pipeline(PolynomialFeatures(), detector())
    with pytest.raises(ValueError, match=r"\(15,\); got \(4,\).*transform_input=\['X_aux'\]"):
        wider.fit(X, y, outlierexposuredetector__X_aux=(A,))


def test_outliers_of_another_shape(table, images):
    X, y, A = table
    with pytest.raises(ValueError, match=r"each sample of X_aux must have the shape .*\(4,\)"):
        detector().fit(X, y, X_aux=A[:, :3])
    with pytest.raises(ValueError, match="X has 3 features, but OutlierExposureDetector is expect"):
        detector().fit(X, y, X_aux=A).predict(A[:, :3])
    X, y, A = images
    for wrong in (A[:, :, :6], A[:, :1], A.reshape(30, -1)):
        with pytest.raises(ValueError, match=r"each sample of X_aux must have the shape .*3, 8, 8"):
            detector().fit(X, y, X_aux=(wrong,))
    with pytest.raises(ValueError, match="each sample of X_aux"):
        detector().fit(X, y, X_aux=TensorDataset(torch.zeros(5, 3, 9, 9)))
    with pytest.raises(ValueError, match="each sample of X must have the shape"):
        detector().fit(X, y, X_aux=A).predict(A[:, :, :6])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_and_infinite_values(table, value):
    X, y, A = (each.copy() for each in table)
    A[3, 1] = value
    with pytest.raises(ValueError, match="Input X_aux contains"):
        detector().fit(X, y, X_aux=A)
    X[3, 1] = value
    with pytest.raises(ValueError, match="Input X contains"):
        detector().fit(X, y, X_aux=table[2])


def test_an_empty_pool(table):
    X, y, A = table
    with pytest.raises(ValueError, match="X_aux holds no outliers"):
        detector().fit(X, y, X_aux=())
    with pytest.raises(ValueError, match="X_aux holds no outliers"):
        detector().fit(X, y, X_aux=A[:0])
    with pytest.raises(ValueError, match="X_aux holds no outliers"):
        detector().fit(X, y, X_aux=Reads(A[:0], False))
    np.testing.assert_array_equal(scores(X, y, X_aux=(A, A[:0])), scores(X, y, X_aux=A))


def test_tokens_are_integers(table):
    X, y, A = table
    with pytest.raises(TypeError, match="dtype='int64' needs X to hold integers, got float32"):
        detector(dtype="int64").fit(X, y, X_aux=A)


def test_shapes_without_a_default_network(table):
    X, y, A = table
    with pytest.raises(ValueError, match=r"For grey images add a channel axis, X\[:, None\]"):
        detector().fit(X.reshape(60, 2, 2), y, X_aux=A.reshape(80, 2, 2))
    last = np.zeros((20, 8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="looks like channels last; pass channels first"):
        detector().fit(last, y[:20], X_aux=last)
    with pytest.raises(ValueError, match="module=None has a default for"):
        detector(dtype="int64").fit(X.astype(int), y, X_aux=A.astype(int))


@pytest.mark.parametrize(
    ("outliers", "message"),
    [
        (lambda A: [A, A], "list of arrays: pass a tuple"),
        (lambda A: (row for row in A), "array, a torch Dataset, or a tuple of them, got generator"),
        (lambda A: {"a": A}, "got dict"),
        (lambda A: (None,), "got NoneType"),
        (lambda A: "folder", "names of files, 'folder'.*torch Dataset .*streaming.md.*np.load"),
        (lambda A: (A, Path("folder")), "names of files, 'folder'"),
        (lambda A: ["a.png", "b.png"], "names of files, 'a.png'"),
        (lambda A: [Path("a.png")], "names of files, 'a.png'"),
        (lambda A: np.array(["a.png", "b.png"]), "names of files, 'a.png'"),
    ],
)
def test_containers_of_outliers_that_are_none(table, outliers, message):
    X, y, A = table
    with pytest.raises(TypeError, match=message):
        detector().fit(X, y, X_aux=outliers(A))


@pytest.mark.parametrize(
    "X", ["folder", Path("folder"), ["a.png", "b.png"], [Path("a.png")], np.array(["a.png"])],
    ids=str,
)
def test_names_of_files_instead_of_samples(table, X):
    known, y, A = table
    fitted = detector().fit(known, y, X_aux=A)
    for method in (fitted.fit, fitted.predict):
        with pytest.raises(TypeError, match="^X must hold samples, got text, .*docs"):
            method(X)


def test_a_frame_with_text_is_told_of_pipelines(table):
    X, y, _ = table
    frame = pd.DataFrame(X).assign(site="north").rename(columns=str)
    with pytest.raises(ValueError, match="^X holds text, .*'north'.*docs/searches.md"):
        detector().fit(frame, y)


def test_images_in_a_list_keep_their_8_bits(images):
    X, y, A = images
    expected = scores(X, y, X_aux=A)
    fitted = detector().fit(list(X), y, X_aux=list(A))
    np.testing.assert_array_equal(fitted.score_samples(list(X)), expected)


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint16"])
def test_images_of_other_integers_are_refused(images, dtype):
    X, y, A = images
    fitted = detector().fit(X, y, X_aux=A)
    with pytest.raises(TypeError, match=f"X holds images of {dtype}; pass uint8"):
        fitted.predict(X.astype(dtype))
    with pytest.raises(TypeError, match=f"X_aux holds images of {dtype}"):
        detector().fit(X, y, X_aux=A.astype(dtype))


def test_float_outliers_beside_8_bit_images_are_in_the_unit_range(images):
    X, y, A = images
    with pytest.raises(ValueError, match="X_aux holds floats from .* to 255"):
        detector().fit(X, y, X_aux=(A.astype(np.float32),))
    with pytest.raises(ValueError, match="X holds floats from .* to 255"):
        detector().fit(X, y, X_aux=A).predict(X.astype(np.float32))


def test_marked_rows_of_a_memmap_are_not_copied(images, tmp_path, monkeypatch):
    X, y, A = images
    np.save(tmp_path / "x.npy", np.r_[X, A])
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    most = []

    def spy(X, index):
        picked = rows(X, index)
        most.append(len(picked))
        return picked

    for reader in ("streaming", "pool", "inference"):
        monkeypatch.setattr(f"skood.engine.{reader}.rows", spy)
    fitted = detector().fit(mapped, np.r_[y, np.full(len(A), -1)])
    assert max(most) <= 2 * FAST["batch_size"]
    np.testing.assert_array_equal(fitted.score_samples(X), scores(X, y, X_aux=A))


def test_a_slice_dataset_of_outliers_as_the_second_argument(table):
    X, _, A = table
    sliced = SliceDataset(TensorDataset(torch.from_numpy(A)))
    np.testing.assert_array_equal(scores(X, sliced), scores(X, A))


class Broken(Reads):
    """A pool in which one item is not like the others."""

    def __init__(self, A, bad):
        super().__init__(A, False)
        self.bad = bad

    def __getitem__(self, i):
        return self.bad if i == len(self.A) - 1 else super().__getitem__(i)


@pytest.mark.parametrize(
    ("bad", "message"),
    [(torch.full((4,), torch.nan), "X_aux contains NaN"), (torch.zeros(5), "have one shape")],
)
def test_items_of_a_dataset_are_checked_as_they_come(table, bad, message):
    X, y, A = table
    with pytest.raises(ValueError, match=message):
        detector().fit(X, y, X_aux=Broken(A, bad))


@pytest.mark.parametrize("make", [OutlierExposureDetector, EnergyExposureDetector])
def test_items_that_take_gradients_or_are_half_precise(table, make):
    X, y, A = table
    half = torch.from_numpy(A).bfloat16().requires_grad_()
    fitted = make(**FAST).fit(X, y, X_aux=TensorDataset(half))
    plain = make(**FAST).fit(X, y, X_aux=half)
    np.testing.assert_array_equal(fitted.score_samples(X), plain.score_samples(X))


def test_tokens_in_frames_and_lists_are_integers(table):
    X, y, A = table
    for floats in (pd.DataFrame(X), X.tolist()):
        with pytest.raises(TypeError, match="dtype='int64' needs X to hold integers"):
            detector(dtype="int64").fit(floats, y, X_aux=A)


def test_values_too_large_for_the_network(table):
    X, y, A = table
    fitted = detector().fit(X, y, X_aux=A)
    X = X.astype(np.float64)
    X[3] = 1e300
    with pytest.raises(ValueError, match="no finite score for 1 of 60 samples, the first at row 3"):
        fitted.predict(X)


def test_a_device_that_is_not_there(table):
    X, y, A = table
    for device in ("nowhere", "cuda:99"):
        with pytest.raises(ValueError, match="device=.* cannot be used"):
            detector(device=device).fit(X, y, X_aux=A)
    np.testing.assert_array_equal(
        detector(device=torch.device("cpu")).fit(X, y, X_aux=A).score_samples(X),
        scores(X, y, X_aux=A),
    )


def test_columns_of_unequal_scale_are_pointed_out(table):
    X, y, A = table
    unequal = np.array([1, 1000, 0.01, 1], np.float32)
    message = "a column of X is .* as wide as most: .* StandardScaler"
    with pytest.warns(UserWarning, match=message) as got:
        detector().fit(X * unequal, y, X_aux=A * unequal)
    assert got[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector().fit(X, y, X_aux=A)
        detector().fit(X * np.array([1, 0, 1, 1], np.float32), y, X_aux=A)  # a constant column


def test_outliers_on_another_scale_are_pointed_out(table):
    X, y, A = table
    units = np.array([1, 1, 1, 300], np.float32)
    message = "X_aux looks scaled otherwise than X: in column 3 .* so far off are 1 of 4 columns"
    with pytest.warns(UserWarning, match=message) as got:
        detector().fit(X, y, X_aux=(A[:1], 9 + A * units))
    assert got[0].filename == __file__
    with pytest.warns(UserWarning, match=message):
        detector().fit(np.concatenate([X, 9 + A * units]), np.append(y, np.full(len(A), -1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        detector().fit(X, y, X_aux=3 * A + np.ptp(X))  # far, not absurdly
        detector().fit(X * np.array([1, 0, 1, 1], np.float32), y, X_aux=A + 9)  # a constant column


@pytest.mark.filterwarnings("error")
def test_a_column_that_varies_by_rounding_errors_says_nothing_of_scales(table):
    X, y, A = table
    X = X.copy()
    X[:, 1] = 1e-8 * np.sign(X[:, 1])  # as the last principal components are
    detector().fit(X, y, X_aux=A + 1)


@pytest.mark.filterwarnings("error")
def test_rows_that_recur_do_not_hide_how_far_a_column_goes(table):
    X, y, A = table
    X, A = np.tile(X, (50, 1)), A.copy()
    A[:, 1] = 40
    X[:, 1] = np.where(np.arange(len(X)) % 3, 50, X[:, 1] / 100)  # every third row is looked at
    detector().fit(X, X_aux=A)


def test_a_column_of_outliers_on_another_scale_is_named(table):
    X, y, A = table
    X, A = (pd.DataFrame(each, columns=list("abcd")) for each in (X, A))
    with pytest.warns(UserWarning, match="in column 'd' X goes from"):
        detector().fit(X, y, X_aux=A.assign(d=1000.0))


def test_8_bit_images_beside_floats_of_another_range(images):
    X, y, A = images
    for fitted_on in (X / 127.5 - 3, X.astype(np.float32)):
        with pytest.raises(ValueError, match="X_aux holds 8-bit ones.*convert them as X was"):
            detector().fit(fitted_on, y, X_aux=A)
        learner = detector().fit(fitted_on, y, X_aux=fitted_on[:9])
        with pytest.raises(ValueError, match="X holds 8-bit ones"):
            learner.predict(X)


def test_a_little_beyond_the_unit_range_is_noise(images):
    X, y, A = images
    noisy = X / 255 + np.random.default_rng(0).normal(0, 0.05, X.shape)
    learner = detector().fit(X, y, X_aux=A)
    assert learner.predict(noisy).shape == (24,)
    assert learner.predict(np.random.default_rng(0).normal(size=X.shape)).shape == (24,)
    centred = (X / 255 - 0.5) * 0.8  # no 8-bit images anywhere: any range goes
    assert detector().fit(centred, y, X_aux=3 * centred).predict(5 * centred).shape == (24,)
    assert detector().fit(noisy, y, X_aux=A).predict(X).shape == (24,)


@pytest.mark.parametrize("as_labels", [list, pd.Series, lambda y: np.array(y, object)])
def test_the_string_minus_one_is_no_mark(table, as_labels):
    X, _, A = table
    with pytest.raises(TypeError, match="y holds the string '-1'"):
        detector().fit(X, as_labels(["ant", "bee", "-1"] * 20), X_aux=A)


def test_missing_pandas_labels(table):
    X, _, A = table
    with pytest.raises(ValueError, match="y has missing labels"):
        detector().fit(X, np.array(["ant", "bee", pd.NA] * 20, object), X_aux=A)


def test_integer_labels_in_an_object_array(table):
    X, y, A = table
    marked = np.r_[y, np.full(len(A), -1)]
    fitted = detector().fit(np.r_[X, A], marked.astype(object))
    assert fitted.classes_.tolist() == [0, 1, 2]
    expected = detector().fit(np.r_[X, A], marked).score_samples(X)
    np.testing.assert_array_equal(fitted.score_samples(X), expected)


@pytest.mark.parametrize(
    ("items", "error", "message"),
    [
        (lambda A: torch.from_numpy(A).float(), ValueError, "X_aux holds floats from .* to 2"),
        (lambda A: torch.from_numpy(A).long(), TypeError, "X_aux holds images of int64"),
    ],
)
def test_images_in_a_dataset_are_read_as_those_of_an_array(images, items, error, message):
    X, y, A = images
    with pytest.raises(error, match=message):
        detector().fit(X, y, X_aux=TensorDataset(items(A)))
    late = Broken(A, items(A)[0])  # the last item alone
    with pytest.raises(error, match=message):
        detector(outlier_ratio=4).fit(X, y, X_aux=late)


def test_a_dataset_in_a_tuple_as_the_second_argument_is_not_read_whole(table):
    X, _, A = table
    many = Reads(np.tile(A, (100, 1)), False)
    fitted = detector(max_epochs=1, outlier_ratio=1).fit(X, (many,))
    assert fitted.classes_ is None
    assert len(many.asked) <= len(X) + 1
    np.testing.assert_array_equal(scores(X, (A.tolist(),)), scores(X, A))


def test_empty_lists_are_empty_parts(table):
    X, y, A = table
    np.testing.assert_array_equal(scores(X, y, X_aux=(A, [])), scores(X, y, X_aux=A))
    with pytest.raises(ValueError, match="X_aux holds no outliers"):
        detector().fit(X, y, X_aux=[])


def test_float_tokens_in_object_arrays_and_datasets(table):
    X, y, A = table
    with pytest.raises(TypeError, match="dtype='int64' needs X to hold integers"):
        detector(dtype="int64").fit(X.astype(object), y, X_aux=A)
    with pytest.raises(TypeError, match="dtype='int64' needs X_aux to hold integers"):
        detector(dtype="int64").fit(
            X.astype(int), y, X_aux=TensorDataset(torch.from_numpy(A))
        )


@pytest.mark.parametrize("n_channels, mistake, remedy", [
    (1, lambda X: X[:, 0], "X[:, None]"),
    (3, lambda X: X.transpose(0, 2, 3, 1), "X.transpose(0, 3, 1, 2)"),
    (3, lambda X: X.reshape(len(X), -1), "X.reshape(-1, 3, 8, 8)"),
])
def test_samples_of_a_shape_that_often_comes_are_told_the_way(images, n_channels, mistake, remedy):
    X, y, A = images
    X, A = X[:, :n_channels], A[:, :n_channels]
    learner = detector().fit(X, y, X_aux=A)
    with pytest.raises(ValueError, match=f"shape of a training sample.*{re.escape(remedy)}"):
        learner.predict(mistake(X))
    np.testing.assert_array_equal(eval(remedy, {"X": mistake(X)}), X)


def test_items_of_a_dataset_are_not_told_to_index_it_as_an_array(images):
    X, y, A = images
    items = TensorDataset(torch.from_numpy(A.transpose(0, 2, 3, 1).copy()))
    with pytest.raises(ValueError, match=r"shape of a training sample.*got \(8, 8, 3\)\.$"):
        detector().fit(X, y, X_aux=items)


@pytest.mark.parametrize("output", ["score_samples", "predict", "predict_proba", "predict_class"])
@pytest.mark.parametrize("detector", [
    OutlierExposureDetector(), ConformalDetector(OutlierExposureDetector())
])
def test_what_is_not_fitted_says_so(detector, output):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        getattr(detector, output)(np.zeros((2, 3)))


def test_rows_of_several_shapes_are_refused_by_name():
    ragged = (np.zeros((4, 3)), np.zeros((1, 2)))
    with pytest.raises(ValueError, match="X must be an array, or what makes one.*Got a tuple"):
        OutlierExposureDetector().fit(ragged)


def test_items_that_do_not_fit_are_refused_by_name():
    X, images = np.zeros((8, 3), np.float32), np.zeros((8, 1, 4, 4), np.float32)
    with pytest.raises(ValueError, match=r"shape of a training sample, \(3,\); got \(1, 4, 4\)"):
        OutlierExposureDetector().fit(X, X_aux=Items(images))
    with pytest.raises(TypeError, match="items of X_aux must hold numbers, got dtype object"):
        OutlierExposureDetector().fit(X, X_aux=Items(X.astype(object)))


def test_labels_of_several_kinds_are_refused_by_name():
    y = np.array(["a", 1] * 4, dtype=object)
    with pytest.raises(TypeError, match="labels in y must be of one kind.*int, str"):
        OutlierExposureDetector().fit(np.zeros((8, 3), np.float32), y)


def test_a_device_that_holds_no_numbers_is_refused():
    with pytest.raises(ValueError, match="device='meta' cannot be used"):
        OutlierExposureDetector(device="meta").fit(np.zeros((8, 3), np.float32))


def test_values_beyond_float32_are_refused_without_a_word_of_numpy_s():
    X = np.full((8, 3), 1e200)
    with warnings.catch_warnings(), pytest.raises(ValueError, match="diverged.*scale X"):
        warnings.simplefilter("error", RuntimeWarning)
        OutlierExposureDetector(max_epochs=1, module__hidden=(4,)).fit(X)
