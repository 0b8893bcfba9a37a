"""
=====================
Look at a detector
=====================

What does it refuse, what gets past it, and what would another threshold change? ``skood.plotting``
draws the answers, as displays in the manner of scikit-learn's. Here they look at one detector of
the digits 0 to 7. Nothing is downloaded.
"""

# %%
# A detector
# ----------
# It learns digits, and to be unsure of signs and pieces of a photograph. The threshold is read off
# digits that it was not trained on.

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from sklearn.model_selection import train_test_split

from skood import OutlierExposureDetector
from skood.datasets import load_digits_ood
from skood.plotting import (
    FPRAtTPRDisplay,
    ROCDisplay,
    ScoreHistogramDisplay,
    SurestMistakesDisplay,
    TrainingCurveDisplay,
)

parser = argparse.ArgumentParser(description="Train a detector and draw all about it.")
parser.add_argument("--epochs", type=int, default=10, help="of either training (default: 10)")
parser.add_argument("--output", type=Path, default=Path("displays_output"), help="a folder")
args = parser.parse_args()
torch.set_num_threads(1)  # images of 8x8 are too small to share: more threads mostly wait

data = load_digits_ood()
X_train, X_held, y_train, _ = train_test_split(
    data.X_train, data.y_train, test_size=0.2, stratify=data.y_train, random_state=0
)
detector = OutlierExposureDetector(
    pretrain_epochs=args.epochs, max_epochs=args.epochs, random_state=0
)
detector.fit(X_train, y_train, X_aux=(data.X_aux,))
detector.offset_ = np.percentile(detector.score_samples(X_held), 5)

# %%
# What it does, and where it is wrong
# -----------------------------------
# Each display takes axes of yours, or makes its own. Scores of this detector are probabilities,
# most of them near 1: on a logit axis they are told apart. Below each image stands the digit it is
# taken for, and how surely; grey are those that are decided rightly after all.

fig = plt.figure(figsize=(13, 10.5), layout="constrained")
top, bottom = fig.subfigures(2, 1, height_ratios=[1, 1.25])
histograms, curves = top.subplots(1, 2, width_ratios=[1.25, 1])
ScoreHistogramDisplay.from_detector(detector, data.X_test, data.ood, scale="logit", ax=histograms)
roc = ROCDisplay.from_detector(detector, data.X_test, data.ood, ax=curves)
left, right = bottom.subfigures(1, 2, width_ratios=[1.5, 1])
mistakes = SurestMistakesDisplay.from_detector(detector, data.X_test, data.ood, ax=left.subplots())
table, training = right.subplots(2, 1)
FPRAtTPRDisplay.from_detector(detector, data.X_test, data.ood, ax=table)
TrainingCurveDisplay.from_detector(detector, ax=training)
args.output.mkdir(parents=True, exist_ok=True)
picture = args.output / "displays.png"
fig.savefig(picture, dpi=90, bbox_inches="tight", pad_inches=0.2)
with Image.open(picture) as image:  # a palette takes a third of the room
    image.convert("RGB").quantize(256).save(picture, optimize=True)

# %%
# The numbers
# -----------
# A display keeps what it draws.

for name, (fpr, _) in roc.operating_point.items():
    print(f"{name:16} AUROC {roc.auroc[name]:6.1%}   FPR95 {fpr:6.1%}")
for name, share in mistakes.wrong.items():
    print(f"{name:16} {share:6.1%} decided wrongly, the surest in row {mistakes.index[name][0]}")
print(f"""
The picture is {picture}.
Next: skood.plotting.RobustnessDisplay on attacks, docs/robustness.md.""")
