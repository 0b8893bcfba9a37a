"""ATOM's published training procedure, restated on torch alone: what atom_step.py measures against.

Chen, Li, Wu, Liang, Jha, "ATOM: Robustifying Out-of-distribution Detection Using Outlier Mining",
ECML PKDD 2021. Each epoch mines a pool once, then makes steps; each step attacks half of its
outliers. Written for being read, not for speed: one way to do each thing, the obvious one, with
the costs of the released code where they are part of how it goes about it (they are pointed out).
Nothing of skood is used, so that no improvement there can make the baseline faster.

Images are uint8 of shape (n, C, H, W), or float in [0, 1] where an argument says so. A net maps
float images to logits of shape (n, K + 1), the last being the class of outliers. A step may be
given its random starts (``draw_start``), so that two implementations can be run on the same ones.
"""

import torch
from torch.nn import functional as F

PIXEL = 1 / 255
EPS, STEP_SIZE, N_STEPS = 8, 2, 5  # of the attack in training; the first two in pixel values


def to_float(images):
    """Return images in [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


# ---- mining, at the start of every epoch


def mine(net, pool, n, quantile, batch_size=400):
    """Choose the outliers of an epoch from a pool of 8-bit images.

    The pool is scored in evaluation mode in batches of 400. As in the released code the float
    copies of all its images are kept until the choice is made: 12 KB each for 3x32x32.

    Returns
    -------
    images : float tensor of shape (n, C, H, W)
        Those at the ranks floor(quantile * N) to floor(quantile * N) + n - 1 of increasing
        probability of being an outlier; rank 0 is the hardest.
    index : int64 tensor of shape (n,)
        Where they lie in the pool, in that order.
    """
    net.eval()
    kept, confidence = [], []
    with torch.no_grad():
        for batch in pool.split(batch_size):
            x = to_float(batch)
            confidence.append(net(x).softmax(1)[:, -1])
            kept.append(x)
    order = torch.cat(confidence).argsort()
    start = int(quantile * len(pool))
    index = order[start : start + n]
    return torch.cat(kept)[index], index


# ---- the attack on half of the outliers of a step


def draw_start(shape, eps=EPS, generator=None):
    """Draw a random start: whole pixel values, from the uniform distribution over [-eps, eps]."""
    return ((2 * torch.rand(shape, generator=generator) - 1) * eps).round()


def outlier_loss(net, x):
    """Return each image's cross-entropy to the outlier class; the attack raises it."""
    logits = net(x)
    label = torch.full((len(x),), logits.shape[1] - 1, device=x.device)
    return F.cross_entropy(logits, label, reduction="none")


def within(delta, x, eps):
    """Return the perturbation, in pixel values, clipped to the ball and to the range of images."""
    return ((x + delta.clamp(-eps, eps) * PIXEL).clamp(0, 1) - x) / PIXEL


def attack(net, x, start, eps=EPS, step_size=STEP_SIZE, n_steps=N_STEPS, as_released=False):
    """Make outliers look in-distribution, by projected gradient ascent in pixel values.

    The whole batch at once, in evaluation mode, which stays. As in the released code, autograd
    records every forward pass, also those without a backward pass, and each backward pass computes
    the gradients of the weights too, which nobody uses.

    Parameters
    ----------
    x : float tensor of shape (n, C, H, W) in [0, 1]
    start : tensor of the same shape
        Perturbation to begin with, in pixel values; it is rounded to whole ones.
    as_released : bool
        False: the result is the best of the clean image, the start and the results of all steps,
        as the paper has it: ``n_steps + 2`` forward passes. True: as the released loop goes about
        it, which compares the loss *before* a step and then keeps the perturbation *after* it, and
        so never evaluates the last one: ``n_steps + 1`` forward passes.

    Returns
    -------
    float tensor of shape (n, C, H, W) in [0, 1]
    """
    net.eval()
    best_loss, best = outlier_loss(net, x).detach(), torch.zeros_like(x)
    delta = within(start.round(), x, eps)
    for i in range(n_steps + (not as_released)):
        delta = delta.detach().requires_grad_()
        loss = outlier_loss(net, x + delta * PIXEL)
        moved = delta.detach()
        if i < n_steps:
            loss.mean().backward()
            moved = within(moved + step_size * delta.grad.sign(), x, eps)
        better = loss.detach() > best_loss
        best_loss[better] = loss.detach()[better]
        best[better] = (moved if as_released else delta.detach())[better]
        delta = moved
    return x + best * PIXEL


# ---- one step of training


def make_optimizer(net, lr=0.1):
    """Return the published optimizer."""
    return torch.optim.SGD(
        net.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=1e-4
    )


def step(net, optimizer, x_in, y_in, x_out_clean, x_out_to_attack, start, beta=1.0, **attack_args):
    """Attack half of the outliers, then make one joint step on all images.

    Parameters
    ----------
    x_in, x_out_clean, x_out_to_attack : uint8 or float tensors of shape (n_*, C, H, W)
        Published sizes: 64 each.
    y_in : int64 tensor of shape (n_in,)
        Classes 0 to K - 1.
    start : tensor of the shape of `x_out_to_attack`
        Where the attack begins, in pixel values.
    beta : float
        Weight of the outlier term.
    **attack_args
        Of ``attack``.

    Returns
    -------
    loss : float
        Mean cross-entropy over K + 1 classes of the in-distribution images, plus beta times that
        of the outliers to class K, before the update.
    x_attacked : float tensor
        The attacked images, in [0, 1].
    """
    x_attacked = attack(net, to_float(x_out_to_attack), start, **attack_args)
    net.train()
    x_out = torch.cat([to_float(x_out_clean), x_attacked])
    # One pass for all: BatchNorm sees in-distribution images and outliers together.
    logits = net(torch.cat([to_float(x_in), x_out]))
    logits_in, logits_out = logits.split([len(x_in), len(x_out)])
    y_out = torch.full((len(x_out),), logits.shape[1] - 1, device=logits.device)
    loss = F.cross_entropy(logits_in, y_in) + beta * F.cross_entropy(logits_out, y_out)
    optimizer.zero_grad()  # the attack has left its gradients there
    loss.backward()
    optimizer.step()
    return loss.item(), x_attacked
