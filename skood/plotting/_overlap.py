"""Auxiliary outliers beside the in-distribution rows that they resemble."""

import numpy as np

from .._numbers import check_integer
from ..overlap._rows import Rows
from ._matplotlib import require_matplotlib

_SHOWN = "X_in and X_aux must be images of 1 or 3 channels, uint8 or floats in [0, 1]"


class OverlapDisplay:
    """The nearest pairs of an outlier, above, and an in-distribution row, below.

    Parameters
    ----------
    pairs : pandas.DataFrame
        "aux_index", "in_index", "relative" and "is_identical", a row for each pair.
    images_aux, images_in : ndarray of shape (n_pairs, H, W) or (n_pairs, H, W, 3)
        In [0, 1].

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    axes_ : ndarray of matplotlib.axes.Axes of shape (2 * n_rows, n_columns)

    See Also
    --------
    skood.outlier_overlap : Finds the pairs.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import outlier_overlap
    >>> from skood.datasets import load_digits_ood
    >>> from skood.plotting import OverlapDisplay
    >>> digits = load_digits_ood()
    >>> X_in, X_aux = digits.X_train, np.concatenate([digits.X_aux, digits.X_train[:3]])
    >>> overlap = outlier_overlap(X_in, X_aux)
    >>> display = OverlapDisplay.from_overlap(overlap, X_in, X_aux, n_pairs=4)
    >>> display.pairs["is_identical"].tolist()
    [True, True, True, False]
    """

    def __init__(self, *, pairs, images_aux, images_in):
        self.pairs = pairs
        self.images_aux = images_aux
        self.images_in = images_in

    @classmethod
    def from_overlap(cls, overlap, X_in, X_aux, *, n_pairs=12, figure=None):
        """Draw the nearest pairs of an `Overlap`.

        Parameters
        ----------
        overlap : Overlap
            What `skood.outlier_overlap` returned.
        X_in, X_aux
            The images it was called with, uint8 or floats in [0, 1], grey or RGB. The rows shown
            are read, no others.
        n_pairs : int, default=12
            How many pairs, at least 1; of fewer outliers all.
        figure : matplotlib.figure.Figure, default=None
            Where to draw. None: on a new figure.

        Returns
        -------
        display : OverlapDisplay

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If rows are no images, or are not as many as `overlap` has seen.
        """
        check_integer("n_pairs", n_pairs, 1)
        rows_in, rows_aux = Rows(X_in, "X_in"), Rows(X_aux, "X_aux")
        if len(rows_aux) != len(overlap.distance) or len(rows_in) <= overlap.in_index.max():
            raise ValueError(
                f"X_in and X_aux must be those of the overlap, with {len(overlap.distance)} "
                f"outliers; got {len(rows_in)} and {len(rows_aux)} rows."
            )
        pairs = overlap.to_frame(n_pairs)
        images = _images(rows_aux, pairs["aux_index"]), _images(rows_in, pairs["in_index"])
        return cls(pairs=pairs, images_aux=images[0], images_in=images[1]).plot(figure)

    def plot(self, figure=None, *, n_columns=6):
        """Draw the pairs, a title with the relative distance above each.

        Parameters
        ----------
        figure : matplotlib.figure.Figure, default=None
            Where to draw. None: on a new figure.
        n_columns : int, default=6
            Pairs side by side, at least 1.

        Returns
        -------
        display : OverlapDisplay
        """
        check_integer("n_columns", n_columns, 1)
        n_columns = min(n_columns, len(self.pairs))
        n_rows = -(-len(self.pairs) // n_columns)
        self.figure_ = figure or _new_figure(1.3 * n_columns, 2.9 * n_rows)
        self.axes_ = self.figure_.subplots(2 * n_rows, n_columns, squeeze=False)
        for ax in self.axes_.flat:
            ax.set_axis_off()
        above, below = self.axes_[0::2].ravel(), self.axes_[1::2].ravel()
        for i, pair in enumerate(self.pairs.itertuples()):
            what = "identical" if pair.is_identical else f"{pair.relative:.2f}"
            _show(above[i], self.images_aux[i], f"{what}\naux {pair.aux_index}")
            _show(below[i], self.images_in[i], f"in {pair.in_index}")
        return self


def _images(rows, index):
    """Return rows as images with channels last, in [0, 1]."""
    images = rows.take(index.to_numpy()).numpy()
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"{_SHOWN}; got rows of shape {images.shape[1:]}.")
    if images.dtype == np.uint8:
        images = images / np.float32(255)
    elif images.min() < 0 or images.max() > 1:
        raise ValueError(f"{_SHOWN}; got values from {images.min():.3g} to {images.max():.3g}.")
    return images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1)


def _new_figure(width, height):
    pyplot = require_matplotlib("an OverlapDisplay")
    return pyplot.figure(figsize=(width, height), layout="constrained")


def _show(ax, image, title):
    ax.imshow(image, cmap="gray", vmin=0, vmax=1)
    ax.set_title(title, fontsize="small")
