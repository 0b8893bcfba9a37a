"""Detectors that read a trained network."""

from .activations import ASHDetector, ReActDetector, SCALEDetector
from .classifier import Classifier
from .dice import DICEDetector
from .fdbd import FDBDDetector
from .grad_norm import GradNormDetector
from .gram import GramDetector
from .grood import GROODDetector
from .kl_matching import KLMatchingDetector
from .knn import KNNDetector
from .logits import EnergyDetector, GENDetector, MaxLogitDetector, MSPDetector
from .mahalanobis import MahalanobisDetector, RMDSDetector
from .many import score_many
from .nci import NCIDetector
from .nnguide import NNGuideDetector
from .odin import ODINDetector
from .score import ScoreDetector
from .she import SHEDetector
from .vim import ResidualDetector, ViMDetector

__all__ = [
    "ASHDetector",
    "Classifier",
    "DICEDetector",
    "EnergyDetector",
    "FDBDDetector",
    "GENDetector",
    "GROODDetector",
    "GradNormDetector",
    "GramDetector",
    "KLMatchingDetector",
    "KNNDetector",
    "MSPDetector",
    "MahalanobisDetector",
    "MaxLogitDetector",
    "NCIDetector",
    "NNGuideDetector",
    "ODINDetector",
    "RMDSDetector",
    "ReActDetector",
    "ResidualDetector",
    "SCALEDetector",
    "SHEDetector",
    "ScoreDetector",
    "ViMDetector",
    "score_many",
]
