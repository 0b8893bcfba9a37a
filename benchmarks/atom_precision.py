"""Measure what bf16 and the memory format change in the scores of a trained ATOM detector.

    OMP_NUM_THREADS=1 python benchmarks/atom_precision.py

benchmarks/atom_step.py records it in results/atom_step.md.
"""

import copy

import numpy as np
import torch
from atom_mining import QUANTILE, SHAPE, settled
from scipy.stats import spearmanr

from skood import ATOMDetector
from skood.datasets import fetch_auxiliary, fetch_cifar10, fetch_ood
from skood.engine.inference import predict_logits
from skood.engine.layout import in_fast_layout
from skood.metrics import auroc
from skood.nn import DenseNet, WideResNet
from skood.sampling import informative

N_TRAIN, EPOCHS, SETS = 6_000, 3, ("scenes", "textures", "emoji", "street_numbers")


def trained():
    data = fetch_cifar10()
    rows = np.random.default_rng(0).permutation(len(data.X_train))[:N_TRAIN]
    detector = ATOMDetector(
        max_epochs=EPOCHS, batch_size=64, outlier_ratio=2.0, augment="crop-flip", random_state=0
    )
    pool = fetch_auxiliary("lite").X_aux
    return detector.fit(data.X_train[rows], data.y_train[rows], X_aux=(pool,))


def both(detector, X):
    """Return the scores in float32 and in bf16."""
    return [
        copy.copy(detector).set_params(precision=precision).score_samples(X)
        for precision in ("float32", "bf16")
    ]


def auroc_of(s_in, s_out):
    y = np.repeat([1, -1], [len(s_in), len(s_out)])
    return auroc(y, np.concatenate([s_in, s_out]))


def score_lines(detector):
    """Compare the scores on test sets, and the rows that mining would keep."""
    scores_in = both(detector, fetch_cifar10().X_test)
    moved, sets = 0.0, {}
    for name in SETS:
        sets[name] = both(detector, fetch_ood(name).X_ood)
        exact, rough = (auroc_of(*pair) for pair in zip(scores_in, sets[name], strict=True))
        moved = max(moved, abs(rough - exact))
    exact, rough = (np.concatenate(s) for s in zip(scores_in, *sets.values(), strict=True))
    candidates = both(detector, fetch_auxiliary("lite").X_aux)
    n = len(candidates[0])
    kept = [informative(-s, n // 4, QUANTILE) for s in candidates]
    return [
        f"| largest change of the AUROC, {len(SETS)} test sets | {moved:.6f} |",
        f"| Spearman correlation of the scores, {len(exact):,} test images "
        f"| {spearmanr(exact, rough).statistic:.6f} |",
        f"| largest change of a score, which lies in [-1, 0] | {abs(exact - rough).max():.4f} |",
        f"| median change of a score | {np.median(abs(exact - rough)):.1e} |",
        f"| rows in both of the quarters mined from {n:,} candidates, % "
        f"| {100 * np.isin(*kept).mean():.2f} |",
    ]


def layout_difference(net, X):
    """Return the largest change of a logit, relative to the largest logit."""
    fast = in_fast_layout(copy.deepcopy(net), torch.from_numpy(X[:2]).float() / 255)
    plain = copy.deepcopy(net).to(memory_format=torch.contiguous_format)
    fast, plain = (predict_logits(each, X, "float32") for each in (fast, plain))
    return abs(fast - plain).max() / abs(plain).max()


def precision_section(n=128):
    detector, X = trained(), fetch_cifar10().X_test[:n]
    few = torch.from_numpy(X).float() / 255
    nets = {"SmallResNet, trained": detector.module_}
    for name, net in (
        ("DenseNet-BC-100-12", DenseNet(SHAPE, 11)),
        ("WideResNet(40, 4)", WideResNet(SHAPE, 11, width=4)),
    ):
        nets[f"{name}, untrained"] = settled(net, few)
    return [
        "## What bf16 changes on a trained net", "",
        f"`ATOMDetector`, SmallResNet, {EPOCHS} epochs on {N_TRAIN:,} images of CIFAR-10, scored",
        'in float32 and with `precision="bf16"`.', "",
        "| | |", "|---|---|", *score_lines(detector), "",
        "## What channels last changes in float32", "",
        f"The largest change of a logit, relative to the largest logit, {n} images.", "",
        "| net | |", "|---|---|",
        *(f"| {name} | {layout_difference(net, X):.1e} |" for name, net in nets.items()),
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("\n".join(precision_section()))
