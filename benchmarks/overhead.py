"""Time what skood adds to a bare torch loop: a training step, scoring 10,000 images, its memory.

    OMP_NUM_THREADS=1 python benchmarks/overhead.py --write   # record it in results/overhead.md
    OMP_NUM_THREADS=1 python benchmarks/overhead.py --check   # fail where a target is missed

Both sides take turns in one process, in training step by step, so that whatever else the machine
does hits them alike. Times are CPU times of one thread.
"""

import argparse
import platform
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import skorch
import torch
from batch_sizes import bare_scores, sizes_section, to_float, turns
from harness import processor
from skorch.callbacks import Callback
from torch.nn import functional as F

from skood import OutlierExposureDetector
from skood.engine.inputs import crop_flip
from skood.nn import MLP, SmallResNet

RESULTS = Path(__file__).parent / "results" / "overhead.md"
N_IN, N_OUT = 128, 256  # a training batch: in-distribution rows and outliers
BARE_SIZES = (64, 128, 256, 512, 1000)  # batch sizes from which the bare forward has the fastest
TARGETS = {  # the most that is allowed
    "MLP step, ms added": 0.6,
    "SmallResNet step, ratio": 1.05,
    "score_samples, ratio": 1.05,
    "score_samples, MB added": 100,
}


def table(n, seed=0):
    """Rows of 20 columns, their labels in 3 classes, and outliers."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=n)
    X = (rng.normal(size=(n, 20)) + y[:, None]).astype(np.float32)
    return X, y, rng.uniform(-4, 6, size=(4 * n, 20)).astype(np.float32)


def images(n, seed=0):
    """8-bit images of noise, labels in 10 classes, and outliers: what they show costs no time."""
    rng = np.random.default_rng(seed)
    X, A = (rng.integers(256, size=(k, 3, 32, 32), dtype=np.uint8) for k in (n, 2 * n))
    return X, rng.integers(10, size=n), A


# ---- training


def bare_steps(net, X, y, A, augment=None, n_steps=10_000):
    """Train by hand, a step each time the generator is asked."""
    X, y, A = (torch.from_numpy(array) for array in (X, y, A))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    net.train()
    while True:
        order, order_out = torch.randperm(len(X)), torch.randperm(len(A))
        for i in range(len(X) // N_IN):
            index = order[i * N_IN : (i + 1) * N_IN]
            x = torch.cat([X[index], A[order_out[i * N_OUT : (i + 1) * N_OUT]]])
            logits = net(to_float(x if augment is None else augment(x)))
            logits_in, logits_out = logits[:N_IN], logits[N_IN:]
            flatness = (logits_out.logsumexp(1) - logits_out.mean(1)).mean()
            loss = F.cross_entropy(logits_in, y[index]) + 0.5 * flatness
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            yield loss.item()


def step_times(module, data, epochs, augment=None):
    """Return milliseconds of skood's and of the bare steps, shape (n_steps, 2)."""
    X, y, A = data
    bare = bare_steps(module(X.shape[1:], y.max() + 1), X, y, A, augment)
    clock, ends = time.process_time, []

    class TakeTurns(Callback):
        def on_batch_end(self, net, **kwargs):  # skood has just made a step
            ends.append(clock())
            next(bare)
            ends.append(clock())

    OutlierExposureDetector(
        module, max_epochs=epochs, batch_size=N_IN, outlier_ratio=N_OUT / N_IN, augment=augment,
        callbacks=[TakeTurns()], random_state=0,
    ).fit(X, y, X_aux=(A,))
    # From the end of a bare step, five steps in: skood's time, the bare one's, skood's, ...
    return 1000 * np.diff(ends[9:]).reshape(-1, 2)


def training_section():
    lines = [
        f"## A training step: {N_IN} rows and {N_OUT} outliers", "",
        "Medians over the steps. The bare loop indexes tensors in memory and has the same loss,",
        "AdamW and cosine schedule; with crop-flip both sides call the same function.", "",
        "| net | skood, ms | bare, ms | ms added | ratio | steps |", "|---|---|---|---|---|---|",
    ]
    small = images(1024)
    medians = []
    for name, module, data, epochs, augment in (
        ("MLP, 20 columns", MLP, table(4096), 60, None),
        ("SmallResNet, 3x32x32, 8-bit", SmallResNet, small, 10, None),
        ("SmallResNet, 3x32x32, 8-bit, crop-flip", SmallResNet, small, 10, crop_flip),
    ):
        times = step_times(module, data, epochs, augment)
        own, bare = np.median(times, axis=0)
        medians.append((own, bare))
        numbers = f"{own:.2f} | {bare:.2f} | {own - bare:+.2f} | {own / bare:.3f} | {len(times)}"
        lines.append(f"| {name} | {numbers} |")
    (mlp, bare_mlp), *resnets = medians
    ratio = max(own / bare for own, bare in resnets)
    return lines, {"MLP step, ms added": mlp - bare_mlp, "SmallResNet step, ratio": ratio}


# ---- scoring


def fitted(module, data, n=512):
    """Return a detector with an untrained net, which scores as fast as a trained one."""
    X, y, A = (array[:n] for array in data)
    net = module(X.shape[1:], y.max() + 1)
    return OutlierExposureDetector(net, max_epochs=0, random_state=0).fit(X, y, X_aux=(A,))


_MEMORY = """
import re, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import overhead
overhead.torch.set_num_threads(1)

def resident(key):
    return int(re.search(key + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1000

data = overhead.images({n})
detector = overhead.fitted(overhead.SmallResNet, data)
Path("/proc/self/clear_refs").write_text("5")  # let the peak start afresh
before = resident("VmRSS")
{call}
print(resident("VmHWM") - before)
"""


def memory_added(n, call):
    """Megabytes that a call on ``n`` images adds at its peak, in a process of its own (Linux)."""
    code = _MEMORY.format(here=str(Path(__file__).parent), n=n, call=call)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(run.stdout)


def scoring_times(detector, X, repeats):
    """Return median seconds of score_samples and of the bare forward, and its batch size."""
    bare = [partial(bare_scores, detector.module_, X, size) for size in BARE_SIZES]
    if not np.allclose(detector.score_samples(X), bare[0](), rtol=0, atol=1e-6):
        raise SystemExit("both must give the same scores before their times mean anything")
    best = int(np.argmin(np.median(turns(bare, 3), axis=0)))
    times = turns([partial(detector.score_samples, X), bare[best]], repeats)
    return *np.median(times, axis=0), BARE_SIZES[best]


def scoring_section(n=10_000, repeats=15):
    lines = [
        "## score_samples", "",
        f"Medians of {repeats} turns; the bare forward in the fastest batches of {BARE_SIZES}.", "",
        "| net | rows | skood, s | bare, s | bare batch | ratio |", "|---|---|---|---|---|---|",
    ]
    for module, data in ((MLP, table(20 * n)), (SmallResNet, images(n))):
        own, bare, size = scoring_times(fitted(module, data), data[0], repeats)
        name = f"{module.__name__}, {'x'.join(map(str, data[0].shape[1:]))}"
        numbers = f"{len(data[0])} | {own:.3f} | {bare:.3f} | {size} | {own / bare:.3f}"
        lines.append(f"| {name} | {numbers} |")
    reached = {"score_samples, ratio": own / bare}  # of the last, SmallResNet
    own = memory_added(n, "detector.score_samples(data[0])")
    bare = memory_added(n, f"overhead.bare_scores(detector.module_, data[0], {size})")
    lines += ["", f"Memory added at the peak ({n} images): {own:.0f} MB; bare, {bare:.0f} MB."]
    return lines, reached | {"score_samples, MB added": own}


def fixed_section():
    lines = [
        "## What a fit costs besides its steps", "",
        "`max_epochs=0`: validation, copying the net, scoring X for the threshold.", "",
        "| net | rows and outliers | ms |", "|---|---|---|",
    ]
    for module, data in ((MLP, table(4096)), (SmallResNet, images(1024))):
        seconds = np.median(turns([partial(fitted, module, data, n=None)], repeats=9))
        sizes = f"{len(data[0])} + {len(data[2])}"
        lines.append(f"| {module.__name__} | {sizes} | {1000 * seconds:.1f} |")
    return lines


# ---- the record


def record():
    """Return the record's text and what was reached where there is a target."""
    training, reached = training_section()
    scoring, reached_scoring = scoring_section()
    reached |= reached_scoring
    verdicts = [
        f"| {name} | {reached[name]:.3g} | {most} | {'yes' if reached[name] <= most else 'no'} |"
        for name, most in TARGETS.items()
    ]
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, " + ", ".join(
        f"{package.__name__} {package.__version__}" for package in (skorch, np)
    )
    lines = [
        "# What skood costs over a bare torch loop", "",
        "Command: `OMP_NUM_THREADS=1 python benchmarks/overhead.py --write`",
        f"Machine: {processor()}; one thread, other jobs running. Versions: {versions}.",
        "CPU times; skood and the bare code take turns in one process, in training step by step.",
        "", "| | measured | at most | reached |", "|---|---|---|---|", *verdicts,
        "", *training, "", *scoring, "", *fixed_section(), "", *sizes_section(), "",
    ]
    return "\n".join(lines), reached


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"record in {RESULTS.name}")
    parser.add_argument("--check", action="store_true", help="fail where a target is missed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    text, reached = record()
    print(text)
    if arguments.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text)
    missed = [name for name, most in TARGETS.items() if reached[name] > most]
    if arguments.check and missed:
        raise SystemExit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
