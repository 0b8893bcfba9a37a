"""Which auxiliary outliers are copies of in-distribution data, to the bit or nearly."""

from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm

from .._numbers import check_integer, check_number
from ..metrics._intervals import check_share
from ._identical import Twins, hashes
from ._rows import Rows, check_names, comparable
from ._spaces import Bank, space

_QUERIES = 1024  # rows whose neighbours are looked for at a time
_BULK = 0.25, 0.5  # quantiles that the law of near rows is read off, above copies within X_in
_N_OWN = 2000  # in-distribution rows whose own distances are measured


@dataclass(frozen=True, eq=False)
class Overlap:
    """The nearest in-distribution row of each auxiliary outlier, and how near it is.

    Made by `outlier_overlap`. Every array has one entry for each row of X_aux, in its order, the
    sources of a tuple one after the other.

    Attributes
    ----------
    in_index : ndarray of int of shape (n_aux,)
        The nearest in-distribution row.
    distance : ndarray of float32 of shape (n_aux,)
        The distance between the two; 0 for equal rows.
    usual : ndarray of float32 of shape (n_aux,)
        The distance from that in-distribution row to its own k-th neighbour in X_in.
    is_identical : ndarray of bool of shape (n_aux,)
        Whether the two are equal to the last bit.
    threshold : float
        Share of the usual distance within which a row is a near-duplicate.
    space : {"pixels", "columns", "features"}
        Where distances are measured.
    """

    in_index: np.ndarray
    distance: np.ndarray
    usual: np.ndarray
    is_identical: np.ndarray
    threshold: float
    space: str

    @property
    def relative(self):
        """The distance in units of the usual one; near-duplicates have at most `threshold`."""
        zero = np.where(self.distance > 0, np.inf, 0)  # beside nothing but copies of one row
        return np.divide(self.distance, self.usual, out=zero, where=self.usual > 0)

    @property
    def is_near_duplicate(self):
        """Whether each row is a copy of an in-distribution row, identical ones among them."""
        return self.is_identical | (self.relative <= self.threshold)

    @property
    def keep(self):
        """The rows that are no copies: ``X_aux[overlap.keep]``."""
        return ~self.is_near_duplicate

    def to_frame(self, n=None):
        """Return the nearest pairs as a table, the nearest first.

        Parameters
        ----------
        n : int, default=None
            How many pairs; None: all near-duplicates.

        Returns
        -------
        pandas.DataFrame
            In the columns "aux_index", "in_index", "distance", "relative", "is_identical" and
            "is_near_duplicate".
        """
        import pandas as pd  # only a report needs it

        order = self.worst(n)
        return pd.DataFrame({
            "aux_index": order,
            "in_index": self.in_index[order],
            "distance": self.distance[order],
            "relative": self.relative[order],
            "is_identical": self.is_identical[order],
            "is_near_duplicate": self.is_near_duplicate[order],
        })

    def worst(self, n=None):
        """Return the numbers of the n nearest outliers, identical ones first; None: of all copies.

        Parameters
        ----------
        n : int, default=None

        Returns
        -------
        ndarray of int
        """
        if n is None:
            n = np.count_nonzero(self.is_near_duplicate)
        check_integer("n", n, 0)
        return np.lexsort((self.relative, ~self.is_near_duplicate, ~self.is_identical))[:n]

    def __repr__(self):
        return (
            f"<Overlap in {self.space}: {len(self.distance)} outliers, "
            f"{np.count_nonzero(self.is_identical)} identical to in-distribution rows, "
            f"{np.count_nonzero(self.is_near_duplicate & ~self.is_identical)} more nearly so>"
        )


def outlier_overlap(
    X_in, X_aux, *, detector=None, feature_layer=None, n_neighbors=5, ratio=0.5, share=0.01,
    verbose=False,
):
    """Find copies of in-distribution data among the auxiliary outliers.

    A detector that is trained on such outliers learns to refuse what it should know, and nothing
    tells. Look at the pairs before you train: `skood.plotting.OverlapDisplay` draws the worst.

    Parameters
    ----------
    X_in : array-like of shape (n_in, d) or (n_in, C, H, W)
        In-distribution rows, two at least; test rows among the outliers are as harmful as training
        rows. Array, memmap, tensor or frame. Images are uint8 or floats.
    X_aux : array-like, torch Dataset, or tuple of them
        Auxiliary outliers of X_in's sample shape. They are read block by block, never loaded whole.
    detector : fitted detector or torch.nn.Module, default=None
        Compare the features of its network, divided by their length. None: compare the rows
        themselves, see Notes. Of a pipeline pass the last step, and rows transformed by the others.
    feature_layer : str, default=None
        Name of the layer whose output are the features; None: the input of the last Linear layer.
    n_neighbors : int, default=5
        Which neighbour within X_in, k, tells the usual distance, at least 1; of fewer rows the
        last. More than copies of one row within X_in.
    ratio : float, default=0.5
        Part of the usual distance within which a row may be a near-duplicate, at least 0.
    share : float in (0, 1), default=0.01
        Of new in-distribution rows, how many may be taken for near-duplicates: it lowers the
        threshold below `ratio` where rows have few dimensions and are close by chance.
    verbose : bool, default=False
        Whether to show progress.

    Returns
    -------
    overlap : Overlap
        For each outlier its nearest in-distribution row; ``is_near_duplicate``, ``is_identical``,
        and ``keep``, the mask of those to train on; ``to_frame()`` lists the pairs.

    Raises
    ------
    ValueError
        If a set is empty, shapes or the names of frames' columns differ, a value is NaN or
        infinite, X_in has a single row, or a parameter is outside its range.
    TypeError
        If an argument cannot be read, or `detector` has no network.

    See Also
    --------
    skood.plotting.OverlapDisplay : The worst pairs side by side.

    Notes
    -----
    An outlier a, whose nearest in-distribution row is x, is a near-duplicate if
    ``||a - x|| <= threshold * ||x - x_k||``, with ``x_k`` the k-th neighbour of x within X_in. So
    the measure is how close in-distribution data lie to each other, and that right there: a sky is
    near any other sky, an animal in the grass is near nothing but its copies. A single distance for
    all would flag the skies first.

    The threshold is `ratio`, or less: the relative distances of in-distribution rows, each left
    out, follow ``P(relative <= t) ~ t ** D`` in D dimensions. D and the constant are read off their
    25 % and 50 % quantiles, which a few percent of copies within X_in move little, and the
    threshold is where `share` of the rows would lie.

    Images are compared as pictures of 8 x 8 boxes, each channel less its mean, and all of one
    contrast: brightness, contrast, noise, compression and a shift by a pixel hardly matter.
    Mirrored and cropped copies are not found; features find some, as far as the network does not
    see the difference. Tables are compared by columns of variance 1.

    Identical rows are found by a hash of 64 bits and then compared; 8-bit images and the same as
    floats in [0, 1] are identical, and so are floats that are equal in the lower of two precisions.
    Time is that of one matrix product, ``n_in * n_aux * d``. Held are the vectors of X_in (768
    bytes for an RGB image) and 17 bytes for each outlier, never a matrix of both.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import outlier_overlap
    >>> rng = np.random.default_rng(0)
    >>> X_in = rng.normal(size=(500, 8))
    >>> X_aux = rng.normal(3, size=(300, 8))
    >>> X_aux[7], X_aux[9] = X_in[42], X_in[43] + 0.01
    >>> overlap = outlier_overlap(X_in, X_aux)
    >>> overlap
    <Overlap in columns: 300 outliers, 1 identical to in-distribution rows, 1 more nearly so>
    >>> overlap.to_frame()[["aux_index", "in_index", "is_identical"]]
       aux_index  in_index  is_identical
    0          7        42          True
    1          9        43         False
    >>> X_aux[overlap.keep].shape
    (298, 8)
    """
    check_integer("n_neighbors", n_neighbors, 1)
    check_number("ratio", ratio, 0, strict=False)
    share = check_share("share", share)
    check_names(X_in, X_aux)
    rows_in, rows_aux = Rows(X_in, "X_in"), Rows(X_aux, "X_aux")
    if len(rows_in) < 2:
        raise ValueError("X_in must have two rows at least, to tell how far apart they are; got 1.")
    convert = comparable(rows_in, rows_aux)
    project, name = space(rows_in, detector, feature_layer)
    bank, twins = _read_in(rows_in, convert, project)
    in_index, distance, is_identical = _search(rows_aux, convert, project, bank, twins, verbose)
    usual = _usual(bank, in_index, n_neighbors)
    threshold = min(float(ratio), _share_within(_own_relative(bank, n_neighbors), share))
    return Overlap(in_index, distance, usual, is_identical, threshold, name)


def _read_in(rows, convert, project):
    """Return the `Bank` and the `Twins` of the in-distribution rows, of one pass over them."""
    keys, vectors = np.empty(len(rows), np.uint64), None
    for index in rows.blocks():
        block = rows.take(index)
        keys[index] = hashes(convert(block))
        part = project(block)
        if vectors is None:
            vectors = np.empty((len(rows), part.shape[1]), np.float32)
        vectors[index] = part
    return Bank(vectors), Twins(keys, lambda index: convert(rows.take(index)))


def _search(rows, convert, project, bank, twins, verbose):
    """Return the nearest in-distribution row of each outlier, its distance, and if it is a twin."""
    in_index, distance = np.empty(len(rows), np.int64), np.empty(len(rows), np.float32)
    is_identical = np.zeros(len(rows), bool)
    with tqdm(total=len(rows), desc="outlier_overlap", disable=not verbose) as bar:
        for index in rows.blocks():
            block = rows.take(index)
            queries = bank.centred(project(block))
            nearest, twin = bank.nearest(queries, 1)[:, 0], twins(convert(block))
            is_identical[index] = twin >= 0
            in_index[index] = np.where(twin >= 0, twin, nearest)
            distance[index] = np.where(twin >= 0, 0, bank.distances(queries, nearest))
            bar.update(len(index))
    return in_index, distance, is_identical


def _usual(bank, in_index, k):
    """Return the distance of in-distribution rows from their own k-th neighbour."""
    rows, place = np.unique(in_index, return_inverse=True)
    k = min(k, len(bank.vectors) - 1)
    usual = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _QUERIES):
        part = slice(start, start + _QUERIES)
        queries = bank.vectors[rows[part]]
        # One more: the row itself, or a copy of it, is the nearest.
        usual[part] = bank.distances(queries, bank.nearest(queries, k + 1)[:, k])
    return usual[place]


def _own_relative(bank, k):
    """Return the relative distances of some in-distribution rows, each as if it were not there."""
    rows = np.unique(np.linspace(0, len(bank.vectors) - 1, _N_OWN).astype(int))
    found = np.concatenate([
        bank.nearest(bank.vectors[part], 2)
        for part in np.array_split(rows, -(-len(rows) // _QUERIES))
    ])
    other = np.where(found[:, 0] == rows, found[:, 1], found[:, 0])
    distance = bank.distances(bank.vectors[rows], other)
    usual, next_one = _usual(bank, other, k), _usual(bank, other, k + 1)
    usual = np.where(distance <= usual, next_one, usual)  # it was itself among the k
    return distance[usual > 0] / usual[usual > 0]


def _share_within(relative, share):
    """Return the distance within which a share of rows lies, by the law of volumes."""
    low, high = np.quantile(relative, _BULK) if len(relative) else (0, 0)
    if low == 0:  # so many rows are copies that they say nothing of the others
        return np.inf
    one_over_dims = np.log(high / low) / np.log(_BULK[1] / _BULK[0])
    return low * (share / _BULK[0]) ** one_over_dims
