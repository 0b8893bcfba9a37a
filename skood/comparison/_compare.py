"""Detectors side by side on the same rows: metrics, their intervals, and tests of differences."""

from itertools import product
from typing import NamedTuple

import numpy as np

from .._random import as_generator
from ..metrics._bootstrap import (
    PairedCurve,
    check_bootstrap,
    holm,
    paired_replicates,
    percentile_limits,
    percentile_test,
)
from ..metrics._delong import (
    Placements,
    auroc_limits,
    auroc_variance,
    difference_test,
    exact_limits,
    placements,
)
from ..metrics._protocols import check_positive, check_protocol, check_tpr, summarise
from ..metrics._sets import frame
from ._scores import read_scores

_FPR, _AUROC = 0, 1  # among the metrics of `summarise`


def compare(
    detectors,
    X_in,
    X_ood,
    *,
    reference=None,
    tpr=0.95,
    positive=None,
    protocol=None,
    n_bootstrap=1000,
    confidence_level=0.95,
    random_state=None,
):
    """Compare detectors on the same rows, with confidence intervals and paired tests.

    Parameters
    ----------
    detectors : dict of str to estimator, list of estimators, or None
        Fitted, with ``score_samples`` (higher = more in-distribution); those of a list are named by
        their classes. Each set is scored once by each detector, and those that read one network
        share its pass (`skood.score_many`). None: `X_in` and `X_ood` hold scores already.
    X_in : array-like
        In-distribution test rows; without `detectors`, a dict of names to scores (n_in,).
    X_ood : dict of str to array-like, or array-like
        Out-of-distribution test sets by name; a bare array is named "ood". Without `detectors`, for
        each set a dict of names to scores (n_out,).
    reference : str, default=None
        Name of the detector that the others are tested against. None: the first.
    tpr : float in (0, 1], default=0.95
        True-positive rate of the FPR, which is named after it ("fpr95").
    positive : {"id", "ood"}, optional
        Class that the FPR counts as positive. By default ``"id"``, or that of the `protocol`.
    protocol : {"openood", "hendrycks", "atom"}, optional
        Published rules for FPR and AUPR, see `skood.metrics.fpr_at_tpr` and
        `skood.metrics.aupr_in`.
    n_bootstrap : int, default=1000
        Replicates for all metrics but the AUROC, whose intervals need none; 0 for no intervals of
        those. The smallest p-value is ``2 / (n_bootstrap + 1)``.
    confidence_level : float in (0, 1), default=0.95
        Coverage of each interval by itself.
    random_state : int, RandomState, Generator or None, default=None
        Seeds the bootstrap.

    Returns
    -------
    comparison : pandas.DataFrame
        One row for each metric, OOD set and detector, in this order; of several sets the last is
        "mean", the unweighted mean over them. The columns:

        - "metric" ("fpr95", "auroc", "aupr_in", "aupr_out"), "ood_set", "detector";
        - "value", a fraction in [0, 1], and its interval "low", "high";
        - "difference" from the reference and its interval "difference_low", "difference_high";
        - "p_value" of a paired, two-sided test of no difference, and "p_adjusted", the same after
          Holm's correction. These are NaN for the reference itself;
        - "method", of intervals and test: "delong" or "bootstrap".

        ``comparison.attrs`` records ``reference``, ``positive``, ``protocol``, ``tpr``, ``n_in``,
        ``n_ood``, ``n_bootstrap`` and ``confidence_level``.

    Raises
    ------
    ValueError
        If `reference` is no detector's name, a set is empty or named "mean", a score is NaN or
        infinite, scores given are not of the same rows, or a parameter is outside its range.
    TypeError
        If a detector lacks ``score_samples``, or an argument is of another type than said above.

    See Also
    --------
    comparison_table : The comparison as a table to print.
    skood.metrics.ood_report : One detector.

    Notes
    -----
    AUROC: the variance of [1]_, by ranks as in [2]_. The interval is normal for the log-odds of the
    AUROC, or exact where all rows are in order; the test of a difference is normal for the
    difference. The variance of the mean over sets counts the ID rows once, as the sets share them.

    All other metrics: percentiles [3]_ of a bootstrap, ID and OOD rows drawn apart. Detectors share
    each draw, so differences are paired, and their p-value is the level at which their interval
    reaches 0. An FPR that no draw moves from 0 or 1 has the exact limits of that share. An AUPR
    that no draw moves has none (NaN): where all rows are in order, drawing them again says nothing.

    With one row in a class there are no intervals. Holm's correction [4]_ is for the tests of one
    metric: all other detectors on all sets; for the means, all other detectors. Intervals are not
    corrected.

    All this speaks of the test rows drawn. Another training run of a detector differs by more:
    compare several seeds before you call a method better.

    References
    ----------
    .. [1] DeLong, DeLong and Clarke-Pearson, "Comparing the Areas under Two or More Correlated
       Receiver Operating Characteristic Curves", Biometrics 1988.
    .. [2] Sun and Xu, "Fast Implementation of DeLong's Algorithm", IEEE Signal Processing Letters
       2014.
    .. [3] Efron and Tibshirani, "An Introduction to the Bootstrap", Chapman & Hall 1993.
    .. [4] Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
       Statistics 1979.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neighbors import LocalOutlierFactor
    >>> from skood import compare
    >>> rng = np.random.default_rng(0)
    >>> X, X_in = rng.normal(size=(300, 2)), rng.normal(size=(200, 2))
    >>> far = rng.normal(2, size=(100, 2))
    >>> detectors = {
    ...     f"lof-{k}": LocalOutlierFactor(k, novelty=True).fit(X) for k in (20, 3)
    ... }
    >>> comparison = compare(detectors, X_in, {"far": far}, random_state=0)
    >>> auroc = comparison[comparison["metric"] == "auroc"].set_index("detector")
    >>> print(auroc[["value", "low", "high", "difference"]].round(2))
    ...     # doctest: +NORMALIZE_WHITESPACE
              value   low  high  difference
    detector
    lof-20     0.93  0.89  0.96         NaN
    lof-3      0.81  0.75  0.86       -0.12
    """
    positive, tpr = check_positive(positive, check_protocol(protocol)), check_tpr(tpr)
    n_bootstrap, level = check_bootstrap(n_bootstrap, confidence_level)
    rng = as_generator(random_state)
    scores = read_scores(detectors, X_in, X_ood)
    against = _check_reference(reference, scores.detectors)
    curves = [
        [PairedCurve(*each) for each in zip(scores.inside, outside, strict=True)]
        for outside in scores.sets.values()
    ]

    def metrics(curve):
        return summarise(curve, tpr, positive, protocol)

    values = _with_mean(np.array([[[*metrics(c.whole).values()] for c in own] for own in curves]))
    rows = _Rows(len(scores.inside[0]), [own[0].whole.n_out for own in curves])
    draws = paired_replicates(curves, lambda c: [*metrics(c).values()], n_bootstrap, rng)
    columns = _by_bootstrap(draws, values, against, level)
    _settle_extremes(columns, values, rows.negatives(positive), level)
    for name, column in _by_delong(scores, values[..., _AUROC], against, rows, level).items():
        columns[name][..., _AUROC] = column
    _erase(columns, rows.single, against)
    columns["p_adjusted"] = _adjusted(columns["p_value"], len(curves))
    names = [*metrics(curves[0][0].whole)], [*scores.sets, "mean"][: len(values)], scores.detectors
    return _frame(columns, *names, {
        "reference": scores.detectors[against],
        "positive": positive,
        "protocol": protocol,
        "tpr": tpr,
        "n_in": rows.n_in,
        "n_ood": dict(zip(scores.sets, rows.n_ood, strict=True)),
        "n_bootstrap": n_bootstrap,
        "confidence_level": level,
    })


class _Rows(NamedTuple):
    """How many rows there are: inside, and in each OOD set."""

    n_in: int
    n_ood: list

    def with_mean(self, count):
        """Return what `count` makes of each set's rows and, of several, of all sets' together."""
        each = [count([n]) for n in self.n_ood]
        return np.array(each if len(each) == 1 else [*each, count(self.n_ood)])

    @property
    def pairs(self):
        """Numbers of pairs, or of tuples with a row of every set, that share no row."""
        return self.with_mean(lambda n_ood: min(self.n_in, *n_ood))

    @property
    def total(self):
        return self.with_mean(lambda n_ood: self.n_in + sum(n_ood))

    @property
    def single(self):
        """Where a class has a single row, of which nobody knows how it varies."""
        return self.with_mean(lambda n_ood: min(self.n_in, *n_ood) < 2)

    def negatives(self, positive):
        return self.with_mean(lambda n_ood: self.n_in if positive == "ood" else min(n_ood))


def _check_reference(reference, detectors):
    if reference is None:
        return 0
    if reference not in detectors:
        raise ValueError(f"reference must be one of the detectors {detectors}, got {reference!r}.")
    return detectors.index(reference)


def _with_mean(values, axis=0):
    """Append the unweighted mean over the sets, where there are several."""
    if values.shape[axis] == 1:
        return values
    return np.concatenate([values, values.mean(axis=axis, keepdims=True)], axis=axis)


def _columns(*arrays):
    names = "value", "low", "high", "difference", "difference_low", "difference_high", "p_value"
    return dict(zip(names, arrays, strict=True))


def _by_bootstrap(draws, values, against, level):
    """Return the columns of intervals and tests, each of shape (sets, detectors, metrics)."""
    difference = values - values[:, [against]]
    if not len(draws):
        nothing = [np.full(values.shape, np.nan) for _ in range(5)]
        return _columns(values, *nothing[:2], difference, *nothing[2:])
    draws = _with_mean(draws, axis=1)
    differences = draws - draws[:, :, [against]]
    limits = percentile_limits(draws, level), percentile_limits(differences, level)
    return _columns(values, *limits[0], difference, *limits[1], percentile_test(differences))


def _settle_extremes(columns, values, n_negatives, level):
    """Replace the limits that no draw has moved: they would claim to be certain."""
    still = columns["low"] == columns["high"]
    columns["low"][still], columns["high"][still] = np.nan, np.nan
    fpr = values[..., _FPR]
    exact = exact_limits(fpr, n_negatives[:, None], level)
    extreme = still[..., _FPR] & ((fpr == 0) | (fpr == 1))
    for name, limit in zip(("low", "high"), exact, strict=True):
        columns[name][..., _FPR][extreme] = limit[extreme]


def _erase(columns, single, against):
    """Leave no limits where a class has a single row, and no test of the reference with itself."""
    for name in ("low", "high", "difference_low", "difference_high", "p_value"):
        columns[name][single] = np.nan
    for name in ("difference", "difference_low", "difference_high", "p_value"):
        columns[name][:, against] = np.nan


def _by_delong(scores, values, against, rows, level):
    """Return the columns of the AUROC, each of shape (sets, detectors)."""
    sets = [
        Placements(*map(np.array, zip(*map(placements, scores.inside, outside), strict=True)))
        for outside in scores.sets.values()
    ]
    differences = [Placements(*(each - each[against] for each in own)) for own in sets]
    limits = auroc_limits(values, _variances(sets), rows.pairs[:, None], level)
    difference = values - values[:, [against]]
    test = difference_test(difference, _variances(differences), rows.total[:, None], level)
    return _columns(values, *limits, difference, *test)


def _variances(sets):
    """Return the AUROC's variance on each set and, of several sets, of the mean over them."""
    groups = [[own] for own in sets] if len(sets) == 1 else [*([own] for own in sets), sets]
    return np.array([auroc_variance(group) for group in groups])


def _adjusted(p_values, n_sets):
    """Return p-values by Holm, for each metric over all sets, and over their means."""
    adjusted = np.empty_like(p_values)
    for family, metric in product((slice(n_sets), slice(n_sets, None)), range(p_values.shape[2])):
        tests = p_values[family, :, metric]
        adjusted[family, :, metric] = holm(tests.ravel()).reshape(tests.shape)
    return adjusted


def _frame(columns, metrics, sets, detectors, attrs):
    """Return the columns, each of shape (sets, detectors, metrics), as one row a number."""
    index = dict(zip(("metric", "ood_set", "detector"),
                     zip(*product(metrics, sets, detectors), strict=True), strict=True))
    numbers = {name: np.moveaxis(column, 2, 0).ravel() for name, column in columns.items()}
    methods = ["delong" if metric == "auroc" else "bootstrap" for metric in index["metric"]]
    return frame({**index, **numbers, "method": methods}, None, attrs)
