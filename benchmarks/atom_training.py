"""Time ATOM's training step beside the published one, on equal weights, images and random starts.

    OMP_NUM_THREADS=1 python benchmarks/atom_training.py

benchmarks/atom_step.py records it in results/atom_step.md.
"""

import copy
import time

import atom_baseline
import numpy as np
import torch
from atom_mining import SHAPE, settled
from skorch.callbacks import Callback

from skood import ATOMDetector
from skood.attacks import random_start
from skood.datasets import fetch_auxiliary, fetch_cifar10
from skood.nn import DenseNet, SmallResNet, WideResNet

N = 64  # in-distribution, clean and attacked images of a batch, each
LR, PUBLISHED_LR = 0.01, 0.1  # at the published one new nets saturate: see saturation_lines
NETS = {  # how to make it, steps that are timed
    "DenseNet-BC-100-12": (lambda: DenseNet(SHAPE, 11), 4),
    "WideResNet(40, 4)": (lambda: WideResNet(SHAPE, 11, width=4, dropout=0.0), 3),
    "WideResNet(40, 2)": (lambda: WideResNet(SHAPE, 11, dropout=0.0), 3),
}


def images(n_steps):
    """Images of CIFAR-10, their labels and auxiliary outliers, enough for some steps."""
    data, pool, rng = fetch_cifar10(), fetch_auxiliary("lite").X_aux, np.random.default_rng(0)
    rows = rng.choice(len(data.X_train), N * n_steps, replace=False)
    rows_out = rng.choice(len(pool), 2 * N * n_steps, replace=False)
    return data.X_train[rows], data.y_train[rows], pool[rows_out]


def start_drawn(x, random_state):
    """Return the start, in pixel values, that skood drew when torch's generator stood there."""
    with torch.random.fork_rng():
        torch.set_rng_state(random_state)
        return 255 * random_start(x, 8 / 255, 1 / 255)


def steps(make, n_steps, lr=LR, from_equal_weights=True, **parameters):
    """Make steps in turns, skood's by ``ATOMDetector.fit``.

    Returns
    -------
    seconds : array of shape (n_steps, 3)
        Of skood, of the baseline, and of one forward pass of the images that are attacked.
    losses : array of shape (n_steps, 2)
    n_unmoved : array of shape (n_steps,)
        Images that the baseline's attack left as they were.
    """
    torch.manual_seed(0)
    X, y, A = images(n_steps)
    net = make()
    net = settled(net, torch.from_numpy(A[:N]).to(next(net.parameters())) / 255)
    bare, clock, seconds, losses, n_unmoved = copy.deepcopy(net), time.process_time, [], [], []
    optimizer = atom_baseline.make_optimizer(bare, lr)

    class TakeTurns(Callback):
        def on_batch_begin(self, net, batch, **kwargs):
            if from_equal_weights:
                bare.load_state_dict(net.module_.state_dict())
            self.batch, self.random_state, self.start = batch, torch.get_rng_state(), clock()

        def on_batch_end(self, net, **kwargs):  # skood has just made a step
            times, (pair, y) = [clock() - self.start], self.batch
            x_in, clean, rest = pair.x.split(N)
            start = start_drawn(rest, self.random_state)
            begin = clock()
            loss, attacked = atom_baseline.step(bare, optimizer, x_in, y, clean, rest, start)
            times.append(clock() - begin)
            begin = clock()
            atom_baseline.outlier_loss(bare.eval(), rest)
            seconds.append([*times, clock() - begin])
            losses.append((net.history[-1, "batches", -1, "train_loss"], loss))
            n_unmoved.append(N - (attacked != rest).flatten(1).any(1).sum().item())

    ATOMDetector(
        net, optimizer="sgd", optimizer__weight_decay=1e-4, lr=lr, schedule="constant",
        max_epochs=1, batch_size=N, outlier_ratio=2.0, quantile=0.0, pool_size=len(A),
        callbacks=[TakeTurns()], random_state=0, **parameters,
    ).fit(X, y, X_aux=(A,))
    return np.array(seconds), np.array(losses), np.array(n_unmoved)


def difference(losses):
    return abs(losses[:, 0] - losses[:, 1]).max()


def training_section():
    lines = [
        f"## A training step: {N} in-distribution images, {N} outliers and {N} attacked ones", "",
        "Medians over the steps of new nets, whose BatchNorm has the statistics of one batch. The",
        "baseline takes skood's weights before each step, so each loss compares one whole step.",
        "The released loop never evaluates its last iterate: it saves one forward pass of the",
        "attacked images, which is timed and subtracted for the ratio in brackets.",
        "", "| net | precision | skood, s | published, s | ratio (released loop) | steps "
        "| largest difference of a loss |", "|---|---|---|---|---|---|---|",
    ]
    reached, differences = {}, []
    for name, (make, n_steps) in NETS.items():
        for precision in ("float32", "bf16"):
            seconds, losses, _ = steps(make, n_steps, precision=precision)
            own, bare, forward = np.median(seconds, axis=0)
            reached[name + ", bf16" * (precision == "bf16")] = bare / own
            differences += [difference(losses)] * (precision == "float32")
            lines.append(
                f"| {name} | {precision} | {own:.1f} | {bare:.1f} | {bare / own:.2f} "
                f"({(bare - forward) / own:.2f}) | {n_steps} | {difference(losses):.1e} |"
            )
            print(lines[-1], flush=True)
    lines += ["", *drift_lines(), "", *saturation_lines()]
    return lines, reached | {"difference of a loss": max(differences)}


def drift_lines(n_steps=5):
    """Say how far both drift apart where each goes on with its own weights."""
    drifts = []
    for name, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        _, losses, _ = steps(
            lambda dtype=dtype: DenseNet(SHAPE, 11, depth=10).to(dtype), n_steps,
            from_equal_weights=False, dtype=name,
        )
        drifts.append(f"{difference(losses):.1e} in {name}")
    return [
        f"Each going on with its own weights for {n_steps} steps (DenseNet of depth 10), the",
        f"losses drift apart by {' and by '.join(drifts)}: both make the same steps.",
    ]


def saturation_lines(n_steps=6):
    """Say where the losses differ: where the published attack stands still."""
    _, losses, n_unmoved = steps(lambda: SmallResNet(SHAPE, 11), n_steps, PUBLISHED_LR)
    return [
        f"All this at a learning rate of {LR:g}. At the published {PUBLISHED_LR:g} a new net is so",
        "sure of some outliers, in evaluation mode, that the loss attacked, -log p_K, is exactly 0",
        f"in float32, and so is its gradient: of {N} images the published attack leaves",
        f"{', '.join(map(str, n_unmoved))} unmoved in the first {n_steps} steps of SmallResNet.",
        "skood climbs the log-odds, whose gradient has the same sign and does not vanish; it moves",
        f"them, and the losses differ by up to {difference(losses):.1e}.",
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("\n".join(training_section()[0]))
