"""Time a step of UM and of UMAP beside the published procedure.

    OMP_NUM_THREADS=1 python benchmarks/um_step.py --write   # record in results/um_step.md
    OMP_NUM_THREADS=1 python benchmarks/um_step.py --check   # fail where a target is missed

skood's side is ``UnleashingMaskDetector.fit``, one step each time; the other is
benchmarks/um_baseline.py. All take turns in one process, each from the same weights, on the same
images. Times are CPU times of one thread; it takes about twelve minutes and 12 GB.
"""

import argparse
import copy
import os
import platform
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import skorch
import torch
import um_baseline
from atom_mining import SHAPE, settled
from greg_step import images
from harness import processor
from skorch.callbacks import Callback
from torch import nn

import skood
from skood import UnleashingMaskDetector
from skood.nn import DenseNet

RESULTS = Path(__file__).parent / "results" / "um_step.md"
N, LR, LEVEL = 256, 0.1, 0.5
STRATEGIES = {"UM": "finetune", "UMAP": "prune"}
AT_LEAST = {"float32": 1.3, "bf16": 2.2}  # the published step over skood's
N_CHECKED = {"float32": 32, "float64": 16}  # rows on which losses and updates are compared
AT_MOST = 1e-4  # difference of a loss, float32, no dropout
clock = time.process_time


def knows_bf16():
    """Whether the processor has instructions for bfloat16; without them torch emulates it."""
    path = Path("/proc/cpuinfo")
    flags = path.read_text().split() if path.exists() else ()
    return "avx512_bf16" in flags or "amx_bf16" in flags


N_TURNS = {"float32": 3, "bf16": 3 if knows_bf16() else 1}


# ---- the steps


class _Done(Exception):
    """Ends a fit after its first step, and brings what watched it; skorch clones callbacks."""


class Watch(Callback):
    """Times the first step, and keeps what the other side needs to make the same one."""

    def on_train_begin(self, net, **kwargs):
        """Keep what is trained, as it was before."""
        self.before = learning(net.module_)

    def on_epoch_begin(self, net, **kwargs):
        """Start: reading the batch is part of a step."""
        self.start = clock()

    def on_batch_begin(self, net, batch, **kwargs):
        """Keep the batch."""
        self.batch = batch

    def on_batch_end(self, net, **kwargs):
        """Stop."""
        self.seconds = clock() - self.start
        self.loss = net.history[-1, "batches", -1, "train_loss"]
        self.after = learning(net.module_)
        raise _Done(self)


def learning(net):
    """Return copies of all weights (UM) or the scores (UMAP), in the order of the layers."""
    return [weight.detach().clone() for weight in net.parameters() if weight.requires_grad]


def own_step(net, method, data, seed=0, **parameters):
    """Fit for one step; return what watched it."""
    X, y = data
    detector = UnleashingMaskDetector(
        net, strategy=STRATEGIES[method], level=LEVEL, lr=LR, optimizer="sgd",
        optimizer__nesterov=False, optimizer__weight_decay=1e-4, schedule="constant", max_epochs=1,
        batch_size=len(X), callbacks=[Watch()], random_state=seed, **parameters,
    )
    try:
        detector.fit(X, y)
    except _Done as done:
        return done.args[0]
    raise RuntimeError("the fit never came to the end of its first step")


def published_step(net, method, own, seed=0):
    """Make the step that skood has made; return seconds, loss and what was learned."""
    net, (pair, y) = as_published(net), own.batch
    if method == "UMAP":
        net = um_baseline.with_scores(net, um_baseline.KEPT_BY_SCORES)
        scores = [weight for weight in net.parameters() if weight.requires_grad]
        for mine, drawn in zip(scores, own.before, strict=True):
            mine.data.copy_(drawn)
    optimizer = um_baseline.make_optimizer(net, LR)
    torch.manual_seed(seed)
    start = clock()
    loss = um_baseline.step(net, optimizer, pair.x, y, LEVEL)
    return clock() - start, loss, learning(net)


def as_published(net):
    """Return a copy with torch's own dropout, which skood's nets have another kind of."""
    net = copy.deepcopy(net)
    for layer in net.modules():
        if isinstance(layer, nn.Dropout):
            layer.__class__ = nn.Dropout
    return net


def turns(net, data):
    """Return the seconds and the losses of each kind of step."""
    own_step(net, "UM", data)  # not counted: it finds no memory of its own yet
    seconds, losses = defaultdict(list), defaultdict(list)
    for turn in range(max(N_TURNS.values())):
        for method in STRATEGIES:
            own = {
                precision: own_step(net, method, data, turn, precision=precision)
                for precision, n_turns in N_TURNS.items() if turn < n_turns
            }
            for precision, step in own.items():
                seconds[method, precision].append(step.seconds)
                losses[method, precision].append(step.loss)
            bare, loss, _ = published_step(net, method, own["float32"], turn)
            seconds[method, "published"].append(bare)
            losses[method, "published"].append(loss)
    return seconds, losses


def times_lines(seconds, losses):
    """Return a row for each kind of step, and what was reached by target."""
    lines, reached = [], {}
    for method in STRATEGIES:
        bare = np.median(seconds[method, "published"])
        for kind in ("published", *AT_LEAST):
            own, loss = np.median(seconds[method, kind]), losses[method, kind]
            lines.append(
                f"| {method} | {kind} | {own:.3g} | {bare / own:.2f} | {np.mean(loss):.4f} "
                f"| {max(loss) - min(loss):.4f} | {len(loss)} |"
            )
            if kind in AT_LEAST:
                reached[f"{method}, {kind}: published over skood"] = (
                    bare / own, "at least", AT_LEAST[kind], bare / own >= AT_LEAST[kind]
                )
    return lines, reached


# ---- the losses


def difference_lines(net, data):
    """Compare steps without dropout, which are one step; return rows and the target."""
    net, lines, in_float32 = copy.deepcopy(net), [], []
    for layer in net.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    for dtype, n in N_CHECKED.items():
        net = net.to(getattr(torch, dtype))
        for method in STRATEGIES:
            own = own_step(net, method, [each[:n] for each in data], dtype=dtype)
            _, loss, after = published_step(net, method, own)
            in_float32 += [abs(own.loss - loss)] * (dtype == "float32")
            lines.append(
                f"| {method} | {dtype} | {n} | {loss:.4f} | {abs(own.loss - loss):.1e} "
                f"| {distance(own.after, after) / distance(own.before, after):.1e} |"
            )
    largest = max(in_float32)
    target = largest, "at most", AT_MOST, largest <= AT_MOST
    return lines, {"largest difference of a loss, float32, no dropout": target}


def distance(first, second):
    """Return the Euclidean distance of two lists of tensors."""
    parts = [(a - b).norm() for a, b in zip(first, second, strict=True)]
    return torch.stack(parts).norm().item()


# ---- the record


def measured():
    """Return the rows of both tables, and what was reached by target."""
    torch.manual_seed(0)
    X, y, _ = images(N)
    net = DenseNet(SHAPE, 10, dropout=um_baseline.DROPOUT)
    net = settled(net, torch.from_numpy(X[:64]).float() / 255)
    times, reached = times_lines(*turns(net, (X, y)))
    print("\n".join(times), flush=True)
    differences, of_losses = difference_lines(net, (X, y))
    return times, differences, reached | of_losses


def record():
    """Return the record's text and the targets missed."""
    start, begun = clock(), os.times().system
    times, differences, reached = measured()
    targets = [
        f"| {name} | {value:.3g} | {sense} {bound:g} | {'yes' if met else 'no'} |"
        for name, (value, sense, bound, met) in reached.items()
    ]
    missed = [name for name, (*_, met) in reached.items() if not met]
    versions = f"Python {platform.python_version()}, " + ", ".join(
        f"{package.__name__} {package.__version__}" for package in (skood, torch, skorch, np)
    )
    seconds = clock() - start
    text = PAGE.format(
        processor=processor(), capability=torch.backends.cpu.get_cpu_capability(),
        bf16="with" if knows_bf16() else "without", versions=versions,
        minutes=seconds / 60, system=(os.times().system - begun) / seconds,
        targets="\n".join(targets), why="" if knows_bf16() else WITHOUT_BF16, n=N, level=LEVEL,
        times="\n".join(times), differences="\n".join(differences),
    )
    return text, missed


WITHOUT_BF16 = """
This processor has no instructions for bfloat16 (`avx512_bf16` or `amx_bf16`), so torch emulates
its convolutions, and `precision="bf16"` is slower than float32: here it can reach no target, and
one step of each kind is timed for the record. What it gains where the instructions exist has yet to
be measured there, by the command above.
"""
PAGE = """\
# Unleashing Mask: a step of UM and of UMAP beside the published procedure

Command: `OMP_NUM_THREADS=1 python benchmarks/um_step.py --write`
Machine: {processor} ({capability}, {bf16} bfloat16 instructions); one thread, other jobs running.
Versions: {versions}.
Time: {minutes:.0f} CPU minutes, {system:.0%} of them the system's, which hands out memory.
CPU times; skood (`UnleashingMaskDetector.fit`, one step) and a plain re-statement of the published
procedure (`um_baseline.py`, float32) take turns in one process, each step from the same weights of
a new DenseNet-BC-100-12 with dropout 0.3, on the same {n} images, as published, with the published
optimizer (SGD), the level {level}, and for UMAP the same scores.

| | measured | wanted | reached |
|---|---|---|---|
{targets}
{why}
## A step

Medians of whole steps, reading the batch included. skood lays the net out with channels last, and
draws dropout's masks, of elements as published, with 16 bits an element; the published side has
torch's defaults. The losses differ by what dropout drew: they are means over the steps, beside the
span from the smallest to the largest. So few draws show no more than that; `tests/test_dropout.py`
tests at what rate elements are dropped, and what the others are divided by.

| method | | s | published / it | loss | span | steps |
|---|---|---|---|---|---|---|
{times}

## The same step

Without dropout both sides make one step. Differences of the losses, and of what is trained after
the step (the weights of UM, the scores of UMAP), relative to how far the step moved it.

| method | precision | rows | loss, published | difference | of the update, relative |
|---|---|---|---|---|---|
{differences}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"record in {RESULTS.name}")
    parser.add_argument("--check", action="store_true", help="fail where a target is missed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    text, missed = record()
    print(text)
    if arguments.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text)
    if arguments.check and missed:
        raise SystemExit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
