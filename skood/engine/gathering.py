"""What several processes have computed, each of its rows, made one; gradients flow back to each.

Gradients are those of the sum of all processes' losses, of which DistributedDataParallel then takes
the mean.
"""

import torch
from torch import distributed
from torch.autograd import Function
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .batch_norm import by_channel


class _Sum(Function):
    """The sum over the processes."""

    @staticmethod
    def forward(ctx, part):
        whole = part.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx, gradient):
        return _Sum.apply(gradient)


class _Mean(Function):
    """The mean of what the processes have of a loss, each of which has its own gradient."""

    @staticmethod
    def forward(ctx, part, count):
        whole = part.clone()
        distributed.all_reduce(whole)
        return whole / count

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def gathered(part, own, n):
    """Return the n rows of which every process has a part, this one those numbered ``own``."""
    joint = part.new_zeros(n, *part.shape[1:])
    joint[own] = part
    return _Sum.apply(joint)


def mean_of_losses(own, count):
    """Return the mean of what ``count`` processes have of a loss."""
    return _Mean.apply(own, count)


class JointBatchNorm(TorchFunctionMode):
    """While it is on, BatchNorm layers in training mode normalise by the joint batch.

    torch's SyncBatchNorm does so on GPUs alone, and has no second derivative.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return (_batch_norm if func is F.batch_norm else func)(*args, **(kwargs or {}))


def _batch_norm(
    input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
):
    if not training:
        return F.batch_norm(
            input, running_mean, running_var, weight, bias, training, momentum, eps
        )
    x = input.to(torch.promote_types(input.dtype, torch.float32))
    rows = [d for d in range(x.ndim) if d != 1]
    n = _Sum.apply(x.new_tensor(x.numel() // x.shape[1]))
    mean = _Sum.apply(x.sum(rows)) / n
    centred = x - by_channel(mean, x)
    variance = _Sum.apply(centred.square().sum(rows)) / n
    if running_mean is not None:
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_((variance * n / (n - 1)).to(running_var.dtype), momentum)
    y = centred * by_channel((variance + eps).rsqrt(), x)
    if weight is not None:
        y = y * by_channel(weight, x)
    return (y if bias is None else y + by_channel(bias, x)).to(input.dtype)
