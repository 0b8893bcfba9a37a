"""Detectors trained against auxiliary outliers, one page each."""

from .energy import EnergyExposureDetector
from .outlier_exposure import OutlierExposureDetector

__all__ = ["EnergyExposureDetector", "OutlierExposureDetector"]
