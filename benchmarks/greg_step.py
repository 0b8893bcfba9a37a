"""Time a step of GReg and of GReg+ beside energy fine-tuning and the published procedure.

    OMP_NUM_THREADS=1 python benchmarks/greg_step.py --write   # record in results/greg_step.md
    OMP_NUM_THREADS=1 python benchmarks/greg_step.py --check   # fail where a target is missed

skood's side is ``fit``, one step each time; the other is benchmarks/greg_baseline.py. All take
turns in one process, each from the same weights, on the same images. Times are CPU times of one
thread; it takes about a quarter of an hour and 13 GB.
"""

import argparse
import copy
import platform
import time
from collections import defaultdict
from pathlib import Path

import greg_baseline
import numpy as np
import sklearn
import skorch
import torch
from atom_mining import SHAPE, settled
from harness import processor
from skorch.callbacks import Callback
from torch.nn import functional as F

import skood
from skood import EnergyExposureDetector, GRegDetector
from skood.datasets import fetch_auxiliary, fetch_cifar10
from skood.nn import DenseNet, SmallResNet, WideResNet

RESULTS = Path(__file__).parent / "results" / "greg_step.md"
LR, WEIGHT = 0.01, 0.1  # WEIGHT: of the gradients' term, in the paper's formula
DENSENET = "DenseNet-BC-100-12"
NETS = {  # how to make it, in-distribution images of a batch, turns
    "SmallResNet": (lambda: SmallResNet(SHAPE, 10), 64, 30),
    "WideResNet(40, 2)": (lambda: WideResNet(SHAPE, 10, dropout=0.0), 64, 3),
    DENSENET: (lambda: DenseNet(SHAPE, 10), 32, 3),  # 64 do not fit: see the page
}
OWN = {  # detector, its parameters, outliers for each image: given, and in the batch
    "energy": (EnergyExposureDetector, {}, 1, 1),
    "weight 0": (GRegDetector, {"grad_weight": 0.0}, 1, 1),
    "GReg": (GRegDetector, {"grad_weight": WEIGHT}, 1, 1),
    "energy, 1:2": (EnergyExposureDetector, {}, 2, 2),
    "GReg+": (GRegDetector, {"grad_weight": WEIGHT, "sampling": "clustered"}, 6, 2),
}
TURN = "energy", "weight 0", "weight 0", "energy", "GReg", "energy, 1:2", "GReg+"
PUBLISHED = {"energy": 0.0, "GReg": WEIGHT, "GReg+": WEIGHT}
AT_MOST = {"weight 0": 1.05, "GReg": 3.0, "GReg+": 4.5}  # over an energy step on as many rows
AT_LEAST = 1.3  # the published GReg step over skood's
clock = time.process_time


def images(n):
    """Return images of CIFAR-10, of all classes, their labels and auxiliary outliers."""
    data, pool, rng = fetch_cifar10(), fetch_auxiliary("lite").X_aux, np.random.default_rng(0)
    _, first = np.unique(data.y_train, return_index=True)
    rows = np.r_[first, rng.choice(len(data.X_train), n - len(first), replace=False)]
    return data.X_train[rows], data.y_train[rows], pool[rng.choice(len(pool), 6 * n, replace=False)]


def joint(data):
    X, _, A = data
    return torch.from_numpy(np.concatenate([X, A[: len(X)]])).float() / 255


def margins_of(net, data):
    """Return margins that about half of all rows satisfy: with none the term costs nothing."""
    with torch.no_grad():
        energy = greg_baseline.energy(copy.deepcopy(net).train()(joint(data)))
    groups = energy.split(len(data[0]))
    middle, spread = sum(e.mean() for e in groups) / 2, sum(e.std() for e in groups) / 2
    return (middle - spread / 10).item(), (middle + spread / 10).item()


def prepared(name):
    """Return the net of that name, images for a step, and margins."""
    make, n, _ = NETS[name]
    torch.manual_seed(0)
    data = images(n)
    net = settled(make(), joint(data))
    return net, data, margins_of(net, data)


# ---- the steps


def own_step(net, name, data, margins):
    """Fit for one step.

    Returns
    -------
    seconds : array of shape (2,)
        Of reading the batch, choosing it included, and of the step on it.
    loss : float
    batch : skood's, and its labels
    """
    method, parameters, n_given, ratio = OWN[name]
    (X, y, A), times, seen = data, [], []

    class Watch(Callback):
        def on_epoch_begin(self, net, **kwargs):
            times.append(clock())

        def on_batch_begin(self, net, batch, **kwargs):
            times.append(clock())
            seen.append(batch)

        def on_batch_end(self, net, **kwargs):
            times.append(clock())
            seen.append(net.history[-1, "batches", -1, "train_loss"])

    method(
        net, optimizer="sgd", optimizer__weight_decay=1e-4, lr=LR, schedule="constant",
        max_epochs=1, batch_size=len(X), outlier_ratio=float(ratio), m_in=margins[0],
        m_out=margins[1], callbacks=[Watch()], random_state=0, **parameters,
    ).fit(X, y, X_aux=(A[: n_given * len(X)],))
    batch, loss = seen
    return np.diff(times), loss, batch


def published_step(net, name, batch, candidates, margins):
    """Make the same step (GReg+ chooses, but trains on skood's choice); seconds and loss."""
    (pair, y), net = batch, copy.deepcopy(net)
    optimizer, x, start = greg_baseline.make_optimizer(net, LR), pair.x.detach(), clock()
    x_in, x_out = x[: pair.n_in], x[pair.n_in :]
    if name == "GReg+":
        head = [layer for layer in net.modules() if isinstance(layer, torch.nn.Linear)][-1]
        greg_baseline.choose(net, head, torch.from_numpy(candidates), len(x_out), len(x_in))
    chosen = clock()
    # The released code divides the term by all rows of the batch once more.
    weight = PUBLISHED[name] * len(x)
    loss = greg_baseline.step(net, optimizer, x_in, y, x_out, *margins, weight)
    return np.array([chosen - start, clock() - chosen]), loss


def turns(net, data, margins, n_turns):
    """Return the median seconds of each kind of step, in both parts, and both sides' losses."""
    own_step(net, "GReg", data, margins)  # not counted: it finds no memory of its own yet
    seconds, losses = defaultdict(list), {}
    for _ in range(n_turns):
        for name in TURN:
            own, loss, batch = own_step(net, name, data, margins)
            seconds[name].append(own)
            if name in PUBLISHED:
                bare, bare_loss = published_step(net, name, batch, data[2], margins)
                seconds[name, "published"].append(bare)
                losses[name] = loss, bare_loss
    return {what: np.median(times, axis=0) for what, times in seconds.items()}, losses


def times_lines(name, n, n_turns, seconds):
    """Return a row for each kind of step, and what was reached by target."""
    lines, reached = [], {}
    for step, (_, _, _, ratio) in OWN.items():
        own = seconds[step].sum()
        over = own / seconds["energy" if ratio == 1 else "energy, 1:2"].sum()
        columns = [name, step, f"{n} + {ratio * n}", f"{own:.3g}", f"{over:.2f}"]
        if step in PUBLISHED:
            bare = seconds[step, "published"].sum()
            columns += [f"{bare:.3g}", f"{bare / own:.2f}"]
        else:
            columns += ["", ""]
        lines.append(f"| {' | '.join(columns)} | {n_turns * TURN.count(step)} |")
        if step in AT_MOST:
            title = f"{name}: {step} over an energy step"
            reached[title] = over, "at most", AT_MOST[step], over <= AT_MOST[step]
        if step == "GReg":
            reached[f"{name}: published over GReg"] = (
                bare / own, "at least", AT_LEAST, bare / own >= AT_LEAST
            )
    chosen = [f"{each[0]:.2g}" for each in (seconds["GReg+"], seconds["GReg+", "published"])]
    return lines, f"| {name} | {6 * n} | {' | '.join(chosen)} |", reached


# ---- the losses


class AtRest(torch.nn.Module):
    """A net always in evaluation mode, in which BatchNorm does not couple the rows of a batch."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def train(self, mode=True):
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, x):
        """Return the net's logits."""
        return self.net(x)


def plain_loss(net, batch, margins):
    """Return skood's loss on plain torch: the term is of the gradient of the sum of energies."""
    (pair, y), net = batch, copy.deepcopy(net).train()
    x = pair.x.detach().requires_grad_()
    sizes = pair.n_in, len(x) - pair.n_in
    logits_in, logits_out = net(x).split(sizes)
    e_in, e_out = greg_baseline.energy(logits_in), greg_baseline.energy(logits_out)
    gradient, = torch.autograd.grad(e_in.sum() + e_out.sum(), x, retain_graph=True)
    g_in, g_out = gradient.flatten(1).norm(dim=1).split(sizes)
    term = (g_in * (e_in <= margins[0])).mean() + (g_out * (e_out >= margins[1])).mean()
    hinges = greg_baseline.hinges(logits_in, logits_out, *margins)
    return (F.cross_entropy(logits_in, y) + greg_baseline.BETA * hinges + WEIGHT * term).item()


def losses_line(name, net, data, margins, losses):
    _, own, batch = own_step(net, "GReg", data, margins)
    rest = AtRest(net)
    at_rest = margins_of(rest, data)
    _, own_at_rest, batch_at_rest = own_step(rest, "GReg", data, at_rest)
    _, bare_at_rest = published_step(rest, "GReg", batch_at_rest, data[2], at_rest)
    terms = np.subtract(losses["GReg"], losses["energy"]) / WEIGHT
    pairs = losses["energy"], (own_at_rest, bare_at_rest), (own, plain_loss(net, batch, margins))
    differences = [f"{abs(a - b):.1e}" for a, b in (*pairs, losses["GReg"])]
    return f"| {name} | {' | '.join(differences)} | {terms[0]:.3f} | {terms[1]:.3f} |"


# ---- the record


def measured():
    """Return the rows of the three tables, and what was reached by target."""
    times, choices, differences, reached = [], [], [], {}
    for name, (_, n, n_turns) in NETS.items():
        net, data, margins = prepared(name)
        seconds, losses = turns(net, data, margins, n_turns)
        lines, choice, of_net = times_lines(name, n, n_turns, seconds)
        print("\n".join(lines), flush=True)
        times, choices, reached = times + lines, [*choices, choice], reached | of_net
        differences.append(losses_line(name, net, data, margins, losses))
    return times, choices, differences, reached


def record():
    """Return the record's text and the targets missed."""
    start = time.process_time()
    times, choices, differences, reached = measured()
    targets = [
        f"| {name} | {value:.3g} | {sense} {bound:g} | {'yes' if met else 'no'} |"
        for name, (value, sense, bound, met) in reached.items()
    ]
    missed = [name for name, (*_, met) in reached.items() if not met]
    versions = f"Python {platform.python_version()}, " + ", ".join(
        f"{package.__name__} {package.__version__}"
        for package in (skood, torch, skorch, sklearn, np)
    )
    text = PAGE.format(
        processor=processor(), versions=versions, minutes=(time.process_time() - start) / 60,
        targets="\n".join(targets), times="\n".join(times), choices="\n".join(choices),
        differences="\n".join(differences),
    )
    return text, missed


PAGE = """\
# GReg: a step beside energy fine-tuning and the published procedure

Command: `OMP_NUM_THREADS=1 python benchmarks/greg_step.py --write`
Machine: {processor}; one thread, other jobs running. Versions: {versions}.
Time: {minutes:.0f} CPU minutes.
CPU times; skood (`fit`, one step) and a plain re-statement of the published procedure
(`greg_baseline.py`) take turns in one process, each step from the same weights of a new net, with
the same images, margins (about half of all rows satisfy them) and optimizer (SGD).

| | measured | wanted | reached |
|---|---|---|---|
{targets}

## A step

Medians of whole steps, reading and choosing the batch included. "Over energy": skood's time over
its own energy step on as many rows. Published energy is the released code at weight 0, which
computes the gradients all the same. GReg+ looks at 6 candidates an image and keeps 2. DenseNet
takes half of the published batches: whole ones (64 + 64, 64 + 128) took a process beyond 22 GB; of
a GReg step on 64 + 64 alone, the published one takes 16 GB, skood's 13 GB.

| net | step | rows | skood, s | over energy | published, s | published / skood | steps |
|---|---|---|---|---|---|---|---|
{times}

Of the GReg+ steps, choosing the outliers alone:

| net | candidates | skood, s | published, s |
|---|---|---|---|
{choices}

## The loss of a step

Differences of skood's loss, float32; the published term times all rows of the batch, as the
released code divides by them. At rest, BatchNorm does not couple the rows of a batch, and both
losses are one. In training it does, and both differ in what they take of the rows' influence on
each other: skood the gradient of the sum of all energies, where the hinge is satisfied; the
released code the gradient of the sum of those energies that satisfy it, at all rows.

| net | weight 0 | GReg, BatchNorm at rest | GReg, skood's term on plain torch | GReg, published \
| term, skood | term, published |
|---|---|---|---|---|---|---|
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
