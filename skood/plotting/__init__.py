"""Pictures of a detector, as scikit-learn's displays: made by ``from_detector`` or from numbers.

Each display computes what it shows, keeps it as attributes, and draws it on new axes or on yours:
``plot(ax=None)``. matplotlib is needed to draw (``pip install 'skood[plot]'``) and is imported
then; its settings are left as they are, and nothing calls ``show``.
"""

from ._fpr_at_tpr import FPRAtTPRDisplay
from ._overlap import OverlapDisplay
from ._precision_recall import PrecisionRecallDisplay
from ._robustness import RobustnessDisplay
from ._roc import ROCDisplay
from ._score_histogram import ScoreHistogramDisplay
from ._surest_mistakes import SurestMistakesDisplay
from ._training_curve import TrainingCurveDisplay

__all__ = [
    "FPRAtTPRDisplay",
    "OverlapDisplay",
    "PrecisionRecallDisplay",
    "ROCDisplay",
    "RobustnessDisplay",
    "ScoreHistogramDisplay",
    "SurestMistakesDisplay",
    "TrainingCurveDisplay",
]
