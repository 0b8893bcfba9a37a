"""The score that a name or a callable stands for, read from the logits."""

import numpy as np

from .. import scores

NAMED = {"energy": scores.energy, "max_logit": scores.max_logit, "msp": scores.msp}


def check_score(score):
    """Refuse what is no score of the logits."""
    if not callable(score) and score not in NAMED:
        raise ValueError(
            f"score must be one of {', '.join(map(repr, NAMED))} or a callable of the logits, got "
            f"{score!r}. Whatever reads more than logits reads the fitted detector: "
            "ODINDetector(FrozenEstimator(detector)), for one."
        )


def read(score, logits):
    """Return the score of each row of logits, higher = more in-distribution.

    Parameters
    ----------
    score : {"energy", "max_logit", "msp"} or callable
        ``score(logits)``, of an array (n, K), returns n numbers.
    logits : array or tensor of shape (n, K)
    """
    check_score(score)  # which may have been set since the fit
    values = (score if callable(score) else NAMED[score])(logits)
    if np.shape(values) != (len(logits),):
        raise ValueError(
            f"score must return one number a row, shape ({len(logits)},), got "
            f"{np.shape(values)} for logits of shape {tuple(logits.shape)}."
        )
    return values
