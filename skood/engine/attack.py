"""Attacks on a network: in evaluation mode, its weights frozen, everything put back after."""

from contextlib import contextmanager

from ..attacks import pgd_linf, random_start


@contextmanager
def held_still(module):
    """Hold a module in evaluation mode, its weights frozen; put every mode and flag back after."""
    modes = [(layer, layer.training) for layer in module.modules() if layer.training]
    learning = [weight for weight in module.parameters() if weight.requires_grad]
    try:
        for layer, _ in modes:
            layer.training = False
        for weight in learning:
            weight.requires_grad_(False)  # no gradient is computed for what does not move
        yield module
    finally:
        for layer, mode in modes:
            layer.training = mode
        for weight in learning:
            weight.requires_grad_(True)


def attacked(module, x, objective, *, eps, step_size, n_steps, bounds, start_grid):
    """Return the samples as projected gradient ascent on the network's outputs moves them.

    Parameters
    ----------
    module : torch.nn.Module
        Whatever mode it is in, it is attacked in evaluation mode.
    x : Tensor of shape (n, ...)
    objective : callable
        ``objective(logits) -> Tensor of shape (n,)``, what is climbed.
    eps, step_size, n_steps, bounds
        As in ``attacks.pgd_linf``.
    start_grid : float or None
        Grid of the random start alone: as published, the result of an attack in training is not
        rounded.
    """
    if n_steps == 0:
        return x
    start = random_start(x, eps, start_grid)
    with held_still(module):
        return pgd_linf(
            lambda x: objective(module(x)), x, eps, step_size, n_steps, start, bounds
        )
