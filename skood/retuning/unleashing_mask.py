"""Unleashing Mask (Zhu, Li, Yao, Liu, Xu and Han, ICML 2023)."""

from numbers import Integral, Real

from sklearn.utils._param_validation import Interval, StrOptions
from torch.nn import functional as F

from .. import losses, scores
from ..exposure.bounding import BaseBoundingDetector
from ..training import log_odds
from .level import set_level
from .masks import maskable_weights
from .popup import PopupNet
from .reading import check_score, read


class UnleashingMaskDetector(BaseBoundingDetector):
    """Unleashing Mask: a trained classifier is made to forget the odd samples it has memorised.

    Measures the loss of the network under small random masks, which wipe out first what it knows
    of few samples; then trains until the loss floats at that level. Needs labelled X alone, no
    outliers. UM, ``strategy="finetune"``, trains all weights; UMAP, ``"prune"``, freezes them and
    learns which to leave out, so that the network it began with is kept.

    Measure it before you keep it: it is for a network, wide and trained long, that has memorised
    odd samples, such as wrong labels. Where there are none to forget it does harm, and where there
    are, the measured level may be too low to help or so high that the classes are lost. The Notes
    have numbers.

    Parameters
    ----------
    module : None, type, callable or torch.nn.Module, default=None
        The network. None is an MLP for rows (n, d) and a small residual CNN for images; a class or
        callable is called as ``module(input_shape, n_outputs, **module__params)``; a trained
        instance, what the method is made for, is copied and retuned.
    strategy : {"finetune", "prune"}, default="finetune"
        UM or UMAP.
    remove_fraction : float, default=0.035
        Share of the weights of each layer that a mask REMOVES to measure the level, in [0, 1).
    n_masks : int, default=5
        Random masks that the level is the mean of, at least 1.
    level : float or "auto", default="auto"
        The cross-entropy, in nats, where the loss is to float, at least 0. "auto" measures it; 0
        goes on with plain training.
    keep_fraction : float, default=0.8
        With ``"prune"``, share of the weights of each layer that is KEPT, in (0, 1].
    score : {"energy", "msp", "max_logit"} or callable, default="energy"
        A callable, ``score(logits)`` of an array (n, K), returns n numbers, higher = more
        in-distribution. For scores that read more than logits, see the Notes.
    exposure : {"oe", "energy"}, default="oe"
        How outliers join the loss, where ``X_aux`` is given beside labels: as in
        `OutlierExposureDetector` or as in `EnergyExposureDetector`.
    beta : float, default=0.5
        Weight of that term, in [0, inf); 0.5 is published for "oe", 0.1 for "energy".
    m_in, m_out : float or "auto", default="auto"
        With ``exposure="energy"``, energies, in nats, that X should stay below and outliers above;
        "auto" takes the mean energies of both sides before the retuning.
    lr : float, default=3e-3
        Learning rate at the start (of the pretraining, too).
    max_epochs : int, default=30
        Epochs of the retuning; 0, with ``pretrain_epochs``, trains a plain classifier.
    pretrain_epochs : int or "auto", default="auto"
        Epochs of plain training before them. ``"auto"``: as many as ``max_epochs``, none for a
        trained ``module``.
    batch_size : int or "auto", default="auto"
        In-distribution rows in a training batch. ``"auto"``: a sixteenth of them, from 8 to 64, so
        that an epoch of a small table has steps enough to learn; up to 128 of many rows.
    outlier_ratio : float, default=2.0
        Outliers, where there are any, beside each in-distribution row of a batch.
    optimizer : {"adamw", "sgd"} or type, default="adamw"
        ``"sgd"`` is Nesterov momentum 0.9 with weight decay 5e-4.
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
        Seeds initialisation, masks, scores of weights, batches, dropout and augmentation.
    **kwargs : dict
        ``module__*``, ``optimizer__*``, ``callbacks__*`` and ``iterator_train__*`` (``shuffle``,
        ``drop_last``, ``read_ahead``), as in skorch.

    Attributes
    ----------
    level_ : float
        The level used, in nats; like the following three, absent where ``max_epochs=0``.
    level_std_ : float
        Standard deviation of the loss from mask to mask; absent where the level was given.
    original_module_ : torch.nn.Module
        With ``strategy="prune"``, the network before: ``module_`` is that with weights set to 0,
        and statistics of BatchNorm that have moved on. In memory the two share what is never
        masked: weights with zeros among them lie beside the whole ones, as ``module_`` is an
        ordinary module of the same class. A file holds both, and a trained `module` beside them.
    m_in_, m_out_ : float
        The margins used, in nats; only where outliers join the loss by ``exposure="energy"``.
    module_ : torch.nn.Module
        The retuned network, in evaluation mode, without gradients.
    offset_ : float
        Threshold on ``score_samples``.
    classes_ : ndarray of shape (n_classes,) or None
        Sorted class labels; None after a fit without labels.
    history_ : list of dict
        One an epoch: ``phase``, ``epoch``, ``train_loss`` (the flooded one), ``dur`` (seconds).
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
    EnergyExposureDetector : Fine-tunes with outliers.
    skood.losses.flooding : The loss, usable alone.
    skood.retuning.IntermediateStage : Shows at which stage of a training outliers are told best.

    Notes
    -----
    ``loss = |CE - level| + level`` of the mean cross-entropy of a batch: below the level, training
    goes up. With outliers, ``+ beta * CE(U, p_out)`` or the squared hinges times ``beta``.

    The level is the mean cross-entropy over 5000 rows of X (all, if fewer), augmented as in
    training, under ``n_masks`` masks over the weights of all Conv and Linear layers, biases
    excepted, with dropout off and BatchNorm's statistics those of the whole network; it does not
    depend on ``batch_size``. Of a network that has not memorised anything the level is hardly
    above its loss, and little happens.

    ``"prune"`` is edge-popup: each weight has a score, drawn at random; the largest ``|score|`` of
    a layer are kept, and the gradient reaches the scores straight through the mask. BatchNorm's
    statistics follow the training.

    The published recipe: a trained ``DenseNet`` (``module__depth=100``, dropout 0.3),
    ``optimizer="sgd"``, ``optimizer__nesterov=False``, ``optimizer__weight_decay=1e-4``,
    ``lr=0.1``, ``max_epochs=100``, ``batch_size=256``, ``augment="crop-flip"``.

    The released commands never apply the method, because their criterion stays plain cross-entropy
    unless it is changed, too. Their rate for the level, 0.965, is the share that is kept, and they
    take one mask. Masks may disagree widely: on the small network of ``benchmarks/um.py`` their
    loss deviates by 0.07 to 0.67 nats about levels of 0.13 to 0.84, which is why ``n_masks`` is 5.
    On CIFAR-100 they train the weights along with the scores.

    The paper reports the effect for a DenseNet trained long on CIFAR [1]_. Measured here, mean
    FPR95 by the energy, of test sets that nothing was chosen by:

    - Embedded digits, a tenth of the labels drawn anew, five seeds, from 0.60: 0.63 by UM and 0.50
      by UMAP at the measured level, 0.41 by UM at a level chosen on held-out outliers, 0.72 by as
      much plain training (``examples/plot_unleashing_mask.py``).
    - Embedded digits as they are, all parameters at their defaults, three seeds, from 0.09: 0.26
      by UM, 0.33 by UMAP, 0.11 by as much plain training (``benchmarks/um.py``).
    - 4,000 images of Fashion-MNIST and a small network, three seeds: none is below the start,
      with wrong labels or without; with wrong labels UM at a chosen level is more accurate, and
      better read by MSP (``benchmarks/results/um.md``).

    On small networks masks of 3.5 % may cost so much that the measured level is far too high; where
    the masks disagree a warning says so, and a `level` of your own is the way out.

    Any other score reads the fitted detector, ``ODINDetector(FrozenEstimator(detector))``, or one
    of its networks, ``MahalanobisDetector(detector.original_module_)``.

    Without labels the network has one output, the log-odds of X against the outliers, given or
    synthetic. It is pretrained by, and the level is one of, the binary cross-entropy, to which X
    and the outliers add half each; ``exposure`` has no part in it. The scores "energy" and
    "max_logit" are then that output, and "msp" has no meaning.

    References
    ----------
    .. [1] J. Zhu, H. Li, J. Yao, T. Liu, J. Xu and B. Han, "Unleashing Mask: Explore the Intrinsic
       Out-of-Distribution Detection Capability", ICML 2023.
    .. [2] V. Ramanujan, M. Wortsman, A. Kembhavi, A. Farhadi and M. Rastegari, "What's Hidden in a
       Randomly Weighted Neural Network?", CVPR 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import UnleashingMaskDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> detector = UnleashingMaskDetector(max_epochs=10, random_state=0).fit(X, y)
    >>> detector.predict_class([[0.0, 0.0], [2.0, 2.0]])
    array([0, 1])
    >>> bool(detector.level_ > 0)
    True
    """

    _parameter_constraints = {
        **BaseBoundingDetector._parameter_constraints,
        "strategy": [StrOptions({"finetune", "prune"})],
        "remove_fraction": [Interval(Real, 0, 1, closed="left")],
        "n_masks": [Interval(Integral, 1, None, closed="left")],
        "level": [Interval(Real, 0, None, closed="left"), StrOptions({"auto"})],
        "keep_fraction": [Interval(Real, 0, 1, closed="right")],
        "score": [str, callable],
        "exposure": [StrOptions({"oe", "energy"})],
    }

    def __init__(
        self,
        module=None,
        *,
        strategy="finetune",
        remove_fraction=0.035,
        n_masks=5,
        level="auto",
        keep_fraction=0.8,
        score="energy",
        exposure="oe",
        beta=0.5,
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
        self.strategy = strategy
        self.remove_fraction = remove_fraction
        self.n_masks = n_masks
        self.level = level
        self.keep_fraction = keep_fraction
        self.exposure = exposure
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
        self._set_hidden(score=score, **kwargs)

    def _needs_outliers(self):
        return self.classes_ is None and self.max_epochs > 0

    def _read_range(self, x_in, pool):
        check_score(self._hidden["score"])
        if self.classes_ is None and self._hidden["score"] == "msp":
            raise ValueError(
                "score='msp' is a probability among classes, and there are no labels: pass y, or "
                "score='energy'."
            )
        if self._begins_untrained() and self.level == "auto":
            raise ValueError(
                "pretrain_epochs=0 leaves no trained network whose level could be measured. Give "
                "epochs, 'auto', a trained network as module, or a level."
            )

    # ---- the classifier that is retuned

    def _build(self, x_in):
        module = super()._build(x_in)
        if self.max_epochs > 0 and (self.strategy == "prune" or self.level == "auto"):
            maskable_weights(module)  # it refuses now, not after the pretraining
        return module

    def _pretrain(self, data, rng):
        if self.classes_ is not None:
            return super()._pretrain(data, rng)
        if data.pool is None:
            return []
        loader = self._loader(data, data.pool, rng)
        return self._train(loader, log_odds, "pretrain", self._n_pretrain_epochs())

    # ---- the retuning

    def _tune(self, loader, data, rng):
        if self.max_epochs == 0:
            return []
        loss, watch = self._problem(data, rng)
        if self.strategy == "finetune":
            return self._train(loader, loss, "retune", self.max_epochs, watch=watch)
        self.original_module_ = self.module_.eval().requires_grad_(False)
        self.module_ = PopupNet(self.original_module_, self.keep_fraction)
        history = self._train(loader, loss, "retune", self.max_epochs, watch=watch)
        self.module_ = self.module_.pruned()
        return history

    def _problem(self, data, rng):
        set_level(self, data, rng)
        joined = self.classes_ is not None and data.pool is not None
        if joined and self.exposure == "energy":
            self._set_margins(data, rng)
        return self._loss, []

    def _loss(self, logits_in, y_in, logits_out):
        if self.classes_ is None:
            return losses.flooding(log_odds(logits_in, y_in, logits_out), self.level_)
        ce = F.cross_entropy(logits_in, y_in)
        flooded = losses.flooding(ce, self.level_)
        if not len(logits_out):
            return flooded
        # The terms as the siblings have them, whose cross-entropy is flooded.
        return self._exposed(logits_in, y_in, logits_out) + (flooded - ce)

    def _exposed(self, logits_in, y_in, logits_out):
        if self.exposure == "oe":
            return losses.outlier_exposure(logits_in, y_in, logits_out, self.beta)
        return super()._loss(logits_in, y_in, logits_out)

    # ---- the score

    def _score(self, logits):
        return read(self._hidden["score"], logits)

    def _objective(self, logits):
        if self._hidden["score"] == "msp":
            return scores.msp(logits, log_odds=True)
        return self._score(logits)
