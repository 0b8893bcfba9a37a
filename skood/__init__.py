"""Out-of-distribution detection as scikit-learn estimators around deep nets."""

from ._version import __version__
from .exposure import (
    ACETDetector,
    ATOMDetector,
    DOSDetector,
    EnergyExposureDetector,
    GRegDetector,
    NTOMDetector,
    OutlierExposureDetector,
    SOFLDetector,
    WOODSDetector,
)
from .retuning import UnleashingMaskDetector

__all__ = [
    "ACETDetector",
    "ATOMDetector",
    "DOSDetector",
    "EnergyExposureDetector",
    "GRegDetector",
    "NTOMDetector",
    "OutlierExposureDetector",
    "SOFLDetector",
    "UnleashingMaskDetector",
    "WOODSDetector",
    "__version__",
]
