"""Error rate at one operating point, and its threshold."""

from ._curve import curve_from_labels
from ._protocols import operating_point


def fpr_at_tpr(y_true, y_score, *, tpr=0.95, positive=None, protocol=None):
    """False-positive rate at the threshold that keeps a given true-positive rate.

    "FPR95" names two numbers. With ``positive="id"`` it is the share of OOD rows accepted when
    95 % of the ID rows are accepted; with ``positive="ood"`` the share of ID rows flagged when
    95 % of the OOD rows are flagged. They are not comparable.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        +1 for in-distribution (ID) and -1 for out-of-distribution (OOD) rows. Class labels are
        accepted too: every label but -1 is ID. Strings must come in an object array, where -1
        stays an integer.
    y_score : array-like of shape (n,)
        Finite scores, higher = more in-distribution.
    tpr : float in (0, 1], default=0.95
        True-positive rate to keep, a fraction.
    positive : {"id", "ood"}, optional
        Class counted as positive. By default ``"id"``, or that of the `protocol`.
    protocol : {"openood", "hendrycks", "atom"}, optional
        Published rule to reproduce, see Notes. By default the exact rule: the strictest
        threshold with a true-positive rate of at least `tpr`, tied scores taken together.

    Returns
    -------
    fpr : float
        In [0, 1], lower is better.

    Raises
    ------
    ValueError
        If a score is NaN or infinite, a class is missing, shapes differ or a parameter is
        outside its range.
    TypeError
        If labels, scores or `tpr` are of a type that cannot be read.

    See Also
    --------
    threshold_at_tpr : The threshold this rate is read at.
    ood_report : All metrics over several OOD sets.

    Notes
    -----
    ============= ======== ======================================================= ============
    protocol      positive threshold                                               used by
    ============= ======== ======================================================= ============
    None          id       first with TPR >= `tpr`                                 skood
    "openood"     ood      the same, on the ROC curve without collinear points     [1]_
    "hendrycks"   ood      recall closest to `tpr`, possibly below it              [2]_
    "atom"        id       score of rank ``round((1 - tpr) n_in)``, strictly above [3]_
    ============= ======== ======================================================= ============

    An explicit `positive` overrides the protocol's class and keeps its rule: energy-based
    exposure and GReg report ``protocol="hendrycks", positive="id"``. The strict rule of "atom"
    rewards ties: constant scores give an FPR of 0.

    References
    ----------
    .. [1] Zhang et al., "OpenOOD v1.5: Enhanced Benchmark for Out-of-Distribution Detection",
       DMLR 2024.
    .. [2] Hendrycks, Mazeika and Dietterich, "Deep Anomaly Detection with Outlier Exposure",
       ICLR 2019.
    .. [3] Chen et al., "ATOM: Robustifying Out-of-distribution Detection Using Outlier Mining",
       ECML PKDD 2021.

    Examples
    --------
    >>> from skood.metrics import fpr_at_tpr
    >>> y_true = [1, 1, 1, 1, -1, -1]
    >>> y_score = [0.9, 0.8, 0.7, 0.4, 0.6, 0.1]
    >>> fpr_at_tpr(y_true, y_score)
    0.5
    >>> fpr_at_tpr(y_true, y_score, positive="ood")
    0.25
    """
    return operating_point(curve_from_labels(y_true, y_score), tpr, positive, protocol)[1]


def fpr95(y_true, y_score, *, positive=None, protocol=None):
    """False-positive rate at a true-positive rate of 95 %.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        +1 for ID and -1 for OOD rows, or class labels with -1 for OOD.
    y_score : array-like of shape (n,)
        Finite scores, higher = more in-distribution.
    positive : {"id", "ood"}, optional
        Class counted as positive. By default ``"id"``, or that of the `protocol`.
    protocol : {"openood", "hendrycks", "atom"}, optional
        Published rule to reproduce, see `fpr_at_tpr`.

    Returns
    -------
    fpr : float
        In [0, 1], lower is better.

    Raises
    ------
    ValueError, TypeError
        As `fpr_at_tpr`.

    See Also
    --------
    fpr_at_tpr : The same at any rate, with the rules explained.

    Examples
    --------
    >>> from skood.metrics import fpr95
    >>> fpr95([1, 1, 1, -1, -1], [0.9, 0.8, 0.3, 0.5, 0.1])
    0.5
    """
    return fpr_at_tpr(y_true, y_score, positive=positive, protocol=protocol)


def threshold_at_tpr(y_true, y_score, *, tpr=0.95, positive=None, protocol=None):
    """Score threshold at which `fpr_at_tpr` is read.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        +1 for ID and -1 for OOD rows, or class labels with -1 for OOD.
    y_score : array-like of shape (n,)
        Finite scores, higher = more in-distribution.
    tpr : float in (0, 1], default=0.95
        True-positive rate to keep, a fraction.
    positive : {"id", "ood"}, optional
        Class counted as positive. By default ``"id"``, or that of the `protocol`.
    protocol : {"openood", "hendrycks", "atom"}, optional
        Published rule to reproduce, see `fpr_at_tpr`.

    Returns
    -------
    threshold : float
        One of the scores. With ``positive="id"`` a row is accepted when its score is at least
        the threshold; with ``positive="ood"`` it is flagged when its score is at most the
        threshold. Under ``protocol="atom"`` both comparisons are strict.

    Raises
    ------
    ValueError, TypeError
        As `fpr_at_tpr`.

    See Also
    --------
    fpr_at_tpr : The error rate at this threshold.

    Notes
    -----
    This reads test labels, so it describes a table and is no rule for deployment: detectors
    choose their own threshold from training scores and `contamination`.

    Examples
    --------
    >>> from skood.metrics import threshold_at_tpr
    >>> threshold_at_tpr([1, 1, 1, -1, -1], [0.9, 0.8, 0.3, 0.5, 0.1])
    0.3
    """
    return operating_point(curve_from_labels(y_true, y_score), tpr, positive, protocol)[0]
