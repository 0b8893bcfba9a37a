"""Concatenation whose second derivative is one, too."""

import torch


def concatenated(x, new):
    """Return ``torch.cat([x, new], 1)``, quick to differentiate twice.

    The derivative of torch's own cuts slices, and that of a slice fills the channels left out with
    zeros: a gradient of a gradient sums two such tensors at every layer of a dense block, in mixed
    memory formats. The derivative of `torch.split` is a concatenation.
    """
    return _Concatenation.apply(x, new)


class _Concatenation(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, new):
        return torch.cat([x, new], 1)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.widths = [part.shape[1] for part in inputs]

    @staticmethod
    def backward(ctx, gradient):
        return gradient.split(ctx.widths, 1)

    @staticmethod
    def jvp(ctx, *tangents):
        return torch.cat(tangents, 1)
