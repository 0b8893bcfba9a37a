"""A threshold with a stated rate of false alarms, around any detector."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, OutlierMixin, _fit_context
from sklearn.utils import get_tags
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions
from sklearn.utils.metadata_routing import (
    UNUSED,
    MetadataRouter,
    MethodMapping,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from ..base import unfitted
from ..weights import WeightFiles
from ._calibration import Calibration
from ._checks import check_parameters, check_takes_outliers
from ._decisions import CalibratedDecisions
from ._folds import FoldRanks
from ._parts import draw_parts
from ._rows import fit_and_score, known_codes, read_rows, separate, take, ungrouped
from ._warnings import remedy_at_fit, warn_of_few


class ConformalDetector(
    CalibratedDecisions, OutlierMixin, MetaEstimatorMixin, WeightFiles, BaseEstimator
):
    """Any detector, with a threshold that keeps a stated rate of false alarms.

    A detector's own threshold is read off the rows that it was trained on. Here some
    in-distribution rows are held out of the training, and new ones are compared with these: of new
    in-distribution rows at most a share `alpha` is refused, whatever the detector and however
    small the sample.

    Parameters
    ----------
    estimator : estimator
        A detector of skood, one of scikit-learn (``IsolationForest``), or a pipeline that ends in
        one: whatever has ``score_samples``, higher = more in-distribution. It is cloned and fitted;
        in a ``FrozenEstimator`` it is used as it is, and all of X calibrates.
    alpha : float in (0, 1), default=0.05
        Rate of false alarms. Fewer than ``1 / alpha - 1`` calibration rows refuse nothing. It may
        be set anew after ``fit``: thresholds follow, and nothing needs to be fitted again.
    method : {"split", "cross"}, default="split"
        ``"split"``: one part of X calibrates, the rest trains. ``"cross"``: every row calibrates a
        detector that was trained without its fold; all rows do both, training and scoring take
        `n_folds` times as long, and the rate proved is about twice `alpha` (see Notes).
    calibration_size : float in (0, 1) or int, default=0.2
        Share or number of the in-distribution rows that calibrate, with ``method="split"``.
    n_folds : int, default=5
        Folds of ``method="cross"``, at least 2.
    conditional_on : {None, "label", "predicted"}, default=None
        None: `alpha` holds over all in-distribution rows together. ``"label"``: in each class, by
        the strictest of the classes' demands (needs labels); ``"predicted"``: among the rows that
        are predicted to be of each class. Every class then needs calibration rows enough. Only
        with ``method="split"``.
    n_jobs : int, default=None
        Processes that fit the folds; as in joblib.
    random_state : int, RandomState or None, default=None
        Draws the calibration rows or folds. The estimator has its own.

    Attributes
    ----------
    estimators_ : list of estimators
        Fitted: one, or one for each fold.
    estimator_ : estimator
        That one, of ``method="split"``.
    offset_ : float or ndarray of shape (n_classes,)
        Threshold on ``score_samples`` at the `alpha` that is set now; ``-inf`` where calibration
        rows are too few for it.
        With ``conditional_on="predicted"`` one for each of ``classes_``.
    calibration_ : Calibration
        The sorted scores of the calibration rows; ``calibration_.sizes`` counts them, by class if
        conditional.
    classes_ : ndarray of shape (n_classes,) or None
        Only of estimators that have it.
    n_features_in_, feature_names_in_, input_shape_
        Those of the estimator.

    See Also
    --------
    skood.conformal : The rules as functions of scores.

    Notes
    -----
    With n calibration rows the threshold is their k-th smallest score, k = floor((n + 1) alpha),
    and the p-value of a row (1 + the number of calibration scores <= its own) / (n + 1).
    ``predict`` refuses where the p-value is at most `alpha`. If calibration rows and a new row are
    exchangeable (drawn alike, in any order), its rank among them is uniform, so P(p <= alpha) <=
    alpha. Ties make p-values larger. This is an average over calibration sets; the rate of one
    varies around it as `skood.conformal.false_alarm_law` says.

    *Labels.* The calibration rows are drawn class by class, so that they are a little more regular
    than a random sample: with shares as in X the bound is alpha (1 + 1 / n). It is `alpha` exactly
    with ``conditional_on="label"``, without labels, and after ``recalibrate``.

    *Conditional.* ``"label"`` takes the largest of the p-values in all classes, as the class of a
    new row is not known: that of its own class among them, so that P(p <= alpha | class) <= alpha.
    For a score that is one number this is the lowest of the classes' thresholds. ``"predicted"``
    compares a row with those of its predicted class [2]_ and refuses more, but says nothing about
    a true class whose rows are mistaken for another.

    *Cross.* The p-value is (1 + sum over folds of the fold's scores <= the row's, by the detector
    that did not see the fold) / (n + 1) [3]_. For folds of one size, P(p <= alpha) is at most
    2 alpha + 2 (1 - alpha)(K - 1) / (n + K) [4]_, and near `alpha` unless the detectors are
    unstable. ``score_samples`` is this rank with ties broken by the mean of the standardised
    scores.

    *Selection.* p-values of rows that share a calibration set are not independent but positively
    dependent (PRDS), so that Benjamini-Hochberg's procedure keeps its rate [1]_. The same argument,
    in the class of a row, holds for both conditional ones. For ``"cross"`` it is not proved.

    References
    ----------
    .. [1] S. Bates, E. Candès, L. Lei, Y. Romano and M. Sesia, "Testing for outliers with conformal
       p-values", Annals of Statistics 2023.
    .. [2] V. Vovk, "Conditional Validity of Inductive Conformal Predictors", ACML 2012.
    .. [3] V. Vovk, "Cross-conformal Predictors", Annals of Mathematics and Artificial Intelligence
       2015.
    .. [4] V. Vovk, I. Nouretdinov, V. Manokhin and A. Gammerman, "Cross-conformal Predictive
       Distributions", COPA 2018; R. F. Barber, E. Candès, A. Ramdas and R. Tibshirani, "Predictive
       Inference with the Jackknife+", Annals of Statistics 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> from skood import ConformalDetector
    >>> rng = np.random.default_rng(0)
    >>> X, X_new, outliers = rng.normal(size=(500, 2)), rng.normal(size=(10, 2)), np.full((5, 2), 6)
    >>> forest = IsolationForest(random_state=0)
    >>> detector = ConformalDetector(forest, alpha=0.1, random_state=0).fit(X)
    >>> detector.predict(outliers)
    array([-1, -1, -1, -1, -1])
    >>> detector.p_values(outliers[:1]).round(3)
    array([0.01])
    >>> np.flatnonzero(detector.select(np.concatenate([X_new, outliers]), q=0.1))
    array([10, 11, 12, 13, 14])
    """

    # X_aux goes to the estimator, which asks for it or does not.
    __metadata_request__fit = {"X_aux": UNUSED}

    _parameter_constraints = {
        "estimator": "no_validation",  # by check_estimator, which says what to do with a network
        "alpha": [Interval(Real, 0, 1, closed="neither")],
        "method": [StrOptions({"split", "cross"})],
        "calibration_size": [
            Interval(RealNotInt, 0, 1, closed="neither"),
            Interval(Integral, 1, None, closed="left"),
        ],
        "n_folds": [Interval(Integral, 2, None, closed="left")],
        "conditional_on": [None, StrOptions({"label", "predicted"})],
        "n_jobs": [None, Integral],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator,
        *,
        alpha=0.05,
        method="split",
        calibration_size=0.2,
        n_folds=5,
        conditional_on=None,
        n_jobs=None,
        random_state=None,
    ):
        self.estimator = estimator
        self.alpha = alpha
        self.method = method
        self.calibration_size = calibration_size
        self.n_folds = n_folds
        self.conditional_on = conditional_on
        self.n_jobs = n_jobs
        self.random_state = random_state

    # ---- fit

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, X_aux=None, **fit_params):
        """Fit the estimator on one part of X and calibrate it on the other.

        Parameters
        ----------
        X : array-like of shape (n, *sample_shape)
            In-distribution samples, in any container that the estimator reads. Each part is a copy.
        y : array-like of shape (n,) or (n, 1), or outliers, default=None
            Class labels. Rows with ``y == -1`` are outliers: they go to the estimator's ``fit``, as
            they are, and never calibrate. Estimators of scikit-learn (``IsolationForest``), alone
            or at the end of a pipeline, do not read y and would learn them as known rows: these are
            fitted without them. An array of samples in X's shape is read as ``X_aux``.
        X_aux : array-like, tuple of them, or torch Dataset, default=None
            Auxiliary outliers, for an estimator whose ``fit`` takes them. Labels of a Dataset's
            items ``(x, label)`` are dropped.
        **fit_params : dict
            For the estimator's ``fit``, cut to its rows where they have one entry a row. With
            metadata routing enabled, what it requests.

        Returns
        -------
        self : estimator
            Unchanged if the fit fails or is interrupted.

        Raises
        ------
        TypeError
            If the estimator has no ``score_samples``, or X_aux is given and it takes none (a
            ``FrozenEstimator`` trains no more).
        ValueError
            If there are too few rows for both parts, labels are missing that `conditional_on`
            needs, a score is not finite, or parameters contradict each other.
        """
        check_parameters(self)
        draft = unfitted(self)
        draft._fit(X, y, X_aux, fit_params)
        self.__dict__ = draft.__dict__
        return self

    def _fit(self, X, y, X_aux, fit_params):
        X, y, X_aux = separate(X, y, X_aux)
        rows = read_rows(X, y)
        if self.conditional_on == "label" and rows.classes is None:
            raise ValueError(
                "conditional_on='label' needs labels of two or more classes: pass y, or "
                "conditional_on=None."
            )
        params = self._params_of_estimator(X_aux, fit_params)
        parts = draw_parts(self, rows)
        self._by, self._labels = self.conditional_on, rows.classes
        # Before the training, which may take long; of predicted classes only the sum is known yet.
        codes = rows.codes[np.concatenate(parts)]
        by_label = (codes, rows.classes) if self._by == "label" else ungrouped(len(codes))
        too_few = warn_of_few(*by_label, self, remedy_at_fit(self), stacklevel=5)
        fits = Parallel(n_jobs=self.n_jobs)(
            delayed(fit_and_score)(self.estimator, rows, rows.inside[part], params)
            for part in parts
        )
        self.estimators_, held_out = map(list, zip(*fits, strict=True))
        self._take_attributes()
        self._ranks = FoldRanks(held_out) if self.method == "cross" else None
        if self._ranks is not None:
            self._calibrate(self._ranks.own_scores(), *ungrouped(len(codes)))
            return
        groups, names = self._groups(take(X, rows.inside[parts[0]]), codes)
        if self._by == "predicted" and not too_few:
            warn_of_few(groups, names, self, remedy_at_fit(self), stacklevel=5)
        self._calibrate(held_out[0], groups, names)

    def _params_of_estimator(self, X_aux, fit_params):
        """Return what the estimator's ``fit`` is to be given besides X and y."""
        given = fit_params if X_aux is None else {**fit_params, "X_aux": X_aux}
        if X_aux is not None:
            check_takes_outliers(self.estimator)
        return process_routing(self, "fit", **given).estimator.fit if _routing_enabled() else given

    def _take_attributes(self):
        for name in ("n_features_in_", "feature_names_in_", "input_shape_", "classes_"):
            if hasattr(self.estimators_[0], name):
                setattr(self, name, getattr(self.estimators_[0], name))
        if hasattr(self, "classes_") and not all(
            np.array_equal(each.classes_, self.classes_) for each in self.estimators_
        ):
            self.classes_ = None  # a class of one row is unknown where it is held out

    # ---- calibration

    def _groups(self, X, codes):
        """Return the group of each calibration row, and the groups' names."""
        if self._by == "label":
            return codes, self._labels
        if self._by == "predicted":
            return self._predicted(X), self.classes_
        return ungrouped(len(codes))

    def _calibrate(self, scores, groups, names):
        self.calibration_ = Calibration(scores, groups, len(names))

    def recalibrate(self, X_in, y=None):
        """Take other rows to calibrate by, without training.

        Parameters
        ----------
        X_in : array-like of shape (n, *sample_shape)
            In-distribution rows that the estimator was not trained on, drawn as those to come.
            They replace all earlier calibration rows.
        y : array-like of shape (n,), default=None
            Labels; needed, and of the classes known from ``fit``, with ``conditional_on="label"``.
            Rows with ``y == -1`` are left out.

        Returns
        -------
        self : estimator
            Unchanged if this fails.

        Raises
        ------
        ValueError
            If there is no in-distribution row, `conditional_on` is not what it was in ``fit``, or
            labels are missing or unknown that it needs.

        Notes
        -----
        All detectors of ``method="cross"`` are the same for the new rows, so that the rate is at
        most `alpha` from here on, as with ``"split"``.
        """
        check_is_fitted(self)
        self._validate_params()
        if self.conditional_on != self._by:
            raise ValueError(
                f"conditional_on was {self._by!r} in fit and is {self.conditional_on!r} now: set "
                "it back, or fit another ConformalDetector around FrozenEstimator(detector), which "
                "trains nothing."
            )
        X, _, _ = separate(X_in, None)
        rows = read_rows(X, y)
        if not len(rows.inside):
            raise ValueError("X_in has no in-distribution rows (y is not -1) to calibrate by.")
        X = take(X, rows.inside)
        codes = known_codes(rows, self._labels) if self._by == "label" else rows.codes
        scores, (groups, names) = self.score_samples(X), self._groups(X, codes)
        warn_of_few(groups, names, self, "", stacklevel=3)
        self._calibrate(scores, groups, names)
        return self

    def fit_predict(self, X, y=None, X_aux=None, **fit_params):
        """Fit and decide about the rows of X, of which many were trained on.

        Parameters
        ----------
        X, y, X_aux, **fit_params
            As in ``fit``.

        Returns
        -------
        decisions : ndarray of int of shape (n,)
            +1 in-distribution, -1 out-of-distribution.
        """
        return self.fit(X, y, X_aux=X_aux, **fit_params).predict(X)

    # ---- files

    # Around a forest three of these are missing, but no file keeps a forest.
    _always_fitted = (
        "n_features_in_", "input_shape_", "classes_", "_by", "_labels", "_ranks", "calibration_",
    )
    _always_within = ("estimators_",)

    def _check_answers(self):
        """Fail in any way if this, with what a file held, makes nothing of its estimators' scores.

        They have been tried by now.
        """
        n = len(self.estimators_) + 1  # rows: arrays that lie the other way must not fit
        scores = self._combined(np.zeros((n - 1, n)))
        groups = np.zeros(n, dtype=int)
        ranks = self.calibration_.p_values(scores, groups)
        largest = self.calibration_.largest_p_values(scores)
        offset = self.offset_[: len(self.classes_)] if self._by == "predicted" else self.offset_
        if not ranks.shape == largest.shape == (scores - np.max(offset)).shape == (n,):
            raise ValueError(f"of {n} rows, p-values of shape {ranks.shape}")
        if self._by != self.conditional_on:
            raise ValueError(f"_by={self._by!r} with conditional_on={self.conditional_on!r}")

    # ---- scikit-learn

    @property
    def estimator_(self):
        """The fitted estimator of ``method="split"``."""
        if self._ranks is not None:
            raise AttributeError("method='cross' has one estimator a fold: see estimators_.")
        return self.estimators_[0]

    def get_metadata_routing(self):
        """Return which parameters of ``fit`` the estimator is given.

        Returns
        -------
        routing : MetadataRouter
        """
        return MetadataRouter(owner=self).add(
            estimator=self.estimator,
            method_mapping=MethodMapping().add(caller="fit", callee="fit"),
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = get_tags(self.estimator).input_tags.sparse
        tags.input_tags.allow_nan = get_tags(self.estimator).input_tags.allow_nan
        return tags
