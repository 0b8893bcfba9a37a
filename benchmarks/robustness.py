"""OE, ACET, NTOM and ATOM: outliers natural, corrupted and attacked.

Trains each method with the same network, images, outliers, epochs and seeds, and judges it by the
protocol of the ATOM paper. An hour for Fashion-MNIST and two for CIFAR-10, on one thread:

    OMP_NUM_THREADS=1 python benchmarks/robustness.py
    OMP_NUM_THREADS=1 python benchmarks/robustness.py --data cifar10

Rows already in benchmarks/results/robustness.csv are not measured again, so an interrupted run
goes on where it stopped; `--fresh` begins anew (do that after a change of the library).
"""

import argparse
import platform
import time
from functools import cache
from inspect import signature
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
import torch
from harness import composition, markdown, percent, processor  # beside this file

import skood
from skood import ACETDetector, ATOMDetector, NTOMDetector, OutlierExposureDetector
from skood.datasets import (
    fetch_auxiliary,
    fetch_cifar10,
    fetch_fashion_mnist,
    fetch_mnist,
    fetch_ood,
)
from skood.robustness import evaluate_robustness

RESULTS = Path(__file__).parent / "results" / "robustness.csv"
# As many training images as make the auxiliary set four times what an epoch keeps, as published.
N_TRAIN = {"fashion": 5_700, "cifar10": 6_000}
EPOCHS = {"fashion": 8, "cifar10": 40}
# The size of the attacks, in training (ATOM, ACET) and in judging. CIFAR-10: the paper's. On
# Fashion-MNIST, where 8/255 hardly moves even NTOM, the tenth of the range that is customary there
# (Wong and Kolter, "Provable Defenses", ICML 2018).
EPS = {"fashion": 26 / 255, "cifar10": 8 / 255}
N_ATTACKED = {"fashion": 100, "cifar10": 200}  # outliers of each test set
NAMES = {"fashion": "Fashion-MNIST", "cifar10": "CIFAR-10"}
FAR = ("scenes", "textures", "emoji", "street_numbers")
NEAR = {"fashion": ("MNIST", "letters"), "cifar10": ()}  # black around, as Fashion-MNIST is
ATTACKS = ("natural", "corrupted", "linf", "compositional")
METHODS = {
    "OE": OutlierExposureDetector,
    "NTOM": NTOMDetector,
    "ATOM": ATOMDetector,
    "ACET": ACETDetector,
}
# What all methods share. The rest are their defaults, which are the papers': the weight of the
# outliers' term, the quantile of the mining, the size of the attack in training.
SHARED = {"batch_size": 64, "outlier_ratio": 2.0, "augment": "crop-flip"}
# From the ATOM paper: DenseNet, Tiny Images, six test sets; on SVHN, which is as easy as clothes,
# and on CIFAR-10.
PUBLISHED = {
    "SVHN": {
        "OE": (0.60, 23.44, 69.36, 99.65), "ACET": (0.49, 17.03, 29.33, 99.85),
        "NTOM": (0.04, 2.87, 60.28, 99.78), "ATOM": (0.07, 5.47, 7.02, 96.33),
    },
    "CIFAR-10": {
        "OE": (3.66, 56.25, 99.94, 99.99), "ACET": (12.28, 66.93, 74.45, 96.88),
        "NTOM": (1.87, 30.58, 99.90, 99.99), "ATOM": (1.69, 25.26, 20.55, 38.89),
    },
}


@cache
def training_data(data):
    fetched = fetch_cifar10() if data == "cifar10" else fetch_fashion_mnist()
    rows = np.random.default_rng(0).permutation(len(fetched.X_train))[: N_TRAIN[data]]
    return fetched.X_train[rows], fetched.y_train[rows], fetch_auxiliary("lite", **kind(data))


def kind(data):
    return {} if data == "cifar10" else {"size": 28, "grayscale": True}


@cache
def test_data(data):
    fetched = fetch_cifar10() if data == "cifar10" else fetch_fashion_mnist()
    sets = {name: fetch_ood(name, **kind(data)).X_ood for name in FAR}
    if NEAR[data]:
        sets |= {"MNIST": fetch_mnist().X_test, "letters": fetch_ood("letters").X_ood}
    return fetched.X_test, fetched.y_test, sets


def measure(data, method, seed):
    """Train one detector and return a row for each attack and set."""
    X, y, aux = training_data(data)
    attacked = {"eps": EPS[data]} if "eps" in signature(METHODS[method]).parameters else {}
    detector = METHODS[method](
        max_epochs=EPOCHS[data], random_state=seed, verbose=True, **SHARED, **attacked
    )
    start = time.process_time()
    detector.fit(X, y, X_aux=(aux.X_aux,))
    train_s = time.process_time() - start
    X_in, y_in, sets = test_data(data)
    report = evaluate_robustness(
        detector, X_in, sets, attacks=ATTACKS, eps=EPS[data], n_samples=N_ATTACKED[data],
        verbose=True,
    )
    rows = report.drop(index="mean", level="set").reset_index()
    return rows.drop(columns=["seconds", "aupr_in", "aupr_out"]).assign(
        data=data, method=method, seed=seed,
        accuracy=(detector.predict_class(X_in) == y_in).mean(), train_cpu_s=round(train_s, 1),
    )


def recorded():
    return pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame(columns=["data"])


def ensure(data, method, seed):
    """Measure unless the rows are there, and append them to the file at once."""
    rows = recorded()
    if len(rows) and (rows.data.eq(data) & rows.method.eq(method) & rows.seed.eq(seed)).any():
        return print(f"{data}, {method}, seed {seed}: already in {RESULTS.name}", flush=True)
    print(f"{data}, {method}, seed {seed}", flush=True)
    new = measure(data, method, seed)
    far = new[new.set.isin(FAR)]
    print(far.groupby("attack", sort=False)[["fpr95", "auroc"]].mean().round(4), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    pd.concat([recorded(), new]).to_csv(RESULTS, index=False, float_format="%.6g")


def results_table(rows, metric):
    """Mean over the far sets, then mean and standard deviation over the seeds."""
    of_seed = rows[rows.set.isin(FAR)].groupby(["method", "attack", "seed"])[metric].mean()
    n_seeds = rows.groupby("method").seed.nunique()
    return markdown(
        ["method", "seeds", *ATTACKS],
        [
            [m, str(n_seeds[m]), *(percent(of_seed[m, attack]) for attack in ATTACKS)]
            for m in methods(rows)
        ],
    )


def sets_table(rows, metric):
    sets = list(rows.set.unique())
    of = rows.set_index(["method", "attack", "set"])[metric].sort_index()
    return markdown(
        ["method", "attack", *sets],
        [
            [m, attack, *(percent(of.loc[[(m, attack, name)]]) for name in sets)]
            for m in methods(rows) for attack in ATTACKS
        ],
    )


def cost_table(rows):
    once = rows.drop_duplicates(["method", "seed"]).groupby("method")
    seconds = once.train_cpu_s.mean()
    return markdown(
        ["method", "accuracy, %", "training, CPU s", "ratio to OE"],
        [
            [
                m, percent(once.get_group(m).accuracy), f"{seconds[m]:.0f}",
                f"{seconds[m] / seconds['OE']:.2f}",
            ]
            for m in methods(rows)
        ],
    )


def methods(rows):
    return [name for name in METHODS if name in set(rows.method)]


def section(data, rows):
    X, _, aux = training_data(data)
    X_in, _, sets = test_data(data)
    near = (
        f"\n{' and '.join(NEAR[data])} stand apart, below: like the clothes they are black around, "
        "which hardly any\nauxiliary outlier is, so every method here takes many of them for "
        "clothes even as they come."
        if NEAR[data] else ""
    )
    return f"""\
## {NAMES[data]}

{len(X):,} training images, {EPOCHS[data]} epochs; thresholds from all
{len(X_in):,} test images as they are. Auxiliary outliers: {len(aux.X_aux):,} crops, of
{composition(aux)}. {N_ATTACKED[data]} outliers of each test set. Mean of {", ".join(FAR)}.{near}

FPR95:

{results_table(rows, "fpr95")}

AUROC:

{results_table(rows, "auroc")}

Cost:

{cost_table(rows)}

FPR95 of each set:

{sets_table(rows, "fpr95")}
"""


def page(rows):
    versions = f"Python {platform.python_version()}, skood {skood.__version__}, torch "
    versions += f"{torch.__version__}, numpy {np.__version__}, scikit-learn {sklearn.__version__}"
    published = "\n\n".join(
        f"{name}:\n\n" + markdown(
            ["method", *ATTACKS], [[m, *map(str, row)] for m, row in table.items()]
        )
        for name, table in PUBLISHED.items()
    )
    sections = "\n".join(section(d, rows[rows.data == d]) for d in NAMES if d in set(rows.data))
    return f"""\
# Robust out-of-distribution detection

Command: `OMP_NUM_THREADS=1 python benchmarks/robustness.py`, and for CIFAR-10 `--data cifar10`.
Machine: {processor()}, one thread. Versions: {versions}.

- Net: `SmallResNet`, the default. For every method the same epochs from scratch, batches of 64 with
  128 outliers, crops and flips, AdamW at 0.003 falling as a cosine; everything else is the method's
  default. NTOM and ATOM score all auxiliary outliers at the start of each epoch and keep a quarter.
- Attacks: the protocol of `skood.robustness`: the worst of 96 images by the detector's own score;
  40 steps of 1/255 within 8/255 (Fashion-MNIST: 26/255, as in training) up the detector's own
  score; one after the other. The sets are
  {", ".join(FAR)}; the last is drawn by formulas.
- Percent, mean ± standard deviation over the seeds. The FPR counts
  in-distribution images as positive; 0 is perfect. Epochs were chosen for the time they
  take, nothing else was chosen.

{sections}
## Published FPR95, for the order

{published}

DenseNet, whole training sets, 20 and 100 epochs, Tiny Images as outliers, six other test sets
(Chen et al., ECML PKDD 2021, table 2). A small net after a few epochs is not that net: compare
the order.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=NAMES, default="fashion")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 on (default: 3)")
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    args = parser.parse_args()
    if args.fresh:
        RESULTS.unlink(missing_ok=True)
    torch.set_num_threads(1)
    for seed in range(args.seeds):
        for method in METHODS:
            ensure(args.data, method, seed)
    text = page(recorded())
    RESULTS.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
