"""False-positive rates at several true-positive rates, as a table in colours."""

import numpy as np

from ..metrics._curve import Curve
from ..metrics._protocols import check_positive, check_protocol, check_tpr, operating_point
from ._matplotlib import ink_on, open_axes, require_matplotlib
from ._scores import read_scores, score_sets

LEVELS = (0.8, 0.9, 0.95, 0.99)


class FPRAtTPRDisplay:
    """A table of false-positive rates: a row for each set, a column for each true-positive rate.

    Make it by ``from_detector`` or ``from_scores``. The parameters are kept as attributes.

    Parameters
    ----------
    fpr : ndarray of shape (n_sets, n_levels)
        False-positive rates in [0, 1]; of several sets the last row is their mean.
    tpr : sequence of float
        The true-positive rates of the columns.
    names : list of str
        The names of the rows.
    positive : {"id", "ood"}, default="id"
        Class counted as positive.

    Attributes
    ----------
    im_ : matplotlib.image.AxesImage
        The colours.
    text_ : ndarray of matplotlib.text.Text of shape (n_sets, n_levels)
        The rates, in percent.
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure

    See Also
    --------
    skood.metrics.fpr_at_tpr : One of the numbers.
    ROCDisplay : All of them as a curve.

    Notes
    -----
    Each column has a threshold of its own, which says what it costs to accept (with
    ``positive="id"``) more of the ID rows.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.plotting import FPRAtTPRDisplay
    >>> rng = np.random.default_rng(0)
    >>> sets = {"near": rng.normal(1, size=400), "far": rng.normal(-1, size=400)}
    >>> display = FPRAtTPRDisplay.from_scores(rng.normal(2, size=500), sets, tpr=(0.8, 0.95))
    >>> display.names, display.fpr.round(2).tolist()
    (['near', 'far', 'mean'], [[0.42, 0.68], [0.01, 0.06], [0.21, 0.37]])
    """

    def __init__(self, *, fpr, tpr, names, positive="id"):
        self.fpr = fpr
        self.tpr = tpr
        self.names = names
        self.positive = positive

    @classmethod
    def from_detector(
        cls, detector, X_in, X_ood, *, tpr=LEVELS, positive=None, protocol=None, ax=None
    ):
        """Draw the table of a detector.

        Parameters
        ----------
        detector : estimator
            Fitted, with ``score_samples`` (higher = more in-distribution). Each set is scored once.
        X_in : array-like of shape (n_in, *input_shape)
            In-distribution (ID) test rows.
        X_ood : dict of str to array-like, or array-like
            Out-of-distribution (OOD) test sets by name; a bare array is named "ood".
        tpr, positive, protocol, ax
            As in ``from_scores``.

        Returns
        -------
        display : FPRAtTPRDisplay
            Drawn.

        Raises
        ------
        TypeError
            If `detector` lacks ``score_samples``, or an argument is of another type.
        ValueError
            If a set is empty or named "mean", a score NaN or infinite, or an argument outside its
            range.
        """
        require_matplotlib(f"an {cls.__name__}", ax)
        scores = score_sets(detector, X_in, X_ood, with_mean=True)
        return cls._from_scores(*scores, tpr, positive, protocol).plot(ax)

    @classmethod
    def from_scores(
        cls, scores_in, scores_ood, *, tpr=LEVELS, positive=None, protocol=None, ax=None
    ):
        """Draw the table of scores.

        Parameters
        ----------
        scores_in : array-like of shape (n_in,)
            Scores of in-distribution rows, higher = more in-distribution.
        scores_ood : dict of str to array-like of shape (n_ood,), or array-like
            Scores of out-of-distribution sets by name; a bare array is named "ood".
        tpr : sequence of float in (0, 1], default=(0.8, 0.9, 0.95, 0.99)
            True-positive rates of the columns.
        positive : {"id", "ood"}, optional
            Class counted as positive. By default ``"id"``, or that of the `protocol`.
        protocol : {"openood", "hendrycks", "atom"}, optional
            Published rule, see `skood.metrics.fpr_at_tpr`.
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None: on a new figure.

        Returns
        -------
        display : FPRAtTPRDisplay
            Drawn.

        Raises
        ------
        TypeError
            If scores are no numbers, or an argument is of another type.
        ValueError
            If a set is empty or named "mean", a score NaN or infinite, or an argument outside its
            range.
        """
        require_matplotlib(f"an {cls.__name__}", ax)
        scores = read_scores(scores_in, scores_ood, with_mean=True)
        return cls._from_scores(*scores, tpr, positive, protocol).plot(ax)

    @classmethod
    def _from_scores(cls, scores_in, scores_ood, tpr, positive, protocol):
        levels = [check_tpr(level) for level in np.atleast_1d(tpr)]
        if not levels:
            raise ValueError("tpr is empty; pass at least one true-positive rate.")
        positive = check_positive(positive, check_protocol(protocol))
        curves = [Curve.from_scores(scores_in, scores) for scores in scores_ood.values()]
        fpr = np.array([
            [operating_point(curve, level, positive, protocol)[1] for level in levels]
            for curve in curves
        ])
        names = list(scores_ood)
        if len(names) > 1:
            names, fpr = [*names, "mean"], np.vstack([fpr, fpr.mean(axis=0)])
        return cls(fpr=fpr, tpr=levels, names=names, positive=positive)

    def plot(self, ax=None, *, cmap="Blues"):
        """Draw the table.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None: on a new figure.
        cmap : str or matplotlib Colormap, default="Blues"
            Colours from an FPR of 0 to one of 1.

        Returns
        -------
        display : FPRAtTPRDisplay
            This one, with the artists as attributes.
        """
        n_rows, n_columns = self.fpr.shape
        size = (2.2 + 0.9 * n_columns, 1.3 + 0.45 * n_rows)
        self.ax_, self.figure_ = open_axes(ax, "an FPRAtTPRDisplay", size)
        self.im_ = self.ax_.imshow(self.fpr, cmap=cmap, vmin=0, vmax=1, aspect="auto")
        self.text_ = np.empty(self.fpr.shape, dtype=object)
        for place, share in np.ndenumerate(self.fpr):
            ink = ink_on(self.im_.cmap(self.im_.norm(share)))
            self.text_[place] = self.ax_.text(
                *place[::-1], f"{100 * share:.1f}", ha="center", va="center", color=ink
            )
        self._name_axes(n_rows, n_columns)
        return self

    def _name_axes(self, n_rows, n_columns):
        kept, taken, verb = (
            ("ID", "OOD", "accepted") if self.positive == "id" else ("OOD", "ID", "flagged")
        )
        self.ax_.set_xticks(range(n_columns), [f"{100 * level:g} %" for level in self.tpr])
        self.ax_.set_yticks(range(n_rows), self.names)
        self.ax_.set(xlabel=f"{kept} {verb} (true-positive rate)")
        self.ax_.set_title(f"{taken} {verb} (false-positive rate), %", fontsize="medium")
        self.ax_.tick_params(length=0)
        self.ax_.spines[:].set_visible(False)
        self.ax_.set_xticks(np.arange(n_columns - 1) + 0.5, minor=True)
        self.ax_.set_yticks(np.arange(n_rows - 1) + 0.5, minor=True)
        self.ax_.grid(which="minor", color="white", linewidth=2)
        self.ax_.tick_params(which="minor", length=0)
        if n_rows > 1 and self.names[-1] == "mean":
            self.ax_.axhline(n_rows - 1.5, color="black", linewidth=1.2)
