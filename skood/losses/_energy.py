"""The loss that parts the energies."""

import torch
from torch.nn import functional as F

from ._checks import at_least_float32, check_pair


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
    check_pair(logits_in, logits_out)
    logits_in, logits_out = at_least_float32(logits_in), at_least_float32(logits_out)
    energy_in, energy_out = -torch.logsumexp(logits_in, 1), -torch.logsumexp(logits_out, 1)
    hinge_in = F.relu(energy_in - m_in).square().mean()
    hinge_out = F.relu(m_out - energy_out).square().mean()
    return F.cross_entropy(logits_in, y_in) + beta * (hinge_in + hinge_out)
