"""The scores of networks with one class of outliers, or several."""

from numbers import Integral

import torch

from ._door import array_or_tensor


@array_or_tensor
def abstention(logits, log_odds=False):
    """Minus the probability of the last class, which stands for outliers.

    Parameters
    ----------
    logits : array-like or torch.Tensor of shape (n, K + 1)
        Unnormalised log-probabilities of K classes and, last, of the outliers' class.
    log_odds : bool, default=False
        Whether to return the log-odds of not being an outlier, ``log((1 - p_K) / p_K)``: the same
        order, but it never saturates, so an attack on the score always finds a way up.

    Returns
    -------
    ndarray or torch.Tensor of shape (n,)
        In [-1, 0], or any real number for log-odds.

    Raises
    ------
    TypeError
        If `logits` are not real (arrays) or floating point (tensors) numbers.
    ValueError
        If `logits` is not a matrix with at least one column.

    See Also
    --------
    rejection : Several classes for outliers.
    skood.losses.abstention : The loss that trains for it.

    Notes
    -----
    ``-softmax(logits)_K``. It ranks as 1 - p_K does, but does not round to 1 where p_K is tiny.

    References
    ----------
    Chen, Li, Wu, Liang, Jha, "ATOM: Robustifying Out-of-distribution Detection Using Outlier
    Mining", ECML 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.scores import abstention
    >>> abstention(np.log([[1.0, 3.0], [1.0, 1.0]]))
    array([-0.75, -0.5 ])
    """
    if log_odds:
        return logits[:, :-1].logsumexp(dim=1) - logits[:, -1]
    return -torch.softmax(logits, dim=1)[:, -1]


@array_or_tensor
def rejection(logits, n_reject, log_odds=False):
    """Minus the probability of the last classes together, the reject classes.

    Parameters
    ----------
    logits : array-like or torch.Tensor of shape (n, K + n_reject)
        Unnormalised log-probabilities of K classes and, last, of the reject classes.
    n_reject : int
        Number of reject classes, from 1 to one less than the columns of `logits`.
    log_odds : bool, default=False
        Whether to return the log-odds of not being rejected instead: the same order, but it never
        saturates, so an attack on the score always finds a way up.

    Returns
    -------
    ndarray or torch.Tensor of shape (n,)
        In [-1, 0], or any real number for log-odds.

    Raises
    ------
    TypeError
        If `logits` are not real (arrays) or floating point (tensors) numbers, or `n_reject` is not
        an integer.
    ValueError
        If `logits` is not a matrix with at least one column, or `n_reject` is out of its range.

    See Also
    --------
    abstention : The same for one reject class.
    skood.losses.rejection : The loss that trains for it.

    Notes
    -----
    ``-sum_{k >= K} softmax(logits)_k``, and as log-odds ``logsumexp(logits[:, :K]) -
    logsumexp(logits[:, K:])``.

    References
    ----------
    Mohseni, Pitale, Yadawa, Wang, "Self-Supervised Learning for Generalizable Out-of-Distribution
    Detection", AAAI 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.scores import rejection
    >>> rejection(np.log([[3.0, 1.0, 4.0], [2.0, 1.0, 1.0]]), n_reject=2).round(4)
    array([-0.625, -0.5  ])
    """
    first = first_reject(logits.shape[1], n_reject)
    kept = logits[:, :first].logsumexp(dim=1) - logits[:, first:].logsumexp(dim=1)
    # The sigmoid of the log-odds: a sum of probabilities may exceed 1 by a rounding error.
    return kept if log_odds else -torch.sigmoid(-kept)


def first_reject(n_columns, n_reject):
    """Return the index of the first reject class, or say what is wrong with their number."""
    if isinstance(n_reject, bool) or not isinstance(n_reject, Integral):
        raise TypeError(f"n_reject must be an integer, got {n_reject!r}.")
    if not 1 <= n_reject < n_columns:
        raise ValueError(
            f"n_reject must be at least 1 and below the {n_columns} columns of the logits, which "
            f"hold the in-distribution classes, too; got {n_reject}."
        )
    return n_columns - int(n_reject)
