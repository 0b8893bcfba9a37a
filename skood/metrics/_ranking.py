"""Metrics over all thresholds: how scores rank ID above OOD rows."""

from ._curve import curve_from_labels
from ._protocols import check_protocol


def auroc(y_true, y_score, *, protocol=None):
    """Area under the ROC curve: the chance that an ID row outscores an OOD row.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        +1 for ID and -1 for OOD rows, or class labels with -1 for OOD.
    y_score : array-like of shape (n,)
        Finite scores, higher = more in-distribution.
    protocol : {"openood", "hendrycks", "atom"}, optional
        Accepted so that all metrics can be called alike; every protocol agrees on this one.

    Returns
    -------
    auroc : float
        In [0, 1], higher is better, 0.5 for a guess. Tied pairs count one half. The same with
        either class as positive.

    Raises
    ------
    ValueError, TypeError
        As `fpr_at_tpr`.

    See Also
    --------
    sklearn.metrics.roc_auc_score : The same number for labels in {-1, +1}.

    Notes
    -----
    ``(sum over pairs of [s_in > s_out] + [s_in == s_out] / 2) / (n_in n_out)``, counted in
    whole numbers.

    Examples
    --------
    >>> from skood.metrics import auroc
    >>> auroc([1, 1, -1, -1], [0.9, 0.4, 0.4, 0.1])
    0.875
    """
    check_protocol(protocol)
    return curve_from_labels(y_true, y_score).auroc()


def aupr_in(y_true, y_score, *, protocol=None):
    """Area under the precision-recall curve with ID rows as the positive class.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        +1 for ID and -1 for OOD rows, or class labels with -1 for OOD.
    y_score : array-like of shape (n,)
        Finite scores, higher = more in-distribution.
    protocol : {"openood", "hendrycks", "atom"}, optional
        How to measure the area, see Notes. By default average precision.

    Returns
    -------
    aupr : float
        In [0, 1], higher is better; a guess gets the share of ID rows, so values at different
        shares are not comparable.

    Raises
    ------
    ValueError, TypeError
        As `fpr_at_tpr`.

    See Also
    --------
    aupr_out : The same with OOD rows as the positive class.
    sklearn.metrics.average_precision_score : The default, for labels in {0, 1}.

    Notes
    -----
    None and "hendrycks": average precision, ``sum_i (recall_i - recall_{i-1}) precision_i``.
    "openood" [1]_: trapezoids from (recall 0, precision 1), too kind to ties: half ID rows and
    constant scores give 0.75 where a guess is worth 0.5. "atom" [2]_: trapezoids from (0, 0),
    ATOM's AUIN and AUOUT.

    References
    ----------
    .. [1] Zhang et al., "OpenOOD v1.5: Enhanced Benchmark for Out-of-Distribution Detection",
       DMLR 2024.
    .. [2] Chen et al., "ATOM: Robustifying Out-of-distribution Detection Using Outlier Mining",
       ECML PKDD 2021.

    Examples
    --------
    >>> from skood.metrics import aupr_in
    >>> aupr_in([1, -1], [0.5, 0.5]), aupr_in([1, -1], [0.5, 0.5], protocol="openood")
    (0.5, 0.75)
    """
    return check_protocol(protocol).aupr(curve_from_labels(y_true, y_score), "id")


def aupr_out(y_true, y_score, *, protocol=None):
    """Area under the precision-recall curve with OOD rows as the positive class.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        +1 for ID and -1 for OOD rows, or class labels with -1 for OOD.
    y_score : array-like of shape (n,)
        Finite scores, higher = more in-distribution (so the curve is that of ``-y_score``).
    protocol : {"openood", "hendrycks", "atom"}, optional
        How to measure the area, see `aupr_in`. By default average precision.

    Returns
    -------
    aupr : float
        In [0, 1], higher is better; a guess gets the share of OOD rows.

    Raises
    ------
    ValueError, TypeError
        As `fpr_at_tpr`.

    See Also
    --------
    aupr_in : The same with ID rows as the positive class.

    Examples
    --------
    >>> from skood.metrics import aupr_out
    >>> round(aupr_out([1, 1, -1, -1], [0.9, 0.4, 0.5, 0.1]), 4)
    0.8333
    """
    return check_protocol(protocol).aupr(curve_from_labels(y_true, y_score), "ood")


def detection_error(y_true, y_score, *, protocol=None):
    """Smallest error rate that any single threshold reaches.

    Parameters
    ----------
    y_true : array-like of shape (n,)
        +1 for ID and -1 for OOD rows, or class labels with -1 for OOD.
    y_score : array-like of shape (n,)
        Finite scores, higher = more in-distribution.
    protocol : {"atom"}, optional
        By default both classes weigh one half, whatever their sizes. "atom" weighs every row
        alike (DTERR of [1]_), so the larger class dominates. The other protocols publish no
        detection error.

    Returns
    -------
    error : float
        In [0, 0.5], lower is better.

    Raises
    ------
    ValueError, TypeError
        As `fpr_at_tpr`, and ValueError for a protocol without a detection error.

    See Also
    --------
    fpr_at_tpr : The error of one class at a fixed error of the other.

    Notes
    -----
    ``min over t of (P(s_in < t) + P(s_out >= t)) / 2``; with "atom"
    ``min over t of (#[s_in < t] + #[s_out >= t]) / (n_in + n_out)``.

    References
    ----------
    .. [1] Chen et al., "ATOM: Robustifying Out-of-distribution Detection Using Outlier Mining",
       ECML PKDD 2021.

    Examples
    --------
    >>> from skood.metrics import detection_error
    >>> detection_error([1, 1, 1, 1, -1, -1], [0.9, 0.8, 0.7, 0.4, 0.6, 0.1])
    0.125
    >>> round(detection_error([1, 1, 1, 1, -1, -1], [5, 4, 3, 1, 2, 0], protocol="atom"), 4)
    0.1667
    """
    if protocol not in (None, "atom"):
        check_protocol(protocol)
        raise ValueError(
            f"protocol={protocol!r} publishes no detection error; use None (classes weigh alike) "
            "or 'atom' (rows weigh alike)."
        )
    curve = curve_from_labels(y_true, y_score)
    if protocol == "atom":
        return curve.detection_error(1, 1) / (curve.n_in + curve.n_out)
    return curve.detection_error(curve.n_out, curve.n_in) / (2.0 * curve.n_in * curve.n_out)
