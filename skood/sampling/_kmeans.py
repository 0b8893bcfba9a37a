"""k-means for the few hundred rows of a batch, on the device where they lie."""

import torch

_N_ITERATIONS = 10  # fixed, so that no step waits for an accelerator to say that it has converged


def kmeans(x, n_clusters, generator=None):
    """Return the cluster of each row: k-means++ and then Lloyd's iterations.

    Parameters
    ----------
    x : torch.Tensor of shape (n, d)
    n_clusters : int
    generator : torch.Generator, default=None
        None draws from torch's own.

    Returns
    -------
    torch.Tensor of int64 of shape (n,)
        In [0, n_clusters); of rows that are alike, some clusters stay empty.
    """
    centres = _spread_out(x, n_clusters, generator)
    for _ in range(_N_ITERATIONS):
        centres = _means(x, _nearest(x, centres), centres)
    return _nearest(x, centres)


def _spread_out(x, n_clusters, generator):
    """Choose rows as centres, each with a probability that grows as its squared distance."""
    device = x.device if generator is None else generator.device
    draws = torch.rand(n_clusters, generator=generator, device=device, dtype=x.dtype).to(x.device)
    nearest = torch.ones(len(x), dtype=x.dtype, device=x.device)  # all rows alike, at first
    index = []
    for draw in draws:
        total = nearest.cumsum(0)
        # Where all rows are centres already the total is 0, and the first row is taken again.
        row = torch.searchsorted(total, draw * total[-1], right=True).clamp(max=len(x) - 1)
        index.append(row)
        distance = (x - x[row]).square().sum(1)
        nearest = distance if len(index) == 1 else torch.minimum(nearest, distance)
    return x[torch.stack(index)]


def _nearest(x, centres):
    return (x @ centres.T - centres.square().sum(1) / 2).argmax(1)


def _means(x, labels, centres):
    """Return the mean of each cluster; that of an empty one is where it was."""
    # By a product rather than by index_add, which on accelerators adds in any order.
    member = torch.nn.functional.one_hot(labels, len(centres)).to(x.dtype)
    counts = member.sum(0)[:, None]
    return torch.where(counts > 0, member.T @ x / counts.clamp(min=1), centres)
