"""Weather: snow, frost and fog.

Each takes all its draws in one call, image after image, so that the same images come out however
the set is split.
"""

import numpy as np
from scipy import fft, special

from ._blur import streak
from ._planes import blend, in_channels, luma, magnifier, pixel_scale

# Frost as in the five photographs that the authors crop, by their statistics: mean red, green and
# blue; standard deviation of each within a crop; that between crops as a multiple of it; the
# exponent by which amplitudes fall with frequency; how far dark (< 0) or bright specks stand out.
# The second stands twice because two of their photographs are the same.
FROSTS = (
    ((0.31, 0.58, 0.65), (0.083, 0.048, 0.035), 0.8, 0.7, 0.08),
    ((0.78, 0.79, 0.83), (0.071, 0.073, 0.076), 0.45, 0.5, -0.17),
    ((0.78, 0.79, 0.83), (0.071, 0.073, 0.076), 0.45, 0.5, -0.17),
    ((0.56, 0.62, 0.67), (0.100, 0.100, 0.105), 0.4, 0.3, 0.0),
    ((0.41, 0.45, 0.50), (0.138, 0.136, 0.131), 0.5, 0.5, 0.05),
)


def snow(X, rng, mean, scale, zoom, least, radius, sigma, share):
    """Whiten the image and let flakes fall, twice, the second time upwards."""
    n, _, height, width = X.shape
    stretch = pixel_scale(X)
    draws = rng.standard_normal((n, height * width + 1), dtype=np.float32)
    layer = (mean + scale * draws[:, 1:]).reshape(n, 1, height, width)
    rows, columns = (magnifier(size, zoom * stretch)[None] for size in (height, width))
    layer = blend(layer, rows, columns)
    flakes = np.where(layer < least, 0, np.minimum(layer, 1))
    angles = -135 + 90 * special.ndtr(draws[:, 0])  # uniform on [-135, -45]
    flakes = streak(flakes, radius * stretch, sigma * stretch, angles)
    white = np.maximum(X, 1.5 * luma(X) + 0.5)
    return share * X + (1 - share) * white + flakes + flakes[:, :, ::-1, ::-1]


def frost(X, rng, share, amount):
    """Add frost that is drawn as noise with the colours and the grain of photographs of frost."""
    n, n_channels, height, width = X.shape
    draws = rng.standard_normal((n, height * width + 2), dtype=np.float32)
    kinds = (len(FROSTS) * special.ndtr(draws[:, 0].astype(float))).astype(np.intp)
    means, spreads, between, exponents, specks = (
        np.array(column, np.float32) for column in zip(*FROSTS, strict=True)
    )
    grain = _grain(draws[:, 2:].reshape(n, height, width), exponents, kinds)
    specks = specks[kinds, None, None]
    grain = (grain + specks * (grain**2 - 1)) / np.sqrt(1 + 2 * specks**2)
    grain += (between[kinds] * draws[:, 1])[:, None, None]
    means, spreads = (
        in_channels(each, n_channels)[kinds, :, None, None] for each in (means, spreads)
    )
    return share * X + amount * np.clip(means + spreads * grain[:, None], 0, 1)


def _grain(noise, exponents, kinds):
    """Let the amplitudes of white noise (n, H, W) fall with frequency; keep its variance."""
    height, width = noise.shape[1:]
    longer = max(height, width)  # frequencies in waves along it
    fy, fx = np.fft.fftfreq(height, 1 / longer), np.fft.fftfreq(width, 1 / longer)
    frequency = np.hypot(fy[:, None], fx)
    frequency[0, 0] = np.inf  # no mean
    amplitude = frequency ** -exponents[:, None, None]
    amplitude /= np.sqrt((amplitude**2).mean(axis=(1, 2), keepdims=True))
    amplitude = amplitude[:, :, : width // 2 + 1].astype(np.float32)
    return fft.irfft2(fft.rfft2(noise) * amplitude[kinds], s=(height, width))


def fog(X, rng, amount, decay):
    """Add a cloud between 0 and `amount`, and scale back to the image's own maximum."""
    n, _, height, width = X.shape
    side = 2 ** int(np.ceil(np.log2(max(height, width))))
    cloud = _plasma(rng.uniform(-1, 1, (n, side, side)), decay)[:, None, :height, :width]
    brightest = X.max(axis=(1, 2, 3), keepdims=True)
    return (X + amount * cloud) * (brightest / (brightest + amount))


def _plasma(noise, decay):
    """Turn noise (n, side, side) on [-1, 1] into clouds on [0, 1] by the diamond-square algorithm.

    Every point is the mean of four neighbours at the distance reached plus noise, whose amplitude
    falls by ``decay**2`` whenever the distance is halved. The plane is periodic.
    """
    heights = np.zeros_like(noise)
    step, amplitude = noise.shape[1], 1.0
    while step >= 2:
        old, half = slice(None, None, step), slice(step // 2, None, step)
        corners, centres = heights[:, old, old], heights[:, half, half]
        pairs = corners + np.roll(corners, -1, axis=1)
        centres[:] = (pairs + np.roll(pairs, -1, axis=2)) / 4 + amplitude * noise[:, half, half]
        for axis, new in ((1, np.s_[:, old, half]), (2, np.s_[:, half, old])):
            around = centres + np.roll(centres, 1, axis=axis)
            around += corners + np.roll(corners, -1, axis=3 - axis)
            heights[new] = around / 4 + amplitude * noise[new]
        step, amplitude = step // 2, amplitude / decay**2
    heights -= heights.min(axis=(1, 2), keepdims=True)
    heights /= heights.max(axis=(1, 2), keepdims=True)
    return heights.astype(np.float32)
