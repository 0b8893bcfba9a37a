"""Out-of-distribution detection as scikit-learn estimators around deep nets."""

from ._version import __version__
from .exposure import EnergyExposureDetector, OutlierExposureDetector

__all__ = ["EnergyExposureDetector", "OutlierExposureDetector", "__version__"]
