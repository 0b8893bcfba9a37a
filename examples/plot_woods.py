"""
====================================================
Learn from data that nobody has sorted: WOODS
====================================================

A classifier in use meets outliers every day, among many samples of the kind it knows, and nobody
has marked which is which. To take all of this wild mixture for outliers teaches a detector to
refuse what it should accept. WOODS refuses as much of it as it can, under a constraint: of the
labelled samples, at most 5 % may be refused. Here 10, 50 and 90 % of the wild images are digits
like the labelled ones. Nothing is downloaded.
"""

# %%
# The data
# --------
# Half of the training digits have labels. The other half gives the digits in the wild mixtures, so
# no mixture holds a labelled digit: a net is surer of what it was trained on than of new digits,
# and would tell them apart by that. The rest of each mixture are pieces of a photograph and signs.

import argparse
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from PIL import Image

from skood import EnergyExposureDetector, WOODSDetector
from skood.datasets import load_digits_ood
from skood.metrics import ood_report

parser = argparse.ArgumentParser(description="Train detectors on wild mixtures, judge and draw.")
parser.add_argument("--epochs", type=int, default=60, help="of each training (default: 60)")
parser.add_argument("--seed", type=int, default=0, help="of mixtures and trainings (default: 0)")
parser.add_argument("--output", type=Path, default=Path("woods_output"), help="a folder")
args = parser.parse_args()
torch.set_num_threads(1)  # nets of rows are too small to share: more threads mostly wait

SHARES = (0.1, 0.5, 0.9)  # of digits in the wild mixture
N_WILD = 480


def as_rows(images):
    return images.reshape(len(images), -1).astype("float32") / 255


data = load_digits_ood()
rng = np.random.default_rng(args.seed)
labelled, unlabelled = np.array_split(rng.permutation(len(data.X_train)), 2)
X, y = as_rows(data.X_train[labelled]), data.y_train[labelled]
digits, strangers = as_rows(data.X_train[unlabelled]), rng.permutation(as_rows(data.X_aux))
X_test, outliers = as_rows(data.X_test), {kind: as_rows(x) for kind, x in data.ood.items()}


def wild_mixture(share):
    n_digits = round(share * N_WILD)
    return np.concatenate([digits[:n_digits], strangers[: N_WILD - n_digits]])


# %%
# One net, and two ways to read the mixture
# -----------------------------------------
# Both begin with the same classifier and have the same learning rate, batches and epochs. Energy
# fine-tuning takes every wild row for an outlier; its threshold is read off a fifth of the labelled
# digits that it is not trained on. WOODS keeps a fifth out of its training by itself, and counts
# there, after each epoch, what it refuses.
#
# WOODS learns a threshold with the net: it refuses where ``g(x) = slope * score + shift > 0``.
# ``predict`` uses another, by ``contamination``, until it is told of this one: see the last line of
# ``tuned``.

kept = len(X) // 5
common = {"max_epochs": args.epochs, "outlier_ratio": 1.0, "lr": 1e-3, "random_state": args.seed}


def with_threshold(detector):
    """Let 95 % of the digits kept back pass."""
    detector.offset_ = np.percentile(detector.score_samples(X[:kept]), 5)
    return detector


def tuned(name, share):
    wild = (wild_mixture(share),)
    if name == "energy":
        detector = EnergyExposureDetector(plain.module_, **common)
        return with_threshold(detector.fit(X[kept:], y[kept:], X_aux=wild))
    detector = WOODSDetector(plain.module_, **common).fit(X, y, X_aux=wild)
    last = detector.history_[-1]
    detector.offset_ = -last["shift"] / last["slope"]
    return detector


print(f"Training the net: {args.epochs} epochs ...", flush=True)
plain = EnergyExposureDetector(
    max_epochs=0, pretrain_epochs=args.epochs, lr=3e-3, random_state=args.seed
)
plain = with_threshold(plain.fit(X[kept:], y[kept:]))
detectors = {}
for share in SHARES:
    print(f"From there, with a mixture that is {share:.0%} digits ...", flush=True)
    for name in ("energy", "WOODS"):
        detectors[share, name] = tuned(name, share)

# %%
# The verdict
# -----------


def describe(detector):
    """Return a row of the table, in percent."""
    report = ood_report(detector, X_test, outliers, y_in=data.y_test)
    accepted = {
        kind.split("_")[-1]: np.mean(detector.predict(x) == 1) for kind, x in outliers.items()
    }
    row = {
        "refused": np.mean(detector.predict(X_test) == -1), **accepted,
        "mean": np.mean(list(accepted.values())), **report.loc["mean", ["fpr95", "accuracy"]],
    }
    return {column: 100 * value for column, value in row.items()}


judged = {("none", "plain"): plain}
judged.update({(f"{share:.0%}", name): detectors[share, name] for share, name in detectors})
table = pd.DataFrame({key: describe(detector) for key, detector in judged.items()}).T
names = ["refused", *[f"acc. {kind}" for kind in table.columns[1:6]], "fpr95", "right"]
print("\nTest images in %, by the share of digits in the wild mixture:\n")
print(table.to_string(header=names, float_format="{:.1f}".format))
print("""
refused     test digits refused: false alarms, of which 5 were allowed
acc.        test outliers accepted, by the same threshold: of each set, and the mean of the sets.
            digits: 8 and 9, in the same handwriting; the wild mixture has none of them
fpr95       outliers accepted by the threshold that accepts 95 % of the test digits, mean of sets
right       test digits named rightly""")

soft = {share: detectors[share, "WOODS"].history_[-1] for share in SHARES}
print("\nWhat WOODS counts on the digits it keeps out, mean sigmoid(g), after the last epoch:")
print("   ".join(
    f"{share:.0%}: {100 * (last['false_alarms_violation'] + 0.05):.1f} % (multiplier "
    f"{last['false_alarms_multiplier']:.2f})" for share, last in soft.items()
))

# %%
# What came out
# -------------
# With the seeds 0 to 4:
#
# - WOODS keeps its constraint in every run: it counts 4.2 to 4.8 % on the digits it keeps out. Of
#   the test digits it refuses 0.4 to 2.9 %, fewer, as ``sigmoid(g)`` also counts a part of those
#   that pass narrowly. No threshold had to be chosen; that of energy fine-tuning, read off 96
#   digits, refuses 2.5 to 9.1 %.
# - What is like the wild outliers, WOODS finds in spite of the digits among them. With half digits
#   it accepts none of the photograph and of the noise, energy fine-tuning 1.8 to 12.1 %.
# - What is not like them, it accepts: 62 to 90 % of the digits 8 and 9, energy fine-tuning 17 to
#   52 %. Minimising what is accepted of the wild mixture promises nothing about others, and the
#   threshold, which refuses less than it may, adds to it.
# - At one threshold for all, fpr95, taking everything for outliers is better on all five seeds
#   where 10 % are digits (8 to 14 %, WOODS 11 to 20 %): there it is nearly right. With 50 % WOODS
#   is better on four of five, with 90 % on three, and there once no better than the net before.
# - Letters are the hard case with 90 % digits: WOODS, with 48 outliers to learn from, accepts 50 to
#   82 % of them by its threshold.

# %%
# The picture
# -----------
BLUE, ORANGE, RED, DARK = "#1b6ca8", "#d97a10", "#c8325a", "0.15"
SHADES = dict(zip(SHARES, ["#9fc9a8", "#4c9f70", "#14532d"], strict=True))
TITLES = {"WOODS": "WOODS", "energy": "All taken for outliers"}
near = outliers["held_out_digits"]
others = np.concatenate([x for kind, x in outliers.items() if kind != "held_out_digits"])


def draw_scores(ax, share, name):
    """Draw the scores of digits above the axis and of outliers below, around the threshold."""
    detector = detectors[share, name]
    spread = detector.score_samples(X_test).std()
    values = [detector.decision_function(x) / spread for x in (X_test, others, near)]
    bins = np.linspace(-6, 5, 56)
    heights = [np.histogram(v.clip(bins[0], bins[-1]), bins)[0] for v in values]
    n_outliers = len(others) + len(near)
    ax.stairs(heights[0] / len(X_test), bins, fill=True, color=BLUE)
    ax.stairs(-heights[1] / n_outliers, bins, fill=True, color=RED)
    below = -(heights[1] + heights[2]) / n_outliers
    ax.stairs(below, bins, baseline=-heights[1] / n_outliers, fill=True, color=ORANGE)
    ax.axvline(0, 0.2, 0.9, color=DARK, lw=1.2, ls="--")
    ax.axhline(0, color=DARK, lw=0.8)
    label(ax, table.loc[(f"{share:.0%}", name)])
    ax.set(xlim=(-6.1, 5.1), ylim=(-0.24, 0.16), yticks=[])
    ax.set_title(f"{TITLES[name]}: {share:.0%} digits")


def label(ax, values):
    """Write a row of the table beside the scores."""
    accepted = values[["photograph", "letters", "noise"]].mean()
    lines = [
        (0.02, 0.95, "left", BLUE, f"digits 0 to 7 refused: {values['refused']:.1f}%"),
        (0.98, 0.13, "right", RED, f"letters, photograph, noise accepted: {accepted:.1f}%"),
        (0.98, 0.05, "right", ORANGE, f"8 and 9 accepted: {values['digits']:.1f}%"),
    ]
    for x, y_text, side, color, text in lines:
        ax.text(x, y_text, text, color=color, ha=side, va="center", transform=ax.transAxes)


def draw_history(ax, key, title, add=0.0):
    """Draw a column of WOODS's history for each mixture."""
    for share, color in SHADES.items():
        values = [add + row[key] for row in detectors[share, "WOODS"].history_]
        ax.plot(np.arange(1, args.epochs + 1), values, color=color, lw=2, label=f"{share:.0%}")
    ax.set(title=title, xlabel="epoch", xlim=(0, args.epochs + 1))
    ax.grid(color="0.92")


plt.rcParams.update({f"axes.spines.{side}": False for side in ("left", "right", "top", "bottom")})
plt.rcParams.update({"axes.titleweight": "bold", "axes.titlesize": 11})
fig, axes = plt.subplots(2, 4, figsize=(15, 7), layout="constrained", width_ratios=[1, 1, 1, 1.1])
for row, name in zip(axes, TITLES, strict=True):
    for ax, share in zip(row, SHARES, strict=False):
        draw_scores(ax, share, name)
    row[0].set_ylabel("outliers     digits")
for ax in axes[1, :3]:
    ax.set_xlabel("score above the threshold, in deviations\nof the digits' (leftmost: all below)")
counted, multiplier = axes[:, 3]
draw_history(counted, "false_alarms_violation", "False alarms as WOODS counts them", add=0.05)
counted.axhline(0.05, color=DARK, lw=1.2, ls="--")
counted.set_ylim(bottom=0)
counted.legend(frameon=False, title="digits in the mixture")
draw_history(multiplier, "false_alarms_multiplier", "What a false alarm costs: the multiplier")
for ax in axes.flat:
    ax.tick_params(length=0)
args.output.mkdir(parents=True, exist_ok=True)
picture, path = args.output / "woods.png", args.output / "detector.joblib"
fig.savefig(picture, dpi=100, bbox_inches="tight", pad_inches=0.2)
with Image.open(picture) as image:  # a palette takes a third of the room
    image.convert("RGB").quantize(256).save(picture, optimize=True)
joblib.dump(detectors[0.5, "WOODS"], path)

print(f"""
The picture is {picture}, the WOODS detector of 50 % {path}.
Next: benchmarks/woods.py on Fashion-MNIST, with three seeds.""")
