"""The numbers of a comparison: each metric of each detector on each set, and how sure it is."""

from itertools import product
from typing import NamedTuple

import numpy as np

from ..metrics._bootstrap import PairedCurve, paired_replicates
from ..metrics._delong import Placements, auroc_variance, placements
from ..metrics._intervals import (
    difference_test,
    exact_limits,
    holm,
    log_odds_limits,
    percentile_limits,
)
from ..metrics._protocols import summarise

_FPR, _AUROC = 0, 1  # among the metrics of `summarise`


class Settings(NamedTuple):
    """How detectors are judged, all arguments checked."""

    tpr: float
    positive: str
    protocol: str | None
    n_bootstrap: int
    confidence_level: float

    def summary(self, curve):
        """Return the metrics of a curve by name."""
        return summarise(curve, self.tpr, self.positive, self.protocol)

    def values(self, curve):
        """Return the metrics of a curve in their order."""
        return list(self.summary(curve).values())

    @property
    def metrics(self):
        """The metrics' names."""
        return list(self.summary(PairedCurve(np.ones(1), np.zeros(1)).whole))


def judge(scores, against, settings, rng):
    """Return the columns of the comparison, each of shape (sets, detectors, metrics).

    The last of several sets is their mean; `against` is the number of the reference.
    """
    level = settings.confidence_level
    curves = [
        [PairedCurve(*each) for each in zip(scores.inside, outside, strict=True)]
        for outside in scores.sets.values()
    ]
    rows = Rows(len(scores.inside[0]), [own[0].whole.n_out for own in curves])
    values = _with_mean(np.array([[settings.values(c.whole) for c in own] for own in curves]))
    draws = paired_replicates(curves, settings.values, settings.n_bootstrap, rng)
    columns = _by_bootstrap(draws, values, against, rows, level)
    if len(draws):
        _settle_fpr(columns, rows.negatives(settings.positive), level)
    for name, column in _by_delong(scores, values[..., _AUROC], against, rows, level).items():
        columns[name][..., _AUROC] = column
    _erase(columns, rows.single, against)
    columns["p_adjusted"] = _adjusted(columns["p_value"], len(curves))
    return columns


class Rows(NamedTuple):
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


def _with_mean(values, axis=0):
    """Append the unweighted mean over the sets, where there are several."""
    if values.shape[axis] == 1:
        return values
    return np.concatenate([values, values.mean(axis=axis, keepdims=True)], axis=axis)


def _columns(*arrays):
    names = "value", "low", "high", "difference", "difference_low", "difference_high", "p_value"
    return dict(zip(names, arrays, strict=True))


def _by_bootstrap(draws, values, against, rows, level):
    """Return the columns of intervals and tests, each of shape (sets, detectors, metrics)."""
    difference = values - values[:, [against]]
    if not len(draws):
        nothing = [np.full(values.shape, np.nan) for _ in range(5)]
        return _columns(values, *nothing[:2], difference, *nothing[2:])
    draws = _with_mean(draws, axis=1)
    limits = log_odds_limits(values, draws.var(axis=0, ddof=1), level)
    for limit, quantile in zip(limits, percentile_limits(draws[..., _FPR], level), strict=True):
        limit[..., _FPR] = quantile
    variance = (draws - draws[:, :, [against]]).var(axis=0, ddof=1)
    test = difference_test(difference, variance, rows.total[:, None, None], level)
    return _columns(values, *limits, difference, *test)


def _settle_fpr(columns, n_negatives, level):
    """Give an FPR that no draw moves from 0 or 1 the limits of that share: it is not certain."""
    fpr, low, high = (columns[name][..., _FPR] for name in ("value", "low", "high"))
    still = (low == high) & ((fpr == 0) | (fpr == 1))
    exact_low, exact_high = exact_limits(fpr, n_negatives[:, None], level)
    low[still], high[still] = exact_low[still], exact_high[still]


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
    exact = exact_limits(values, rows.pairs[:, None], level)
    limits = [
        np.where((values == 0) | (values == 1), sure, limit)
        for limit, sure in zip(log_odds_limits(values, _variances(sets), level), exact, strict=True)
    ]
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
