"""Scores, decisions and classes of a detector that is fitted and calibrated."""

import numpy as np
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ._rules import benjamini_hochberg, check_finite


def _has_classes(detector):
    """Whether the estimator has class outputs; where it has none, its own error says why."""
    if getattr(detector, "classes_", ()) is None:
        raise AttributeError(
            "the estimator was fitted without labels of two or more classes, or on other ones in "
            "each fold, so there are none to predict. Fit with fit(X, y, X_aux=...)."
        )
    if not hasattr(detector, "estimators_"):
        return hasattr(detector.estimator, "predict_proba")
    # The components of a mixture have probabilities, but are no classes.
    return hasattr(detector, "classes_") and hasattr(detector.estimators_[0], "predict_proba")


class CalibratedDecisions:
    """What a ConformalDetector says about new rows, once it is fitted.

    It reads `alpha`, ``estimators_``, ``calibration_`` and ``classes_``, and two things more that
    ``fit`` leaves: ``_by``, the condition, and ``_ranks``, the FoldRanks or None.
    """

    @property
    def offset_(self):
        """The threshold at the `alpha` of now: p-values, which do not know it, are compared so."""
        check_is_fitted(self, "calibration_")
        self._validate_params()
        thresholds = self.calibration_.thresholds(self.alpha)
        return thresholds if self._by == "predicted" else float(thresholds.min())

    def score_samples(self, X):
        """Return how in-distribution each sample looks.

        Parameters
        ----------
        X : array-like of shape (n, *sample_shape)

        Returns
        -------
        scores : ndarray of float64 of shape (n,)
            Higher = more in-distribution. The estimator's own; with ``method="cross"`` a rank in
            [0, 1), see Notes of the class.
        """
        check_is_fitted(self)
        scores = [
            check_finite(each.score_samples(X), f"scores of {type(each).__name__}")
            for each in self.estimators_
        ]
        return self._combined(np.stack(scores))

    def _combined(self, scores):
        """Return one score a row, of those of all estimators, shape (n_estimators, n)."""
        return scores[0] if self._ranks is None else self._ranks(scores)

    def p_values(self, X):
        """Return how rarely an in-distribution row looks as strange as each sample.

        Parameters
        ----------
        X : array-like of shape (n, *sample_shape)

        Returns
        -------
        p_values : ndarray of float64 of shape (n,)
            In (0, 1]; ``predict`` refuses where they are at most `alpha`. They do not depend on
            `alpha`, and for one row are the same at each call: ties are not broken at random.
        """
        scores = self.score_samples(X)
        if self._by == "label":
            return self.calibration_.largest_p_values(scores)
        return self.calibration_.p_values(scores, self._groups_of_new(X, len(scores)))

    def _groups_of_new(self, X, n):
        return self._predicted(X) if self._by == "predicted" else np.zeros(n, dtype=int)

    def decision_function(self, X):
        """Return the score above the threshold.

        Parameters
        ----------
        X : array-like of shape (n, *sample_shape)

        Returns
        -------
        decisions : ndarray of float64 of shape (n,)
            At least 0 for samples taken as in-distribution; ``inf`` where nothing can be refused.
        """
        threshold = self.offset_  # first: a wrong alpha needs no scores to be told
        scores = self.score_samples(X)
        return scores - (threshold[self._predicted(X)] if self._by == "predicted" else threshold)

    def predict(self, X):
        """Decide for each sample whether it is in-distribution.

        Parameters
        ----------
        X : array-like of shape (n, *sample_shape)

        Returns
        -------
        decisions : ndarray of int of shape (n,)
            +1 in-distribution, -1 out-of-distribution.
        """
        return np.where(self.decision_function(X) >= 0, 1, -1)

    def select(self, X, q=0.1):
        """Pick outliers out of X such that, on average, at most a share q of those is none.

        Parameters
        ----------
        X : array-like of shape (n, *sample_shape)
            Samples to be judged together.
        q : float in (0, 1), default=0.1
            Rate of false discoveries: in-distribution samples among those picked.

        Returns
        -------
        selected : ndarray of bool of shape (n,)
            True for outliers.

        Notes
        -----
        Benjamini-Hochberg's procedure on ``p_values(X)``. No p-value is below 1 / (n + 1) for n
        calibration rows, so to pick r of m samples takes about m / (q r) of these.
        """
        return benjamini_hochberg(self.p_values(X), q)

    def _predicted(self, X):
        if not hasattr(self, "predict_proba"):
            raise ValueError(
                f"conditional_on='predicted' needs predicted classes, and "
                f"{type(self.estimator).__name__}, fitted on these rows, has none: pass labels of "
                "two or more classes, or conditional_on=None."
            )
        return self.predict_proba(X).argmax(axis=1)

    # ---- classes

    @available_if(_has_classes)
    def predict_proba(self, X):
        """Return the probabilities of the in-distribution classes, if the estimator has them.

        Parameters
        ----------
        X : array-like of shape (n, *sample_shape)

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes)
            In the order of ``classes_``; with ``method="cross"`` the mean over the folds.
        """
        check_is_fitted(self)
        return np.mean([each.predict_proba(X) for each in self.estimators_], axis=0)

    @available_if(_has_classes)
    def predict_class(self, X):
        """Return the likeliest in-distribution class, if the estimator has probabilities.

        Parameters
        ----------
        X : array-like of shape (n, *sample_shape)

        Returns
        -------
        labels : ndarray of shape (n,)
            Members of ``classes_``.
        """
        probabilities = self.predict_proba(X)  # first: it says so where nothing is fitted
        return self.classes_[probabilities.argmax(axis=1)]
