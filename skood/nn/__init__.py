"""Nets that take images in [0, 1] or tables, and a tap for the features of any net."""

from ._published import CIFAR_MEAN, CIFAR_STD
from .densenet import DenseNet
from .head import find_head, widen_head
from .mlp import MLP
from .mnist import MNISTConvNet
from .resnet import SmallResNet
from .tap import forward_features, forward_layer
from .wide_resnet import WideResNet

__all__ = [
    "CIFAR_MEAN",
    "CIFAR_STD",
    "MLP",
    "DenseNet",
    "MNISTConvNet",
    "SmallResNet",
    "WideResNet",
    "find_head",
    "forward_features",
    "forward_layer",
    "widen_head",
]
