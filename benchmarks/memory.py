"""Measure the memory of a fit against a pool of a million images on disk.

    python benchmarks/memory.py --write   # record in results/memory.md
    python benchmarks/memory.py --check   # fail where a fit takes more than 2 GB

Each detector is fitted in a process of its own, for one epoch, on 2,000 labelled images against a
memmap of 1,000,000 x 3 x 32 x 32 8-bit ones, 3.1 GB of noise that are written beside it first. It
takes some minutes, and 3.1 GB of disk.
"""

import argparse
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
from harness import processor  # beside this file

import skood

RESULTS = Path(__file__).parent / "results" / "memory.md"
SHAPE, N_POOL, N_TRAIN = (3, 32, 32), 1_000_000, 2_000
AT_MOST = 2.0  # GB
DETECTORS = {
    "OutlierExposureDetector": {},
    "EnergyExposureDetector": {},
    "NTOMDetector": {},
    "ATOMDetector": {"n_steps": 1},
    "GRegDetector": {"sampling": "clustered"},
    "DOSDetector": {},
    "WOODSDetector": {},
}


# ---- in a process of its own


def gigabytes(key):
    """Return a size of this process, in GB, as the kernel counts it."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{key}:\s+(\d+) kB", status)[1]) * 1024 / 1e9


class Peak(threading.Thread):
    """The most that a size of this process comes to, looked at every 5 ms."""

    def __init__(self, key):
        super().__init__(daemon=True)
        self.key, self.done = key, threading.Event()
        self.before = self.gigabytes = gigabytes(key)

    def run(self):
        """Look until it is done."""
        while not self.done.wait(0.005):
            self.gigabytes = max(self.gigabytes, gigabytes(self.key))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join()


def fit(name, path):
    """Fit against the pool at `path`; print the seconds and the memory."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    X = rng.integers(256, size=(N_TRAIN, *SHAPE), dtype=np.uint8)
    y = rng.integers(10, size=N_TRAIN)
    pool = np.load(path, mmap_mode="r")
    detector = getattr(skood, name)(max_epochs=1, random_state=0, **DETECTORS[name])
    start = time.perf_counter()
    with Peak("RssAnon") as own:
        detector.fit(X, y, X_aux=(pool,))
    print(time.perf_counter() - start, own.before, own.gigabytes, gigabytes("VmHWM"))


# ---- the record


def write_pool(path):
    """Write noise: its values do not matter, but a file with holes would not be read from disk."""
    pool = np.lib.format.open_memmap(path, "w+", np.uint8, (N_POOL, *SHAPE))
    rng = np.random.default_rng(0)
    for start in range(0, N_POOL, 10_000):
        pool[start : start + 10_000] = rng.integers(256, size=(10_000, *SHAPE), dtype=np.uint8)
    pool.flush()


def measured(names):
    """Return a row of the table for each detector, and the names of those above the bound."""
    lines, missed = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.npy"
        write_pool(path)
        for name in names:
            command = [sys.executable, __file__, "--fit", name, "--pool", str(path)]
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds, before, own, resident = map(float, run.stdout.split())
            lines.append(f"| {name} | {before:.2f} | {own:.2f} | {resident:.2f} | {seconds:.0f} |")
            print(lines[-1], flush=True)
            missed += [name] * (own > AT_MOST)
    return lines, missed


PAGE = """\
# Memory of a fit against a million images on disk

Command: `python benchmarks/memory.py --write`. Machine: {processor}, one thread;
Python {python}, torch {torch}, numpy {numpy}, skood {skood}.

{n_train:,} labelled images, a memmap of {n_pool:,} x 3 x 32 x 32 8-bit outliers (3.07 GB), the
default network, one epoch (after one of pretraining where the method has that), each in a process
of its own. GB that the process holds for itself before the fit, with the libraries and the images,
and at the peak: at most {at_most:g} are wanted. "Resident, with files" is the peak with the pages
of the pool, up to all of it, that the system keeps while nobody else wants memory, and takes back
when somebody does.

| detector | own, before | own, peak | resident, with files | seconds |
|---|---|---|---|---|
{lines}

Tried by hand: in a control group of 2 GB, pages of the pool included, all of these fits run to
their end, in 5 to 50 seconds, as pages have to be read again.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"record in {RESULTS.name}")
    parser.add_argument("--check", action="store_true", help="fail where a fit takes too much")
    parser.add_argument("--fit", metavar="DETECTOR", help="only that, in this process")
    parser.add_argument("--pool", help="file of the outliers, with --fit")
    arguments = parser.parse_args()
    if arguments.fit:
        fit(arguments.fit, arguments.pool)
        return
    lines, missed = measured(DETECTORS)
    text = PAGE.format(
        processor=processor(), python=platform.python_version(), torch=torch.__version__,
        numpy=np.__version__, skood=skood.__version__, n_train=N_TRAIN, n_pool=N_POOL,
        at_most=AT_MOST, lines="\n".join(lines),
    )
    if arguments.write:
        RESULTS.write_text(text)
    if arguments.check and missed:
        raise SystemExit(f"above {AT_MOST:g} GB: {', '.join(missed)}")


if __name__ == "__main__":
    main()
