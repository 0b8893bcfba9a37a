"""Edge-popup: a trained network is pruned by learning which of its weights to keep.

References
----------
Ramanujan, Wortsman, Kembhavi, Farhadi, Rastegari, "What's Hidden in a Randomly Weighted Neural
Network?", CVPR 2020.

Zhu, Li, Yao, Liu, Xu, Han, "Unleashing Mask: Explore the Intrinsic Out-of-Distribution Detection
Capability", ICML 2023.
"""

import math

import torch
from torch import nn
from torch.autograd import Function
from torch.func import functional_call

from ..engine.frozen import around
from .masks import apply_mask, check_fraction, maskable_weights, top_masks


class PopupNet(nn.Module):
    """A network whose weights are frozen and whose masks are trained.

    Each weight of a Conv or Linear layer has a score; in every forward pass the weights of a
    layer's largest scores, by absolute value, are used and the others are 0. Any training loop
    trains the scores: nothing else here requires gradients.

    Parameters
    ----------
    module : torch.nn.Module
        A trained network. It is not changed and shares the weights; its buffers, BatchNorm's
        running means for one, are copied, because training moves them.
    keep_fraction : float in (0, 1]
        Of the weights of each layer. With 1 the network is the one given, bit for bit.
    generator : torch.Generator, default=None
        Draws the first scores, on its own device. None: torch's global generator of the CPU.

    Attributes
    ----------
    net : torch.nn.Module
        The network with all its weights.
    names : tuple of str
        The weights that have scores.
    scores : torch.nn.ParameterList
        In the order of the names, each of its weight's shape. As released they are drawn evenly up
        to ``1 / sqrt(fan_in)`` and so know nothing of the weights: the first masks are random.

    Notes
    -----
    A layer uses ``w = weight * mask``, the mask being 1 where ``|score|`` is among the largest.
    The mask passes its gradient straight through to ``|score|``, of kept and masked weights alike:
    ``dL/dscore = dL/dw * weight * sign(score)``.
    """

    def __init__(self, module, keep_fraction, generator=None):
        super().__init__()
        check_fraction("keep_fraction", keep_fraction)
        weights = maskable_weights(module)
        self.keep_fraction = keep_fraction
        # Parameters of its own around the same memory: freezing them leaves the given ones alone.
        frozen = {name: weight.detach() for name, weight in module.named_parameters()}
        self.net = around(module, frozen | _copied_buffers(module))
        self.names = tuple(weights)
        self.scores = nn.ParameterList(_draw(weight, generator) for weight in weights.values())

    def forward(self, x):
        """Return what the network returns for ``x`` under the masks of the present scores."""
        return functional_call(self.net, self._weights(), (x,))

    def masks(self):
        """Return the present masks by the names of the weights: True is kept."""
        return top_masks(dict(zip(self.names, self.scores, strict=True)), self.keep_fraction)

    def pruned(self):
        """Return an ordinary module with the present masks baked into its weights.

        Biases and whatever else is neither masked nor a buffer is shared with the network given
        first; of this object it needs nothing, and further training here does not reach it.
        """
        weights = {name: weight.detach() for name, weight in self._weights().items()}
        return around(self.net, weights | _copied_buffers(self.net))

    def _weights(self):
        masks = self.masks()
        return {
            name: _Masked.apply(scores, self.net.get_parameter(name), masks[name])
            for name, scores in zip(self.names, self.scores, strict=True)
        }


class _Masked(Function):
    """``weight * mask``, whose gradient goes to the scores that the mask was chosen by."""

    @staticmethod
    def forward(ctx, scores, weight, mask):
        ctx.save_for_backward(scores, weight)
        return apply_mask(weight, mask)

    @staticmethod
    def backward(ctx, g):
        scores, weight = ctx.saved_tensors
        return g * weight * scores.sign(), None, None


def _copied_buffers(module):
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


def _draw(weight, generator):
    device = None if generator is None else generator.device
    drawn = torch.empty(weight.shape, dtype=weight.dtype, device=device)
    nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=generator)
    # In the memory format of the weight, with which they are multiplied in every step.
    return nn.Parameter(torch.empty_like(weight).copy_(drawn))
