"""Wide residual networks, as in the Outlier Exposure and energy papers."""

from torch import nn

from .._numbers import check_integer
from ._dropout import CheapDropout
from ._images import check_image_shape
from ._published import PublishedNet, blocks_in_a_stage, initialize_as_published


class _PreactivationBlock(nn.Module):
    """BN-ReLU-conv, BN-ReLU-dropout-conv, added to the shortcut."""

    def __init__(self, n_in, n_out, stride, dropout):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(n_in)
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.dropout = CheapDropout(dropout)
        if n_in == n_out:
            self.convShortcut = None
        else:
            self.convShortcut = nn.Conv2d(n_in, n_out, 1, stride, bias=False)

    def forward(self, x):
        activated = self.relu(self.bn1(x))
        out = self.dropout(self.relu(self.bn2(self.conv1(activated))))
        # Where widths differ, the projection reads the activated input, not x itself.
        shortcut = x if self.convShortcut is None else self.convShortcut(activated)
        return self.conv2(out).add_(shortcut)


class _Group(nn.Module):
    """`n_blocks` blocks of one width; the first one changes width and resolution."""

    def __init__(self, n_blocks, n_in, n_out, stride, dropout):
        super().__init__()
        first = _PreactivationBlock(n_in, n_out, stride, dropout)
        rest = (_PreactivationBlock(n_out, n_out, 1, dropout) for _ in range(n_blocks - 1))
        self.layer = nn.Sequential(first, *rest)

    def forward(self, x):
        return self.layer(x)


class WideResNet(PublishedNet):
    """Wide residual network for small images.

    Parameters
    ----------
    input_shape : tuple (C, H, W), default=(3, 32, 32)
        Shape of one image, H and W of at least 4. Values in [0, 1].
    n_outputs : int, default=10
        Number of logits.
    depth : int, default=40
        Number of layers; ``(depth - 4)`` must be a multiple of 6.
    width : int, default=2
        Widening factor: the three groups have ``16 * width``, ``32 * width`` and ``64 * width``
        channels.
    dropout : float in [0, 1], default=0.3
        Probability of dropping an activation between the two convolutions of a block, in training.
        The OE paper uses 0.3, the ATOM paper 0.
    mean, std : float or sequence of C floats, default=None
        The net sees ``(x - mean) / std``. None: the constants of CIFAR, `skood.nn.CIFAR_MEAN` and
        `skood.nn.CIFAR_STD` (for C other than 3: their average over the channels).

    See Also
    --------
    DenseNet : The net of the ATOM paper.
    SmallResNet : Far faster, for a CPU.

    Notes
    -----
    ``WideResNet((3, 32, 32), 10, depth=40, width=2)`` has 2,243,546 parameters. Parameters carry
    the names of the released implementations (``block1.layer.0.conv1.weight``, ..., ``fc.bias``),
    so their state dicts load with ``strict=False``: only `mean` and `std` are missing there, since
    that code normalises outside the net.

    References
    ----------
    .. [1] S. Zagoruyko and N. Komodakis, "Wide Residual Networks", BMVC 2016.
    .. [2] D. Hendrycks, M. Mazeika and T. Dietterich, "Deep Anomaly Detection with Outlier
       Exposure", ICLR 2019.

    Examples
    --------
    >>> import torch
    >>> from skood.nn import WideResNet
    >>> net = WideResNet((3, 32, 32), 10, depth=10, width=1)
    >>> net(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        input_shape=(3, 32, 32),
        n_outputs=10,
        *,
        depth=40,
        width=2,
        dropout=0.3,
        mean=None,
        std=None,
    ):
        n_channels, *_ = check_image_shape(input_shape, min_side=4)
        super().__init__(n_channels, mean, std)
        n_blocks, width = blocks_in_a_stage(depth), check_integer("width", width, 1)
        self.conv1 = nn.Conv2d(n_channels, 16, 3, padding=1, bias=False)
        self.block1 = _Group(n_blocks, 16, 16 * width, 1, dropout)
        self.block2 = _Group(n_blocks, 16 * width, 32 * width, 2, dropout)
        self.block3 = _Group(n_blocks, 32 * width, 64 * width, 2, dropout)
        self.bn1 = nn.BatchNorm2d(64 * width)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(64 * width, check_integer("n_outputs", n_outputs, 1))
        initialize_as_published(self)

    def forward(self, x):
        """Return logits of shape (n, n_outputs) for images `x` in [0, 1], shape (n, C, H, W)."""
        out = self.block3(self.block2(self.block1(self.conv1(self.normalize(x)))))
        return self.fc(self.relu(self.bn1(out)).mean((-2, -1)))
