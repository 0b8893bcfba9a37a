"""Informative outlier mining without the attack (Chen, Li, Wu, Liang and Jha, ECML PKDD 2021)."""

from numbers import Integral, Real

from sklearn.utils._param_validation import Interval, StrOptions

from .abstaining import BaseAbstainingDetector
from .mining import mined


class NTOMDetector(BaseAbstainingDetector):
    """NTOM: outliers get a class of their own, trained on those that the network finds hard.

    Mines: at the start of each epoch the network scores a pool of outliers, and the epoch trains
    on a block of those it took for outliers least. Does not perturb them. The loss is the
    cross-entropy over K + 1 classes, the score minus the probability of the last.

    Parameters
    ----------
    module : None, type, callable or torch.nn.Module, default=None
        The network. None is an MLP for rows (n, d) and a small residual CNN for images; a class or
        callable is called as ``module(input_shape, n_outputs, **module__params)``; a trained
        instance with K outputs is copied, given one more, and fine-tuned.
    beta : float, default=1.0
        Weight of the outliers' term, in [0, inf).
    quantile : float, default=0.125
        Share of the hardest candidates to pass over, in [0, 1): 0 keeps the hardest, 0.75 (with
        the published pool size) the easiest. Choose it on validation outliers.
    pool_size : int or "auto", default="auto"
        Outliers scored at the start of each epoch. ``"auto"`` is the paper's: four for each kept
        or, with a warning, the whole pool where that is smaller, of which a quarter is kept then.
    record_kept : bool, default=False
        Whether ``history_`` is to hold the numbers of the outliers kept in each epoch: counted
        through ``X_aux``, all of a tuple, and then through the rows of X with ``y == -1``.
    lr : float, default=3e-3
        Learning rate at the start.
    max_epochs : int, default=30
        Epochs of the method; 0, with ``pretrain_epochs``, trains a plain classifier.
    pretrain_epochs : int or "auto", default=0
        Epochs of cross-entropy alone before them (labels needed). ``"auto"``: as many as
        ``max_epochs``, none for a trained ``module``.
    batch_size : int or "auto", default="auto"
        In-distribution rows in a training batch. ``"auto"``: a sixteenth of them, from 8 to 64, so
        that an epoch of a small table has steps enough to learn; up to 128 of many rows.
    outlier_ratio : float, default=2.0
        Outliers beside each in-distribution row of a batch, so also outliers kept for each row of
        X in an epoch.
    optimizer : {"adamw", "sgd"} or type, default="adamw"
        ``"sgd"`` is Nesterov momentum 0.9 with weight decay 5e-4; the paper's decay is 1e-4.
    schedule : {"cosine", "constant"}, default="cosine"
        Learning rate over the steps. Pass "constant" beside an ``LRScheduler`` callback.
    augment : None, "crop-flip" or callable, default=None
        Transform of a joint batch of images, (n, C, H, W) in X's dtype, drawn anew at each step
        and, unlike in the released code, after the mining.
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
        Seeds initialisation, batches, outliers, dropout and augmentation.
    **kwargs : dict
        ``module__*``, ``optimizer__*``, ``callbacks__*`` and ``iterator_train__*`` (``shuffle``,
        ``drop_last``, ``read_ahead``), as in skorch.

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained network with K + 1 outputs, in evaluation mode, without gradients.
    offset_ : float
        Threshold on ``score_samples``.
    classes_ : ndarray of shape (n_classes,) or None
        Sorted class labels; None after a fit without labels.
    history_ : list of dict
        One an epoch: ``phase``, ``epoch``, ``train_loss``, ``dur`` (seconds) and, of the mining,
        ``pool_confidence`` and ``kept_confidence`` (p_K of all candidates and of those kept:
        minimum, quartiles, maximum), ``selection_dur`` (seconds) and, if asked for,
        ``kept_index``.
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
    ATOMDetector : The same, with half of the outliers attacked.
    OutlierExposureDetector : Random outliers, and no class of their own.
    skood.sampling.informative : Which candidates are kept.

    Notes
    -----
    ``loss = CE(logits_in, y_in) + beta * CE(logits_out, K)``, both terms means over their rows of
    K + 1 logits, from one forward pass. The score is ``-p_K``, and a class is predicted among the
    first K. Of ``N`` candidates, ordered by p_K from the smallest, those of ranks
    ``floor(quantile * N)`` to ``floor(quantile * N) + n - 1`` are kept.

    A pool larger than ``pool_size`` is read in windows of neighbouring rows at random places, so a
    memmap is never loaded whole; no candidate is held, only row numbers. A torch ``Dataset`` reads
    the rows kept a second time.

    The paper's recipe: ``DenseNet`` (``module__depth=100``), ``optimizer="sgd"``,
    ``optimizer__weight_decay=1e-4``, ``lr=0.1`` divided by 10 after epochs 50, 75 and 90 of
    ``max_epochs=100`` (``schedule="constant"`` beside skorch's ``LRScheduler("MultiStepLR",
    milestones=[50, 75, 90])``), ``batch_size=64``, ``augment="crop-flip"``, ``quantile`` 0.125 for
    CIFAR-10 and 0 for SVHN.

    References
    ----------
    .. [1] J. Chen, Y. Li, X. Wu, Y. Liang and S. Jha, "ATOM: Robustifying Out-of-distribution
       Detection Using Outlier Mining", ECML PKDD 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import NTOMDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> A = rng.uniform(-3, 5, size=(2000, 2))
    >>> detector = NTOMDetector(lr=0.01, max_epochs=20, random_state=0).fit(X, y, X_aux=(A,))
    >>> detector.predict([[0.0, 0.0], [2.0, 2.0], [-3.0, 4.0]])
    array([ 1,  1, -1])
    >>> easiest_kept = detector.history_[-1]["kept_confidence"][-1]
    >>> bool(easiest_kept < detector.history_[-1]["pool_confidence"][-1])
    True
    """

    _parameter_constraints = {
        **BaseAbstainingDetector._parameter_constraints,
        "quantile": [Interval(Real, 0, 1, closed="left")],
        "pool_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "record_kept": ["boolean"],
    }

    def __init__(
        self,
        module=None,
        *,
        beta=1.0,
        quantile=0.125,
        pool_size="auto",
        record_kept=False,
        lr=3e-3,
        max_epochs=30,
        pretrain_epochs=0,
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
        self.beta = beta
        self.quantile = quantile
        self.pool_size = pool_size
        self.record_kept = record_kept
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

    def _selection(self, loader):
        return mined(self, loader)
