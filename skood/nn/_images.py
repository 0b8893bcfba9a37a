"""What the image nets share: the shape they check and the normalisation they hold."""

import torch
from torch import nn

from .._numbers import check_integer


def check_image_shape(input_shape, min_side):
    """Return `input_shape` as (C, H, W) ints, with H and W of at least `min_side` pixels."""
    shape = tuple(input_shape)
    if len(shape) != 3:
        raise ValueError(
            f"input_shape must be (C, H, W) for an image net, got {shape}; "
            "use skood.nn.MLP for other shapes."
        )
    channels, *sides = (check_integer("each entry of input_shape", size, 1) for size in shape)
    if min(sides) < min_side:
        raise ValueError(
            f"input_shape must have H and W >= {min_side} for this net, got {shape}; "
            "use a smaller net such as skood.nn.SmallResNet or skood.nn.MLP, or enlarge the images."
        )
    return (channels, *sides)


def _channel_constant(value, name, n_channels):
    constant = torch.as_tensor(value, dtype=torch.float32).reshape(-1)
    if len(constant) not in (1, n_channels):
        raise ValueError(
            f"{name} must be one number or one per channel ({n_channels}), got {len(constant)}."
        )
    if not torch.isfinite(constant).all():
        raise ValueError(f"{name} must be finite, got {value!r}.")
    return constant.expand(n_channels).clone().reshape(n_channels, 1, 1)


class NormalizedImageNet(nn.Module):
    """Abstract base of the nets that take images in [0, 1] and normalise them inside.

    Normalising inside the net keeps attacks, corruptions and score gradients in the units of the
    images. `mean` and `std` are persistent buffers of shape (C, 1, 1).

    Parameters
    ----------
    n_channels : int
        Number of image channels C.
    mean, std : float or sequence of C floats
        ``(x - mean) / std`` is what the first convolution sees.
    """

    def __init__(self, n_channels, mean, std):
        super().__init__()
        self.register_buffer("mean", _channel_constant(mean, "mean", n_channels))
        self.register_buffer("std", _channel_constant(std, "std", n_channels))
        if not (self.std > 0).all():
            raise ValueError(f"std must be positive, got {std!r}.")

    def normalize(self, x):
        """Return ``(x - mean) / std``, shape (n, C, H, W)."""
        return (x - self.mean) / self.std
