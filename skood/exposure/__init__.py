"""Detectors trained against auxiliary outliers, one page each."""

from .acet import ACETDetector
from .atom import ATOMDetector
from .energy import EnergyExposureDetector
from .ntom import NTOMDetector
from .outlier_exposure import OutlierExposureDetector
from .sofl import SOFLDetector

__all__ = [
    "ACETDetector",
    "ATOMDetector",
    "EnergyExposureDetector",
    "NTOMDetector",
    "OutlierExposureDetector",
    "SOFLDetector",
]
