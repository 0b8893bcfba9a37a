"""Out-of-distribution scores as pure functions of the logits; higher = more in-distribution.

Every function reads a NumPy array (computed and returned in float64) or a torch tensor
(differentiable, on its device, returned in its dtype; half precision is computed in float32).
"""

from functools import wraps
from numbers import Integral, Real

import numpy as np
import torch

__all__ = ["abstention", "energy", "max_logit", "msp", "rejection", "uniform"]


def _array_or_tensor(formula):
    """Let a formula on floating tensors (n, K) read arrays as well, and answer in kind."""

    @wraps(formula)
    def score(logits, *args, **kwargs):
        is_tensor = isinstance(logits, torch.Tensor)
        z = logits if is_tensor else _from_array(logits)
        _check_logits(z)
        result = formula(z.to(torch.promote_types(z.dtype, torch.float32)), *args, **kwargs)
        return result.to(z.dtype) if is_tensor else result.numpy()

    return score


def _from_array(logits):
    array = np.asarray(logits)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"logits must be real numbers, got an array of dtype {array.dtype}.")
    # torch shares memory only with writable, forward-strided arrays; a read-only memmap is copied.
    return torch.from_numpy(np.require(array, np.float64, ["C", "W"]))


def _check_logits(logits):
    if not logits.is_floating_point():
        raise TypeError(f"logits must be a floating point tensor, got {logits.dtype}.")
    if logits.ndim != 2 or logits.shape[1] == 0:
        raise ValueError(
            f"logits must have shape (n, K) with K >= 1 classes, got {tuple(logits.shape)}. "
            "Give one row as logits[None]."
        )


@_array_or_tensor
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


@_array_or_tensor
def max_logit(logits):
    """Largest logit.

    Parameters
    ----------
    logits : array-like or torch.Tensor of shape (n, K)
        Unnormalised log-probabilities of the K classes.

    Returns
    -------
    ndarray or torch.Tensor of shape (n,)
        Unbounded, in units of the logits.

    Raises
    ------
    TypeError
        If `logits` are not real (arrays) or floating point (tensors) numbers.
    ValueError
        If `logits` is not a matrix with at least one column.

    See Also
    --------
    energy : A smooth version of it, to which it is the limit of temperature 0.

    References
    ----------
    Hendrycks et al., "Scaling Out-of-Distribution Detection for Real-World Settings", ICML 2022.

    Examples
    --------
    >>> from skood.scores import max_logit
    >>> max_logit([[1.0, 3.0], [1.0, 1.0]])
    array([3., 1.])
    """
    return logits.amax(dim=1)


@_array_or_tensor
def energy(logits, temperature=1.0):
    """Minus the free energy of the logits.

    Parameters
    ----------
    logits : array-like or torch.Tensor of shape (n, K)
        Unnormalised log-probabilities of the K classes.
    temperature : float, default=1.0
        Positive; the smaller, the closer to the largest logit. The paper recommends 1.

    Returns
    -------
    ndarray or torch.Tensor of shape (n,)
        Unbounded, in units of the logits. Note the sign: the paper's energy is low on
        in-distribution rows, this score is high.

    Raises
    ------
    TypeError
        If `logits` are not real (arrays) or floating point (tensors) numbers.
    ValueError
        If `logits` is not a matrix with at least one column, or `temperature` is not a positive
        number.

    See Also
    --------
    max_logit : Its limit for temperature 0.
    skood.losses.energy_hinge : The loss that trains for it.

    Notes
    -----
    ``temperature * logsumexp(logits / temperature)``.

    References
    ----------
    Liu, Wang, Owens, Li, "Energy-based Out-of-distribution Detection", NeurIPS 2020.

    Examples
    --------
    >>> from skood.scores import energy
    >>> energy([[0.0, 0.0], [3.0, 0.0]]).round(4)
    array([0.6931, 3.0486])
    """
    if not isinstance(temperature, Real) or not 0 < temperature < float("inf"):
        raise ValueError(f"temperature must be a positive finite number, got {temperature!r}.")
    return temperature * torch.logsumexp(logits / temperature, dim=1)


@_array_or_tensor
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


@_array_or_tensor
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


@_array_or_tensor
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
