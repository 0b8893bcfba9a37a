"""The loss that is kept from falling below a level."""

import torch

from .._numbers import check_number
from ._checks import at_least_float32


def flooding(loss, level):
    """Train down to a level of the loss and, from below, up to it again.

    Parameters
    ----------
    loss : torch.Tensor, floating point, of any shape
        What is minimised; differentiable. The methods flood the mean loss of a batch: flooding each
        row's loss and averaging then is something else.
    level : float
        Where the loss is to float, at least 0, in units of the loss.

    Returns
    -------
    torch.Tensor of the loss's shape
        At least `level`; float32 for half precision. Where the loss is not below the level it is
        the loss itself, bit for bit: a loss that is never negative does not change at level 0.

    Raises
    ------
    TypeError
        If `loss` is not a floating point tensor, or `level` is no number.
    ValueError
        If `level` is negative or not finite.

    See Also
    --------
    skood.UnleashingMaskDetector : Finds the level, and trains with it.

    Notes
    -----
    ``|loss - level| + level``. The derivative by the loss is 1 above the level and -1 below. At the
    level itself, where any number between them would do, it is 1 here: there nothing differs from
    training without a level. The released code stands still there, with a derivative of 0.

    References
    ----------
    Ishida, Yamane, Sakai, Niu, Sugiyama, "Do We Need Zero Training Loss After Achieving Zero
    Training Error?", ICML 2020.

    Zhu, Li, Yao, Liu, Xu, Han, "Unleashing Mask: Explore the Intrinsic Out-of-Distribution
    Detection Capability", ICML 2023.

    Examples
    --------
    >>> import torch
    >>> from skood.losses import flooding
    >>> flooding(torch.tensor([0.25, 0.5, 1.0]), level=0.5)
    tensor([0.7500, 0.5000, 1.0000])
    """
    if not isinstance(loss, torch.Tensor) or not loss.is_floating_point():
        came = getattr(loss, "dtype", type(loss).__name__)
        raise TypeError(f"loss must be a floating point torch.Tensor, got {came}.")
    check_number("level", level, 0, strict=False)
    loss = at_least_float32(loss)
    # Two branches rather than abs, which rounds above the level, too. NaN stays NaN.
    return torch.where(loss >= level, loss, 2 * level - loss)
