"""Constraints within a loss: the augmented Lagrangian."""

from numbers import Number

import numpy as np
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
    least = _least(multiplier), _least(penalty)
    if not least[0] >= 0:
        raise ValueError(f"multiplier must be at least 0, got {least[0]:g}.")
    if not least[1] > 0:
        raise ValueError(f"penalty must be above 0, got {least[1]:g}.")
    multiplier, penalty = (_beside(constraint, v) for v in (multiplier, penalty))
    # The parabola from its lowest point on, written so that one formula serves both branches.
    pull = torch.relu(penalty * constraint + multiplier)
    return (pull.square() - multiplier**2) / (2 * penalty)


def _least(value):
    """Return the least of one or many numbers; a GPU is asked only where the numbers lie there."""
    return value.min().item() if isinstance(value, torch.Tensor) else np.min(value)


def _beside(constraint, value):
    """Return a number as it is, which every device takes without waiting, or many as a tensor."""
    if isinstance(value, Number):
        return value
    return torch.as_tensor(value, dtype=constraint.dtype, device=constraint.device)


def _name(value):
    return value.dtype if isinstance(value, torch.Tensor) else type(value).__name__
