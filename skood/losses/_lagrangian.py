"""Constraints within a loss: the augmented Lagrangian."""

import torch

from ._checks import at_least_float32


def augmented_lagrangian(constraint, multiplier, penalty):
    """Return what the constraint ``constraint <= 0`` adds to a loss.

    Parameters
    ----------
    constraint : torch.Tensor, floating point, of any shape
        How far the constraint is violated (positive) or slack (negative); differentiable.
    multiplier : float or torch.Tensor
        Its Lagrange multiplier, at least 0; not differentiated by the methods here.
    penalty : float or torch.Tensor
        Weight of the squared violation, above 0.

    Returns
    -------
    torch.Tensor of the constraint's shape
        Never falling in `constraint`, and continuous with its derivative; float32 for half
        precision.

    Raises
    ------
    TypeError
        If `constraint` is not a floating point tensor.
    ValueError
        If a multiplier is negative or a penalty not positive.

    See Also
    --------
    skood.WOODSDetector : Trains with two of them.

    Notes
    -----
    ``multiplier * c + penalty / 2 * c^2`` where ``penalty * c + multiplier >= 0``, else the least
    value of that parabola, ``-multiplier^2 / (2 * penalty)``. The derivative by c is ``max(0,
    penalty * c + multiplier)``: a constraint that is slack enough does not pull.

    References
    ----------
    J. Nocedal and S. J. Wright, "Numerical Optimization", 2006, chapter 17.

    Examples
    --------
    >>> import torch
    >>> from skood.losses import augmented_lagrangian
    >>> augmented_lagrangian(torch.tensor([-2.0, 0.0, 2.0]), multiplier=1.0, penalty=1.0)
    tensor([-0.5000,  0.0000,  4.0000])
    """
    if not isinstance(constraint, torch.Tensor) or not constraint.is_floating_point():
        raise TypeError(
            f"constraint must be a floating point torch.Tensor, got {_name(constraint)}."
        )
    constraint = at_least_float32(constraint)
    multiplier, penalty = (
        torch.as_tensor(v, dtype=constraint.dtype, device=constraint.device)
        for v in (multiplier, penalty)
    )
    if not (multiplier >= 0).all():
        raise ValueError(f"multiplier must be at least 0, got {multiplier.min().item():g}.")
    if not (penalty > 0).all():
        raise ValueError(f"penalty must be above 0, got {penalty.min().item():g}.")
    # The parabola from its lowest point on, written so that one formula serves both branches.
    pull = torch.relu(penalty * constraint + multiplier)
    return (pull.square() - multiplier.square()) / (2 * penalty)


def _name(value):
    return value.dtype if isinstance(value, torch.Tensor) else type(value).__name__
