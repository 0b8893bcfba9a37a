"""The files of the authors' own distributions, read where they already lie."""

import io
import pickle
from pathlib import Path

import numpy as np

from ._archives import read_idx, read_tgz
from ._cache import open_archive, package_folders

_IDX_FILES = {
    "X_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "X_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def original_cifar10(data_home):
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
            return super().find_class("numpy._core.multiarray", name)  # its name in NumPy 2
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes in old protocols
            return super().find_class(module, name)
        raise OSError(f"the CIFAR-10 batch holds a {module}.{name}, which is not loaded.")


def original_idx(subfolders, data_home):
    """Read the four idx files from the first folder that holds them all; None if none does."""
    for root in package_folders(data_home):
        for folder in (root / subfolder for subfolder in subfolders):  # absolute ones stay so
            found = [
                next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
                for name in _IDX_FILES.values()
            ]
            if all(found):
                return idx_arrays({p.name.removesuffix(".gz"): p.read_bytes() for p in found})
    return None


def idx_arrays(files):
    """Return the arrays of a set from its four idx files, a dict of names to bytes."""
    arrays = {key: read_idx(files[name]) for key, name in _IDX_FILES.items()}
    for key, values in arrays.items():
        arrays[key] = values[:, None] if key[0] == "X" else values.astype(np.int64)
    return arrays
