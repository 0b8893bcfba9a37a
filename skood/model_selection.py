"""Score detectors inside scikit-learn's cross-validation and searches."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing

from .labels import is_in_distribution
from .metrics._curve import Curve, check_scores
from .metrics._protocols import check_tpr, summarise


class OODScorer(BaseEstimator):
    """Several OOD metrics at once, as the ``scoring`` of a search or of ``cross_validate``.

    Parameters
    ----------
    X_ood : None, array-like, or dict of str to array-like, default=None
        Out-of-distribution rows held out from training, in the shape of X; over a dict of sets
        the metrics are averaged. They are the same in every fold. In a pipeline they go through
        its fitted steps. None: the rows of each test fold with ``y == -1`` are the OOD rows.
    tpr : float in (0, 1], default=0.95
        True-positive rate of the FPR, with in-distribution rows as the positive class.

    Raises
    ------
    ValueError
        When called on a fold without ID rows, or without OOD rows and no `X_ood`.
    TypeError
        When called on an estimator without ``score_samples``.

    See Also
    --------
    skood.metrics.ood_report : A table over several OOD sets.

    Notes
    -----
    Calling it returns ``{"neg_fpr95", "auroc", "aupr_in", "aupr_out"}`` (another `tpr` renames
    the first key), all higher = better, so a search needs to know which one picks the winner:
    ``GridSearchCV(..., scoring=OODScorer(X_ood), refit="auroc")``.

    With `X_ood`, test rows with ``y == -1`` (training outliers) are left out, and without y all
    rows are in-distribution. Rows used to train or to choose parameters must not come back to
    report the final numbers: keep another OOD set for those.

    Without `X_ood` every fold needs both kinds of rows, which a plain ``KFold`` on stacked data
    does not give. Pass ``cv=StratifiedKFold()``; for string labels, which scikit-learn cannot
    stratify beside -1, ``cv=list(StratifiedKFold().split(X, y == -1))``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> from sklearn.model_selection import cross_validate
    >>> from skood.model_selection import OODScorer
    >>> rng = np.random.default_rng(0)
    >>> X, X_ood = rng.normal(size=(200, 2)), rng.normal(6, size=(50, 2))
    >>> scorer = OODScorer(X_ood)
    >>> scores = cross_validate(IsolationForest(random_state=0), X, cv=3, scoring=scorer)
    >>> scores["test_auroc"].round(2)
    array([1., 1., 1.])
    """

    def __init__(self, X_ood=None, tpr=0.95):
        self.X_ood = X_ood
        self.tpr = tpr

    def __call__(self, estimator, X, y=None):
        """Score a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``score_samples`` (higher = more in-distribution).
        X : array-like
            Rows of the test fold.
        y : array-like of shape (n,), optional
            Labels of the fold; -1 marks out-of-distribution rows.

        Returns
        -------
        scores : dict of str to float
            ``neg_fpr95``, ``auroc``, ``aupr_in`` and ``aupr_out``.
        """
        tpr = check_tpr(self.tpr)
        if not hasattr(estimator, "score_samples"):
            raise TypeError(
                f"OODScorer needs an estimator with score_samples, got {type(estimator).__name__}."
            )
        scores_in, scores_out = self._scores(estimator, X, y)
        scores_in = np.sort(scores_in)
        rows = [
            summarise(Curve.from_sorted(scores_in, np.sort(scores)), tpr, "id", None)
            for scores in scores_out
        ]
        return _means_to_maximise(rows)

    def _scores(self, estimator, X, y):
        """Scores of the ID rows, and of each OOD set."""
        inside = None if y is None else is_in_distribution(y, "y")
        if inside is not None and not inside.any():
            raise ValueError(
                "the test fold has no in-distribution rows (all y are -1); use StratifiedKFold."
            )
        if self.X_ood is None:
            scores = check_scores(estimator.score_samples(X), "score_samples(X)")
            if inside is None or inside.all():
                raise ValueError(
                    "the test fold has no out-of-distribution rows (y == -1); use "
                    "StratifiedKFold, which puts some into every fold, or OODScorer(X_ood)."
                )
            return scores[inside], [scores[~inside]]
        if inside is not None and not inside.all():
            X = _safe_indexing(X, np.flatnonzero(inside))
        named = self.X_ood if isinstance(self.X_ood, dict) else {"": self.X_ood}
        if not named:
            raise ValueError("X_ood is an empty dict; pass at least one set, or None.")
        scores = check_scores(estimator.score_samples(X), "score_samples(X)")
        return scores, [
            check_scores(estimator.score_samples(X_set), f"score_samples(X_ood[{name!r}])")
            for name, X_set in named.items()
        ]


def _means_to_maximise(rows):
    """Mean of each metric over the sets, error rates negated."""
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return {
        f"neg_{name}" if name.startswith("fpr") else name: -mean if name.startswith("fpr") else mean
        for name, mean in means.items()
    }
