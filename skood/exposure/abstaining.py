"""What the methods share that give outliers a class of their own."""

from numbers import Real

from sklearn.utils._param_validation import Interval

from .. import losses, scores
from .base import BaseExposureDetector


class BaseAbstainingDetector(BaseExposureDetector):
    """Base of the methods with K + 1 outputs, the last of which stands for outliers.

    Without labels K is 1: the classifier is X against the outliers.
    """

    _parameter_constraints = {
        **BaseExposureDetector._parameter_constraints,
        "beta": [Interval(Real, 0, None, closed="left")],
    }

    def _n_outputs(self, n_classes):
        return n_classes + 1

    def _loss(self, logits_in, y_in, logits_out):
        return losses.abstention(logits_in, y_in, logits_out, self.beta)

    def _score(self, logits):
        return scores.abstention(logits)

    def _objective(self, logits):
        return scores.abstention(logits, log_odds=True)
