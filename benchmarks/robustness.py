"""OE, ACET, NTOM and ATOM on CIFAR-10: natural, corrupted and attacked outliers.

Trains each method with the same network, images, outliers, epochs and seeds, and judges it by the
protocol of the ATOM paper. About an hour and a half on one thread:

    OMP_NUM_THREADS=1 python benchmarks/robustness.py

Rows already in benchmarks/results/robustness.csv are not measured again, so an interrupted run
goes on where it stopped; `--fresh` begins anew (do that after a change of the library).
"""

import argparse
import platform
import time
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
import torch
from metrics import processor  # beside this file

import skood
from skood import ACETDetector, ATOMDetector, NTOMDetector, OutlierExposureDetector
from skood.datasets import fetch_auxiliary, fetch_cifar10, fetch_ood
from skood.robustness import evaluate_robustness

RESULTS = Path(__file__).parent / "results" / "robustness.csv"
N_TRAIN, EPOCHS, SEEDS = 6_000, 15, (0, 1, 2)
N_ATTACKED = 200  # outliers of each test set
SETS = ("scenes", "textures", "emoji", "street_numbers")
DRAWN = "street_numbers"  # by formulas, so not as natural as it looks
ATTACKS = ("natural", "corrupted", "linf", "compositional")
METHODS = {
    "OE": OutlierExposureDetector,
    "ACET": ACETDetector,
    "NTOM": NTOMDetector,
    "ATOM": ATOMDetector,
}
# What all methods share. The rest are their defaults, which are the papers': the weight of the
# outliers' term, the quantile of the mining, the size of the attack in training.
SHARED = {"max_epochs": EPOCHS, "batch_size": 64, "outlier_ratio": 2.0, "augment": "crop-flip"}
# From the ATOM paper: DenseNet, all of CIFAR-10, 100 epochs, Tiny Images, six test sets.
PUBLISHED = {
    "OE": (3.66, 56.25, 99.94, 99.99),
    "ACET": (12.28, 66.93, 74.45, 96.88),
    "NTOM": (1.87, 30.58, 99.90, 99.99),
    "ATOM": (1.69, 25.26, 20.55, 38.89),
}


@cache
def training_data():
    data = fetch_cifar10()
    rows = np.random.default_rng(0).permutation(len(data.X_train))[:N_TRAIN]
    return data.X_train[rows], data.y_train[rows], fetch_auxiliary("lite")


@cache
def test_data():
    data = fetch_cifar10()
    return data.X_test, data.y_test, {name: fetch_ood(name).X_ood for name in SETS}


def measure(method, seed):
    """Train one detector and return a row for each attack and set."""
    X, y, aux = training_data()
    detector = METHODS[method](random_state=seed, verbose=True, **SHARED)
    start = time.process_time()
    detector.fit(X, y, X_aux=(aux.X_aux,))
    train_s = time.process_time() - start
    X_in, y_in, sets = test_data()
    report = evaluate_robustness(
        detector, X_in, sets, attacks=ATTACKS, n_samples=N_ATTACKED, verbose=True
    )
    rows = report.drop(index="mean", level="set").reset_index()
    rows = rows.drop(columns=["seconds", "aupr_in", "aupr_out"])
    accuracy = (detector.predict_class(X_in) == y_in).mean()
    mining_s = sum(row.get("selection_dur", 0) for row in detector.history_)
    return rows.assign(
        seed=seed, method=method, accuracy=accuracy, train_cpu_s=round(train_s, 1),
        mining_s=round(mining_s, 1),
    )


def recorded():
    return pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame()


def ensure(method, seed):
    """Measure unless the rows are there, and append them to the file at once."""
    rows = recorded()
    if len(rows) and ((rows.method == method) & (rows.seed == seed)).any():
        return print(f"{method}, seed {seed}: already in {RESULTS.name}", flush=True)
    print(f"{method}, seed {seed}", flush=True)
    new = measure(method, seed)
    print(new.groupby("attack", sort=False)[["fpr95", "auroc"]].mean().round(4), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    pd.concat([recorded(), new]).to_csv(RESULTS, index=False, float_format="%.6g")


def percent(values):
    return f"{100 * values.mean():.1f} ± {100 * values.std():.1f}"


def results_table(rows, metric, sets=SETS):
    """Mean and standard deviation over the seeds of the mean over the sets."""
    of_seed = rows[rows.set.isin(sets)].groupby(["method", "attack", "seed"])[metric].mean()
    lines = [f"| method | {' | '.join(ATTACKS)} |", "|---" * (len(ATTACKS) + 1) + "|"]
    for method in METHODS:
        cells = [percent(of_seed[method, attack]) for attack in ATTACKS]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def sets_table(rows, metric):
    lines = [f"| method | attack | {' | '.join(SETS)} |", "|---" * (len(SETS) + 2) + "|"]
    for method in METHODS:
        for attack in ATTACKS:
            of = rows[(rows.method == method) & (rows.attack == attack)]
            cells = [percent(of[of.set == name][metric]) for name in SETS]
            lines.append(f"| {method} | {attack} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cost_table(rows):
    lines = [
        "| method | accuracy, % | training, CPU s | of which mining, s | ratio to OE |",
        "|---|---|---|---|---|",
    ]
    once = rows.drop_duplicates(["method", "seed"])
    base = once[once.method == "OE"].train_cpu_s.mean()
    for method in METHODS:
        of = once[once.method == method]
        seconds = of.train_cpu_s.mean()
        cells = f"{percent(of.accuracy)} | {seconds:.0f} | {of.mining_s.mean():.0f}"
        lines.append(f"| {method} | {cells} | {seconds / base:.2f} |")
    return "\n".join(lines)


def published_table():
    lines = [f"| method | {' | '.join(ATTACKS)} |", "|---" * (len(ATTACKS) + 1) + "|"]
    lines += [f"| {m} | {' | '.join(map(str, values))} |" for m, values in PUBLISHED.items()]
    return "\n".join(lines)


def page(rows):
    versions = f"Python {platform.python_version()}, skood {skood.__version__}, torch "
    versions += f"{torch.__version__}, numpy {np.__version__}, scikit-learn {sklearn.__version__}"
    X, _, aux = training_data()
    return f"""\
# Robust out-of-distribution detection on CIFAR-10

Command: `OMP_NUM_THREADS=1 python benchmarks/robustness.py`
Machine: {processor()}, one thread. Versions: {versions}. Seeds: {", ".join(map(str, SEEDS))}.

- In-distribution: {len(X):,} training images of CIFAR-10, the same for every seed, and all
  {len(test_data()[0]):,} test images, from whose clean scores every threshold comes.
- Auxiliary outliers: {len(aux.X_aux):,} crops, composition `{aux.composition}`. NTOM and ATOM score
  all of them at the start of each epoch and keep a quarter.
- Net: `SmallResNet`, the default. For every method {EPOCHS} epochs from scratch, batches of 64 with
  128 outliers, crops and flips, AdamW at 0.003 falling as a cosine; everything else the method's
  default. Nothing was chosen on these test sets.
- Attacks: {N_ATTACKED} outliers of each set, the protocol of `skood.robustness`: the worst of 96
  images by the detector's own score; 40 steps of 1/255 within 8/255 up the detector's own score;
  both. The sets are {", ".join(SETS)}; the last is drawn by formulas.
- Percent, mean ± standard deviation over the seeds of the mean over the sets. The FPR counts
  in-distribution images as positive; 0 is perfect.

## FPR95

{results_table(rows, "fpr95")}

## AUROC

{results_table(rows, "auroc")}

## Published FPR95, for the order

DenseNet, all of CIFAR-10, 100 epochs, Tiny Images as outliers, six other test sets (Chen et al.,
ECML PKDD 2021, table 2). A small net after {EPOCHS} epochs is not that net: compare the order.

{published_table()}

## Cost

{cost_table(rows)}

## FPR95 of each set

{sets_table(rows, "fpr95")}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    if parser.parse_args().fresh:
        RESULTS.unlink(missing_ok=True)
    torch.set_num_threads(1)
    for seed in SEEDS:
        for method in METHODS:
            ensure(method, seed)
    text = page(recorded())
    RESULTS.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
