"""Time the metrics on a million scores, beside those of pytorch-ood 0.4.0.

The peer is optional. Install it where it cannot touch this environment (its other requirement,
torchvision, is not needed for its metrics), and run both in one process:

    pip install --no-deps --target build/peers pytorch-ood==0.4.0
    PYTHONPATH=build/peers python benchmarks/metrics.py --write

`--write` records the table in benchmarks/results/metrics.md.
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import platform
import sys
import time
import types
from pathlib import Path

import numpy as np
import torch
from harness import processor

from skood.metrics import aupr_in, aupr_out, auroc, fpr95, ood_report

RESULTS = Path(__file__).parent / "results" / "metrics.md"


def peer_metrics():
    """Return pytorch-ood's metrics module, or None where it is not installed.

    Its package imports torchvision on the way, which its metrics never use. A bare module in the
    place of the package lets the metrics be imported alone; their code runs unchanged.
    """
    spec = importlib.util.find_spec("pytorch_ood")
    if spec is None:
        return None
    package = types.ModuleType("pytorch_ood")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["pytorch_ood"] = package
    return importlib.import_module("pytorch_ood.metrics")


def scores(n, dtype, ties, seed=0):
    """Shuffled labels (+1, -1) and scores, half of the rows in-distribution."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat([1, -1], n // 2))
    s = rng.normal(size=n) + (y == 1)
    return y, (np.round(s, 2) if ties else s).astype(dtype)


def tasks(y, s, peer):
    """Pairs of callables: what a user of each library would write."""
    ours = {
        "one call, every metric": lambda: ood_report(None, s[y == 1], s[y == -1]).iloc[0],
        "AUROC + FPR95 + AUPR": lambda: (auroc(y, s), fpr95(y, s, positive="ood"), aupr_out(y, s)),
        "AUROC": lambda: auroc(y, s),
        "FPR95": lambda: fpr95(y, s, positive="ood"),
        "AUPR": lambda: aupr_in(y, s),
    }
    if peer is None:
        return {name: (call, None) for name, call in ours.items()}
    # its scores are higher = more OOD, and its tensors share memory with the arrays
    t, labels, f = torch.from_numpy(-s), torch.from_numpy(y), peer.functional

    def collection():
        shared = [peer.AUROC(), peer.FPRAtTPR(), peer.AUPR("id"), peer.AUPR("ood")]
        return peer.MetricCollection(shared).update(scores=t, labels=labels).compute()

    theirs = {
        "one call, every metric": collection,
        "AUROC + FPR95 + AUPR": lambda: (
            f.auroc(t, labels),
            f.fpr_at_tpr(t, labels),
            f.aupr(t, labels),
        ),
        "AUROC": lambda: f.auroc(t, labels),
        "FPR95": lambda: f.fpr_at_tpr(t, labels),
        "AUPR": lambda: f.aupr(t, labels, positive="id"),
    }
    return {name: (call, theirs[name]) for name, call in ours.items()}


def check_agreement(y, s, peer):
    """Both must compute the same numbers before their times mean anything."""
    t, labels, f = torch.from_numpy(-s), torch.from_numpy(y), peer.functional
    pairs = {
        "AUROC": (auroc(y, s), f.auroc(t, labels)),
        "FPR95": (fpr95(y, s, positive="ood"), f.fpr_at_tpr(t, labels)),
        "AUPR": (aupr_out(y, s, protocol="openood"), f.aupr(t, labels)),
    }
    for name, (ours, theirs) in pairs.items():
        if not np.isclose(ours, float(theirs), rtol=0, atol=1e-9):
            raise SystemExit(f"{name} differs: {ours} here, {float(theirs)} in pytorch-ood")


def seconds(calls, repeats):
    """Fastest CPU time of each call, the calls taking turns so that load hits them alike."""
    best = [np.inf] * len(calls)
    for _ in range(repeats):
        for i, call in enumerate(calls):
            start = time.process_time()
            call()
            best[i] = min(best[i], time.process_time() - start)
    return best


def table(n, repeats, peer):
    lines = [
        "| scores | metrics | skood, s | pytorch-ood, s | pytorch-ood / skood |",
        "|---|---|---|---|---|",
    ]
    for dtype, ties in ((np.float32, False), (np.float64, False), (np.float32, True)):
        y, s = scores(n, dtype, ties)
        if peer is not None:
            check_agreement(y, s, peer)
        kind = np.dtype(dtype).name + (", ties" if ties else "")
        for name, calls in tasks(y, s, peer).items():
            own, *other = seconds([call for call in calls if call], repeats)
            beside = f"{other[0]:.3f} | {other[0] / own:.1f}" if other else "not installed | "
            lines.append(f"| {kind} | {name} | {own:.3f} | {beside} |")
    y, s = scores(20_000, np.float64, False)
    start = time.process_time()
    ood_report(None, s[y == 1], s[y == -1], n_bootstrap=1000, random_state=0)
    elapsed = time.process_time() - start
    lines.append(f"| 20,000 | report with 1000 bootstrap replicates | {elapsed:.2f} | none | |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--write", action="store_true", help=f"record in {RESULTS.name}")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    peer = peer_metrics()
    if peer is None:
        print("pytorch-ood is not installed, so only skood is timed; to compare:\n" + __doc__)
    versions = [f"Python {platform.python_version()}", f"numpy {np.__version__}"]
    versions.append(f"torch {torch.__version__}")
    if peer is not None:
        versions.append(f"pytorch-ood {importlib.metadata.version('pytorch-ood')}")
    text = [
        "# Metrics on a million scores",
        "",
        "Command: `OMP_NUM_THREADS=1 PYTHONPATH=build/peers python benchmarks/metrics.py --write`",
        f"Machine: {processor()}, one thread. Versions: {', '.join(versions)}.",
        f"CPU seconds, the fastest of {arguments.repeats} runs taken in turns; "
        f"n = {arguments.n:,} scores, half of them in-distribution.",
        "Scores and labels start as arrays (as tensors for pytorch-ood). AUPR is average precision",
        "here and a trapezoid there; each run first checks that both agree by the trapezoid rule",
        '(to 1e-9). "Every metric": AUROC, FPR95, AUPR-in and AUPR-out.',
        "",
        *table(arguments.n, arguments.repeats, peer),
        "",
    ]
    print("\n".join(text))
    if arguments.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text("\n".join(text))


if __name__ == "__main__":
    main()
