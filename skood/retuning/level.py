"""The level at which Unleashing Mask has the loss float, measured under small random masks."""

import math
import warnings

import torch
from torch import nn

from ..engine.inputs import Selection
from ..engine.loader import PairedLoader
from ..training import sample_rows
from .masks import masked_cross_entropies

_N_MEASURED = 5000  # rows that the level is measured on
_BATCH_MEASURED = 256  # of them at a time, whatever batch_size is
_LARGEST_ERROR = 0.25  # of the level, relative, that is let pass without a word


def set_level(detector, data, rng):
    """Set ``level_`` and, where it is measured, ``level_std_``, the spread over the masks."""
    if detector.level != "auto":
        detector.level_ = float(detector.level)
        return
    module = detector.module_
    measured = masked_cross_entropies(
        _WithOutliers(module) if detector.classes_ is None else module,
        _samples(detector, data, rng), 1 - detector.remove_fraction, detector.n_masks,
        detector.dtype, detector.precision,
    )
    detector.level_, detector.level_std_ = float(measured.mean()), float(measured.std())
    _check_level(detector)


def _check_level(detector):
    if not math.isfinite(detector.level_):
        raise ValueError(
            f"level='auto': the cross-entropy under masks is {detector.level_}. The network gives "
            "NaN or infinite logits for some rows of X: look at its weights, or scale X."
        )
    # Of the mean over masks; one mask says nothing about it.
    error = detector.level_std_ / math.sqrt(max(detector.n_masks - 1, 1))
    if error > _LARGEST_ERROR * detector.level_:
        warnings.warn(
            f"the masks disagree about the level: {detector.level_:.2g} nats, with a standard "
            f"error of {error:.2g} for n_masks={detector.n_masks}. Masks of remove_fraction="
            f"{detector.remove_fraction} may wreck this network. Give a level, lower "
            "remove_fraction, or raise n_masks.",
            UserWarning, stacklevel=8,
        )


def _samples(detector, data, rng):
    index = sample_rows(len(data.x_in), _N_MEASURED, rng)
    return _Samples(PairedLoader(
        Selection(data.x_in, index), data.y_in[index],
        data.pool if detector.classes_ is None else None, batch_size=_BATCH_MEASURED,
        outlier_ratio=1.0, rng=rng, augment=detector.augment, dtype=detector.dtype, shuffle=False,
    ))


class _Samples:
    """Labelled batches, augmented anew at each pass; the outliers among them are class 1."""

    def __init__(self, loader):
        self.loader = loader

    def __iter__(self):
        for pair, y_in in self.loader:
            yield pair.x, torch.cat([y_in, y_in.new_ones(len(pair.x) - pair.n_in)])


class _WithOutliers(nn.Module):
    """A network whose one output is the log-odds of X, as one of two classes."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        logits = self.net(x)
        return torch.cat([logits, torch.zeros_like(logits)], dim=1)
