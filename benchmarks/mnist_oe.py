"""The Outlier Exposure authors' MNIST nets, read by this library, beside their recorded results.

    python benchmarks/mnist_oe.py

Needs MNIST, Fashion-MNIST and CIFAR-10 (181 MB to download, unless they are there) and Pillow.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import skood
from skood import OutlierExposureDetector
from skood.datasets import fetch_cifar10, fetch_fashion_mnist, fetch_mnist
from skood.metrics import ood_report
from skood.nn import MNISTConvNet
from skood.outliers import gaussian, rademacher

RESULTS = Path(__file__).parent / "results" / "mnist_oe.md"
REFERENCE = Path(__file__).parents[1] / "tests" / "reference" / "mnist_oe"
NETS = ["baseline", "oe_tune", "oe_scratch"]
SHAPE = (1, 28, 28)
N_DRAWS, N_OOD = 10, 2_000  # the authors': 2,000 OOD images against the 10,000, ten times
COLUMNS = {"fpr95": "fpr95", "auroc": "auroc", "aupr_out": "aupr"}  # here -> in results.json


def authors_net(name):
    """Return one of the authors' nets, by the name of its file."""
    net = MNISTConvNet()
    with np.load(REFERENCE / f"{name}.npz", allow_pickle=False) as weights:
        net.load_state_dict({key: torch.from_numpy(weights[key]) for key in weights})
    return net


def detector_of(net, data, score="msp"):
    """Return the detector that reads `net`: no epoch is trained, fit sets the threshold."""
    detector = OutlierExposureDetector(module=net, max_epochs=0, score=score)
    return detector.fit(data.X_train[:2_000], data.y_train[:2_000])


def recorded_results():
    return json.loads((REFERENCE / "results.json").read_text())


def grey_28(X):
    """Shrink (n, 3, 32, 32) colour images to (n, 1, 28, 28) grey ones, as the authors do."""
    weights = (0.2989, 0.5870, 0.1140, 0)
    pictures = (Image.fromarray(x).resize((28, 28), Image.BILINEAR) for x in np.moveaxis(X, 1, -1))
    return np.stack([np.asarray(picture.convert("L", weights)) for picture in pictures])[:, None]


# The obtainable test sets by the names of the recorded results: functions of the images wanted
# (a set may have fewer) and of the arguments of the loaders.
SETS = {
    "Gaussian Noise (mu = sigma = 0.5)": lambda n, **where: gaussian(
        n, SHAPE, value_range=(0, 1), random_state=0
    ),
    "Bernoulli Noise": lambda n, **where: rademacher(
        n, SHAPE, value_range=(0, 1), random_state=0
    ),
    "CIFAR-10": lambda n, **where: grey_28(fetch_cifar10(**where).X_test[:n]),
    "Fashion-MNIST": lambda n, **where: fetch_fashion_mnist(**where).X_test[:n],
    "Negative MNIST": lambda n, **where: 255 - fetch_mnist(**where).X_test[:n],
}


def in_draws(scores_in, scores_ood, seed=0):
    """Return FPR95, AUROC and AUPR, percent: mean and standard deviation over the draws."""
    rng = np.random.default_rng(seed)
    draws = {i: rng.choice(scores_ood, N_OOD, replace=False) for i in range(N_DRAWS)}
    report = ood_report(None, scores_in, draws, protocol="hendrycks").drop(index="mean")
    percent = 100 * report[list(COLUMNS)].rename(columns=COLUMNS)
    return percent.mean(), percent.std(ddof=0)


def error_detection(scores, is_right):
    """Return the metrics of telling wrongly classified images (positive) by their low score."""
    report = ood_report(None, scores[is_right], scores[~is_right], protocol="hendrycks")
    return 100 * report.loc["ood", list(COLUMNS)].rename(COLUMNS)


def triple(metrics):
    return "/".join(f"{metrics[name]:.2f}" for name in COLUMNS.values())


def column(name, data, sets):
    """Cells of one net: for each row of the table, reproduced and recorded."""
    detector = detector_of(authors_net(name), data)
    recorded = recorded_results()["recorded"][name]
    scores = detector.score_samples(data.X_test)
    is_right = detector.predict_class(data.X_test) == data.y_test
    error = f"{100 * np.mean(~is_right):.2f}"
    cells = {
        "test error": [error, f"{recorded['test_error']:.2f}"],
        "Error detection": [triple(error_detection(scores, is_right))],
    }
    for each, X in sets.items():
        print(f"{name}: {each}", flush=True)
        cells[each] = [triple(in_draws(scores, detector.score_samples(X))[0])]
    for each in list(cells)[1:]:
        cells[each].append(triple(recorded["sets"][each]))
    return cells


def table(columns):
    names = " | ".join(f"{name} | recorded" for name in columns)
    lines = [f"| set | {names} |", "|---" * (2 * len(columns) + 1) + "|"]
    for row in next(iter(columns.values())):
        cells = [cell for cells in columns.values() for cell in cells[row]]
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return lines


def main():
    from harness import processor  # beside this file, which tests import from elsewhere

    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    torch.set_num_threads(1)
    data = fetch_mnist()
    sets = {name: make(N_DRAWS * N_OOD) for name, make in SETS.items()}
    start = time.process_time()
    lines = table({name: column(name, data, sets) for name in NETS})
    seconds = time.process_time() - start
    versions = f"Python {platform.python_version()}, skood {skood.__version__}, "
    versions += f"torch {torch.__version__}, numpy {np.__version__}"
    text = [
        "# The Outlier Exposure authors' MNIST nets",
        "",
        "Command: `python benchmarks/mnist_oe.py`",
        f"Machine: {processor()}, one thread. Versions: {versions}. Time: {seconds:.0f} CPU s.",
        "",
        "FPR95/AUROC/AUPR in percent, reproduced | recorded in the authors' repository. Their",
        "protocol: OOD is positive, FPR at the recall nearest 95 %, average precision, MSP;",
        f"{N_OOD:,} OOD images against the {len(data.X_test):,} of the MNIST test set, mean of "
        f"{N_DRAWS} draws (seed 0; noise also seed 0).",
        "Test error and error detection (wrongly classified images are positive) draw nothing.",
        "The nets are `baseline` (10 epochs), `oe_tune` (5 more with Outlier Exposure) and",
        "`oe_scratch` (10 with it), read with `OutlierExposureDetector(module=net, max_epochs=0)`.",
        "Not obtainable here: Icons-50, notMNIST and Omniglot.",
        "",
        *lines,
        "",
    ]
    print("\n".join(text))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(text))


if __name__ == "__main__":
    main()
