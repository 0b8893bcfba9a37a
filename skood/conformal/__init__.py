"""Decisions with a stated rate of false alarms, around any detector.

``ConformalDetector`` is the estimator; the rules it decides by are functions on scores, usable
alone.
"""

from ._rules import (
    benjamini_hochberg,
    conformal_p_values,
    conformal_threshold,
    false_alarm_law,
    least_calibration_size,
)
from .detector import ConformalDetector

__all__ = [
    "ConformalDetector",
    "benjamini_hochberg",
    "conformal_p_values",
    "conformal_threshold",
    "false_alarm_law",
    "least_calibration_size",
]
