"""Common corruptions of images: the nineteen kinds in five severities of CIFAR-10-C."""

from ._corrupt import corrupt
from ._severities import CORRUPTIONS, SEVERITIES

__all__ = ["CORRUPTIONS", "SEVERITIES", "corrupt"]
