"""Gradient-regularised detection (Sharifi et al., ECCV 2024)."""

from numbers import Integral, Real

from sklearn.utils._param_validation import Interval, StrOptions

from .. import losses, scores
from ..sampling import cluster_extremes
from .bounding import BaseBoundingDetector
from .clustering import check_n_clusters, clustered

_CANDIDATES_RATIO = 3  # 384 for the 128 outliers of a batch, as published


class GRegDetector(BaseBoundingDetector):
    """GReg and GReg+: energies are parted by margins, and made flat on the side that they are on.

    Keeps random outliers (GReg) or, of every batch's candidates, the extremes of each cluster
    (GReg+); does not perturb them. To the two squared hinges of energy fine-tuning it adds the mean
    length of the energy's gradient with respect to the input where the hinge is satisfied, so that
    the neighbours of what is detected are detected, too.

    Parameters
    ----------
    module : None, type, callable or torch.nn.Module, default=None
        The network. None is an MLP for rows (n, d) and a small residual CNN for images; a class or
        callable is called as ``module(input_shape, n_outputs, **module__params)``; a trained
        instance is copied and fine-tuned.
    grad_weight : float, default=0.1
        Weight of the gradients' term, in [0, inf), in units of X: the same network on pixels from 0
        to 255 would need 255 times as much. 0 is energy fine-tuning, at its cost.
    sampling : {"random", "clustered"}, default="random"
        ``"clustered"`` is GReg+: candidates are drawn for every batch, the network's features of
        them clustered by k-means, and of each cluster the outlier with the lowest energy is kept
        (it breaks the margin most) and, with `both_ends`, the one with the highest (whose gradient
        counts).
    n_clusters : int or "auto", default="auto"
        Clusters for each batch. ``"auto"``: as many as fill its outliers, so a half of their number
        with `both_ends`. What fewer leave over is filled at random.
    n_candidates : int or "auto", default="auto"
        Outliers to look at for each batch. ``"auto"``: three for each kept, as published.
    both_ends : bool, default=True
        Whether to keep the highest energy of each cluster, too.
    beta : float, default=0.1
        Weight of the hinges, in [0, inf).
    m_in, m_out : float or "auto", default="auto"
        Energies, in nats, that X should stay below and outliers above. The published -25 and -7
        suit a large network; "auto" takes the mean energies of both sides before the method's own
        epochs.
    lr : float, default=3e-3
        Learning rate at the start (of the pretraining, too).
    max_epochs : int, default=30
        Epochs of the method; 0, with ``pretrain_epochs``, trains a plain classifier.
    pretrain_epochs : int or "auto", default="auto"
        Epochs of cross-entropy alone before them (labels needed). ``"auto"``: as many as
        ``max_epochs``, none for a trained ``module``.
    batch_size : int or "auto", default="auto"
        In-distribution rows in a training batch. ``"auto"``: a sixteenth of them, from 8 to 64, so
        that an epoch of a small table has steps enough to learn; up to 128 of many rows.
    outlier_ratio : float, default=2.0
        Outliers beside each in-distribution row of a batch.
    optimizer : {"adamw", "sgd"} or type, default="adamw"
        ``"sgd"`` is the paper's: Nesterov momentum 0.9, weight decay 5e-4.
    schedule : {"cosine", "constant"}, default="cosine"
        Learning rate over the steps. Pass "constant" beside an ``LRScheduler`` callback.
    augment : None, "crop-flip" or callable, default=None
        Transform of a joint batch of images, (n, C, H, W) in X's dtype, drawn anew at each step.
    dtype : {"float32", "float64"}, default="float32"
        What the module receives. Token ids, "int64", have no gradient.
    precision : {"float32", "bf16"}, default="float32"
        ``"bf16"`` computes products and convolutions in bfloat16, faster on processors that know
        it; a score then moves by a thousandth of the scores' range on average, by 2.2 % at most on
        the embedded digits. ``"float32"`` is exact, that is, in `dtype`.
    compile : bool or dict, default=False
        Whether to train by ``torch.compile``, with these arguments of it if a dict. On a GPU it
        may pay after the minutes that it takes; on a CPU it rarely does.
    callbacks : list of skorch callbacks, default=None
        Cloned before use.
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
    m_in_, m_out_ : float
        The margins used, in nats; absent where ``max_epochs=0`` and no outliers were given.
    module_ : torch.nn.Module
        The trained network, in evaluation mode, without gradients.
    offset_ : float
        Threshold on ``score_samples``.
    classes_ : ndarray of shape (n_classes,) or None
        Sorted class labels; None after a fit without labels.
    history_ : list of dict
        One an epoch: ``phase``, ``epoch``, ``train_loss``, ``dur`` (seconds) and, of
        clustered sampling, ``selection_dur`` (seconds).
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
    EnergyExposureDetector : The same without the gradients' term.
    DOSDetector : Clustered outliers with a class of their own.
    skood.losses.energy_gradient : The gradients' term.
    skood.sampling.cluster_extremes : Which candidates are kept.

    Notes
    -----
    ``loss = CE(logits_in, y_in) + beta * (mean(max(0, E_in - m_in)^2) + mean(max(0, m_out -
    E_out)^2)) + grad_weight * (mean(1[E_in <= m_in] * |dE_in/dx|) + mean(1[E_out >= m_out] *
    |dE_out/dx|))`` from one forward pass, and the score is ``-E``. The margins are those of
    ``EnergyExposureDetector``.

    This is the paper's formula. The released code divides the gradients' term once more by all rows
    of the batch (its weight of 1 is ``grad_weight=1/128`` for batches of 64 and 64, 1/192 with 128
    outliers), takes the gradient with respect to normalised pixels (a network with deviations of
    0.25 within has gradients four times as long in units of X), and computes it in a second
    forward pass, which updates BatchNorm's averages twice.

    The paper's recipes: GReg, a trained network, ``optimizer="sgd"``, ``max_epochs=20``; GReg+,
    from scratch, ``pretrain_epochs=0``, 50 epochs at ``lr=0.1`` and 10 at 0.01; both
    ``optimizer__weight_decay=1e-4``, ``batch_size=64``, ``beta=0.1``, ``augment="crop-flip"``.

    The highest end of a cluster already satisfies its hinge, so with `both_ends` half of the
    outliers teach the gradients alone. In a short fine-tuning on CIFAR-10 this costs 2 points of
    FPR95, and ``both_ends=False`` costs none (benchmarks/results/greg.md). Where the network gives
    outliers as low an energy as X at first, the "auto" margins lie one nat apart, which the default
    `grad_weight` can flatten: give margins farther apart (examples/plot_greg.py).

    Candidates are looked at as they come; augmentation follows, anew. Networks whose layers have no
    second derivative (cuDNN's recurrent ones), or that recompute BatchNorm's activations in the
    backward pass (checkpoints), need ``grad_weight=0``.

    References
    ----------
    .. [1] S. Sharifi, T. Entesari, B. Safaei, V. M. Patel and M. Fazlyab, "Gradient-Regularized
       Out-of-Distribution Detection", ECCV 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import GRegDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> A = rng.uniform(-3, 5, size=(400, 2))
    >>> detector = GRegDetector(sampling="clustered", lr=0.01, max_epochs=30, random_state=0)
    >>> detector = detector.fit(X, y, X_aux=(A,))
    >>> detector.predict([[0.0, 0.0], [2.0, 2.0], [-3.0, 4.0]])
    array([ 1,  1, -1])
    """

    _parameter_constraints = {
        **BaseBoundingDetector._parameter_constraints,
        "grad_weight": [Interval(Real, 0, None, closed="left")],
        "sampling": [StrOptions({"random", "clustered"})],
        "n_clusters": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "n_candidates": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "both_ends": ["boolean"],
        "dtype": [StrOptions({"float32", "float64"})],
    }

    def __init__(
        self,
        module=None,
        *,
        grad_weight=0.1,
        sampling="random",
        n_clusters="auto",
        n_candidates="auto",
        both_ends=True,
        beta=0.1,
        m_in="auto",
        m_out="auto",
        lr=3e-3,
        max_epochs=30,
        pretrain_epochs="auto",
        batch_size="auto",
        outlier_ratio=2.0,
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
        self.grad_weight = grad_weight
        self.sampling = sampling
        self.n_clusters = n_clusters
        self.n_candidates = n_candidates
        self.both_ends = both_ends
        self.beta = beta
        self.m_in = m_in
        self.m_out = m_out
        self.lr = lr
        self.max_epochs = max_epochs
        self.pretrain_epochs = pretrain_epochs
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
        if self.compile is not False and self.grad_weight > 0:
            raise ValueError(
                f"compile={self.compile!r}, but torch compiles no network whose input gradient is "
                "trained on: pass compile=False, or grad_weight=0."
            )

    def _selection(self, loader):
        if self.sampling == "random":
            return loader.choose
        check_n_clusters(self.n_clusters, min(loader.sizes_out), 1 + self.both_ends)
        return clustered(self, loader, _energy, self._extremes, _CANDIDATES_RATIO)

    def _extremes(self, energy, features, n):
        ends = 1 + (self.both_ends and n > 1)
        n_clusters = n // ends if self.n_clusters == "auto" else self.n_clusters
        return cluster_extremes(energy, features, n_clusters, n, both_ends=ends == 2)

    def _penalty(self):
        if self.grad_weight == 0:
            return None
        return lambda x, logits_in, logits_out: self.grad_weight * losses.energy_gradient(
            x, logits_in, logits_out, self.m_in_, self.m_out_
        )


def _energy(logits):
    return -scores.energy(logits)
