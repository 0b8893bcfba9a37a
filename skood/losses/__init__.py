"""Training losses as pure functions: tensors of logits in, one differentiable number out.

In-distribution rows and outlier rows come as two tensors, and each is averaged over its own rows,
so that no loss depends on how many outliers stand beside one in-distribution row in a batch.
"""

from ._classes import abstention, rejection
from ._energy import energy_gradient, energy_hinge
from ._flat import outlier_exposure, uniform_cross_entropy
from ._flooding import flooding
from ._lagrangian import augmented_lagrangian

__all__ = [
    "abstention",
    "augmented_lagrangian",
    "energy_gradient",
    "energy_hinge",
    "flooding",
    "outlier_exposure",
    "rejection",
    "uniform_cross_entropy",
]
