"""Rows that are equal to the last bit: a hash names candidates, and they are compared."""

import numpy as np

_SEED = 0  # of the words that positions are known by; any other would do


def hashes(rows):
    """Return a number of 64 bits for each row, equal for equal rows.

    Each word of 8 bytes is mixed with its position (the finaliser of splitmix64), then all are
    summed: no loop over rows.
    """
    flat = np.ascontiguousarray(rows).reshape(len(rows), -1).view(np.uint8)
    words = np.zeros((len(flat), -(-flat.shape[1] // 8) * 8), np.uint8)
    words[:, : flat.shape[1]] = flat
    words = words.view(np.uint64)
    positions = np.random.default_rng(_SEED).integers(2**64, size=words.shape[1], dtype=np.uint64)
    words = words ^ positions
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        words ^= words >> np.uint64(shift)
        words *= np.uint64(factor)
    words ^= words >> np.uint64(31)
    return words.sum(axis=1, dtype=np.uint64)


class Twins:
    """Finds the in-distribution row that equals a row.

    Parameters
    ----------
    keys : ndarray of uint64 of shape (n_in,)
        Hashes of the in-distribution rows.
    read : callable
        ``read(index)`` returns those rows.
    """

    def __init__(self, keys, read):
        self._order = np.argsort(keys, kind="stable")
        self._keys, self._read = keys[self._order], read

    def __call__(self, rows):
        """Return for each row the number of its first twin, or -1."""
        keys = hashes(rows)
        place = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        twins = np.full(len(rows), -1)
        likely = np.flatnonzero(self._keys[place] == keys)
        if len(likely):
            candidates = self._order[place[likely]]
            same = (self._read(candidates) == rows[likely]).reshape(len(likely), -1).all(axis=1)
            twins[likely[same]] = candidates[same]
        return twins
