"""Time the forward pass of scoring in batches of several sizes, and in those that skood chooses.

    OMP_NUM_THREADS=1 python benchmarks/batch_sizes.py

benchmarks/overhead.py records it in results/overhead.md.
"""

import time
from functools import partial

import numpy as np
import torch

from skood.engine.inference import predict_logits
from skood.nn import MLP, DenseNet, MNISTConvNet, SmallResNet, WideResNet

NETS = {  # how to make it, the shape of a sample, the rows that it is timed on
    "MLP": (lambda: MLP((20,), 3), (20,), 16384),
    "SmallResNet": (lambda: SmallResNet((3, 32, 32), 10), (3, 32, 32), 512),
    "SmallResNet, small images": (lambda: SmallResNet((1, 8, 8), 10), (1, 8, 8), 4096),
    "MNISTConvNet": (MNISTConvNet, (1, 28, 28), 1024),
    "WideResNet(40, 2)": (WideResNet, (3, 32, 32), 64),
    "DenseNet-BC-100-12": (DenseNet, (3, 32, 32), 64),
}
SIZES = (8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384)


def to_float(x):
    return x.float().div_(255) if x.dtype == torch.uint8 else x


def bare_scores(net, X, size):
    """Maximum softmax probability, batch by batch."""
    scores = []
    with torch.no_grad():
        for start in range(0, len(X), size):
            x = to_float(torch.from_numpy(X[start : start + size]))
            scores.append(net(x).double().softmax(1).amax(1))
    return torch.cat(scores).numpy()


def turns(calls, repeats):
    """Return CPU seconds of calls in random order: none always meets the litter of the same."""
    rng, times = np.random.default_rng(0), np.empty((repeats, len(calls)))
    for row in times:
        for i in rng.permutation(len(calls)):
            start = time.process_time()
            calls[i]()
            row[i] = time.process_time() - start
    return times


def rows_chosen(net, X):
    lengths = []
    with net.register_forward_hook(lambda net, args, logits: lengths.append(len(logits))):
        predict_logits(net, X, "float32")
    return max(lengths)


def sizes_section():
    lines = [
        "## How many rows make a batch of score_samples", "",
        "Microseconds a row, medians: skood (a first batch of 16 images or 32 table rows, then",
        "as many as keep the largest tensor within 2 MiB), and bare with each size.", "",
        "| net | input | rows chosen | skood | " + " | ".join(map(str, SIZES)) + " |",
        "|---" * (4 + len(SIZES)) + "|",
    ]
    for name, (make, shape, n) in NETS.items():
        net, X = make().eval(), np.random.default_rng(0).random((n, *shape), dtype=np.float32)
        calls = [partial(predict_logits, net, X, "float32")]
        calls += [partial(bare_scores, net, X, size) for size in SIZES if size <= n]
        medians = np.median(turns(calls, 5 if n == 64 else 15), axis=0)
        costs = [f"{1e6 * seconds / n:.3g}" for seconds in medians]
        costs += [""] * (len(SIZES) + 1 - len(costs))
        columns = [name, "x".join(map(str, shape)), str(rows_chosen(net, X)), *costs]
        lines.append(f"| {' | '.join(columns)} |")
    return lines


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("\n".join(sizes_section()))
