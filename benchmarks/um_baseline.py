"""Unleashing Mask's published training, restated on torch alone: what a benchmark measures against.

Zhu, Li, Yao, Liu, Xu, Han, "Unleashing Mask: Explore the Intrinsic Out-of-Distribution Detection
Capability", ICML 2023. A trained net's loss is measured under a random mask; then the net (UM), or
scores that choose its weights (UMAP), are trained until the loss of a batch floats around that
level. Written for being read, not for speed: one way to do each thing, the obvious one, with the
costs of the released code where they are part of how it goes about it (they are pointed out).
Nothing of skood is used, so that no improvement there can make the baseline faster.

Images are uint8 of shape (n, C, H, W), or float in [0, 1]. A net maps float images to logits of
shape (n, K). The published ones have dropout of rate ``DROPOUT`` after every convolution of a
block, elementwise, and lie in torch's default memory format: both are part of what a step costs,
and both are the net's affair, so whoever calls these functions builds it that way.
"""

import copy
import math

import torch
from torch import nn
from torch.nn import functional as F

DROPOUT = 0.3
KEPT_FOR_LEVEL, KEPT_BY_SCORES = 0.965, 0.8  # fractions of the weights of each layer


def to_float(images):
    """Return images in [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


# ---- layers whose weights are chosen by scores


class Chosen(torch.autograd.Function):
    """1 for the largest scores of a layer and 0 for the rest; the gradient passes unchanged.

    As in the released code all scores are sorted, though on which side of the cut a score lies is
    all that is asked, and they are sorted in every forward pass.
    """

    @staticmethod
    def forward(ctx, scores, keep_fraction):
        """Return the mask."""
        order = scores.flatten().argsort()
        n_removed = int((1 - keep_fraction) * len(order))  # in floating point: 11 of 60 at 0.8
        mask = torch.ones_like(scores).flatten()
        mask[order[:n_removed]] = 0
        return mask.view_as(scores)

    @staticmethod
    def backward(ctx, g):
        """Return the gradient by the mask as that by the scores."""
        return g, None


class ScoredConv2d(nn.Conv2d):
    """A convolution without the weights of small scores."""

    def forward(self, x):
        """Return the activations."""
        weight = self.weight * Chosen.apply(self.scores.abs(), self.keep_fraction)
        return self._conv_forward(x, weight, self.bias)


class ScoredLinear(nn.Linear):
    """A linear layer without the weights of small scores."""

    def forward(self, x):
        """Return the activations."""
        weight = self.weight * Chosen.apply(self.scores.abs(), self.keep_fraction)
        return F.linear(x, weight, self.bias)


def with_scores(net, keep_fraction, freeze=True):
    """Return a copy of a net that chooses its weights by scores, which begin at random.

    Parameters
    ----------
    net : torch.nn.Module of nn.Conv2d and nn.Linear layers, among others
    keep_fraction : float
        Of the weights of each layer; biases and normalisation are not chosen from.
    freeze : bool
        Whether the scores alone are to be trained. The released configuration for CIFAR-10 says
        so, that for CIFAR-100 trains the weights along with them.
    """
    net = copy.deepcopy(net)
    if freeze:
        net.requires_grad_(False)
    for layer in net.modules():
        if type(layer) in (nn.Conv2d, nn.Linear):
            layer.__class__ = ScoredConv2d if type(layer) is nn.Conv2d else ScoredLinear
            layer.keep_fraction = keep_fraction
            layer.scores = nn.Parameter(torch.empty_like(layer.weight))
            nn.init.kaiming_uniform_(layer.scores, a=math.sqrt(5))
    return net


# ---- the level


def estimate_level(net, batches, keep_fraction=KEPT_FOR_LEVEL):
    """Return the mean cross-entropy of a trained net under one random mask.

    In evaluation mode, BatchNorm's statistics being those of the whole net. As in the released
    code one mask is drawn, so the level is one draw of a number that may have a large spread
    (``level_std`` in results/um.csv), and the masks are sorted out anew for every batch, although
    no score changes.

    Parameters
    ----------
    net : torch.nn.Module
        Not changed.
    batches : iterable of (images, classes)
        The training images, augmented.
    """
    masked = with_scores(net, keep_fraction).eval()
    total = n = 0
    with torch.no_grad():
        for images, y in batches:
            total += F.cross_entropy(masked(to_float(images)), y, reduction="sum").item()
            n += len(y)
    return total / n


# ---- one step of training


def make_optimizer(net, lr=0.1):
    """Return the published optimizer, over all weights (UM) or the scores alone (UMAP).

    The weight decay pulls at scores, too. Over 100 epochs the rate falls to 0 by half a cosine.
    """
    learning = [weight for weight in net.parameters() if weight.requires_grad]
    return torch.optim.SGD(learning, lr=lr, momentum=0.9, weight_decay=1e-4)


def step(net, optimizer, images, y, level):
    """Make one step: down where the loss of the batch is above the level, up where it is below.

    The same for UM, on a net, and for UMAP, on ``with_scores(net, KEPT_BY_SCORES)``. In the second,
    the gradient of every masked weight is computed as in the first, since the scores ask for it:
    frozen weights save the optimizer's part alone.

    Parameters
    ----------
    images : uint8 or float tensor of shape (n, C, H, W)
        Published size: 256.
    y : int64 tensor of shape (n,)
        Classes 0 to K - 1.
    level : float
        What ``estimate_level`` returns. The released commands never get this far: without a
        further option they train on the cross-entropy as it is.

    Returns
    -------
    float
        ``|CE - level| + level`` of the batch, CE being the mean cross-entropy before the update.
    """
    net.train()
    loss = (F.cross_entropy(net(to_float(images)), y) - level).abs() + level
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
