"""Detectors trained against auxiliary outliers, one page each."""

from .atom import ATOMDetector
from .energy import EnergyExposureDetector
from .ntom import NTOMDetector
from .outlier_exposure import OutlierExposureDetector

__all__ = [
    "ATOMDetector",
    "EnergyExposureDetector",
    "NTOMDetector",
    "OutlierExposureDetector",
]
