"""Characters drawn in given typefaces."""

import io
import itertools

import numpy as np

from ._crops import distinct, flat, require_pillow


def render_letters(faces, letters, n_each, size, random_state=0):
    """Draw letters, bright on black, each somewhat larger, smaller and off the centre.

    Parameters
    ----------
    faces : list of bytes
        Font files.
    letters : str
    n_each : int
        Drawings of each letter in each face.
    size : int
        Height and width of the images in pixels.
    random_state : int, default=0

    Returns
    -------
    images : ndarray of shape (n, 1, size, size), uint8
        Without repetitions, so n is at most ``n_each * len(faces) * len(letters)``.
    """
    rng = np.random.default_rng(random_state)
    glyphs = (glyph for face in faces for glyph in draw_glyphs(face, letters, 4 * size))
    images = [_place(glyph, size, rng) for glyph, _ in itertools.product(glyphs, range(n_each))]
    images = np.stack(images)[:, None]
    return distinct(images[~flat(images)])


def draw_glyphs(face, letters, height):
    """Return each letter as a PIL image ("L", bright on black) cut to its ink."""
    require_pillow()
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(io.BytesIO(face), height)
    glyphs = []
    for letter in letters:
        left, top, right, bottom = font.getbbox(letter)
        glyph = Image.new("L", (right - left, bottom - top))
        ImageDraw.Draw(glyph).text((-left, -top), letter, 255, font=font)
        glyphs.append(glyph)
    return glyphs


def _place(glyph, size, rng):
    """Scale the glyph to 70 to 95 % of the image and put it near the centre."""
    canvas = require_pillow().new("L", (size, size))
    scale = size * rng.uniform(0.7, 0.95) / max(glyph.size)
    width, height = (max(1, round(scale * side)) for side in glyph.size)
    x, y = np.array([size - width, size - height]) * rng.uniform(0.3, 0.7, 2)
    canvas.paste(glyph.resize((width, height), reducing_gap=2), (round(x), round(y)))
    return np.asarray(canvas)
