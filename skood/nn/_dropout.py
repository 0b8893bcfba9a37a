"""Elementwise dropout whose masks are cheap to draw on a CPU."""

import torch
from torch import nn

_LEVELS = 2**16


class CheapDropout(nn.Dropout):
    """``nn.Dropout`` that draws 16 random bits an element where torch, on a CPU, takes its time.

    There torch draws 32 bits at a time, one element after the other, and a DenseNet drops after
    every convolution. Here an element is kept with probability ``1 - p``, rounded to a multiple of
    ``2 ** -16``, and divided by just that, so that means are preserved. On other devices, and where
    nothing or all would be dropped, it is torch's own.
    """

    def forward(self, x):
        """Return x, in training with elements dropped."""
        n_kept = round((1 - self.p) * _LEVELS)
        if not self.training or x.device.type != "cpu" or n_kept in (0, _LEVELS):
            return super().forward(x)
        kept = _random_bits(x) < n_kept - _LEVELS // 2
        return x * kept.to(x.dtype).div_(n_kept / _LEVELS)


def _random_bits(x):
    """Return int16 numbers, all equally likely, in the shape and memory format of x."""
    # Four of them at each draw: the generator yields 64 bits in hardly more time than 32.
    drawn = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
    drawn.random_(-(2**63), None)
    strides = torch.empty_like(x, device="meta").stride()
    return drawn.view(torch.int16)[: x.numel()].as_strided(x.shape, strides)
