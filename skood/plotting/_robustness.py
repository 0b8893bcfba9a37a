"""What attacks do to a detector: a row a set, a mark an attack."""

import numpy as np

from ..metrics._protocols import check_tpr
from ..robustness import evaluate_robustness
from ._matplotlib import GRID, hide_spines, open_axes, require_matplotlib

# colour-blind safe, and told apart by their shapes, too
MARKS = {
    "natural": ("o", "#0072B2", "natural"),
    "corrupted": ("s", "#E69F00", "corrupted"),
    "linf": ("^", "#D55E00", "L∞"),
    "compositional": ("D", "#000000", "corrupted, then L∞"),
}
METRICS = ("auroc", "aupr_in", "aupr_out")


class RobustnessDisplay:
    """A metric on outliers as they are, corrupted and attacked.

    Make it by ``from_report``, from what `skood.robustness.evaluate_robustness` returned, or by
    ``from_detector``, which runs that first. The parameters are kept as attributes.

    Parameters
    ----------
    values : pandas.DataFrame
        A row each set and, of several reports, each detector; a column each attack; fractions.
    metric : str
        What the fractions are.

    Attributes
    ----------
    points_ : dict of str to matplotlib.lines.Line2D
        The marks of each attack, from the first row to the last.
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure

    See Also
    --------
    skood.robustness.evaluate_robustness : Computes the report.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import OutlierExposureDetector
    >>> from skood.plotting import RobustnessDisplay
    >>> rng = np.random.default_rng(0)
    >>> X, A = rng.normal(size=(300, 2)), rng.uniform(-6, 6, size=(600, 2))
    >>> detector = OutlierExposureDetector(lr=0.01, max_epochs=10, random_state=0)
    >>> detector = detector.fit(X, X_aux=(A,))
    >>> far = rng.normal(size=(100, 2)) * 0.3 + [4, 0]
    >>> display = RobustnessDisplay.from_detector(
    ...     detector, rng.normal(size=(200, 2)), {"far": far}, attacks=("natural", "linf"),
    ...     eps=1.5, step_size=0.1, bounds=None,
    ... )
    >>> print(display.values.round(2))
         natural  linf
    far      0.0  0.17
    """

    def __init__(self, *, values, metric):
        self.values = values
        self.metric = metric

    @classmethod
    def from_detector(cls, detector, X_in, X_ood, *, metric=None, ax=None, **evaluation):
        """Attack a detector, which may take long, and draw the outcome.

        Parameters
        ----------
        detector, X_in, X_ood, **evaluation
            As in `skood.robustness.evaluate_robustness`.
        metric, ax
            As in ``from_report``.

        Returns
        -------
        display : RobustnessDisplay
            Drawn.

        Raises
        ------
        TypeError, ValueError
            As `evaluate_robustness` and ``from_report``.
        """
        require_matplotlib(f"a {cls.__name__}", ax)
        allowed = (f"fpr{100 * check_tpr(evaluation.get('tpr', 0.95)):g}", *METRICS)
        if metric is not None and metric not in allowed:  # now, not after hours of attacks
            raise ValueError(f"metric must be one of {allowed}, or None; got {metric!r}.")
        report = evaluate_robustness(detector, X_in, X_ood, **evaluation)
        return cls.from_report(report, metric=metric, ax=ax)

    @classmethod
    def from_report(cls, report, *, metric=None, ax=None):
        """Draw a report, or those of several detectors.

        Parameters
        ----------
        report : pandas.DataFrame, or dict of str to pandas.DataFrame
            What `skood.robustness.evaluate_robustness` returned; of several detectors, by their
            names, with the same sets and attacks.
        metric : str, default=None
            A column of it: "auroc", "aupr_in", "aupr_out", or the FPR, which None takes.
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None: on a new figure.

        Returns
        -------
        display : RobustnessDisplay
            Drawn.

        Raises
        ------
        TypeError
            If `report` is no report.
        ValueError
            If there is no report or no such metric, or reports differ in sets, attacks or TPR.
        """
        require_matplotlib(f"a {cls.__name__}", ax)
        reports = report if isinstance(report, dict) else {None: report}
        if not reports:
            raise ValueError("report is an empty dict; pass at least one report.")
        for each in reports.values():
            _check_report(each)
        metric = _check_metric(metric, reports)
        return cls(values=_by_row(reports, metric), metric=metric).plot(ax)

    def plot(self, ax=None):
        """Draw the marks.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None: on a new figure.

        Returns
        -------
        display : RobustnessDisplay
            This one, with the artists as attributes.
        """
        n_rows = len(self.values)
        self.ax_, self.figure_ = open_axes(ax, "a RobustnessDisplay", (6.5, 1.6 + 0.36 * n_rows))
        y, shares = self._heights(), self.values.to_numpy()
        self.ax_.hlines(y, shares.min(axis=1), shares.max(axis=1), color="0.8", lw=3, zorder=1)
        self.points_ = {
            attack: self._draw_attack(attack, shares[:, column], y)
            for column, attack in enumerate(self.values.columns)
        }
        self.ax_.set(xlim=(-0.03, 1.03), ylim=(y.min() - 0.6, y.max() + 0.6))
        self.ax_.set_yticks(y, [_row_name(row) for row in self.values.index])
        self.ax_.set_xlabel(self._describe_metric())
        self.ax_.grid(axis="x", **GRID)
        self.ax_.set_axisbelow(True)
        self.ax_.tick_params(axis="y", length=0)
        hide_spines(self.ax_, "top", "right", "left")
        self.ax_.legend(
            loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(self.points_), frameon=False,
            fontsize="small", handletextpad=0.2, columnspacing=1.2,
        )
        return self

    def _heights(self):
        """Return where each row is: downwards, with a gap after the detectors of a set."""
        sets = [row[0] if isinstance(row, tuple) else row for row in self.values.index]
        several = isinstance(self.values.index[0], tuple)
        new = np.array([several and a != b for a, b in zip(sets, [sets[0], *sets], strict=False)])
        return -(np.arange(len(sets)) + 0.6 * np.cumsum(new))

    def _draw_attack(self, attack, shares, y):
        marker, color, label = MARKS[attack]
        return self.ax_.plot(
            shares, y, marker, color=color, label=label, markersize=7, markeredgecolor="white",
            markeredgewidth=0.8, clip_on=False,
        )[0]

    def _describe_metric(self):
        if self.metric.startswith("fpr"):
            return f"OOD accepted where {self.metric[3:]} % of ID are ({self.metric})"
        return {"auroc": "AUROC", "aupr_in": "AUPR-in", "aupr_out": "AUPR-out"}[self.metric]


def _row_name(row):
    return row if isinstance(row, str) else " · ".join(row)


def _check_report(report):
    index = getattr(report, "index", None)
    if list(getattr(index, "names", ())) != ["attack", "set"]:
        raise TypeError(
            "report must be the frame that evaluate_robustness returns, indexed by attack and "
            f"set, or a dict of such frames; got {type(report).__name__}."
        )


def _check_metric(metric, reports):
    """Return the column asked for, which all reports must have."""
    columns = [[c for c in each.columns if _is_metric(c)] for each in reports.values()]
    if metric is None:
        metric = next(c for c in columns[0] if c.startswith("fpr"))
    for name, there in zip(reports, columns, strict=True):
        if metric not in there:
            of = "" if name is None else f" of {name!r}"
            raise ValueError(f"metric must be a column of the report{of}, {there}; got {metric!r}.")
    return metric


def _is_metric(column):
    return column in METRICS or column.startswith("fpr")


def _by_row(reports, metric):
    """Return one row a set and detector, one column an attack."""
    import pandas as pd  # there is a frame, so there is pandas

    first = next(iter(reports.values()))
    attacks, sets = (list(first.index.unique(level)) for level in ("attack", "set"))
    for name, report in reports.items():
        if set(report.index) != set(first.index):
            raise ValueError(
                f"the reports must have the same attacks and sets; that of {name!r} differs from "
                "the first."
            )
    if len(sets) == 2:  # one set, which is its own mean
        sets.remove("mean")
    rows = {
        (name if detector is None else (name, detector)): report[metric].xs(name, level="set")
        for name in sets
        for detector, report in reports.items()
    }
    return pd.DataFrame(rows).T[attacks].rename_axis(columns=None)
