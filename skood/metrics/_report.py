"""A table of the metrics over several out-of-distribution sets."""

import numpy as np
from sklearn.utils import check_random_state

from ._curve import Curve
from ._intervals import check_bootstrap, percentile_limits
from ._protocols import check_positive, check_protocol, check_tpr, summarise
from ._sets import check_detector, check_set_scores, frame, named_sets, rightly_named


def ood_report(
    detector,
    X_in,
    X_ood,
    *,
    y_in=None,
    tpr=0.95,
    positive=None,
    protocol=None,
    n_bootstrap=0,
    confidence_level=0.95,
    random_state=None,
):
    """Judge a detector, or its scores, on several out-of-distribution sets.

    Parameters
    ----------
    detector : estimator or None
        Fitted, with ``score_samples`` (higher = more in-distribution). Each set is scored once.
        None: `X_in` and `X_ood` hold scores already.
    X_in : array-like
        In-distribution test rows, or their scores of shape (n_in,).
    X_ood : dict of str to array-like, or array-like
        Out-of-distribution test sets by name, or their scores; a bare array is named "ood".
    y_in : array-like of shape (n_in,), optional
        Class labels of `X_in`; adds the column "accuracy", the share of ID rows whose
        ``predict_class`` is right. It does not depend on the OOD set.
    tpr : float in (0, 1], default=0.95
        True-positive rate of the FPR, whose column is named after it ("fpr95").
    positive : {"id", "ood"}, optional
        Class that the FPR counts as positive. By default ``"id"``, or that of the `protocol`.
    protocol : {"openood", "hendrycks", "atom"}, optional
        Published rules for FPR and AUPR, see `fpr_at_tpr` and `aupr_in`.
    n_bootstrap : int, default=0
        Bootstrap replicates for the confidence intervals; 0 for none. 1000 is customary.
    confidence_level : float in (0, 1), default=0.95
        Coverage of the intervals.
    random_state : int, RandomState instance or None, default=None
        Seeds the bootstrap.

    Returns
    -------
    report : pandas.DataFrame
        One row an OOD set and a last row "mean", the unweighted mean over the sets; fractions
        in [0, 1] in the columns "fpr95", "auroc", "aupr_in", "aupr_out" (and "accuracy"). With
        `n_bootstrap`, each metric is followed by its "..._low" and "..._high". ``report.attrs``
        records ``positive``, ``protocol``, ``tpr``, ``n_in``, ``n_ood``, ``n_bootstrap`` and
        ``confidence_level``.

    Raises
    ------
    ValueError
        If a set is empty or named "mean", a score is NaN or infinite, or a parameter is outside
        its range.
    TypeError
        If `detector` lacks ``score_samples``, or ``predict_class`` with `y_in`.

    See Also
    --------
    skood.model_selection.OODScorer : The same metrics inside cross-validation.

    Notes
    -----
    The intervals are percentiles [1]_ over resampled rows: n_in of the ID rows and n_out of each
    OOD set, with replacement. All sets of a replicate share one draw of ID rows, as they share
    the ID rows themselves, so the interval of the mean is neither too narrow nor too wide. They
    speak of the test rows drawn, not of another training run.

    References
    ----------
    .. [1] Efron and Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall 1993.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.metrics import ood_report
    >>> rng = np.random.default_rng(0)
    >>> sets = {"near": rng.normal(1, size=400), "far": rng.normal(-1, size=400)}
    >>> print(ood_report(None, rng.normal(2, size=500), sets).round(2))
          fpr95  auroc  aupr_in  aupr_out
    near   0.68   0.77     0.79      0.73
    far    0.06   0.99     0.99      0.98
    mean   0.37   0.88     0.89      0.85
    """
    rules = check_protocol(protocol)
    positive, tpr = check_positive(positive, rules), check_tpr(tpr)
    n_bootstrap, level = check_bootstrap(n_bootstrap, confidence_level)
    sets = named_sets(X_ood)
    scores_in = np.sort(_score(detector, X_in, "X_in"))
    curves = [
        Curve.from_sorted(scores_in, np.sort(_score(detector, X, f"X_ood[{name!r}]")))
        for name, X in sets.items()
    ]

    def metrics(curve):
        return summarise(curve, tpr, positive, protocol)

    columns = _columns(curves, metrics, n_bootstrap, level, random_state)
    if y_in is not None:
        columns["accuracy"] = np.full(len(sets) + 1, rightly_named(detector, X_in, y_in).mean())
    attrs = {
        "positive": positive,
        "protocol": protocol,
        "tpr": tpr,
        "n_in": len(scores_in),
        "n_ood": {name: curve.n_out for name, curve in zip(sets, curves, strict=True)},
        "n_bootstrap": n_bootstrap,
        "confidence_level": level,
    }
    return frame(columns, [*sets, "mean"], attrs)


def _score(detector, X, name):
    if detector is None:
        return check_set_scores(X, name)
    check_detector(detector, "; pass None to report on scores")
    return check_set_scores(detector.score_samples(X), name)


def _columns(curves, metrics, n_bootstrap, level, random_state):
    """Point values, and their intervals beside them, of every set and of the mean."""
    points = [metrics(curve) for curve in curves]
    names = list(points[0])
    values = _with_mean(np.array([list(point.values()) for point in points]))
    columns = dict(zip(names, values.T, strict=True))
    if n_bootstrap == 0:
        return columns
    replicates = _with_mean(_bootstrap(curves, metrics, n_bootstrap, random_state))
    low, high = percentile_limits(replicates, level)
    bounded = {}
    for j, name in enumerate(names):
        bounded[name] = columns[name]
        bounded[f"{name}_low"], bounded[f"{name}_high"] = low[:, j], high[:, j]
    return bounded


def _with_mean(values):
    """Append the unweighted mean over the sets, the next to last axis."""
    return np.concatenate([values, values.mean(axis=-2, keepdims=True)], axis=-2)


def _bootstrap(curves, metrics, n_bootstrap, random_state):
    """Metrics of resampled rows, of shape (n_bootstrap, sets, metrics).

    One replicate at a time: its arrays stay in cache, and memory does not grow with the number
    of replicates.
    """
    rng = check_random_state(random_state)
    n_in = curves[0].n_in
    replicates = []
    for _ in range(n_bootstrap):
        rows_in = rng.randint(n_in, size=n_in)  # one draw for all sets: they share the ID rows
        draws = [
            curve.resampled(rows_in, rng.randint(curve.n_out, size=curve.n_out)) for curve in curves
        ]
        replicates.append([list(metrics(draw).values()) for draw in draws])
    return np.array(replicates)
