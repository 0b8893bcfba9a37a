"""Copies of in-distribution data among the outliers: planted ones are found, others are not."""

import re
import tracemalloc

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import TensorDataset

from skood import EnergyDetector, OutlierExposureDetector, outlier_overlap
from skood.datasets import load_digits_ood
from skood.nn import MLP
from skood.outliers import procedural
from skood.overlap._identical import hashes
from skood.overlap._spaces import Bank
from skood.plotting import OverlapDisplay

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def images():
    """Procedural images of two seeds: none of the one resembles one of the other."""
    made = [procedural(400, (3, 32, 32), random_state=seed) for seed in (0, 1)]
    return [(255 * each).round().astype(np.uint8) for each in made]


def test_identical_rows_are_found_whatever_their_type(images):
    X_in, X_aux = images
    X_aux = X_aux.copy()
    X_aux[[5, 50]] = X_in[[7, 390]]
    floats = X_aux.astype(np.float32) / 255
    for aux in (X_aux, floats, torch.from_numpy(X_aux), TensorDataset(torch.from_numpy(X_aux))):
        overlap = outlier_overlap(X_in, aux)
        assert np.flatnonzero(overlap.is_identical).tolist() == [5, 50]
        assert overlap.in_index[[5, 50]].tolist() == [7, 390]
        assert (overlap.distance[[5, 50]] == 0).all() and (overlap.relative[[5, 50]] == 0).all()


def test_one_bit_is_enough_to_be_no_twin(images):
    X_in, X_aux = images
    X_aux = np.concatenate([X_aux[:9], X_in[:20]])
    X_aux[9:, 0, 3, 4] ^= 1
    overlap = outlier_overlap(X_in, X_aux)
    assert not overlap.is_identical.any() and overlap.is_near_duplicate[9:].all()


def quantised(images):
    """Keep the coarse half of the cosine transform, rounded: what JPEG leaves."""
    from scipy.fft import dctn, idctn

    blocks = images.reshape(len(images), 3, 4, 8, 4, 8).astype(float)
    waves = dctn(blocks, axes=(3, 5), norm="ortho")
    step = 8.0 * (1 + np.arange(8)[:, None, None] + np.arange(8))
    return idctn(np.round(waves / step) * step, axes=(3, 5), norm="ortho").reshape(images.shape)


ALTERED = {
    "compressed": quantised,
    "darker": lambda x: 0.6 * x + 10,
    "less contrast": lambda x: 0.5 * x + 64,
    "noise": lambda x: x + np.random.default_rng(0).normal(0, 8, x.shape),
}


@pytest.mark.parametrize("name", ALTERED)
def test_altered_copies_are_found_and_nothing_else(images, name):
    X_in, X_aux = images
    copies = np.clip(ALTERED[name](X_in[100:140]), 0, 255).round().astype(np.uint8)
    overlap = outlier_overlap(X_in, np.concatenate([X_aux, copies]))
    found = overlap.is_near_duplicate
    assert found[400:].mean() >= 0.9
    assert found[:400].mean() <= 0.02
    assert (overlap.in_index[400:] == np.arange(100, 140)).mean() >= 0.95
    assert not overlap.is_identical.any()


def test_smooth_rows_near_each_other_are_no_copies():
    # A dense clump in X_in: outliers there are near, but no nearer than its own rows.
    rng = np.random.default_rng(0)
    X_in = np.concatenate([rng.normal(size=(300, 6)), 5 + 0.05 * rng.normal(size=(300, 6))])
    clump, apart = 5 + 0.05 * rng.normal(size=(200, 6)), X_in[:50] + 0.05
    overlap = outlier_overlap(X_in, np.concatenate([clump, apart]))
    assert overlap.distance[:200].mean() < overlap.distance[200:].mean()
    assert overlap.is_near_duplicate[:200].mean() < 0.03
    assert overlap.is_near_duplicate[200:].mean() > 0.7


@pytest.mark.parametrize("n_dims", [2, 4, 8])
def test_share_of_new_rows_is_flagged_at_most(n_dims):
    rng = np.random.default_rng(0)
    X_in, new = rng.normal(size=(1000, n_dims)), rng.normal(size=(4000, n_dims))
    overlap = outlier_overlap(X_in, new, share=0.02, ratio=1)
    assert 0 < overlap.is_near_duplicate.mean() < 0.027  # binomial: three times 0.2 %
    assert outlier_overlap(X_in, new, share=0.5, ratio=0.1).threshold == 0.1
    X_in[:10] = X_in[10:20] + 1e-3  # 2 % of copies within X_in, as in CIFAR-10, change little
    assert outlier_overlap(X_in, new, share=0.02, ratio=1).threshold > 0.6 * overlap.threshold


def test_measures_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    X_in, X_aux = rng.normal(3, [1, 100, 0.1], size=(80, 3)), rng.normal(3, 10, size=(40, 3))
    overlap = outlier_overlap(X_in, X_aux, n_neighbors=3, ratio=0.7)
    scaled_in, scaled = ((X - X_in.mean(axis=0)) / X_in.std(axis=0) for X in (X_in, X_aux))
    search = NearestNeighbors().fit(scaled_in)
    distance, index = search.kneighbors(scaled, 1)
    assert (overlap.in_index == index[:, 0]).all() and overlap.space == "columns"
    np.testing.assert_allclose(overlap.distance, distance[:, 0], rtol=1e-4)
    usual = search.kneighbors(scaled_in[index[:, 0]], 4)[0][:, 3]
    np.testing.assert_allclose(overlap.usual, usual, rtol=1e-4)
    np.testing.assert_allclose(overlap.relative, distance[:, 0] / usual, rtol=1e-4)
    assert 0 < overlap.threshold < 0.7
    assert (overlap.is_near_duplicate == (overlap.relative <= overlap.threshold)).all()
    assert (overlap.keep == ~overlap.is_near_duplicate).all()


def test_nearest_rows_do_not_depend_on_tiles(monkeypatch):
    rng = np.random.default_rng(0)
    vectors, queries = (rng.normal(size=(n, 5)).astype(np.float32) for n in (100, 30))
    bank = Bank(vectors.copy())
    expected = NearestNeighbors().fit(vectors).kneighbors(queries, 4)[1]
    for tile in (3, 7, 100):
        monkeypatch.setattr(Bank, "_TILE", tile)
        assert (bank.nearest(bank.centred(queries), 4) == expected).all()


def test_features_of_a_network():
    rng = np.random.default_rng(0)
    X_in, X_aux = (rng.normal(size=(n, 6)).astype(np.float32) for n in (90, 40))
    X_aux[3] = X_in[11] + 1e-4
    net = MLP((6,), 2, hidden=(16,))
    for network in (net, EnergyDetector(net).fit(X_in)):
        overlap = outlier_overlap(X_in, X_aux, detector=network)
        assert overlap.space == "features" and overlap.in_index[3] == 11
        assert overlap.relative[3] == overlap.relative.min() < 0.01
    with torch.no_grad():
        features = net.hidden(torch.from_numpy(X_in[[11]])).numpy()
    assert np.linalg.norm(features) > 0


def test_a_pipeline_as_detector_is_refused_with_a_remedy_that_works():
    rng = np.random.default_rng(0)
    X_in, X_aux = (rng.normal(size=(n, 6)) for n in (90, 40))
    X_aux[3] = X_in[11]
    pipeline = make_pipeline(StandardScaler(), EnergyDetector(MLP((6,), 2))).fit(X_in)
    with pytest.raises(TypeError, match="Pass its last step and rows transformed") as raised:
        outlier_overlap(X_in, X_aux, detector=pipeline)
    remedy = re.search(r"outlier_overlap\(.*\)", str(raised.value))[0]
    overlap = eval(remedy, globals(), {"pipeline": pipeline, "X_in": X_in, "X_aux": X_aux})
    assert overlap.space == "features" and overlap.is_identical.tolist().index(True) == 3


def test_pools_are_read_by_blocks(tmp_path, monkeypatch):
    rng, n = np.random.default_rng(0), 20000
    path = tmp_path / "pool.npy"
    pool = np.lib.format.open_memmap(path, "w+", np.uint8, (n, 3, 32, 32))
    pool[:] = rng.integers(256, size=pool.shape, dtype=np.uint8)
    X_in = pool[:2000].copy()
    pool[:2000] = 255 - pool[:2000]
    pool[15000] = X_in[77]
    pool.flush()
    pool = np.load(path, mmap_mode="r")
    tracemalloc.start()
    overlap = outlier_overlap(X_in, pool)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.flatnonzero(overlap.is_identical).tolist() == [15000]
    # The pool has 61 MB, as floats 246 MB, and a matrix of all distances 160 MB.
    assert peak < 50e6


def test_tuple_of_pools_counts_on(images):
    X_in, X_aux = images
    overlap = outlier_overlap(X_in, (X_aux[:30], X_in[5:6], X_aux[30:40].astype(np.float32) / 255))
    assert len(overlap.distance) == 41
    assert overlap.to_frame()[["aux_index", "in_index"]].values.tolist() == [[30, 5]]


def test_frame_lists_the_nearest_first():
    rng = np.random.default_rng(0)
    X_in = rng.normal(size=(60, 3))
    X_aux = np.concatenate([rng.normal(size=(30, 3)), X_in[[4]] + 1e-3, X_in[[5]]])
    frame = outlier_overlap(X_in, X_aux).to_frame(10)
    assert frame["aux_index"].tolist()[:2] == [31, 30] and len(frame) == 10
    assert frame["relative"].is_monotonic_increasing
    assert frame["is_identical"].tolist() == [True] + 9 * [False]
    assert list(frame.columns) == [
        "aux_index", "in_index", "distance", "relative", "is_identical", "is_near_duplicate",
    ]


def test_copies_among_nothing_but_copies():
    X_in = np.repeat([[0.0, 0.0], [1.0, 1.0]], 10, axis=0)
    overlap = outlier_overlap(X_in, np.array([[0.0, 0.0], [0.1, 0.0]]))
    assert overlap.relative.tolist() == [0, np.inf]
    assert overlap.is_near_duplicate.tolist() == [True, False]


def test_frames_and_names():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(30, 2)), columns=["a", "b"])
    assert outlier_overlap(X, X.iloc[3:6]).in_index.tolist() == [3, 4, 5]
    assert outlier_overlap(X, X.iloc[3:6].to_numpy()).in_index.tolist() == [3, 4, 5]
    for aux in (X[["b", "a"]], (X, X[["b", "a"]])):
        with pytest.raises(ValueError, match="names of X_aux should match .* 0 is 'b', not 'a'"):
            outlier_overlap(X, aux)
    with pytest.raises(ValueError, match="names of X_in .* Order the columns of all frames alike"):
        outlier_overlap((X, X[["b", "a"]]), X)  # a tuple is not indexed by columns
    with pytest.raises(ValueError, match="there are 1 columns, not 2"):
        outlier_overlap(X, X[["a"]])
    fit = OutlierExposureDetector(max_epochs=1).fit
    with pytest.raises(ValueError, match="feature names should match"):  # the rule of every fit
        fit(X, X_aux=(X[["b", "a"]],))


@pytest.mark.parametrize("lower", [np.float32, np.float16])
def test_copies_in_a_lower_precision_are_identical(lower):
    rng = np.random.default_rng(0)
    X_in = rng.normal(1000, 1, size=(50, 3))  # float16 leaves steps of half a unit there
    X_aux = np.concatenate([X_in[5:9], X_in[20:21] + 1]).astype(lower)
    for a, b in ((X_in, X_aux), (X_in, (X_aux,)), (X_in, (X_aux[:2], X_aux[2:].astype(float)))):
        overlap = outlier_overlap(a, b)
        assert overlap.is_identical.tolist() == 4 * [True] + [False]
        assert overlap.in_index[:4].tolist() == [5, 6, 7, 8]
    whole = outlier_overlap(X_in, (np.ones((2, 3), int), X_in[:4]))  # no float of lower precision
    assert whole.is_identical.tolist() == 2 * [False] + 4 * [True]
    back = outlier_overlap(X_aux, X_in)
    assert np.flatnonzero(back.is_identical).tolist() == [5, 6, 7, 8]


def test_hashes_of_rows():
    rng = np.random.default_rng(0)
    rows = rng.integers(2, size=(3000, 13), dtype=np.uint8)
    expected = np.unique(rows, axis=0, return_inverse=True)[1]
    assert len(np.unique(np.column_stack([expected, hashes(rows)]), axis=0)) == expected.max() + 1
    assert len(np.unique(hashes(rows))) == expected.max() + 1


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"X_in": np.zeros((0, 2))}, ValueError, "X_in is empty"),
        ({"X_in": np.zeros((1, 2))}, ValueError, "X_in must have two rows at least"),
        ({"X_aux": np.zeros((0, 2))}, ValueError, "X_aux is empty"),
        ({"X_aux": np.zeros((3, 4))}, ValueError, "must have the shape of a sample of X_in"),
        ({"X_aux": np.zeros(3)}, ValueError, r"X_aux must hold numbers of shape \(n, d\)"),
        ({"X_aux": np.array([["a", "b"]])}, ValueError, "X_aux must hold numbers"),
        ({"X_aux": np.array([[0, 1], [np.nan, 0]])}, ValueError, "X_aux has NaN .* in row 1"),
        ({"n_neighbors": 0}, ValueError, "n_neighbors must be at least 1"),
        ({"ratio": -1}, ValueError, "ratio must be finite and at least 0"),
        ({"share": 1}, ValueError, r"share must be in \(0, 1\)"),
        ({"feature_layer": "hidden"}, ValueError, "pass a detector"),
        ({"detector": "knn"}, TypeError, "detector must be a fitted detector .* got str"),
        ({"detector": NearestNeighbors().fit(np.eye(2))}, TypeError, "must have a network"),
    ],
)
def test_bad_input(change, error, message):
    arguments = {"X_in": np.eye(2), "X_aux": np.ones((3, 2))}
    with pytest.raises(error, match=message):
        outlier_overlap(**{**arguments, **change})


def test_floats_beside_8_bit_images_must_be_in_their_range(images):
    with pytest.raises(ValueError, match="floats must lie there too; got values from 0 to 255"):
        outlier_overlap(images[0], images[1].astype(np.float32))


# ---------------------------------------------------------------- the picture


def test_display_shows_the_pairs(images):
    from matplotlib import pyplot as plt

    X_in, X_aux = images
    X_aux = np.concatenate([X_aux[:50], X_in[[8]]])
    overlap = outlier_overlap(X_in, X_aux)
    display = OverlapDisplay.from_overlap(overlap, X_in, X_aux, n_pairs=7)
    assert display.axes_.shape == (4, 6)
    above, below = display.axes_[0, 0], display.axes_[1, 0]
    for ax, index in ((above, 8), (below, 8)):
        np.testing.assert_array_equal(
            ax.images[0].get_array(), X_in[index].transpose(1, 2, 0) / np.float32(255)
        )
    assert above.get_title() == "identical\naux 50" and below.get_title() == "in 8"
    second = display.pairs.iloc[1]
    assert display.axes_[0, 1].get_title() == f"{second.relative:.2f}\naux {second.aux_index}"
    assert sum(bool(ax.images) for ax in display.axes_.flat) == 14
    plt.close(display.figure_)


def test_display_of_grey_images_and_of_what_are_none():
    from matplotlib import pyplot as plt

    digits = load_digits_ood()
    X_in, X_aux = digits.X_train, digits.X_aux[:20]
    overlap = outlier_overlap(X_in, X_aux)
    display = OverlapDisplay.from_overlap(overlap, X_in, X_aux, n_pairs=2)
    assert display.images_aux.shape == (2, 8, 8)
    plt.close(display.figure_)
    with pytest.raises(ValueError, match="must be those of the overlap, with 20 outliers"):
        OverlapDisplay.from_overlap(overlap, X_in, X_aux[:5])
    table = outlier_overlap(np.eye(3), np.eye(3))
    with pytest.raises(ValueError, match=r"must be images .* got rows of shape \(3,\)"):
        OverlapDisplay.from_overlap(table, np.eye(3), np.eye(3))
