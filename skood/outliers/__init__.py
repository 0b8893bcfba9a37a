"""Outliers that need no download: noise, altered images, permuted tables, procedural images."""

from .corrupted import inverted, jigsaw, pixelate, rgb_ghosted, speckle
from .like import synthetic_like
from .noise import blob, gaussian, rademacher, uniform
from .pairwise import arithmetic_mean, geometric_mean
from .procedural import colored_noise, dead_leaves, fractals, procedural
from .ranges import box, stretched
from .tables import permute_columns

__all__ = [
    "arithmetic_mean",
    "blob",
    "box",
    "colored_noise",
    "dead_leaves",
    "fractals",
    "gaussian",
    "geometric_mean",
    "inverted",
    "jigsaw",
    "permute_columns",
    "pixelate",
    "procedural",
    "rademacher",
    "rgb_ghosted",
    "speckle",
    "stretched",
    "synthetic_like",
    "uniform",
]
