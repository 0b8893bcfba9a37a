"""In-distribution data among the auxiliary outliers: a detector trained on them refuses its own."""

from ._overlap import Overlap, outlier_overlap

__all__ = ["Overlap", "outlier_overlap"]
