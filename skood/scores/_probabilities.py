"""The scores that read the class probabilities."""

import torch

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
