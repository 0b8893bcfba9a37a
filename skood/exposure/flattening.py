"""What the methods share that flatten the prediction on outliers."""

from numbers import Real

from sklearn.utils._param_validation import Interval, StrOptions

from .. import losses, scores
from .base import BaseExposureDetector


class BaseFlatteningDetector(BaseExposureDetector):
    """Base of the methods whose classifier is to answer "any class" on outliers.

    Without labels there are two outputs, X and the outliers.
    """

    _parameter_constraints = {
        **BaseExposureDetector._parameter_constraints,
        "beta": [Interval(Real, 0, None, closed="left")],
        "score": [StrOptions({"msp", "uniform"})],
    }

    def _n_outputs(self, n_classes):
        return max(n_classes, 2)

    def _loss(self, logits_in, y_in, logits_out):
        if self.classes_ is None:
            return losses.abstention(logits_in, y_in, logits_out, self.beta)
        return losses.outlier_exposure(logits_in, y_in, logits_out, self.beta)

    def _score(self, logits):
        if self.classes_ is None:
            return scores.abstention(logits)
        return {"msp": scores.msp, "uniform": scores.uniform}[self._hidden["score"]](logits)

    def _objective(self, logits):
        if self.classes_ is None:
            return scores.abstention(logits, log_odds=True)
        if self._hidden["score"] == "msp":
            return scores.msp(logits, log_odds=True)
        return scores.uniform(logits)
