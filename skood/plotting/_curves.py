"""What the curves over all thresholds share: one line a set, and the point at one TPR."""

from abc import ABC, abstractmethod

import numpy as np

from ..metrics._curve import Curve
from ..metrics._protocols import EXACT, check_positive, check_tpr, first_reaching
from ._matplotlib import GRID, hide_spines, line_options, open_axes, require_matplotlib
from ._scores import read_scores, score_sets

SIDES = {"id": "ID", "ood": "OOD"}
OTHER = {"id": "OOD", "ood": "ID"}


class CurveDisplay(ABC):
    """Base of the displays of curves; a subclass computes its lines and names its axes."""

    @classmethod
    def from_detector(
        cls, detector, X_in, X_ood, *, positive="id", marked_tpr=0.95, ax=None, name=None,
        curve_kwargs=None, plot_chance_level=False,
    ):
        """Draw the curves of a detector.

        Parameters
        ----------
        detector : estimator
            Fitted, with ``score_samples`` (higher = more in-distribution). Each set is scored once.
        X_in : array-like of shape (n_in, *input_shape)
            In-distribution (ID) test rows.
        X_ood : dict of str to array-like, or array-like
            Out-of-distribution (OOD) test sets by name; a bare array is named "ood".
        positive : {"id", "ood"}, default="id"
            Class counted as positive, as in `skood.metrics`.
        marked_tpr : float in (0, 1] or None, default=0.95
            True-positive rate of the point that is marked on each line; None marks none.
        ax, name, curve_kwargs, plot_chance_level
            As in ``plot``.

        Returns
        -------
        display
            Drawn.

        Raises
        ------
        TypeError
            If `detector` lacks ``score_samples``, or an argument is of another type.
        ValueError
            If a set is empty, a score NaN or infinite, or an argument outside its range.
        """
        require_matplotlib(f"a {cls.__name__}", ax)
        scores = score_sets(detector, X_in, X_ood)
        display = cls._from_scores(*scores, positive, marked_tpr)
        return display.plot(
            ax, name=name, curve_kwargs=curve_kwargs, plot_chance_level=plot_chance_level
        )

    @classmethod
    def from_scores(
        cls, scores_in, scores_ood, *, positive="id", marked_tpr=0.95, ax=None, name=None,
        curve_kwargs=None, plot_chance_level=False,
    ):
        """Draw the curves of scores.

        Parameters
        ----------
        scores_in : array-like of shape (n_in,)
            Scores of in-distribution rows, higher = more in-distribution.
        scores_ood : dict of str to array-like of shape (n_ood,), or array-like
            Scores of out-of-distribution sets by name; a bare array is named "ood".
        positive : {"id", "ood"}, default="id"
            Class counted as positive, as in `skood.metrics`.
        marked_tpr : float in (0, 1] or None, default=0.95
            True-positive rate of the point that is marked on each line; None marks none.
        ax, name, curve_kwargs, plot_chance_level
            As in ``plot``.

        Returns
        -------
        display
            Drawn.

        Raises
        ------
        TypeError
            If scores are no numbers, or an argument is of another type.
        ValueError
            If a set is empty, a score NaN or infinite, or an argument outside its range.
        """
        require_matplotlib(f"a {cls.__name__}", ax)
        display = cls._from_scores(*read_scores(scores_in, scores_ood), positive, marked_tpr)
        return display.plot(
            ax, name=name, curve_kwargs=curve_kwargs, plot_chance_level=plot_chance_level
        )

    @classmethod
    def _from_scores(cls, scores_in, scores_ood, positive, marked_tpr):
        positive = check_positive(positive, EXACT)
        marked_tpr = None if marked_tpr is None else check_tpr(marked_tpr, "marked_tpr")
        columns = {}
        for name, scores in scores_ood.items():
            for key, value in cls._measure(scores_in, scores, positive, marked_tpr).items():
                columns.setdefault(key, {})[name] = value
        return cls(**columns, positive=positive, marked_tpr=marked_tpr)

    @classmethod
    @abstractmethod
    def _measure(cls, scores_in, scores, positive, marked_tpr):
        """Return what ``__init__`` takes by set, for one set."""

    # ---- what a subclass says of its lines

    @abstractmethod
    def _xy(self, name):
        """Return the coordinates of the line of one set."""

    @abstractmethod
    def _label(self, name):
        """Return the numbers of one set, as the legend has them."""

    @abstractmethod
    def _draw_chance_level(self, options):
        """Draw the line of a detector that guesses."""

    @abstractmethod
    def _name_axes(self):
        """Say what the axes show."""

    # ---- drawing

    def plot(self, ax=None, *, name=None, curve_kwargs=None, plot_chance_level=False):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; on axes that already have curves the next colours are taken, so that
            several detectors can be compared. None: on a new figure.
        name : str, default=None
            Name of the detector, which the legend puts before the names of the sets.
        curve_kwargs : dict or list of dict, default=None
            Options of ``Axes.plot`` for all lines, or for each set's.
        plot_chance_level : bool, default=False
            Whether to draw what scores without any information would give.

        Returns
        -------
        display
            This one, with the artists as attributes.
        """
        self.ax_, self.figure_ = open_axes(ax, f"a {type(self).__name__}")
        names = list(self.operating_point)
        options = dict(zip(names, line_options(self.ax_, len(names), curve_kwargs), strict=True))
        self.line_, self.point_ = {}, {}
        for each in names:
            self._draw_curve(each, name, options[each])
        self.chance_level_ = self._draw_chance_level(options) if plot_chance_level else None
        self._name_axes()
        self.ax_.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        self.ax_.grid(**GRID)
        self.ax_.set_axisbelow(True)
        hide_spines(self.ax_)
        self.ax_.legend(loc="lower right" if self._rises else "lower left", fontsize="small")
        return self

    def _draw_curve(self, name, detector_name, options):
        label = f"{_title(name, detector_name, len(self.operating_point))}: {self._label(name)}"
        options = {"label": label, "drawstyle": self._drawstyle, **options}
        (self.line_[name],) = self.ax_.plot(*self._xy(name), **options)
        if self.operating_point[name] is not None:
            (self.point_[name],) = self.ax_.plot(
                *self.operating_point[name], "o", color=self.line_[name].get_color(),
                markeredgecolor="white", markersize=8, zorder=3, clip_on=False,
            )


def _title(name, detector_name, n_sets):
    if detector_name is None:
        return name
    return detector_name if n_sets == 1 and name == "ood" else f"{detector_name}, {name}"


def with_positive(scores_in, scores_ood, positive):
    """Return labels, 1 for the positive class and 0 for the other, and scores that rise with it."""
    is_in = np.repeat([1, 0], [len(scores_in), len(scores_ood)])
    scores = np.concatenate([scores_in, scores_ood])
    return (is_in, scores) if positive == "id" else (1 - is_in, -scores)


def counts_at(scores_in, scores_ood, positive, tpr):
    """Return the curve of all thresholds, and true and false positives at a TPR (or None)."""
    curve = Curve.from_scores(scores_in, scores_ood)
    if tpr is None:
        return curve, None
    tp, fp = curve.accepted(positive)
    i, _ = first_reaching(tp, fp, tpr)
    return curve, (int(tp[i]), int(fp[i]))
