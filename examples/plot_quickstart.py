"""
=====================================================
Teach a classifier to notice what it was never taught
=====================================================

A classifier of the digits 0 to 7 answers with one of them whatever it is shown: a letter, a piece
of a photograph, an 8. Here it learns to be unsure of what is no digit, from pieces of a photograph
and mathematical signs: the auxiliary outliers. It is judged on others: another photograph, Latin
letters, noise, and the digits 8 and 9. Nothing is downloaded.
"""

# %%
# The data
# --------
# A fifth of the training digits is kept back: they will tell where to put the threshold.

import argparse
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.colors import to_rgb
from scipy.special import expit, logit
from sklearn.metrics import roc_curve
from sklearn.model_selection import train_test_split

from skood import OutlierExposureDetector
from skood.datasets import load_digits_ood
from skood.metrics import ood_report

parser = argparse.ArgumentParser(description="Train, judge, draw, save and use a detector.")
parser.add_argument("--epochs", type=int, default=20, help="of either training (default: 20)")
parser.add_argument("--output", type=Path, default=Path("quickstart_output"), help="a folder")
args = parser.parse_args()
torch.set_num_threads(1)  # images of 8x8 are too small to share: more threads mostly wait

data = load_digits_ood()
X_train, X_held, y_train, _ = train_test_split(
    data.X_train, data.y_train, test_size=0.2, stratify=data.y_train, random_state=0
)

# %%
# Two trainings, one budget
# -------------------------
# Both see every digit equally often. The first trains the classifier alone and never looks at
# ``X_aux``; the second also learns to be unsure about ``X_aux``. A net is surer of digits it was
# trained on than of new ones, so the threshold that accepts 95 % is read off those kept back.

common = {"lr": 3e-3, "random_state": 0}  # chosen on data.X_val_ood: test sets choose nothing
detectors = {
    "without": OutlierExposureDetector(max_epochs=0, pretrain_epochs=args.epochs, **common),
    "with": OutlierExposureDetector(max_epochs=args.epochs, **common),
}
for name, detector in detectors.items():
    print(f"Training {name} outlier exposure: {args.epochs} epochs ...", flush=True)
    detector.fit(X_train, y_train, X_aux=(data.X_aux,))
    detector.offset_ = np.percentile(detector.score_samples(X_held), 5)

# %%
# The verdict
# -----------

reports = {
    name: ood_report(detector, data.X_test, data.ood, y_in=data.y_test)
    for name, detector in detectors.items()
}
table = pd.concat(reports, axis=1).swaplevel(axis=1)[["accuracy", "fpr95", "auroc", "aupr_out"]]
print("\nTest images, without and with outlier exposure, in %:\n")
print((100 * table).to_string(float_format="{:.1f}".format, col_space=8))
print("""
accuracy          digits named rightly; higher is better
fpr95             outliers still accepted where 95 % of the digits are; lower is better
auroc, aupr_out   how well the scores tell digits from outliers; higher is better
held_out_digits   8 and 9, in the same handwriting: X_aux has nothing like them, so
                  outlier exposure is not expected to help there, and may cost a little""")

# %%
# The picture
# -----------
# Blue is what the classifier was taught. The rest is what it should refuse: orange in the same
# handwriting, red from elsewhere.

BLUE, ORANGE, RED = "#1b6ca8", "#ee8a22", "#c8325a"
sets = {"digits 0 to 7": data.X_test, **data.ood}
colors = dict(zip(sets, [BLUE, ORANGE, RED, RED, RED], strict=True))
scores = {
    name: {kind: detector.score_samples(X) for kind, X in sets.items()}
    for name, detector in detectors.items()
}


def draw_scores(ax, name):
    """Draw a histogram for each kind of image, and how many images pass the threshold."""
    threshold = detectors[name].offset_
    bins = expit(np.linspace(logit(0.124), logit(0.9999), 46))  # of 8 classes: at least 1/8
    for row, (kind, values) in enumerate(scores[name].items()):
        counts, _ = np.histogram(values.clip(bins[0], bins[-1]), bins)
        heights = 0.72 * counts / counts.max()
        ax.stairs(heights - row, bins, baseline=-row, fill=True, color=colors[kind])
        accepted = f"{np.mean(values >= threshold):.1%} accepted"
        ax.text(bins[-1], 0.78 - row, accepted, color=colors[kind], ha="right")
    ax.axvline(threshold, color="0.3", ls="--", lw=1.2)
    ax.set(title=f"Scores {name} outlier exposure", xlabel="certainty (dashed: the threshold)")
    ax.set(xscale="logit", xlim=(0.11, 0.99992), ylim=(0.95 - len(sets), 1.05))
    ax.set_xticks([1 / 8, 0.5, 0.9, 0.99, 0.999], ["1/8", "50 %", "90 %", "99 %", "99.9 %"])
    ax.minorticks_off()
    ax.set_yticks(0.2 - np.arange(len(sets)), [kind.replace("_", " ") for kind in sets])


def draw_roc(ax, kinds, color):
    """Draw the ROC curves of some kinds of outliers together."""
    for name, style in {"without": ":", "with": "-"}.items():
        values = [scores[name][kind] for kind in ("digits 0 to 7", *kinds)]
        is_digit = np.arange(sum(map(len, values))) < len(values[0])
        accepted, kept, _ = roc_curve(is_digit, np.concatenate(values))
        label = f"{', '.join(kinds)}: {name}".replace("_", " ")
        ax.plot(100 * accepted, 100 * kept, style, color=color, lw=2, label=label)


def draw_images(ax, kinds, n, sign, title):
    """Draw the n images of each kind with the lowest (sign 1) or highest (sign -1) scores."""
    strips, labels = [], []
    for kind in kinds:
        order = np.argsort(sign * scores["with"][kind])[:n]
        ink = np.hstack(np.pad(sets[kind][order, 0] / 255, [(0, 0), (0, 0), (1, 1)]))
        strips.append(1 - ink[..., None] * (1 - np.array(to_rgb(colors[kind]))))
        labels.extend(f"{p:.0%}" for p in scores["with"][kind][order])
    ax.imshow(np.hstack(strips))
    ax.set(title=title, yticks=[], xticks=4.5 + 10 * np.arange(len(labels)), xticklabels=labels)


plt.rcParams.update({f"axes.spines.{side}": False for side in ("left", "right", "top", "bottom")})
plt.rcParams.update({"axes.titleweight": "bold", "axes.titlesize": 11})
fig = plt.figure(figsize=(12, 7), layout="constrained")
top, bottom = fig.subfigures(2, 1, height_ratios=[2.2, 1])
left, middle, roc = top.subplots(1, 3)
draw_scores(left, "without")
draw_scores(middle, "with")
middle.set_yticks([])
draw_roc(roc, ["held_out_digits"], ORANGE)
draw_roc(roc, ["photograph", "letters", "noise"], RED)
roc.set(title="ROC", xlabel="outliers accepted, %", ylabel="digits accepted, %")
roc.set(xlim=(-0.5, 40), ylim=(60, 101))
roc.grid(color="0.9")
roc.legend(frameon=False, loc="lower right")
(surest, refused), (least_sure, fooled) = bottom.subplots(2, 2)
draw_images(surest, ["digits 0 to 7"], 12, -1, "Digits it is surest of (certainty below each)")
draw_images(least_sure, ["digits 0 to 7"], 12, 1, "Digits it is least sure of")
draw_images(refused, data.ood, 3, 1, "Outliers it is surest to refuse, of each kind")
draw_images(fooled, data.ood, 3, -1, "Outliers that look most like digits to it")
for ax in fig.axes:
    ax.tick_params(length=0)
args.output.mkdir(parents=True, exist_ok=True)
picture = args.output / "quickstart.png"
fig.savefig(picture, dpi=110, bbox_inches="tight", pad_inches=0.2)

# %%
# Keep the detector, and use it
# -----------------------------
# The file holds the net and the threshold, and no image.

path = args.output / "detector.joblib"
joblib.dump(detectors["with"], path)
detector = joblib.load(path)
new = np.stack([X[0] for X in sets.values()])
print("\nThe detector, saved and loaded, meets five new images:\n")
print("   ".join(f"{kind:16}" for kind in sets).rstrip())
shades = np.array(list(" .:+#@"))[new[:, 0] // 43]
for line in range(8):
    print("   ".join("".join(np.repeat(image[line], 2)) for image in shades).rstrip())
print(f"\nIt accepts an image when it is at least {detector.offset_:.1%} sure:\n")
answers = detector.score_samples(new), detector.predict(new), detector.predict_class(new)
for kind, certainty, decision, digit in zip(sets, *answers, strict=True):
    verdict = f"a digit it knows: {digit}" if decision == 1 else "none of the digits it knows"
    print(f"{kind:16} {certainty:6.1%} sure, so predict gives {decision:+d}, {verdict}")

print(f"""
The picture is {picture}, the detector {path}.
Next: README.md on choosing a method, help(skood.datasets) on larger images.""")
