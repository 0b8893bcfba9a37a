"""Corruptions: the protocol's table, independent references, and what every corruption promises."""

import colorsys
import functools
import io
import sys

import numpy as np
import pytest
from scipy import ndimage

from skood.corruptions import CORRUPTIONS, SEVERITIES, _corrupt, _spatter, _weather, corrupt
from skood.outliers import procedural

# Draw nothing, so each image's result is its own whatever the seed.
FIXED = [
    "defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression",
    "gaussian_blur", "saturate",
]  # fmt: skip
ANY_CHANNELS = [
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur",
    "zoom_blur", "fog", "contrast", "elastic_transform", "pixelate", "speckle_noise",
    "gaussian_blur",
]  # fmt: skip


def by_severity(*values):
    return list(zip(SEVERITIES, values, strict=True))


@functools.cache
def images(n=4, shape=(3, 32, 32)):
    """Return uint8 images with edges, textures and colours, as photographs have them."""
    X = procedural(n, shape, random_state=0)
    X.flags.writeable = False
    return X


def floats(n=4, shape=(3, 32, 32), dtype=np.float32):
    return (images(n, shape) / 255).astype(dtype)


def change(X, name, severity):
    return np.abs(corrupt(X, name, severity, random_state=0) - X.astype(float)).mean()


def per_plane(apply, X):
    return np.stack([[apply(plane) for plane in image] for image in X])


# ---- the table


def test_the_names_stand_in_the_order_of_the_protocol():
    assert " ".join(CORRUPTIONS) == (
        "gaussian_noise shot_noise impulse_noise defocus_blur glass_blur motion_blur zoom_blur "
        "snow frost fog brightness contrast elastic_transform pixelate jpeg_compression "
        "speckle_noise gaussian_blur spatter saturate"
    )
    assert SEVERITIES == (1, 2, 3, 4, 5)


# ---- what every corruption promises


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 32, 32), (3, 28, 28), (1, 28, 28),
                                   (3, 8, 8), (1, 8, 8), (3, 4, 4), (3, 40, 19)])  # fmt: skip
def test_shape_dtype_range_and_input(name, shape):
    X = images(3, shape)  # not writeable
    for severity in SEVERITIES:
        Y = corrupt(X, name, severity, random_state=0)
        assert Y.shape == X.shape and Y.dtype == np.uint8
        for dtype in (np.float16, np.float32, np.float64):
            F = floats(3, shape, dtype)
            F.flags.writeable = False
            Y = corrupt(F, name, severity, random_state=0)
            assert Y.shape == F.shape and Y.dtype == dtype and not np.shares_memory(Y, F)
            assert 0 <= Y.min() and Y.max() <= 1


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_whole_levels_are_those_of_the_float_result(name):
    for severity in SEVERITIES:
        levels = corrupt(images(), name, severity, random_state=0)
        values = 255 * corrupt(floats(), name, severity, random_state=0).astype(float)
        lost, least = values - levels, 0.0
        if name in ("motion_blur", "pixelate", "jpeg_compression"):
            least = -0.5  # rounded, not cut off
        assert least - 2e-3 <= lost.min() and lost.max() <= least + 1


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_seed_decides(name):
    X = floats()
    first = corrupt(X, name, 3, random_state=0)
    np.testing.assert_array_equal(corrupt(X, name, 3, random_state=0), first)
    np.testing.assert_array_equal(
        corrupt(X, name, 3, random_state=np.random.default_rng(0)), first
    )
    of_a_state = corrupt(X, name, 3, random_state=np.random.RandomState(0))
    np.testing.assert_array_equal(
        corrupt(X, name, 3, random_state=np.random.RandomState(0)), of_a_state
    )
    others = (of_a_state, corrupt(X, name, 3, random_state=1), corrupt(X, name, 3))
    for other in others:
        assert np.array_equal(other, first) == (name in FIXED)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_does_not_depend_on_how_the_set_is_split(name, monkeypatch):
    X = floats(7)
    for severity in SEVERITIES:
        whole = corrupt(X, name, severity, random_state=0)
        rng = np.random.default_rng(0)
        parts = [corrupt(part, name, severity, random_state=rng) for part in (X[:1], X[1:3], X[3:])]
        np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=2e-6)
        monkeypatch.setattr(_corrupt, "BLOCK_VALUES", 2 * X[0].size)
        np.testing.assert_allclose(
            corrupt(X, name, severity, random_state=0), whole, rtol=0, atol=2e-6
        )
        monkeypatch.undo()


@pytest.mark.parametrize("name", [
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "zoom_blur", "snow", "fog",
    "brightness", "contrast", "pixelate", "jpeg_compression", "speckle_noise", "gaussian_blur",
])  # fmt: skip
def test_more_severe_is_further_away(name):
    changes = [change(images(60), name, severity) for severity in SEVERITIES]
    assert (np.diff(changes) > 0).all()


@pytest.mark.parametrize(("name", "order"), [
    ("glass_blur", (1, 4)),  # once, twice
    ("motion_blur", (1, 2, 3, 5)),  # 4 has the width of 3 and a longer tail that is invisible
    ("frost", (1, 2, 3)),  # then the image fades below it
    ("elastic_transform", (5, 4, 3, 2, 1)),  # the plane moves less, the pixels more
    ("spatter", (1, 2, 3)),  # water
    ("spatter", (4, 5)),  # mud
    ("saturate", (1, 2)),  # paler
    ("saturate", (3, 4, 5)),  # more vivid
])  # fmt: skip
def test_what_else_grows_with_severity(name, order):
    assert (np.diff([change(images(60), name, severity) for severity in order]) > 0).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_flat_images_stay_finite(name):
    for level in (0.0, 1.0):
        for severity in SEVERITIES:
            Y = corrupt(np.full((2, 3, 32, 32), level), name, severity, random_state=0)
            assert np.isfinite(Y).all()


@pytest.mark.parametrize("name", ANY_CHANNELS)
def test_any_number_of_channels(name):
    X = floats(2, (5, 32, 32))
    assert corrupt(X, name, 3, random_state=0).shape == X.shape


@pytest.mark.parametrize("name", sorted({*FIXED, "fog"} - {"saturate", "jpeg_compression"}))
def test_grey_is_like_three_equal_channels(name):
    X = floats(3, (1, 32, 32))
    three = corrupt(np.repeat(X, 3, axis=1), name, 4, random_state=0)
    for channel in three.swapaxes(0, 1):
        np.testing.assert_allclose(
            corrupt(X, name, 4, random_state=0)[:, 0], channel, rtol=0, atol=2e-6
        )


@pytest.mark.parametrize("severity", SEVERITIES)
def test_saturate_leaves_a_single_channel_as_it_is(severity):
    X = images(3, (1, 28, 28))
    np.testing.assert_array_equal(corrupt(X, "saturate", severity), X)


# ---- noise


def grey_plane(level, n=40):
    return np.full((n, 3, 32, 32), level)


@pytest.mark.parametrize(("severity", "scale"), by_severity(0.04, 0.06, 0.08, 0.09, 0.1))
def test_gaussian_noise(severity, scale):
    noise = corrupt(grey_plane(0.5), "gaussian_noise", severity, random_state=0) - 0.5
    assert abs(noise.mean()) < 0.002
    assert noise.std() == pytest.approx(scale, rel=0.01)


@pytest.mark.parametrize(("severity", "photons"), by_severity(500, 250, 100, 75, 50))
def test_shot_noise_counts_photons(severity, photons):
    Y = corrupt(grey_plane(0.25), "shot_noise", severity, random_state=0)
    np.testing.assert_allclose(Y * photons, np.round(Y * photons), atol=1e-4)
    assert Y.mean() == pytest.approx(0.25, rel=0.01)
    assert Y.var() == pytest.approx(0.25 / photons, rel=0.02)


@pytest.mark.parametrize(("severity", "share"), by_severity(0.01, 0.02, 0.03, 0.05, 0.07))
def test_impulse_noise_changes_a_share_of_the_values(severity, share):
    Y = corrupt(grey_plane(0.5), "impulse_noise", severity, random_state=0)
    for level in (0, 1):
        assert (Y == level).mean() == pytest.approx(share / 2, rel=0.1)
    assert (Y == 0.5).mean() == pytest.approx(1 - share, rel=0.002)
    salted = Y == 1
    assert not np.array_equal(salted[:, 0], salted[:, 1])  # each channel for itself


@pytest.mark.parametrize(("severity", "scale"), by_severity(0.06, 0.1, 0.12, 0.16, 0.2))
def test_speckle_noise_grows_with_the_value(severity, scale):
    for level in (0.1, 0.4):
        noise = corrupt(grey_plane(level), "speckle_noise", severity, random_state=0) - level
        assert noise.std() == pytest.approx(scale * level, rel=0.01)


# ---- blur


@pytest.mark.parametrize(("severity", "sigma"), by_severity(0.4, 0.6, 0.7, 0.8, 1))
@pytest.mark.parametrize(("size", "scale"), [(8, 1), (32, 1), (64, 2)])
def test_gaussian_blur_is_scipys(severity, sigma, size, scale):
    X = floats(2, (3, size, size))
    expected = per_plane(lambda x: ndimage.gaussian_filter(x, scale * sigma, mode="nearest"), X)
    np.testing.assert_allclose(corrupt(X, "gaussian_blur", severity), expected, atol=1e-6)


@pytest.mark.parametrize(("severity", "radius", "softness"), [
    (1, 0.3, 0.4), (2, 0.4, 0.5), (3, 0.5, 0.6), (4, 1, 0.2), (5, 1.5, 0.1),
])  # fmt: skip
def test_defocus_blur_is_a_soft_disk(severity, radius, softness):
    X, across = floats(), np.arange(-8, 9)
    disk = np.array([[float(x * x + y * y <= radius**2) for x in across] for y in across])
    window = np.exp(-np.array([1, 0, 1]) / (2 * softness**2))
    disk = ndimage.convolve(disk, np.outer(window, window) / window.sum() ** 2)
    expected = per_plane(lambda x: ndimage.correlate(x, disk / disk.sum(), mode="mirror"), X)
    np.testing.assert_allclose(corrupt(X, "defocus_blur", severity), expected, atol=1e-6)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("size", [8, 28, 32])
def test_zoom_blur_is_a_mean_of_scipys_zooms(severity, size):
    X = floats(2, (1, size, size))
    factors = np.arange(1, (1.06, 1.11, 1.16, 1.21, 1.26)[severity - 1], 0.01)
    assert len(factors) == (7, 12, 16, 21, 26)[severity - 1]

    def blur(plane):
        total = plane.astype(float)
        for factor in factors:
            part = int(np.ceil(size / factor))
            start = (size - part) // 2
            zoomed = ndimage.zoom(
                plane[start : start + part, start : start + part].astype(float), factor, order=1
            )
            start = (len(zoomed) - size) // 2
            total += zoomed[start : start + size, start : start + size]
        return total / (len(factors) + 1)

    np.testing.assert_allclose(corrupt(X, "zoom_blur", severity), per_plane(blur, X), atol=1e-6)


@pytest.mark.parametrize(("severity", "radius", "sigma"), [
    (1, 6, 1), (2, 6, 1.5), (3, 6, 2), (4, 8, 2), (5, 9, 2.5),
])  # fmt: skip
def test_motion_blur_walks_along_a_line(severity, radius, sigma):
    X = floats(5)
    Y = corrupt(X, "motion_blur", severity, random_state=0)
    angles = np.deg2rad(np.random.default_rng(0).uniform(-45, 45, len(X)))
    weights = np.exp(-np.arange(2 * radius + 1) ** 2 / (2 * sigma**2))
    for x, y, angle in zip(X, Y, angles, strict=True):
        expected = np.zeros_like(x)
        for i, weight in enumerate(weights / weights.sum()):
            down = int(np.ceil(i * np.sin(angle) - 0.5)) + np.arange(32)
            right = int(np.ceil(i * np.cos(angle) - 0.5)) + np.arange(32)
            moved = x[:, down.clip(0, 31)][:, :, right.clip(0, 31)]
            expected += weight * moved
        np.testing.assert_allclose(y, expected, atol=1e-5)


def test_glass_blur_takes_pixels_from_above_and_the_left():
    # At severity 1 the Gaussian is narrower than a pixel and does nothing.
    X = np.arange(32 * 32).reshape(1, 1, 32, 32) / 1024
    source = np.rint(1024 * corrupt(X, "glass_blur", 1, random_state=0)[0, 0]).astype(int)
    rows, columns = np.mgrid[:32, :32]
    up, left = rows - source // 32, columns - source % 32
    inner = np.s_[2:32, 2:32]
    for steps in (up, left):
        assert set(np.unique(steps[inner])) == {0, 1}
        assert steps[inner].mean() == pytest.approx(0.5, abs=0.05)
        assert not steps[:2].any() and not steps[:, :2].any()


def test_glass_blur_moves_all_channels_together():
    X = np.repeat(floats(3, (1, 32, 32)), 3, axis=1)
    Y = corrupt(X, "glass_blur", 5, random_state=0)
    np.testing.assert_allclose(Y[:, 1:], Y[:, :1].repeat(2, axis=1), atol=1e-6)


# ---- weather


def test_snow_falls_in_both_directions():
    for severity in SEVERITIES:
        Y = corrupt(np.zeros((3, 3, 32, 32)), "snow", severity, random_state=0)
        np.testing.assert_allclose(Y, Y[:, :, ::-1, ::-1], atol=1e-6)
        np.testing.assert_array_equal(Y[:, 1:], Y[:, :1].repeat(2, axis=1))
        whitened = 0.5 * (1 - (0.95, 0.9, 0.9, 0.85, 0.8)[severity - 1])
        assert Y.min() == pytest.approx(whitened, abs=0.15)
        assert Y.max() > whitened + 0.2


@pytest.mark.parametrize(("severity", "amount"), by_severity(0.2, 0.3, 0.4, 0.4, 0.45))
def test_frost_has_the_colours_and_the_grain_of_photographs(severity, amount):
    Y = corrupt(np.zeros((2000, 3, 32, 32)), "frost", severity, random_state=0) / amount
    mean, spread = Y.mean(axis=(0, 2, 3)), Y.std(axis=(2, 3)).mean()
    np.testing.assert_allclose(mean, [0.57, 0.65, 0.70], atol=0.02)  # measured on the photographs
    assert spread == pytest.approx(0.09, abs=0.01)
    red, green = Y.mean(axis=(2, 3)).T[:2]
    assert (green - red > 0.15).mean() == pytest.approx(1 / 5, abs=0.03)  # one of five is teal


def test_frost_fades_the_image_and_adds_the_rest():
    X = np.full((4, 3, 32, 32), 0.3)
    for severity, share in zip(SEVERITIES, (1, 1, 0.9, 0.85, 0.75), strict=True):
        alone = corrupt(np.zeros_like(X), "frost", severity, random_state=0)
        both = corrupt(X, "frost", severity, random_state=0)
        np.testing.assert_allclose(both, alone + 0.3 * share, atol=1e-6)


def test_clouds_are_made_by_the_diamond_square_algorithm():
    side, decay = 16, 2.5
    noise = np.random.default_rng(0).uniform(-1, 1, (2, side, side))
    for found, draws in zip(_weather._plasma(noise, decay), noise, strict=True):
        heights, step, amplitude = np.zeros((side, side)), side, 1.0
        while step >= 2:
            half = step // 2
            diagonal = [(a, b) for a in (-half, half) for b in (-half, half)]
            straight = [(-half, 0), (half, 0), (0, -half), (0, half)]
            for top, left, around in ((half, half, diagonal), (0, half, straight),
                                      (half, 0, straight)):  # fmt: skip
                new = heights.copy()
                for i in range(top, side, step):
                    for j in range(left, side, step):
                        mean = sum(heights[(i + a) % side, (j + b) % side] for a, b in around) / 4
                        new[i, j] = mean + amplitude * draws[i, j]
                heights = new
            step, amplitude = half, amplitude / decay**2
        expected = (heights - heights.min()) / np.ptp(heights)
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("severity", "amount"), by_severity(0.2, 0.5, 0.75, 1, 1.5))
def test_fog_covers_evenly_in_all_channels_and_keeps_the_maximum(severity, amount):
    X = floats(3)
    Y = corrupt(X, "fog", severity, random_state=0)
    brightest = X.max(axis=(1, 2, 3), keepdims=True)
    cloud = Y * (brightest + amount) / brightest - X
    np.testing.assert_allclose(cloud, cloud[:, :1].repeat(3, axis=1), atol=1e-5)
    np.testing.assert_allclose(cloud.min(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(cloud.max(axis=(1, 2, 3)), amount, atol=1e-5)


# ---- spatter


@pytest.mark.parametrize("severity", [1, 2, 3])
def test_water_is_turquoise_and_brightens(severity):
    drops = corrupt(np.zeros((20, 3, 32, 32)), "spatter", severity, random_state=0)
    np.testing.assert_allclose(drops[:, 0] * 238, drops[:, 1] * 175, atol=1e-4)
    np.testing.assert_array_equal(drops[:, 1], drops[:, 2])
    np.testing.assert_allclose(drops.max(axis=(1, 2, 3)), 0.5 * 238 / 255, atol=1e-6)
    X = floats(20)
    Y = corrupt(X, "spatter", severity, random_state=0)
    np.testing.assert_allclose(Y, np.minimum(X + drops, 1), atol=1e-6)


@pytest.mark.parametrize("severity", [4, 5])
def test_mud_is_brown_and_covers(severity):
    mud = np.array([63, 42, 20])[:, None, None] / 255
    black, white = (
        corrupt(np.full((20, 3, 32, 32), level), "spatter", severity, random_state=0)
        for level in (0.0, 1.0)
    )
    cover = 1 - (white - black)
    np.testing.assert_allclose(black, cover * mud, atol=1e-6)
    assert cover[cover > 1e-6].min() >= 0.8 - 1e-6
    assert 0.01 < (cover > 0).mean() < 0.1


def test_rims_of_drops_are_chains_of_steepest_pixels():
    plane = np.zeros((2, 16, 16))
    plane[0, 4:12, 4:12] = 0.8  # a square: one closed rim, near its edge
    plane[1, :, :8] = np.linspace(0.8, 0.9, 8)  # steepest beside the highest pixels
    square, edge = _spatter._rims(plane)
    assert ndimage.label(square, np.ones((3, 3)))[1] == 1
    filled = ndimage.binary_fill_holes(square)
    assert square.sum() < filled.sum()
    assert filled[4:12, 4:12].all() and not filled[:3].any() and not filled[13:].any()
    np.testing.assert_array_equal(edge, np.broadcast_to(np.arange(16) == 8, (16, 16)))


def test_a_weak_rim_counts_where_it_leads_to_a_strong_one():
    plane = np.zeros((3, 9, 30))
    plane[0, 5:] = np.linspace(0.08, 0.5, 30)  # steepness 80 to 508 in units of 1/255
    plane[1, 5:] = 0.08  # nowhere above 150
    plane[2, 5:] = 0.04  # nowhere above 50
    rims = _spatter._rims(plane).sum(axis=(1, 2))
    np.testing.assert_array_equal(rims, [30, 0, 0])


# ---- colour


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", ["brightness", "saturate"])
def test_colours_change_in_hsv(name, severity):
    X = np.random.default_rng(0).integers(256, size=(1, 3, 4, 25)) / 255
    X[0, :, 0, :3] = [[0, 1, 0.5]] * 3  # black, white, grey
    X[0, :, 0, 3] = [0, 0, 1]
    factor, shift = ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))[severity - 1]
    amount = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    expected = []
    for pixel in X[0].reshape(3, -1).T:
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        if name == "brightness":
            value = min(value + amount, 1)
        else:
            saturation = min(saturation * factor + shift, 1)
        expected.append(colorsys.hsv_to_rgb(hue, saturation, value))
    found = corrupt(X, name, severity)[0].reshape(3, -1).T
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("severity", "factor"), by_severity(0.75, 0.5, 0.4, 0.3, 0.15))
def test_contrast_shrinks_towards_the_mean_of_each_channel(severity, factor):
    X = floats()
    for x, y in zip(X, corrupt(X, "contrast", severity), strict=True):
        for before, after in zip(x, y, strict=True):
            expected = before.mean() + factor * (before - before.mean())
            np.testing.assert_allclose(after, expected, atol=1e-6)


# ---- digital


def affine_reference(X, draws, jitter):
    """Warp one by one with SciPy: three points of each image go where the draws send them."""
    size = X.shape[-1]
    third = size // 3
    points = size // 2 + third * np.array([[1, 1], [-1, 1], [-1, -1]])
    warped = np.empty_like(X)
    for image, target, moves in zip(X, warped, draws, strict=True):
        moved = points + jitter * size * moves[:6].reshape(3, 2)
        matrix = (points[1:] - points[0]).T @ np.linalg.inv((moved[1:] - moved[0]).T)
        offset = points[0] - matrix @ moved[0]
        for channel, plane in zip(image, target, strict=True):
            ndimage.affine_transform(channel, matrix, offset, output=plane, order=1, mode="mirror")
    return warped


@pytest.mark.parametrize("size", [8, 28, 32])
@pytest.mark.parametrize(("severity", "amount", "sigma", "jitter"), [
    (1, 0, 0, 0.08), (2, 0.05, 0.2, 0.07), (3, 0.08, 0.06, 0.06), (4, 0.1, 0.04, 0.05),
    (5, 0.1, 0.03, 0.03),
])  # fmt: skip
def test_elastic_transform_is_scipys_interpolation(size, severity, amount, sigma, jitter):
    X = floats(4, (3, size, size))
    draws = np.random.default_rng(0).uniform(-1, 1, (4, 6 + 2 * size**2))
    expected = affine_reference(X, draws, jitter)
    if amount:
        for image, moves in zip(expected, draws[:, 6:].reshape(4, 2, size, size), strict=True):
            moves = [ndimage.gaussian_filter(each, sigma * size, mode="reflect", truncate=3)
                     for each in moves]  # fmt: skip
            places = np.mgrid[:size, :size] + amount * size * np.array(moves)
            for plane in image:
                plane[:] = ndimage.map_coordinates(plane, places, order=1, mode="reflect")
    found = corrupt(X, "elastic_transform", severity, random_state=0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("severity", "share"), by_severity(0.95, 0.9, 0.85, 0.75, 0.65))
@pytest.mark.parametrize("size", [8, 28, 32, 50])
def test_pixelate_is_pillows_box_resize(severity, share, size):
    Image = pytest.importorskip("PIL.Image", reason="compared with Pillow's resize")
    X = images(2, (1, size, size))
    small, large = (int(size * share),) * 2, (size, size)

    def resize(plane):
        there = Image.fromarray(plane).resize(small, Image.Resampling.BOX)
        return np.asarray(there.resize(large, Image.Resampling.BOX))

    X_float = (X / 255).astype(np.float32)
    np.testing.assert_allclose(
        corrupt(X_float, "pixelate", severity), per_plane(resize, X_float), atol=1e-6
    )
    levels = corrupt(X, "pixelate", severity).astype(int)
    assert np.abs(levels - per_plane(resize, X)).max() <= 1  # Pillow rounds in between


@pytest.mark.parametrize(("severity", "quality"), by_severity(80, 65, 58, 50, 40))
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (1, 8, 8)])
def test_jpeg_is_pillows(severity, quality, shape):
    Image = pytest.importorskip("PIL.Image", reason="compared with Pillow's encoder")
    X = images(3, shape)
    for x, y in zip(X, corrupt(X, "jpeg_compression", severity), strict=True):
        file = io.BytesIO()
        Image.fromarray(x.transpose(1, 2, 0).squeeze()).save(file, "JPEG", quality=quality)
        np.testing.assert_array_equal(y.transpose(1, 2, 0).squeeze(), Image.open(file))


def test_jpeg_without_pillow_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'skood\[corruptions\]'"):
        corrupt(images(), "jpeg_compression", 1)
    corrupt(images(), "pixelate", 1)


# ---- errors


@pytest.mark.parametrize(("arguments", "error", "message"), [
    ((images(), "gausian_noise", 1), ValueError, "name must be .*Did you mean 'gaussian_noise'"),
    ((images(), "zzz", 1), ValueError, "name must be one of gaussian_noise, .* got 'zzz'.$"),
    ((images(), ["fog"], 1), ValueError, r"name must be one of .* got \['fog'\]"),
    ((images(), "fog", 0), ValueError, "severity must be an integer from 1 to 5, got 0"),
    ((images(), "fog", 6), ValueError, "severity must be an integer from 1 to 5, got 6"),
    ((images(), "fog", 1.0), TypeError, "severity must be an integer from 1 to 5, got 1.0"),
    ((images(), "fog", True), TypeError, "severity must be an integer from 1 to 5, got True"),
    ((np.full((1, 3, 8, 8), np.nan), "fog", 1), ValueError, "X must be in pixel space"),
    ((255 * floats(), "fog", 1), ValueError, "X must be in pixel space"),
    ((floats() - 0.5, "fog", 1), ValueError, "X must be in pixel space"),
    ((floats()[0, 0], "fog", 1), ValueError, r"X must be .* got \(32, 32\)"),
    ((images()[0, 0], "fog", 1), ValueError, r"X must be .* got \(32, 32\)"),
    ((images()[:0], "fog", 1), ValueError, r"X must be at least 1 image.* got \(0, 3, 32, 32\)"),
    ((images().astype(int), "fog", 1), TypeError, "X must be uint8 or floating point"),
    ((images()[:, :, :3], "fog", 1), ValueError, r"X must be images of at least 4x4, got \(4, 3"),
    ((images(2, (2, 8, 8)), "frost", 1), ValueError, r"X must have 1 .* 'frost'.*\(2, 2, 8, 8\)"),
])  # fmt: skip
def test_what_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        corrupt(*arguments, random_state=0)


@pytest.mark.parametrize("random_state", [-1, "0", 0.5])
def test_a_random_state_that_is_none_is_refused(random_state):
    with pytest.raises(ValueError, match="random_state must be"):
        corrupt(images(), "contrast", 1, random_state=random_state)
