"""Reading ahead: one thread reads what comes next while what has come is worked on."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

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


def draws_globally(call):
    """Whether a call draws from a global generator: Python's, NumPy's or torch's.

    In a thread it would draw at a moment that differs from run to run.
    """
    before = _states()
    call()
    return before != _states()


def _states():
    name, *numbers = np.random.get_state()  # noqa: NPY002 - looked at, not drawn from
    keys, *rest = numbers
    return random.getstate(), (name, keys.tobytes(), *rest), torch.get_rng_state().tolist()
