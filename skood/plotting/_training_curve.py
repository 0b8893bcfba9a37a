"""The course of a training: columns of ``history_`` over the epochs, its phases kept apart."""

from numbers import Real

import numpy as np

from ._matplotlib import GRID, GUIDE, hide_spines, line_options, open_axes, require_matplotlib

LOSS = "train_loss"
_MARKED = 40  # epochs up to which each has a marker


class TrainingCurveDisplay:
    """The loss, or other numbers of a training, over its epochs.

    Make it by ``from_detector`` or ``from_history``. The parameters are kept as attributes.

    Parameters
    ----------
    values : dict of str to ndarray of shape (n_epochs,)
        Numbers of each epoch by label, NaN where an epoch has none.
    phases : list of str
        The phase of each epoch.

    Attributes
    ----------
    line_ : dict of str to matplotlib.lines.Line2D
        A line for each label, broken (by a NaN) between phases.
    border_ : list of matplotlib.lines.Line2D
        What stands between phases.
    text_ : list of matplotlib.text.Text
        The names of the phases, if there are several.
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure

    See Also
    --------
    skood.retuning.IntermediateStage : Measures accuracy and detection after each epoch.

    Notes
    -----
    A loss of one phase cannot be compared with that of another, so no line joins them.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import EnergyExposureDetector
    >>> from skood.plotting import TrainingCurveDisplay
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) + 4 * y[:, None]
    >>> detector = EnergyExposureDetector(max_epochs=3, random_state=0)
    >>> detector = detector.fit(X, y, X_aux=(rng.uniform(-9, 9, size=(200, 2)),))
    >>> display = TrainingCurveDisplay.from_detector(detector)
    >>> [text.get_text() for text in display.text_], len(display.values["train_loss"])
    (['pretrain', 'exposure'], 6)
    """

    def __init__(self, *, values, phases):
        self.values = values
        self.phases = phases

    @classmethod
    def from_detector(cls, detector, *, columns=LOSS, ax=None, name=None, curve_kwargs=None):
        """Draw the training of a detector.

        Parameters
        ----------
        detector : estimator
            Fitted, with ``history_``.
        columns, ax, name, curve_kwargs
            As in ``from_history``.

        Returns
        -------
        display : TrainingCurveDisplay
            Drawn.

        Raises
        ------
        TypeError
            If `detector` has no ``history_``, or an argument is of another type.
        ValueError
            If the history is empty or a column is not there or holds no numbers.
        """
        if not hasattr(detector, "history_"):
            raise TypeError(
                f"detector must be fitted and have history_, got {type(detector).__name__}."
            )
        return cls.from_history(
            detector.history_, columns=columns, ax=ax, name=name, curve_kwargs=curve_kwargs
        )

    @classmethod
    def from_history(cls, history, *, columns=LOSS, ax=None, name=None, curve_kwargs=None):
        """Draw a history.

        Parameters
        ----------
        history : list of dict
            One an epoch, as the ``history_`` of a detector.
        columns : str, sequence of str, or dict of str to str, default="train_loss"
            Columns of numbers to draw; a dict gives each its label. Epochs without the column are
            left out.
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None: on a new figure.
        name : str, default=None
            Name of the detector, which the legend puts before the labels.
        curve_kwargs : dict or list of dict, default=None
            Options of ``Axes.plot`` for all lines, or for each column's.

        Returns
        -------
        display : TrainingCurveDisplay
            Drawn.

        Raises
        ------
        TypeError
            If the history is no list of dicts.
        ValueError
            If the history is empty or a column is not there or holds no numbers.
        """
        require_matplotlib(f"a {cls.__name__}", ax)
        rows = _check_history(history)
        columns = _labelled(columns)
        values = {label: _read(rows, column) for column, label in columns.items()}
        phases = [str(row.get("phase", "")) for row in rows]
        display = cls(values=values, phases=phases)
        return display.plot(ax, name=name, curve_kwargs=curve_kwargs)

    def plot(self, ax=None, *, name=None, curve_kwargs=None):
        """Draw the lines.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; on axes that already have curves the next colours are taken. None: on
            a new figure.
        name : str, default=None
            Name of the detector, which the legend puts before the labels.
        curve_kwargs : dict or list of dict, default=None
            Options of ``Axes.plot`` for all lines, or for each column's.

        Returns
        -------
        display : TrainingCurveDisplay
            This one, with the artists as attributes.
        """
        self.ax_, self.figure_ = open_axes(ax, "a TrainingCurveDisplay", (6.5, 3.6))
        options = line_options(self.ax_, len(self.values), curve_kwargs)
        marker = {"marker": "o", "markersize": 3.5} if len(self.phases) <= _MARKED else {}
        starts = _starts(self.phases)
        epochs = _broken(np.arange(1.0, len(self.phases) + 1), starts, gap=-0.5)
        self.line_ = {}
        for each, (label, values) in zip(options, self.values.items(), strict=True):
            title = label if name is None else name if len(options) == 1 else f"{name}, {label}"
            (self.line_[label],) = self.ax_.plot(
                epochs, _broken(values, starts), **{"label": title, **marker, **each}
            )
        self._draw_phases(starts)
        self._name_axes(name)
        return self

    def _draw_phases(self, starts):
        self.border_ = [
            self.ax_.axvline(start + 0.5, linestyle=":", **GUIDE) for start in starts
        ]
        begins, ends = [0, *starts], [*starts, len(self.phases)]
        self.text_ = [
            self.ax_.text(
                (begin + end + 1) / 2, 1.02, self.phases[begin], ha="center", color="0.5",
                fontsize="small", transform=self.ax_.get_xaxis_transform(),
            )
            for begin, end in zip(begins, ends, strict=True)
            if starts
        ]

    def _name_axes(self, name):
        from matplotlib.ticker import MaxNLocator

        self.ax_.set_xlabel("epoch")
        self.ax_.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        self.ax_.grid(**GRID)
        self.ax_.set_axisbelow(True)
        hide_spines(self.ax_)
        if len(self.values) == 1:
            self.ax_.set_ylabel(next(iter(self.values)))
        if len(self.values) > 1 or name is not None:
            self.ax_.legend(fontsize="small")


def _check_history(history):
    if not isinstance(history, list | tuple) or not all(isinstance(row, dict) for row in history):
        raise TypeError(
            "history must be a list of dicts, one an epoch, as the history_ of a detector; got "
            f"{type(history).__name__}."
        )
    if not history:
        raise ValueError(
            "history is empty: a detector that reads a network as it is trains no epoch. Draw the "
            "history_ of the detector that trained."
        )
    return history


def _labelled(columns):
    """Return the columns asked for, and the label of each."""
    if isinstance(columns, str):
        columns = [columns]
    columns = dict(columns) if isinstance(columns, dict) else {name: name for name in columns}
    if not columns:
        raise ValueError("columns is empty; name at least one column of history.")
    return columns


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool)


def _read(rows, column):
    """Return the numbers of a column, NaN where an epoch has none."""
    there = [row[column] for row in rows if column in row]
    if not there or not all(_is_number(value) for value in there):
        numeric = dict.fromkeys(k for row in rows for k, v in row.items() if _is_number(v))
        raise ValueError(
            f"columns must name numbers of history, which are {', '.join(numeric)}; "
            f"{column!r} is {'no number' if there else 'not there'}."
        )
    return np.array([row.get(column, np.nan) for row in rows], dtype=np.float64)


def _starts(phases):
    """Return the rows at which another phase begins."""
    return [i for i in range(1, len(phases)) if phases[i] != phases[i - 1]]


def _broken(values, starts, gap=None):
    """Insert, before each start of a phase, a NaN into y or (gap) a place into x."""
    return np.insert(values, starts, np.nan if gap is None else values[starts] + gap)
