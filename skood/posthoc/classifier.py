"""The network that is trained where a user has none."""

from numbers import Integral

from sklearn.utils._param_validation import Interval

from ..training import BaseTrainedDetector, cross_entropy, log_odds


class Classifier(BaseTrainedDetector):
    """A plain classifier of X; without labels, of X against outliers.

    What a detector that reads a trained network trains where ``estimator=None``. Its own score is
    the largest logit.

    Parameters
    ----------
    module : None, type, callable or torch.nn.Module, default=None
        As for ``OutlierExposureDetector``, like all the others.
    lr, max_epochs, batch_size, outlier_ratio, optimizer, schedule, augment, dtype, precision
        As there; outliers are trained on only without labels.
    compile, callbacks, checkpoint, verbose, contamination, device, random_state, **kwargs
        As there.

    Notes
    -----
    As in every detector, ``predict`` says 1 (known) or -1, and ``predict_class`` names the class.

    Without labels the network has one output, the log-odds of X, trained by the binary
    cross-entropy in which X and the outliers, given or synthetic, weigh alike.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import KNNDetector
    >>> from skood.posthoc import Classifier
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> net = Classifier(max_epochs=5, random_state=0)
    >>> KNNDetector(net).fit(X, y).predict([[0.0, 0.0]])
    array([1])
    """

    _parameter_constraints = {
        **BaseTrainedDetector._parameter_constraints,
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(
        self,
        module=None,
        *,
        lr=3e-3,
        max_epochs=30,
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
        self.lr = lr
        self.max_epochs = max_epochs
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

    def _needs_outliers(self):
        return self.classes_ is None

    def _pretrain(self, data, rng):
        return []  # the method's own epochs are those of the classifier

    def _tune(self, loader, data, rng):
        if self.classes_ is None:
            return self._train(loader, log_odds, "train", self.max_epochs)
        return self._train(self._loader(data, None, rng), cross_entropy, "train", self.max_epochs)

    def _score(self, logits):
        return logits.max(axis=1)
