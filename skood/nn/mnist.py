"""The small convolutional net of the Outlier Exposure paper's MNIST experiments."""

import torch
from torch import nn
from torch.nn import functional as F

from .._numbers import check_integer
from ._images import check_image_shape


def _gate(u):
    """Sigmoid approximation of GELU, ``u * sigmoid(1.702 u)``."""
    return u * torch.sigmoid(1.702 * u)


class MNISTConvNet(nn.Module):
    """Two 5x5 convolutions and two linear layers, 21,840 parameters on MNIST.

    Parameters
    ----------
    input_shape : tuple (C, H, W), default=(1, 28, 28)
        Shape of one image, H and W of at least 16. Values in [0, 1]; they are not normalised.
    n_outputs : int, default=10
        Number of logits.

    See Also
    --------
    SmallResNet : More accurate, with BatchNorm.

    Notes
    -----
    Each convolution is followed by 2x2 max-pooling and then by ``u * sigmoid(1.702 u)``. In
    training, half of the second convolution's channels are dropped. Parameters carry the released
    names (conv1, conv2, fc1, fc2), so the authors' weights load.

    References
    ----------
    .. [1] D. Hendrycks, M. Mazeika and T. Dietterich, "Deep Anomaly Detection with Outlier
       Exposure", ICLR 2019.
    .. [2] D. Hendrycks and K. Gimpel, "Gaussian Error Linear Units (GELUs)", arXiv:1606.08415.

    Examples
    --------
    >>> import torch
    >>> from skood.nn import MNISTConvNet
    >>> net = MNISTConvNet()
    >>> sum(p.numel() for p in net.parameters())
    21840
    >>> net(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """

    def __init__(self, input_shape=(1, 28, 28), n_outputs=10):
        super().__init__()
        n_channels, *sides = check_image_shape(input_shape, min_side=16)
        height, width = (((side - 4) // 2 - 4) // 2 for side in sides)
        self.conv1 = nn.Conv2d(n_channels, 10, 5)
        self.conv2 = nn.Conv2d(10, 20, 5)
        self.conv2_drop = nn.Dropout2d()
        self.fc1 = nn.Linear(20 * height * width, 50)
        self.fc2 = nn.Linear(50, check_integer("n_outputs", n_outputs, 1))

    def forward(self, x):
        """Return logits of shape (n, n_outputs) for images `x` in [0, 1], shape (n, C, H, W)."""
        x = _gate(F.max_pool2d(self.conv1(x), 2))
        x = _gate(F.max_pool2d(self.conv2_drop(self.conv2(x)), 2))
        return self.fc2(_gate(self.fc1(x.flatten(1))))
