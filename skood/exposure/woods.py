"""Detectors trained on unlabelled wild data (Katz-Samuels et al., ICML 2022)."""

import math
import warnings
from functools import partial
from numbers import Real

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.utils._param_validation import Interval
from torch.nn import functional as F

from .. import scores
from ..engine.inputs import Selection
from ..training import sample_rows
from .base import BaseExposureDetector
from .constraining import ConstrainedLoss, Multipliers

_N_MEASURED = 5000  # rows of the wild mixture that g starts from
_LEAST_SPREAD = 1e-3  # nats: energies that are all alike give g no scale


class WOODSDetector(BaseExposureDetector):
    """WOODS: trained on unlabelled data, from production say, known rows and outliers mixed.

    Keeps random rows of ``X_aux``, which may be a mixture of outliers and of rows like X; does not
    perturb them. As few of them are accepted as two constraints allow: at most `alpha` of X is
    refused, and its cross-entropy stays near what it was. So what looks like X in the mixture does
    no harm. The score is minus the energy.

    Parameters
    ----------
    module : None, type, callable or torch.nn.Module, default=None
        The network. None is an MLP for rows (n, d) and a small residual CNN for images; a class or
        callable is called as ``module(input_shape, n_outputs, **module__params)``; a trained
        instance is copied and fine-tuned.
    alpha : float, default=0.05
        Share of X that may be refused, in (0, 1), softly counted as the paper has it: the mean of
        ``sigmoid(g)``. How many ``predict`` refuses, `contamination` says.
    ce_tolerance : float, default=2.0
        How many times its cross-entropy before the method's own epochs X may have, at least 1.
    beta : float, default=1.0
        Weight of the wild rows' term, in [0, inf).
    multiplier_lr : float, default=1.0
        Step of the multipliers after each epoch, in [0, inf).
    penalty_growth : float, default=1.5
        What a penalty is multiplied by after an epoch that leaves its constraint violated, at
        least 1.
    constraint_tolerance : float, default=0.0
        How much of a violation lets a penalty be, in [0, inf).
    validation_fraction : float, default=0.2
        Share of X, in [0, 0.5), one row of each class apart, that is kept out of the training and
        on which refusals are counted after each epoch. 0 is as published: they are counted on the
        rows trained on, which a network that learns these by heart hardly ever refuses, however
        many new ones it does. A trained `module` should not have seen all of X.
    lr : float, default=3e-4
        Learning rate of the method's own epochs, at their start. A large one learns by heart which
        rows are in X and which in the mixture.
    max_epochs : int, default=30
        Epochs of the method; 0, with ``pretrain_epochs``, trains a plain classifier.
    pretrain_epochs : int or "auto", default="auto"
        Epochs of cross-entropy alone before them (labels needed). ``"auto"``: as many as
        ``max_epochs``, none for a trained ``module``.
    pretrain_lr : float, default=3e-3
        Learning rate of the epochs of cross-entropy, at their start, where there are any. It is
        that of a classifier: a network that knows its classes little may lose them, for its
        cross-entropy is kept near what it was.
    batch_size : int or "auto", default="auto"
        In-distribution rows in a training batch. ``"auto"``: a sixteenth of them, from 8 to 64, so
        that an epoch of a small table has steps enough to learn; up to 128 of many rows.
    outlier_ratio : float, default=1.0
        Wild rows beside each in-distribution row of a batch.
    optimizer : {"adamw", "sgd"} or type, default="adamw"
        ``"sgd"`` is the paper's: Nesterov momentum 0.9, weight decay 5e-4.
    schedule : {"cosine", "constant"}, default="cosine"
        Learning rate over the steps. Pass "constant" beside an ``LRScheduler`` callback.
    augment : None, "crop-flip" or callable, default=None
        Transform of a joint batch of images, (n, C, H, W) in X's dtype, drawn anew at each step.
    dtype : {"float32", "float64", "int64"}, default="float32"
        What the module receives; "int64" for token ids.
    precision : {"float32", "bf16"}, default="float32"
        ``"bf16"`` computes products and convolutions in bfloat16, faster on processors that know
        it; a score then moves by a thousandth of the scores' range on average, by 2.2 % at most on
        the embedded digits. ``"float32"`` is exact, that is, in `dtype`.
    compile : bool or dict, default=False
        Whether to train by ``torch.compile``, with these arguments of it if a dict. On a GPU it
        may pay after the minutes that it takes; on a CPU it rarely does.
    callbacks : list of skorch callbacks, default=None
        Cloned before use. They run in the pretraining, too, whose history has no constraints; and
        ``train_loss`` rises with the penalties, so that it cannot tell when to stop.
    checkpoint : str or path-like, default=None
        File that is written anew after every epoch; ``fit(..., resume=True)`` goes on from there.
    verbose : bool or int, default=False
        Whether to show a progress bar.
    contamination : float, default=0.05
        Share of the training samples below the threshold ``offset_``, in (0, 0.5]. A network is
        surer of what it was trained on: of new samples of the same kind it refuses more.
    device : str, default="cpu"
        Where to train and, until the detector is stored and loaded, to score. "accelerate" shares
        the training among the processes that Hugging Face's Accelerate launched (docs/scale.md).
    random_state : int, RandomState or None, default=None
        Seeds initialisation, batches, outliers, dropout and augmentation.
    **kwargs : dict
        ``module__*``, ``optimizer__*``, ``callbacks__*`` and ``iterator_train__*`` (``shuffle``,
        ``drop_last``, ``read_ahead``), as in skorch.

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained network, in evaluation mode, without gradients.
    offset_ : float
        Threshold on ``score_samples``.
    classes_ : ndarray of shape (n_classes,) or None
        Sorted class labels; None after a fit without labels.
    history_ : list of dict
        One an epoch: ``phase``, ``epoch``, ``train_loss``, ``dur`` (seconds) and, of the method's
        own epochs, for the constraints ``false_alarms`` and ``ce`` each ``*_violation`` (after
        the epoch; met where not above 0), ``*_multiplier`` and ``*_penalty`` (as the next
        epoch has them), and ``slope`` and ``shift`` of g.
    n_iter_ : int
        Epochs run.
    n_features_in_ : int
        Columns of a table, channels of an image.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, where X had them.
    input_shape_ : tuple of int
        Shape of a sample.

    See Also
    --------
    EnergyExposureDetector : Outliers that are known to be outliers.
    skood.losses.augmented_lagrangian : What a constraint adds to the loss.

    Notes
    -----
    With ``g(x) = slope * logsumexp(logits) + shift``, both trained with the network, it minimises
    ``beta * mean(sigmoid(-g(x_out)))`` subject to ``mean(sigmoid(g(x_in))) <= alpha`` and
    ``CE(logits_in, y_in) <= ce_tolerance * CE_0``, where ``CE_0`` is measured in evaluation mode
    before. Each batch adds ``augmented_lagrangian(c, multiplier, penalty)`` for each
    constraint; after each epoch, measured in evaluation mode, the constraints move multiplier and
    penalty, which begin at 0 and 1. The slope begins at -1 over the standard deviation of the
    energies of both sides, and the shift where the first constraint is just met.

    The first constraint is measured on the rows held out, the second on those trained on. If more
    of the former are refused than of the latter, batches have to keep `alpha` less that difference:
    a deviation from the paper, which ``validation_fraction=0`` takes back.

    ``predict`` does not use g but the threshold `offset_`, which like that of all detectors comes
    from X, and refuses more of new rows. To decide by g instead, whose false alarms are kept on
    rows held out: ``last = detector.history_[-1]; detector.offset_ = -last["shift"] /
    last["slope"]``.

    Rows of X itself do not belong into the wild mixture: a network is surer of what it was trained
    on, so it would tell them from new ones. The paper splits the labelled data for its experiments.

    The released code starts g at random, so with either sign, and holds both multipliers in one
    tensor, so that each takes the steps of both; here they are two, as in the paper. Its recipe: a
    trained WideResNet(40, 2), ``optimizer="sgd"``, ``lr=0.001``, ``batch_size=128``,
    ``max_epochs=100``, ``validation_fraction=0``, the learning rate halved after epochs 50, 75 and
    90, no augmentation.

    Without labels the network has one output, the energy itself, and its cross-entropy is 0.

    References
    ----------
    .. [1] J. Katz-Samuels, J. Nakhleh, R. Nowak and Y. Li, "Training OOD Detectors in their Natural
       Habitats", ICML 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import WOODSDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=400)
    >>> X = rng.normal(size=(400, 2)) * 0.3 + 2 * y[:, None]
    >>> wild = np.concatenate([X[200:], rng.uniform(-3, 5, size=(200, 2))])  # nobody knows which
    >>> detector = WOODSDetector(lr=0.01, max_epochs=30, random_state=0)
    >>> detector = detector.fit(X[:200], y[:200], X_aux=(wild,))
    >>> detector.predict([[0.0, 0.0], [2.0, 2.0], [-3.0, 4.0]])
    array([ 1,  1, -1])
    """

    _parameter_constraints = {
        **BaseExposureDetector._parameter_constraints,
        "pretrain_lr": [Interval(Real, 0, None, closed="neither")],
        "alpha": [Interval(Real, 0, 1, closed="neither")],
        "ce_tolerance": [Interval(Real, 1, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "multiplier_lr": [Interval(Real, 0, None, closed="left")],
        "penalty_growth": [Interval(Real, 1, None, closed="left")],
        "constraint_tolerance": [Interval(Real, 0, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 0.5, closed="left")],
    }

    def __init__(
        self,
        module=None,
        *,
        alpha=0.05,
        ce_tolerance=2.0,
        beta=1.0,
        multiplier_lr=1.0,
        penalty_growth=1.5,
        constraint_tolerance=0.0,
        validation_fraction=0.2,
        lr=3e-4,
        max_epochs=30,
        pretrain_epochs="auto",
        pretrain_lr=3e-3,
        batch_size="auto",
        outlier_ratio=1.0,
        optimizer="adamw",
        schedule="cosine",
        augment=None,
        dtype="float32",
        precision="float32",
        compile=False,
        callbacks=None,
        checkpoint=None,
        verbose=False,
        contamination=0.05,
        device="cpu",
        random_state=None,
        **kwargs,
    ):
        self.module = module
        self.alpha = alpha
        self.ce_tolerance = ce_tolerance
        self.beta = beta
        self.multiplier_lr = multiplier_lr
        self.penalty_growth = penalty_growth
        self.constraint_tolerance = constraint_tolerance
        self.validation_fraction = validation_fraction
        self.lr = lr
        self.max_epochs = max_epochs
        self.pretrain_epochs = pretrain_epochs
        self.pretrain_lr = pretrain_lr
        self.batch_size = batch_size
        self.outlier_ratio = outlier_ratio
        self.optimizer = optimizer
        self.schedule = schedule
        self.augment = augment
        self.dtype = dtype
        self.precision = precision
        self.compile = compile
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.contamination = contamination
        self.device = device
        self.random_state = random_state
        self._set_hidden(**kwargs)

    def _read_range(self, x_in, pool):
        if self._begins_untrained() and self.classes_ is not None:
            raise ValueError(
                "pretrain_epochs=0, but WOODS keeps the classes that a network knows and does not "
                "teach them. Give epochs, 'auto', or a trained network as module."
            )

    def _pretrain_lr(self):
        return self.pretrain_lr

    def _hold_out(self, data, rng):
        """Draw rows evenly from all classes, of which each keeps one at least."""
        if self.max_epochs == 0:
            return data.held_out
        order = rng.permutation(len(data.y_in))
        order = order[data.y_in[order].argsort(kind="stable")]
        spare = np.delete(order, np.unique(data.y_in[order], return_index=True)[1])
        n = int(self.validation_fraction * len(spare))
        return spare[np.linspace(0, len(spare) - 1, n).astype(np.int64)]

    def _problem(self, data, rng):
        wild = Selection(data.pool, sample_rows(len(data.pool), _N_MEASURED, rng))
        logits_in, y_in, logits_held = self._measured(data)
        slope, shift = self._start(logits_in, logits_held, wild)
        most_ce = self.ce_tolerance * F.cross_entropy(logits_in, y_in).item()
        self._warn_of_classes(most_ce)
        loss = ConstrainedLoss(slope, shift, self.alpha, most_ce, self.beta)
        rule = {
            "lr": self.multiplier_lr, "growth": self.penalty_growth,
            "tolerance": self.constraint_tolerance,
        }
        return loss, [("multipliers", Multipliers(loss, partial(self._measured, data), **rule))]

    def _measured(self, data):
        """Return logits and labels of the rows trained on, and logits of those held out."""
        logits, (_, y_in) = self._predict_logits(data.x_in), data.trained_on()
        parts = np.delete(logits, data.held_out, axis=0), y_in, logits[data.held_out]
        return tuple(torch.from_numpy(part).to(self._processes.device) for part in parts)

    def _start(self, logits_in, logits_held, wild):
        """Return slope and shift with which g refuses alpha of X, of the rows held out if any."""
        scores_in, scores_held = (self._score(z.cpu().numpy()) for z in (logits_in, logits_held))
        spread = np.concatenate([scores_in, self._score(self._predict_logits(wild))]).std()
        slope = -1 / max(spread, _LEAST_SPREAD)
        return slope, _shift(slope * (scores_held if len(scores_held) else scores_in), self.alpha)

    def _tune(self, loader, data, rng):
        history = super()._tune(loader, data, rng)
        if history:
            n_counted = len(data.held_out) or len(data.x_in)
            self._warn_of_false_alarms(history[-1]["false_alarms_violation"], n_counted)
        return history

    def _warn_of_false_alarms(self, violation, n_counted):
        chance = 2 * math.sqrt(self.alpha * (1 - self.alpha) / n_counted)  # two standard errors
        if violation > self.constraint_tolerance + chance:
            warnings.warn(
                f"WOODS refuses {self.alpha + violation:.1%} of X, softly counted, where alpha="
                f"{self.alpha:.1%} was to be the most: the network tells X from the rows like X in "
                "X_aux. Lower lr, give more rows, or train longer.",
                UserWarning, stacklevel=6,
            )

    def _warn_of_classes(self, most_ce):
        n_classes = 1 if self.classes_ is None else len(self.classes_)
        if n_classes > 1 and most_ce >= math.log(n_classes):
            warnings.warn(
                f"the network knows its {n_classes} classes so little that its cross-entropy may "
                f"rise to {most_ce:.3g}, that of guessing being {math.log(n_classes):.3g}: WOODS "
                "may forget them. Pass a trained network, raise pretrain_lr or pretrain_epochs, or "
                "lower ce_tolerance.",
                UserWarning, stacklevel=8,
            )

    def _score(self, logits):
        return scores.energy(logits)


def _shift(values, alpha):
    """Return the shift at which the mean of ``sigmoid(values + shift)`` is ``alpha``."""
    logit = math.log(alpha / (1 - alpha))
    # Between what would do for the largest value alone, and what for the least.
    low, high = logit - values.max() - 1, logit - values.min() + 1
    return brentq(lambda shift: expit(values + shift).mean() - alpha, low, high)
