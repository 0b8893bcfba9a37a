"""Out-of-distribution scores as pure functions of the logits; higher = more in-distribution.

Every function reads a NumPy array (computed and returned in float64) or a torch tensor
(differentiable, on its device, returned in its dtype; half precision is computed in float32).
"""

from ._classes import abstention, rejection
from ._logits import energy, max_logit
from ._probabilities import msp, uniform

__all__ = ["abstention", "energy", "max_logit", "msp", "rejection", "uniform"]
