"""The images a detector is most wrong about: rows at the wrong ends of the scores."""

import numpy as np

from .._numbers import check_integer
from ._images import check_images, check_pairs, read_images, rows_by_name, take
from ._matplotlib import ID_COLOR, ood_color, open_axes, percent, require_matplotlib
from ._scores import ID, by_name, read_scores, read_threshold, score_sets, threshold_of

_STEP_X, _STEP_Y = 1.12, 1.5  # from one image to the next, in widths and heights of an image
_LONGEST = 6  # letters of a class that leave room for a score on the same line, below an image


class SurestMistakesDisplay:
    """For each set a row of images: ID ones of lowest score, OOD ones of highest score.

    Make it by ``from_detector`` or ``from_scores``. The parameters are kept as attributes.

    Parameters
    ----------
    index : dict of str to ndarray of int of shape (n_shown,)
        Which rows of each set are shown, "in-distribution" first, the surest mistake first.
    images : dict of str to ndarray of float32 of shape (n_shown, C, H, W)
        Those rows, with 1 (grey) or 3 channels (RGB), in [0, 1].
    scores : dict of str to ndarray of shape (n_shown,)
        Their scores.
    threshold : float or None, default=None
        Scores from here on are accepted.
    wrong : dict of str to float, default=None
        Share of each set that is on the wrong side of the threshold.
    classes : dict of str to ndarray of shape (n_shown,), default=None
        The class that each is taken for.

    Attributes
    ----------
    images_ : dict of str to list of matplotlib.image.AxesImage
        What is drawn of each set.
    text_ : dict of str to list of matplotlib.text.Text
        What is written below each image: the class it is taken for, if known, and its score; grey
        where the decision is right after all.
    ax_ : matplotlib.axes.Axes
    figure_ : matplotlib.figure.Figure

    See Also
    --------
    ScoreHistogramDisplay : Where such scores lie among the others.

    Examples
    --------
    >>> from skood import OutlierExposureDetector
    >>> from skood.datasets import load_digits_ood
    >>> from skood.plotting import SurestMistakesDisplay
    >>> digits = load_digits_ood()
    >>> detector = OutlierExposureDetector(max_epochs=1, random_state=0)
    >>> detector = detector.fit(digits.X_train, digits.y_train, X_aux=(digits.X_aux,))
    >>> display = SurestMistakesDisplay.from_detector(
    ...     detector, digits.X_test, {"letters": digits.ood["letters"]}, n_images=5
    ... )
    >>> {name: images.shape for name, images in display.images.items()}
    {'in-distribution': (5, 1, 8, 8), 'letters': (5, 1, 8, 8)}
    >>> lowest = digits.X_test[detector.score_samples(digits.X_test).argmin()]
    >>> bool((display.images["in-distribution"][0] * 255 == lowest).all())
    True
    """

    def __init__(self, *, index, images, scores, threshold=None, wrong=None, classes=None):
        self.index = index
        self.images = images
        self.scores = scores
        self.threshold = threshold
        self.wrong = wrong
        self.classes = classes

    @classmethod
    def from_detector(
        cls, detector, X_in, X_ood, *, n_images=8, threshold="auto", to_images=None, ax=None
    ):
        """Draw what a detector is most wrong about.

        Parameters
        ----------
        detector : estimator
            Fitted, with ``score_samples`` (higher = more in-distribution). Each set is scored once.
        X_in : array-like of shape (n_in, *input_shape)
            In-distribution (ID) test images.
        X_ood : dict of str to array-like, or array-like
            Out-of-distribution (OOD) test sets by name; a bare array is named "ood".
        threshold : "auto", float or None, default="auto"
            What decides which of them are mistakes: ``offset_`` of the detector, or of the one
            inside a pipeline or search, if it has one; a score; or nothing.
        n_images, to_images, ax
            As in ``from_scores``.

        Returns
        -------
        display : SurestMistakesDisplay
            Drawn. What each is taken for is written below it if the detector has
            ``predict_class``.

        Raises
        ------
        TypeError
            If `detector` lacks ``score_samples``, or an argument is of another type.
        ValueError
            If rows are no images, a set is empty, a score NaN or infinite, or an argument outside
            its range.
        """
        require_matplotlib(f"a {cls.__name__}", ax)
        threshold, sets = threshold_of(detector, threshold), rows_by_name(X_in, X_ood)
        check_images(sets, to_images)
        scores = score_sets(detector, X_in, X_ood)
        classify = getattr(detector, "predict_class", None)
        display = cls._from_scores(scores, sets, n_images, threshold, to_images, classify)
        return display.plot(ax)

    @classmethod
    def from_scores(
        cls, scores_in, scores_ood, X_in, X_ood, *, n_images=8, threshold=None, to_images=None,
        ax=None,
    ):
        """Draw what scores are most wrong about.

        Parameters
        ----------
        scores_in : array-like of shape (n_in,)
            Scores of in-distribution rows, higher = more in-distribution.
        scores_ood : dict of str to array-like of shape (n_ood,), or array-like
            Scores of out-of-distribution sets by name; a bare array is named "ood".
        X_in : array-like of shape (n_in, C, H, W)
            The images that were scored, grey (C = 1) or RGB (C = 3), uint8 or floats in [0, 1].
        X_ood : dict of str to array-like, or array-like
            Those of the out-of-distribution sets, by the same names.
        n_images : int, default=8
            Images of each set, at least 1; of smaller sets all.
        threshold : float or None, default=None
            Scores from here on are accepted; what is on the right side is written in grey.
        to_images : callable, default=None
            ``to_images(rows) -> images`` as said above, for rows that are something else: undoes
            a normalisation, gives table rows their picture. Called for the rows shown.
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None: on a new figure.

        Returns
        -------
        display : SurestMistakesDisplay
            Drawn.

        Raises
        ------
        TypeError
            If scores are no numbers, or an argument is of another type.
        ValueError
            If rows are no images, a set is empty or its images are not as many as its scores, a
            score is NaN or infinite, or an argument outside its range.
        """
        require_matplotlib(f"a {cls.__name__}", ax)
        scores, sets = read_scores(scores_in, scores_ood), rows_by_name(X_in, X_ood)
        check_images(sets, to_images)
        threshold = read_threshold(threshold)
        return cls._from_scores(scores, sets, n_images, threshold, to_images, None).plot(ax)

    @classmethod
    def _from_scores(cls, scores, sets, n_images, threshold, to_images, classify):
        check_integer("n_images", n_images, 1)
        scores = by_name(*scores)
        check_pairs(scores, sets)
        index = {name: _surest(s, name == ID, n_images) for name, s in scores.items()}
        rows = {name: take(sets[name], i) for name, i in index.items()}
        wrong = None if threshold is None else {
            name: float(np.mean((s < threshold) == (name == ID))) for name, s in scores.items()
        }
        return cls(
            index=index, threshold=threshold, wrong=wrong,
            images={name: read_images(each, to_images, name) for name, each in rows.items()},
            scores={name: scores[name][i] for name, i in index.items()},
            classes=classify and {name: classify(each) for name, each in rows.items()},
        )

    def plot(self, ax=None):
        """Draw the images.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw; its frame and ticks are taken away. None: on a new figure.

        Returns
        -------
        display : SurestMistakesDisplay
            This one, with the artists as attributes.
        """
        n_columns = max(len(images) for images in self.images.values())
        size = (1.6 + 0.95 * n_columns, 0.4 + 1.3 * len(self.images))
        self.ax_, self.figure_ = open_axes(ax, "a SurestMistakesDisplay", size)
        self.images_, self.text_ = {}, {}
        for row, name in enumerate(self.images):
            self._draw_row(row, name, ID_COLOR if row == 0 else ood_color(row - 1))
        # Not centred: the layout leaves room for the names beside the left edge, where they stay.
        self.ax_.set(
            xlim=(-0.05, _STEP_X * n_columns), ylim=(0.55 - _STEP_Y * len(self.images), 1.05),
            xticks=[], aspect="equal", anchor="W",
        )
        self.ax_.set_yticks(0.5 - _STEP_Y * np.arange(len(self.images)), self._row_titles())
        self.ax_.tick_params(axis="y", length=0)
        self.ax_.spines[:].set_visible(False)
        return self

    def _draw_row(self, row, name, color):
        self.images_[name], self.text_[name] = [], []
        for column, image in enumerate(self.images[name]):
            left, bottom = _STEP_X * column, -_STEP_Y * row
            self.images_[name].append(self.ax_.imshow(
                image[0] if len(image) == 1 else image.transpose(1, 2, 0), cmap="gray", vmin=0,
                vmax=1, extent=(left, left + 1, bottom, bottom + 1), interpolation="nearest",
            ))
            score = self.scores[name][column]
            self.text_[name].append(self.ax_.text(
                left + 0.5, bottom - 0.04, self._caption(name, column), ha="center", va="top",
                fontsize="small", color=color if self._is_wrong(name, score) else "0.55",
            ))

    def _caption(self, name, column):
        score = f"{self.scores[name][column]:.3g}"
        if self.classes is None:
            return score
        longest = max(len(str(each)) for classes in self.classes.values() for each in classes)
        between = ": " if longest <= _LONGEST else "\n"  # of all alike
        return f"{self.classes[name][column]}{between}{score}"

    def _is_wrong(self, name, score):
        return self.threshold is None or (score < self.threshold) == (name == ID)

    def _row_titles(self):
        titles = [f"{name}\n{'lowest' if name == ID else 'highest'} scores" for name in self.images]
        if self.wrong is None:
            return titles
        verbs = ("refused" if name == ID else "accepted" for name in self.images)
        return [
            f"{title}\n{percent(self.wrong[name])} {verb}"
            for title, name, verb in zip(titles, self.images, verbs, strict=True)
        ]


def _surest(scores, lowest, n_images):
    """Return the rows with the lowest or highest scores, the most extreme first."""
    return np.argsort(scores if lowest else -scores, kind="stable")[:n_images]
