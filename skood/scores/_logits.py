"""The scores that read the logits as they are."""

from numbers import Real

import torch

from ._door import array_or_tensor


@array_or_tensor
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


@array_or_tensor
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
