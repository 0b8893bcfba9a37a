"""What the nets of the papers share: CIFAR's constants, blocks by depth, the released start."""

from torch import nn

from .._numbers import check_integer
from ._images import NormalizedImageNet

CIFAR_MEAN = (125.3 / 255, 123.0 / 255, 113.9 / 255)
"""Per-channel mean of the CIFAR training images in [0, 1], as the papers print it."""

CIFAR_STD = (63.0 / 255, 62.1 / 255, 66.7 / 255)
"""Per-channel standard deviation of the CIFAR training images in [0, 1], as printed."""


class PublishedNet(NormalizedImageNet):
    """Abstract base of the nets of the papers, which normalise by CIFAR's constants by default."""

    def __init__(self, n_channels, mean, std):
        super().__init__(
            n_channels,
            _of_channels(CIFAR_MEAN, n_channels) if mean is None else mean,
            _of_channels(CIFAR_STD, n_channels) if std is None else std,
        )


def _of_channels(constants, n_channels):
    """Return the constants, their mean unless there are three channels."""
    return constants if n_channels == 3 else sum(constants) / 3


def blocks_in_a_stage(depth):
    """Return how many blocks of two convolutions each of the three stages has."""
    if (check_integer("depth", depth, 10) - 4) % 6:
        raise ValueError(f"depth must be 6 * n + 4 (10, 16, 22, 28, 40, ...), got {depth}.")
    return (depth - 4) // 6


def initialize_as_published(module):
    """Initialise as the released nets do: He-normal (fan-out) convolutions, zero linear bias.

    BatchNorm needs nothing: torch starts it at weight 1 and bias 0.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
