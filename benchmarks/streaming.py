"""Measure what it costs to train against outliers that are not in memory.

    python benchmarks/streaming.py --write   # record in results/streaming.md

A memmap of 1,000,000 x 3 x 32 x 32 8-bit images, 3.07 GB of noise that are written first, and a
Dataset whose items take 1 ms to decode, each read by one epoch of Outlier Exposure. The baseline is
random access: rows read batch by batch, at the moment when they are due, in the order of a
permutation. Each turn begins with none of the file's pages in memory. It takes some minutes.
"""

import argparse
import os
import platform
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from harness import processor
from memory import N_POOL, SHAPE, write_pool  # beside this file
from torch.utils.data import Dataset

import skood
from skood.engine import inputs, loader, pool
from skood.engine.inputs import rows
from skood.engine.order import draw
from skood.engine.selection import RandomSelection
from skood.nn import SmallResNet

RESULTS = Path(__file__).parent / "results" / "streaming.md"
N_READ, N_TRAIN, N_ITEMS = 200_000, 4_000, 20_000
BATCH, REPEATS, DECODE_SECONDS = 128, 3, 0.001


class Slow(Dataset):
    """Items that take a millisecond, in which, as in a decoder, another thread can run."""

    def __init__(self, X):
        self.X = X

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        time.sleep(DECODE_SECONDS)
        return self.X[i]


# ---- the baseline


def by_row(X, indices, read_ahead):
    """Read each batch when it is due, its rows in the order drawn."""
    return (X.take(i) if isinstance(X, pool.OutlierPool) else rows(X, i) for i in indices)


def in_random_order(self, sizes):
    """Draw row numbers, one by one."""
    index = draw(len(self.pool), sum(sizes), self.rng)
    return np.split(index, np.cumsum(sizes)[:-1])


@contextmanager
def random_access():
    """Read for a while as if everything were in memory, and tell the system nothing."""
    with (
        mock.patch.object(loader, "in_batches", by_row),
        mock.patch.object(RandomSelection, "candidates", in_random_order),
        mock.patch.object(inputs, "announce", lambda array, index: None),
    ):
        yield


# ---- what is measured


def read_only(X_aux, read_ahead):
    """Read the batches of an epoch, without any network; return the outliers a second."""
    ids = np.zeros((N_READ // 2, *SHAPE), np.uint8)
    batches = loader.PairedLoader(
        ids, np.zeros(len(ids), np.int64), pool.OutlierPool([X_aux]), batch_size=BATCH,
        outlier_ratio=2.0, rng=np.random.default_rng(0), augment=None, dtype="float32",
        read_ahead=read_ahead,
    )
    start = time.perf_counter()
    for _ in batches:
        pass
    return batches.n_out / (time.perf_counter() - start)


def an_epoch(X_aux, read_ahead):
    """Fit for one epoch; return the outliers a second in it."""
    rng = np.random.default_rng(0)
    X, y = rng.integers(256, size=(N_TRAIN, *SHAPE), dtype=np.uint8), rng.integers(10, size=N_TRAIN)
    detector = skood.OutlierExposureDetector(
        SmallResNet, max_epochs=1, batch_size=BATCH, random_state=0,
        iterator_train__read_ahead=read_ahead,
    ).fit(X, y, X_aux=(X_aux,))
    return 2 * N_TRAIN / detector.history_[0]["dur"]


def forget(path):
    """Have the system drop the pages of a file that it keeps in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def turns(measure, open_source, path):
    """Return the rows a second, a turn each: by random access, in blocks, and in blocks ahead."""
    speeds = np.empty((REPEATS, 3))
    for row in speeds:
        for i, read_ahead in enumerate((False, False, True)):
            source = open_source()
            if path is not None:
                forget(path)
            if i:
                row[i] = measure(source, read_ahead)
            else:
                with random_access():
                    row[i] = measure(source, read_ahead)
    return speeds


def line(name, speeds):
    """Return a row of the table: medians, and of the ratios in each turn the median and range."""
    ratios = speeds[:, 2] / speeds[:, 0]
    median = np.median(speeds, axis=0)
    return (
        f"| {name} | {median[0]:,.0f} | {median[1]:,.0f} | {median[2]:,.0f} | "
        f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f}) |"
    )


PAGE = """\
# Outliers that are not in memory

Command: `python benchmarks/streaming.py --write`. Machine: {processor}, one thread of torch;
Python {python}, torch {torch}, numpy {numpy}, skood {skood}.

Outliers a second. "Random" is the baseline: rows in the order of a permutation, read when their
batch is due. "Blocks" is the order by windows of neighbours, of which the system is told before
they are read, block by block, by the thread that trains; "ahead" is skood's default, the same with
the next block read by a thread meanwhile. Medians of {repeats} turns, the three in each turn one
after the other; the ratio is ahead : random, its median and range over the turns. Before each
measurement the file is dropped from the system's memory (`posix_fadvise`); what a host of a virtual
machine keeps of it stays.

| | random | blocks | ahead | ratio |
|---|---|---|---|---|
{lines}

- The file has {n_pool:,} x 3 x 32 x 32 8-bit images, 3.07 GB. Its batches alone: {n_read:,} rows,
  in batches of {batch} rows in memory and twice as many outliers. An epoch of
  `OutlierExposureDetector` with `SmallResNet`: {n_train:,} images beside {n_out:,} outliers.
- The Dataset has {n_items:,} items, each of which sleeps for {ms:g} ms, as a decoder does that lets
  go of Python's lock. The best that one thread can read is {best:,.0f} a second.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"record in {RESULTS.name}")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.npy"
        write_pool(path)

        def file():
            return np.load(path, mmap_mode="r")

        def items():
            return Slow(file()[:N_ITEMS])

        for name, measure, source, dropped in (
            ("batches of the file alone", read_only, file, path),
            ("an epoch with the file", an_epoch, file, path),
            ("an epoch with the Dataset", an_epoch, items, None),
        ):
            lines.append(line(name, turns(measure, source, dropped)))
            print(lines[-1], flush=True)
    text = PAGE.format(
        processor=processor(), python=platform.python_version(), torch=torch.__version__,
        numpy=np.__version__, skood=skood.__version__, repeats=REPEATS, lines="\n".join(lines),
        n_pool=N_POOL, n_read=N_READ, n_train=N_TRAIN, n_out=2 * N_TRAIN, batch=BATCH,
        n_items=N_ITEMS, ms=1000 * DECODE_SECONDS, best=1 / DECODE_SECONDS,
    )
    if arguments.write:
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
