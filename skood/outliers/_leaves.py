"""Dead leaves: images of opaque shapes that fall on top of each other."""

import numpy as np

from ._canvas import FINER, coarsen, palettes, smooth_noise

N_LEAVES = 60


def draw_leaves(m, shape, rng):
    """Draw m images (m, C, H, W) of unscaled brightness."""
    n_channels, height, width = shape
    y, x = _grid(height, width)
    placing = _place(m, np.abs(y).max(), np.abs(x).max(), rng)
    rows, columns = _warp(m, height * FINER, width * FINER, rng)
    image = np.arange(m)[:, None, None]
    top = _fall(placing, y, x, rng)[image, rows, columns]
    # One gather of everything that belongs to a pixel's leaf is cheaper than one for each quantity.
    paint = [
        placing.reshape(m, N_LEAVES, 6),
        _paint(m, rng),
        palettes(m, N_LEAVES, n_channels, rng),
    ]
    paint = np.concatenate(paint, axis=2).reshape(m * N_LEAVES, -1)
    of_pixel = paint.take(top + image * N_LEAVES, axis=0)
    lit = of_pixel[..., 12:] + _shade(of_pixel, y[rows, 0], x[0, columns])[..., None]
    grain = smooth_noise(m, n_channels, (height, width), rng.uniform(0, 2, m), rng)
    return coarsen(lit) + rng.gamma(1, 0.12, (m, 1, 1, 1)).astype(np.float32) * grain


def _place(m, half_height, half_width, rng):
    """Affine maps (m, N_LEAVES, 2, 3) from the image to the leaf's own square [-1, 1]^2."""
    size = (m, N_LEAVES)
    # Radii follow a power law, as the sizes of objects in photographs do.
    power, largest = rng.uniform(0.2, 1.8, (m, 1)), rng.uniform(0.4, 1.5, (m, 1))
    smallest = 0.07**-power
    radius = (smallest + rng.random(size) * (largest**-power - smallest)) ** (-1 / power)
    aspect = np.exp(rng.normal(0, 0.6, size))
    free = rng.random((m, 1)) < 0.6  # the other images keep one direction, half of them upright
    angle = np.where(free, rng.uniform(0, np.pi, size), rng.uniform(-1, 1, (m, 1)).clip(0, None))
    cos, sin, shear = np.cos(angle), np.sin(angle), rng.normal(0, 0.4, size) * free
    a = np.stack([cos, sin, -sin + shear * cos, cos + shear * sin], axis=-1).reshape(*size, 2, 2)
    a /= (radius[..., None] * np.stack([aspect**0.5, aspect**-0.5], axis=-1))[..., None]
    centre = rng.uniform(-1.1, 1.1, (*size, 2, 1)) * [[half_width], [half_height]]
    placing = np.concatenate([a, -a @ centre], axis=-1)
    placing[:, 0] = [[1, 0, 0], [0, 1, 0]]  # the ground
    return placing.astype(np.float32)


def _fall(placing, y, x, rng):
    """Index of the topmost leaf at every point, (m, len(y), len(x)); 0 is the ground."""
    m = len(placing)
    outlines = rng.choice([0.0, 0.5, 1.0, 1.0, 3.0], (m, N_LEAVES, 1, 1))  # 0 a box, 1 an ellipse
    outlines = np.where(rng.random((m, 1, 1, 1)) < 0.4, outlines[:, :1], outlines)
    holes = np.where(rng.random(outlines.shape) < 0.15, rng.uniform(0.1, 0.8, outlines.shape), 0)
    n_leaves = np.exp(rng.uniform(np.log(6), np.log(N_LEAVES), m))[:, None, None]
    top = np.zeros((m, y.size, x.size), np.uint8)
    for k in range(1, N_LEAVES):
        here = placing[:, k, :, :, None, None]
        u = (here[:, 0, 0] * x + here[:, 0, 2]) + here[:, 0, 1] * y
        v = (here[:, 1, 0] * x + here[:, 1, 2]) + here[:, 1, 1] * y
        u *= u
        v *= v
        distance = np.minimum(u, v)
        distance *= outlines[:, k].astype(np.float32)
        distance += np.maximum(u, v, out=u)
        inside = (distance < (k < n_leaves)) & (distance >= holes[:, k].astype(np.float32))
        np.copyto(top, k, where=inside)
    return top


def _warp(m, height, width, rng):
    """Rows and columns (m, H, W) at which to read, so that some images have wavy shapes."""
    strength = rng.gamma(0.5, 0.03, (m, 1, 1, 1)) * max(height, width)
    fields = smooth_noise(m, 2, (height, width), rng.uniform(1.5, 3, m), rng) * strength
    rows = np.arange(height)[:, None] + fields[:, 0].round().astype(np.intp)
    columns = np.arange(width) + fields[:, 1].round().astype(np.intp)
    return rows.clip(0, height - 1), columns.clip(0, width - 1)


def _paint(m, rng):
    """Slopes of the shading (2) and amplitude, frequencies (2) and phase of the stripes."""
    size = (m, N_LEAVES)
    slopes = rng.normal(0, 1, (*size, 2)) * rng.gamma(1, 0.3, (m, 1, 1))
    amplitude = np.where(rng.random(size) < 0.35, rng.normal(0, 0.6, size), 0)
    frequencies = rng.normal(0, 1, (*size, 2)) * rng.uniform(1, 12, (*size, 1))
    phase = rng.uniform(0, 2 * np.pi, size)
    parts = [slopes, amplitude[..., None], frequencies, phase[..., None]]
    return np.concatenate(parts, axis=-1).astype(np.float32)


def _shade(of_pixel, y, x):
    """Brightness (m, H, W) to add to the leaf's colour: a slope and, on some, stripes."""
    ux, uy, u0, vx, vy, v0, slope_u, slope_v, amplitude, fu, fv, phase = np.moveaxis(
        of_pixel[..., :12], -1, 0
    )
    u, v = ux * x + uy * y + u0, vx * x + vy * y + v0
    return slope_u * u + slope_v * v + amplitude * np.cos(fu * u + fv * v + phase)


def _grid(height, width):
    """Coordinates (H, 1) and (1, W) of the fine points; the longer side of the image spans 2."""
    longer = max(height, width)
    y = (2 * np.arange(height * FINER) + 1) / FINER - height
    x = (2 * np.arange(width * FINER) + 1) / FINER - width
    return (y[:, None] / longer).astype(np.float32), (x[None, :] / longer).astype(np.float32)
