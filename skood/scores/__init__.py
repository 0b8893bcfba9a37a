"""Scores as pure functions of logits and features; higher = more in-distribution.

Every function reads a NumPy array (computed and returned in float64) or a torch tensor
(differentiable, on its device, returned in its dtype; half precision is computed in float32).
"""

from ._classes import abstention, rejection
from ._features import ash, grad_norm, react, scale
from ._logits import energy, max_logit
from ._probabilities import generalized_entropy, msp, uniform

__all__ = [
    "abstention",
    "ash",
    "energy",
    "generalized_entropy",
    "grad_norm",
    "max_logit",
    "msp",
    "react",
    "rejection",
    "scale",
    "uniform",
]
