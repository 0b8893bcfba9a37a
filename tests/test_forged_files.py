"""Files that someone changed who knows how the checksum is made: refused, or of a working detector.

Each case changes one place of a valid file's description: takes it away, or puts something else.
"""

import copy
import time

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from skood import MSPDetector
from skood.engine import weights_file
from skood.fitted import rows_to_try

from .instances import make

GONE = object()
ODD = [
    GONE, None, True, -1, 7, 10**12, 10**400, 0.5, float("nan"), "text", [], [[]], {}, {"~": "?"},
]
NAMES = ["OE", "Mahalanobis", "RMDS", "KNN", "Gram", "Conformal-OE", "Conformal-OE-cross"]
N_CASES = 12  # of each, of some thousand


def children(kept):
    """Return what a description holds, by key or number."""
    return dict(kept.items() if isinstance(kept, dict) else enumerate(kept)) if isinstance(
        kept, (dict, list)
    ) else {}


def places(kept):
    """Return the path to every value within a description."""
    return [
        place for key, value in children(kept).items()
        for place in [(key,), *((key, *rest) for rest in places(value))]
    ]


def changed(kept, place, value):
    """Return a copy of a description with another value in one place, or none."""
    kept = inner = copy.deepcopy(kept)
    for key in place[:-1]:
        inner = inner[key]
    if value is GONE:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return kept


def check(unfitted, path, X):
    """Load a file, which must be refused by its path or give a detector that works."""
    try:
        loaded = clone(unfitted).load_weights(path)
    except ValueError as error:
        assert str(path) in str(error)
        return
    scores = loaded.score_samples(X)
    assert scores.shape == (len(X),)
    np.testing.assert_array_equal(loaded.decision_function(X), scores - loaded.offset_)
    if loaded.classes_ is not None:
        assert loaded.predict_proba(X).shape == (len(X), len(loaded.classes_))
        assert set(loaded.predict_class(X)) <= set(loaded.classes_)


@pytest.fixture(scope="module")
def files(table, tmp_path_factory):
    """Write a file of each detector."""
    X, y, A = table
    folder = tmp_path_factory.mktemp("files")
    for name in NAMES:
        make()[name].fit(X, y, X_aux=A).save_weights(folder / name)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_description_is_refused_or_that_of_a_working_detector(table, files, name):
    kept, tensors = weights_file.read(files / name)
    cases = [(place, value) for place in places(kept) for value in ODD]
    for number in np.random.default_rng(0).permutation(len(cases))[:N_CASES]:
        weights_file.write(files / "forged", changed(kept, *cases[number]), tensors)
        check(make()[name], files / "forged", table[0][:3])


def refused(files, name, place, value):
    """Return what is said of a file with another value in one place."""
    kept, tensors = weights_file.read(files / name)
    weights_file.write(files / "forged", changed(kept, place, value), tensors)
    with pytest.raises(ValueError, match="forged") as said:
        make()[name].load_weights(files / "forged")
    return str(said.value)


@pytest.mark.parametrize("name, part, attribute", [
    *(("OE", "attributes", each) for each in (
        "offset_", "classes_", "input_shape_", "n_features_in_", "history_", "_image_range")),
    ("OE", "networks", "module_"), ("KNN", "attributes", "_bank"),
    ("Conformal-OE", "attributes", "calibration_"), ("Conformal-OE", "attributes", "classes_"),
    ("Conformal-OE", "estimators", "estimators_"),
])
def test_a_file_without_what_every_fit_sets_says_what_is_missing(files, name, part, attribute):
    assert attribute in refused(files, name, (part, attribute), GONE)


@pytest.mark.parametrize("name, attribute, field", [
    ("RMDS", "_of_all", "factor"), ("Gram", "_low", "least"),
    ("Conformal-OE", "calibration_", "_pooled"), ("Conformal-OE-cross", "_ranks", "held_out"),
])
def test_an_object_without_a_field_is_refused(files, name, attribute, field):
    assert field in refused(files, name, ("attributes", attribute, "fields", field), GONE)


def test_what_a_detector_has_not_within_it_is_refused(files):
    for name, part in (("OE", "estimators"), ("Conformal-OE", "networks")):
        kept, _ = weights_file.read(files / name)
        said = refused(files, name, (part,), kept[part] | {"other_": []})
        assert "what no fit puts there" in said


def test_centres_of_folds_that_lie_in_a_row_are_refused(files):
    place = ("attributes", "_ranks", "fields", "centre", "shape")
    assert "broadcast" in refused(files, "Conformal-OE-cross", place, [2])


def of_shape(*shape):
    return {"~": "tuple", "items": list(shape)}


@pytest.mark.parametrize("shape, n", [((10**12,), 10**12), ((10**6, 10**6, 3), 10**6), ((4, 9), 4)])
def test_a_shape_of_other_rows_is_refused_at_once(files, shape, n):
    kept, tensors = weights_file.read(files / "OE")
    kept["attributes"] |= {"input_shape_": of_shape(*shape), "n_features_in_": n}
    weights_file.write(files / "forged", kept, tensors)
    begun = time.perf_counter()
    with pytest.raises(ValueError, match="forged.*shape"):
        make()["OE"].load_weights(files / "forged")
    assert time.perf_counter() - begun < 1


def test_text_of_a_gigabyte_is_refused_at_once(files):
    text = {"~": "list", "dtype": "<U500000000", "shape": [2], "items": ["a", "b"]}
    assert "text in an array" in refused(files, "OE", ("attributes", "classes_"), text)


def test_more_classes_than_outputs_are_refused(files):
    classes = {"~": "list", "dtype": "<U1", "shape": [4], "items": list("abcd")}
    said = refused(files, "KNN", ("attributes", "classes_"), classes)
    assert "of shape (4,) in the network" in said


def test_what_has_no_network_is_named(files):
    with pytest.raises(ValueError, match="of a OutlierExposureDetector"):
        MSPDetector(LogisticRegression()).load_weights(files / "OE")
    kept, tensors = weights_file.read(files / "KNN")
    forged = {"detector": "MSPDetector", "parameters": {}}
    weights_file.write(files / "forged", kept | forged, tensors)
    with pytest.raises(TypeError, match="estimator must be None.*got LogisticRegression"):
        MSPDetector(LogisticRegression()).load_weights(files / "forged")


class Scaling(torch.nn.Linear):
    """Divides a row by its length, and knows no row of zeros."""

    def __init__(self, input_shape, n_outputs):
        super().__init__(*input_shape, n_outputs)

    def forward(self, x):
        return super().forward(x / x.norm(dim=1, keepdim=True))


def test_rows_on_which_files_are_tried():
    assert rows_to_try((3, 1000, 1000), "float32") is None
    assert not rows_to_try((7,), "int64").any()
    rows = torch.from_numpy(rows_to_try((4,), "float32"))
    assert Scaling((4,), 2)(rows).isfinite().all()
