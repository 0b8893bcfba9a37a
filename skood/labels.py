"""The convention that a label of -1 marks a row as out-of-distribution, in one place."""

import numpy as np
import pandas as pd

OOD_LABEL = -1


def is_in_distribution(y, name="y_true"):
    """Return the boolean mask of the in-distribution rows: every label but -1.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels of any kind; of strings, -1 can stand in an object array only.
    name : str
        What the messages call it.

    Raises
    ------
    TypeError
        If a label is the string ``"-1"``.
    ValueError
        If `y` is not one-dimensional, or a label is missing (NaN or None) or infinite.
    """
    labels = np.asarray(y)
    if labels.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), got {labels.shape}; pass one label a row.")
    if pd.isna(labels).any():
        raise ValueError(
            f"{name} has missing labels (NaN or None), the first at row "
            f"{np.flatnonzero(pd.isna(labels))[0]}: give every row a label, or leave such rows out."
        )
    if labels.dtype.kind not in "ifOU":  # other types cannot hold -1
        return np.ones(len(labels), dtype=bool)
    if labels.dtype.kind == "f" and np.isinf(labels).any():
        raise ValueError(f"{name} has infinite labels; give classes finite numbers or names.")
    if labels.dtype.kind in "OU" and np.any(labels == str(OOD_LABEL)):
        raise TypeError(
            f"{name} holds the string '-1'; keep string labels in an object array, where -1 stays "
            "the integer that marks out-of-distribution rows."
        )
    return np.asarray(labels != OOD_LABEL, dtype=bool)
