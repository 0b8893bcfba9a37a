"""Attacks on a network: in evaluation mode, its weights frozen, everything put back after."""

from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn

from ..attacks import ascend, random_start
from .inference import rows_per_gradient
from .precision import forward
from .processes import Alone


@contextmanager
def held_still(module):
    """Hold a module in evaluation mode, its weights frozen; put every mode and flag back after."""
    training = [layer for layer in module.modules() if layer.training]
    learning = [weight for weight in module.parameters() if weight.requires_grad]
    try:
        for layer in training:
            layer.training = False
        for weight in learning:
            weight.requires_grad_(False)  # no gradient is computed for what does not move
        yield module
    finally:
        for layer in training:
            layer.training = True
        for weight in learning:
            weight.requires_grad_(True)


@dataclass
class Attack:
    """Projected gradient ascent on what a network, still in training, returns.

    Attributes
    ----------
    module : torch.nn.Module
        Whatever mode it is in, it is attacked in evaluation mode.
    objective : callable
        ``objective(logits) -> Tensor of shape (n,)``, what is climbed.
    eps, step_size, n_steps, bounds
        As in ``attacks.pgd_linf``.
    start_grid : float or None
        Grid of the random start alone: as published, the result of an attack in training is not
        rounded.
    precision : {"float32", "bf16"}
        Of the forward and backward passes; the perturbation itself is exact.
    run : callable or None
        Computes as the module does, the module compiled for one. None: the module itself.
    processes : Alone or Together
        Those that share the samples.
    """

    module: nn.Module
    objective: callable
    eps: float
    step_size: float
    n_steps: int
    bounds: tuple | None
    start_grid: float | None
    precision: str = "float32"
    run: callable = None
    processes: Alone = field(default_factory=Alone)
    _n_rows: int | None = field(default=None, init=False)

    def __post_init__(self):
        self.run = self.module if self.run is None else self.run

    def __call__(self, x):
        """Return the samples (n, ...) moved, each as if it were alone."""
        if self.n_steps == 0:
            return x
        start = random_start(x, self.eps, self.start_grid)
        with held_still(self.module):
            # In parts whose activations stay in cache. The first batch, a typical one, says how.
            self._n_rows = self._n_rows or rows_per_gradient(self.module, x, self.precision)
            moved, = self.processes.shared(lambda own: (self._moved(x[own], start[own]),), len(x))
            return moved

    def _moved(self, x, start):
        n_parts = -(-len(x) // self._n_rows)
        parts = zip(x.tensor_split(n_parts), start.tensor_split(n_parts), strict=True)
        return torch.cat([self._climb(*part) for part in parts])

    def _climb(self, x, start):
        def objective(x):
            return self.objective(forward(self.run, x, self.precision))

        return ascend(objective, x, self.eps, self.step_size, self.n_steps, start, self.bounds)
