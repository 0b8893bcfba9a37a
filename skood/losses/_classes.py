"""The losses that give outliers one class of their own, or several."""

import torch
from torch.nn import functional as F

from ..scores._classes import first_reject
from ._checks import at_least_float32, check_pair


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
    check_pair(logits_in, logits_out)
    logits_in, logits_out = at_least_float32(logits_in), at_least_float32(logits_out)
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
    check_pair(logits_in, logits_out)
    logits_in, logits_out = at_least_float32(logits_in), at_least_float32(logits_out)
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
