"""
=======================
Write a method yourself
=======================

A method that trains against outliers is a loss and a score; the loop around them, validation, the
threshold, searches and files are there already. Here a network learns to have the highest entropy
on outliers, and the entropy is the score. Nothing is downloaded.
"""

# %%
# The method
# ----------
# Hooks say where it differs from its siblings; ``__init__`` names its parameters, as that of every
# scikit-learn estimator does, so that searches and clones know them.

import argparse
from numbers import Real
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from sklearn.utils._param_validation import Interval
from torch.nn import functional as F

from skood.datasets import load_digits_ood
from skood.exposure import BaseExposureDetector
from skood.metrics import ood_report
from skood.plotting import ScoreHistogramDisplay
from skood.training import log_odds


# begin
class EntropyExposureDetector(BaseExposureDetector):
    """Train a classifier to have the highest entropy on outliers; its entropy is the score."""

    _parameter_constraints = {
        **BaseExposureDetector._parameter_constraints,
        "beta": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self, module=None, *, beta=0.5, lr=3e-3, max_epochs=30, pretrain_epochs=0,
        batch_size="auto", outlier_ratio=1.0, optimizer="adamw", schedule="cosine", augment=None,
        dtype="float32", precision="float32", compile=False, callbacks=None, checkpoint=None,
        verbose=False, contamination=0.05, device="cpu", random_state=None, **kwargs,
    ):
        self.module, self.beta, self.lr, self.max_epochs = module, beta, lr, max_epochs
        self.pretrain_epochs, self.batch_size = pretrain_epochs, batch_size
        self.outlier_ratio, self.optimizer, self.schedule = outlier_ratio, optimizer, schedule
        self.augment, self.dtype, self.precision = augment, dtype, precision
        self.compile, self.callbacks, self.checkpoint = compile, callbacks, checkpoint
        self.verbose, self.contamination = verbose, contamination
        self.device, self.random_state = device, random_state
        self._set_hidden(**kwargs)

    def _loss(self, logits_in, y_in, logits_out):
        if self.classes_ is None:  # one output, the log-odds of X
            return log_odds(logits_in, y_in, logits_out)
        return F.cross_entropy(logits_in, y_in) - self.beta * entropy(logits_out).mean()

    def _score(self, logits):
        if self.classes_ is None:
            return logits[:, 0]
        return -entropy(torch.as_tensor(logits)).numpy()


def entropy(logits):
    """Return the entropy of each row's probabilities, in nats."""
    log_p = logits.log_softmax(1)
    return -(log_p.exp() * log_p).sum(1)
# end


# %%
# The method at work
# ------------------
# It is a scikit-learn estimator like the others: ``predict``, ``predict_class``, ``GridSearchCV``
# over ``beta``.

parser = argparse.ArgumentParser(description="Train a method of one's own.")
parser.add_argument("--epochs", type=int, default=10, help="of the training (default: 10)")
parser.add_argument("--output", type=Path, default=Path("own_method_output"), help="a folder")
args = parser.parse_args()
torch.set_num_threads(1)  # images of 8x8 are too small to share: more threads mostly wait

digits = load_digits_ood()
detector = EntropyExposureDetector(max_epochs=args.epochs, random_state=0)
detector.fit(digits.X_train, digits.y_train, X_aux=(digits.X_aux,))
report = ood_report(detector, digits.X_test, digits.ood, y_in=digits.y_test, positive="id")
print(report[["fpr95", "auroc"]].round(3))

# %%
# What it says
# ------------
# An entropy of 0 is full certainty, one of log 8 is none.

display = ScoreHistogramDisplay.from_detector(detector, digits.X_test, digits.ood)
display.ax_.set_title("Minus the entropy of digits, and of what is none")
args.output.mkdir(parents=True, exist_ok=True)
picture = args.output / "own_method.png"
display.figure_.savefig(picture, dpi=150, bbox_inches="tight")
print(f"Picture: {picture.resolve()}")
plt.show()
