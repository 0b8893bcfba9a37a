"""Which of the auxiliary outliers are copies of CIFAR-10, and which planted copies are found.

``python benchmarks/auxiliary_overlap.py`` needs both data sets (``skood.datasets``) and writes the
picture of the nearest pairs to build/overlap.png.
"""

import io
import time
from pathlib import Path

import numpy as np
from PIL import Image

from skood import outlier_overlap
from skood.datasets import fetch_auxiliary, fetch_cifar10
from skood.plotting import OverlapDisplay


def jpeg(image, quality=30):
    """Return an image as it comes back from a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)).transpose(2, 0, 1)


def copies(images, rng):
    """Return altered copies by name."""
    noise = rng.normal(0, 20, images.shape)
    altered = {
        "as they are": images,
        "JPEG, quality 30": np.stack([jpeg(image) for image in images]),
        "brightness x 0.7 + 30": 0.7 * images + 30,
        "noise, sigma 20 / 255": images + noise,
        "shifted by a pixel": np.roll(images, 1, axis=3),
    }
    return {name: np.clip(each, 0, 255).astype(np.uint8) for name, each in altered.items()}


def main():
    """Print what is found in the auxiliary set "lite", and of 500 planted copies of each kind."""
    X_in = fetch_cifar10(verbose=False).X_train
    X_aux = fetch_auxiliary("lite", verbose=False).X_aux
    rng = np.random.default_rng(0)
    planted = copies(X_in[rng.choice(len(X_in), 500, replace=False)], rng)
    start = time.perf_counter()
    lite = outlier_overlap(X_in, X_aux)
    found = lite.is_near_duplicate
    print(f"lite: {found.sum()} of {len(found)} near-duplicates, relative distances up from "
          f"{lite.relative.min():.3f}, threshold {lite.threshold:.3f}; "
          f"{time.perf_counter() - start:.0f} s")
    overlap = outlier_overlap(X_in, tuple(planted.values()))
    for i, name in enumerate(planted):
        part = slice(500 * i, 500 * (i + 1))
        print(f"{name}: {overlap.is_near_duplicate[part].mean():.1%} found, "
              f"{overlap.is_identical[part].mean():.1%} identical")
    Path("build").mkdir(exist_ok=True)
    display = OverlapDisplay.from_overlap(lite, X_in, X_aux)
    display.figure_.savefig("build/overlap.png", dpi=80)


if __name__ == "__main__":
    main()
