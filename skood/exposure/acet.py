"""Adversarial confidence enhanced training (Hein, Andriushchenko and Bitterwolf, CVPR 2019)."""

from .. import scores
from .attacking import ATTACK_CONSTRAINTS, half_attacked, set_attack, within_bounds
from .flattening import BaseFlatteningDetector


class ACETDetector(BaseFlatteningDetector):
    """ACET: Outlier Exposure in which half of the outliers are attacked.

    Keeps random outliers, perturbs half of every batch's so that the network is sure of a class,
    and adds to the classifier's cross-entropy the cross-entropy of its prediction on all of them
    against the uniform distribution. A baseline of the ATOM paper [2]_, and built as there.

    Parameters
    ----------
    module : None, type, callable or torch.nn.Module, default=None
        The network. None is an MLP for rows (n, d) and a small residual CNN for images; a class or
        callable is called as ``module(input_shape, n_outputs, **module__params)``; a trained
        instance is copied and fine-tuned.
    beta : float, default=1.0
        Weight of the outliers' term, in [0, inf).
    score : {"msp", "uniform"}, default="msp"
        ``"msp"`` is the largest class probability; ``"uniform"`` the cross-entropy of the uniform
        distribution against the prediction, H(U; p), which is what the attack climbs.
    eps : float or "auto", default="auto"
        Largest change of a coordinate in the attack, in units of X. ``"auto"``: 8/255 of the range
        for images; for a table a tenth of the root mean square of its columns' standard deviations.
    step_size : float or "auto", default="auto"
        Length of one step of the attack, in units of X; ``"auto"`` is a quarter of eps.
    n_steps : int, default=5
        Steps of the attack; with 0 the method is Outlier Exposure.
    bounds : tuple (lowest, highest), None or "auto", default="auto"
        Range of the data, outliers included, which no attack leaves; None for no range. ``"auto"``
        is (0, 1) for images, 8-bit ones too, and None for a table whose eps is "auto"; where eps
        is given for a table, so must the bounds be.
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
    outlier_ratio : float, default=1.0
        Outliers beside each in-distribution row of a batch, the second half of which is attacked.
    optimizer : {"adamw", "sgd"} or type, default="adamw"
        ``"sgd"`` is Nesterov momentum 0.9 with weight decay 5e-4; the decay in [2]_ is 1e-4.
    schedule : {"cosine", "constant"}, default="cosine"
        Learning rate over the steps. Pass "constant" beside an ``LRScheduler`` callback.
    augment : None, "crop-flip" or callable, default=None
        Transform of a joint batch of images, (n, C, H, W) in X's dtype, drawn anew at each step.
    dtype : {"float32", "float64"}, default="float32"
        What the module receives. Token ids, "int64", cannot be attacked: see
        ``OutlierExposureDetector``.
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
        Seeds initialisation, batches, outliers, attacks, dropout and augmentation.
    **kwargs : dict
        ``module__*``, ``optimizer__*``, ``callbacks__*`` and ``iterator_train__*`` (``shuffle``,
        ``drop_last``, ``read_ahead``), as in skorch.

    Attributes
    ----------
    eps_, step_size_ : float
        The attack's radius and step, in units of X.
    bounds_ : tuple or None
        The range kept to.
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
    OutlierExposureDetector : The same without the attack: faster, and not robust.
    ATOMDetector : Attacked outliers too, mined and with a class of their own.
    skood.robustness.evaluate_robustness : Shows what the attack buys.
    skood.attacks.pgd_linf : The attack.

    Notes
    -----
    ``loss = CE(logits_in, y_in) + beta * mean(logsumexp(logits_out) - mean(logits_out))``, both
    terms means over their rows, from one forward pass of X's rows, the clean outliers and the
    attacked ones. X's rows are not attacked.

    The attack climbs ``logsumexp(logits) - mean(logits)`` by ``n_steps`` signed gradient steps in
    evaluation mode, from a random start (on whole pixel values for images in [0, 1]), and takes
    for each outlier the worst point that it met, the clean one included.

    The original [1]_ differs: its outliers are noise images (uniform noise and shuffled pixels),
    as many as X's rows and all attacked, in a ball of 0.3 with 40 steps, and both the attack and
    the outliers' term use the log of the largest probability in place of H(U; p).

    On tables ``eps`` says how wrong a measurement of an outlier may be; columns of one scale are
    assumed, as everywhere in this library.

    The recipe of [2]_: ``DenseNet`` (``module__depth=100``), ``optimizer="sgd"``,
    ``optimizer__weight_decay=1e-4``, ``lr=0.1`` divided by 10 after epochs 50, 75 and 90 of
    ``max_epochs=100`` (``schedule="constant"`` beside skorch's ``LRScheduler("MultiStepLR",
    milestones=[50, 75, 90])``), ``batch_size=128``, ``augment="crop-flip"``, and the defaults of
    the attack and of ``outlier_ratio``.

    Without labels the classifier is X against the outliers, the score is minus the probability of
    the outliers, and the attack lowers that.

    References
    ----------
    .. [1] M. Hein, M. Andriushchenko and J. Bitterwolf, "Why ReLU Networks Yield High-Confidence
       Predictions Far Away from the Training Data and How to Mitigate the Problem", CVPR 2019.
    .. [2] J. Chen, Y. Li, X. Wu, Y. Liang and S. Jha, "ATOM: Robustifying Out-of-distribution
       Detection Using Outlier Mining", ECML PKDD 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import ACETDetector
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> A = rng.uniform(-3, 5, size=(400, 2))
    >>> detector = ACETDetector(lr=0.01, max_epochs=30, random_state=0).fit(X, y, X_aux=(A,))
    >>> detector.predict([[0.0, 0.0], [2.0, 2.0], [-3.0, 4.0]])
    array([ 1,  1, -1])
    >>> detector.predict_class([[0.0, 0.0], [2.0, 2.0]])
    array([0, 1])
    """

    _parameter_constraints = {
        **BaseFlatteningDetector._parameter_constraints,
        **ATTACK_CONSTRAINTS,
    }

    def __init__(
        self,
        module=None,
        *,
        beta=1.0,
        score="msp",
        eps="auto",
        step_size="auto",
        n_steps=5,
        bounds="auto",
        lr=3e-3,
        max_epochs=30,
        pretrain_epochs=0,
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
        self.beta = beta
        self.eps = eps
        self.step_size = step_size
        self.n_steps = n_steps
        self.bounds = bounds
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

    def _read_range(self, x_in, pool):
        set_attack(self, x_in, pool)

    def _perturbation(self):
        # H(U; p) whatever the score: as published, training does not depend on how one scores.
        climbed = self._objective if self.classes_ is None else scores.uniform
        return half_attacked(self, climbed)

    def _outlier_check(self):
        return within_bounds(self)
