"""Out-of-distribution detection as scikit-learn estimators around deep nets."""

from ._version import __version__

__all__ = ["__version__"]
