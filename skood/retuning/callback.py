"""A callback that watches for the stage of a training at which outliers are told best."""

import numpy as np
from skorch.callbacks import Callback

from ..engine.inference import predict_logits
from ..metrics import auroc, fpr95
from ..validation import check_shape
from .reading import check_score, read

_CURVES = {"id_accuracy": "accuracy on X", "ood_auroc": "AUROC", "ood_fpr95": "FPR95"}


class IntermediateStage(Callback):
    """After each epoch, measures accuracy and detection on samples held out.

    A classifier often detects best in the middle of its training, before it has learned the last
    odd samples by heart, while its accuracy still rises [1]_. Pass an instance among a detector's
    ``callbacks``: the measurements stand in the detector's ``history_``, pretraining included.

    Parameters
    ----------
    X_in : array of shape (n, *input_shape)
        In-distribution samples that are not trained on, as the detector's X: 8-bit images are read
        as [0, 1].
    y_in : array of shape (n,)
        Their labels. Every class must occur, since classes are counted off in sorted order.
    X_ood : array of shape (m, *input_shape)
        Outliers. Whatever is chosen by them must not be judged by them.
    score : {"energy", "msp", "max_logit"} or callable, default="energy"
        ``score(logits)``, of an array (n, K), returns n numbers, higher = more in-distribution.

    See Also
    --------
    skood.UnleashingMaskDetector : Takes a trained network back to such a stage.
    skood.plotting.TrainingCurveDisplay : Draws these columns, or others.

    Notes
    -----
    The columns are ``id_accuracy``, ``ood_auroc`` and ``ood_fpr95`` (the share of outliers that
    pass where 95 % of X do). The network is run in evaluation mode and is not touched. Only for
    networks of one output a class. The samples are stored with the detector, as its parameters are.

    References
    ----------
    .. [1] J. Zhu, H. Li, J. Yao, T. Liu, J. Xu and B. Han, "Unleashing Mask: Explore the Intrinsic
       Out-of-Distribution Detection Capability", ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import UnleashingMaskDetector
    >>> from skood.retuning import IntermediateStage
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=300)
    >>> X = rng.normal(size=(300, 2)) + 2 * y[:, None]
    >>> stage = IntermediateStage(X[200:], y[200:], rng.uniform(-6, 8, size=(100, 2)))
    >>> detector = UnleashingMaskDetector(max_epochs=3, callbacks=[stage], random_state=0)
    >>> detector = detector.fit(X[:200], y[:200])
    >>> [row["phase"] for row in detector.history_ if row["id_accuracy"] > 0.5]
    ['pretrain', 'pretrain', 'pretrain', 'retune', 'retune', 'retune']
    """

    def __init__(self, X_in, y_in, X_ood, score="energy"):
        self.X_in = X_in
        self.y_in = y_in
        self.X_ood = X_ood
        self.score = score

    def on_train_begin(self, net, **kwargs):
        """Check what was given, before an epoch is spent."""
        check_score(self.score)
        for name, X in (("X_in", self.X_in), ("X_ood", self.X_ood)):
            if not len(X):
                raise ValueError(f"{name} must hold at least one sample, got none.")
            check_shape(np.shape(X)[1:], net.loader.X.shape[1:], name)
        if np.shape(self.y_in) != (len(self.X_in),):
            raise ValueError(
                f"y_in must hold one label for each of the {len(self.X_in)} samples of X_in, shape "
                f"({len(self.X_in)},); got {np.shape(self.y_in)}."
            )

    def on_epoch_end(self, net, **kwargs):
        """Write the three columns of this epoch."""
        logits_in, logits_ood = (
            predict_logits(net.module_, np.asarray(X), net.loader.dtype, net.precision)
            for X in (self.X_in, self.X_ood)
        )
        truth = np.repeat([1, -1], [len(logits_in), len(logits_ood)])
        values = np.concatenate([read(self.score, logits_in), read(self.score, logits_ood)])
        net.history.record("id_accuracy", self._accuracy(logits_in))
        net.history.record("ood_auroc", auroc(truth, values))
        net.history.record("ood_fpr95", fpr95(truth, values))

    def _accuracy(self, logits):
        classes, y = np.unique(self.y_in, return_inverse=True)
        if len(classes) != logits.shape[1]:
            raise ValueError(
                f"y_in must hold every class: it has {len(classes)}, the network "
                f"{logits.shape[1]} outputs. A network of one output, or of one more than there "
                "are classes, cannot be watched."
            )
        return float(np.mean(logits.argmax(axis=1) == y))

    @staticmethod
    def plot(history, ax=None):
        """Draw accuracy and detection over the epochs.

        Parameters
        ----------
        history : list of dict
            The ``history_`` of a detector that was fitted with this callback.
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None: on a new figure.

        Returns
        -------
        matplotlib.axes.Axes
            Those of a `skood.plotting.TrainingCurveDisplay`: a dotted line ends each phase but the
            last.

        Raises
        ------
        ValueError
            If the history has not all the columns.
        """
        if not history or any(name not in row for row in history for name in _CURVES):
            raise ValueError(
                "history must be the history_ of a detector that was fitted with an "
                f"IntermediateStage among its callbacks; every row needs {', '.join(_CURVES)}."
            )
        from ..plotting import TrainingCurveDisplay  # above methods: only who draws needs it

        ax = TrainingCurveDisplay.from_history(history, columns=_CURVES, ax=ax).ax_
        ax.set_ylim(0, 1)
        return ax
