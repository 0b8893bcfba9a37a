"""Rows in blocks, and blocks of rows that are made when they are read."""

BLOCK = 4096  # rows whose features are held at a time while they are scored


def blocks(n, size=BLOCK):
    """Return the slices of ``n`` rows of which ``size`` are held at a time."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


class Mapped:
    """Rows that a function makes of those of an array, block by block as they are asked for.

    Parameters
    ----------
    function : callable
        ``function(block)``, of an array of shape (m, d), returns one of that shape.
    array : array of shape (n, d)
    """

    def __init__(self, function, array):
        self.function, self.array, self.shape = function, array, array.shape

    def __len__(self):
        return len(self.array)

    def __getitem__(self, part):
        return self.function(self.array[part])
