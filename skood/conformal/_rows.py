"""The rows of a fit, told apart: which are in-distribution, and of which class."""

from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, check_consistent_length, column_or_1d, indexable
from sklearn.utils.validation import _check_method_params

from ..arguments import are_outliers, encode
from ..labels import is_in_distribution
from ..validation import as_array
from ._rules import check_finite
from ._warnings import SHOWN


class Rows(NamedTuple):
    """Rows as they came, and what their labels say.

    Attributes
    ----------
    X : array-like of shape (n, *input_shape)
    y : ndarray of shape (n,) or None
    inside : ndarray of int of shape (n_in,)
        The in-distribution rows: those whose label is not -1.
    codes : ndarray of int of shape (n_in,)
        Their labels, as positions in `classes`; zeros without labels.
    classes : ndarray of shape (n_classes,) or None
    """

    X: object
    y: np.ndarray | None
    inside: np.ndarray
    codes: np.ndarray
    classes: np.ndarray | None


def separate(X, y, X_aux=None):
    """Return X in a container that can be indexed, the labels, and the outliers that came as y."""
    (X,) = indexable(as_array(X))
    if y is None or not are_outliers(y, X):
        return X, y, X_aux
    if X_aux is not None:
        raise ValueError(
            "outliers came twice: the second argument has X's sample shape, so it was read as "
            "outliers, and X_aux was given too. Pass fit(X, y, X_aux=outliers)."
        )
    return X, None, y


def read_rows(X, y):
    """Tell the in-distribution rows from those with ``y == -1``, and read their labels."""
    n = X.shape[0]
    if y is None:
        return Rows(X, None, np.arange(n), np.zeros(n, dtype=int), None)
    y = column_or_1d(y)
    check_consistent_length(X, y)
    inside = np.flatnonzero(is_in_distribution(y, "y"))
    codes, classes = encode(y[inside]) if len(inside) else (np.zeros(0, dtype=int), None)
    return Rows(X, y, inside, codes, classes)


def known_codes(rows, classes):
    """Return the labels as positions in the classes known from fit."""
    if rows.y is None:
        raise ValueError("recalibrate needs y where conditional_on='label': pass the labels.")
    y = rows.y[rows.inside]
    unknown = sorted(set(y.tolist()) - set(classes.tolist()))
    if unknown:
        raise ValueError(
            f"y has the classes {unknown[:SHOWN]}, which fit did not see: it saw "
            f"{classes.tolist()[:SHOWN]}. Fit anew to promise them a rate."
        )
    return np.searchsorted(classes, y.astype(classes.dtype))


def ungrouped(n):
    """Return groups and names for n rows that are all of one group, which has no name."""
    return np.zeros(n, dtype=int), [None]


def take(X, rows):
    """Return rows of X in its own container, or X itself where all are asked for."""
    return X if len(rows) == X.shape[0] else _safe_indexing(X, rows)


def passes_over_labels(estimator):
    """Whether an estimator would learn the outliers among its rows as known ones.

    All estimators of scikit-learn that have a score of their own do: they are density estimates
    and outlier detectors, and their ``fit`` has y for the sake of its signature.
    """
    if isinstance(estimator, Pipeline):
        return passes_over_labels(estimator.steps[-1][1])
    # What is around another estimator, a search, may need the outliers to judge by.
    if not isinstance(estimator, BaseEstimator) or "estimator" in estimator.get_params(deep=False):
        return False
    return type(estimator).__module__.split(".")[0] == "sklearn"


def training_rows(estimator, rows, held_out):
    """Return the rows that an estimator learns from: with the outliers, if it can tell them."""
    candidates = rows.inside if passes_over_labels(estimator) else np.arange(rows.X.shape[0])
    return np.setdiff1d(candidates, held_out)


def fit_and_score(estimator, rows, held_out, params):
    """Fit a clone without the rows held out, and score these.

    Parameters
    ----------
    estimator : estimator
    rows : Rows
    held_out : ndarray of int
    params : dict
        For ``fit``. Those with an entry a row are cut to the training rows; X_aux never is.

    Returns
    -------
    fitted : estimator
    scores : ndarray of float64 of shape (len(held_out),)
    """
    trained_on = training_rows(estimator, rows, held_out)
    outliers = {name: params[name] for name in params if name == "X_aux"}
    others = {name: params[name] for name in params if name != "X_aux"}
    fitted = clone(estimator).fit(
        take(rows.X, trained_on), None if rows.y is None else rows.y[trained_on],
        **_check_method_params(rows.X, others, trained_on), **outliers,
    )
    scores = fitted.score_samples(take(rows.X, held_out))
    return fitted, check_finite(scores, f"scores of {type(fitted).__name__}")
