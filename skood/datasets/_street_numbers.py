"""House numbers drawn with the typefaces that come with matplotlib, in the manner of SVHN."""

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from ._crops import flat, require_pillow
from ._letters import draw_glyphs

_FACES = ("Sans", "Sans-Bold", "Sans-Oblique", "SansMono-Bold", "Serif", "Serif-Bold")


def render_street_numbers(n_images, size, random_state=0):
    """Draw numbers with a digit in the middle, neighbours, colour gradients, blur and noise.

    Parameters
    ----------
    n_images : int
    size : int
        Height and width in pixels.
    random_state : int, default=0

    Returns
    -------
    images : ndarray of shape (n, 3, size, size), uint8
        n is a little below ``n_images``: those without contrast are left out.
    n_faces : int
        Number of typefaces used.

    Raises
    ------
    ImportError
        If matplotlib or Pillow is missing.
    """
    rng = np.random.default_rng(random_state)
    glyphs = [draw_glyphs(face, "0123456789", 2 * size) for face in _read_faces()]
    choice = rng.integers(0, [len(glyphs), 10, 10, 10], (n_images, 4))
    ink = np.stack([_number([glyphs[f][d] for d in digits], size, rng) for f, *digits in choice])
    paint, wall = (_gradients(n_images, size, rng) for _ in range(2))
    images = wall + ink[:, None] * (paint - wall)
    softness = rng.uniform(size=(n_images, 1, 1, 1))
    images += softness * (gaussian_filter(images, (0, 0, size / 20, size / 20)) - images)
    images += rng.normal(0, rng.uniform(1, 6, (n_images, 1, 1, 1)), images.shape)
    images = images.clip(0, 255).astype(np.uint8)
    visible = np.abs(paint - wall).mean(axis=(1, 2, 3)) > 25
    return images[visible & ~flat(images)], len(glyphs)


def _read_faces():
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(
            "matplotlib is needed to draw the street numbers: pip install 'skood[plot]'"
        ) from error
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return [(folder / f"DejaVu{face}.ttf").read_bytes() for face in _FACES]


def _number(glyphs, size, rng):
    """Return the ink (size, size) in [0, 1] of three digits, the first one in the middle."""
    image = require_pillow()
    height = 2 * size * rng.uniform(0.55, 0.95)
    canvas = image.new("L", (2 * size, 2 * size))
    middle, left, right = (
        glyph.resize((max(1, round(glyph.width * height / glyph.height)), round(height)))
        for glyph in glyphs
    )
    gap = round(height * rng.uniform(0.05, 0.25))
    x = size - middle.width // 2
    y = round(size - height / 2 + size * rng.uniform(-0.1, 0.1))
    canvas.paste(middle, (x, y))
    for glyph, corner in ((left, x - gap - left.width), (right, x + middle.width + gap)):
        if rng.uniform() < 0.6:
            canvas.paste(glyph, (corner, y))
    turned = canvas.rotate(rng.uniform(-12, 12), image.Resampling.BILINEAR)
    return np.asarray(turned.resize((size, size), image.Resampling.BOX), float) / 255


def _gradients(n_images, size, rng):
    """Return images (n, 3, size, size) of one colour each that grows brighter along a line."""
    line = np.linspace(-1, 1, size)
    slope = rng.uniform(-35, 35, (n_images, 2, 1, 1))
    shade = slope[:, :1] * line + slope[:, 1:] * line[:, None]
    grey, tint = rng.uniform(20, 235, (n_images, 1, 1, 1)), rng.normal(0, 25, (n_images, 3, 1, 1))
    return grey + tint + shade
