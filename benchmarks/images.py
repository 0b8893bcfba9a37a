"""Every detector of the library on images: the same network, images, outliers, steps and seeds.

    python benchmarks/images.py --data cifar10 --jobs 2    # far and near; 45 minutes
    python benchmarks/images.py --data fashion --jobs 2    # 35 minutes
    python benchmarks/images.py --data mnist --jobs 2      # 35 minutes

A plain classifier is trained and read by every detector that reads one; from it, every method that
trains goes on for the same number of epochs. Rows already in results/images_*.csv are not measured
again; `--fresh` begins anew (do that after a change of the library).
"""

import argparse
import tempfile
from functools import cache
from pathlib import Path

import harness  # beside this file, as fashion_data is
import numpy as np
import pandas as pd
from fashion_data import outliers_of
from joblib import Memory
from posthoc_scores import DETECTORS as READERS
from posthoc_scores import KNOWN
from sklearn.frozen import FrozenEstimator

import skood
from skood.datasets import (
    fetch_auxiliary,
    fetch_cifar10,
    fetch_fashion_mnist,
    fetch_mnist,
    fetch_ood,
)
from skood.posthoc import Classifier

N_TRAIN, N_HELD_OUT = 10_000, 2_000
EPOCHS = {"cifar10": 20, "fashion": 5, "mnist": 5}
TUNING_EPOCHS = 2
SEEDS = (0, 1, 2)
RATES = (3e-3, 3e-4)
FETCH = {"cifar10": fetch_cifar10, "fashion": fetch_fashion_mnist, "mnist": fetch_mnist}
TITLES = {"cifar10": "CIFAR-10", "fashion": "Fashion-MNIST", "mnist": "MNIST"}
PROBLEMS = ("far", "near")  # against other things; against held-out classes
FAR = ("scenes", "textures", "emoji", "street_numbers")
SHARED = {"batch_size": 64, "outlier_ratio": 2.0}
TUNED = {
    harness.CONTROL: (Classifier, {}),
    "OE": (skood.OutlierExposureDetector, {}),
    "energy exposure": (skood.EnergyExposureDetector, {}),
    "NTOM": (skood.NTOMDetector, {}),
    "ATOM": (skood.ATOMDetector, {}),
    "ACET": (skood.ACETDetector, {}),
    "SOFL": (skood.SOFLDetector, {"pretrain_epochs": 1, "max_epochs": 1}),
    "DOS": (skood.DOSDetector, {}),
    "GReg": (skood.GRegDetector, {}),
    "GReg+": (skood.GRegDetector, {"sampling": "clustered"}),
    "WOODS": (skood.WOODSDetector, {}),
    "UM": (skood.UnleashingMaskDetector, {}),
    "UMAP": (skood.UnleashingMaskDetector, {"strategy": "prune"}),
}
memory = Memory(Path(tempfile.gettempdir()) / "skood-benchmarks", verbose=0)


def kind(data):
    return {} if data == "cifar10" else {"size": 28, "grayscale": True}


def known(data, problem):
    """Return the classes that are in-distribution."""
    near = KNOWN if data == "cifar10" else range(6)
    return near if problem == "near" else range(10)


@cache
def auxiliary(data):
    return fetch_auxiliary("lite", **kind(data))


@cache
def training_data(data, problem):
    """Return images and labels to train on, and images held out to choose by."""
    fetched = FETCH[data]()
    rows = np.random.default_rng(0).permutation(len(fetched.X_train))[: N_TRAIN + N_HELD_OUT]
    rows = rows[np.isin(fetched.y_train[rows], known(data, problem))]
    held_out, rows = np.split(rows, [N_HELD_OUT * len(rows) // (N_TRAIN + N_HELD_OUT)])
    return fetched.X_train[rows], fetched.y_train[rows], fetched.X_train[held_out]


@cache
def test_data(data, problem):
    """Return test images, labels and the sets of what is not in-distribution."""
    fetched = FETCH[data]()
    inside = np.isin(fetched.y_test, known(data, problem))
    if problem == "near":
        sets = {"other classes": fetched.X_test[~inside]}
    else:
        sets = {name: fetch_ood(name, **kind(data)).X_ood for name in FAR}
        sets |= {name: make().X_test for name, make in clothes_and_digits(data).items()}
        if data != "cifar10":
            sets["letters"] = fetch_ood("letters").X_ood
    return fetched.X_test[inside], fetched.y_test[inside], sets


def clothes_and_digits(data):
    others = {"cifar10": (), "fashion": ("mnist",), "mnist": ("fashion",)}[data]
    return {TITLES[name]: FETCH[name] for name in others}


@memory.cache
def plain(data, problem, seed):
    """Train the classifier that every detector reads or begins with; also its CPU seconds."""
    X, y, _ = training_data(data, problem)
    options = SHARED | {"augment": augment(data), "random_state": seed}
    return harness.timed(Classifier(max_epochs=EPOCHS[data], lr=RATES[0], **options), X, y)


def augment(data):
    return "crop-flip" if data == "cifar10" else None


def detectors(data, problem, network, seed, lr):
    """Return fitted detectors by name, and the CPU seconds of training."""
    X, y, _ = training_data(data, problem)
    classifier, seconds = plain(data, problem, seed)
    if network == "plain":
        frozen = FrozenEstimator(classifier)
        return {name: make(frozen).fit(X, y) for name, make in READERS.items()}, seconds
    make, own = TUNED[network]
    options = SHARED | {"lr": lr, "augment": augment(data), "random_state": seed}
    detector = make(classifier.module_, **({"max_epochs": TUNING_EPOCHS} | options | own))
    unaided = make in (Classifier, skood.UnleashingMaskDetector)
    given = {} if unaided else {"X_aux": (auxiliary(data).X_aux,)}
    fitted, seconds = harness.timed(detector, X, y, **given)
    named = {network: fitted}
    if network == "OE":  # the authors' other score, of the same network
        reader = make(fitted.module_, max_epochs=0, score="uniform")
        named["OE, score H(U; p)"] = reader.fit(X[:1000], y[:1000])
    return named, seconds


def measure(data, problem, network, seed, lr):
    """Return a row for each detector and set, those to choose by included."""
    fitted, seconds = detectors(data, problem, network, seed, lr)
    X_in, y_in, sets = test_data(data, problem)
    accuracy = (next(iter(fitted.values())).predict_class(X_in) == y_in).mean()
    rows = harness.judge(fitted, X_in, sets, accuracy)
    if network != "plain" and seed == SEEDS[0]:
        X = training_data(data, problem)[2]
        chosen_by = outliers_of(X)
        held_out = {f"held out: {name}": A for name, A in chosen_by.items()}
        rows += harness.judge(fitted, X, held_out)
    return pd.DataFrame(rows).assign(cpu_s=round(seconds, 1))


def settings(data, networks, problems, seeds, rates):
    return [
        {"data": data, "problem": problem, "network": network, "seed": seed, "lr": rates[network]}
        for problem in problems for seed in seeds for network in networks
    ]


def run(data, problems, jobs, path):
    """Measure what is missing, and return all rows and the chosen rates."""
    def ensure(*of):
        return harness.measure_all(measure, settings(data, *of), path, jobs)

    ensure(["plain"], problems, SEEDS, {"plain": RATES[0]})
    for lr in RATES:
        rows = ensure(TUNED, problems, SEEDS[:1], dict.fromkeys(TUNED, lr))
    for problem in problems:
        rates, _ = harness.chosen_rates(rows[rows.problem.eq(problem)])
        rows = ensure(TUNED, (problem,), SEEDS, rates)
    return rows[rows.problem.isin(problems)]


def page(data, problems, rows):
    """Return the page of the record."""
    of_problem = {problem: rows[rows.problem.eq(problem)] for problem in problems}
    test = {
        problem: harness.with_chosen_rates(measured, RATES[0])
        for problem, measured in of_problem.items()
    }
    command = f"python benchmarks/images.py --data {data} --problems {' '.join(problems)} --jobs 2"
    return f"""\
# Every detector on {TITLES[data]}

{harness.provenance(command, pd.concat(test.values()))}

{setting(data)}

{"".join(section(data, problem, found) for problem, found in test.items())}
## How the learning rates were chosen

Mean AUROC, percent, of seed 0 of each problem by itself, against outliers made of held-out training
images of its classes (arithmetic and geometric means of two, jigsaws, speckle, pixels, uniform
noise: validation outliers of the Outlier Exposure paper). Two rates were tried; a better one may
lie outside them. No test image is touched, nor one of the other classes where six are
known.

{"".join(rates_of(problem, measured) for problem, measured in of_problem.items())}"""


def rates_of(problem, rows):
    return f"{problem.capitalize()}:\n\n{harness.table_of_rates(*harness.chosen_rates(rows))}\n\n"


def setting(data):
    aux = auxiliary(data)
    return f"""\
- Network: `SmallResNet`, the default. Every seed has the same {N_TRAIN:,} training images
  (where six classes are known, those of them). The plain classifier takes {EPOCHS[data]} epochs,
  each method that trains {TUNING_EPOCHS} more from it (SOFL one in each of its phases), in batches
  of 64 with 128 outliers. *Cross-entropy, as long* goes on without outliers: the control.
- Outliers: {len(aux.X_aux):,} crops, of {harness.composition(aux)}. No package,
  picture or typeface of them is in a test set, but kinds are shared: flags and smileys with
  "emoji", single letters with "letters", ground textures with "textures". Pictures named after a
  class of CIFAR-10 are left out, those of clothes and digits are not. "street_numbers" are drawn in
  fonts. WOODS has the outliers as its wild set, and counts false alarms on a fifth of the images;
  UM and UMAP use none.
- Readers (scores that read the plain classifier) have all parameters at their defaults, the others
  all but the epochs, batches and augmentation named above and the learning rate of fine-tuning,
  which is chosen below.
- Percent, mean ± standard deviation over the seeds. FPR95 has in-distribution images as positive.
  CPU s: of the plain classifier for its readers, of the further epochs for the others."""


def section(data, problem, rows):
    sets = [*dict.fromkeys(rows.set)]
    names = "all ten classes against other things" if problem == "far" else (
        f"classes {', '.join(map(str, known(data, problem)))} against the other four")
    return f"## {problem.capitalize()}: {names}\n\n{harness.ranking(rows, sets)}\n\n" + gains(rows)


def gains(rows):
    """Say what was no better than the network that had no outliers for as many steps."""
    below, forgetful = harness.below_control(rows, TUNED)
    why = WHY_WOODS_FORGETS if "WOODS" in forgetful else ""
    why += WHY_NOT_UM if {"UM", "UMAP"} & {*below} else ""
    why += WHY_NOT_THE_REST if len(below) > len(TUNED) / 2 else ""
    return harness.beside_control(rows, TUNED) + why + readers_below_msp(rows) + "\n"


def readers_below_msp(rows):
    """Name the readers that are no better than the oldest one, and where it is said why."""
    mean = rows[rows.network == "plain"].groupby("method").auroc.mean()
    below = mean.index[mean < mean["MSP"]]
    said = f"Readers below MSP: {', '.join(below) or 'none'}."
    if len(below):
        unknown = ", ".join(name for name in below if name not in EXPLAINED)
        but_not = f", but not of {unknown}" if unknown else ""
        said += f" Why is [measured](why_readers.md){but_not}."
    return said + "\n"


WHY_WOODS_FORGETS = """\
A likely reason that WOODS loses accuracy: its wild rows may push the cross-entropy up to twice what
it was. On tables that is [measured](why_woods.md).
"""
WHY_NOT_UM = """\
Unleashing Mask lets a network forget what it has memorised of odd training images. A likely reason
that it harms: after so few epochs there is little of that, and what goes is needed, as the accuracy
says, which falls, too.
Where the method helps is measured in [Unleashing Mask](um.md).
"""

WHY_NOT_THE_REST = """\
The others have up to about four points of AUROC less. A likely reason: the plain classifier tells
nearly all of the held-out classes already, and pictures of other things teach nothing about them.
"""
EXPLAINED = (  # by why_readers.py
    "ASH-B", "ASH-P", "ASH-S", "SCALE", "DICE", "SHE", "GradNorm", "energy", "max logit",
    "KL matching", "NCI", "NNGuide", "GROOD",
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=[*FETCH], default="cifar10")
    parser.add_argument("--problems", choices=PROBLEMS, nargs="+", default=PROBLEMS)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    options = parser.parse_args()
    path = harness.RESULTS / f"images_{options.data}.csv"
    if options.fresh:
        path.unlink(missing_ok=True)
        plain.clear(warn=False)  # of the other data sets, too: they are trained again
    rows = run(options.data, options.problems, options.jobs, path)
    text = page(options.data, options.problems, rows)
    path.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    import images  # under its name other processes find it

    images.main()
