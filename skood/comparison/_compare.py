"""Detectors side by side on the same rows: metrics, their intervals, and tests of differences."""

from itertools import product

import numpy as np

from .._random import as_generator
from ..metrics._intervals import check_bootstrap
from ..metrics._protocols import check_positive, check_protocol, check_tpr
from ..metrics._sets import frame
from ._columns import Settings, judge
from ._scores import read_scores


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
        those.
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
    The variance of an AUROC is that of [1]_, by ranks as in [2]_; that of the mean over sets counts
    the ID rows once, as the sets share them. All other metrics are resampled [3]_, ID and OOD rows
    apart; detectors share each draw, and sets its ID rows.

    Intervals of AUROC and AUPR are normal for the log-odds, those of the FPR are percentiles. A
    difference from the reference is taken to be normal, with the variance of the differences on the
    same rows: interval and p-value (DeLong's test, or a bootstrap z test) agree. How often all this
    holds in simulation: benchmarks/results/intervals.md.

    Where all rows are in order, neither variance nor draws tell anything: AUROC and FPR have exact
    limits there, as if of ``min(n_in, n_out)`` pairs and of the negative rows, and the AUPR has
    none (NaN).

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
    if n_bootstrap == 1:
        raise ValueError("n_bootstrap must be 0 or at least 2, to see how draws differ; got 1.")
    rng = as_generator(random_state)
    scores = read_scores(detectors, X_in, X_ood)
    against = _check_reference(reference, scores.detectors)
    settings = Settings(tpr, positive, protocol, n_bootstrap, level)
    columns = judge(scores, against, settings, rng)
    attrs = {
        "reference": scores.detectors[against],
        **settings._asdict(),
        "n_in": len(scores.inside[0]),
        "n_ood": {name: len(outside[0]) for name, outside in scores.sets.items()},
    }
    return _frame(columns, scores, settings, attrs)


def _check_reference(reference, detectors):
    if reference is None:
        return 0
    if reference not in detectors:
        raise ValueError(f"reference must be one of the detectors {detectors}, got {reference!r}.")
    return detectors.index(reference)


def _frame(columns, scores, settings, attrs):
    """Return the columns, each of shape (sets, detectors, metrics), as one row a number."""
    sets = [*scores.sets, "mean"][: len(columns["value"])]
    rows = list(product(settings.metrics, sets, scores.detectors))
    index = dict(zip(("metric", "ood_set", "detector"), zip(*rows, strict=True), strict=True))
    numbers = {name: np.moveaxis(column, 2, 0).ravel() for name, column in columns.items()}
    methods = ["delong" if metric == "auroc" else "bootstrap" for metric in index["metric"]]
    return frame({**index, **numbers, "method": methods}, None, attrs)
