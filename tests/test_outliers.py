"""Synthetic outliers: the published sets' numbers, and what every generator promises."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from skood import outliers

GOLDEN = np.load(Path(__file__).parent / "reference" / "synthetic.npz")
SHAPE = (3, 32, 32)

NOISE = [outliers.gaussian, outliers.rademacher, outliers.uniform, outliers.blob]
PROCEDURAL = [
    outliers.dead_leaves, outliers.fractals, outliers.colored_noise, outliers.procedural,
]  # fmt: skip
RANDOM_ON_IMAGES = [outliers.arithmetic_mean, outliers.geometric_mean, outliers.speckle]
FIXED_ON_IMAGES = [outliers.jigsaw, outliers.pixelate, outliers.rgb_ghosted, outliers.inverted]
ON_IMAGES = RANDOM_ON_IMAGES + FIXED_ON_IMAGES
ON_TABLES = [outliers.permute_columns, outliers.synthetic_like, outliers.box, outliers.stretched]


def images(n=6, shape=SHAPE, dtype=np.float32):
    return np.random.default_rng(0).random((n, *shape)).astype(dtype)


def draw(make, seed):
    """Call any random generator of outliers with one seed."""
    if make in RANDOM_ON_IMAGES:
        return make(images(), random_state=seed)
    if make in ON_TABLES:
        return make(images().reshape(len(images()), -1), random_state=seed)
    return make(6, SHAPE, random_state=seed)


class Replay(np.random.Generator):
    """A generator whose draws are those stored with the golden numbers."""

    def __init__(self, stored):
        super().__init__(np.random.PCG64(0))
        self.stored = stored

    def _replay(self, *args, **kwargs):
        return self.stored

    standard_normal = random = integers = _replay


# ---- numbers


@pytest.mark.parametrize("make, stored, key, value_range", [
    (outliers.gaussian, "draw_normal", "gaussian", (-1, 1)),
    (outliers.gaussian, "draw_normal", "gaussian01", (0, 1)),
    (outliers.rademacher, "draw_bernoulli05", "rademacher", (-1, 1)),
    (outliers.rademacher, "draw_bernoulli05", "bernoulli01", (0, 1)),
    (outliers.uniform, "draw_uniform", "uniform", (-1, 1)),
])  # fmt: skip
def test_noise_sets_are_the_published_ones(make, stored, key, value_range):
    X = make(4, SHAPE, value_range=value_range, random_state=Replay(GOLDEN[stored]))
    np.testing.assert_allclose(X, GOLDEN[key], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("key", "value_range"), [("blob", (-1, 1)), ("blob01", (0, 1))])
def test_blobs_are_the_published_ones(key, value_range):
    bits = np.moveaxis(GOLDEN["draw_bernoulli07_hwc"], -1, 1)
    # A uniform draw below 0.7 is a 1.
    X = outliers.blob(4, SHAPE, value_range=value_range, random_state=Replay(1.0 - bits))
    np.testing.assert_allclose(X, GOLDEN[key], rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["images", "images_uint8"])
@pytest.mark.parametrize("make, key, stored", [
    (outliers.arithmetic_mean, "arithmetic_mean", "pair_arithmetic"),
    (outliers.geometric_mean, "geometric_mean", "pair_geometric"),
    (outliers.speckle, "speckle", "draw_speckle_normal"),
    (outliers.jigsaw, "jigsaw", None),
    (outliers.pixelate, "pixelate_float", None),
    (outliers.rgb_ghosted, "rgb_ghosted", None),
    (outliers.inverted, "inverted", None),
])  # fmt: skip
def test_altered_images_are_the_published_ones(make, key, stored, kind):
    X = np.moveaxis(GOLDEN[kind], -1, 1) if kind == "images_uint8" else GOLDEN[kind]
    before, options = X.copy(), {}
    if stored is not None:
        draws = GOLDEN[stored]
        steps = (draws - np.arange(4)) % 4 if draws.ndim == 1 else draws  # partner = own + step
        options = {"random_state": Replay(steps)}
    altered = make(X, **options)
    np.testing.assert_allclose(altered, GOLDEN[key], rtol=0, atol=1e-6)
    assert altered.dtype == np.float32
    np.testing.assert_array_equal(X, before)


def test_pixelate_differs_from_the_rounding_resize_by_less_than_one_level():
    difference = outliers.pixelate(GOLDEN["images"]) - GOLDEN["pixelate"]
    assert np.abs(difference).max() < 1 / 255


@pytest.mark.parametrize("size", [4, 5, 21, 28, 64, 224])
def test_pixelate_is_pillows_box_resize_at_any_size(size):
    Image = pytest.importorskip("PIL.Image", reason="compared with Pillow's resize")
    X = images(1, (1, size, size))
    small = (max(1, int(size * 0.2)),) * 2
    there = Image.fromarray(X[0, 0]).resize(small, Image.Resampling.BOX)
    expected = np.asarray(there.resize((size, size), Image.Resampling.BOX))
    np.testing.assert_allclose(outliers.pixelate(X)[0, 0], expected, rtol=0, atol=1e-6)


# ---- what every generator promises


@pytest.mark.parametrize("make", NOISE)
@pytest.mark.parametrize("value_range", [(-1, 1), (0, 1), (2.0, 5.0)])
def test_noise_has_the_shape_dtype_and_range_asked_for(make, value_range):
    X = make(50, SHAPE, value_range=value_range, random_state=0)
    low, high = value_range
    assert X.shape == (50, *SHAPE)
    assert X.dtype == np.float32
    assert low <= X.min() < X.max() <= high


@pytest.mark.parametrize("make", NOISE[:3])
def test_noise_for_tables(make):
    assert make(7, 5, random_state=0).shape == make(7, (5,), random_state=0).shape == (7, 5)


def test_noise_has_the_published_distribution():
    X = outliers.gaussian(200, SHAPE, random_state=0)
    assert np.mean(np.abs(X) == 1) == pytest.approx(0.0455, abs=0.002)  # beyond two deviations
    assert X[np.abs(X) < 1].mean() == pytest.approx(0, abs=0.005)
    X = outliers.rademacher(200, SHAPE, random_state=0)
    assert X.mean() == pytest.approx(0, abs=0.005)
    np.testing.assert_array_equal(np.unique(X), [-1, 1])
    assert outliers.uniform(200, SHAPE, random_state=0).std() == pytest.approx(3**-0.5, abs=0.005)


def test_the_blur_of_blobs_stays_within_one_image():
    # The first image is the same whatever stands beside it.
    X = np.random.default_rng(0).random((3, *SHAPE))
    alone = outliers.blob(1, SHAPE, random_state=Replay(X[:1]))
    np.testing.assert_array_equal(outliers.blob(3, SHAPE, random_state=Replay(X))[:1], alone)


@pytest.mark.parametrize("make", [outliers.arithmetic_mean, outliers.geometric_mean])
def test_partners_are_all_the_other_images_and_never_the_image_itself(make):
    n = 5
    X = np.repeat(np.arange(1, n + 1) / 10, 300).reshape(n, 1, 1, 300).astype(np.float32)
    seen = np.concatenate([make(X, random_state=seed)[:, 0, 0, :1] for seed in range(100)], axis=1)
    own, values = X[:, 0, 0, 0], np.arange(1, n + 1, dtype=np.float32) / 10
    for i in range(n):
        others = np.delete(values, i)
        mean = make is outliers.arithmetic_mean
        mixed = (own[i] + others) / 2 if mean else (own[i] * others) ** 0.5
        np.testing.assert_allclose(np.unique(seen[i]), np.sort(mixed), rtol=1e-6)


@pytest.mark.parametrize("make", ON_IMAGES)
@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 5, 9), (3, 1, 1)])
def test_altered_images_stay_in_pixel_space(make, shape):
    for X in (images(4, shape, np.float64), np.ones((4, *shape)), np.zeros((4, *shape))):
        altered = make(X)
        assert altered.shape == X.shape
        assert 0 <= altered.min() <= altered.max() <= 1


@pytest.mark.parametrize("shape", [(1, 8, 8), (2, 7, 10)])
def test_jigsaw_moves_pixels_and_loses_none(shape):
    X = np.arange(np.prod(shape), dtype=np.float64).reshape(1, *shape) / 1000
    altered = outliers.jigsaw(X)
    np.testing.assert_allclose(np.sort(altered, axis=None), np.sort(X, axis=None), rtol=1e-6)
    assert (altered != X.astype(np.float32)).any()


def test_cpu_tensors_are_read_as_images():
    X = images()
    np.testing.assert_array_equal(outliers.jigsaw(torch.from_numpy(X)), outliers.jigsaw(X))


@pytest.mark.parametrize("make", PROCEDURAL)
@pytest.mark.parametrize("shape", [SHAPE, (1, 28, 28), (5, 4, 4), (3, 17, 40), (3, 150, 150)])
def test_procedural_images_have_the_shape_asked_for_and_content(make, shape):
    X = make(9, shape, random_state=0)
    assert X.shape == (9, *shape)
    assert X.dtype == np.uint8
    assert X.std(axis=(2, 3)).max(axis=1).min() > 4  # no image is flat in all channels


@pytest.mark.parametrize("make", PROCEDURAL)
def test_procedural_images_differ_in_content_brightness_and_contrast(make):
    X = make(200, random_state=0).astype(np.float64)
    assert len(np.unique(X.reshape(200, -1), axis=0)) == 200
    assert X.mean(axis=(1, 2, 3)).std() > 15
    assert X.std(axis=(2, 3)).mean(axis=1).std() > 8
    flat = (X - X.mean(axis=(2, 3), keepdims=True)).reshape(200, -1)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    alike = np.abs(np.corrcoef(flat))[np.triu_indices(200, 1)]
    assert alike.mean() < 0.15


def test_procedural_is_a_mixture_in_equal_parts():
    kinds = [make(40, random_state=0) for make in PROCEDURAL[:3]]
    smooth = [np.abs(np.diff(X.astype(float), axis=3)).mean() for X in kinds]
    assert np.ptp(smooth) > 5  # the kinds can be told apart
    for n in (1, 2, 4):
        assert outliers.procedural(n, random_state=0).shape == (n, *SHAPE)
    # Exchangeable: neither half holds one kind alone.
    X = outliers.procedural(600, random_state=0).astype(float)
    first, second = (np.abs(np.diff(half, axis=3)).mean() for half in (X[:300], X[300:]))
    assert first == pytest.approx(second, rel=0.25)


EVERY_RANDOM = [
    *NOISE, *RANDOM_ON_IMAGES, *PROCEDURAL, outliers.permute_columns, outliers.synthetic_like,
    outliers.box, outliers.stretched,
]  # fmt: skip


@pytest.mark.parametrize("make", EVERY_RANDOM)
def test_the_same_seed_gives_the_same_bytes_and_the_global_state_is_left_alone(make):
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    X = draw(make, 3)
    np.testing.assert_array_equal(X, draw(make, 3))
    np.testing.assert_array_equal(X, draw(make, np.int64(3)))
    np.testing.assert_array_equal(X, draw(make, np.random.default_rng(3)))
    assert (X != draw(make, 4)).any()
    assert (draw(make, None) != draw(make, None)).any()
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("make", EVERY_RANDOM)
def test_a_generator_or_random_state_moves_on(make):
    for new in (np.random.default_rng, np.random.RandomState):  # noqa: NPY002
        rng = new(0)
        first, second = draw(make, rng), draw(make, rng)
        assert (first != second).any()
        np.testing.assert_array_equal(first, draw(make, new(0)))


# ---- tables


TABLES = [
    outliers.permute_columns, outliers.box, outliers.stretched, outliers.synthetic_like,
]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.uint8, "U3"])
def test_permuted_columns_keep_their_values_and_dtype(dtype):
    X = np.arange(300).reshape(100, 3).astype(dtype)
    before = X.copy()
    permuted = outliers.permute_columns(X, random_state=0)
    assert permuted.dtype == X.dtype
    np.testing.assert_array_equal(np.sort(permuted, axis=0), np.sort(X, axis=0))
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("n", [None, 500, 3000])
def test_permuted_columns_are_independent(n):
    x = np.random.default_rng(0).normal(size=(2000, 1))
    permuted = outliers.permute_columns(np.hstack([x, x, -x]), n=n, random_state=0)
    assert permuted.shape == (n or 2000, 3)
    assert np.abs(np.corrcoef(permuted.T) - np.eye(3)).max() < 0.15
    np.testing.assert_allclose(permuted.std(axis=0), x.std(), rtol=0.1)


def test_permuting_one_row_or_asking_for_one():
    X = np.arange(6.0).reshape(1, 6)
    np.testing.assert_array_equal(outliers.permute_columns(X, random_state=0), X)
    np.testing.assert_array_equal(outliers.permute_columns(X, n=3), np.repeat(X, 3, axis=0))
    one = outliers.permute_columns(np.arange(600.0).reshape(100, 6), n=1, random_state=0)
    assert len(np.unique(one // 6)) > 1  # its values come from several rows


def test_permuted_columns_of_a_read_only_memmap(tmp_path):
    X = np.arange(40, dtype=np.float32).reshape(20, 2)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    permuted = outliers.permute_columns(mapped, random_state=0)
    np.testing.assert_array_equal(permuted, outliers.permute_columns(X, random_state=0))
    assert permuted.flags.writeable


# ---- like X


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_like_a_table_is_within_around_and_beyond_it(dtype):
    X = np.random.default_rng(0).normal(size=(400, 3)).astype(dtype)
    like = outliers.synthetic_like(X, n=900, random_state=0)
    assert like.dtype == dtype
    permuted, boxed, stretched = like[:300], like[300:600], like[600:]
    assert np.isin(permuted, X).all()
    low, high = X.min(axis=0), X.max(axis=0)
    assert (boxed > high).any(axis=0).all()
    assert (np.abs(boxed - (low + high) / 2) <= (high - low) * (1 + 1e-3)).all()
    lengths = np.linalg.norm(stretched.astype(float) - X.mean(axis=0), axis=1)
    assert np.median(lengths) > 2 * np.median(np.linalg.norm(X.astype(float), axis=1))


def test_like_a_table_of_integers_permutes_columns():
    X = np.arange(1500).reshape(500, 3)
    np.testing.assert_array_equal(
        outliers.synthetic_like(X, random_state=0), outliers.permute_columns(X, random_state=0)
    )


@pytest.mark.parametrize("make", TABLES)
def test_a_frame_gives_a_frame_of_its_columns(make):
    X = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    made = make(pd.DataFrame(X, columns=["a", "b"]), random_state=0)
    assert list(made.columns) == ["a", "b"]
    np.testing.assert_array_equal(made.to_numpy(), make(X, random_state=0))


@pytest.mark.parametrize("make", [outliers.permute_columns, outliers.synthetic_like])
def test_a_frame_of_mixed_columns_keeps_their_dtypes(make):
    X = pd.DataFrame({"size": [1.5, 2.5, 3.5], "colour": ["red", "blue", "red"], "n": [1, 2, 3]})
    made = make(X, random_state=0)
    assert made.dtypes.equals(X.dtypes)
    assert set(made["colour"]) == {"red", "blue"} and made["size"].isin(X["size"]).all()


@pytest.mark.parametrize("make", [outliers.box, outliers.stretched])
def test_holes_of_a_table_make_no_column_of_holes(make):
    X = np.random.default_rng(0).normal(size=(300, 2))
    X[::10, 1] = np.nan
    made = make(X, random_state=0)
    assert np.isnan(made[:, 1]).mean() < 0.2 and not np.isnan(made[:, 0]).any()
    assert np.nanmax(np.abs(made[:, 1])) > np.nanmax(np.abs(X[:, 1]))


def test_like_a_single_column_leaves_the_column():
    X = np.random.default_rng(0).normal(size=(300, 1))
    assert not np.isin(outliers.synthetic_like(X, random_state=0), X).any()


def test_like_a_small_table_makes_enough():
    assert len(outliers.synthetic_like(np.zeros((5, 2)), random_state=0)) == 300
    assert len(outliers.synthetic_like(np.zeros((500, 2)), random_state=0)) == 500


def test_stretched_keeps_the_direction_and_the_factors():
    X = np.random.default_rng(0).normal(size=(50, 4))
    out = outliers.stretched(X, 200, factors=(2, 3), random_state=0) - X.mean(axis=0)
    away = X - X.mean(axis=0)
    cosine = out @ away.T / np.linalg.norm(out, axis=1)[:, None] / np.linalg.norm(away, axis=1)
    nearest = cosine.argmax(axis=1)
    np.testing.assert_allclose(cosine.max(axis=1), 1)
    ratio = np.linalg.norm(out, axis=1) / np.linalg.norm(away[nearest], axis=1)
    assert ((ratio >= 2) & (ratio <= 3)).all()


@pytest.mark.parametrize("make", [outliers.box, outliers.stretched])
def test_ranges_refuse_what_they_cannot_read(make):
    with pytest.raises(TypeError, match="X must be floating point, got dtype int64"):
        make(np.zeros((3, 2), int))
    with pytest.raises(ValueError, match=r"X must have shape \(m, d\)"):
        make(np.zeros(3))
    with pytest.raises(ValueError, match="n must be a positive integer"):
        make(np.zeros((3, 2)), 0)


def test_ranges_refuse_wrong_sizes():
    with pytest.raises(ValueError, match="width must be positive, got 0"):
        outliers.box(np.zeros((3, 2)), width=0)
    for factors in ((3, 2), 2.0, (0, 1), (1, 2, 3)):
        with pytest.raises(ValueError, match="factors must be two increasing positive numbers"):
            outliers.stretched(np.zeros((3, 2)), factors=factors)
    with pytest.raises(ValueError, match="n must be a positive integer, got 1.5"):
        outliers.synthetic_like(np.zeros((3, 2)), 1.5)


def test_like_images_of_8_bits_and_in_the_unit_range():
    X = images(10)
    eight_bits = outliers.synthetic_like((X * 255).astype(np.uint8), random_state=0)
    assert eight_bits.dtype == np.uint8
    assert eight_bits.shape == X.shape
    for dtype in (np.float16, np.float32, np.float64):
        unit = outliers.synthetic_like((X / 2).astype(dtype), random_state=0)
        assert unit.dtype == dtype
        expected = eight_bits.astype(np.float64) / 255  # not X's own, narrower, range
        np.testing.assert_allclose(unit, expected, atol=1e-3 if dtype == np.float16 else 1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_like_normalised_images(dtype):
    scale, shift = np.array([2, 30, 400]), np.array([-1, -20, 5])
    X = (images(30) * scale[:, None, None] + shift[:, None, None]).astype(dtype)
    like = outliers.synthetic_like(X, n=40, random_state=0)
    assert like.shape == (40, *SHAPE)
    assert like.dtype == dtype
    low, high = X.min(axis=(0, 2, 3)), X.max(axis=(0, 2, 3))
    assert (like.min(axis=(0, 2, 3)) >= low).all()
    assert (like.max(axis=(0, 2, 3)) <= high).all()
    assert (np.ptp(like, axis=(0, 2, 3)) >= 0.9 * (high - low)).all()


def test_like_tiny_images_permutes_pixels():
    X = (255 * images(500, (3, 2, 3))).astype(np.uint8)
    like = outliers.synthetic_like(X, random_state=0)
    np.testing.assert_array_equal(np.sort(like, axis=0), np.sort(X, axis=0))


@pytest.mark.parametrize(("size", "n"), [(8, 40), (32, 40), (64, 10), (128, 5)])
def test_like_images_makes_no_more_than_are_useful(monkeypatch, size, n):
    monkeypatch.setattr("skood.outliers.like.MOST_IMAGES", 40)
    monkeypatch.setattr("skood.outliers.like.FEWEST_IMAGES", 5)
    X = np.broadcast_to(np.zeros((1, 1, 1, 1), np.uint8), (10**6, 1, size, size))
    assert len(outliers.synthetic_like(X, random_state=0)) == n
    assert len(outliers.synthetic_like(X[:3], random_state=0)) == 3


# ---- errors


@pytest.mark.parametrize("make", NOISE + PROCEDURAL)
@pytest.mark.parametrize("n", [0, -1, 2.5, "3", None])
def test_a_wrong_number_of_samples_is_refused(make, n):
    with pytest.raises(ValueError, match="n must be a positive integer, got"):
        make(n, SHAPE)


@pytest.mark.parametrize("make", NOISE + PROCEDURAL)
@pytest.mark.parametrize("shape", [(), (3, 0, 32), (3, 32, -1), (3, 32.0, 32), "abc", None])
def test_a_wrong_shape_is_refused(make, shape):
    with pytest.raises(ValueError, match="shape must be a tuple of positive integers, got"):
        make(2, shape)


@pytest.mark.parametrize("make", [outliers.blob, *PROCEDURAL])
def test_image_generators_need_an_image_shape(make):
    with pytest.raises(ValueError, match=r"shape must be \(C, H, W\) of one image.*got \(32, 32\)"):
        make(2, (32, 32))


@pytest.mark.parametrize("make", PROCEDURAL)
def test_procedural_images_are_at_least_4x4(make):
    with pytest.raises(ValueError, match="H and W at least 4"):
        make(2, (3, 3, 32))


@pytest.mark.parametrize("make", EVERY_RANDOM)
@pytest.mark.parametrize("seed", [-1, 0.5, "seed", np.random])
def test_a_wrong_random_state_is_refused(make, seed):
    with pytest.raises(ValueError, match="random_state must be None, a non-negative int"):
        draw(make, seed)


@pytest.mark.parametrize("make", NOISE)
@pytest.mark.parametrize("value_range", [(1, -1), (0, 0), (0, np.inf), (np.nan, 1), (0, 1, 2), 1])
def test_a_wrong_value_range_is_refused(make, value_range):
    with pytest.raises(ValueError, match="value_range must be two finite numbers"):
        make(2, SHAPE, value_range=value_range)


def test_wrong_widths_are_refused():
    with pytest.raises(ValueError, match="std must be positive, got 0"):
        outliers.gaussian(2, SHAPE, std=0)
    with pytest.raises(ValueError, match="sigma must be positive, got -1"):
        outliers.blob(2, SHAPE, sigma=-1)


@pytest.mark.parametrize("make", ON_IMAGES)
@pytest.mark.parametrize("X, error, match", [
    (np.zeros((4, 32, 32)), ValueError, r"of shape \(n, ., H, W\), got \(4, 32, 32\)"),
    (np.zeros((0, 3, 8, 8)), ValueError, "image"),
    (np.full((4, 3, 8, 8), 1.5), ValueError, r"pixel space \[0, 1\], got values in \[1.5, 1.5\]"),
    (np.full((4, 3, 8, 8), -0.1), ValueError, "pixel space"),
    (np.full((4, 3, 8, 8), np.nan), ValueError, "pixel space"),
    (np.zeros((4, 3, 8, 8), np.int64), TypeError, "X must be uint8 or floating point"),
])  # fmt: skip
def test_what_is_not_an_image_in_pixel_space_is_refused(make, X, error, match):
    with pytest.raises(error, match=match):
        make(X)


@pytest.mark.parametrize("make", [outliers.rgb_ghosted, outliers.inverted])
def test_colour_changes_need_three_channels(make):
    with pytest.raises(ValueError, match=r"shape \(n, 3, H, W\), got \(2, 1, 8, 8\)"):
        make(np.zeros((2, 1, 8, 8)))


@pytest.mark.parametrize("make", [outliers.arithmetic_mean, outliers.geometric_mean])
def test_pairs_need_two_images(make):
    with pytest.raises(ValueError, match="X must be at least 2 image"):
        make(np.zeros((1, 3, 8, 8)))


@pytest.mark.parametrize("shape", [(3,), (0, 3), (3, 0), (2, 2, 2)])
def test_permute_columns_needs_a_table(shape):
    with pytest.raises(ValueError, match=r"X must have shape \(m, d\)"):
        outliers.permute_columns(np.zeros(shape))


def test_synthetic_like_needs_samples():
    for X in (np.zeros(3), np.zeros((0, 3))):
        with pytest.raises(ValueError, match=r"X must have shape \(m, d\) or \(m, C, H, W\)"):
            outliers.synthetic_like(X)
    with pytest.raises(ValueError, match="n must be a positive integer, got 0"):
        outliers.synthetic_like(images(), n=0)


@pytest.mark.parametrize("make", [outliers.box, outliers.stretched])
@pytest.mark.parametrize(("dtype", "scale"), [(np.float16, 3e4), (np.float32, 1e38)])
def test_ranges_end_at_the_largest_number_of_the_dtype(make, dtype, scale):
    X = (np.random.default_rng(0).uniform(-1, 1, size=(200, 3)) * scale).astype(dtype)
    assert np.isfinite(make(X, random_state=0)).all()
