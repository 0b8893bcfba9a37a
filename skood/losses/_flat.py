"""The losses that flatten the prediction on outliers."""

import torch
from torch.nn import functional as F

from ._checks import at_least_float32, check_logits, check_pair


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
    check_logits("logits", logits)
    # log_softmax subtracts each row's maximum first; lse - mean would cancel for large logits.
    loss = -torch.log_softmax(at_least_float32(logits), dim=1).mean(dim=1)
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
    check_pair(logits_in, logits_out)
    loss_in = F.cross_entropy(at_least_float32(logits_in), y_in)
    return loss_in + beta * uniform_cross_entropy(logits_out)
