"""In which order the rows of an epoch come: pure functions from numbers of rows to row numbers."""

import numpy as np


def draw(n_rows, n, rng):
    """Draw ``n`` of ``n_rows`` row numbers without replacement; where they are too few, again."""
    again, rest = divmod(n, n_rows)
    passes = [rng.permutation(n_rows) for _ in range(again)]
    return np.concatenate([*passes, rng.choice(n_rows, size=rest, replace=False)])


def mixed(n_rows, blocks, window, rng):
    """Draw row numbers, none twice before all have come, by windows of neighbours.

    A file is read so in stretches, and its rows come mixed all the same: the windows are drawn in
    random order, and within a block, which holds many of them, so are the rows.

    Parameters
    ----------
    n_rows : int
        Rows that there are.
    blocks : sequence of int
        Rows of each block, together as many as are drawn.
    window : int
        Rows of a window.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of int64 of shape (sum(blocks),)
        Any row is as likely at any place.
    """
    ends = np.cumsum(blocks)
    n = int(ends[-1])
    sizes = [min(n_rows, n - start) for start in range(0, n, n_rows)]
    order = np.concatenate([_by_windows(n_rows, size, window, rng) for size in sizes])
    # Of a block that two passes share, the rows of the second come after those of the first.
    for part in np.split(order, np.union1d(ends, np.cumsum(sizes))[:-1]):
        rng.shuffle(part)
    return order


def _by_windows(n_rows, n, window, rng):
    """Draw ``n`` row numbers, at most all, a window after the other.

    The rows are taken for a circle that is cut anywhere, so that none is a special one.
    """
    starts = rng.permutation(np.arange(0, n_rows, window))[: n // window + 2]  # one may be short
    index = (starts[:, None] + np.arange(window)).ravel()
    return (index[index < n_rows][:n] + rng.integers(n_rows)) % n_rows
