"""Coloured noise: amplitudes that fall with frequency, in colours, grains and contours."""

import numpy as np

from ._canvas import between, palettes, smooth_noise


def draw_noise(m, shape, rng):
    """Draw m images (m, C, H, W) of unscaled brightness."""
    n_channels, height, width = shape
    exponent = rng.uniform(0.5, 3, m)
    fields = smooth_noise(m, n_channels + 1, (height, width), exponent, rng, _stretch(m, rng))
    clouds = np.einsum("mchw,mcd->mdhw", fields[:, 1:], palettes(m, n_channels, n_channels, rng))
    contours = between(palettes(m, 4, n_channels, rng), _bands(fields[:, 0], rng))
    return np.where(rng.random((m, 1, 1, 1)) < 0.5, clouds, np.moveaxis(contours, -1, 1))


def _stretch(m, rng):
    """Draw maps of the frequency plane (m, 2, 2) that lengthen the grain in one direction."""
    angle, long = rng.uniform(0, np.pi, m), np.exp(np.abs(rng.normal(0, 0.7, m)))
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * long, sin * long, -sin / long, cos / long], axis=-1).reshape(m, 2, 2)


def _bands(field, rng):
    """Positions in [0, 1] along a palette: as high as the field, or in waves as in marble."""
    size = (len(field), 1, 1)
    waves = 0.5 + 0.5 * np.sin(rng.uniform(1, 8, size).astype(np.float32) * field)
    sharpness = rng.uniform(0.2, 1.5, size).astype(np.float32)
    return np.where(rng.random(size) < 0.4, waves, 0.5 + 0.5 * np.tanh(sharpness * field))
