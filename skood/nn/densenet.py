"""Densely connected networks, as in the ATOM and Unleashing Mask papers."""

from torch import nn

from .._numbers import check_integer
from ._concatenation import concatenated
from ._dropout import CheapDropout
from ._images import check_image_shape
from ._published import PublishedNet, blocks_in_a_stage, initialize_as_published


class _Bottleneck(nn.Module):
    """BN-ReLU-1x1 to ``4 * growth`` channels, BN-ReLU-3x3 to `growth`, appended to the input."""

    def __init__(self, n_in, growth, dropout):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(n_in)
        self.conv1 = nn.Conv2d(n_in, 4 * growth, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = CheapDropout(dropout)

    def forward(self, x):
        out = self.dropout(self.conv1(self.relu(self.bn1(x))))
        out = self.dropout(self.conv2(self.relu(self.bn2(out))))
        return concatenated(x, out)


class _DenseBlock(nn.Module):
    def __init__(self, n_layers, n_in, growth, dropout):
        super().__init__()
        widths = range(n_in, n_in + n_layers * growth, growth)
        self.layer = nn.Sequential(*(_Bottleneck(width, growth, dropout) for width in widths))

    def forward(self, x):
        return self.layer(x)


class _Transition(nn.Module):
    """BN-ReLU-1x1, then half the resolution."""

    def __init__(self, n_in, n_out, dropout):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(n_in)
        self.conv1 = nn.Conv2d(n_in, n_out, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = CheapDropout(dropout)
        self.pool = nn.AvgPool2d(2)

    def forward(self, x):
        return self.pool(self.dropout(self.conv1(self.relu(self.bn1(x)))))


class DenseNet(PublishedNet):
    """DenseNet-BC (bottleneck and compression) for small images.

    Parameters
    ----------
    input_shape : tuple (C, H, W), default=(3, 32, 32)
        Shape of one image, H and W of at least 4. Values in [0, 1].
    n_outputs : int, default=10
        Number of logits.
    depth : int, default=100
        Number of layers; ``(depth - 4)`` must be a multiple of 6.
    growth : int, default=12
        Channels that each layer adds; the first convolution has ``2 * growth``.
    reduction : float in (0, 1], default=0.5
        Share of the channels that a transition keeps.
    dropout : float in [0, 1], default=0.0
        Probability of dropping an activation after each convolution of a block, in training.
    mean, std : float or sequence of C floats, default=None
        The net sees ``(x - mean) / std``. None: the constants of CIFAR, `skood.nn.CIFAR_MEAN` and
        `skood.nn.CIFAR_STD` (for C other than 3: their average over the channels).

    See Also
    --------
    WideResNet : The net of the Outlier Exposure paper.
    SmallResNet : Far faster, for a CPU.

    Notes
    -----
    ``DenseNet((3, 32, 32), 11)`` has 769,505 parameters. They carry the names of the released
    implementations (``block1.layer.0.conv1.weight``, ..., ``fc.bias``), so their state dicts load
    with ``strict=False``: only `mean` and `std` are missing there.

    Convolutions start He-normal (fan-out), as in the paper's code; the released ATOM code takes
    the number of layers of a block for the fan by mistake.

    References
    ----------
    .. [1] G. Huang, Z. Liu, L. van der Maaten and K. Weinberger, "Densely Connected Convolutional
       Networks", CVPR 2017.
    .. [2] J. Chen, Y. Li, X. Wu, Y. Liang and S. Jha, "ATOM: Robustifying Out-of-distribution
       Detection Using Outlier Mining", ECML PKDD 2021.

    Examples
    --------
    >>> import torch
    >>> from skood.nn import DenseNet
    >>> net = DenseNet((3, 32, 32), 10, depth=22)
    >>> net(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        input_shape=(3, 32, 32),
        n_outputs=10,
        *,
        depth=100,
        growth=12,
        reduction=0.5,
        dropout=0.0,
        mean=None,
        std=None,
    ):
        n_channels, *_ = check_image_shape(input_shape, min_side=4)
        super().__init__(n_channels, mean, std)
        if not 0 < reduction <= 1:
            raise ValueError(f"reduction must be in (0, 1], got {reduction}.")
        n_layers, growth = blocks_in_a_stage(depth), check_integer("growth", growth, 1)
        n = 2 * growth
        self.conv1 = nn.Conv2d(n_channels, n, 3, padding=1, bias=False)
        self.block1 = _DenseBlock(n_layers, n, growth, dropout)
        n += n_layers * growth
        self.trans1 = _Transition(n, int(n * reduction), dropout)
        n = int(n * reduction)
        self.block2 = _DenseBlock(n_layers, n, growth, dropout)
        n += n_layers * growth
        self.trans2 = _Transition(n, int(n * reduction), dropout)
        n = int(n * reduction)
        self.block3 = _DenseBlock(n_layers, n, growth, dropout)
        n += n_layers * growth
        self.bn1 = nn.BatchNorm2d(n)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(n, check_integer("n_outputs", n_outputs, 1))
        initialize_as_published(self)

    def forward(self, x):
        """Return logits of shape (n, n_outputs) for images `x` in [0, 1], shape (n, C, H, W)."""
        out = self.trans1(self.block1(self.conv1(self.normalize(x))))
        out = self.block3(self.trans2(self.block2(out)))
        return self.fc(self.relu(self.bn1(out)).mean((-2, -1)))
