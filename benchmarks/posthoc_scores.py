"""Every score that reads a trained network, on the same trained networks, on CIFAR-10.

    OMP_NUM_THREADS=1 python benchmarks/posthoc_scores.py

Trains plain classifiers of all classes (far: against four sets of other things) and of six of them
(near: against the other four), a quarter of an hour on one thread, and reads each by every
detector, all parameters at their defaults. Rows already in results/posthoc_scores.csv are not
measured again; `--fresh` begins anew.
"""

import argparse
import platform
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from harness import processor  # beside this file
from sklearn.frozen import FrozenEstimator

import skood
from skood.datasets import fetch_cifar10, fetch_ood
from skood.metrics import auroc, fpr95
from skood.posthoc import Classifier

RESULTS = Path(__file__).parent / "results" / "posthoc_scores.csv"
N_TRAIN, EPOCHS = 20_000, 15
SETS = ("scenes", "textures", "emoji", "street_numbers")
KNOWN = (0, 1, 2, 5, 8, 9)  # beside the other four: aeroplane, car, bird, dog, ship, truck
DETECTORS = {
    "MSP": skood.MSPDetector, "max logit": skood.MaxLogitDetector,
    "energy": skood.EnergyDetector, "GEN": skood.GENDetector,
    "KL matching": skood.KLMatchingDetector, "ODIN": skood.ODINDetector,
    "Mahalanobis": skood.MahalanobisDetector,
    "Mahalanobis++": lambda net: skood.MahalanobisDetector(net, normalize=True),
    "RMDS": skood.RMDSDetector, "KNN": skood.KNNDetector, "ViM": skood.ViMDetector,
    "residual": skood.ResidualDetector, "ReAct": skood.ReActDetector,
    "ASH-S": skood.ASHDetector, "ASH-B": lambda net: skood.ASHDetector(net, variant="b"),
    "ASH-P": lambda net: skood.ASHDetector(net, variant="p"), "SCALE": skood.SCALEDetector,
    "DICE": skood.DICEDetector, "GradNorm": skood.GradNormDetector, "SHE": skood.SHEDetector,
    "fDBD": skood.FDBDDetector, "NCI": skood.NCIDetector, "NNGuide": skood.NNGuideDetector,
    "Gram": skood.GramDetector, "GROOD": skood.GROODDetector,
}


def far(seed):
    """Return training and test images, their labels, and sets of other things."""
    data, rng = fetch_cifar10(), np.random.default_rng(seed)
    rows = rng.permutation(len(data.X_train))[:N_TRAIN]
    sets = {name: fetch_ood(name).X_ood for name in SETS}
    return data.X_train[rows], data.y_train[rows], data.X_test, data.y_test, sets


def near(seed):
    """Return the images of six classes, their labels, and as the only set those of the others."""
    X, y, X_test, y_test, _ = far(seed)
    known, known_test = np.isin(y, KNOWN), np.isin(y_test, KNOWN)
    sets = {"other classes": X_test[~known_test]}
    return X[known], y[known], X_test[known_test], y_test[known_test], sets


def measure(problem, seed):
    """Return a row for each detector and set."""
    X, y, X_test, y_test, sets = {"far": far, "near": near}[problem](seed)
    options = {"max_epochs": EPOCHS, "augment": "crop-flip", "batch_size": 64, "lr": 3e-3}
    classifier = Classifier(random_state=seed, **options).fit(X, y)
    accuracy = (classifier.predict_class(X_test) == y_test).mean()
    detectors = [make(FrozenEstimator(classifier)) for make in DETECTORS.values()]
    detectors = [detector.fit(X, y) for detector in detectors]
    scores_in = skood.score_many(detectors, X_test)
    rows = []
    for name, X_ood in sets.items():
        scores_out = skood.score_many(detectors, X_ood)
        truth = np.repeat([1, -1], [len(X_test), len(X_ood)])
        for detector, one, other in zip(DETECTORS, scores_in, scores_out, strict=True):
            joint = np.concatenate([one, other])
            rows.append({
                "problem": problem, "seed": seed, "detector": detector, "set": name,
                "auroc": auroc(truth, joint), "fpr95": fpr95(truth, joint), "accuracy": accuracy,
            })
    return pd.DataFrame(rows)


def read():
    return pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame(columns=["problem", "seed"])


def table(rows):
    """Return Markdown: AUROC of each set and of their mean, best mean first."""
    columns = [*(name for name in SETS if name in set(rows.set)), "other classes"]
    columns = [name for name in columns if name in set(rows.set)]
    means = rows.groupby(["detector", "set"]).auroc.mean().unstack()[columns]
    of_seed = rows.groupby(["detector", "seed"])[["auroc", "fpr95"]].mean()
    spread = of_seed.groupby("detector").agg(["mean", "std"])
    order = spread["auroc", "mean"].sort_values(ascending=False).index
    head = f"| detector | {' | '.join(columns)} | AUROC, mean | FPR95, mean |\n"
    head += "|---" * (len(columns) + 3) + "|\n"
    return head + "\n".join(
        f"| {name} | {' | '.join(f'{100 * value:.1f}' for value in means.loc[name])} | "
        f"{percent(spread.loc[name, 'auroc'])} | {percent(spread.loc[name, 'fpr95'])} |"
        for name in order
    )


def percent(statistics):
    return f"{100 * statistics['mean']:.1f} ± {100 * statistics['std']:.1f}"


def page(rows):
    parts = {name: rows[rows.problem == name] for name in ("far", "near")}
    accuracy = {name: 100 * part.accuracy.mean() for name, part in parts.items()}
    return f"""\
# Scores of trained networks on CIFAR-10

Command: `OMP_NUM_THREADS=1 python benchmarks/posthoc_scores.py`. Machine: {processor()}, one
thread; Python {platform.python_version()}, torch {torch.__version__}, skood {skood.__version__}.

- One plain classifier a seed, `SmallResNet`, {N_TRAIN:,} training images, {EPOCHS} epochs, crops
  and flips; {rows.seed.nunique()} seeds. Each is read by every detector, with all parameters at
  their defaults: nothing was chosen on these or any outliers.
- AUROC in percent, the mean of the seeds; the last two columns ± the standard deviation over seeds.
  FPR95 has in-distribution images as positive. Best mean AUROC first.

## Far: all ten classes against other things (accuracy {accuracy['far']:.1f} %)

{table(parts['far'])}

## Near: six classes against the other four (accuracy {accuracy['near']:.1f} %)

Known are aeroplane, car, bird, dog, ship and truck; cat, deer, frog and horse are not.

{table(parts['near'])}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 on (default: 3)")
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.fresh:
        RESULTS.unlink(missing_ok=True)
    for problem in ("far", "near"):
        for seed in range(args.seeds):
            rows = read()
            if not (rows.problem.eq(problem) & rows.seed.eq(seed)).any():
                new = measure(problem, seed)
                print(problem, seed, f"accuracy {new.accuracy[0]:.3f}", flush=True)
                pd.concat([rows, new]).to_csv(RESULTS, index=False, float_format="%.6g")
    text = page(read())
    RESULTS.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
