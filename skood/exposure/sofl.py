"""Self-supervised outlier features by reject classes (Mohseni et al., AAAI 2020)."""

from numbers import Integral, Real

from sklearn.utils._param_validation import Interval

from .. import losses, scores
from .base import BaseExposureDetector


class SOFLDetector(BaseExposureDetector):
    """SOFL: outliers sort themselves into several reject classes, after the classifier is trained.

    Keeps random outliers and does not perturb them. First trains a classifier that has outputs for
    the reject classes, too; then adds the cross-entropy of the outliers against pseudo-labels: the
    reject class that the network predicts, or a random one where it predicts none. The score is
    minus the probability of all reject classes together.

    Parameters
    ----------
    module : None, type, callable or torch.nn.Module, default=None
        The network. None is an MLP for rows (n, d) and a small residual CNN for images; a class or
        callable is called as ``module(input_shape, n_outputs, **module__params)``; a trained
        instance with K outputs is copied, given ``n_reject`` more, and fine-tuned.
    n_reject : int, default=5
        Number of reject classes, at least 1; as published, 5 for 10 classes and 10 for 100.
    beta : float, default=5.0
        Weight of the outliers' term, in [0, inf).
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
    outlier_ratio : float, default=5.0
        Outliers beside each in-distribution row of a batch.
    optimizer : {"adamw", "sgd"} or type, default="adamw"
        ``"sgd"`` is Nesterov momentum 0.9 with weight decay 5e-4; the decay in [2]_ is 1e-4.
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
        Seeds initialisation, batches, outliers, pseudo-labels, dropout and augmentation.
    **kwargs : dict
        ``module__*``, ``optimizer__*``, ``callbacks__*`` and ``iterator_train__*`` (``shuffle``,
        ``drop_last``, ``read_ahead``), as in skorch.

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained network with K + n_reject outputs, in evaluation mode, without gradients.
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
    NTOMDetector : One class for outliers, which are mined.
    OutlierExposureDetector : Random outliers, and no class of their own.
    skood.losses.rejection : The loss, usable alone.

    Notes
    -----
    ``loss = CE(logits_in, y_in) + beta * CE(logits_out, pseudo_label)``, both terms means over
    their rows of K + n_reject logits, from one forward pass. ``pseudo_label`` is the argmax over
    all of an outlier's logits if that is a reject class, else one of the reject classes at random.
    The score is ``-sum(p_k, k >= K)``, and a class is predicted among the first K.

    Nothing keeps the reject classes in balance: on small sets (scikit-learn's digits) the one that
    leads soon takes nearly all outliers, whatever ``n_reject``.

    Each phase starts with a fresh optimizer and runs through its own schedule.

    The recipe of the ATOM paper [2]_, in whose tables the method stands: ``DenseNet``
    (``module__depth=100``), ``optimizer="sgd"``, ``optimizer__weight_decay=1e-4``, ``lr=0.1``
    divided by 10 after epochs 50, 75 and 90 of ``max_epochs=100`` in both phases
    (``schedule="constant"`` beside skorch's ``LRScheduler("MultiStepLR", milestones=[50, 75,
    90])``), ``batch_size=64``, ``augment="crop-flip"``.

    Without labels K is 1: the classifier is X against the reject classes, and there is no first
    phase.

    References
    ----------
    .. [1] S. Mohseni, M. Pitale, J. Yadawa and Z. Wang, "Self-Supervised Learning for
       Generalizable Out-of-Distribution Detection", AAAI 2020.
    .. [2] J. Chen, Y. Li, X. Wu, Y. Liang and S. Jha, "ATOM: Robustifying Out-of-distribution
       Detection Using Outlier Mining", ECML PKDD 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import SOFLDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> A = rng.uniform(-3, 5, size=(2000, 2))
    >>> detector = SOFLDetector(lr=0.01, max_epochs=15, random_state=0).fit(X, y, X_aux=(A,))
    >>> detector.predict([[0.0, 0.0], [2.0, 2.0], [-3.0, 4.0]])
    array([ 1,  1, -1])
    >>> detector.predict_class([[0.0, 0.0], [2.0, 2.0]])
    array([0, 1])
    """

    _parameter_constraints = {
        **BaseExposureDetector._parameter_constraints,
        "n_reject": [Interval(Integral, 1, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        module=None,
        *,
        n_reject=5,
        beta=5.0,
        lr=3e-3,
        max_epochs=30,
        pretrain_epochs="auto",
        batch_size="auto",
        outlier_ratio=5.0,
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
        self.n_reject = n_reject
        self.beta = beta
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

    def _n_outputs(self, n_classes):
        return n_classes + self.n_reject

    def _loss(self, logits_in, y_in, logits_out):
        return losses.rejection(logits_in, y_in, logits_out, self.n_reject, self.beta)

    def _score(self, logits):
        return scores.rejection(logits, self.n_reject)

    def _objective(self, logits):
        return scores.rejection(logits, self.n_reject, log_odds=True)
