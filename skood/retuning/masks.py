"""Masks over the weights of any network: drawn, chosen by scores, and what they cost in loss.

A mask goes over the weights of the Conv and Linear layers, layer by layer; biases, normalisation
and embeddings are left alone. Nothing here changes the network it is given: masked weights lie in
another module around the same tensors.

References
----------
Zhu, Li, Yao, Liu, Xu, Han, "Unleashing Mask: Explore the Intrinsic Out-of-Distribution Detection
Capability", ICML 2023.
"""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .._numbers import check_integer, check_number
from ..engine.frozen import around
from ..engine.inference import in_eval_mode, predict_logits

_LAYERS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
    nn.Linear,
)


def maskable_weights(module):
    """Return the weights of all Conv and Linear layers by their names, tied ones once.

    Parameters
    ----------
    module : torch.nn.Module

    Returns
    -------
    dict of str to torch.nn.Parameter
        In the order of ``named_modules``, by the names of ``named_parameters``: a weight that is
        tied to others has that of the first, which may be of an embedding.

    Raises
    ------
    ValueError
        If there is no such layer, or one computes its weight of other parameters.
    """
    weights, names = {}, {id(weight): name for name, weight in module.named_parameters()}
    for path, layer in module.named_modules():
        if isinstance(layer, _LAYERS):
            _check_weight(f"{path}.weight" if path else "weight", layer.weight)
            weights[names[id(layer.weight)]] = layer.weight
    if not weights:
        raise ValueError(
            f"module, a {type(module).__name__}, has no Conv or Linear layer whose weights could "
            "be masked. Without masks there is strategy='finetune' with a level of your own."
        )
    return weights


def _check_weight(name, weight):
    if not isinstance(weight, nn.Parameter):
        raise ValueError(
            f"{name} of module is computed of other parameters, so that masking it would have no "
            "effect. Bake it in first: torch.nn.utils.parametrize.remove_parametrizations(..., "
            "leave_parametrized=True), or torch.nn.utils.remove_weight_norm."
        )


# ---- masks


def check_fraction(name, fraction):
    """Refuse a fraction of the weights that is not in (0, 1]."""
    check_number(name, fraction, 0, strict=True)
    if fraction > 1:
        raise ValueError(f"{name} must be in (0, 1], got {fraction}.")


def n_removed(n, keep_fraction):
    """Return how many of the ``n`` weights of a layer are masked.

    ``int((1 - keep_fraction) * n)`` as released, in floating point: with 0.8 kept, 11 of 60.
    """
    return int((1 - keep_fraction) * n)


def random_masks(module, keep_fraction, generator=None):
    """Draw which weights of each layer are kept.

    Parameters
    ----------
    module : torch.nn.Module
    keep_fraction : float in (0, 1]
        Of the weights of each layer; exactly ``n_removed`` of them are masked.
    generator : torch.Generator, default=None
        Draws on its own device. None: torch's global generator of the CPU, wherever the weights
        lie, so that the masks are the same on all devices.

    Returns
    -------
    dict of str to bool tensor
        A mask for each of ``maskable_weights``, of its shape and on its device: True is kept.
    """
    check_fraction("keep_fraction", keep_fraction)
    return {
        name: _random_mask(weight, keep_fraction, generator)
        for name, weight in maskable_weights(module).items()
    }


def _random_mask(weight, keep_fraction, generator):
    device = None if generator is None else generator.device
    n = weight.numel()
    # The released code draws a score for each weight and sorts them; the sets are as likely.
    drawn = torch.randperm(n, generator=generator, device=device)
    return _all_but(drawn[: n_removed(n, keep_fraction)].to(weight.device), weight)


def top_masks(scores, keep_fraction):
    """Return which weights of each layer have the scores of largest absolute value.

    Parameters
    ----------
    scores : dict of str to floating point tensor
        One for each layer, of the shape of its weight.
    keep_fraction : float in (0, 1]
        Of the weights of each layer.

    Returns
    -------
    dict of str to bool tensor
        True is kept. Exactly ``n_removed`` are not, also where scores are equal.
    """
    check_fraction("keep_fraction", keep_fraction)
    return {name: _top_mask(score.detach(), keep_fraction) for name, score in scores.items()}


def _top_mask(scores, keep_fraction):
    # Unsorted it is a partition. Numbers of weights rather than a threshold, because equal scores
    # would be on one side of it, all together.
    smallest = scores.abs().flatten().topk(
        n_removed(scores.numel(), keep_fraction), largest=False, sorted=False
    )
    return _all_but(smallest.indices, scores)


def _all_but(removed, weight):
    """Return a mask of the weight's shape that is True but at these numbers."""
    kept = torch.ones(weight.numel(), dtype=torch.bool, device=weight.device)
    return kept.index_fill_(0, removed, False).view(weight.shape)


# ---- networks with other weights


def masked(module, masks):
    """Return another module whose weights are 0 where they are masked.

    Parameters
    ----------
    module : torch.nn.Module
        Not changed; all but the masked weights is shared.
    masks : dict of str to bool tensor
        By the names of weights: True is kept.
    """
    weights = dict(module.named_parameters())
    return around(module, {n: apply_mask(weights[n].detach(), mask) for n, mask in masks.items()})


def apply_mask(weight, mask):
    """Return ``weight * mask``, stride for stride in the weight's memory format."""
    # Left to itself torch lays out 1x1 kernels anew, and by its kernels' layout a convolution
    # chooses how to sum.
    return torch.mul(weight, mask, out=torch.empty_like(weight))


# ---- what masks cost


def mean_cross_entropy(module, batches, dtype, precision="float32"):
    """Return the mean cross-entropy of a network, in evaluation mode, over labelled rows.

    Parameters
    ----------
    module : torch.nn.Module
    batches : iterable of (X, y)
        Arrays or tensors on the CPU of shape (n, *input_shape) and (n,), y the class indices; how
        the rows are parted into batches makes no difference.
    dtype : {"float32", "float64", "int64"}
        What the module receives.
    precision : {"float32", "bf16"}
        Of the forward pass; the cross-entropy is computed in float64.

    Raises
    ------
    ValueError
        If there are no rows.
    """
    module = in_eval_mode(module)  # once, which predict_logits else does for every batch
    # One sum over all rows: the mean of the batches' means would weigh the rows of a short one
    # more, and a running sum round otherwise for other batches.
    rows = [_cross_entropies(module, *batch, dtype, precision) for batch in batches]
    if not rows:
        raise ValueError(
            "batches must hold at least one batch. An iterator that was used up before is empty: "
            "pass a list, or what can be iterated again."
        )
    return float(np.concatenate(rows).mean())


def _cross_entropies(module, X, y, dtype, precision):
    X = X.numpy() if torch.is_tensor(X) else X
    logits = torch.from_numpy(predict_logits(module, X, dtype, precision)).double()
    return F.cross_entropy(logits, torch.as_tensor(y), reduction="none").numpy()


def masked_cross_entropies(
    module, batches, keep_fraction, n_masks, dtype, precision="float32", generator=None
):
    """Return the mean cross-entropy of a network under each of several random masks.

    Parameters
    ----------
    module : torch.nn.Module
        Whatever mode it is in, it is run in evaluation mode; not changed.
    batches, dtype, precision
        As for ``mean_cross_entropy``. Iterated over once for each mask: batches that are augmented
        anew at each pass make part of the spread, a list does not.
    keep_fraction, generator
        As for ``random_masks``.
    n_masks : int
        At least 1. The released code takes one; the loss varies much from mask to mask.

    Returns
    -------
    ndarray of shape (n_masks,)
    """
    check_integer("n_masks", n_masks, 1)
    drawn = (random_masks(module, keep_fraction, generator) for _ in range(n_masks))
    return np.array([
        mean_cross_entropy(masked(module, masks), batches, dtype, precision) for masks in drawn
    ])
