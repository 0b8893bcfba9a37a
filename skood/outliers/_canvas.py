"""What the procedural images share: colours, smooth noise, blocks of images, the final contrast."""

import numpy as np
from scipy import fft

# A plane of a block of images takes 64 KB in float32: several of them stay in a core's cache.
BLOCK_PIXELS = 2**14
FINER = 2  # shapes are drawn on a grid this much finer and averaged, so that their edges are smooth


def in_blocks(draw, size, rng):
    """Fill uint8 images (n, C, H, W) from ``draw(m, shape, rng)``, which makes m float images."""
    n, _, height, width = size
    images = np.empty(size, np.uint8)
    block = max(1, BLOCK_PIXELS // (height * width))
    for start in range(0, n, block):
        m = min(block, n - start)
        images[start : start + m] = _develop(draw(m, size[1:], rng), rng)
    return images


def _develop(images, rng):
    """Give every image its own brightness, tint and contrast, and round to uint8."""
    size = (len(images), 1, 1, 1)
    means = images.mean(axis=(2, 3), keepdims=True)
    tint = 30 * (means - means.mean(axis=1, keepdims=True))
    # Contrast is that between places, not between channels: a vivid but flat image would have none.
    detail = images - means
    detail *= rng.uniform(20, 75, size) / (detail.std(axis=(1, 2, 3), keepdims=True) + 1e-6)
    brightness = rng.normal(125, 30, size)
    return np.clip(brightness + tint + detail, 0, 255).round().astype(np.uint8)


def coarsen(images):
    """Average images (m, FINER * H, FINER * W, C) over every pixel, to (m, C, H, W)."""
    parts = [images[:, i::FINER, j::FINER] for i in range(FINER) for j in range(FINER)]
    return np.moveaxis(sum(parts) / np.float32(len(parts)), -1, 1)


def palettes(m, n_colours, n_channels, rng):
    """Draw palettes (m, n_colours, n_channels): some grey, some vivid, some around one hue."""
    grey = rng.normal(size=(m, n_colours, 1))
    chroma = rng.normal(size=(m, n_colours, n_channels)) + rng.normal(size=(m, 1, n_channels))
    chroma -= chroma.mean(axis=2, keepdims=True)  # a single channel has no chroma
    saturation = rng.gamma(1.0, 0.6, size=(m, 1, 1))
    return (grey + saturation * chroma).astype(np.float32)


def between(palette, position):
    """Colours (m, H, W, C) at `position` (m, H, W) in [0, 1] along palettes (m, k, C)."""
    m, k, n_channels = palette.shape
    position = np.clip(position, 0, 1).astype(np.float32) * np.float32(k - 1)
    below = np.minimum(position.astype(np.intp), k - 2)
    share = (position - below.astype(np.float32))[..., None]
    below += k * np.arange(m)[:, None, None]
    colours = palette.reshape(m * k, n_channels)
    low = colours.take(below, axis=0)
    return low + share * (colours.take(below + 1, axis=0) - low)


def smooth_noise(m, n_fields, shape, exponent, rng, stretch=None):
    """Draw fields (m, n_fields, H, W) of variance about 1 and amplitude spectrum 1 / f^exponent.

    `exponent` has shape (m,); `stretch` (m, 2, 2), if given, maps the frequencies first, so that
    the grain has a direction.
    """
    height, width = shape
    longer = max(shape)  # frequencies in waves along it, so that the grain is round in long images
    fy = np.fft.fftfreq(height, 1 / longer)[:, None]
    fx = np.fft.rfftfreq(width, 1 / longer)[None, :]
    a = np.eye(2)[None] if stretch is None else stretch
    a = a[:, :, :, None, None]
    squared = (a[:, 0, 0] * fy + a[:, 0, 1] * fx) ** 2 + (a[:, 1, 0] * fy + a[:, 1, 1] * fx) ** 2
    squared[:, 0, 0] = 1
    amplitude = np.maximum(squared, 1e-3) ** (-0.5 * exponent[:, None, None])
    amplitude[:, 0, 0] = 0  # no mean: brightness is set when the image is developed
    amplitude /= np.sqrt((amplitude**2).sum(axis=(1, 2), keepdims=True))
    size = (m, n_fields, height, width // 2 + 1)
    real, imaginary = rng.standard_normal((2, *size), dtype=np.float32)
    spectrum = (real + 1j * imaginary) * amplitude[:, None].astype(np.float32)
    return fft.irfft2(spectrum, s=shape) * np.float32(height * width / 2)
