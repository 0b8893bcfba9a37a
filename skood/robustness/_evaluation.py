"""A table of the metrics over several sets of outliers, natural and attacked."""

import os
from functools import cached_property, partial

import numpy as np
from sklearn.utils.validation import check_memory
from tqdm.auto import tqdm

from .._numbers import check_integer
from ..metrics._curve import Curve
from ..metrics._protocols import check_tpr, operating_point, summarise
from ..metrics._sets import check_detector, check_set_scores, frame
from ._door import (
    ATTACKS,
    CLIMBING,
    check_attacks,
    check_pgd,
    check_seed,
    check_sets,
    grid_of,
    subsample,
)
from ._gradient import Gradient
from ._identity import identity
from ._procedures import Target, outcome

_PROTOCOL = "atom"
_TOTALS = ("n_ood", "seconds")  # what the row "mean" sums up


def evaluate_robustness(
    detector,
    X_in,
    X_ood,
    *,
    attacks=ATTACKS,
    eps=8 / 255,
    step_size=1 / 255,
    n_steps=40,
    n_restarts=1,
    bounds=(0, 1),
    n_samples=None,
    tpr=0.95,
    random_state=0,
    objective=None,
    memory=None,
    verbose=False,
):
    """Judge a detector on outliers as they are, corrupted, and attacked.

    Who wants an outlier to pass for in-distribution (ID) may corrupt it, or move each of its
    coordinates by up to `eps`. ID samples are never changed, so the threshold is that of clean
    data. Each attack is made on each sample separately, and the worst result counts.

    Parameters
    ----------
    detector : estimator
        Fitted, with ``score_samples`` (higher = more in-distribution). The attacks "linf" and
        "compositional" need a network too: any detector of skood, or ``module_`` and `objective`.
    X_in : array-like of shape (n_in, d) or (n_in, C, H, W)
        In-distribution test samples.
    X_ood : dict of str to array-like, or array-like
        Out-of-distribution test sets by name, of X_in's sample shape; a bare array is named "ood".
        8-bit images are read as [0, 1].
    attacks : sequence of str, default=("natural", "corrupted", "linf", "compositional")
        "natural": the outliers as they are. "corrupted" (images): of the outlier and its 19
        corruptions at 5 severities the one that the detector likes best. "linf": projected
        gradient ascent within `eps`. "compositional": the same from the "corrupted" image on.
    eps : float, default=8/255
        Largest change of a coordinate, at least 0, in units of X: 8/255 for images, 8-bit ones too.
    step_size : float, default=1/255
        Length of one step in every coordinate, above 0, in units of X.
    n_steps : int, default=40
        Steps of a run, at least 0.
    n_restarts : int, default=1
        Runs from other random starts, at least 1; the best counts.
    bounds : tuple (lowest, highest) or None, default=(0, 1)
        Range of the data, which no attack leaves; (0, 1) for 8-bit images. None: no clipping, for
        tables without limits.
    n_samples : int, default=None
        Outliers drawn from each larger set, the same for all attacks; None: all of them.
    tpr : float in (0, 1], default=0.95
        True-positive rate of the FPR, whose column is named after it ("fpr95").
    random_state : int, RandomState instance or None, default=0
        Seeds the choice of `n_samples`, corruptions and starts. Each set has the same seed, so its
        rows do not depend on which other sets there are. None: another seed at each call, for
        which no `memory` can hold anything.
    objective : callable, default=None
        ``objective(logits) -> tensor of shape (n,)``, differentiable: what is climbed in place of
        the detector's own score. ``skood.scores.uniform`` is the surrogate with which the ATOM
        paper attacks MSP, ODIN and Outlier Exposure.
    memory : None, str, path-like or object with the joblib.Memory interface, default=None
        Where to keep attacks that are finished: a call that was interrupted goes on there at the
        next (attack, set). They are found by the detector's network, parameters and other
        attributes, its scores, the code of `objective`, the data and the settings.
    verbose : bool, default=False
        Whether to show progress bars.

    Returns
    -------
    report : pandas.DataFrame
        Indexed by (attack, set): ``report.loc["linf"]`` has one row a set and a row "mean", the
        unweighted mean over the sets. Fractions in [0, 1] in the columns "fpr95", "auroc",
        "aupr_in" and "aupr_out"; "n_ood" and "seconds", what scoring and attacking took (when it
        was computed), which in the row "mean" are totals. ``report.attrs`` records the settings
        and the ``threshold``.

    Raises
    ------
    TypeError
        If `detector` lacks ``score_samples`` or, for the attacks with gradients, a network, or an
        argument is of another type than said above.
    ValueError
        If an attack is unknown or cannot be made on X, a set is empty, of another sample shape or
        outside `bounds`, a score is NaN or infinite, or a number is out of its range.

    See Also
    --------
    skood.metrics.ood_report : Natural outliers only, with confidence intervals.
    skood.attacks.pgd_linf : The attack on its own.

    Notes
    -----
    This is the protocol of [1]_ (``protocol="atom"`` of `skood.metrics`): the FPR is the share of
    outliers with a score above that of rank ``round((1 - tpr) * n_in)`` among the clean ID
    samples. "corrupted" searches by the detector's own score, a black box of 96 questions a
    sample. The gradient attacks maximise the detector's score on the network in evaluation mode,
    where it saturates its log-odds, keep the best iterate, and for images with ``bounds=(0, 1)``
    round start and result to whole pixel values; 8-bit images stay 8-bit, so what is scored
    exists. Among the sample it began with and the result, the higher score counts: no attack
    makes an outlier easier to tell.

    The code released with [1]_ differs in this: it climbs surrogates of the score for most
    detectors, see `objective`, and it takes the attacked image even where its score is below that
    of the clean one.

    An attack with gradients that finds little shows a robust detector or a bad gradient: compare
    with more steps, restarts and another `objective`. "corrupted" costs 96 forward passes a
    sample, "linf" and "compositional" ``n_steps`` forward and backward ones a run.

    References
    ----------
    .. [1] Chen, Li, Wu, Liang, Jha, "ATOM: Robustifying Out-of-distribution Detection Using
       Outlier Mining", ECML PKDD 2021.

    Examples
    --------
    A table; its columns have no limits, and eps is in their units:

    >>> import numpy as np
    >>> from skood import OutlierExposureDetector
    >>> from skood.robustness import evaluate_robustness
    >>> rng = np.random.default_rng(0)
    >>> X, A = rng.normal(size=(300, 2)), rng.uniform(-6, 6, size=(600, 2))
    >>> detector = OutlierExposureDetector(lr=0.01, max_epochs=10, random_state=0)
    >>> detector = detector.fit(X, X_aux=(A,))
    >>> far = rng.normal(size=(100, 2)) * 0.3 + [4, 0]
    >>> report = evaluate_robustness(
    ...     detector, rng.normal(size=(200, 2)), {"far": far}, attacks=("natural", "linf"),
    ...     eps=1.5, step_size=0.1, bounds=None,
    ... )
    >>> print(report[["fpr95", "auroc"]].round(2))  # doctest: +NORMALIZE_WHITESPACE
                  fpr95  auroc
    attack  set
    natural far    0.00   1.00
            mean   0.00   1.00
    linf    far    0.17   0.97
            mean   0.17   0.97
    """
    attacks, tpr = check_attacks(attacks), check_tpr(tpr)
    check_detector(detector)
    seed = check_seed(random_state)
    if n_samples is not None:
        check_integer("n_samples", n_samples, 1)
    pgd = check_pgd(
        attacks, eps=eps, step_size=step_size, n_steps=n_steps, n_restarts=n_restarts, bounds=bounds
    )
    sets = check_sets(X_in, X_ood, attacks, pgd["eps"], pgd["bounds"])
    pgd["round_to"] = grid_of(sets, pgd["bounds"])
    gradient = Gradient(detector, objective) if CLIMBING.intersection(attacks) else None
    memory = os.fspath(memory) if isinstance(memory, os.PathLike) else memory
    run = _Runs(detector, gradient, check_memory(memory), seed, pgd, verbose)
    scores_in = np.sort(check_set_scores(detector.score_samples(X_in), "X_in"))
    rows = {attack: {} for attack in attacks}
    for name, samples in sets.items():
        attacked = _AttackedSet(name, subsample(samples, n_samples, seed), run)
        for attack in attacks:
            curve, seconds = attacked.curve(attack, scores_in)
            metrics = summarise(curve, tpr, None, _PROTOCOL)
            rows[attack][name] = {**metrics, "n_ood": curve.n_out, "seconds": seconds}
    threshold = operating_point(curve, tpr, None, _PROTOCOL)[0]  # of every curve the same
    attrs = {"protocol": _PROTOCOL, "positive": "id", "tpr": tpr, "threshold": threshold}
    return _table(rows, {**attrs, "n_in": len(scores_in), "random_state": seed, **pgd})


class _Runs:
    """Attacks on one detector, by whatever memory there is."""

    def __init__(self, detector, gradient, memory, seed, pgd, verbose):
        self.detector, self.gradient, self.verbose = detector, gradient, verbose
        draws = {"seed": seed}
        self.settings = {"natural": {}, "corrupted": draws, "ascent": {**draws, **pgd}}
        kept = memory.cache(outcome, ignore=["target"])
        # Natural scores are cheap, and always fresh they tell a memory of any change it missed:
        # all that is kept is found by them, too.
        self.outcomes = {"natural": outcome, "corrupted": kept, "ascent": kept}
        keeps = getattr(memory, "location", True) is not None
        own = identity(detector) if keeps else None
        climbed = (gradient.objective, gradient.dtype, gradient.precision) if gradient else ()
        climbing = identity(detector, *climbed) if keeps and gradient else None
        self.identities = {"natural": None, "corrupted": own, "ascent": climbing}

    def __call__(self, procedure, samples, X, scores, description):
        def score(X):
            scores = self.detector.score_samples(samples.wrap(X))
            return check_set_scores(scores, description).astype(np.float64)

        bar = partial(tqdm, desc=description, disable=not self.verbose)
        target = Target(score, self.gradient, bar)
        identity, settings = self.identities[procedure], self.settings[procedure]
        return self.outcomes[procedure](procedure, target, identity, X, scores, settings)


class _AttackedSet:
    """One set of outliers and, computed when asked for, what each attack makes of it."""

    def __init__(self, name, samples, run):
        self.name, self.samples, self.run = name, samples, run

    def curve(self, attack, scores_in):
        """Return the metrics' curve of one attack against sorted scores, and its seconds."""
        scores, _, seconds = getattr(self, attack)
        return Curve.from_sorted(scores_in, np.sort(scores)), seconds

    def _run(self, procedure, attack, X, scores):
        return self.run(procedure, self.samples, X, scores, f"X_ood[{self.name!r}], {attack}")

    @cached_property
    def natural(self):
        return self._run("natural", "natural", self.samples.X, None)

    @cached_property
    def corrupted(self):
        return self._run("corrupted", "corrupted", self.samples.X, self.natural.scores)

    @cached_property
    def linf(self):
        return self._run("ascent", "linf", self.samples.X, self.natural.scores)

    @cached_property
    def compositional(self):
        start = self.corrupted
        end = self._run("ascent", "compositional", start.X, start.scores)
        return end._replace(seconds=start.seconds + end.seconds)


def _table(rows, attrs):
    """Return one row an attack and set, and below the sets of an attack their mean."""
    import pandas as pd  # only a report needs it: importing skood stays light

    rows = {attack: {**sets, "mean": _mean(list(sets.values()))} for attack, sets in rows.items()}
    index = [(attack, name) for attack, sets in rows.items() for name in sets]
    index = pd.MultiIndex.from_tuples(index, names=["attack", "set"])
    return frame([row for sets in rows.values() for row in sets.values()], index, attrs)


def _mean(rows):
    sums = {column: sum(row[column] for row in rows) for column in rows[0]}
    return {c: total if c in _TOTALS else total / len(rows) for c, total in sums.items()}
