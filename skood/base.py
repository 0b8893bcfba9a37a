"""What every detector is: scores, a threshold on them, decisions, and files."""

from abc import ABCMeta, abstractmethod
from contextlib import contextmanager
from numbers import Real

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import OutlierMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .engine.build import count_outputs
from .engine.frozen import Frozen, freeze, thaw
from .engine.inference import device_of, predict_logits
from .engine.inputs import rows, to_input
from .fitted import rows_to_try
from .parameters import PrefixedParameters, check_is_network
from .validation import check_samples
from .weights import WeightFiles


def _has_labels(detector):
    """Whether class outputs exist; before fit nobody knows, and the method will say so."""
    if getattr(detector, "classes_", ()) is None:
        raise AttributeError(
            f"{type(detector).__name__} was fitted without labels of two or more classes, so it "
            "has none to predict. Fit it with fit(X, y, X_aux=...)."
        )
    return True


def unfitted(detector):
    """Return a detector with the parameters of this one, to be fitted in its place."""
    draft = object.__new__(type(detector))
    draft.__dict__ = {
        k: v for k, v in vars(detector).items() if k.startswith("_") or not k.endswith("_")
    }
    return draft


class BaseDetector(OutlierMixin, WeightFiles, PrefixedParameters, metaclass=ABCMeta):
    """Base of all detectors: ``_fit`` sets the fitted attributes, ``_score`` reads the logits."""

    # Asked for by every detector, so that no user has to call set_fit_request.
    __metadata_request__fit = {"X_aux": True, "resume": True}

    _parameter_constraints = {
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
        "device": [str, torch.device],
        "dtype": [StrOptions({"float32", "float64", "int64"})],
        "precision": [StrOptions({"float32", "bf16"})],
        "random_state": ["random_state"],
    }

    # ---- fit

    def _validate_params(self):
        for name in ("module", "estimator"):
            check_is_network(getattr(self, name, None), name)
        super()._validate_params()

    # A detector's `estimator` may be the user's own, whose parameters nobody has checked yet.
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, X_aux=None, resume=False):
        """Fit the detector.

        Parameters
        ----------
        X : array-like of shape (n, d) or (n, C, H, W)
            In-distribution samples: array, memmap, CPU tensor, frame or skorch ``SliceDataset``.
            8-bit images are read as [0, 1].
        y : array-like of shape (n,) or (n, 1), or outliers, default=None
            Class labels of any kind; rows with ``y == -1`` are auxiliary outliers. An array whose
            samples have X's shape is read as ``X_aux``, so ``fit(X_in, X_aux)`` works.
        X_aux : array-like, tuple of them, or torch Dataset, default=None
            Auxiliary outliers with X's sample shape; of a Dataset's items ``(x, label)`` only the
            first is read, and labels are dropped. Inside searches and pipelines pass a tuple,
            ``X_aux=(A,)``: scikit-learn slices a bare array that happens to have X's length. They
            are for what is trained, and for `GROODDetector`: of a method that only reads a trained
            network they are checked and passed over.
        resume : bool, default=False
            Whether to go on from the file `checkpoint`, where there is one, of the detector or of
            the `estimator` that it trains. Parameters and data must be those of the fit that wrote
            it; the result is then that of a fit which nothing had stopped.

        Returns
        -------
        self : estimator
            Unchanged if the fit fails or is interrupted.
        """
        self._check_names()
        draft = unfitted(self)
        draft._fit(X, y, X_aux, resume)
        self.__dict__ = draft.__dict__
        return self

    @abstractmethod
    def _fit(self, X, y, X_aux, resume):
        """Set ``module_``, ``classes_``, ``history_``, ``n_iter_`` and, last, the offset."""

    def _set_offset(self, X):
        self._set_threshold(self._score_checked(X))

    def _set_threshold(self, scores):
        self.offset_ = float(np.percentile(scores, 100 * self.contamination))

    def fit_predict(self, X, y=None, X_aux=None):
        """Fit the detector and decide about the rows of X.

        Parameters
        ----------
        X, y, X_aux
            As in ``fit``.

        Returns
        -------
        ndarray of shape (n,)
            +1 in-distribution, -1 out-of-distribution.
        """
        return self.fit(X, y, X_aux=X_aux).predict(X)

    # ---- scores and decisions

    @abstractmethod
    def _score(self, logits):
        """Return the score of each row of logits, higher = more in-distribution."""

    def _objective(self, logits):
        """Return what an attack on the score climbs: a differentiable function that rises with it.

        The score itself, unless that saturates where the network is sure: there its gradient is 0.
        """
        return self._score(logits)

    def _predict_scores(self, X):
        return self._score(self._predict_logits(X))

    def _score_checked(self, X):
        return self._finite(self._predict_scores(X))

    def _finite(self, scores):
        scores = np.asarray(scores, dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(scores))
        if len(bad):
            raise ValueError(
                f"the network gives no finite score for {len(bad)} of {len(scores)} samples, the "
                f"first at row {bad[0]}: their values may be too large for {self.dtype}. Scale X."
            )
        return scores

    def _checked(self, X):
        check_is_fitted(self)
        return check_samples(self, X)

    @contextmanager
    def _telling_of_parameters(self):
        """Where a score fails, name the parameter that was changed since ``fit``, if one was."""
        try:
            yield
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            self._validate_params()  # not before: it takes a fifth of the time of one row
            if isinstance(error, RuntimeError):  # which is how torch says that dtypes do not fit
                self._check_dtype()
            raise

    def _check_dtype(self):
        weights = {str(w.dtype).removeprefix("torch.") for w in self.module_.parameters()}
        was = weights & {"float32", "float64"}
        if self.dtype != "int64" and was and self.dtype not in was:
            raise ValueError(
                f"dtype={self.dtype!r}, but the network was fitted in {was.pop()}: set it back, or "
                "fit anew."
            )

    def _logits(self, X):
        X = self._checked(X)
        with self._telling_of_parameters():
            return self._predict_logits(X)

    def _predict_logits(self, X):
        return predict_logits(self.module_, X, self.dtype, self.precision)

    def score_samples(self, X):
        """Return how in-distribution each sample looks.

        Parameters
        ----------
        X : array-like of shape (n, *input_shape)

        Returns
        -------
        scores : ndarray of float64 of shape (n,)
            Higher = more in-distribution. What the number is, the class says.
        """
        X = self._checked(X)
        with self._telling_of_parameters():
            return self._score_checked(X)

    def decision_function(self, X):
        """Return the score above the threshold ``offset_``.

        Parameters
        ----------
        X : array-like of shape (n, *input_shape)

        Returns
        -------
        decisions : ndarray of float64 of shape (n,)
            At least 0 for samples taken as in-distribution.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X):
        """Decide for each sample whether it is in-distribution.

        Parameters
        ----------
        X : array-like of shape (n, *input_shape)

        Returns
        -------
        decisions : ndarray of int of shape (n,)
            +1 in-distribution, -1 out-of-distribution.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    # ---- classes

    @available_if(_has_labels)
    def predict_proba(self, X):
        """Return the probabilities of the in-distribution classes; only after a fit with labels.

        Parameters
        ----------
        X : array-like of shape (n, *input_shape)

        Returns
        -------
        probabilities : ndarray of float64 of shape (n, n_classes)
            In the order of ``classes_``.
        """
        logits = self._logits(X)[:, : len(self.classes_)]
        return softmax(logits.astype(np.float64), axis=1)

    @available_if(_has_labels)
    def predict_class(self, X):
        """Return the likeliest in-distribution class; only after a fit with labels.

        Parameters
        ----------
        X : array-like of shape (n, *input_shape)

        Returns
        -------
        labels : ndarray of shape (n,)
            Members of ``classes_``.
        """
        logits = self._logits(X)  # first: it says so where nothing is fitted
        return self.classes_[logits[:, : len(self.classes_)].argmax(axis=1)]

    # ---- files

    _always_fitted = (
        "n_features_in_", "input_shape_", "_image_range", "classes_", "history_", "n_iter_",
        "offset_",
    )
    _always_within = ("module_",)

    def _check_answers(self):
        """Fail in any way if this, with what a file held, says nothing of a row."""
        X = rows_to_try(self.input_shape_, self.dtype)
        if X is None:
            return
        alone = object.__new__(type(self))
        alone.__dict__ = vars(self) | {"memory": None}  # a trial is nothing to remember
        with np.errstate(all="ignore"):
            decisions = np.asarray(alone._predict_scores(X), np.float64) - self.offset_
        if decisions.shape != (len(X),):
            raise ValueError(f"of {len(X)} rows, scores of shape {decisions.shape}")
        example = to_input(rows(X, slice(None)), self.dtype).to(device_of(self.module_))
        n_outputs = count_outputs(self.module_, example)
        if self.classes_ is not None and len(self.classes_) > n_outputs:
            raise ValueError(f"{len(self.classes_)} classes of {n_outputs} outputs")

    @abstractmethod
    def _new_module(self):
        """Return a network as a fit finds or builds it; ``classes_`` and ``input_shape_`` are set.

        Its weights will be replaced, in a copy.
        """

    def __getstate__(self):
        state = _frozen(super().__getstate__())
        if "_hidden" in state:
            # A network may also be a parameter of the network: module__backbone=...
            state["_hidden"] = _frozen(state["_hidden"])
        return state

    def __setstate__(self, state):
        state = _thawed(state)
        if "_hidden" in state:
            state["_hidden"] = _thawed(state["_hidden"])
        super().__setstate__(state)


def _frozen(values):
    return {k: freeze(v) if isinstance(v, nn.Module) else v for k, v in values.items()}


def _thawed(values):
    return {k: thaw(v) if isinstance(v, Frozen) else v for k, v in values.items()}
