"""What the methods trained against outliers share: the hooks where they differ."""

from ..training import BaseTrainedDetector


class BaseExposureDetector(BaseTrainedDetector):
    """Base of the methods that train against auxiliary outliers.

    A method differs from its siblings only in the hooks: which outliers an epoch keeps
    (``_selection``), how they are perturbed (``_perturbation``, and ``_outlier_check`` before it),
    the loss (``_loss``, and ``_penalty`` where it asks for input gradients) and the score
    (``_score``); ``_n_outputs`` and ``_read_range`` serve these. ``_problem`` makes the loss of a
    fit, where the loss needs something that is measured on the network first, or has a state of its
    own.
    """

    def _perturbation(self):
        """Return a callable, x_out -> the outliers as the network is to see them, or None."""

    def _outlier_check(self):
        """Return a callable that refuses what ``_perturbation`` could not do with, or None."""

    def _penalty(self):
        """Return a callable, (x, logits_in, logits_out) -> a term of the loss, or None.

        Where there is one, ``x``, the joint batch, requires gradients.
        """

    def _problem(self, data, rng):
        """Return the loss, with weights of its own perhaps, and callbacks that tend to it.

        The network is as it is before the method's own epochs.
        """
        return self._loss, []

    def _loss(self, logits_in, y_in, logits_out):
        """Return the loss of one batch, a scalar; not asked for where ``_problem`` has another."""
        raise NotImplementedError(f"{type(self).__name__} defines neither _loss nor _problem.")

    def _tune(self, loader, data, rng):
        if data.pool is None:
            return []
        loss, watch = self._problem(data, rng)
        loader.check = self._outlier_check()
        return self._train(
            loader, loss, "exposure", self.max_epochs, perturb=self._perturbation(),
            penalty=self._penalty(), watch=watch,
        )
