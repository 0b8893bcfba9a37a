"""What the methods share that part the energies of X and of the outliers by two margins."""

from numbers import Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from .. import losses, scores
from ..engine.inputs import Selection
from ..training import sample_rows
from .base import BaseExposureDetector

_N_MEASURED = 5000  # rows of each side that the automatic margins are measured on
_LEAST_GAP = 1.0  # nats


class BaseBoundingDetector(BaseExposureDetector):
    """Base of the methods that bound the energy of X from above and that of outliers from below.

    Margins that are "auto" are measured on the network as it is before the method's own epochs.
    """

    _parameter_constraints = {
        **BaseExposureDetector._parameter_constraints,
        "beta": [Interval(Real, 0, None, closed="left")],
        "m_in": [Real, StrOptions({"auto"})],
        "m_out": [Real, StrOptions({"auto"})],
    }

    def _problem(self, data, rng):
        self._set_margins(data, rng)
        return self._loss, []

    def _set_margins(self, data, rng):
        self.m_in_, self.m_out_ = self.m_in, self.m_out
        if "auto" in (self.m_in, self.m_out):
            self._measure_margins(data.x_in, data.pool, rng)
        self.m_in_, self.m_out_ = float(self.m_in_), float(self.m_out_)
        if not self.m_in_ < self.m_out_:
            raise ValueError(
                f"m_in must be below m_out, as in-distribution energies are to be; got "
                f"m_in={self.m_in_}, m_out={self.m_out_}"
                + (", one of them measured. Give both." if "auto" in (self.m_in, self.m_out)
                   else ".")
            )

    def _measure_margins(self, x_in, pool, rng):
        x_out = Selection(pool, sample_rows(len(pool), _N_MEASURED, rng))
        x_in = Selection(x_in, sample_rows(len(x_in), _N_MEASURED, rng))
        e_in, e_out = (
            -float(np.mean(scores.energy(self._predict_logits(x))))
            for x in (x_in, x_out)
        )
        middle, half = (e_in + e_out) / 2, max(e_out - e_in, _LEAST_GAP) / 2
        self.m_in_ = middle - half if self.m_in == "auto" else self.m_in
        self.m_out_ = middle + half if self.m_out == "auto" else self.m_out

    def _loss(self, logits_in, y_in, logits_out):
        return losses.energy_hinge(
            logits_in, y_in, logits_out, self.m_in_, self.m_out_, self.beta
        )

    def _score(self, logits):
        return scores.energy(logits)
