"""Make skood/datasets/digits_outliers.npz: the embedded outliers of `load_digits_ood`.

    python benchmarks/make_digits_outliers.py

The file holds 8x8 images with 17 grey levels, as scikit-learn's digits have:

- ``aux``: patches of the left three quarters of scikit-learn's photograph china.jpg (by
  danielbuechele, CC BY 2.0), and mathematical signs and Greek letters in the STIX faces
  (STIX font licence);
- ``val``: patches of the right quarter of that photograph, and other signs in the same faces;
- ``photograph``: patches of scikit-learn's other photograph, flower.jpg (by vultilion, CC BY
  2.0);
- ``letters``: Latin letters that look like no digit, in the DejaVu faces (Bitstream Vera licence).

It needs Pillow, and matplotlib for the faces. Made with Pillow 13 and matplotlib 3.11; other
versions may draw a few pixels differently.
"""

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

from skood.datasets._crops import distinct
from skood.datasets._letters import draw_glyphs

OUTPUT = Path(__file__).parents[1] / "skood" / "datasets" / "digits_outliers.npz"
AUX_SIGNS = "ΓΔΛΞΠΣΨΩγδλμπψ+×÷±=≈≤≥∀∃∇∏√∞∩∧⊂⊥←↑→⇒#&*/{<[^"
VAL_SIGNS = "≠≡∈∑∪∨⊃⊕↓↔⇔%@\\}>]~†‡"
LETTERS = "AEFHKMNPRTUVWXYaehkmnrtuvwx"
STIX = ["STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"]
DEJAVU = [
    f"DejaVu{face}"
    for face in ("Sans", "Sans-Bold", "Sans-Oblique", "SansMono", "Serif", "Serif-Bold")
]


def photograph(name):
    """Return one of scikit-learn's two photographs as a grey image (H, W), float."""
    return load_sample_image(name) @ np.array([0.299, 0.587, 0.114])


def patches(image, n, rng):
    """Cut squares of 8 to 128 pixels a side, average them to 8x8, keep those with contrast."""
    kept = []
    while len(kept) < n:
        factor = 2 ** rng.integers(0, 5)
        side = 8 * factor
        top, left = (rng.integers(0, room - side + 1) for room in image.shape)
        square = image[top : top + side, left : left + side]
        levels = np.round(square.reshape(8, factor, 8, factor).mean(axis=(1, 3)) * 16 / 255)
        if levels.std() >= 1.0:  # of 16: below this a patch is nearly flat
            kept.append(levels)
    return np.array(kept, np.uint8)


def signs(characters, faces, n, rng):
    """Draw characters as the digits were made: black and white at 32x32, counted in 4x4 blocks."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    glyphs = [
        glyph
        for face in faces
        for glyph in draw_glyphs((folder / f"{face}.ttf").read_bytes(), characters, 96)
    ]
    chosen = rng.choice(len(glyphs), n)
    return np.stack([sign(glyphs[index], rng) for index in chosen])


def sign(glyph, rng):
    """Turn and stretch a glyph a little, fit it into 32x32 pixels, and count ink in the blocks."""
    glyph = glyph.rotate(rng.uniform(-12, 12), Image.Resampling.BILINEAR, expand=True)
    glyph = glyph.crop(glyph.getbbox())
    scale = rng.uniform(26, 32) / max(glyph.size)
    width, height = (
        min(32, max(1, round(side * scale * rng.uniform(0.85, 1.15)))) for side in glyph.size
    )
    canvas = Image.new("L", (32, 32))
    canvas.paste(glyph.resize((width, height)), ((32 - width) // 2, (32 - height) // 2))
    ink = np.asarray(canvas) > 127
    return ink.reshape(8, 4, 8, 4).sum(axis=(1, 3)).astype(np.uint8)


def main():
    rng = np.random.default_rng(0)
    china, flower = photograph("china.jpg"), photograph("flower.jpg")
    border = 3 * china.shape[1] // 4
    sets = {
        "aux": [patches(china[:, :border], 2600, rng), signs(AUX_SIGNS, STIX, 1500, rng)],
        "val": [patches(china[:, border:], 400, rng), signs(VAL_SIGNS, STIX, 300, rng)],
        "photograph": [patches(flower, 800, rng)],
        "letters": [signs(LETTERS, DEJAVU, 820, rng)],
    }
    arrays = {name: distinct(np.concatenate(parts)) for name, parts in sets.items()}
    both = distinct(np.concatenate([arrays["aux"], arrays["val"]]))
    arrays["val"] = both[len(arrays["aux"]) :]  # without what is among the auxiliary ones too
    np.savez_compressed(OUTPUT, **arrays)
    print({name: len(images) for name, images in arrays.items()}, OUTPUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
