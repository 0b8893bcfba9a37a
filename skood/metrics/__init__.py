"""Metrics of out-of-distribution detection and of calibration.

Every score is higher = more in-distribution; labels are +1 (ID) and -1 (OOD), or class labels
with -1 for OOD. NaN and infinite scores raise. Ties are exact.
"""

from ._calibration import calibration_error, soft_f1
from ._operating_point import fpr95, fpr_at_tpr, threshold_at_tpr
from ._ranking import aupr_in, aupr_out, auroc, detection_error
from ._report import ood_report

__all__ = [
    "aupr_in",
    "aupr_out",
    "auroc",
    "calibration_error",
    "detection_error",
    "fpr95",
    "fpr_at_tpr",
    "ood_report",
    "soft_f1",
    "threshold_at_tpr",
]
