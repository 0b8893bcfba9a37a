"""Unleashing Mask beside as many epochs of plain training, from one overfitted network.

Retunes the same network with the same images, epochs and seeds by each method. A quarter of an hour
on one thread:

    OMP_NUM_THREADS=1 python benchmarks/um.py

`--choose` first measures candidates and the course of trainings, on images and outliers that were
held out (half an hour more); `--digits` measures the embedded digits. Rows already in
benchmarks/results/um*.csv are not measured again; `--fresh` begins anew.
"""

import argparse
import platform
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from harness import processor  # beside this file
from matplotlib import pyplot as plt

import skood
from skood import UnleashingMaskDetector, scores
from skood.datasets import (
    fetch_auxiliary,
    fetch_cifar10,
    fetch_fashion_mnist,
    fetch_ood,
    load_digits_ood,
)
from skood.engine.inference import predict_logits
from skood.metrics import auroc, fpr95
from skood.nn import SmallResNet
from skood.retuning import IntermediateStage
from skood.retuning.masks import mean_cross_entropy

RESULTS = Path(__file__).parent / "results" / "um.csv"
HELD_OUT = RESULTS.with_name("um_held_out.csv")
STAGE = RESULTS.with_name("um_stage.csv")
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "um_stage.png"
N_TRAIN, N_HELD_OUT = 4_000, 2_000
CHOOSING_SEEDS = (100, 101)
SETS = ("scenes", "textures", "emoji", "street_numbers")
GREY = {"size": 28, "grayscale": True}
SGD = {"optimizer": "sgd", "optimizer__nesterov": False, "optimizer__weight_decay": 1e-4}
GIVEN, COLOUR, WIDE, DIGITS = "Fashion-MNIST", "CIFAR-10", "Fashion-MNIST, wider", "digits"
SPOILED, N_SPOILED = "Fashion-MNIST, wrong labels", 400  # drawn anew, of which a tenth stay right
FETCH = {
    "Fashion-MNIST": (fetch_fashion_mnist, GREY), "CIFAR-10": (fetch_cifar10, {}),
    SPOILED: (fetch_fashion_mnist, GREY),
}
STARTS = {
    GIVEN: ("Fashion-MNIST", {"pretrain_epochs": 20}),
    COLOUR: ("CIFAR-10", {"pretrain_epochs": 20}),
    WIDE: ("Fashion-MNIST", {"pretrain_epochs": 20, "module": SmallResNet, "module__width": 32}),
    SPOILED: (SPOILED, {"pretrain_epochs": 40}),
}
TUNING = {"batch_size": 128, "max_epochs": 8, "lr": 0.01, **SGD}
PRUNE = {"strategy": "prune", "lr": 0.1}
METHODS = {
    "start": None,
    "control": {"level": 0.0, "lr": 0.1},
    "UM, level 0.1": {"level": 0.1, "lr": 0.1},
    "UM, level 0.6": {"level": 0.6, "lr": 0.1},
    "UM, level measured": {"lr": 0.1},
    "UMAP, level 0.1": {**PRUNE, "level": 0.1},
}
OF_SPOILED = {
    "start": None,
    "control": {"level": 0.0, "lr": 0.1},
    "UM, level 0.4": {"level": 0.4, "lr": 0.1},
    "UM, level measured": {"lr": 0.1},
    "UMAP, level 0.2": {**PRUNE, "level": 0.2},
}
OF_DIGITS = {
    "start": {"max_epochs": 0, "pretrain_epochs": 30},
    "control": {"level": 0.0}, "UM": {}, "UMAP": {"strategy": "prune"},
}
CHOICES = {
    GIVEN: {
        "start": None,
        "control": {"level": 0.0},
        "control, lr 0.1": {"level": 0.0, "lr": 0.1},
        "UM": {},
        "UM, level of 1 % removed": {"remove_fraction": 0.01},
        "UM, level 0.05": {"level": 0.05},
        "UM, level 0.1": {"level": 0.1},
        "UM, level 0.6, lr 0.1": {"level": 0.6, "lr": 0.1},
        "UM, lr 0.1": {"lr": 0.1},
        "UM, level 0.1, lr 0.1": {"level": 0.1, "lr": 0.1},
        "UM, level 0.1, lr 0.003": {"level": 0.1, "lr": 0.003},
        "UM, level 0.1, 24 epochs": {"level": 0.1, "max_epochs": 24},
        "UMAP": PRUNE,
        "UMAP, lr 0.01": {**PRUNE, "lr": 0.01},
        "UMAP, level 0.1": {**PRUNE, "level": 0.1},
        "UMAP, level 0.1, 24 epochs": {**PRUNE, "level": 0.1, "max_epochs": 24},
        "UMAP, 95 % kept": {**PRUNE, "keep_fraction": 0.95, "level": 0.1},
    },
    COLOUR: {
        "start": None, "control": {"level": 0.0}, "UM": {}, "UM, level 0.3": {"level": 0.3},
    },
    WIDE: {
        "start": None, "control": {"level": 0.0}, "UM": {}, "UM, level 0.1": {"level": 0.1},
    },
    SPOILED: {
        "start": None,
        "control": {"level": 0.0},
        "control, lr 0.1": {"level": 0.0, "lr": 0.1},
        "UM, level measured": {},
        "UM, level 0.2": {"level": 0.2},
        "UM, level 0.4": {"level": 0.4},
        "UM, level 0.2, lr 0.1": {"level": 0.2, "lr": 0.1},
        "UM, level 0.4, lr 0.1": {"level": 0.4, "lr": 0.1},
        "UMAP, level measured": PRUNE,
        "UMAP, level 0.2": {**PRUNE, "level": 0.2},
        "UMAP, level 0.4": {**PRUNE, "level": 0.4},
    },
}
# Not measured for the second seed, for want of time, nor are the other starts.
ONCE = {
    "UM, level 0.1, lr 0.003", "UM, level 0.1, 24 epochs", "UMAP, lr 0.01",
    "UMAP, level 0.1, 24 epochs", "UMAP, 95 % kept",
}
DRAWN = GIVEN, "UM, level 0.1, lr 0.1"


SETTING = f"""\
- `SmallResNet`, {N_TRAIN:,} training images of Fashion-MNIST, 20 epochs of cross-entropy with AdamW
  and no augmentation, down to a training loss below 0.01. From there 8 epochs of each method,
  batches of 128, SGD with momentum 0.9, learning rate 0.1, cosine to 0. No method sees an outlier.
  The control is UM with `level=0`: as many steps of cross-entropy.
- Mean of {", ".join(SETS)}, grey and 28 pixels wide; then mean and
  standard deviation over the seeds, percent; losses and levels in nats. FPR95 has in-distribution
  images as positive. Read by the energy or, where it says so, by MSP. Accuracy and loss are those
  of test images. "Recovered": accuracy of `original_module_`. "Trained to": flooded training loss
  of the last epoch."""
VARIED = f"""\
`--choose` measures candidates on {N_HELD_OUT:,} training images and the last tenth of the
auxiliary set "lite", neither of them trained on; seeds {CHOOSING_SEEDS[0]} and
{CHOOSING_SEEDS[1]}; lines without a deviation have the first alone, for want of time, and nothing
was chosen among them. Unless it says so, SGD with learning rate 0.01 (UMAP: 0.1), 8 epochs, and
the level measured under masks that remove 3.5 %. For the test above were taken from here, before
it was measured, what had the least FPR95 by the energy (UM: level 0.1, learning rate 0.1; UMAP:
level 0.1) and by MSP (UM, level 0.6, learning rate 0.1), and the level that is measured. The wider
network was measured after the test.

- Plain training at learning rate 0.1 shakes the network out of its minimum, too, and is level here
  with the best UM: FPR95 by the energy equal within the deviation, AUROC and accuracy not lower. At
  0.01 it changes little. The control of the test has UM's rate.
- The measured level is far too high: masks that remove 3.5 % wreck so narrow a network (the
  deviation from mask to mask is as large as the level), and UM unlearns what is common, too.
- Longer is worse: 24 epochs at level 0.1 have an AUROC about 20 points lower than 8 (one seed).
- CIFAR-10, the same network: after {N_TRAIN:,} images half of its answers are right, and its energy
  tells nothing about outliers, so that no method has anything to regain.
- Tried before, by hand, with one seed and no record. 30 epochs of the start: plain training at 0.1
  then stands still; UM and UMAP at the measured level are worse than the start by both measures, UM
  at level 0.1 and learning rate 0.01 a little better. Masks of 10 % for the level: far worse. Crops
  and flips for the start, on either data set: it does not learn its images by heart, and detection
  hardly falls off. A fifth of the labels drawn at random: UM at the measured level is worse.
- Twice as wide (one seed): the measured level is half as high, and UM is above the start and the
  control all the same. Not tried: a DenseNet or a WideResNet, and the published 100 epochs."""
READING = """\
- The published effect is not here. UM and UMAP have a higher mean FPR95 by the energy than the
  start and than the control; UM at level 0.1 is above the control for each seed. Its mean AUROC is
  above the start's and below the control's, so what it gains, as many plain steps gain, too. By
  MSP both measures are better than the start's and worse than the control's.
- At level 0.1 the test loss of UM is the lowest of all, below the start's and the control's for
  each seed, and its mean accuracy within half a point: that much of the overfitting is undone. UMAP
  loses a point or two of accuracy, and `original_module_` has all of the start's.
- The higher levels cost several points of accuracy and detect worse than the start. What was least
  by MSP on the held-out sets (level 0.6) is the worst here: neither two seeds nor one kind of
  outlier are enough to choose by.
- Seeds differ as much as methods do: the deviation of FPR95 is 3 to 13 points, up to 31 on the
  held-out sets, where it also jumps by tens of points from epoch to epoch (see the picture). An
  effect of the published size, some 9 points, can hardly be told from chance by three seeds.
- Likely reasons, not tested: seven narrow convolutions and 4,000 images, 85 % right, leave a test
  error that is far from memorised oddities alone, whereas the published networks are wide, have
  50,000 images and are 94 % right; and a mask of 3.5 % hits so few weights much harder."""
SPOILED_READING = f"""\
The same images, but {N_SPOILED} of their labels are drawn anew, and 40 epochs for the start, which
learns these by heart; the rest as above. Chosen on the held-out sets: for UM level 0.4, least in
FPR95 by MSP; for UMAP level 0.2, least by the energy.

- Here there is something to forget, and UM forgets it: it is more accurate than the start and the
  control for each seed, by 1.5 points on average, and its test loss is a third lower.
- By MSP it detects better than both, means of FPR95 and of AUROC, in two seeds of three. By the
  energy, for which the effect is published, its FPR95 is higher than the start's.
- On average UM at the measured level and UMAP are worse than the start by either score."""


@cache
def training_data(data):
    """Return images and labels to train on, and images, labels and outliers to choose by."""
    fetch, kind = FETCH[data]
    fetched, aux = fetch(), fetch_auxiliary("lite", **kind).X_aux
    rows = np.random.default_rng(0).permutation(len(fetched.X_train))[: N_TRAIN + N_HELD_OUT]
    X, y = fetched.X_train[rows], fetched.y_train[rows]
    held_out = X[N_TRAIN:], y[N_TRAIN:], (aux[len(aux) * 9 // 10 :],)
    y = y[:N_TRAIN].copy()
    if data == SPOILED:
        y[:N_SPOILED] = np.random.default_rng(1).choice(np.unique(y), N_SPOILED)
    return X[:N_TRAIN], y, held_out


@cache
def test_data(data):
    fetch, kind = FETCH[data]
    fetched = fetch()
    return fetched.X_test, fetched.y_test, {name: fetch_ood(name, **kind).X_ood for name in SETS}


# ---- the networks


@cache
def start(name, seed):
    """Train the classifier that all methods begin with."""
    data, options = STARTS[name]
    return fitted(data, seed, max_epochs=0, **options)


def tuned(name, own, seed):
    if own is None:
        return start(name, seed)
    data, options = STARTS[name]
    before = {"module": start(name, seed).module_, "augment": options.get("augment")}
    return fitted(data, seed, **before | TUNING | own)


def fitted(data, seed, **options):
    """Train, watched on the held-out sets where the seed is one to choose by."""
    X, y, (X_in, y_in, (outliers,)) = training_data(data)
    watched = [IntermediateStage(X_in, y_in, outliers[::3])] if seed in CHOOSING_SEEDS else None
    return UnleashingMaskDetector(callbacks=watched, random_state=seed, **options).fit(X, y)


def judge(detector, X, y, sets):
    """Return a row for each set: the network read by the energy and by MSP, what it costs."""
    logits = predict_logits(detector.module_, X, "float32")
    original = getattr(detector, "original_module_", None)
    costs = {
        "accuracy": np.mean(logits.argmax(axis=1) == y),
        "loss": mean_cross_entropy(detector.module_, [(X, y)], "float32"),
        "original_accuracy": np.nan if original is None else np.mean(
            predict_logits(original, X, "float32").argmax(axis=1) == y
        ),
        "level": getattr(detector, "level_", np.nan),
        "level_std": getattr(detector, "level_std_", np.nan),
        "end_loss": detector.history_[-1]["train_loss"],
        "train_s": sum(epoch["dur"] for epoch in detector.history_),
    }
    outside = {s: predict_logits(detector.module_, images, "float32") for s, images in sets.items()}
    return pd.DataFrame(
        {"set": s} | found(logits, logits_ood) | costs for s, logits_ood in outside.items()
    )


def found(logits_in, logits_ood):
    truth = np.repeat([1, -1], [len(logits_in), len(logits_ood)])
    both = np.concatenate([logits_in, logits_ood]).astype(np.float64)
    energy, msp = scores.energy(both), scores.msp(both, log_odds=True)  # MSP saturates at 1
    return {
        "fpr95": fpr95(truth, energy), "auroc": auroc(truth, energy),
        "msp_fpr95": fpr95(truth, msp), "msp_auroc": auroc(truth, msp),
    }


def measure(path, name, methods, seeds, X, y, sets, fit=tuned):
    """Add to the table at ``path`` what is not in it yet, and the courses that were watched."""
    for seed in seeds:
        for method, own in methods.items():
            rows, key = read(path), {"start": name, "method": method, "seed": seed}
            if (rows[list(key)] == list(key.values())).all(axis=1).any():
                continue
            detector = fit(name, own, seed)
            new = judge(detector, X, y, sets)
            print(*key.values(), new.mean(numeric_only=True).round(3).to_dict(), flush=True)
            if seed in CHOOSING_SEEDS:
                append(STAGE, pd.DataFrame(detector.history_).assign(**key))
            append(path, new.assign(**key))


def append(path, new):
    pd.concat([read(path), new]).to_csv(path, index=False, float_format="%.6g")


def read(path):
    columns = ["start", "method", "seed"]
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=columns)


def choose():
    for name, methods in CHOICES.items():
        X, y, (outliers,) = training_data(STARTS[name][0])[2]
        again = {method: own for method, own in methods.items() if method not in ONCE}
        for seed, of_seed in zip(CHOOSING_SEEDS, (methods, again), strict=True):
            if seed == CHOOSING_SEEDS[0] or name in (GIVEN, SPOILED):
                measure(HELD_OUT, name, of_seed, [seed], X, y, {"held-out outliers": outliers})


def measure_digits(seeds):
    """Add the embedded digits, all parameters at their defaults."""
    data = load_digits_ood()

    def fit(name, own, seed):
        return UnleashingMaskDetector(random_state=seed, **own).fit(data.X_train, data.y_train)

    measure(RESULTS, DIGITS, OF_DIGITS, seeds, data.X_test, data.y_test, data.ood, fit)


# ---- the page


def draw():
    """Draw the course of a start and, after the dotted line, of UM, for each seed to choose by."""
    rows = read(STAGE)
    fig, axes = plt.subplots(
        1, len(CHOOSING_SEEDS), figsize=(9, 3.2), sharey=True, layout="constrained"
    )
    for ax, seed in zip(axes, CHOOSING_SEEDS, strict=True):
        of_seed = rows[rows.start.eq(DRAWN[0]) & rows.seed.eq(seed)]
        course = pd.concat([of_seed[of_seed.method.eq(method)] for method in ("start", DRAWN[1])])
        IntermediateStage.plot(course.to_dict("records"), ax)
        ax.set(title=f"seed {seed}")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(loc="lower left").set_visible(ax is axes[0])
    fig.savefig(PICTURE, dpi=110, bbox_inches="tight", pad_inches=0.1)


def nats(values, digits=3):
    """Return mean and deviation over seeds, the latter where there are two or more."""
    values = values.dropna()
    if values.empty:
        return "–"
    deviation = f" ± {values.std():.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{deviation}"


def percent(values):
    return nats(100 * values, digits=1)


COLUMNS = {
    "fpr95": ("FPR95", percent), "auroc": ("AUROC", percent),
    "msp_fpr95": ("FPR95, MSP", percent), "msp_auroc": ("AUROC, MSP", percent),
    "accuracy": ("accuracy", percent), "original_accuracy": ("recovered", percent),
    "loss": ("loss", nats), "level": ("level", nats), "end_loss": ("trained to", nats),
    "train_s": ("s", lambda values: f"{values.mean():.0f}"),
}


def table(rows, columns=tuple(COLUMNS)):
    """Return Markdown: the mean of the sets, then the mean and deviation over seeds."""
    of_seed = rows.groupby(["method", "seed"], sort=False)[list(columns)].mean()
    lines = [
        [method, *(COLUMNS[c][1](of_seed.loc[method][c]) for c in columns)]
        for method in rows.method.unique()
    ]
    head = ["method", *(COLUMNS[c][0] for c in columns)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *lines])


def of_start(rows, name):
    return rows[rows.start == name]


def best_stages():
    """Return, line by line, where in the training of a start outliers were told best."""
    rows = read(STAGE)
    rows = rows[rows.method.eq("start") & rows.start.eq(GIVEN)]
    lines = []
    for seed, course in rows.groupby("seed"):
        best, last = course.loc[course.ood_fpr95.idxmin()], course.iloc[-1]
        lines.append(
            f"- Seed {seed}: FPR95 least after epoch {best.epoch:.0f}, {100 * best.ood_fpr95:.1f}; "
            f"after the last {100 * last.ood_fpr95:.1f}."
        )
    return "\n".join(lines)


def page():
    rows, chosen = read(RESULTS), read(HELD_OUT)
    detection = ("fpr95", "auroc", "msp_fpr95", "msp_auroc")
    costs = ("accuracy", "original_accuracy", "loss", "level", "end_loss", "train_s")
    tables = "\n\n".join(
        f"### {name}\n\n{table(of_start(chosen, name), (*detection, 'accuracy', 'loss', 'level'))}"
        for name in chosen.start.unique()
    )
    return f"""\
# Unleashing Mask on Fashion-MNIST

Command: `OMP_NUM_THREADS=1 python benchmarks/um.py`. Machine: {processor()}, one thread;
Python {platform.python_version()}, torch {torch.__version__}, skood {skood.__version__}.

{SETTING}

{table(of_start(rows, GIVEN), detection)}

{table(of_start(rows, GIVEN), costs)}

{READING}

## With wrong labels

{SPOILED_READING}

{table(of_start(rows, SPOILED), detection)}

{table(of_start(rows, SPOILED), costs)}

## The intermediate stage

![accuracy, AUROC and FPR95 over the epochs](../../docs/images/um_stage.png)

The starts of the two seeds to choose by, on the held-out sets; after the dotted line UM (level 0.1,
learning rate 0.1).

{best_stages()}

Accuracy rises to the end and detection does not, so there is an intermediate stage; but which epoch
it is, is not the same for the two, and single epochs stand out of their neighbours. Every course,
of the candidates, too, is in um_stage.csv.

## What was varied, and what was chosen

{VARIED}

{tables}

## The embedded digits

All parameters at their defaults, three seeds, mean of held-out digits, photograph, letters and
noise. The start is the same network, trained plainly for 30 epochs; 30 more of each method. Nothing
odd is there to forget, and UM and UMAP do harm; UM's harm hangs on the seed. An MLP that
was given wrong labels to forget is in `examples/plot_unleashing_mask.py`: UMAP, and UM at a level
chosen by held-out outliers, help there.

{table(of_start(rows, DIGITS), (*detection, 'accuracy', 'loss', 'level'))}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 on (default: 3)")
    parser.add_argument("--choose", action="store_true", help="compare on held-out sets, first")
    parser.add_argument("--digits", action="store_true", help="measure the digits alone")
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.fresh:
        for path in (RESULTS, HELD_OUT, STAGE):
            path.unlink(missing_ok=True)
    if args.choose:
        choose()
    if not args.digits:
        for name, methods in ((GIVEN, METHODS), (SPOILED, OF_SPOILED)):
            measure(RESULTS, name, methods, range(args.seeds), *test_data(STARTS[name][0]))
    measure_digits(range(args.seeds))
    draw()
    text = page()
    RESULTS.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
