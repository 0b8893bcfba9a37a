"""The rules of conformal decisions, on scores alone: higher = more in-distribution."""

import math
from fractions import Fraction

import numpy as np
from scipy import stats

from .._numbers import check_integer, check_number
from .._random import as_generator


def as_written(rate):
    """Return a rate as the decimal it is written as: of binary floats 0.29 is below 29/100."""
    return Fraction(repr(float(rate)))


def threshold_rank(n, alpha):
    """Return k: refused is what scores below the k-th smallest of n; nothing is where k is 0."""
    return int((n + 1) * as_written(alpha))


def check_rate(name, value):
    """Refuse what is no number strictly between 0 and 1."""
    check_number(name, value, 0, strict=True)
    if value >= 1:
        raise ValueError(f"{name} must be in (0, 1), a fraction and no percentage, got {value}.")


def check_finite(scores, name):
    """Return scores as float64 of shape (n,), or say which is no finite number."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1:
        raise ValueError(f"{name} must have shape (n,), got {scores.shape}.")
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise ValueError(
            f"{name}: {len(bad)} of {len(scores)} are not finite, the first at row {bad[0]}; "
            "find out where the detector overflows."
        )
    return scores


def least_calibration_size(alpha):
    """Return how many calibration rows it takes before anything can be refused.

    Parameters
    ----------
    alpha : float in (0, 1)
        Rate of false alarms.

    Returns
    -------
    n : int
        The least n with (n + 1) alpha >= 1: 19 for 0.05, 99 for 0.01.

    Raises
    ------
    TypeError, ValueError
        If `alpha` is no number in (0, 1).

    Examples
    --------
    >>> from skood.conformal import least_calibration_size
    >>> least_calibration_size(0.05)
    19
    """
    check_rate("alpha", alpha)
    return math.ceil(1 / as_written(alpha)) - 1


def conformal_threshold(calibration_scores, alpha):
    """Return the threshold below which at most a share `alpha` of new rows falls.

    Parameters
    ----------
    calibration_scores : array-like of shape (n,)
        Scores, higher = more in-distribution, of in-distribution rows that had no part in the
        making of the score.
    alpha : float in (0, 1)
        Rate of false alarms.

    Returns
    -------
    threshold : float
        The k-th smallest score, k = floor((n + 1) alpha); ``-inf`` where k = 0, that is where n is
        below `least_calibration_size`. Refused is what scores strictly below it.

    Raises
    ------
    TypeError, ValueError
        If `alpha` is no number in (0, 1), or a score is not finite.

    See Also
    --------
    false_alarm_law : How much the rate differs from one calibration set to another.

    Notes
    -----
    Turned round to 'the higher, the stranger', this is the score of rank ceil((n + 1)(1 - alpha)),
    the rule of split conformal prediction [1]_. `alpha` is read as the decimal it is written as,
    so that ranks do not suffer from binary fractions.

    References
    ----------
    .. [1] H. Papadopoulos, K. Proedrou, V. Vovk and A. Gammerman, "Inductive Confidence Machines
       for Regression", ECML 2002.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.conformal import conformal_threshold
    >>> conformal_threshold(np.arange(1, 100), alpha=0.05)
    5.0
    >>> conformal_threshold(np.arange(1, 10), alpha=0.05)
    -inf
    """
    check_rate("alpha", alpha)
    scores = check_finite(calibration_scores, "calibration_scores")
    k = threshold_rank(len(scores), alpha)
    return float(np.partition(scores, k - 1)[k - 1]) if k else -np.inf


def conformal_p_values(calibration_scores, scores, *, randomize=False, random_state=None):
    """Return how rarely an in-distribution row looks as strange as each row.

    Parameters
    ----------
    calibration_scores : array-like of shape (n,)
        Scores of in-distribution rows that had no part in the making of the score.
    scores : array-like of shape (m,)
        Scores to judge, higher = more in-distribution.
    randomize : bool, default=False
        False: calibration scores equal to a row's all count, so p-values err on the large side
        where scores are tied. True: the row takes its place among them, and itself, at random; the
        p-values are then exactly uniform, but other ones at each call.
    random_state : int, RandomState, Generator or None, default=None
        Seeds `randomize`.

    Returns
    -------
    p_values : ndarray of float64 of shape (m,)
        (1 + the number of calibration scores that are at most the row's) / (n + 1), or less if
        randomized. Of in-distribution rows at most a share alpha has a p-value of at most alpha.

    Raises
    ------
    ValueError
        If a score is not finite.

    See Also
    --------
    benjamini_hochberg : Which of many rows to select by these.

    References
    ----------
    .. [1] V. Vovk, A. Gammerman and G. Shafer, "Algorithmic Learning in a Random World", Springer
       2005.

    Examples
    --------
    >>> from skood.conformal import conformal_p_values
    >>> conformal_p_values([1.0, 2.0, 3.0, 4.0], [0.5, 2.0, 9.0])
    array([0.2, 0.6, 1. ])
    """
    calibration = np.sort(check_finite(calibration_scores, "calibration_scores"))
    scores = check_finite(scores, "scores")
    counted = 1 + np.searchsorted(calibration, scores, side="right")
    if randomize:
        below = np.searchsorted(calibration, scores, side="left")
        draws = as_generator(random_state).random(len(scores))
        return (below + draws * (counted - below)) / (len(calibration) + 1)
    return counted / (len(calibration) + 1)


def benjamini_hochberg(p_values, q=0.1):
    """Select rows so that the expected share of false ones among those selected is at most q.

    Parameters
    ----------
    p_values : array-like of shape (m,)
        In [0, 1].
    q : float in (0, 1), default=0.1
        Rate of false discoveries.

    Returns
    -------
    selected : ndarray of bool of shape (m,)

    Raises
    ------
    TypeError, ValueError
        If `q` is no number in (0, 1), or a p-value is outside [0, 1].

    See Also
    --------
    scipy.stats.false_discovery_control : The adjusted p-values, of which those up to q are taken.

    Notes
    -----
    Selected are the r smallest p-values, r being the largest number for which the r-th smallest is
    at most q r / m [1]_.

    References
    ----------
    .. [1] Y. Benjamini and Y. Hochberg, "Controlling the False Discovery Rate: A Practical and
       Powerful Approach to Multiple Testing", JRSS B 1995.

    Examples
    --------
    >>> from skood.conformal import benjamini_hochberg
    >>> benjamini_hochberg([0.01, 0.04, 0.06, 0.9], q=0.1)
    array([ True,  True,  True, False])
    """
    check_rate("q", q)
    p_values = check_finite(p_values, "p_values")
    if not len(p_values):
        return np.zeros(0, dtype=bool)
    # p-values of ranks meet their bounds exactly: an equality must not get lost to rounding.
    return stats.false_discovery_control(p_values) <= q * (1 + 1e-12)


def false_alarm_law(n, alpha):
    """Return the distribution of the false-alarm rate over calibration sets.

    Parameters
    ----------
    n : int
        Calibration rows.
    alpha : float in (0, 1)

    Returns
    -------
    law : frozen distribution of scipy.stats
        Beta(k, n + 1 - k), k = floor((n + 1) alpha): exact where no scores are tied, and where they
        are a bound. Its mean is at most `alpha`; ``law.interval(0.9)`` says where the rate of nine
        in ten calibration sets lies.

    Raises
    ------
    TypeError
        If `n` is no integer or `alpha` no number.
    ValueError
        If `alpha` is not in (0, 1), or if n is so small that nothing is refused.

    See Also
    --------
    least_calibration_size : How many rows there have to be.

    References
    ----------
    .. [1] V. Vovk, "Conditional Validity of Inductive Conformal Predictors", ACML 2012.

    Examples
    --------
    >>> from skood.conformal import false_alarm_law
    >>> low, high = false_alarm_law(100, 0.05).interval(0.9)
    >>> print(f"{low:.3f} to {high:.3f}")
    0.020 to 0.089
    """
    check_integer("n", n, 1)
    check_rate("alpha", alpha)
    k = threshold_rank(n, alpha)
    if k == 0:
        raise ValueError(
            f"n={n} is too few for alpha={alpha}: nothing is refused, so the rate is 0. Give at "
            f"least {least_calibration_size(alpha)}."
        )
    return stats.beta(k, n + 1 - k)
