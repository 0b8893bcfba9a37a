"""Fashion-MNIST, auxiliary outliers and test sets, all grey and 28x28, for the benchmarks."""

from functools import cache

import numpy as np

from skood.datasets import fetch_auxiliary, fetch_fashion_mnist, fetch_mnist, fetch_ood
from skood.outliers import (
    arithmetic_mean,
    gaussian,
    geometric_mean,
    jigsaw,
    pixelate,
    speckle,
    uniform,
)

SHAPE = (1, 28, 28)
N_TRAIN, N_HELD_OUT = 20_000, 2_000
REAL = ["MNIST", "letters", "scenes", "textures", "emoji"]
DRAWN = ["street numbers", "Gaussian"]  # by formulas


def auxiliary():
    return fetch_auxiliary("mini", size=28, grayscale=True)


@cache
def training_data():
    """Rows to train on and labels, rows held out to choose by, auxiliary outliers."""
    data = fetch_fashion_mnist()
    rows = np.random.default_rng(0).permutation(len(data.X_train))  # the same for every seed
    train, held_out = rows[:N_TRAIN], rows[N_TRAIN : N_TRAIN + N_HELD_OUT]
    X_aux = auxiliary().X_aux
    return data.X_train[train], data.y_train[train], data.X_train[held_out], X_aux


@cache
def test_data():
    """In-distribution test rows and labels, and the out-of-distribution test sets by name."""
    data = fetch_fashion_mnist()
    sets = {"MNIST": fetch_mnist().X_test, "letters": fetch_ood("letters").X_ood}
    for name in ("scenes", "textures", "emoji", "street_numbers"):
        sets[name.replace("_", " ")] = fetch_ood(name, size=28, grayscale=True).X_ood
    sets["Gaussian"] = gaussian(2_000, SHAPE, value_range=(0, 1), random_state=0)
    return data.X_test, data.y_test, sets


@cache
def validation_data():
    """Held-out rows, and the paper's validation outliers made of them: no test set is touched."""
    X = training_data()[2]
    return X, None, outliers_of(X)


def outliers_of(X):
    """Return the validation outliers of the Outlier Exposure paper, made of images (n, C, H, W)."""
    return {
        "arithmetic mean": arithmetic_mean(X, random_state=0),
        "geometric mean": geometric_mean(X, random_state=0),
        "jigsaw": jigsaw(X),
        "speckle": speckle(X, random_state=0),
        "pixelate": pixelate(X),
        "uniform": uniform(len(X), X.shape[1:], value_range=(0, 1), random_state=0),
    }


def black_border(X):
    """Percentage of the images (n, 1, H, W) most of whose outermost pixels are black."""
    border = np.ones(X.shape[2:], bool)
    border[1:-1, 1:-1] = False
    return 100 * np.mean(np.mean(X[:, 0, border] < 8, axis=1) > 0.75)
