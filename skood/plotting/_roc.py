"""The ROC curve of a detector, a line for each out-of-distribution set."""

from sklearn.metrics import roc_curve

from ._curves import OTHER, SIDES, CurveDisplay, counts_at, with_positive
from ._matplotlib import GUIDE, percent


class ROCDisplay(CurveDisplay):
    """Receiver operating characteristic: what is rightly and what is wrongly taken as positive.

    Make it by ``from_detector`` or ``from_scores``. The parameters are kept as attributes.

    Parameters
    ----------
    fpr, tpr : dict of str to ndarray
        False and true-positive rates of each set's line, in [0, 1].
    auroc : dict of str to float
        Area under each line.
    operating_point : dict of str to (fpr, tpr), or to None
        The point to be marked on each line.
    positive : {"id", "ood"}, default="id"
        Class counted as positive.
    marked_tpr : float or None, default=0.95
        True-positive rate that the marked points reach.

    Attributes
    ----------
    line_ : dict of str to matplotlib.lines.Line2D
        The line of each set.
    point_ : dict of str to matplotlib.lines.Line2D
        The marked point of each set.
    chance_level_ : matplotlib.lines.Line2D or None
        The diagonal, if it was asked for.
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure

    See Also
    --------
    skood.metrics.fpr_at_tpr : The number that is marked.
    PrecisionRecallDisplay : Where one class is rare.
    FPRAtTPRDisplay : Several true-positive rates as a table.

    Notes
    -----
    With ``positive="id"`` the x-axis is the share of OOD rows accepted, with ``"ood"`` the share
    of ID rows flagged. The lines are those of scikit-learn's ``roc_curve``. The marked point is
    the strictest threshold with a true-positive rate of at least `marked_tpr`, so that its x is
    ``skood.metrics.fpr95``. Colours go on where lines of another display end: to compare
    detectors, pass the same `ax` and a `name` each.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.plotting import ROCDisplay
    >>> rng = np.random.default_rng(0)
    >>> sets = {"near": rng.normal(1, size=400), "far": rng.normal(-1, size=400)}
    >>> display = ROCDisplay.from_scores(rng.normal(2, size=500), sets)
    >>> [text.get_text() for text in display.ax_.get_legend().get_texts()]
    ['near: AUROC 76.7 %, FPR95 68.5 %', 'far: AUROC 98.5 %, FPR95 6.0 %']
    """

    _rises, _drawstyle = True, "default"

    def __init__(self, *, fpr, tpr, auroc, operating_point, positive="id", marked_tpr=0.95):
        self.fpr = fpr
        self.tpr = tpr
        self.auroc = auroc
        self.operating_point = operating_point
        self.positive = positive
        self.marked_tpr = marked_tpr

    @classmethod
    def _measure(cls, scores_in, scores, positive, marked_tpr):
        fpr, tpr, _ = roc_curve(*with_positive(scores_in, scores, positive))
        curve, counts = counts_at(scores_in, scores, positive, marked_tpr)
        n_pos, n_neg = (len(scores_in), len(scores))[:: 1 if positive == "id" else -1]
        point = counts and (counts[1] / n_neg, counts[0] / n_pos)
        return {"fpr": fpr, "tpr": tpr, "auroc": curve.auroc(), "operating_point": point}

    def _xy(self, name):
        return self.fpr[name], self.tpr[name]

    def _label(self, name):
        label, point = f"AUROC {percent(self.auroc[name])}", self.operating_point[name]
        return label if point is None else (
            f"{label}, FPR{100 * self.marked_tpr:g} {percent(point[0])}"
        )

    def _draw_chance_level(self, options):
        return self.ax_.plot([0, 1], [0, 1], linestyle="--", label="chance", zorder=1, **GUIDE)[0]

    def _name_axes(self):
        verb = "accepted" if self.positive == "id" else "flagged"
        self.ax_.set(
            xlabel=f"{OTHER[self.positive]} {verb} (false-positive rate)",
            ylabel=f"{SIDES[self.positive]} {verb} (true-positive rate)",
        )
