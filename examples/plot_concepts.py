"""
==============================================
In, out, score and threshold: words in a plane
==============================================

Known, near and far, score and threshold, in two dimensions, where all of it can be drawn. A plain
classifier is surest far from everything that it knows; trained against outliers, it is not.
Nothing is downloaded.
"""

# %%
# Three classes, and what is none of them
# ---------------------------------------
# Rows of three classes are *in-distribution*. *Near* outliers lie between the classes, *far* ones
# where nothing is. Neither set is trained on, though the box of outliers below covers their places:
# this picture explains, it measures nothing.

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.colors import ListedColormap
from scipy.special import logit
from sklearn.datasets import make_blobs

from skood import MSPDetector, OutlierExposureDetector
from skood.metrics import auroc
from skood.outliers import box
from skood.posthoc import Classifier

parser = argparse.ArgumentParser(description="Draw what a score and a threshold are.")
parser.add_argument("--epochs", type=int, default=30, help="of each training (default: 30)")
parser.add_argument("--output", type=Path, default=Path("concepts_output"), help="a folder")
args = parser.parse_args()
torch.set_num_threads(1)  # so small a network is not worth sharing

CENTRES = np.array([[-2.0, -1.2], [2.0, -1.2], [0.0, 2.2]])
X, y = make_blobs(1200, centers=CENTRES, cluster_std=0.45, random_state=0)
X_test, y_test = make_blobs(600, centers=CENTRES, cluster_std=0.45, random_state=1)
outliers = {
    "near": make_blobs(200, centers=[[0.0, -0.1]], cluster_std=0.3, random_state=2)[0],
    "far": make_blobs(200, centers=[[-5.0, -4.5], [5.5, -3.5]], cluster_std=0.4, random_state=3)[0],
}

# %%
# Two detectors
# -------------
# The score of the one is how sure a plain classifier is of the class it names. The other is the
# same network, trained to be unsure on points from a box around the data as well.
detectors = {
    "a plain classifier": MSPDetector(
        Classifier(max_epochs=args.epochs, random_state=0)
    ).fit(X, y),
    "trained against outliers": OutlierExposureDetector(
        max_epochs=args.epochs, random_state=0
    ).fit(X, y, X_aux=(box(X, 6000, width=3, random_state=0),)),
}
for name, detector in detectors.items():
    known = detector.score_samples(X_test)
    print(f"\n{name}: {np.mean(detector.predict_class(X_test) == y_test):.1%} of the classes right")
    print(f"    known  {np.mean(known >= detector.offset_):6.1%} taken for known")
    for kind, A in outliers.items():
        scores = detector.score_samples(A)
        truth = np.repeat([1, -1], [len(known), len(scores)])
        area = auroc(truth, np.concatenate([known, scores]))
        passed = np.mean(scores >= detector.offset_)
        print(f"    {kind:<6} {passed:6.1%} taken for known, AUROC {area:.1%}")

# %%
# The picture
# -----------
# Left, the score of every point of the plane, dark where it is high; the line is the threshold
# ``offset_``, and what lies on its lighter side is refused. Right, the same as numbers: all that
# lies left of the dashed line gets -1 from ``predict``.
COLORS = {"known": "#1b6ca8", "near": "#ee8a22", "far": "#c8325a"}
LAST = 11.5  # log-odds of 0.99999: what is surer is drawn there
side = np.linspace(-7, 7, 281, dtype=np.float32)
plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)


def draw_plane(ax, detector):
    """Draw the score of each point, the threshold, and the rows that are judged."""
    score = detector.score_samples(plane).reshape(len(side), -1)
    shades = ListedColormap(plt.get_cmap("Greys")(np.linspace(0.02, 0.5, 64)))
    ax.pcolormesh(side, side, score, cmap=shades, vmin=1 / 3, vmax=1, rasterized=True)
    ax.contour(side, side, score, [detector.offset_], colors="0.15", linestyles="--", linewidths=1)
    for kind, rows in {"known": X_test, **outliers}.items():
        ax.plot(*rows.T, ".", color=COLORS[kind], ms=3)
    ax.set(xticks=[], yticks=[], aspect="equal")


def draw_scores(ax, detector):
    """Draw the scores of each kind, and the threshold between the two decisions."""
    bins = np.linspace(logit(1 / 3), LAST, 61)
    for place, (kind, rows) in enumerate({"known": X_test, **outliers}.items()):
        scores = logit(detector.score_samples(rows).clip(1 / 3, 1)).clip(max=LAST)
        counts, _ = np.histogram(scores, bins)
        ax.bar(bins[:-1], 0.85 * counts / counts.max(), np.diff(bins), -place, align="edge",
               color=COLORS[kind])
        ax.text(-1.1, 0.1 - place, kind, color=COLORS[kind], ha="right", fontweight="bold")
    threshold = logit(detector.offset_)
    ax.axvline(threshold, color="0.15", ls="--", lw=1)
    for shift, text, align in [(-0.2, "refused: -1", "right"), (0.2, "accepted: +1", "left")]:
        ax.text(threshold + shift, 1.05, text, ha=align, fontsize=9)
    ax.set_xticks(logit([0.5, 0.9, 0.99, 0.999, 0.9999]), ["0.5", "0.9", "0.99", "0.999", "0.9999"])
    ax.set(ylim=(-2.05, 1.25), xlim=(bins[0], LAST + 0.2), yticks=[])
    ax.set_xlabel("score: higher is more in-distribution")


plt.rcParams.update({f"axes.spines.{side}": False for side in ("left", "right", "top", "bottom")})
fig, axes = plt.subplots(2, 2, figsize=(11, 9.2), width_ratios=[1, 1.15], layout="constrained")
for row, (name, detector) in zip(axes, detectors.items(), strict=True):
    draw_plane(row[0], detector)
    draw_scores(row[1], detector)
    row[0].set_title(name[0].upper() + name[1:], loc="left", fontweight="bold", fontsize=12)
args.output.mkdir(parents=True, exist_ok=True)
picture = args.output / "concepts.png"
fig.savefig(picture, dpi=100)
print(f"\nPicture: {picture.resolve()}")
plt.show()
