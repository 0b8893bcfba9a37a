"""Outlier Exposure on Fashion-MNIST, beside the same net without it.

Trains, for each of three seeds, the default network plainly, with Outlier Exposure from scratch
(real and synthetic outliers) and, from the plain one, with the fine-tuned methods; judges all on
the same out-of-distribution test sets. About 25 minutes on one thread:

    OMP_NUM_THREADS=1 python benchmarks/fashion_oe.py

Rows already in benchmarks/results/fashion_oe.csv are not measured again, so an interrupted run
goes on where it stopped; `--fresh` begins anew (do that after a change of the library).
"""

import argparse
import platform
import time
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
import torch
from fashion_data import (  # beside this file, as metrics is
    DRAWN,
    N_HELD_OUT,
    N_TRAIN,
    REAL,
    auxiliary,
    black_border,
    test_data,
    training_data,
    validation_data,
)
from harness import percent, processor

import skood
from skood import EnergyExposureDetector, OutlierExposureDetector
from skood.metrics import ood_report

RESULTS = Path(__file__).parent / "results" / "fashion_oe.csv"
EPOCHS, TUNING_EPOCHS = 5, 2
BATCH_SIZE = 64  # what the default comes to
RATES = (3e-3, 3e-4)  # the default; a tenth of it, to choose from for fine-tuning
SEEDS = (0, 1, 2)

# method -> the scores its network is read with
METHODS = {
    "plain": ["MSP", "H(U; p)", "energy"],
    "cross-entropy fine-tuned": ["MSP"],
    "OE fine-tuned": ["MSP", "H(U; p)"],
    "energy fine-tuned": ["energy"],
    "OE from scratch": ["MSP", "H(U; p)"],
    "OE from scratch, synthetic outliers": ["MSP", "H(U; p)"],
}


def timed_fit(detector, *args, **kwargs):
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that synthetic outliers are drawn
        detector.fit(*args, **kwargs)
    return detector, time.process_time() - start


def options(seed, lr):
    return {"lr": lr, "batch_size": BATCH_SIZE, "verbose": True, "random_state": seed}


@cache
def plain(seed):
    """Return the classifier that knows no outliers, and the seconds that it took."""
    X, y, _, _ = training_data()
    detector = OutlierExposureDetector(
        max_epochs=0, pretrain_epochs=EPOCHS, **options(seed, RATES[0])
    )
    return timed_fit(detector, X, y)


def trained(method, seed, lr):
    """Return a fitted detector and the CPU seconds of its fit."""
    if method == "plain":
        return plain(seed)
    X, y, _, X_aux = training_data()
    params = options(seed, lr) | {"max_epochs": EPOCHS}
    if "fine-tuned" in method:
        params |= {"module": plain(seed)[0].module_, "max_epochs": TUNING_EPOCHS}
    if method.startswith("cross-entropy"):
        params |= {"max_epochs": 0, "pretrain_epochs": TUNING_EPOCHS}
    make = EnergyExposureDetector if method.startswith("energy") else OutlierExposureDetector
    given = {} if method.endswith("synthetic outliers") else {"X_aux": (X_aux,)}
    return timed_fit(make(**params), X, y, **given)


def read_with(score, detector):
    """Return a detector that reads the trained network with another score."""
    X, y, _, _ = training_data()
    make, params = {
        "MSP": (OutlierExposureDetector, {}),
        "H(U; p)": (OutlierExposureDetector, {"score": "uniform"}),
        "energy": (EnergyExposureDetector, {}),
    }[score]
    reader = make(module=detector.module_, max_epochs=0, **params)
    return reader.fit(X[:1000], y[:1000])


def measure(method, seed, lr, scores, data):
    """Train one network and return a row for each score and set."""
    detector, seconds = trained(method, seed, lr)
    X_in, y_in, sets = data
    reports = {
        (seed, method, lr, score): ood_report(
            read_with(score, detector), X_in, sets, y_in=y_in, protocol="hendrycks"
        ).drop(index="mean")
        for score in scores
    }
    rows = pd.concat(reports, names=["seed", "method", "lr", "score", "set"]).reset_index()
    return rows.assign(train_cpu_s=round(seconds, 1))


def recorded():
    return pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame()


def ensure(method, seed, lr, scores, data):
    """Measure unless the rows are there, and append them to the file at once."""
    rows = recorded()
    if len(rows):
        same = (rows.method == method) & (rows.seed == seed) & np.isclose(rows.lr, lr)
        if rows[same].set.isin(data[2]).any():
            return print(f"{method}, seed {seed}, lr {lr}: already in {RESULTS.name}", flush=True)
    print(f"{method}, seed {seed}, lr {lr}", flush=True)
    new = measure(method, seed, lr, scores, data)
    print(new.groupby("score", sort=False)[["fpr95", "auroc"]].mean().round(4), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    pd.concat([rows, new]).to_csv(RESULTS, index=False, float_format="%.6g")


def choose_rate(method):
    """Return the learning rate of fine-tuning that the validation outliers prefer, seed 0."""
    for lr in RATES:
        ensure(method, 0, lr, METHODS[method][:1], validation_data())
    rows = recorded()
    rows = rows[(rows.method == method) & rows.set.isin(validation_data()[2])]
    return float(rows.groupby("lr").auroc.mean().idxmax())


def results_table(rows, metric):
    """Mean and standard deviation over the seeds, a line for each method and score."""
    lines = [
        f"| method | score | {' | '.join(REAL)} | **mean of these** | {' | '.join(DRAWN)} |",
        "|---" * (len(REAL) + len(DRAWN) + 3) + "|",
    ]
    for method, scores in METHODS.items():
        for score in scores:
            of_sets = rows[(rows.method == method) & (rows.score == score)].pivot_table(
                index="seed", columns="set", values=metric
            )
            mean = percent(of_sets[REAL].mean(axis=1))
            cells = [percent(of_sets[name]) for name in REAL]
            cells += [f"**{mean}**"] + [percent(of_sets[name]) for name in DRAWN]
            lines.append(f"| {method} | {score} | {' | '.join(cells)} |")
    return "\n".join(lines)


def accuracy_table(rows):
    lines = ["| method | accuracy, % | training, CPU s | gradient steps |", "|---|---|---|---|"]
    steps = -(-N_TRAIN // BATCH_SIZE)
    for method in METHODS:
        of = rows[rows.method == method].drop_duplicates("seed")
        n = f"{steps * EPOCHS}" + (f" + {steps * TUNING_EPOCHS}" if "fine" in method else "")
        seconds = f"{of.train_cpu_s.mean():.0f}"
        lines.append(f"| {method} | {percent(of.accuracy)} | {seconds} | {n} |")
    return "\n".join(lines)


def validation_table(rows):
    lines = ["| method | learning rate | mean AUROC, % |", "|---|---|---|"]
    for (method, lr), of in rows.groupby(["method", "lr"], sort=False):
        lines.append(f"| {method} | {lr:g} | {100 * of.auroc.mean():.2f} |")
    return "\n".join(lines)


def best_score(rows, method):
    """Return a method's best mean AUROC over the real sets, and the score that has it."""
    rows = rows[(rows.method == method) & rows.set.isin(REAL)]
    mean = rows.groupby("score").auroc.mean()
    return f"{100 * mean.max():.1f} ({mean.idxmax()})"


def findings(rows):
    """Say what Outlier Exposure changed: the mean over the real sets, and the sets it harmed."""
    auroc = rows[rows.score == "MSP"].set_index(["seed", "set", "method"]).auroc.unstack("method")
    gain = 100 * (auroc["OE from scratch"] - auroc["plain"]).unstack("set")[REAL]
    lower = [name for name in REAL if gain[name].mean() < 0]
    (X, _, _, X_aux), sets = training_data(), test_data()[2]
    text = (
        f"OE from scratch raises the mean AUROC over the five real sets by "
        f"{gain.mean(axis=1).mean():.1f} points over the same net without it, by at least "
        f"{gain.mean(axis=1).min():.1f} in each seed (MSP).\n"
        "The score matters as much. Best of each training: "
        + "; ".join(f"{method} {best_score(rows, method)}" for method in METHODS)
        + "."
    )
    if lower:
        text += f"""
OE from scratch lowers the AUROC of {" and ".join(lower)} (MSP). A likely reason, from
the training data:
{black_border(X):.1f} % of the in-distribution images have a black border and
{black_border(X_aux):.1f} % of the auxiliary outliers do, so the border alone tells them apart, and
these sets have it, too ({", ".join(f"{black_border(sets[name]):.0f} %" for name in lower)})."""
    return text


def setting(rates):
    """Describe what was trained on what, and how to read the tables."""
    aux = auxiliary()
    X_in, _, sets = test_data()
    sizes = ", ".join(f"{name} {len(X):,}" for name, X in sets.items())
    return f"""\
- In-distribution: {N_TRAIN:,} training images of Fashion-MNIST (the same for every seed), its
  {len(X_in):,} test images. Net: `SmallResNet`, the default. Batches of
  {BATCH_SIZE} with {2 * BATCH_SIZE} outliers, AdamW, learning rate {RATES[0]:g}, the defaults, too.
- Auxiliary outliers: {len(aux.X_aux):,} grey 28-pixel crops, composition
  `{aux.composition}`. None of its pictures is in a test set; it
  holds a few letters and digits.
- *Synthetic outliers*: `fit(X, y)` without `X_aux`, so the default procedural images.
- {EPOCHS} epochs plain or from scratch, {TUNING_EPOCHS} more to fine-tune, at a learning rate of
  {rates} (chosen below).
- *Cross-entropy fine-tuned* is the control: as many further epochs, without outliers.
- Test sets, all their images: {sizes}.
  Street numbers and noise are drawn by formulas, as the synthetic outliers are, and stay out of
  the mean.
- Percent, mean ± standard deviation over the seeds. FPR95 counts OOD as positive, at the recall
  nearest 95 % (`protocol="hendrycks"`); 0 is perfect."""


def page(rows, rates, minutes):
    versions = f"Python {platform.python_version()}, skood {skood.__version__}, torch "
    versions += f"{torch.__version__}, numpy {np.__version__}, scikit-learn {sklearn.__version__}"
    test = rows[rows.set.isin(test_data()[2])]
    validation = rows[rows.set.isin(validation_data()[2])]
    return f"""\
# Outlier Exposure on Fashion-MNIST

Command: `OMP_NUM_THREADS=1 python benchmarks/fashion_oe.py`
Machine: {processor()}, one thread. Versions: {versions}.
Seeds: {", ".join(map(str, SEEDS))}. Time: {minutes:.0f} CPU minutes of training.

{findings(test)}

{setting(rates)}

## AUROC

{results_table(test, "auroc")}

## FPR95, OOD positive

{results_table(test, "fpr95")}

## Accuracy and cost

{accuracy_table(test)}

## How the learning rate of fine-tuning was chosen

Seed 0: {N_HELD_OUT:,} training images held out, against the paper's validation outliers made of
them ({", ".join(validation_data()[2])}). No test set is touched.

{validation_table(validation)}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    if parser.parse_args().fresh:
        RESULTS.unlink(missing_ok=True)
    torch.set_num_threads(1)
    rates = {name: choose_rate(name) for name in ("OE fine-tuned", "energy fine-tuned")}
    chosen = dict.fromkeys(METHODS, RATES[0]) | rates
    chosen["cross-entropy fine-tuned"] = rates["OE fine-tuned"]  # the control of that
    for seed in SEEDS:
        for method, scores in METHODS.items():
            ensure(method, seed, chosen[method], scores, test_data())
        plain.cache_clear()
    rows = recorded()
    minutes = rows.drop_duplicates(["method", "seed", "lr", "train_cpu_s"]).train_cpu_s.sum() / 60
    text = page(rows, ", ".join(f"{lr:g} for {name}" for name, lr in rates.items()), minutes)
    RESULTS.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
