"""The default net for images: small enough to train on a CPU."""

import math

from torch import nn

from .._numbers import check_integer
from ._images import NormalizedImageNet, check_image_shape


def _conv_bn(n_in, n_out, kernel_size, stride):
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel_size, stride, padding=kernel_size // 2, bias=False),
        nn.BatchNorm2d(n_out),
    )


class _Block(nn.Module):
    """Two 3x3 convolutions added to the input, projected where shapes differ; ReLU last."""

    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.first = _conv_bn(n_in, n_out, 3, stride)
        self.second = _conv_bn(n_out, n_out, 3, 1)
        same = n_in == n_out and stride == 1
        self.shortcut = nn.Identity() if same else _conv_bn(n_in, n_out, 1, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.second(self.relu(self.first(x)))
        return self.relu(out.add_(self.shortcut(x)))


def _n_halvings(height, width):
    """Return how often to halve an image, so that the last stage sees about 4 x 4 pixels."""
    return max(0, round(math.log2(min(height, width) / 4)))


class SmallResNet(NormalizedImageNet):
    """Residual network of seven 3x3 convolutions, fast on a CPU.

    Parameters
    ----------
    input_shape : tuple (C, H, W)
        Shape of one image, H and W of at least 4. Values in [0, 1].
    n_outputs : int
        Number of logits.
    width : int, default=16
        Channels of the first stage; the second and third have ``2 * width`` and ``4 * width``.
        Doubling it takes about three times as long.
    dropout : float in [0, 1], default=0.0
        Probability of dropping a feature before the head, in training.
    mean, std : float or sequence of C floats, default=0.5 and 0.25
        The net sees ``(x - mean) / std``.

    See Also
    --------
    WideResNet : The net of the Outlier Exposure paper, more accurate and slower.
    MLP : The default net for tables.

    Notes
    -----
    A convolution, three residual stages of two convolutions, BatchNorm after each, the average
    over the pixels, a linear head. The image is halved as often as brings its shorter side nearest
    to 4 pixels: first in the last stage, then in the second, then in the first convolution, and,
    beyond 45 pixels, in further convolutions before the stages. Features (what the head sees) are
    nonnegative, of length ``4 * width``.

    References
    ----------
    .. [1] K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual Learning for Image Recognition",
       CVPR 2016.

    Examples
    --------
    >>> import torch
    >>> from skood.nn import SmallResNet
    >>> net = SmallResNet((1, 8, 8), 10)
    >>> net(torch.rand(5, 1, 8, 8)).shape
    torch.Size([5, 10])
    """

    def __init__(self, input_shape, n_outputs, *, width=16, dropout=0.0, mean=0.5, std=0.25):
        n_channels, *sides = check_image_shape(input_shape, min_side=4)
        super().__init__(n_channels, mean, std)
        width, n_halvings = check_integer("width", width, 1), _n_halvings(*sides)
        halve = [2 if n_halvings > before else 1 for before in range(3)]
        stem = [_conv_bn(n_channels, width, 3, halve[2]), nn.ReLU(inplace=True)]
        for _ in range(n_halvings - 3):
            stem += [_conv_bn(width, width, 3, 2), nn.ReLU(inplace=True)]
        self.stem = nn.Sequential(*stem)
        self.stages = nn.Sequential(
            _Block(width, width, 1),
            _Block(width, 2 * width, halve[1]),
            _Block(2 * width, 4 * width, halve[0]),
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(4 * width, check_integer("n_outputs", n_outputs, 1))

    def forward(self, x):
        """Return logits of shape (n, n_outputs) for images `x` in [0, 1], shape (n, C, H, W)."""
        out = self.stages(self.stem(self.normalize(x)))
        return self.head(self.dropout(out.mean((-2, -1))))
