"""What the detectors share that read a trained network."""

import warnings
from abc import abstractmethod
from functools import partial
from pickle import PicklingError
from typing import NamedTuple

import joblib
import numpy as np
import torch
from joblib import Memory
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_memory
from torch import nn

from ..arguments import read_training_data
from ..base import BaseDetector
from ..engine.build import check_device
from ..engine.frozen import freeze
from ..engine.inference import in_eval_mode, predict_features, predict_logits
from ..engine.precision import check_precision
from ..nn import find_head
from ..nn.tap import Layers
from ..outputs import warn_of_probabilities
from .blocks import blocks
from .source import example_for, network_like, trained_net

_N_SCORED = 512  # rows that are scored at a time, as float64: what a processor's cache holds


class BasePostHocDetector(BaseDetector):
    """Base of the methods that read a trained network.

    A method differs from its siblings in what it learns of the training rows (``_learn``) and in
    the score of rows (``_score``). Both see logits and features of one pass; a method that asks for
    the logits alone says so (``_reads_features``).
    """

    _prefixes = ()
    _reads_features = True
    _reads_head = False  # weight and bias of the last Linear layer
    # Of one output, the log-odds of X, a score that compares classes has nothing to compare: it is
    # that output then.
    _compares_classes = False
    _objective = None  # no function of the logits that an attack could climb

    _parameter_constraints = {
        **BaseDetector._parameter_constraints,
        "estimator": [None, nn.Module, BaseEstimator],
        "memory": [None, str, Memory],
    }

    # ---- the hooks

    def _look_at_layers(self, X):
        """Set what the reading needs to know of the network, from a few rows of X."""

    def _learn(self, logits, features, y_in):
        """Set what the score needs of the training rows.

        Parameters
        ----------
        logits : ndarray of shape (n, K)
            Of the in-distribution classes.
        features : ndarray of shape (n, d), or None where they are not read
        y_in : ndarray of int64 of shape (n,)
            The labels, as columns of the logits; without labels, what the network predicts.
        """

    @abstractmethod
    def _score(self, logits, features):
        """Return the score of each row, higher = more in-distribution."""

    # ---- the fit

    def _fit(self, X, y, X_aux, resume):
        check_device(self.device)
        check_precision(self.precision, self.dtype)
        data = read_training_data(self, X, y, X_aux)
        net = trained_net(self, data, X, y, X_aux, resume)
        self.module_, self.classes_, self._n_read, self.history_ = net
        self.n_iter_ = len(self.history_)
        self._fit_score(data)

    def _fit_score(self, data):
        self._look_at_layers(data.x_in)
        logits, features = self._read(data.x_in)
        self._finite(nan_where_unreadable(logits, features))
        warn_of_outputs(data, logits)
        if self._reads_head:
            self._read_head(data.x_in)
            self._check_head(logits, features)
        labelled = data.classes is not None
        self._learn(logits, features, data.y_in if labelled else logits.argmax(axis=1))
        scores = [
            self._score_rows(logits[part], None if features is None else features[part])
            for part in blocks(len(logits))
        ]
        self._set_threshold(self._finite(np.concatenate(scores)))

    def _read_head(self, X):
        """Set weight (K, d) and bias (K,) of the head, of the in-distribution classes, float64."""
        module = in_eval_mode(self.module_)
        _, head = find_head(module, example_for(module, X, self.dtype))
        weight = head.weight.detach()[: self._n_read].double().cpu().numpy()
        self._weight, self._bias = weight, np.zeros(len(weight))
        if head.bias is not None:
            self._bias = head.bias.detach()[: self._n_read].double().cpu().numpy()

    def _check_head(self, logits, features):
        few = slice(2)
        made = features[few] @ self._weight.T + self._bias
        tolerance = 0.1 if self.precision == "bf16" else 1e-3
        if not np.allclose(made, logits[few], rtol=tolerance, atol=tolerance):
            warnings.warn(
                f"the logits are not what the network's last Linear layer returns: "
                f"{type(self).__name__} reads that layer's weight as if they were. A network that "
                "scales or averages its outputs is better read without that step.",
                UserWarning, stacklevel=6,
            )

    # ---- files

    def _new_module(self):
        return network_like(self)

    def _given_module(self):
        """Return the network that was given trained, or None."""
        estimator = self.estimator
        if isinstance(estimator, FrozenEstimator):
            return getattr(estimator.estimator, "module_", None)
        return estimator if isinstance(estimator, nn.Module) else None

    def __getstate__(self):
        state = super().__getstate__()
        if state.get("module_") is not None and self._given_module() is self.module_:
            state["module_"] = None  # it is among the parameters: once is enough
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if state.get("module_", self) is None:
            self.module_ = self._given_module()

    # ---- one pass over the network

    def _reading(self):
        """Return how the network is read; None where a method does so in a way of its own."""
        layer = getattr(self, "feature_layer", None)
        return Reading(self.dtype, self.precision, self._reads_features, layer)

    def _read(self, X):
        """Return the logits of the in-distribution classes and the features, or None, of X."""
        return self._reader(X)(X)

    def _reader(self, X):
        """Return what reads rows of X as `_read` does.

        A memory has to know the network, which is found out here: once for all blocks of a call.
        """
        memory, reading = check_memory(self.memory), self._reading()
        if memory.location is None:
            read = partial(run, self.module_)
        else:
            known = _fingerprint(self.module_, X, self.dtype)
            read = partial(memory.cache(_run_known, ignore=["module"]), self.module_, known)

        def read_rows(some):
            logits, features = read(some[:], reading)
            return logits[:, : self._n_read], features

        return read_rows

    # ---- scores

    def _predict_scores(self, X):
        read = self._reader(X)
        return np.concatenate([self._score_rows(*read(X[part])) for part in blocks(len(X))])

    def _score_rows(self, logits, features):
        scores = [
            self._score_part(logits[part], None if features is None else features[part])
            for part in blocks(len(logits), _N_SCORED)
        ]
        return np.concatenate(scores)

    def _score_part(self, logits, features):
        unreadable = nan_where_unreadable(logits, features)
        if unreadable.any():
            return unreadable  # `_finite` will name the rows, whatever a formula makes of them
        return self._score_known(logits, features)

    def _score_known(self, logits, features):
        if self._compares_classes and self._n_read == 1:
            return logits[:, 0]
        return self._score(logits, features)


class BaseLogitDetector(BasePostHocDetector):
    """Base of the methods that read the logits alone."""

    _reads_features = False

    def _objective(self, logits):
        return self._score_known(logits[:, : self._n_read], None)


def nan_where_unreadable(logits, features):
    """Return 0 for each row, NaN for those with a logit that is NaN or a feature not finite."""
    # What is not finite does not leave a sum: where all sums are, no row need be looked at.
    with np.errstate(all="ignore"):
        sums = [values.sum() for values in (logits, features) if values is not None]
    if np.isfinite(sums).all():
        return np.zeros(len(logits))
    unreadable = np.isnan(logits).any(axis=1)
    if features is not None:
        unreadable |= ~np.isfinite(features).all(axis=1)
    return np.where(unreadable, np.nan, 0.0)


class Reading(NamedTuple):
    """How a network is read.

    Attributes
    ----------
    dtype, precision : str
    features : bool
        Whether features are wanted.
    layer : str, Layers or None
        Which.
    """

    dtype: str
    precision: str
    features: bool
    layer: str | Layers | None


def run(module, X, reading):
    """Return the logits and the features, or None, of every row, of one pass."""
    if reading.features:
        return predict_features(module, X, reading.dtype, reading.precision, reading.layer)
    return predict_logits(module, X, reading.dtype, reading.precision), None


def _run_known(module, fingerprint, X, reading):
    """Run, for a cache that knows a network by what it is and not by which object it is."""
    return run(module, X, reading)


def _fingerprint(module, X, dtype):
    """Return a hash of the weights, and of what they make of a few rows: code may change, too."""
    example = example_for(module, X, dtype)
    with torch.no_grad():
        logits = in_eval_mode(module)(example).cpu().numpy()
    try:
        return joblib.hash((freeze(module), logits))
    except (PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            "memory knows a network by its weights and what else its pickle holds, and that of "
            f"estimator cannot be made: {error.args[0]}. Define its classes and functions at the "
            "top of a module, not within a function or as a lambda, or pass memory=None."
        ) from error


def warn_of_outputs(data, logits):
    """Warn of outputs that are no logits, or not those of the labels."""
    if logits.shape[1] > 1:
        warn_of_probabilities(logits, "estimator", stacklevel=6)
        if data.classes is not None:
            _warn_of_labels(logits, data.y_in)


def _warn_of_labels(logits, y_in):
    right = (logits.argmax(axis=1) == y_in).mean()
    if right <= np.bincount(y_in).max() / len(y_in):
        warnings.warn(
            f"the network names {right:.0%} of X rightly, no more than a guess would: are these "
            "the units that it was trained on (8-bit images are read as [0, 1]), and are its "
            "outputs in the order of the sorted labels?",
            UserWarning, stacklevel=7,
        )
