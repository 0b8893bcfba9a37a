"""One seeded, exclusive stretch of torch randomness for a whole fit."""

from contextlib import contextmanager

import numpy as np
import torch
from sklearn.utils import check_random_state

from .._locks import TORCH_RANDOM


def draw_seed(random_state):
    """Return the seed of one fit.

    Parameters
    ----------
    random_state : None, int or RandomState
        ``None`` takes fresh entropy from the operating system and leaves NumPy's global
        generator alone.
    """
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    return int(check_random_state(random_state).randint(2**31 - 1))


@contextmanager
def set_aside(seed, device):
    """Seed torch's generators, that of a CUDA device too, and put their states back after."""
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        for each in cuda:
            with torch.cuda.device(each):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def seeded(seed, device="cpu"):
    """Seed initialisation, shuffling and dropout for one fit; leave the global state untouched.

    Parameters
    ----------
    seed : int
    device : str
        Where the fit runs; the generator of a CUDA device is forked too.

    Yields
    ------
    rng : numpy.random.Generator
        For everything drawn with NumPy during the fit.
    """
    with TORCH_RANDOM, set_aside(seed, device):
        yield np.random.default_rng(seed)
