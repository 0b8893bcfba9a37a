"""The source of draws that a `random_state` argument of a function stands for."""

from numbers import Integral

import numpy as np


def as_generator(random_state):
    """Return the Generator that a `random_state` argument stands for.

    A Generator is used, and advanced, as it is; a RandomState is advanced by the draw of a seed.
    NumPy's global state is never read.
    """
    if isinstance(random_state, np.random.Generator):
        return random_state
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(0, 2**32, size=4, dtype=np.uint32))
    if random_state is None or (isinstance(random_state, Integral) and random_state >= 0):
        return np.random.default_rng(random_state)
    raise ValueError(
        "random_state must be None, a non-negative int, a numpy.random.Generator or a "
        f"numpy.random.RandomState, got {random_state!r}."
    )
