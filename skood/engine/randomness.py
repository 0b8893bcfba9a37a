"""One seeded, exclusive stretch of torch randomness for a whole fit."""

from contextlib import contextmanager

import numpy as np
import torch
from sklearn.utils import check_random_state

from .._locks import TORCH_RANDOM


@contextmanager
def seeded(random_state, device="cpu"):
    """Seed initialisation, shuffling and dropout for one fit; leave the global state untouched.

    Parameters
    ----------
    random_state : None, int or RandomState
        ``None`` takes fresh entropy from the operating system and leaves NumPy's global
        generator alone.
    device : str
        Where the fit runs; the generator of a CUDA device is forked too.

    Yields
    ------
    rng : numpy.random.Generator
        For everything drawn with NumPy during the fit.
    """
    if random_state is None:
        seed = int(np.random.default_rng().integers(2**31))
    else:
        seed = int(check_random_state(random_state).randint(2**31 - 1))
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with TORCH_RANDOM, torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        for each in cuda:
            with torch.cuda.device(each):
                torch.cuda.manual_seed(seed)
        yield np.random.default_rng(seed)
