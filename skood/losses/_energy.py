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


def energy_gradient(x, logits_in, logits_out, m_in, m_out):
    """Return the mean length of the energy's input gradient where the energy is on its right side.

    The term that gradient regularisation adds to `energy_hinge`: a small gradient means that the
    neighbours of a sample that is detected are detected, too.

    Parameters
    ----------
    x : torch.Tensor of shape (n_in + n_out, ...)
        The batch that both logits were computed from in one pass, in-distribution rows first; it
        requires gradients.
    logits_in : torch.Tensor of shape (n_in, K)
        Logits of the in-distribution rows.
    logits_out : torch.Tensor of shape (n_out, K)
        Logits of the outlier rows.
    m_in, m_out : float
        Margins, in units of the energy: in-distribution rows count where their energy is at most
        `m_in`, outliers where it is at least `m_out`.

    Returns
    -------
    torch.Tensor of shape ()
        In units of the energy over those of x; differentiable once more, by the weights. 0 where
        no row counts, and on a CPU then at no cost.

    Raises
    ------
    TypeError
        If either logits is not a floating point tensor.
    ValueError
        If either logits is not a matrix with at least one row and column, their K differ, or x
        does not require gradients, has another number of rows than both logits together, or is
        not what these were computed from.

    See Also
    --------
    energy_hinge : The terms on the energies themselves.

    Notes
    -----
    With ``E = -logsumexp(logits)`` it is ``mean_in(1[E <= m_in] * |dE/dx|) + mean_out(1[E >= m_out]
    * |dE/dx|)``, both means over all rows of their kind and the masks taken as constants. The
    released code computes it in a second pass and divides it by ``n_in + n_out`` once more. Where
    BatchNorm couples the rows of a batch, ``dE/dx`` is the gradient of the sum of all energies.

    References
    ----------
    Sharifi, Entesari, Safaei, Patel, Fazlyab, "Gradient-Regularized Out-of-Distribution Detection",
    ECCV 2024.

    Examples
    --------
    >>> import torch
    >>> from skood.losses import energy_gradient
    >>> x = torch.tensor([[3.0, 4.0], [1.0, 0.0]], requires_grad=True)
    >>> logits = (x * x).sum(1, keepdim=True) / 2  # one class, so E = -|x|^2 / 2 and dE/dx = -x
    >>> energy_gradient(x, logits[:1], logits[1:], m_in=-10.0, m_out=-1.0)
    tensor(6., grad_fn=<AddBackward0>)
    """
    check_pair(logits_in, logits_out)
    _check_input(x, len(logits_in) + len(logits_out))
    energy = -torch.cat([at_least_float32(z).logsumexp(1) for z in (logits_in, logits_out)])
    n_in = len(logits_in)
    counts = torch.cat([energy[:n_in] <= m_in, energy[n_in:] >= m_out])
    # Only a CPU is asked whether any does: elsewhere to ask is to wait for the forward pass.
    if counts.device.type == "cpu" and not counts.any():
        return energy.new_zeros(())
    length = torch.linalg.vector_norm(_gradient(energy, x).flatten(1), dim=1) * counts
    return length[:n_in].mean() + length[n_in:].mean()


def _gradient(energy, x):
    """Return the gradient by x, of which a gradient can be taken."""
    gradient = None
    if energy.requires_grad:
        gradient, = torch.autograd.grad(energy.sum(), x, create_graph=True, allow_unused=True)
    if gradient is None:
        raise ValueError(
            "the logits do not depend on x by way of autograd, so their energy has no gradient "
            "there: freeze layers by requires_grad_(False), not by no_grad() or detach(), or leave "
            "the gradients' term out (grad_weight=0)."
        )
    return gradient


def _check_input(x, n_rows):
    if not isinstance(x, torch.Tensor) or not x.requires_grad or len(x) != n_rows:
        came = type(x).__name__
        if isinstance(x, torch.Tensor):
            came = f"{len(x)} rows, requires_grad={x.requires_grad}"
        raise ValueError(
            f"x must be the batch of {n_rows} rows that the logits come from, and require "
            f"gradients (x.requires_grad_() before the forward pass), got {came}."
        )
