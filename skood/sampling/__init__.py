"""Which outliers are worth training on: pure functions from candidates to indices."""

from ._clusters import cluster_extremes, diverse
from ._informative import informative

__all__ = ["cluster_extremes", "diverse", "informative"]
