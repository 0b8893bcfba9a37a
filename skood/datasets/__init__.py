"""Data sets: in-distribution images, auxiliary outliers and out-of-distribution test sets."""

from ._auxiliary import fetch_auxiliary
from ._embedded import load_digits_ood
from ._id import fetch_cifar10, fetch_fashion_mnist, fetch_mnist
from ._ood import fetch_ood

__all__ = [
    "fetch_auxiliary",
    "fetch_cifar10",
    "fetch_fashion_mnist",
    "fetch_mnist",
    "fetch_ood",
    "load_digits_ood",
]
