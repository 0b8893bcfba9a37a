"""Attractors of iterated function systems, drawn by the chaos game."""

import numpy as np

from ._canvas import FINER, between, coarsen, palettes, smooth_noise

N_MAPS = 6  # at most, in one system
N_POINTS = 512  # wander at once in every image
N_DRAWN = 20  # points an image draws for each of its pixels
N_FORGET = 12  # steps after which a point has forgotten where it began


def draw_fractals(m, shape, rng):
    """Draw m images (m, C, H, W) of unscaled brightness."""
    n_channels, height, width = shape
    track = _wander(m, height * width, rng)
    density, tone = _plot(*track, height * FINER, width * FINER, rng)
    alpha = np.log1p(density) / np.log1p(density.max(axis=(1, 2), keepdims=True).clip(1))
    alpha = (alpha ** rng.uniform(0.5, 1.2, (m, 1, 1)))[..., None].astype(np.float32)
    ink = between(palettes(m, 4, n_channels, rng), 0.8 * tone + 0.4 * alpha[..., 0])
    ground = smooth_noise(m, n_channels, (height, width), rng.uniform(1, 3, m), rng)
    ground *= rng.gamma(0.5, 0.6, (m, 1, 1, 1)).astype(np.float32)
    ground += palettes(m, 1, n_channels, rng)[:, 0, :, None, None]
    return coarsen(alpha * ink) + (1 - coarsen(alpha)) * ground


def _systems(m, rng):
    """Draw contracting maps: rows (m, 256, 7) of a, b, tx, c, d, ty, tone.

    A random byte picks a map, each as often as its share of the 256 rows: about as its area.
    """
    size = (m, N_MAPS)
    turn, flip = rng.uniform(0, 2 * np.pi, (2, *size))
    large = rng.uniform(0.35, 0.92, size)
    small = large * rng.uniform(0.15, 1, size) * rng.choice([-1, 1], size)
    cos, sin, cos2, sin2 = np.cos(turn), np.sin(turn), np.cos(flip), np.sin(flip)
    a, b = cos * large * cos2 - sin * small * sin2, -cos * large * sin2 - sin * small * cos2
    c, d = sin * large * cos2 + cos * small * sin2, -sin * large * sin2 + cos * small * cos2
    tx, ty = rng.uniform(-1, 1, (2, *size))
    maps = np.stack([a, b, tx, c, d, ty, rng.random(size)], axis=-1).astype(np.float32)
    share = np.abs(large * small) + 0.05
    share[np.arange(N_MAPS) >= rng.integers(2, N_MAPS + 1, (m, 1))] = 0
    share = np.cumsum(share, axis=1) / share.sum(axis=1, keepdims=True)
    chosen = (np.arange(256)[:, None] / 256 >= share[:, None, :-1]).sum(axis=2)
    return maps[np.arange(m)[:, None], chosen]


def _wander(m, n_pixels, rng):
    """Play the chaos game; return x, y and tone of the points, each (n_steps, m, N_POINTS)."""
    rows = _systems(m, rng).reshape(m * 256, 7)
    n_steps = -(-N_DRAWN * n_pixels // N_POINTS)
    bend = (rng.random((m, 1)) < 0.4).astype(np.float32)  # some systems are not affine
    first = np.arange(m)[:, None] * 256
    x, y, tone = np.zeros((3, m, N_POINTS), np.float32)
    track = np.empty((3, n_steps, m, N_POINTS), np.float32)
    for step in range(-N_FORGET, n_steps):
        picked = rows.take(first + rng.integers(0, 256, (m, N_POINTS), dtype=np.uint8), axis=0)
        a, b, tx, c, d, ty, target = np.moveaxis(picked, -1, 0)
        x, y = a * x + b * y + tx, c * x + d * y + ty
        x, y = x + bend * (np.sin(2 * x) - x), y + bend * (np.sin(2 * y) - y)
        tone = (tone + target) / 2
        if step >= 0:
            track[:, step] = x, y, tone
    return track


def _plot(x, y, tone, height, width, rng):
    """Count the points in every pixel and average their tone, both (m, height, width)."""
    m = x.shape[1]
    x, y = _mirror(x, y, rng)
    spread = np.maximum(x.std(axis=(0, 2)), y.std(axis=(0, 2)))[:, None] + 1e-3
    zoom = max(height, width) / 2 / (spread * rng.uniform(1.1, 2.4, (m, 1)))
    where = rng.uniform(0.3, 0.7, (2, m, 1))
    row = ((y - y.mean(axis=(0, 2))[:, None]) * zoom + height * where[0]).astype(np.int32)
    column = ((x - x.mean(axis=(0, 2))[:, None]) * zoom + width * where[1]).astype(np.int32)
    cell = (np.arange(m)[:, None] * height + row) * width + column
    seen = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    cell, tone = cell[seen], tone[seen]
    density = np.bincount(cell, minlength=m * height * width).reshape(m, height, width)
    tones = np.bincount(cell, tone, minlength=m * height * width).reshape(m, height, width)
    return density, tones / np.maximum(density, 1)


def _mirror(x, y, rng):
    """Repeat some attractors around a centre, as often as a flower has petals."""
    n_steps, m, n_points = x.shape
    order = rng.choice([1, 1, 1, 1, 2, 3, 4, 5, 6, 8], m)[:, None]
    turn = 2 * np.pi / order * (np.arange(n_points) % order)
    cos, sin = np.cos(turn).astype(np.float32), np.sin(turn).astype(np.float32)
    return cos * x - sin * y, sin * x + cos * y
