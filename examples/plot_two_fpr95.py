"""
====================
There are two FPR95s
====================

"FPR95" is two numbers under one name. Of which rows must 95 % be right, the known or the unknown?
Papers disagree, and on one detector the two can tell opposite stories. Nothing is downloaded.
"""

# %%
# Two kinds of outliers
# ---------------------
# The scores of known rows are the same in both cases. Of the first outliers one in ten looks
# perfectly in-distribution; the second all look a little so.

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import norm

from skood.metrics import auroc, fpr95, threshold_at_tpr

parser = argparse.ArgumentParser(description="Draw the two FPR95s.")
parser.add_argument("--output", type=Path, default=Path("two_fpr95_output"), help="a folder")
args = parser.parse_args()

n = 20_000
levels = (np.arange(n) + 0.5) / n
known = norm.ppf(levels, 3, 1)
unknown = {
    "a tenth looks in-distribution": np.r_[
        norm.ppf(levels[: 9 * n // 10] * n / (9 * n / 10 + 1), 0, 0.4),
        norm.ppf(levels[: n // 10] * n / (n / 10 + 1), 3.5, 0.4),
    ],
    "all look a little in-distribution": norm.ppf(levels, 0.6, 0.6),
}

# %%
# Two thresholds
# --------------
# ATOM, energy, GReg and Unleashing Mask accept 95 % of the known rows and count the unknown ones
# that pass: ``positive="id"``. Outlier Exposure and OpenOOD refuse 95 % of the unknown rows and
# count the known ones that are lost: ``positive="ood"``.

fig, axes = plt.subplots(2, 2, figsize=(11, 6), sharex=True, layout="constrained")
bins = np.linspace(-2, 6.5, 120)
for row, (kind, out) in zip(axes, unknown.items(), strict=True):
    y_true = np.r_[np.ones(n), -np.ones(n)]
    scores = np.r_[known, out]
    for ax, positive in zip(row, ("id", "ood"), strict=True):
        value = fpr95(y_true, scores, positive=positive)
        threshold = threshold_at_tpr(y_true, scores, tpr=0.95, positive=positive)
        wrong = out[out >= threshold] if positive == "id" else known[known < threshold]
        ax.hist(known, bins, color="#1b6ca8", alpha=0.35, label="known")
        ax.hist(out, bins, color="#c8315a", alpha=0.35, label="unknown")
        ax.hist(wrong, bins, color="#c8315a" if positive == "id" else "#1b6ca8")
        ax.axvline(threshold, color="0.2", linestyle="--", linewidth=1)
        ax.set_title(f'positive="{positive}": {value:.1%}', loc="left", fontsize=11)
        ax.set_yticks([])
        ax.spines[["left", "right", "top"]].set_visible(False)
        print(f"{kind}: positive={positive!r} FPR95 {value:.1%}")
    row[0].set_ylabel(kind)
    print(f"{kind}: AUROC {auroc(y_true, scores):.1%}")
axes[0, 0].legend(frameon=False)
for ax in axes[1]:
    ax.set_xlabel("score (dashed: the threshold, solid: the rows counted)")
args.output.mkdir(parents=True, exist_ok=True)
picture = args.output / "two_fpr95.png"
fig.savefig(picture, dpi=100)

# %%
# What to report
# --------------
# Either, with its name. ``skood.metrics`` counts known rows as positive unless ``positive="ood"``
# or a paper's ``protocol`` is given. The first number asks what gets past a detector that hardly
# bothers anybody, the second what it costs to let hardly anything past.

print(f"Picture: {picture.resolve()}")
plt.show()
