"""The attacks on one set of outliers; none ever returns a lower score than it was given."""

from collections.abc import Callable
from itertools import product
from time import perf_counter
from typing import NamedTuple

import numpy as np
import torch

from ..attacks import pgd_linf
from ._gradient import Gradient

# Images corrupted at a time, whatever the machine: the draws of a corruption go by the block.
_BLOCK = 512


class Target(NamedTuple):
    """What an attack may ask.

    Attributes
    ----------
    score : callable
        ``score(X) -> ndarray of shape (n,)``, higher = more in-distribution.
    gradient : Gradient or None
    bar : callable
        ``bar(total=n)``, a progress bar.
    """

    score: Callable
    gradient: Gradient | None
    bar: Callable


class Outcome(NamedTuple):
    """What an attack made of a set: its scores, where others build on it the samples, its time."""

    scores: np.ndarray
    X: np.ndarray | None
    seconds: float


def outcome(procedure, target, identity, X, scores, settings):
    """Run one attack; what a memory keeps, by every argument but the target.

    Parameters
    ----------
    procedure : {"natural", "corrupted", "ascent"}
    target : Target
    identity : str or None
        Stands for the target.
    X : ndarray of shape (n, ...)
        Samples to begin with.
    scores : ndarray of shape (n,) or None
        Theirs.
    settings : dict
        Keyword arguments of the procedure.
    """
    start = perf_counter()
    scores, X = _PROCEDURES[procedure](target, X, scores, **settings)
    return Outcome(scores, X, perf_counter() - start)


def _natural(target, X, scores):
    return target.score(X), None


def _corrupted(target, X, scores, *, seed):
    """Keep of the clean image and all its corruptions the one with the highest score."""
    from ..corruptions import CORRUPTIONS, SEVERITIES, corrupt  # no other attack needs them

    kinds = list(enumerate(product(CORRUPTIONS, SEVERITIES)))
    worst, scores = np.array(X), scores.copy()
    starts = range(0, len(X), _BLOCK)
    with target.bar(total=len(starts) * len(kinds)) as bar:
        for start, (i, (name, severity)) in product(starts, kinds):
            block = slice(start, start + _BLOCK)
            # A seed of its own: no draw depends on another block, and none repeats.
            seed_here = int(np.random.SeedSequence([seed, start, i]).generate_state(1)[0])
            images = corrupt(np.asarray(X[block]), name, severity, random_state=seed_here)
            scores_here = target.score(images)
            better = scores_here > scores[block]
            worst[block][better], scores[block][better] = images[better], scores_here[better]
            bar.update()
    return scores, worst


def _ascent(target, X, scores, *, seed, **attack):
    """Attack every sample through the network, then score the results as a user would."""
    gradient = target.gradient
    # 8-bit images end on whole pixel values if the attack does, so that what is scored exists.
    whole = X.dtype == np.uint8 and attack["round_to"] is not None
    attacked = np.empty(X.shape, np.uint8 if whole else gradient.dtype)
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same starts on every device
    batches = gradient.batches(X)
    with target.bar(total=len(batches)) as bar:
        for batch in batches:
            x = gradient.read(X, batch)
            x = pgd_linf(gradient, x, generator=generator, **attack).cpu().numpy()
            attacked[batch] = np.rint(x * 255) if whole else x
            bar.update()
    # Rounding, or an objective that is not the score, may take it below: then the sample stays.
    return np.maximum(target.score(attacked), scores), None


_PROCEDURES = {"natural": _natural, "corrupted": _corrupted, "ascent": _ascent}
