"""Detectors trained against auxiliary outliers, one page each."""

from .acet import ACETDetector
from .atom import ATOMDetector
from .base import BaseExposureDetector
from .dos import DOSDetector
from .energy import EnergyExposureDetector
from .greg import GRegDetector
from .ntom import NTOMDetector
from .outlier_exposure import OutlierExposureDetector
from .sofl import SOFLDetector
from .woods import WOODSDetector

__all__ = [
    "ACETDetector",
    "ATOMDetector",
    "BaseExposureDetector",
    "DOSDetector",
    "EnergyExposureDetector",
    "GRegDetector",
    "NTOMDetector",
    "OutlierExposureDetector",
    "SOFLDetector",
    "WOODSDetector",
]
