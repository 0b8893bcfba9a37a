"""Attacks as pure functions: the perturbation within reach that an objective likes best."""

import math

import torch

from ._numbers import check_bounds, check_integer, check_number

__all__ = ["pgd_linf", "random_start"]


def pgd_linf(
    objective,
    x,
    eps,
    step_size,
    n_steps,
    start=None,
    bounds=(0, 1),
    round_to=None,
    generator=None,
    n_restarts=1,
):
    """Maximise an objective over the L-infinity ball around each sample by projected ascent.

    Parameters
    ----------
    objective : callable
        ``objective(x) -> torch.Tensor of shape (n,)``, differentiable in x, each value a function
        of its own sample alone: put a net into eval mode first, and freeze its weights. Its mode
        is not touched, and nothing is added to any ``.grad``.
    x : torch.Tensor of float32 or float64 of shape (n, ...)
        Clean samples, within `bounds`: images or rows of a table. Not modified.
    eps : float
        Largest change of a coordinate, at least 0, in units of x: 8/255 for images in [0, 1].
    step_size : float
        Length of one step in every coordinate, above 0, in units of x.
    n_steps : int
        Number of steps, at least 0. With 0, x itself comes back and nothing is drawn or evaluated.
    start : torch.Tensor of x's shape, default=None
        Perturbation to begin with, in units of x; it is projected and clipped but not rounded.
        None: ``random_start(x, eps, round_to, generator)``.
    bounds : tuple (lowest, highest) or None, default=(0, 1)
        Range of the data, kept to at every step. None: no clipping.
    round_to : float, default=None
        Grid of the perturbation, in units of x: 1/255 for whole pixel values. It rounds the drawn
        start and, in the end, the best perturbation; iterates in between are not rounded. Where x
        is off the grid, clipping to `bounds` afterwards may leave the grid. None: no rounding.
    generator : torch.Generator, default=None
        Draws the starts, sample by sample: calls on consecutive batches with one generator of the
        CPU, wherever x lies, draw what one call would. None: the global generator of torch.
    n_restarts : int, default=1
        Number of runs, at least 1. `start`, if given, begins the first; all others draw theirs.

    Returns
    -------
    torch.Tensor of x's shape and dtype
        For each sample, the iterate of the largest objective among the clean sample, the starts
        and the results of all steps, so never one below the clean sample. The earliest wins ties.

    Raises
    ------
    TypeError
        If `x` is not a tensor of float32 or float64, or a number, `start` or `generator` is
        something else.
    ValueError
        If a number is out of its range, x leaves `bounds`, `start` is of another shape, or the
        objective's value is not of shape (n,) or does not depend on x.

    See Also
    --------
    random_start : The start on its own.
    skood.sampling.informative : Chooses hard outliers instead of making them.

    Notes
    -----
    One step is ``delta = clip(delta + step_size * sign(gradient))`` to ``[-eps, eps]`` and to the
    `bounds` of ``x + delta``; a coordinate of zero gradient stays. An attack is one forward pass of
    the clean samples (spared where the start is 0), one forward and backward pass a step, one
    forward pass of the last iterate and, with `round_to`, one of the rounded result, which gives
    way to the clean sample where rounding took it below. Every run of `n_restarts` costs as much,
    save the pass of the clean samples, and its result, rounded, replaces that of an earlier one
    where it is strictly better.

    Evaluations in the literature round start and result: `round_to` alone. ATOM's attack in
    training rounds the start only: ``start=random_start(x, eps, 1 / 255, generator)`` and no
    `round_to` here.

    References
    ----------
    Madry, Makelov, Schmidt, Tsipras, Vladu, "Towards Deep Learning Models Resistant to
    Adversarial Attacks", ICLR 2018.

    Chen, Li, Wu, Liang, Jha, "ATOM: Robustifying Out-of-distribution Detection Using Outlier
    Mining", ECML PKDD 2021.

    Examples
    --------
    On a linear objective the best perturbation is ``eps * sign(weight)``, clipped to the bounds:

    >>> import torch
    >>> from skood.attacks import pgd_linf
    >>> weight = torch.tensor([1.0, -2.0, 0.5])
    >>> x = torch.tensor([[0.5, 0.5, 0.95]])
    >>> generator = torch.Generator().manual_seed(0)
    >>> pgd_linf(lambda x: x @ weight, x, 0.1, 0.05, n_steps=5, generator=generator)
    tensor([[0.6000, 0.4000, 1.0000]])
    """
    _check_attack(x, eps, step_size, n_steps, round_to, generator)
    check_integer("n_restarts", n_restarts, 1)
    if n_steps == 0 or x.numel() == 0:
        return x
    x = x.detach()
    _check_within(x, bounds)
    reach = _reach(x, eps, bounds)
    best, best_value, clean_value = None, None, None
    for delta in _starts(x, eps, start, round_to, generator, n_restarts):
        delta = delta.clamp(*reach)
        if clean_value is None and delta.any():
            clean_value = _evaluate(objective, x)[0]
        delta, value, clean_value = _climb(
            objective, x, delta, clean_value, step_size, n_steps, reach, bounds
        )
        if round_to is not None:
            rounded = _round(delta, round_to, eps).clamp(*reach)
            value = _evaluate(objective, _move(x, rounded, bounds))[0]
            delta, value = _choose(value >= clean_value, (rounded, value), (0.0, clean_value))
        if best is not None:  # strictly better: ties leave the earlier run's
            delta, value = _choose(value > best_value, (delta, value), (best, best_value))
        best, best_value = delta, value
    return _move(x, best, bounds)


def ascend(objective, x, eps, step_size, n_steps, start, bounds):
    """Do what ``pgd_linf`` does, without looking at any value: no GPU is waited for.

    For callers that know their arguments to be right, x to be within the bounds and the start not
    to be 0. ``n_steps`` must be at least 1.
    """
    x = x.detach()
    reach = _reach(x, eps, bounds)
    clean_value, _ = _evaluate(objective, x)
    best, _, _ = _climb(
        objective, x, start.clamp(*reach), clean_value, step_size, n_steps, reach, bounds
    )
    return _move(x, best, bounds)


def random_start(x, eps, round_to=None, generator=None):
    """Draw a perturbation uniformly from the L-infinity ball, rounded to a grid if one is given.

    Parameters
    ----------
    x : torch.Tensor of float32 or float64 of shape (n, ...)
        Samples to be attacked: their shape, dtype and device are taken, their values unused.
    eps : float
        Radius of the ball, at least 0, in units of x.
    round_to : float, default=None
        Distance of the grid's points, in units of x. None: no rounding. As in the published
        attacks the outermost points get half the probability of the others.
    generator : torch.Generator, default=None
        Draws on its own device, of the same start on every other one. None: the global generator
        of torch for x's device.

    Returns
    -------
    torch.Tensor of x's shape, dtype and device
        In [-eps, eps].

    Raises
    ------
    TypeError
        If an argument is of another type than said above.
    ValueError
        If `eps` or `round_to` is out of its range.

    See Also
    --------
    pgd_linf : Starts here.

    Examples
    --------
    >>> import torch
    >>> from skood.attacks import random_start
    >>> generator = torch.Generator().manual_seed(0)
    >>> start = random_start(torch.zeros(1, 4), 8 / 255, 1 / 255, generator)
    >>> (start * 255).round().int()
    tensor([[ 0,  4, -7, -6]], dtype=torch.int32)
    """
    _check_attack(x, eps, 1.0, 0, round_to, generator)
    device = x.device if generator is None else generator.device
    unit = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=device).to(x.device)
    start = (2 * unit - 1) * eps
    return start if round_to is None else _round(start, round_to, eps)


def _starts(x, eps, start, round_to, generator, n_restarts):
    """Return the perturbation each run begins with."""
    given = [] if start is None else [_check_start(start, x)]
    n_drawn = n_restarts - len(given)
    if n_drawn == 0:
        return given
    # Runs along the second axis, so that the draws of a sample follow those of the one before.
    several = x.unsqueeze(1).expand(-1, n_drawn, *x.shape[1:])
    return given + list(random_start(several, eps, round_to, generator).unbind(1))


def _climb(objective, x, delta, clean_value, step_size, n_steps, reach, bounds):
    """Return the best perturbation met on the way, its objective, and that of the clean samples.

    Without a ``clean_value`` the start must be 0, which is the clean sample.
    """
    best, best_value = torch.zeros_like(x), clean_value
    for i in range(n_steps + 1):
        climbs = i < n_steps
        value, gradient = _evaluate(objective, _move(x, delta, bounds), with_gradient=climbs)
        if best_value is None:
            best_value = clean_value = value
        # Strictly better, as in the released code: ties and NaN never replace an earlier iterate.
        best, best_value = _choose(value > best_value, (delta, value), (best, best_value))
        if climbs:
            delta = (delta + step_size * gradient.sign()).clamp(*reach)
    return best, best_value, clean_value


def _choose(better, one, other):
    """Return the perturbation and the objective of `one` where it is better, else of `other`."""
    rows = better.view(-1, *[1] * (one[0].ndim - 1))
    return torch.where(rows, one[0], other[0]), torch.where(better, one[1], other[1])


def _evaluate(objective, x, with_gradient=False):
    """Return the objective a sample and, if asked, its gradient with respect to the samples."""
    with torch.set_grad_enabled(with_gradient):
        # A view of its own: what the caller holds neither requires nor receives a gradient.
        x = x.detach().requires_grad_(with_gradient)
        value = objective(x)
        if not isinstance(value, torch.Tensor) or value.shape != x.shape[:1]:
            came = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
            raise ValueError(f"objective must return a tensor of shape ({len(x)},), got {came}.")
        return value.detach(), _gradient(value, x) if with_gradient else None


def _gradient(value, x):
    gradient = None
    if value.requires_grad:
        # With respect to x alone: weights that require gradients cost and receive none.
        (gradient,) = torch.autograd.grad(value.sum(), x, allow_unused=True)
    if gradient is None:
        raise ValueError(
            "objective must be differentiable in x, but no gradient leads from its value to x: "
            "remove detach, no_grad and conversions to NumPy from it."
        )
    return gradient


def _move(x, delta, bounds):
    """Return the perturbed samples; x + delta alone may miss a bound by a rounding error."""
    return x + delta if bounds is None else (x + delta).clamp_(*bounds)


def _reach(x, eps, bounds):
    """Return the lowest and highest perturbation allowed, which always enclose 0."""
    if bounds is None:
        return -eps, eps
    lowest, highest = _as_x_knows(bounds, x)
    return (lowest - x).clamp_(min=-eps), (highest - x).clamp_(max=eps)


def _as_x_knows(bounds, x):
    """Return the bounds in x's precision: a value of X that is a bound in double is one in single.

    Made on the CPU: to read them back from a GPU would be to wait for it.
    """
    return torch.tensor(check_bounds(bounds), dtype=x.dtype).tolist()


def _check_within(x, bounds):
    if bounds is None:
        return
    lowest, highest = _as_x_knows(bounds, x)
    least, largest = x.min().item(), x.max().item()
    if not lowest <= least <= largest <= highest:
        raise ValueError(
            f"x must lie within bounds={bounds}, got values from {least:.6g} to "
            f"{largest:.6g}: scale or clip x, give its own range, or bounds=None for no clipping."
        )


def _round(delta, round_to, eps):
    """Round to the multiples of round_to inside the ball; half-way goes to the even one."""
    n_levels = math.floor(eps / round_to + 1e-6)  # (8 / 255) / (1 / 255) must give 8
    return torch.round(delta / round_to).clamp_(-n_levels, n_levels) * round_to


def _check_attack(x, eps, step_size, n_steps, round_to, generator):
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"x must be a torch.Tensor, got {type(x).__name__}.")
    if x.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"x must be of float32 or float64, got {x.dtype}: convert it first.")
    if x.ndim == 0:
        raise ValueError("x must have shape (n, ...), got a tensor without dimensions.")
    check_number("eps", eps, 0, strict=False)
    check_number("step_size", step_size, 0, strict=True)
    check_integer("n_steps", n_steps, 0)
    if round_to is not None:
        check_number("round_to", round_to, 0, strict=True)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator or None, got {generator!r}.")


def _check_start(start, x):
    if not isinstance(start, torch.Tensor):
        raise TypeError(f"start must be a torch.Tensor or None, got {type(start).__name__}.")
    if start.shape != x.shape:
        raise ValueError(f"start must have x's shape {tuple(x.shape)}, got {tuple(start.shape)}.")
    return start.detach().to(x)
