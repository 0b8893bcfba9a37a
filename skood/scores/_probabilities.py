"""The scores that read the class probabilities."""

import torch

from .._numbers import check_integer, check_number
from ._door import array_or_tensor


@array_or_tensor
def msp(logits, log_odds=False):
    """Maximum softmax probability.

    Parameters
    ----------
    logits : array-like or torch.Tensor of shape (n, K)
        Unnormalised log-probabilities of the K classes.
    log_odds : bool, default=False
        Whether to return the probability's log-odds instead: the same order, but it never
        saturates, so an attack on the score always finds a way up. Needs two classes.

    Returns
    -------
    ndarray or torch.Tensor of shape (n,)
        In [1/K, 1], or any real number for log-odds.

    Raises
    ------
    TypeError
        If `logits` are not real (arrays) or floating point (tensors) numbers.
    ValueError
        If `logits` is not a matrix with at least one column.

    See Also
    --------
    max_logit : Does not saturate at 1.
    uniform : Uses all probabilities, not the largest only.

    Notes
    -----
    ``max_k exp(logits_k - logsumexp(logits))``. Confident rows reach exactly 1 in float32 and then
    tie: compute in float64 where ranks among confident rows matter.

    References
    ----------
    Hendrycks, Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples in
    Neural Networks", ICLR 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.scores import msp
    >>> msp(np.log([[1.0, 3.0], [1.0, 1.0]]))
    array([0.75, 0.5 ])
    """
    if log_odds:
        return _log_odds(logits, logits.argmax(dim=1, keepdim=True))
    # softmax divides exp(logits - max) by its sum: the log-sum-exp form without its rounding at
    # 1e8.
    return torch.softmax(logits, dim=1).amax(dim=1)


def _log_odds(logits, index):
    """Return log(p / (1 - p)) of one class a row, index of shape (n, 1)."""
    others = logits.scatter(1, index, -torch.inf).logsumexp(dim=1)
    return logits.gather(1, index)[:, 0] - others


@array_or_tensor
def uniform(logits):
    """Cross-entropy of the uniform distribution against the softmax of the logits.

    Parameters
    ----------
    logits : array-like or torch.Tensor of shape (n, K)
        Unnormalised log-probabilities of the K classes.

    Returns
    -------
    ndarray or torch.Tensor of shape (n,)
        At least log K, which a flat softmax reaches.

    Raises
    ------
    TypeError
        If `logits` are not real (arrays) or floating point (tensors) numbers.
    ValueError
        If `logits` is not a matrix with at least one column.

    See Also
    --------
    msp : Uses the largest probability only.
    skood.losses.uniform_cross_entropy : The same number as a loss.

    Notes
    -----
    ``logsumexp(logits) - mean_k logits_k``, the outlier term of Outlier Exposure read as a score:
    after that training it separates better than `msp` (Table 10 of the paper), and often before it.

    References
    ----------
    Hendrycks, Mazeika, Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.

    Examples
    --------
    >>> from skood.scores import uniform
    >>> uniform([[0.0, 0.0], [3.0, 0.0]]).round(4)
    array([0.6931, 1.5486])
    """
    return -torch.log_softmax(logits, dim=1).mean(dim=1)


@array_or_tensor
def generalized_entropy(logits, gamma=0.1, n_largest=None):
    """Minus the generalised entropy of the largest class probabilities (GEN).

    Parameters
    ----------
    logits : array-like or torch.Tensor of shape (n, K)
        Unnormalised log-probabilities of the K classes.
    gamma : float, default=0.1
        In (0, 1); the smaller, the more small deviations from 0 and 1 count.
    n_largest : int, default=None
        How many probabilities to read, the largest; None: all. The paper takes 100 of 1000, and
        all of 10.

    Returns
    -------
    ndarray or torch.Tensor of shape (n,)
        At most 0; higher = more in-distribution.

    Raises
    ------
    TypeError
        If `logits` are not real (arrays) or floating point (tensors) numbers.
    ValueError
        If `logits` is not a matrix with at least one column, or a parameter out of its range.

    See Also
    --------
    msp : Reads the largest probability alone.

    Notes
    -----
    ``-sum_m (p_m (1 - p_m))^gamma`` over the `n_largest` largest.

    References
    ----------
    Liu, Lochman, Zach, "GEN: Pushing the Limits of Softmax-Based Out-of-Distribution Detection",
    CVPR 2023.

    Examples
    --------
    >>> from skood.scores import generalized_entropy
    >>> generalized_entropy([[0.0, 0.0], [3.0, 0.0]]).round(4)
    array([-1.7411, -1.4673])
    """
    check_number("gamma", gamma, 0, strict=True)
    if gamma >= 1:
        raise ValueError(f"gamma must be in (0, 1), got {gamma}.")
    log_p = torch.log_softmax(logits, dim=1)
    if n_largest is not None:
        check_integer("n_largest", n_largest, 1)
        log_p = log_p.topk(min(n_largest, log_p.shape[1]), dim=1, sorted=False).values
    # 1 - p by expm1: where p rounds to 1 its gap would be lost, and with it the order.
    return -(log_p.exp() * -torch.expm1(log_p)).clamp(min=0).pow(gamma).sum(dim=1)
