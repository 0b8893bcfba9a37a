"""Training losses as pure functions: tensors of logits in, one differentiable number out.

In-distribution rows and outlier rows come as two tensors, and each is averaged over its own rows,
so that no loss depends on how many outliers stand beside one in-distribution row in a batch.
"""

import torch
from torch.nn import functional as F

from .scores import first_reject

__all__ = [
    "abstention", "energy_hinge", "outlier_exposure", "rejection", "uniform_cross_entropy"
]


def uniform_cross_entropy(logits, reduction="mean"):
    """Cross-entropy of the uniform distribution against the softmax of the logits.

    Parameters
    ----------
    logits : torch.Tensor of shape (n, K)
        Unnormalised log-probabilities of the K classes.
    reduction : {"mean", "none"}, default="mean"
        "mean" averages over the rows, "none" gives one value a row.

    Returns
    -------
    torch.Tensor
        Of shape () or (n,), at least log K. Half precision logits give a float32 loss; any other
        dtype is kept.

    Raises
    ------
    TypeError
        If `logits` is not a floating point tensor.
    ValueError
        If `logits` is not a matrix with at least one row and column, or `reduction` is unknown.

    See Also
    --------
    outlier_exposure : The loss that adds this term to the classification loss.
    skood.scores.uniform : The same number as a score.

    Notes
    -----
    With ``p = softmax(logits)`` the value is ``-mean_k log p_k = logsumexp(logits) -
    mean(logits)``. It exceeds the Kullback-Leibler divergence KL(U || p) by the constant log K, so
    the gradients are the same.

    References
    ----------
    Hendrycks, Mazeika, Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.

    Examples
    --------
    >>> import torch
    >>> from skood.losses import uniform_cross_entropy
    >>> logits = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    >>> uniform_cross_entropy(logits, reduction="none")
    tensor([0.6931, 1.5486])
    """
    if reduction not in ("mean", "none"):
        raise ValueError(f"reduction must be 'mean' or 'none', got {reduction!r}.")
    _check_logits("logits", logits)
    # log_softmax subtracts each row's maximum first; lse - mean would cancel for large logits.
    loss = -torch.log_softmax(_at_least_float32(logits), dim=1).mean(dim=1)
    return loss.mean() if reduction == "mean" else loss


def outlier_exposure(logits_in, y_in, logits_out, beta=0.5):
    """Outlier Exposure: classify the in-distribution rows, be undecided on the outliers.

    Parameters
    ----------
    logits_in : torch.Tensor of shape (n_in, K)
        Logits of the in-distribution rows.
    y_in : torch.Tensor of shape (n_in,), int64
        Their class indices in 0..K-1.
    logits_out : torch.Tensor of shape (n_out, K)
        Logits of the outlier rows, best computed in the same forward pass as `logits_in`, so that
        batch normalisation sees both.
    beta : float, default=0.5
        Weight of the outlier term; 0.5 is the paper's for images, 1 for text.

    Returns
    -------
    torch.Tensor of shape ()
        The loss; float32 for half precision logits, else in the dtype of the logits.

    Raises
    ------
    TypeError
        If either logits is not a floating point tensor.
    ValueError
        If either logits is not a matrix with at least one row and column, or their K differ.

    See Also
    --------
    uniform_cross_entropy : The outlier term alone.
    energy_hinge : Pushes energies apart instead of flattening the softmax.

    Notes
    -----
    ``mean CE(logits_in, y_in) + beta * mean uniform_cross_entropy(logits_out)``. Both terms are
    means over their own rows: the ratio of outliers to in-distribution rows changes the noise, not
    the weight.

    References
    ----------
    Hendrycks, Mazeika, Dietterich, "Deep Anomaly Detection with Outlier Exposure", ICLR 2019.

    Examples
    --------
    >>> import torch
    >>> from skood.losses import outlier_exposure
    >>> logits_in = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    >>> logits_out = torch.tensor([[3.0, 0.0]])
    >>> outlier_exposure(logits_in, torch.tensor([0, 1]), logits_out)
    tensor(0.9012)
    """
    _check_pair(logits_in, logits_out)
    loss_in = F.cross_entropy(_at_least_float32(logits_in), y_in)
    return loss_in + beta * uniform_cross_entropy(logits_out)


def energy_hinge(logits_in, y_in, logits_out, m_in, m_out, beta=0.1):
    """Energy-bounded learning: low energy on the in-distribution rows, high energy on the outliers.

    Parameters
    ----------
    logits_in : torch.Tensor of shape (n_in, K)
        Logits of the in-distribution rows.
    y_in : torch.Tensor of shape (n_in,), int64
        Their class indices in 0..K-1.
    logits_out : torch.Tensor of shape (n_out, K)
        Logits of the outlier rows.
    m_in, m_out : float
        Margins, in units of the energy: in-distribution rows are pushed below `m_in`, outliers
        above `m_out`. They depend on the scale of the logits; the published values (-23 and -5 for
        CIFAR-10) fit the published networks only.
    beta : float, default=0.1
        Weight of the two hinge terms.

    Returns
    -------
    torch.Tensor of shape ()
        The loss; float32 for half precision logits, else in the dtype of the logits.

    Raises
    ------
    TypeError
        If either logits is not a floating point tensor.
    ValueError
        If either logits is not a matrix with at least one row and column, or their K differ.

    See Also
    --------
    outlier_exposure : Flattens the softmax of the outliers instead.
    skood.scores.energy : Minus the energy, as a score.

    Notes
    -----
    With ``E = -logsumexp(logits)`` the loss is ``mean CE(logits_in, y_in) + beta * (mean max(E_in -
    m_in, 0)^2 + mean max(m_out - E_out, 0)^2)``. The released code fixes beta at 0.1.

    References
    ----------
    Liu, Wang, Owens, Li, "Energy-based Out-of-distribution Detection", NeurIPS 2020.

    Examples
    --------
    >>> import torch
    >>> from skood.losses import energy_hinge
    >>> logits_in = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    >>> logits_out = torch.tensor([[3.0, 0.0]])
    >>> energy_hinge(logits_in, torch.tensor([0, 1]), logits_out, m_in=-3.0, m_out=-1.0)
    tensor(0.6228)
    """
    _check_pair(logits_in, logits_out)
    logits_in, logits_out = _at_least_float32(logits_in), _at_least_float32(logits_out)
    energy_in, energy_out = -torch.logsumexp(logits_in, 1), -torch.logsumexp(logits_out, 1)
    hinge_in = F.relu(energy_in - m_in).square().mean()
    hinge_out = F.relu(m_out - energy_out).square().mean()
    return F.cross_entropy(logits_in, y_in) + beta * (hinge_in + hinge_out)


def abstention(logits_in, y_in, logits_out, beta=1.0):
    """Classify the in-distribution rows, and the outliers as one more class.

    Parameters
    ----------
    logits_in : torch.Tensor of shape (n_in, K + 1)
        Logits of the in-distribution rows; the last column is the outliers' class.
    y_in : torch.Tensor of shape (n_in,), int64
        Their class indices in 0..K-1.
    logits_out : torch.Tensor of shape (n_out, K + 1)
        Logits of the outlier rows.
    beta : float, default=1.0
        Weight of the outlier term.

    Returns
    -------
    torch.Tensor of shape ()
        The loss; float32 for half precision logits, else in the dtype of the logits.

    Raises
    ------
    TypeError
        If either logits is not a floating point tensor.
    ValueError
        If either logits is not a matrix with at least one row and column, or their K differ.

    See Also
    --------
    outlier_exposure : Needs no further class.
    rejection : Several classes for outliers.
    skood.scores.abstention : The score that goes with it.

    Notes
    -----
    ``mean CE(logits_in, y_in) + beta * mean CE(logits_out, K)``, both over K + 1 logits.

    References
    ----------
    Chen, Li, Wu, Liang, Jha, "ATOM: Robustifying Out-of-distribution Detection Using Outlier
    Mining", ECML 2021.

    Examples
    --------
    >>> import torch
    >>> from skood.losses import abstention
    >>> logits_in = torch.tensor([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    >>> logits_out = torch.tensor([[0.0, 0.0, 3.0]])
    >>> abstention(logits_in, torch.tensor([0, 1]), logits_out)
    tensor(0.3345)
    """
    _check_pair(logits_in, logits_out)
    logits_in, logits_out = _at_least_float32(logits_in), _at_least_float32(logits_out)
    outlying = logits_out.new_full((len(logits_out),), logits_out.shape[1] - 1, dtype=torch.int64)
    return F.cross_entropy(logits_in, y_in) + beta * F.cross_entropy(logits_out, outlying)


def rejection(logits_in, y_in, logits_out, n_reject, beta=5.0, generator=None):
    """Classify the in-distribution rows, and the outliers as one of several reject classes.

    Which of them an outlier belongs to nobody knows: the network's own prediction decides.

    Parameters
    ----------
    logits_in : torch.Tensor of shape (n_in, K + n_reject)
        Logits of the in-distribution rows; the last columns are the reject classes.
    y_in : torch.Tensor of shape (n_in,), int64
        Their class indices in 0..K-1.
    logits_out : torch.Tensor of shape (n_out, K + n_reject)
        Logits of the outlier rows.
    n_reject : int
        Number of reject classes, from 1 to one less than the columns of the logits.
    beta : float, default=5.0
        Weight of the outlier term.
    generator : torch.Generator, default=None
        Draws the pseudo-labels of outliers that look in-distribution, on its own device. None: the
        global generator of torch for the device of `logits_out`.

    Returns
    -------
    torch.Tensor of shape ()
        The loss; float32 for half precision logits, else in the dtype of the logits.

    Raises
    ------
    TypeError
        If either logits is not a floating point tensor, or `n_reject` is not an integer.
    ValueError
        If either logits is not a matrix with at least one row and column, or their K differ, or
        `n_reject` is out of its range.

    See Also
    --------
    abstention : The same for one reject class, save the default of beta.
    skood.scores.rejection : The score that goes with it.

    Notes
    -----
    ``mean CE(logits_in, y_in) + beta * mean CE(logits_out, pseudo_label)``, both over K + n_reject
    logits. The pseudo-label of an outlier is its largest logit where that is a reject class, and
    one of the reject classes at random where it is not. No gradient passes through the choice.

    References
    ----------
    Mohseni, Pitale, Yadawa, Wang, "Self-Supervised Learning for Generalizable Out-of-Distribution
    Detection", AAAI 2020.

    Examples
    --------
    >>> import torch
    >>> from skood.losses import rejection
    >>> logits_in = torch.tensor([[2.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]])
    >>> logits_out = torch.tensor([[0.0, 0.0, 3.0, 0.0]])
    >>> rejection(logits_in, torch.tensor([0, 1]), logits_out, n_reject=2)
    tensor(1.0368)
    """
    _check_pair(logits_in, logits_out)
    logits_in, logits_out = _at_least_float32(logits_in), _at_least_float32(logits_out)
    labels = _pseudo_labels(logits_out, n_reject, generator)
    return F.cross_entropy(logits_in, y_in) + beta * F.cross_entropy(logits_out, labels)


def _pseudo_labels(logits, n_reject, generator):
    """Return the likeliest class where it is a reject class, else a random one of these."""
    n, n_columns = logits.shape
    first = first_reject(n_columns, n_reject)
    device = logits.device if generator is None else generator.device
    drawn = torch.randint(first, n_columns, (n,), generator=generator, device=device)
    likeliest = logits.argmax(dim=1)
    return torch.where(likeliest < first, drawn.to(logits.device), likeliest)


def _at_least_float32(logits):
    # A log-sum-exp in half precision keeps about three digits, too few for a gradient.
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def _check_logits(name, logits):
    if not isinstance(logits, torch.Tensor) or not logits.is_floating_point():
        came = getattr(logits, "dtype", type(logits).__name__)
        raise TypeError(f"{name} must be a floating point torch.Tensor, got {came}.")
    if logits.ndim != 2 or 0 in logits.shape:
        raise ValueError(
            f"{name} must have shape (n, K) with at least one row and one class, got "
            f"{tuple(logits.shape)}. The mean over no rows is not defined."
        )


def _check_pair(logits_in, logits_out):
    _check_logits("logits_in", logits_in)
    _check_logits("logits_out", logits_out)
    if logits_in.shape[1] != logits_out.shape[1]:
        raise ValueError(
            "logits_in and logits_out must have the same number of classes, got "
            f"{logits_in.shape[1]} and {logits_out.shape[1]}."
        )
