"""Time ATOM's mining pass beside the published one, and measure the memory that it takes.

    OMP_NUM_THREADS=1 python benchmarks/atom_mining.py

benchmarks/atom_step.py records it in results/atom_step.md.
"""

import copy
import os
import re
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import atom_baseline
import numpy as np
import torch
from skorch.callbacks import Callback

from skood import ATOMDetector, scores
from skood.datasets import fetch_auxiliary
from skood.engine.layout import in_fast_layout
from skood.engine.pool import OutlierPool
from skood.engine.selection import MinedSelection
from skood.nn import DenseNet, SmallResNet
from skood.sampling import informative

QUANTILE, SHAPE = 0.125, (3, 32, 32)
N_TIMED, N_POOL = 800, 400_000


def settled(net, x):
    """Give a new network's BatchNorm the statistics of a batch: as they are, logits explode."""
    layers = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 1.0
    with torch.no_grad():
        net.train()(x)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    return net.eval()


# ---- time


def mining_calls(pool):
    """Return the pass as published, skood's, and skood's in bf16; each returns the rows kept."""
    n, few = len(pool), torch.from_numpy(pool[:64]).float() / 255
    torch.manual_seed(0)
    net = settled(DenseNet(SHAPE, 11), few)
    own = in_fast_layout(copy.deepcopy(net), few[:2])  # as a fit does

    def published():
        return atom_baseline.mine(net, torch.from_numpy(pool), n // 4, QUANTILE)[1].numpy()

    def mined(precision):
        choose = MinedSelection(
            own, OutlierPool([pool]), confidence=lambda logits: -scores.abstention(logits),
            select=partial(informative, quantile=QUANTILE), n_candidates=n, n_kept=n // 4,
            dtype="float32", precision=precision, rng=np.random.default_rng(0),
        )
        return choose.mined()

    return [published, partial(mined, "float32"), partial(mined, "bf16")]


def mining_times(n, repeats):
    """Return median milliseconds an image of the three, and the share of equal rows they keep."""
    calls = mining_calls(fetch_auxiliary("lite").X_aux[:n])
    times = np.empty((repeats, len(calls)))
    for row in times:
        kept = []
        for i, call in enumerate(calls):
            start = time.process_time()
            kept.append(call())
            row[i] = 1000 * (time.process_time() - start) / n
    return np.median(times, axis=0), [np.isin(rows, kept[0]).mean() for rows in kept]


def mining_section(repeats=3):
    times, equal = mining_times(N_TIMED, repeats)
    lines = [
        "## A mining pass, DenseNet-BC-100-12", "",
        f"{N_TIMED} candidates, of which a quarter is kept from the {QUANTILE:g} quantile on, by",
        "an untrained net whose BatchNorm has the statistics of one batch. The published pass",
        f"scores in batches of 400. Medians of {repeats} turns.", "",
        "| | ms an image | ratio | equal rows kept, % |", "|---|---|---|---|",
    ]
    for name, ms, share in zip(("published", "skood", "skood, bf16"), times, equal, strict=True):
        lines.append(f"| {name} | {ms:.1f} | {times[0] / ms:.2f} | {100 * share:.1f} |")
    return lines, {"mining": times[0] / times[1], "mining, bf16": times[0] / times[2]}


# ---- memory, each in a process of its own


class _Mined(Exception):
    """Ends a fit where its mining pass has ended."""


class _StopThere(Callback):
    def on_batch_begin(self, net, **kwargs):
        raise _Mined


def gigabytes(key):
    """Return what Linux says of this process's memory."""
    kilobytes = re.search(key + r":\s+(\d+)", Path("/proc/self/status").read_text())[1]
    return int(kilobytes) * 1024 / 1e9


def mine_by_fit(X, pool):
    """Run a fit, from its door to the end of its first mining pass."""
    detector = ATOMDetector(
        SmallResNet, batch_size=64, outlier_ratio=2.0, pretrain_epochs=0, random_state=0,
        callbacks=[_StopThere()],
    )
    try:
        detector.fit(X, np.arange(len(X)) % 10, X_aux=(pool,))
    except _Mined:
        return
    raise RuntimeError("the fit never came to its first batch")


def mine_as_published(X, pool):
    net = SmallResNet(SHAPE, 11)
    atom_baseline.mine(net, torch.from_numpy(pool), len(pool) // 4, QUANTILE)


def memory_of_a_pass(kind, n, folder):
    """Print the gigabytes added at the peak by pool and pass, and how many are of mapped files."""
    torch.set_num_threads(1)
    X = np.ones((n // 8, *SHAPE), np.uint8)
    Path("/proc/self/clear_refs").write_text("5")  # let the peak start afresh
    before, mapped = gigabytes("VmRSS"), gigabytes("RssFile")
    if kind == "memmap":
        pool = np.load(pool_file(folder), mmap_mode="r")[:n]
    else:
        pool = np.random.default_rng(0).integers(256, size=(n, *SHAPE), dtype=np.uint8)
    (mine_as_published if kind == "published" else mine_by_fit)(X, pool)
    print(gigabytes("VmHWM") - before, gigabytes("RssFile") - mapped)


def pool_file(folder):
    return Path(folder) / "pool.npy"


def measured_memory(kind, n, folder):
    code = f"import atom_mining; atom_mining.memory_of_a_pass({kind!r}, {n}, {str(folder)!r})"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    return [float(word) for word in run.stdout.split()]


def memory_section():
    with tempfile.TemporaryDirectory() as folder:
        array, _ = measured_memory("array", N_POOL, folder)
        rng, shape = np.random.default_rng(0), (N_POOL, *SHAPE)
        pool = np.lib.format.open_memmap(pool_file(folder), "w+", np.uint8, shape)
        for part in np.split(pool, 20):
            part[:] = rng.integers(256, size=part.shape, dtype=np.uint8)
        pool.flush()
        memmap, mapped = measured_memory("memmap", N_POOL, folder)
        published, _ = measured_memory("published", N_POOL // 10, folder)
    pool_size = N_POOL * np.prod(SHAPE) / 1e9
    return [
        f"## The memory of a mining pass over {N_POOL:,} images", "",
        "What the resident memory of a fresh process gains at its peak, from before the pool",
        "exists until the first batch of `ATOMDetector.fit` is ready. SmallResNet, 3x32x32, 8-bit;",
        f"the pool itself is {pool_size:.2f} GB of 1e9 bytes.", "",
        "| | GB |", "|---|---|",
        f"| skood, the pool an array | {array:.2f} |",
        f"| skood, the pool a memmap | {memmap:.2f}, of which {mapped:.2f} are pages of files, "
        "which the system takes back when it needs them |",
        f"| published, {N_POOL // 10:,} images | {published:.2f}, so about {10 * published:.0f} "
        f"for {N_POOL:,} |",
    ], {"mining memory, GB": array}


if __name__ == "__main__":
    torch.set_num_threads(1)
    for section in (mining_section, memory_section):
        print("\n".join(section()[0]), flush=True)
