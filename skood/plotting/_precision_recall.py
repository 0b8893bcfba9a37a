"""The precision-recall curve of a detector, a line for each out-of-distribution set."""

from sklearn.metrics import precision_recall_curve

from ._curves import SIDES, CurveDisplay, counts_at, with_positive
from ._matplotlib import GUIDE, percent


class PrecisionRecallDisplay(CurveDisplay):
    """Precision against recall, with ID or with OOD rows as the positive ones.

    Make it by ``from_detector`` or ``from_scores``. The parameters are kept as attributes.

    Parameters
    ----------
    precision, recall : dict of str to ndarray
        Coordinates of each set's line, in [0, 1].
    average_precision : dict of str to float
        ``aupr_in`` or ``aupr_out`` of `skood.metrics`, by `positive`.
    prevalence : dict of str to float
        Share of positive rows among all rows of the comparison, the precision of chance.
    operating_point : dict of str to (recall, precision), or to None
        The point to be marked on each line.
    positive : {"id", "ood"}, default="id"
        Class counted as positive.
    marked_tpr : float or None, default=0.95
        Recall, which is the true-positive rate, that the marked points reach.

    Attributes
    ----------
    line_ : dict of str to matplotlib.lines.Line2D
        The line of each set.
    point_ : dict of str to matplotlib.lines.Line2D
        The marked point of each set.
    chance_level_ : dict of str to matplotlib.lines.Line2D, or None
        The prevalence of each set, if it was asked for.
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure

    See Also
    --------
    skood.metrics.aupr_in, skood.metrics.aupr_out : The areas.
    ROCDisplay : Does not depend on how large the sets are.

    Notes
    -----
    The lines are those of scikit-learn's ``precision_recall_curve``, drawn in steps, whose area is
    the average precision. Precision depends on how many rows each side has: lines of sets of
    different sizes are not comparable, nor is either to what comes in use.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.plotting import PrecisionRecallDisplay
    >>> rng = np.random.default_rng(0)
    >>> scores_in, rare = rng.normal(2, size=500), rng.normal(-1, size=20)
    >>> display = PrecisionRecallDisplay.from_scores(scores_in, {"rare": rare}, positive="ood")
    >>> recall, precision = display.operating_point["rare"]
    >>> round(recall, 2), round(precision, 2)
    (0.95, 0.22)
    """

    _rises, _drawstyle = False, "steps-post"

    def __init__(
        self, *, precision, recall, average_precision, prevalence, operating_point, positive="id",
        marked_tpr=0.95,
    ):
        self.precision = precision
        self.recall = recall
        self.average_precision = average_precision
        self.prevalence = prevalence
        self.operating_point = operating_point
        self.positive = positive
        self.marked_tpr = marked_tpr

    @classmethod
    def _measure(cls, scores_in, scores, positive, marked_tpr):
        truth, rising = with_positive(scores_in, scores, positive)
        precision, recall, _ = precision_recall_curve(truth, rising, drop_intermediate=True)
        curve, counts = counts_at(scores_in, scores, positive, marked_tpr)
        point = counts and (counts[0] / int(truth.sum()), counts[0] / sum(counts))
        return {
            "precision": precision,
            "recall": recall,
            "average_precision": curve.average_precision(positive),
            "prevalence": float(truth.mean()),
            "operating_point": point,
        }

    def _xy(self, name):
        return self.recall[name], self.precision[name]

    def _label(self, name):
        area = "AUPR-in" if self.positive == "id" else "AUPR-out"
        label, point = f"{area} {percent(self.average_precision[name])}", self.operating_point[name]
        return label if point is None else (
            f"{label}, {percent(point[1])} at recall {100 * self.marked_tpr:g} %"
        )

    def _draw_chance_level(self, options):
        return {
            name: self.ax_.axhline(share, **GUIDE | {"color": options[name]["color"]}, ls=":")
            for name, share in self.prevalence.items()
        }

    def _name_axes(self):
        verb, side = "accepted" if self.positive == "id" else "flagged", SIDES[self.positive]
        self.ax_.set(
            xlabel=f"{side} {verb} (recall)", ylabel=f"{side} among the {verb} (precision)"
        )
