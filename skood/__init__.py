"""Out-of-distribution detection as scikit-learn estimators around deep nets."""

from ._version import __version__
from .exposure import (
    ATOMDetector,
    EnergyExposureDetector,
    NTOMDetector,
    OutlierExposureDetector,
)

__all__ = [
    "ATOMDetector",
    "EnergyExposureDetector",
    "NTOMDetector",
    "OutlierExposureDetector",
    "__version__",
]
