"""
===================================================
Refuse what is strange, at a rate that is a promise
===================================================

"At most 5 % false alarms": a detector's own threshold cannot promise that. It is read off the
images that the net was trained on, and of these a net is surer than of new ones. Images held out of
the training can, for any detector, by counting. Nothing is downloaded.
"""

# %%
# Three ways to a threshold
# -------------------------
# The same detector three times. *Its own*: all images train, and the threshold leaves the promised
# share of them out. *Split*: three in ten are held out, and calibrate. *Cross*: each image is
# held out from one of three nets, so that all train and all calibrate.

import argparse
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy.stats import betabinom
from sklearn.frozen import FrozenEstimator

from skood import ConformalDetector, OutlierExposureDetector
from skood.conformal import (
    benjamini_hochberg,
    conformal_p_values,
    conformal_threshold,
    false_alarm_law,
)
from skood.datasets import load_digits_ood

parser = argparse.ArgumentParser(description="Promise a rate of false alarms, and see it kept.")
parser.add_argument("--epochs", type=int, default=6, help="of each training (default: 6)")
parser.add_argument("--seed", type=int, default=0, help="of trainings and splits (default: 0)")
parser.add_argument("--output", type=Path, default=Path("conformal_output"), help="a folder")
args = parser.parse_args()
torch.set_num_threads(1)  # images of 8x8 are too small to share: more threads mostly wait

data = load_digits_ood()
outliers = np.concatenate(list(data.ood.values()))
plain = OutlierExposureDetector(max_epochs=args.epochs, random_state=args.seed)
detectors = {
    "split": ConformalDetector(plain, calibration_size=0.3, random_state=args.seed),
    "cross": ConformalDetector(plain, method="cross", n_folds=3, random_state=args.seed),
}
for name, detector in {"its own": plain, **detectors}.items():
    print(f"Training, {name} ...", flush=True)
    detector.fit(data.X_train, data.y_train, X_aux=(data.X_aux,))
detectors = {"its own": plain, **detectors}
n_calibration = detectors["split"].calibration_.sizes[0]

# %%
# What was promised, and what came
# --------------------------------
# A p-value says how many of the calibration images look as strange as the new one. Refusing what
# has a p-value of at most alpha keeps the promise, for every alpha at once.
ALPHAS = (0.01, 0.05, 0.10)
N_DRAWS, N_CALIBRATION = 1000, 240
trained_on = plain.score_samples(data.X_train)
scores = {kind: plain.score_samples(X) for kind, X in [("new", data.X_test), ("out", outliers)]}
p_values = {
    (name, kind): detectors[name].p_values(X)
    for name in ("split", "cross") for kind, X in [("new", data.X_test), ("out", outliers)]
}


def refused(name, kind, alpha):
    """Return the share of images refused, in percent."""
    if name == "its own":
        return 100 * np.mean(scores[kind] < np.percentile(trained_on, 100 * alpha))
    return 100 * np.mean(p_values[name, kind] <= alpha)


table = pd.DataFrame({
    (what, name): [refused(name, kind, alpha) for alpha in ALPHAS]
    for what, kind in [("new digits", "new"), ("outliers", "out")] for name in detectors
}, index=[f"{100 * alpha:.0f}" for alpha in ALPHAS]).rename_axis("promised %")
print(f"\nRefused in %, of {len(data.X_test)} new digits and {len(outliers)} outliers:\n")
print(table.to_string(float_format="{:.1f}".format, col_space=9))

# %%
# The promise is an average over calibration sets. One net, and its new digits drawn a thousand
# times into images that calibrate and images that are judged, show this average and how far
# single draws are from it. So they do for ``select``: a stream of digits with a fifth of outliers,
# from which at most 10 % of what is picked shall be digits.
rng = np.random.default_rng(args.seed)
judge = detectors["split"].estimator_
new, strange = judge.score_samples(data.X_test), judge.score_samples(outliers)
rates, false_discoveries, found = [], [], []
for _ in range(N_DRAWS):
    order = rng.permutation(len(new))
    calibration, rest = new[order[:N_CALIBRATION]], new[order[N_CALIBRATION:]]
    rates.append([np.mean(rest < conformal_threshold(calibration, alpha)) for alpha in ALPHAS])
    stream = np.concatenate([rest, rng.choice(strange, len(rest) // 4, replace=False)])
    picked = benjamini_hochberg(conformal_p_values(calibration, stream), q=0.1)
    false_discoveries.append(picked[: len(rest)].sum() / max(picked.sum(), 1))
    found.append(picked[len(rest):].mean())
rates = 100 * np.array(rates)
draws = pd.DataFrame({
    "mean": rates.mean(axis=0),
    **{f"{q} % of draws below": np.percentile(rates, q, axis=0) for q in (5, 95)},
}, index=table.index)
print(f"\nNew digits refused in %, over {N_DRAWS} draws of {N_CALIBRATION} that calibrate:\n")
print(draws.to_string(float_format="{:.1f}".format, col_space=9))
print(f"""
select(q=0.1) from {len(rest)} digits and {len(rest) // 4} outliers, mean of the draws:
{100 * np.mean(found):.1f} % of the outliers picked; digits among those picked: """
      f"{100 * np.mean(false_discoveries):.1f} %")

# %%
# One digit after the other
# -------------------------
# An average over all digits may hide one that is often refused. With ``conditional_on="label"`` the
# threshold is the lowest that any of the digits asks for.
halves = [(data.X_test[part], data.y_test[part]) for part in (slice(0, 240), slice(240, None))]
per_digit = {}
for condition in (None, "label"):
    detector = ConformalDetector(FrozenEstimator(judge), alpha=0.1, conditional_on=condition)
    refuses = detector.fit(*halves[0]).predict(halves[1][0]) == -1
    per_digit[condition] = [100 * refuses[halves[1][1] == digit].mean() for digit in range(8)]

# %%
# What came out
# -------------
# With the seeds 0 to 2, on an Intel Xeon (another processor rounds otherwise, and moves these
# numbers by some tenths):
#
# - Where 5 % are promised, the detector's own threshold refuses 12.1 to 13.5 % of the new digits,
#   the split 4.0 to 6.4 %, cross 4.2 to 5.2 %: single draws. Over a thousand draws the split's mean
#   is 4.9 to 5.0 %; twelve of 241, 4.98 %, is what counting gives.
# - A higher rate of false alarms catches more, so the own threshold refuses more outliers, too. At
#   a promised 5 %, split and cross refuse 97 to 99 % of them; at 1 %, 83 to 91 and 87 to 89 %.
# - Of what ``select`` picks, 7.2 to 7.5 % are digits. Benjamini-Hochberg's bound is 10 % of the
#   share of digits in the stream: 8 %.

# %%
# The picture
# -----------
COLORS = {"its own": "#8a8f98", "split": "#1b6ca8", "cross": "#2b9f8f"}
NAMES = {"its own": "Its own threshold", "split": "Split", "cross": "Cross"}
RED, DARK = "#c8325a", "0.15"


def draw_promise(ax):
    """Draw what is refused of new digits against what was promised."""
    promised = np.linspace(0.005, 0.2, 79)
    laws = [false_alarm_law(n_calibration, alpha) for alpha in promised]
    low, high = 100 * np.transpose([law.interval(0.9) for law in laws])
    ax.fill_between(100 * promised, low, high, color=COLORS["split"], alpha=0.15, lw=0)
    ax.plot([0, 20], [0, 20], color=DARK, lw=1, ls=":")
    for name, color in COLORS.items():
        curve = [refused(name, "new", alpha) for alpha in promised]
        ax.plot(100 * promised, curve, color=color, lw=2)
        ax.text(20.3, curve[-1], NAMES[name], color=color, va="center", fontweight="bold")
    ax.text(13.2, 8.3, "nine in ten\ncalibration sets", color=COLORS["split"], fontsize=9)
    ax.set(xlim=(0, 20), ylim=(0, 32), xlabel="false alarms promised, %")
    ax.set(ylabel="new digits refused, %", title="The promise, and what came")


def draw_draws(ax):
    """Draw the rates of single draws, and their law with the binomial error of the judged."""
    n_judged = len(new) - N_CALIBRATION
    counts = np.round(rates[:, 1] * n_judged / 100).astype(int)
    k = np.arange(30)
    shares = np.bincount(counts, minlength=30)[:30] / N_DRAWS
    ax.bar(100 * k / n_judged, 100 * shares, width=0.36, color=COLORS["split"])
    law = betabinom(n_judged, 12, N_CALIBRATION + 1 - 12)  # the 12th smallest of 240 for 5 %
    ax.plot(100 * k / n_judged, 100 * law.pmf(k), "o", color=DARK, ms=3, label="the law")
    ax.axvline(5, color=DARK, lw=1, ls=":")
    ax.legend(frameon=False)
    ax.set(xlim=(0, 12.2), xlabel="new digits refused, %; promised: 5", ylabel="share of draws, %")
    ax.set_title("An average: single draws differ")


def draw_digits(ax):
    """Draw what is refused of each digit, without and with the condition."""
    for shift, (condition, color) in enumerate({None: "#ee8a22", "label": "#12466e"}.items()):
        name = "over all digits" if condition is None else "for each digit"
        place = np.arange(8) + 0.4 * shift - 0.2
        ax.bar(place, per_digit[condition], 0.36, color=color, label=name)
    ax.axhline(10, color=DARK, lw=1, ls=":")
    ax.legend(frameon=False, title="10 % promised", alignment="left")
    ax.set(xticks=range(8), xlabel="digit", ylabel="refused, %", title="One digit after the other")


def draw_stream(ax, row):
    """Draw images of a stream by their p-values, framed where they are picked."""
    images, p, picked, is_out = row
    for i, (image, value) in enumerate(zip(images, p, strict=True)):
        box = ax.inset_axes([i / len(p) + 0.004, 0.28, 1 / len(p) - 0.008, 0.7])
        box.imshow(image[0], cmap="gray_r")
        box.set(xticks=[], yticks=[])
        box.spines[:].set(visible=True, lw=2.5, color=RED if picked[i] else "0.85")
        box.set_xlabel(f"{value:.3f}", color=RED if picked[i] else DARK, fontsize=8, labelpad=2)
        box.set_title("outlier" if is_out[i] else "digit", fontsize=8, pad=3,
                      color=DARK if is_out[i] == picked[i] else RED, fontweight="normal")
    ax.axis("off")


def one_stream():
    """Return 36 images of a stream of 96, a third of them outliers, by rising p-value."""
    images = np.concatenate([rng.permutation(data.X_test)[:64], rng.permutation(outliers)[:32]])
    is_out = np.repeat([False, True], [64, 32])
    p, picked = detectors["split"].p_values(images), detectors["split"].select(images, q=0.1)
    order = np.argsort(p, kind="stable")[:36]
    return images[order], p[order], picked[order], is_out[order]


plt.rcParams.update({f"axes.spines.{side}": False for side in ("left", "right", "top", "bottom")})
plt.rcParams.update({"axes.titleweight": "bold", "axes.titlesize": 11})
fig = plt.figure(figsize=(13, 6.8), layout="constrained")
top, bottom = fig.subfigures(2, 1, height_ratios=[2.1, 1], hspace=0.03)
promise, single, digits = top.subplots(1, 3, width_ratios=[1.25, 1, 1])
draw_promise(promise)
draw_draws(single)
draw_digits(digits)
for ax in top.axes:
    ax.tick_params(length=0)
    ax.grid(axis="y", color="0.92")
    ax.set_axisbelow(True)
bottom.suptitle(
    "The lowest p-values of 64 digits and 32 outliers. Framed: picked by select(q=0.1), at most "
    "10 % of them digits on average", fontsize=11, fontweight="bold",
)
stream = one_stream()
for ax, part in zip(bottom.subplots(2, 1), (slice(0, 18), slice(18, 36)), strict=True):
    draw_stream(ax, [values[part] for values in stream])
args.output.mkdir(parents=True, exist_ok=True)
picture, path = args.output / "conformal.png", args.output / "detector.joblib"
fig.savefig(picture, dpi=100, bbox_inches="tight", pad_inches=0.2)
with Image.open(picture) as image:  # a palette takes a third of the room
    image.convert("RGB").quantize(256).save(picture, optimize=True)
joblib.dump(detectors["split"], path)

print(f"""
The picture is {picture},
the detector of the split {path}.
Next: docs/decisions.md on what the promise holds for, and when it breaks.""")
