"""Energy-bounded learning with outliers (Liu, Wang, Owens and Li, NeurIPS 2020)."""

from .bounding import BaseBoundingDetector


class EnergyExposureDetector(BaseBoundingDetector):
    """Energy fine-tuning: outliers are pushed to high energy, X is kept at low energy.

    Keeps random outliers, does not perturb them, and adds two squared hinges on the energy
    ``E(x) = -logsumexp(logits(x))`` to the cross-entropy of a trained classifier.

    Parameters
    ----------
    module : None, type, callable or torch.nn.Module, default=None
        The network. None is an MLP for rows (n, d) and a small residual CNN for images; a class or
        callable is called as ``module(input_shape, n_outputs, **module__params)``; a trained
        instance is copied and fine-tuned.
    beta : float, default=0.1
        Weight of the hinges, in [0, inf).
    m_in, m_out : float or "auto", default="auto"
        Energies, in nats, that X should stay below and outliers above. The published -23 and -5
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
    m_in_, m_out_ : float
        The margins used, in nats; absent where ``max_epochs=0`` and no outliers were given.
    module_ : torch.nn.Module
        The trained network, in evaluation mode, without gradients.
    offset_ : float
        Threshold on ``score_samples``.
    classes_ : ndarray of shape (n_classes,) or None
        Sorted class labels; None after a fit without labels.
    history_ : list of dict
        One an epoch: ``phase``, ``epoch``, ``train_loss``, ``dur`` (seconds).
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
    OutlierExposureDetector : Flattens the prediction on outliers instead.

    Notes
    -----
    ``loss = CE(logits_in, y_in) + beta * (mean(max(0, E_in - m_in)^2)
    + mean(max(0, m_out - E_out)^2))``, and the score is ``-E``.

    With "auto", margins that would lie less than one nat apart (or swapped, or the wrong way
    round) are set half a nat to both sides of their middle. The published margins make a small
    network forget its classes, which is why they are not the default.

    The paper's recipe: a trained WideResNet(40, 2), ``optimizer="sgd"``, ``lr=0.001``,
    ``max_epochs=10``, ``batch_size=128``, ``m_in=-23``, ``m_out=-5``, ``augment="crop-flip"``. The
    released code's cosine ends at 1e-6, here it ends at 0.

    Without labels the network has one output, whose hinges separate X from the outliers.

    References
    ----------
    .. [1] W. Liu, X. Wang, J. Owens and Y. Li, "Energy-based Out-of-distribution Detection",
       NeurIPS 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import EnergyExposureDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> A = rng.uniform(-3, 5, size=(400, 2))
    >>> detector = EnergyExposureDetector(lr=0.01, max_epochs=30, random_state=0)
    >>> detector = detector.fit(X, y, X_aux=(A,))
    >>> detector.predict([[0.0, 0.0], [2.0, 2.0], [-3.0, 4.0]])
    array([ 1,  1, -1])
    """

    def __init__(
        self,
        module=None,
        *,
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
