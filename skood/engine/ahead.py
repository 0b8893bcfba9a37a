"""Reading ahead: one thread reads what comes next while what has come is worked on."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from .._locks import TORCH_RANDOM

THREAD_NAME = "skood-read-ahead"


def in_turn(read, parts, ahead):
    """Yield ``read(part)`` for each part, in their order.

    Parameters
    ----------
    read : callable
    parts : iterable
    ahead : bool
        Whether a thread reads the next part meanwhile. Two results are held then: the one that
        is worked on, and the next.

    Notes
    -----
    What ``read`` raises is raised here, with its own traceback. When the generator is closed, the
    thread ends with the part that it is reading.
    """
    if not ahead:
        yield from map(read, parts)
        return
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=THREAD_NAME)
    try:
        due = None
        for part in parts:
            ready, due = due, thread.submit(read, part)
            if ready is not None:
                yield ready.result()
        if due is not None:
            yield due.result()
    finally:
        thread.shutdown(cancel_futures=True)


def looked_at(call):
    """Return what a call returns, and whether it drew from a global generator.

    In a thread it would draw at a moment that differs from run to run. The generators, Python's,
    NumPy's and torch's, are put back: when one looks makes no difference.
    """
    with TORCH_RANDOM:  # another thread's fit draws from torch's, too
        before = _states()
        result = call()
        drew = any(map(_differ, before, _states()))
        _set_states(*before)
    return result, drew


def _states():
    return random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002


def _set_states(of_python, of_numpy, of_torch):
    random.setstate(of_python)
    np.random.set_state(of_numpy)  # noqa: NPY002
    torch.set_rng_state(of_torch)


def _differ(one, other):
    return any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))
