"""A block of outliers by how hard they are."""

import numpy as np
import torch

from .._numbers import check_integer
from ._candidates import n_passed_over, one_a_candidate

_ADVICE = ": give the probability of the outlier class, not labels or counts"


def informative(confidence, n, quantile):
    """Choose a block of outliers by how hard they are: outlier mining.

    The N candidates are ordered from the hardest (least confidently an outlier) to the easiest,
    and the `n` of them that follow the first ``floor(quantile * N)`` are kept. A quantile of 0
    keeps the hardest, the largest legal one, ``1 - n / N``, the easiest.

    Parameters
    ----------
    confidence : ndarray or torch.Tensor of floats of shape (N,)
        Probability of the outlier class for each candidate, in [0, 1]. Only the order counts, so
        any finite score that rises with being an outlier may stand in.
    n : int
        Number of candidates to keep, in [1, N].
    quantile : float
        Share of the hardest candidates to pass over, in [0, 1).

    Returns
    -------
    ndarray or torch.Tensor of int64 of shape (n,)
        Indices of the candidates kept, increasing; of the kind, and on the device, of
        `confidence`.

    Raises
    ------
    TypeError
        If `confidence` does not hold floats, `n` is not an integer or `quantile` not a number.
    ValueError
        If `confidence` is not one-dimensional and finite, a number is out of its range, or fewer
        than `n` candidates are left after ``floor(quantile * N)``.

    See Also
    --------
    skood.attacks.pgd_linf : Makes the outliers kept harder still.

    Notes
    -----
    With ``order = argsort(confidence)`` the set is ``order[s : s + n]``, ``s = floor(quantile *
    N)``. Equal confidences are ordered by index, the lower one first, as in a stable sort: a
    saturated softmax in single precision ties many candidates. On the CPU only the two ends of
    the block are looked for, by partition, in time linear in N.

    References
    ----------
    Chen, Li, Wu, Liang, Jha, "ATOM: Robustifying Out-of-distribution Detection Using Outlier
    Mining", ECML PKDD 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skood.sampling import informative
    >>> confidence = np.array([0.9, 0.1, 0.4, 0.8, 0.2, 0.7, 0.3, 0.6])
    >>> informative(confidence, n=2, quantile=0.25)  # ranks 2 and 3: .3 and .4
    array([2, 6])
    """
    values = one_a_candidate("confidence", confidence, _ADVICE)
    start = _check_block(len(values), n, quantile)
    kept = _block(values, start, start + int(n))
    return kept if isinstance(confidence, torch.Tensor) else kept.numpy()


def _block(values, start, stop):
    """Return the indices at ranks start to stop - 1 of a stable ascending sort, increasing."""
    lowest, highest = _order_statistics(values, start, stop - 1)
    chosen = (lowest < values) & (values < highest)
    for end in (lowest, highest):
        tied = torch.nonzero(values == end).flatten()
        n_before = int((values < end).sum())
        chosen[tied[max(start - n_before, 0) : stop - n_before]] = True
    return torch.nonzero(chosen).flatten()


def _order_statistics(values, *ranks):
    """Values at the given ranks of the ascending order."""
    if values.device.type == "cpu":
        return np.partition(values.numpy(), ranks)[list(ranks)].tolist()
    # Accelerators sort as fast as they select, and their selection is not deterministic.
    return torch.sort(values).values[list(ranks)].tolist()


def _check_block(n_candidates, n, quantile):
    """Return the rank at which the block starts."""
    check_integer("n", n, 1)
    start = n_passed_over(quantile, n_candidates)
    if start + n > n_candidates:
        raise ValueError(
            f"n={n} candidates cannot be kept from quantile={quantile} of {n_candidates}: only "
            f"{n_candidates - start} are left after the {start} hardest. Give more candidates, "
            "or lower n or quantile."
        )
    return start
