"""Histograms of the scores of each set, and the threshold among them."""

import numpy as np

from ._bins import axis_of, counts_in, edges_of, logit_ticks
from ._matplotlib import ID_COLOR, hide_spines, ood_color, open_axes, percent, require_matplotlib
from ._scores import by_name, read_scores, read_threshold, score_sets, threshold_of

_TALLEST = 0.8  # of the distance between two rows


class ScoreHistogramDisplay:
    """A histogram of the scores of each set, one above the other, and the threshold.

    Make it by ``from_detector`` or ``from_scores``. The parameters are kept as attributes.

    Parameters
    ----------
    counts : dict of str to ndarray of int of shape (n_bins,)
        Rows of each set in each bin, "in-distribution" first. The outermost bins also hold what
        lies beyond them, so each sums up to the rows of its set.
    bin_edges : ndarray of shape (n_bins + 1,)
    threshold : float or None, default=None
        Scores from here on are accepted.
    accepted : dict of str to float, default=None
        Share of each set that is accepted.
    beyond : (bool, bool), default=(False, False)
        Whether scores lie below the first and above the last edge.
    scale : {"linear", "logit"}, default="linear"
        Scale of the axis of scores.

    Attributes
    ----------
    stairs_ : dict of str to matplotlib.patches.StepPatch
        The histogram of each set; the tallest bin of each is as high as those of the others.
    threshold_line_ : matplotlib.lines.Line2D or None
        Where ``threshold`` is.
    text_ : dict of str to matplotlib.text.Text
        What is accepted of each set.
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure

    See Also
    --------
    ROCDisplay : All thresholds at once.
    SurestMistakesDisplay : The images at the wrong ends.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.ensemble import IsolationForest
    >>> from skood.plotting import ScoreHistogramDisplay
    >>> rng = np.random.default_rng(0)
    >>> X, X_ood = rng.normal(size=(300, 2)), rng.normal(3, size=(100, 2))
    >>> detector = IsolationForest(contamination=0.05, random_state=0).fit(X)
    >>> display = ScoreHistogramDisplay.from_detector(detector, X, {"far": X_ood}, bins=20)
    >>> bool(display.threshold == detector.offset_)
    True
    >>> display.text_["in-distribution"].get_text(), int(display.counts["far"].sum())
    ('95.0 % accepted', 100)
    """

    def __init__(
        self, *, counts, bin_edges, threshold=None, accepted=None, beyond=(False, False),
        scale="linear",
    ):
        self.counts = counts
        self.bin_edges = bin_edges
        self.threshold = threshold
        self.accepted = accepted
        self.beyond = beyond
        self.scale = scale

    @classmethod
    def from_detector(
        cls, detector, X_in, X_ood, *, threshold="auto", bins=50, scale="linear", ax=None
    ):
        """Draw the scores of a detector.

        Parameters
        ----------
        detector : estimator
            Fitted, with ``score_samples`` (higher = more in-distribution). Each set is scored once.
        X_in : array-like of shape (n_in, *input_shape)
            In-distribution (ID) test rows.
        X_ood : dict of str to array-like, or array-like
            Out-of-distribution (OOD) test sets by name; a bare array is named "ood".
        threshold : "auto", float or None, default="auto"
            What is drawn as the threshold: ``offset_`` of the detector, or of the one inside a
            pipeline or search, if it has one; a score; or nothing.
        bins, scale, ax
            As in ``from_scores``.

        Returns
        -------
        display : ScoreHistogramDisplay
            Drawn.

        Raises
        ------
        TypeError
            If `detector` lacks ``score_samples``, or an argument is of another type.
        ValueError
            If a set is empty, a score NaN or infinite, or an argument outside its range.
        """
        require_matplotlib(f"a {cls.__name__}", ax)
        threshold = threshold_of(detector, threshold)
        scores = score_sets(detector, X_in, X_ood)
        return cls._from_scores(*scores, threshold, bins, scale).plot(ax)

    @classmethod
    def from_scores(
        cls, scores_in, scores_ood, *, threshold=None, bins=50, scale="linear", ax=None
    ):
        """Draw scores.

        Parameters
        ----------
        scores_in : array-like of shape (n_in,)
            Scores of in-distribution rows, higher = more in-distribution.
        scores_ood : dict of str to array-like of shape (n_ood,), or array-like
            Scores of out-of-distribution sets by name; a bare array is named "ood".
        threshold : float or None, default=None
            Scores from here on are accepted.
        bins : int or array-like of shape (n_bins + 1,), default=50
            How many bins of equal width as drawn, at least 1, over the scores near the ID ones;
            or ascending edges. What lies beyond is counted in the outermost bins.
        scale : {"linear", "logit"}, default="linear"
            Scale of the axis; "logit" spreads probabilities that crowd at 0 and 1.
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None: on a new figure.

        Returns
        -------
        display : ScoreHistogramDisplay
            Drawn.

        Raises
        ------
        TypeError
            If scores are no numbers, or an argument is of another type.
        ValueError
            If a set is empty, a score NaN or infinite, or an argument outside its range.
        """
        require_matplotlib(f"a {cls.__name__}", ax)
        scores = read_scores(scores_in, scores_ood)
        return cls._from_scores(*scores, read_threshold(threshold), bins, scale).plot(ax)

    @classmethod
    def _from_scores(cls, scores_in, scores_ood, threshold, bins, scale):
        sets = by_name(scores_in, scores_ood)
        everything = np.concatenate(list(sets.values()))
        edges = edges_of(bins, everything, scores_in, threshold, axis_of(scale, everything))
        accepted = None if threshold is None else {
            name: float(np.mean(scores >= threshold)) for name, scores in sets.items()
        }
        return cls(
            counts={name: counts_in(edges, scores) for name, scores in sets.items()},
            bin_edges=edges, threshold=threshold, accepted=accepted, scale=scale,
            beyond=(bool(everything.min() < edges[0]), bool(everything.max() > edges[-1])),
        )

    def plot(self, ax=None):
        """Draw the histograms.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None: on a new figure.

        Returns
        -------
        display : ScoreHistogramDisplay
            This one, with the artists as attributes.
        """
        n_sets = len(self.counts)
        self.ax_, self.figure_ = open_axes(ax, "a ScoreHistogramDisplay", (7, 1.4 + 0.75 * n_sets))
        if self.scale == "logit":
            self.ax_.set_xscale("logit")
            self.ax_.set_xticks(*logit_ticks(self.bin_edges))
            self.ax_.minorticks_off()
        self.stairs_, self.text_ = {}, {}
        for row, (name, counts) in enumerate(self.counts.items()):
            self._draw_row(row, name, counts, ID_COLOR if row == 0 else ood_color(row - 1))
        self.threshold_line_ = None if self.threshold is None else self.ax_.axvline(
            self.threshold, color=self.ax_.xaxis.label.get_color(), linestyle="--", linewidth=1.2
        )
        self.ax_.set(ylim=(0.9 - n_sets, 1.05), xlim=self.bin_edges[[0, -1]])
        self.ax_.set_yticks(0.3 - np.arange(n_sets), list(self.counts))
        self.ax_.tick_params(axis="y", length=0)
        self.ax_.set_xlabel(self._describe_axis())
        hide_spines(self.ax_, "top", "right", "left")
        return self

    def _draw_row(self, row, name, counts, color):
        heights = _TALLEST * counts / counts.max()
        self.stairs_[name] = self.ax_.stairs(
            heights - row, self.bin_edges, baseline=-row, fill=True, color=color
        )
        self.ax_.axhline(-row, color="0.8", linewidth=0.8, zorder=0)
        if self.accepted is not None:
            self.text_[name] = self.ax_.text(
                1.01, 0.3 - row, f"{percent(self.accepted[name])} accepted", color=color,
                transform=self.ax_.get_yaxis_transform(), va="center",
            )

    def _describe_axis(self):
        dashed = "" if self.threshold is None else "; dashed: the threshold"
        ends = {
            (True, False): "\nthe leftmost bin holds all lower scores",
            (False, True): "\nthe rightmost bin holds all higher scores",
            (True, True): "\nthe outermost bins hold all that lies beyond",
        }
        return f"score (higher = more in-distribution{dashed})" + ends.get(tuple(self.beyond), "")
