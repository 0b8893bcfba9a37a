"""Time the step of Outlier Exposure and of ATOM where there is a GPU, beside the authors' loops.

    python benchmarks/gpu.py --write                       # on the GPU, or without one on the CPU
    python benchmarks/gpu.py --steps 1 --epochs 4 --write  # what a CPU does in ten minutes

WideResNet(40, 2) on images of CIFAR-10's shape. skood's side is ``fit``; the other restates the
loops of the released code on torch alone: float32, images made floats on the CPU and copied as the
step begins, the loss read in every step. They take turns epoch by epoch in one process. Neither
augments, and mining is not in it: it is timed by atom_step.py.
"""

import argparse
import platform
import time
from pathlib import Path

import atom_baseline
import numpy as np
import skorch
import torch
from harness import processor
from skorch.callbacks import Callback
from torch.nn import functional as F

import skood
from skood import ATOMDetector, OutlierExposureDetector
from skood.nn import WideResNet

RESULTS = Path(__file__).parent / "results" / "gpu.md"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPE, N_CLASSES = (3, 32, 32), 10
LR = 0.01
VARIANTS = {  # of skood; a CPU without bfloat16 takes minutes over a step of the others
    "float32": {},
    "bf16": {"precision": "bf16"},
    "bf16, compiled": {"precision": "bf16", "compile": True},
} if DEVICE == "cuda" else {"float32": {}}


def finish():
    """Wait for what the device still computes."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def images(n, seed):
    """8-bit images of noise: what they show costs no time."""
    return np.random.default_rng(seed).integers(256, size=(n, *SHAPE), dtype=np.uint8)


# ---- the authors' loops


def outlier_exposure_step(net, optimizer, x_in, y_in, x_out):
    """Make the step of Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure" (2019)."""
    net.train()
    x = torch.cat([x_in, x_out]).float() / 255
    logits = net(x.to(DEVICE))
    logits_in, logits_out = logits[: len(x_in)], logits[len(x_in) :]
    optimizer.zero_grad()
    loss = F.cross_entropy(logits_in, y_in.to(DEVICE))
    loss = loss - 0.5 * (logits_out.mean(1) - logits_out.logsumexp(1)).mean()
    loss.backward()
    optimizer.step()
    return loss.item()


def atom_step(net, optimizer, x_in, y_in, x_out):
    """Make the step of Chen et al., "ATOM" (2021): half of the outliers are attacked."""
    x_in, x_out = (atom_baseline.to_float(x).to(DEVICE) for x in (x_in, x_out))
    clean, rest = x_out.chunk(2)
    start = atom_baseline.draw_start(rest.shape).to(DEVICE)
    atom_baseline.step(net, optimizer, x_in, y_in.to(DEVICE), clean, rest, start)


METHODS = {  # detector, the authors' step, rows of a batch, outliers a row, outputs
    "Outlier Exposure": (OutlierExposureDetector, outlier_exposure_step, 128, 2, N_CLASSES),
    "ATOM": (ATOMDetector, atom_step, 64, 2, N_CLASSES + 1),
}


# ---- taking turns


def turns(epoch, seconds):
    """Return a callback that times the steps of an epoch, and then ``epoch()``."""

    class TakeTurns(Callback):
        def on_epoch_begin(self, net, **kwargs):
            self.begin = None

        def on_batch_begin(self, net, **kwargs):
            if self.begin is None:  # what an epoch mines is behind it
                finish()
                self.begin = time.perf_counter()

        def on_epoch_end(self, net, **kwargs):
            finish()
            own, begin = time.perf_counter() - self.begin, time.perf_counter()
            epoch()
            finish()
            seconds.append((own, time.perf_counter() - begin))

    return TakeTurns()


def step_times(method, parameters, n_steps, n_epochs):
    """Return the milliseconds of a step, skood's and the authors', shape (n_epochs, 2)."""
    Detector, step, n_in, ratio, n_outputs = METHODS[method]
    X, A = images(n_in * n_steps, 0), images(ratio * n_in * n_steps, 1)
    y = np.arange(len(X)) % N_CLASSES
    torch.manual_seed(0)
    net = WideResNet(SHAPE, n_outputs).to(DEVICE)
    optimizer = atom_baseline.make_optimizer(net, LR)
    parts = [torch.from_numpy(each).chunk(n_steps) for each in (X, y, A)]

    def epoch():
        for batch in zip(*parts, strict=True):
            step(net, optimizer, *batch)

    seconds = []
    Detector(
        WideResNet, batch_size=n_in, outlier_ratio=ratio, max_epochs=n_epochs + 1, lr=LR,
        optimizer="sgd", pretrain_epochs=0, callbacks=[turns(epoch, seconds)], device=DEVICE,
        random_state=0, **parameters,
    ).fit(X, y, X_aux=(A,))
    return 1000 * np.array(seconds[1:]) / n_steps  # the first epoch warms both up


def record(n_steps, n_epochs):
    """Return the text of the record."""
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{processor()}; no GPU"
    versions = f"Python {platform.python_version()}, " + ", ".join(
        f"{package.__name__} {package.__version__}" for package in (skood, torch, skorch, np)
    )
    lines = [
        "# A step of WideResNet(40, 2) beside the authors' loops", "",
        f"Command: `python benchmarks/gpu.py --steps {n_steps} --epochs {n_epochs} --write`",
        f"Machine: {name}; threads: {torch.get_num_threads()}. Versions: {versions}.",
        f"Medians of {n_epochs} epochs, steps in each: {n_steps}; one more warms up. The authors'",
        "loops, restated in float32, take turns with `fit` in the same process.", "",
        "| method | skood | skood, ms | the authors', ms | ratio |", "|---|---|---|---|---|",
    ]
    for method in METHODS:
        for variant, parameters in VARIANTS.items():
            own, bare = np.median(step_times(method, parameters, n_steps, n_epochs), axis=0)
            lines.append(f"| {method} | {variant} | {own:.0f} | {bare:.0f} | {bare / own:.2f} |")
            print(lines[-1], flush=True)
    return "\n".join([*lines, ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=50, help="of an epoch")
    parser.add_argument("--epochs", type=int, default=5, help="that are timed")
    parser.add_argument("--write", action="store_true", help=f"record in {RESULTS.name}")
    arguments = parser.parse_args()
    text = record(arguments.steps, arguments.epochs)
    print(text)
    if arguments.write:
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
