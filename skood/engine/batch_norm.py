"""BatchNorm that is differentiated twice at about the cost of once.

A gradient penalty differentiates a network by its input, and that gradient by the weights. torch
puts BatchNorm's second derivative together from some thirty elementwise passes, which makes it the
dearest part of the step; most of it is what the kernel of the first derivative computes already.
"""

import torch
from torch.autograd import Function
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_native = torch.ops.aten.native_batch_norm
_native_backward = torch.ops.aten.native_batch_norm_backward


class FusedBatchNorm(TorchFunctionMode):
    """While it is on, this thread's BatchNorm layers in training mode are those of this module.

    Only gradients by the input are differentiated again: those by weight and bias, which the same
    pass may give, count as constants. A mode rather than a change of the network: it touches no
    module.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return (_batch_norm if func is F.batch_norm else func)(*args, **(kwargs or {}))


def _batch_norm(
    input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
):
    # Of a single value a channel F.batch_norm says what is wrong.
    if not training or weight is None or bias is None or input.numel() == input.shape[1]:
        return F.batch_norm(
            input, running_mean, running_var, weight, bias, training, momentum, eps
        )
    return _BatchNorm.apply(input, weight, bias, running_mean, running_var, momentum, eps)


class _BatchNorm(Function):
    """``y = weight * x_hat + bias`` with ``x_hat = (x - mean) * scale`` over the batch."""

    @staticmethod
    def forward(ctx, x, weight, bias, running_mean, running_var, momentum, eps):
        y, mean, scale = _native(x, weight, bias, running_mean, running_var, True, momentum, eps)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx, g):
        return *_BatchNormBackward.apply(g, *ctx.saved_tensors, ctx.eps), None, None, None, None


class _BatchNormBackward(Function):
    """The derivatives by x, weight and bias; that by x can be differentiated again.

    ``g_x = weight * scale * (g - mean(g) - x_hat * mean(g * x_hat))``, channel by channel.
    """

    @staticmethod
    def forward(ctx, g, x, weight, mean, scale, eps):
        g_x, g_weight, g_bias = _derivative(g, x, weight, mean, scale, eps)
        ctx.save_for_backward(g, x, weight, mean, scale, g_x, g_weight, g_bias)
        ctx.eps = eps
        ctx.mark_non_differentiable(g_weight, g_bias)
        return g_x, g_weight, g_bias

    @staticmethod
    def backward(ctx, v, *_):
        g, x, weight, mean, scale, g_x, g_weight, g_bias = ctx.saved_tensors
        n = x.numel() // x.shape[1]
        # v -> g_x is symmetric, so the derivative by g is g_x with v in place of g; on the way its
        # kernel sums v * x_hat and v.
        v_x, v_x_hat, v_sum = _derivative(v, x, weight, mean, scale, ctx.eps)
        vg = _dot(v, g)
        # <v, g_x> = weight * scale * rest.
        rest = vg - v_sum * g_bias / n - v_x_hat * g_weight / n
        slope = -weight * scale**2 * rest / n
        # The derivative by x: of scale (the last term), and of x_hat where it is a factor.
        by_x = _affine(x, slope * scale, -slope * scale * mean)
        by_x.addcmul_(v_x, by_channel(-scale * g_weight / n, x)).addcmul_(
            g_x, by_channel(-scale * v_x_hat / n, x)
        )
        return v_x, by_x.to(x.dtype), scale * rest, None, None, None


def _derivative(g, x, weight, mean, scale, eps):
    """Return the derivatives by x, weight and bias."""
    return _native_backward(g, x, weight, None, None, mean, scale, True, eps, [True, True, True])


def _dot(v, g):
    """Return the sum of ``v * g`` in each channel, in one pass: that by the weight, g for x_hat."""
    # Made where g lies: to copy it there would be to wait for a GPU.
    zero = g.new_zeros(g.shape[1], dtype=torch.promote_types(g.dtype, torch.float32))
    sums = [False, True, False]
    return _native_backward(v, g, zero, None, None, zero, zero + 1, True, 0.0, sums)[1]


def by_channel(values, x):
    """Return a number for each channel in the shape that is broadcast over x."""
    return values.view(1, -1, *[1] * (x.ndim - 2))


def _affine(x, slope, offset):
    return torch.addcmul(by_channel(offset, x), x, by_channel(slope, x))
