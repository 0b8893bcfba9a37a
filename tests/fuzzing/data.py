"""Labels of all kinds, and all that a fit and the calls after it are given."""

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from .containers import CONTAINERS
from .rows import Rows, mostly, outliers, rows

LABELS = {
    "none": lambda n: None,
    "integers": lambda n: np.arange(n) % 2,
    "gaps": lambda n: np.arange(n) % 3 * 10,
    "text": lambda n: np.array(["cat", "dog"])[np.arange(n) % 2],
    "column": lambda n: (np.arange(n) % 2)[:, None],
    "marked": lambda n: np.where(np.arange(n) % 3, np.arange(n) % 2, -1),
    "marked text": lambda n: np.array(["a", "b", -1] * n, dtype=object)[:n],
    "list": lambda n: [i % 2 for i in range(n)],
    "truths": lambda n: np.arange(n) % 2 == 0,
    "floats": lambda n: np.arange(n) / 3,
    "whole floats": lambda n: np.arange(n) % 2 * 1.0,
    "NaN": lambda n: np.full(n, np.nan),
    "infinite": lambda n: np.where(np.arange(n), 0, np.inf),
    "one class": lambda n: np.zeros(n, int),
    "one of a class": lambda n: np.arange(n) == 0,
    "one of each": lambda n: np.arange(n),
    "only outliers": lambda n: np.full(n, -1),
    "too few": lambda n: np.zeros(max(n - 1, 0), int),
    "two columns": lambda n: np.zeros((n, 2), int),
    "one number": lambda n: 1,
    "objects": lambda n: np.array([None, "a"] * n, dtype=object)[:n],
    "of two kinds": lambda n: np.array(["a", 1] * n, dtype=object)[:n],
}
OUTLIERS = "outliers"  # in the place of labels


@dataclass(frozen=True)
class Data:
    """X, y and X_aux of a fit, and other rows to ask about."""

    X: Rows
    y: str
    X_aux: Rows | None
    asked: Rows

    def build(self, folder):
        return {
            "X": self.X.build(folder),
            "y": self._second_argument(folder),
            "X_aux": self.X_aux and self.X_aux.build(folder),
            "asked": self.asked.build(folder),
        }

    def _second_argument(self, folder):
        if self.y == OUTLIERS:
            return replace(self.X, seed=self.X.seed + 1).build(folder)
        return LABELS[self.y](self.X.n)


def data():
    """Draw a ``Data``, mostly of rows of one shape in one container."""
    usual = st.sampled_from(["integers", "text", "none"])
    labels = usual.flatmap(lambda kind: mostly(kind, [*LABELS, OUTLIERS]))
    shapes = st.sampled_from([(3,), (3,), (1, 8, 8)])
    containers = mostly("array", CONTAINERS) | st.sampled_from(["array", "array", "frame"])
    return st.tuples(shapes, containers).flatmap(lambda drawn: st.builds(
        Data, X=rows(*drawn), y=labels, X_aux=outliers(*drawn), asked=rows(*drawn),
    ))


def length(X):
    """Return the number of rows of any container that has one."""
    return X.shape[0] if hasattr(X, "shape") else len(X)
