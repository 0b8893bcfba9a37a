"""Detectors that read a trained network."""

from .ash import ASHDetector
from .classifier import Classifier
from .dice import DICEDetector
from .energy import EnergyDetector
from .fdbd import FDBDDetector
from .gen import GENDetector
from .grad_norm import GradNormDetector
from .gram import GramDetector
from .grood import GROODDetector
from .kl_matching import KLMatchingDetector
from .knn import KNNDetector
from .mahalanobis import MahalanobisDetector
from .many import score_many
from .max_logit import MaxLogitDetector
from .msp import MSPDetector
from .nci import NCIDetector
from .nnguide import NNGuideDetector
from .odin import ODINDetector
from .react import ReActDetector
from .residual import ResidualDetector
from .rmds import RMDSDetector
from .scale import SCALEDetector
from .score import ScoreDetector
from .she import SHEDetector
from .vim import ViMDetector

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
