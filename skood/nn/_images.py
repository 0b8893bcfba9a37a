"""What the image nets share: the shape they check and the normalisation they hold."""

from numbers import Integral

import torch
from torch import nn

CIFAR_MEAN = (125.3 / 255, 123.0 / 255, 113.9 / 255)
"""Per-channel mean of the CIFAR training images in [0, 1], as the papers print it."""

CIFAR_STD = (63.0 / 255, 62.1 / 255, 66.7 / 255)
"""Per-channel standard deviation of the CIFAR training images in [0, 1], as printed."""


def check_count(value, name, minimum=1):
    """Return `value` as an int of at least `minimum`, or say what is wrong with it."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer >= {minimum}, got {value!r}.")
    if value < minimum:
        raise ValueError(f"{name} must be an integer >= {minimum}, got {value}.")
    return int(value)


def check_image_shape(input_shape, min_side):
    """Return `input_shape` as (C, H, W) ints, with H and W of at least `min_side` pixels."""
    shape = tuple(input_shape)
    if len(shape) != 3:
        raise ValueError(
            f"input_shape must be (C, H, W) for an image net, got {shape}; "
            "use skood.nn.MLP for other shapes."
        )
    channels, *sides = (check_count(size, "each entry of input_shape") for size in shape)
    if min(sides) < min_side:
        raise ValueError(
            f"input_shape must have H and W >= {min_side} for this net, got {shape}; "
            "use a smaller net such as skood.nn.SmallResNet or skood.nn.MLP, or enlarge the images."
        )
    return (channels, *sides)


def cifar_constants(n_channels):
    """Return the CIFAR (mean, std), averaged over the channels unless there are three."""
    if n_channels == 3:
        return CIFAR_MEAN, CIFAR_STD
    return sum(CIFAR_MEAN) / 3, sum(CIFAR_STD) / 3


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


def initialize_as_published(module):
    """Initialise as the released nets do: He-normal (fan-out) convolutions, zero linear bias.

    BatchNorm needs nothing: torch starts it at weight 1 and bias 0.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
