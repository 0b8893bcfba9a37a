"""A threshold with a stated rate of false alarms, around any detector."""

import math
import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, OutlierMixin, _fit_context, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags
from sklearn.utils._param_validation import Interval, RealNotInt, StrOptions
from sklearn.utils.metadata_routing import (
    UNUSED,
    MetadataRouter,
    MethodMapping,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.metaestimators import available_if
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import check_is_fitted

from .._random import as_generator
from ..base import unfitted
from ._calibration import Calibration
from ._folds import FoldRanks
from ._parts import draw_folds, draw_part
from ._rows import (
    check_estimator,
    check_takes_outliers,
    fit_and_score,
    read_rows,
    separate,
    take,
)
from ._rules import as_written, benjamini_hochberg, check_finite, least_calibration_size

_SHOWN = 5  # classes that a message names


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


class ConformalDetector(OutlierMixin, MetaEstimatorMixin, BaseEstimator):
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
        Rate of false alarms. Fewer than ``1 / alpha - 1`` calibration rows refuse nothing.
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
        Threshold on ``score_samples``; ``-inf`` where calibration rows are too few for `alpha`.
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
            they are, and never calibrate. An array of samples in X's shape is read as ``X_aux``.
        X_aux : array-like, tuple of them, or torch Dataset, default=None
            Auxiliary outliers, for an estimator whose ``fit`` takes them.
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
        self._check_parameters()
        draft = unfitted(self)
        draft._fit(X, y, X_aux, fit_params)
        self.__dict__ = draft.__dict__
        return self

    def _check_parameters(self):
        check_estimator(self.estimator)
        if self.method == "cross" and isinstance(self.estimator, FrozenEstimator):
            raise ValueError(
                "method='cross' trains the estimator anew in each fold, and a FrozenEstimator "
                "cannot be: pass method='split', with which all of X calibrates it."
            )
        if self.method == "cross" and self.conditional_on is not None:
            raise ValueError(
                f"conditional_on={self.conditional_on!r} needs method='split', got 'cross': the "
                "detectors of the folds share no threshold for a class."
            )
        # A clone is asked: one that was fitted without labels hides what it does with them.
        by_prediction = self.conditional_on == "predicted"
        if by_prediction and not hasattr(clone(self.estimator), "predict_proba"):
            raise ValueError(
                "conditional_on='predicted' needs an estimator with predict_proba, got "
                f"{type(self.estimator).__name__}: pass 'label' or None."
            )

    def _fit(self, X, y, X_aux, fit_params):
        X, y, X_aux = separate(X, y, X_aux)
        rows = read_rows(X, y)
        if self.conditional_on == "label" and rows.classes is None:
            raise ValueError(
                "conditional_on='label' needs labels of two or more classes: pass y, or "
                "conditional_on=None."
            )
        params = self._params_of_estimator(X_aux, fit_params)
        parts = self._draw_parts(rows)
        self._by, self._labels = self.conditional_on, rows.classes
        # Before the training, which may take long; of predicted classes only the sum is known yet.
        codes = rows.codes[np.concatenate(parts)]
        by_label = (codes, rows.classes) if self._by == "label" else _ungrouped(len(codes))
        too_few = self._warn_of_few(*by_label, self._remedy(), stacklevel=5)
        fits = Parallel(n_jobs=self.n_jobs)(
            delayed(fit_and_score)(self.estimator, rows, rows.inside[part], params)
            for part in parts
        )
        self.estimators_, held_out = map(list, zip(*fits, strict=True))
        self._take_attributes()
        self._ranks = FoldRanks(held_out) if self.method == "cross" else None
        if self._ranks is not None:
            self._calibrate(self._ranks.own_scores(), *_ungrouped(len(codes)))
            return
        groups, names = self._groups(take(X, rows.inside[parts[0]]), codes)
        if self._by == "predicted" and not too_few:
            self._warn_of_few(groups, names, self._remedy(), stacklevel=5)
        self._calibrate(held_out[0], groups, names)

    def _params_of_estimator(self, X_aux, fit_params):
        """Return what the estimator's ``fit`` is to be given besides X and y."""
        given = fit_params if X_aux is None else {**fit_params, "X_aux": X_aux}
        if X_aux is not None:
            check_takes_outliers(self.estimator)
        return process_routing(self, "fit", **given).estimator.fit if _routing_enabled() else given

    def _draw_parts(self, rows):
        """Return the parts to hold out, one after another, as positions in ``rows.inside``."""
        n, rng = len(rows.inside), as_generator(self.random_state)
        if isinstance(self.estimator, FrozenEstimator):
            size, least = n, 1
        elif self.method == "cross":
            size, least = n, self.n_folds
        else:
            size = self.calibration_size
            size = size if isinstance(size, Integral) else math.ceil(as_written(size) * n)
            least = max(2, size + 1)
        if n < least:
            raise ValueError(
                f"X has n_samples={n} in-distribution rows (y is not -1), and method="
                f"{self.method!r} needs at least {least} here: give more rows, or lower "
                "calibration_size or n_folds."
            )
        if self.method == "cross":
            return draw_folds(rows.codes, self.n_folds, rng)
        part = draw_part(rows.codes, size, rng)
        if size < n:
            _warn_of_lost_classes(rows, part)
        return [part]

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
        return _ungrouped(len(codes))

    def _predicted(self, X):
        if not hasattr(self, "predict_proba"):
            raise ValueError(
                f"conditional_on='predicted' needs predicted classes, and "
                f"{type(self.estimator).__name__}, fitted on these rows, has none: pass labels of "
                "two or more classes, or conditional_on=None."
            )
        return self.predict_proba(X).argmax(axis=1)

    def _remedy(self):
        """Return what a fit can do about too few calibration rows, besides rows and `alpha`."""
        if self.method == "cross" or isinstance(self.estimator, FrozenEstimator):
            return ""
        cross = "" if self._by else ", or use method='cross', in which all rows calibrate"
        return " or calibration_size" + cross

    def _warn_of_few(self, groups, names, remedy, stacklevel):
        """Warn where calibration rows are too few for anything to be refused; say whether."""
        sizes, least = np.bincount(groups, minlength=len(names)), least_calibration_size(self.alpha)
        few = np.flatnonzero(sizes < least)
        if not len(few):
            return False
        named = names[0] is not None
        of_each = f" of each class, and of {names[few].tolist()[:_SHOWN]}" if named else ", and"
        whose, refused = (
            ("their", "no row of theirs") if named and self._by == "predicted"
            else ("the", "nothing")
        )
        warnings.warn(
            f"alpha={self.alpha} needs at least {least} calibration rows{of_each} there are "
            f"{sizes[few].min()}: {whose} threshold is -inf, so that {refused} is refused. Give "
            f"more rows, or raise alpha{remedy}.",
            UserWarning, stacklevel=stacklevel,
        )
        return True

    def _calibrate(self, scores, groups, names):
        """Set the calibration rows and the threshold."""
        calibration = Calibration(scores, groups, len(names))
        thresholds = calibration.thresholds(self.alpha)
        self.offset_ = thresholds if self._by == "predicted" else float(thresholds.min())
        self.calibration_ = calibration

    def recalibrate(self, X_in, y=None):
        """Set the threshold anew by other rows, without training.

        Parameters
        ----------
        X_in : array-like of shape (n, *sample_shape)
            In-distribution rows that the estimator was not trained on, drawn as those to come.
            They replace all earlier calibration rows, at the `alpha` that is set now.
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
                "it back, or fit a ConformalDetector around FrozenEstimator(detector.estimator_), "
                "which trains nothing."
            )
        X, _, _ = separate(X_in, None)
        rows = read_rows(X, y)
        if not len(rows.inside):
            raise ValueError("X_in has no in-distribution rows (y is not -1) to calibrate by.")
        X = take(X, rows.inside)
        codes = self._known_codes(rows) if self._by == "label" else rows.codes
        scores, (groups, names) = self.score_samples(X), self._groups(X, codes)
        self._warn_of_few(groups, names, "", stacklevel=3)
        self._calibrate(scores, groups, names)
        return self

    def _known_codes(self, rows):
        """Return the labels as positions in the classes known from fit."""
        if rows.y is None:
            raise ValueError("recalibrate needs y where conditional_on='label': pass the labels.")
        y = rows.y[rows.inside]
        unknown = sorted(set(y.tolist()) - set(self._labels.tolist()))
        if unknown:
            raise ValueError(
                f"y has the classes {unknown[:_SHOWN]}, which fit did not see: it saw "
                f"{self._labels.tolist()[:_SHOWN]}. Fit anew to promise them a rate."
            )
        return np.searchsorted(self._labels, y.astype(self._labels.dtype))

    # ---- scores and decisions

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
        return scores[0] if self._ranks is None else self._ranks(np.stack(scores))

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
        scores = self.score_samples(X)
        return scores - (self.offset_[self._predicted(X)] if self._by == "predicted" else
                         self.offset_)

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
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

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


def _warn_of_lost_classes(rows, part):
    """Warn of classes all of whose rows calibrate, so that the estimator never sees them."""
    if rows.classes is None:
        return
    lost = np.setdiff1d(rows.codes, np.delete(rows.codes, part))
    if len(lost):
        warnings.warn(
            f"all rows of the classes {rows.classes[lost].tolist()[:_SHOWN]} calibrate, so that "
            "the estimator does not know these: give them more rows, or lower calibration_size.",
            UserWarning, stacklevel=6,
        )


def _ungrouped(n):
    """Return groups and names for rows that are all of one group, which has no name."""
    return np.zeros(n, dtype=int), [None]
