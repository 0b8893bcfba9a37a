"""The report's tables: the data, the metrics, the surest mistakes of a table, and how to redo it.

A table is a dict of its ``head`` and ``rows``, texts all of them.
"""

import platform
from datetime import datetime, timezone

import joblib
import numpy as np
import pandas as pd
import scipy
import sklearn
import skorch
import torch

from .._version import __version__
from ..plotting._matplotlib import percent

N_SUREST, N_COLUMNS = 5, 8  # rows of each set and columns of X that the page shows
METRICS = {
    "fpr95": "FPR95", "auroc": "AUROC", "aupr_in": "AUPR, ID positive",
    "aupr_out": "AUPR, OOD positive",
}


def interval(low, high):
    """Return an interval of shares as the page writes it."""
    return f"{100 * low:.1f} to {100 * high:.1f}"


def data_card(sets, y_in, descriptions):
    """Return what each set is: its size, kind and range, and a fingerprint to know it again."""
    descriptions = _checked(descriptions, sets)
    rows = [
        [name, f"{len(X):,}", *_kind(X), descriptions.get(name, ""), joblib.hash(_plain(X))[:12]]
        for name, X in sets.items()
    ]
    head = ["set", "rows", "shape", "type", "values", "what it is", "fingerprint"]
    if not descriptions:
        head, rows = head[:5] + head[6:], [row[:5] + row[6:] for row in rows]
    return {"head": head, "rows": rows, "classes": None if y_in is None else _classes(y_in)}


def _checked(descriptions, sets):
    descriptions = dict(descriptions or {})
    unknown = [name for name in descriptions if name not in sets]
    if unknown:
        raise ValueError(f"descriptions must name sets among {list(sets)}, got {unknown}.")
    return descriptions


def _plain(X):
    return X.numpy() if isinstance(X, torch.Tensor) else X


def _kind(X):
    """Return the shape of a sample, the type and the range."""
    X = X if isinstance(X, pd.DataFrame) else np.asarray(X)
    shape = " × ".join(str(size) for size in X.shape[1:])
    if isinstance(X, pd.DataFrame):
        types = ", ".join(sorted({str(dtype) for dtype in X.dtypes}))
        X = X.select_dtypes("number").to_numpy(float, na_value=np.nan)
    else:
        types = str(X.dtype)
    return shape, types, _range(X) if X.size else ""


def _range(X):
    """Return the least and the largest value; frames may lack some, which a pipeline fills in."""
    return f"{np.fmin.reduce(X, axis=None):.4g} to {np.fmax.reduce(X, axis=None):.4g}"


def _classes(y_in):
    names, counts = np.unique(np.asarray(y_in), return_counts=True)
    return ", ".join(f"{name}: {n:,}" for name, n in zip(names, counts, strict=True))


def metrics_table(measured):
    """Return the metrics of each set, and their mean, each with its interval below it."""
    rows = [
        [name, *((percent(row[key]), interval(row[f"{key}_low"], row[f"{key}_high"]))
                 for key in METRICS)]
        for name, row in measured.iterrows()
    ]
    return {"head": ["set", *METRICS.values()], "rows": rows}


def surest_rows(sets, scores):
    """Return, of tables, the rows at the wrong ends of the scores; None of anything else."""
    if any(np.ndim(X) != 2 for X in sets.values()):
        return None
    first = next(iter(sets.values()))
    columns = [str(c) for c in getattr(first, "columns", range(np.shape(first)[1]))][:N_COLUMNS]
    rows = []
    for i, (name, X) in enumerate(sets.items()):
        order = np.argsort(scores[name] if i == 0 else -scores[name], kind="stable")[:N_SUREST]
        values = (X.iloc[order] if hasattr(X, "iloc") else pd.DataFrame(np.asarray(X)[order]))
        for row, score, cells in zip(order, scores[name][order], values.to_numpy(), strict=True):
            rows.append([name, str(row), f"{score:.4g}", *(_cell(c) for c in cells[:N_COLUMNS])])
    return {"head": ["set", "row", "score", *columns], "rows": rows}


def _cell(value):
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def settings(detector):
    """Return the parameters, seeds and versions that the numbers come from."""
    seeds = {
        name: repr(value) for name, value in detector.get_params().items()
        if name == "random_state" or name.endswith("__random_state")
    }
    packages = [
        f"{package.__name__} {package.__version__}"
        for package in (torch, skorch, sklearn, np, scipy, pd)
    ]
    return {
        "detector": repr(detector),
        "seeds": seeds,
        "versions": [f"Python {platform.python_version()}", f"skood {__version__}", *packages],
        "machine": platform.platform(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }
