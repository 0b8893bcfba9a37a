"""
========================================
Find your own data among the outliers
========================================

Pools from the web hold what you train on. A detector that is told to refuse its own digits learns
just that, and no message tells. ``outlier_overlap`` looks for copies before you train, here for
digits that were planted, as they are and altered. Nothing is downloaded.
"""

# %%
# A pool with something in it
# ---------------------------
# Signs and pieces of a photograph, and among them every fourth digit of the training set, darker or
# with noise.

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from skood import NTOMDetector, outlier_overlap
from skood.datasets import load_digits_ood
from skood.plotting import OverlapDisplay

parser = argparse.ArgumentParser(description="Find copies among auxiliary outliers.")
parser.add_argument("--epochs", type=int, default=10, help="of each training (default: 10)")
parser.add_argument("--output", type=Path, default=Path("overlap_output"), help="a folder")
args = parser.parse_args()
torch.set_num_threads(1)  # images of 8x8 are too small to share: more threads mostly wait

digits = load_digits_ood()
rng = np.random.default_rng(0)
planted = digits.X_train[::4].astype(float)
planted[::2] *= 0.7
planted[1::2] += rng.normal(0, 10, size=planted[1::2].shape)
pool = np.concatenate([digits.X_aux, planted.clip(0, 255).astype(np.uint8)])

# %%
# The search
# ----------
# Copies to the last bit are found by a hash; near ones because they lie much closer to a digit than
# that digit's own neighbours do.

overlap = outlier_overlap(digits.X_train, pool)
print(overlap)
found = ~overlap.keep[len(digits.X_aux) :]
print(f"Of the planted digits {found.mean():.0%} are found, of the other outliers "
      f"{(~overlap.keep[: len(digits.X_aux)]).mean():.1%} are taken for copies.")

display = OverlapDisplay.from_overlap(overlap, digits.X_train, pool)
args.output.mkdir(parents=True, exist_ok=True)
picture = args.output / "overlap.png"
display.figure_.savefig(picture, dpi=135, bbox_inches="tight")

# %%
# What it would have cost
# -----------------------
# NTOM looks for outliers that it takes for digits, and here it finds digits. Trained against the
# pool as it came, and against what is left of it; a digit is refused where the class of outliers is
# likelier than all others together.

for name, X_aux in {"as it came": pool, "cleaned": pool[overlap.keep]}.items():
    detector = NTOMDetector(
        max_epochs=args.epochs, quantile=0, outlier_ratio=0.5, random_state=0
    )
    detector.fit(digits.X_train, digits.y_train, X_aux=(X_aux,))
    refused = (detector.score_samples(digits.X_test) < -0.5).mean()
    print(f"Trained against the pool {name}: {refused:.1%} of new digits refused.")
print(f"Picture: {picture.resolve()}")
plt.show()
