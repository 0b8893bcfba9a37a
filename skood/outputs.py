"""Outputs of a network that are no logits, which every loss and score here is made for."""

import warnings

import numpy as np
from scipy.special import logsumexp

_NEAR = 1e-3  # how near to 1 probabilities sum, and to 0 their logarithms' logsumexp comes


def warn_of_probabilities(logits, name, stacklevel):
    """Warn of outputs that are probabilities, or their logarithms.

    Parameters
    ----------
    logits : ndarray of shape (n, n_outputs)
    name : str
        The parameter that the network is.
    stacklevel : int
        Of the warning, as if it were raised by the caller.
    """
    end = _end(logits)
    if end:
        warnings.warn(
            f"{name} seems to end in a {end}. Losses and scores are made for logits, of which it "
            f"keeps too little: leave the {end} out.",
            UserWarning, stacklevel=stacklevel + 1,
        )


def _end(logits):
    if logits.shape[1] == 1:
        return None
    if logits.min() >= 0 and np.abs(logits.sum(axis=1) - 1).max() < _NEAR:
        return "softmax"
    if np.abs(logsumexp(logits.astype(np.float64), axis=1)).max() < _NEAR:
        return "log-softmax"
    return None
