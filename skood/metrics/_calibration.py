"""Metrics of whether a classifier's confidence tells when it is right."""

from numbers import Integral

import numpy as np

from ._curve import check_scores


def _check_pairs(confidence, correct):
    """Confidences in [0, 1] and, beside them, 0/1 as float64."""
    confidence = check_scores(confidence, "confidence").astype(np.float64)
    correct = check_scores(correct, "correct").astype(np.float64)
    if len(confidence) != len(correct):
        raise ValueError(
            "confidence and correct must have one length, got "
            f"{len(confidence)} and {len(correct)}."
        )
    if len(confidence) == 0:
        raise ValueError("confidence is empty; pass at least one prediction.")
    if confidence.min() < 0 or confidence.max() > 1:
        raise ValueError(
            f"confidence must lie in [0, 1], got [{confidence.min():g}, {confidence.max():g}]; "
            "pass probabilities, not logits."
        )
    if not np.isin(correct, (0, 1)).all():
        raise ValueError("correct must hold 0/1 or booleans: was each prediction right?")
    return confidence, correct


def calibration_error(confidence, correct, *, norm="rms", bin_size=100):
    """Distance between confidence and accuracy over bins of equal size.

    Parameters
    ----------
    confidence : array-like of shape (n,)
        Probability of the predicted class, in [0, 1].
    correct : array-like of shape (n,)
        Whether each prediction was right, booleans or 0/1.
    norm : {"rms", "mad", "max"}, default="rms"
        Root mean square, mean absolute or largest distance over the bins.
    bin_size : int, default=100
        Rows in a bin. The rows are sorted by confidence; the last bin takes the remainder.

    Returns
    -------
    error : float
        In [0, 1], lower is better.

    Raises
    ------
    ValueError
        If confidences are not finite and in [0, 1], `correct` is not 0/1, lengths differ, the
        input is empty, or a parameter is outside its range.

    See Also
    --------
    soft_f1 : Calibration as the detection of mistakes.

    Notes
    -----
    With ``gap_b = |mean confidence - accuracy|`` in bin b of ``n_b`` rows: "rms" is
    ``sqrt(sum_b n_b / n gap_b^2)``, "mad" is ``sum_b n_b / n gap_b``, "max" is ``max_b gap_b``.
    The code released with [1]_ leaves out the last bin, the most confident rows; here every
    bin counts. Rows of equal confidence share their accuracy, so their order does not matter.

    References
    ----------
    .. [1] Hendrycks, Mazeika and Dietterich, "Deep Anomaly Detection with Outlier Exposure",
       ICLR 2019.

    Examples
    --------
    >>> from skood.metrics import calibration_error
    >>> round(calibration_error([0.9, 0.9, 0.6, 0.6], [1, 1, 1, 0], bin_size=2), 4)
    0.1
    """
    confidence, correct = _check_pairs(confidence, correct)
    if norm not in ("rms", "mad", "max"):
        raise ValueError(f"norm must be 'rms', 'mad' or 'max', got {norm!r}.")
    if not isinstance(bin_size, Integral) or bin_size < 1:
        raise ValueError(f"bin_size must be an integer of at least 1, got {bin_size!r}.")
    # equal confidences (saturated softmax) would otherwise fall into bins by input order
    _, group, size = np.unique(confidence, return_inverse=True, return_counts=True)
    shared = (np.bincount(group, weights=correct) / size)[group]
    by_confidence = np.argsort(confidence)
    starts = np.arange(max(len(correct) // bin_size, 1)) * bin_size
    gap_sums = np.add.reduceat((confidence - shared)[by_confidence], starts)
    sizes = np.diff(starts, append=len(correct))
    gaps = np.abs(gap_sums) / sizes
    if norm == "max":
        return float(gaps.max())
    share = sizes / len(correct)
    return float(np.sqrt(share @ gaps**2) if norm == "rms" else share @ gaps)


def soft_f1(confidence, correct):
    """F1 score of doubt, ``1 - confidence``, as a soft detector of mistakes.

    Parameters
    ----------
    confidence : array-like of shape (n,)
        Probability of the predicted class, in [0, 1].
    correct : array-like of shape (n,)
        Whether each prediction was right, booleans or 0/1.

    Returns
    -------
    f1 : float
        In [0, 1], higher is better. 0 when no prediction was wrong.

    Raises
    ------
    ValueError
        If confidences are not finite and in [0, 1], `correct` is not 0/1, lengths differ or the
        input is empty.

    See Also
    --------
    calibration_error : Distance between confidence and accuracy.

    Notes
    -----
    ``2 sum((1 - confidence) wrong) / sum((1 - confidence) + wrong)`` with
    ``wrong = 1 - correct`` [1]_.

    References
    ----------
    .. [1] Hendrycks, Mazeika and Dietterich, "Deep Anomaly Detection with Outlier Exposure",
       ICLR 2019.

    Examples
    --------
    >>> from skood.metrics import soft_f1
    >>> round(soft_f1([0.9, 0.8, 0.3], [1, 1, 0]), 4)
    0.7
    """
    confidence, correct = _check_pairs(confidence, correct)
    doubt, wrong = 1.0 - confidence, 1.0 - correct
    if not wrong.any():  # 0 for any doubt; without doubt the formula would be 0 / 0
        return 0.0
    return float(2.0 * (doubt @ wrong) / (doubt + wrong).sum())
