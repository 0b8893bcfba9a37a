"""The published procedure of GReg and GReg+, restated on torch: what greg_step.py measures against.

Sharifi, Entesari, Safaei, Patel, Fazlyab, "Gradient-Regularized Out-of-Distribution Detection",
ECCV 2024. GReg adds the length of the energy's input gradients to energy fine-tuning; GReg+ also
chooses the outliers of each batch from clusters of candidates. Written for being read, not for
speed: one way to do each thing, the obvious one, with the costs of the released code where they
are part of how it goes about it (they are pointed out). Nothing of skood is used, so that no
improvement there can make the baseline faster.

Images are uint8 of shape (n, C, H, W), or float in [0, 1] where an argument says so. A net maps
float images to logits of shape (n, K). Its ``head`` is its last linear layer, whose input are the
features. The energy of an image is -logsumexp of its logits: low where it looks in-distribution.

Gradients are with respect to pixels in [0, 1]; the released code normalises before the net, so
its gradients are shorter by the pixels' deviation, about a fourth.
"""

import torch
from sklearn.cluster import KMeans
from torch.autograd.functional import jacobian
from torch.nn import functional as F

BETA = 0.1  # of the hinges, in the paper and in all released commands
N_INIT = 3  # starts of k-means


def to_float(images):
    """Return images in [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


def energy(logits):
    return -logits.logsumexp(1)


# ---- the outliers of a step (GReg+)


def features_and_energy(net, head, x):
    """Return features, divided by their length, and energies of float images.

    As in the released code in evaluation mode, without gradients, and all images in one batch.
    """
    seen = []
    hook = head.register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    net.eval()
    with torch.no_grad():
        logits = net(x)
    hook.remove()
    return F.normalize(seen[0].flatten(1)), energy(logits)


def choose(net, head, candidates, n, n_clusters, both_ends=True):
    """Choose the outliers of one step: those of extreme energy in each cluster of candidates.

    Parameters
    ----------
    candidates : uint8 or float tensor of shape (N, C, H, W)
        Published: 384 for every batch of 64 images, drawn for it alone.
    n : int
        Outliers to choose; published: 128.
    n_clusters : int
        Published: 64.
    both_ends : bool
        Also keep the highest energy of a cluster, not only the lowest.

    Returns
    -------
    int64 tensor of shape (n,)
        Where they lie among the candidates.
    """
    features, energies = features_and_energy(net, head, to_float(candidates))
    order = energies.argsort()
    # The best of three runs of k-means, each until it stands still, before every step.
    cluster = KMeans(n_clusters=n_clusters, n_init=N_INIT).fit_predict(features[order].numpy())
    kept = []
    for k in range(n_clusters):
        members = order[torch.from_numpy(cluster == k)]
        kept += members[[0, -1]].tolist() if both_ends and len(members) > 1 else [members[0].item()]
    rest = sorted(set(range(len(candidates))) - set(kept))
    drawn = torch.randperm(len(rest))[: n - len(kept)]
    return torch.tensor(kept + [rest[i] for i in drawn])


# ---- the loss of a step


def hinges(logits_in, logits_out, m_in, m_out):
    """Return how far, squared, energies lie on the wrong side of their margins."""
    too_high = F.relu(energy(logits_in) - m_in)
    too_low = F.relu(m_out - energy(logits_out))
    return too_high.square().mean() + too_low.square().mean()


def gradient_length(net, x, n_in, m_in, m_out):
    """Return the mean length, over all rows, of the gradients where a hinge is satisfied.

    As in the released code the net runs on the batch a second time, in training mode, so that
    BatchNorm's averages are updated twice a step. Each row of the gradient holds the 1/n of its
    group's mean, and the mean over all rows is taken of that: the paper's term over ``len(x)``.
    """
    def satisfied(x):
        e = energy(net(x))
        return F.relu(e[n_in:] - m_out).mean() - F.relu(m_in - e[:n_in]).mean()

    gradient = jacobian(satisfied, x, create_graph=True)
    return gradient.flatten(1).norm(dim=1).mean()


# ---- one step of training


def make_optimizer(net, lr=0.01):
    """Return the published optimizer of GReg (that of GReg+ is Adam)."""
    return torch.optim.SGD(
        net.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=1e-4
    )


def step(net, optimizer, x_in, y_in, x_out, m_in, m_out, weight):
    """Make one joint step of GReg, or of GReg+ if the outliers were chosen.

    Parameters
    ----------
    x_in, x_out : uint8 or float tensors of shape (n_*, C, H, W)
        Published sizes: 64 and 64 (GReg), 64 and 128 (GReg+).
    y_in : int64 tensor of shape (n_in,)
    m_in, m_out : float
        Margins of the energies; published: -25 and -7.
    weight : float
        Of the gradients' term; published: 1. As in the released code 0, which is energy
        fine-tuning, computes the term all the same.

    Returns
    -------
    float
        The loss before the update.
    """
    net.train()
    x = torch.cat([to_float(x_in), to_float(x_out)])
    # One pass for all: BatchNorm sees in-distribution images and outliers together.
    logits_in, logits_out = net(x).split([len(x_in), len(x_out)])
    loss = F.cross_entropy(logits_in, y_in) + BETA * hinges(logits_in, logits_out, m_in, m_out)
    length = gradient_length(net, x, len(x_in), m_in, m_out)
    loss = loss + weight * length if weight else loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
