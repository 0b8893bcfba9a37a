"""The scores that read the features before the last layer, and change them first."""

import torch
from torch.nn import functional as F

from .._numbers import check_number
from ._door import arrays_or_tensors

VARIANTS = ("p", "b", "s")


@arrays_or_tensors
def react(features, weight, bias, threshold):
    """Energy of the logits after the features were cut off at a threshold.

    Parameters
    ----------
    features : array-like or torch.Tensor of shape (n, d)
        The input of the network's last layer.
    weight : of shape (K, d)
        That layer's weight.
    bias : of shape (K,)
        Its bias.
    threshold : float
        In units of the features.

    Returns
    -------
    ndarray or torch.Tensor of shape (n,)
        Unbounded, in units of the logits; higher = more in-distribution.

    See Also
    --------
    ash : Cuts off the small ones, row by row.
    skood.ReActDetector : Takes the threshold from the training data.

    Notes
    -----
    ``logsumexp(weight @ min(features, threshold) + bias)``.

    References
    ----------
    Sun, Guo, Li, "ReAct: Out-of-distribution Detection With Rectified Activations", NeurIPS 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.scores import react
    >>> react(np.array([[1.0, 9.0]]), np.eye(2), np.zeros(2), threshold=2.0).round(4)
    array([2.3133])
    """
    return F.linear(features.clamp(max=threshold), weight, bias).logsumexp(1)


@arrays_or_tensors
def ash(features, weight, bias, variant="s", percentile=90.0):
    """Energy of the logits after all but the largest features of each row were set to 0.

    Parameters
    ----------
    features : array-like or torch.Tensor of shape (n, d)
        The input of the network's last layer; the method is meant for features that are not
        negative, as after a ReLU.
    weight : of shape (K, d)
        That layer's weight.
    bias : of shape (K,)
        Its bias.
    variant : {"p", "b", "s"}, default="s"
        What becomes of those that are kept: ``"p"`` nothing; ``"b"`` each becomes the row's sum
        over their number; ``"s"`` they are multiplied by ``exp(sum of the row / sum of the kept)``.
    percentile : float, default=90.0
        Percent of the features of each row that are set to 0, in [0, 100).

    Returns
    -------
    ndarray or torch.Tensor of shape (n,)
        Unbounded, in units of the logits; higher = more in-distribution.

    Raises
    ------
    ValueError
        If `variant` or `percentile` is none of these.

    See Also
    --------
    scale : Scales as "s" does, and sets nothing to 0.

    Notes
    -----
    ``d - round(percentile / 100 * d)`` features are kept, at least one. A row whose kept features
    sum to 0 or less stays as it is under "b" and "s": the ratio would mean nothing.

    References
    ----------
    Djurisic, Bozanic, Ashok, Liu, "Extremely Simple Activation Shaping for Out-of-Distribution
    Detection", ICLR 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.scores import ash
    >>> features = np.array([[1.0, 3.0]])
    >>> ash(features, np.eye(2), np.zeros(2), variant="p", percentile=50).round(4)
    array([3.0486])
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {VARIANTS}, got {variant!r}.")
    largest, index = _largest(features, percentile)
    total, kept = features.sum(1, keepdim=True), largest.sum(1, keepdim=True)
    if variant == "b":
        largest = torch.where(kept > 0, total / largest.shape[1], largest)
    elif variant == "s":
        largest = largest * _factor(total, kept)
    shaped = torch.zeros_like(features).scatter(1, index, largest)
    return F.linear(shaped, weight, bias).logsumexp(1)


@arrays_or_tensors
def scale(features, weight, bias, percentile=85.0):
    """Energy of the logits after each row of features was scaled by how much lies in its largest.

    Parameters
    ----------
    features : array-like or torch.Tensor of shape (n, d)
        The input of the network's last layer; the method is meant for features that are not
        negative, as after a ReLU.
    weight : of shape (K, d)
        That layer's weight.
    bias : of shape (K,)
        Its bias.
    percentile : float, default=85.0
        Percent of the features of each row that do not count as large, in [0, 100).

    Returns
    -------
    ndarray or torch.Tensor of shape (n,)
        Unbounded, in units of the logits; higher = more in-distribution.

    Raises
    ------
    ValueError
        If `percentile` is not in its range.

    See Also
    --------
    ash : Sets the small features to 0, besides.

    Notes
    -----
    All features of a row are multiplied by ``exp(sum of the row / sum of its largest)``, of which
    there are ``d - round(percentile / 100 * d)``, at least one.

    References
    ----------
    Xu, Chen, Franchi, Yao, "Scaling for Training Time and Post-hoc Out-of-distribution Detection
    Enhancement", ICLR 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.scores import scale
    >>> scale(np.array([[1.0, 3.0]]), np.eye(2), np.zeros(2), percentile=50).round(4)
    array([11.3815])
    """
    largest, _ = _largest(features, percentile)
    factor = _factor(features.sum(1, keepdim=True), largest.sum(1, keepdim=True))
    return F.linear(features * factor, weight, bias).logsumexp(1)


def _largest(features, percentile):
    """Return the largest features of each row, of shape (n, k), and where they are."""
    check_number("percentile", percentile, 0, strict=False)
    if percentile >= 100:
        raise ValueError(f"percentile must be below 100, got {percentile}.")
    d = features.shape[1]
    # A partition, never a full sort.
    return features.topk(max(1, d - round(percentile / 100 * d)), dim=1, sorted=False)


def _factor(total, kept):
    return torch.where(kept > 0, torch.exp(total / kept.where(kept > 0, 1.0)), 1.0)


@arrays_or_tensors
def grad_norm(features, logits):
    """Length of the last layer's gradient, if all classes were equally true.

    Parameters
    ----------
    features : array-like or torch.Tensor of shape (n, d)
        The input of the network's last layer.
    logits : of shape (n, K)
        What it makes of them.

    Returns
    -------
    ndarray or torch.Tensor of shape (n,)
        At least 0; higher = more in-distribution.

    See Also
    --------
    uniform : The loss itself, divided by K.

    Notes
    -----
    The L1 norm of the gradient of ``sum_k -log softmax(logits)_k`` by the layer's weight. That is
    an outer product, so its norm is ``sum_k |K p_k - 1| * sum_j |features_j|``: no backward pass.

    References
    ----------
    Huang, Geng, Li, "On the Importance of Gradients for Detecting Distributional Shifts in the
    Wild", NeurIPS 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.scores import grad_norm
    >>> grad_norm(np.array([[1.0, 2.0]]), np.log([[1.0, 3.0]]))
    array([3.])
    """
    p = logits.softmax(1)
    return (p * p.shape[1] - 1).abs().sum(1) * features.abs().sum(1)
