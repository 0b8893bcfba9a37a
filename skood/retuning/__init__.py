"""Methods that retune a trained classifier on in-distribution data alone."""

from .callback import IntermediateStage
from .unleashing_mask import UnleashingMaskDetector

__all__ = ["IntermediateStage", "UnleashingMaskDetector"]
