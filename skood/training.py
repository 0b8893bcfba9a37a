"""What the methods that train a network share: the fit, from its arguments to the threshold."""

import os
import warnings
from abc import abstractmethod
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn
from torch.nn import functional as F

from .arguments import read_training_data
from .base import BaseDetector
from .engine.build import build_module, check_options
from .engine.checkpoint import open_checkpoint
from .engine.facts import facts_of
from .engine.inference import predict_logits
from .engine.inputs import rows, to_input
from .engine.loader import PairedLoader
from .engine.net import OPTIMIZERS, train
from .engine.pool import OutlierPool
from .engine.precision import check_precision
from .engine.processes import open_processes
from .engine.randomness import draw_seed, seeded
from .outliers.like import synthetic_like
from .outputs import warn_of_probabilities
from .validation import warn_about_far_outliers, warn_about_scales

_N_EXAMPLE = 2  # rows that a new network is tried on


class BaseTrainedDetector(BaseDetector):
    """Base of the methods that train a network: a classifier first, then what is their own.

    A family of methods has its own ``_tune``, and overrides the other hooks as it needs them.
    """

    _parameter_constraints = {
        **BaseDetector._parameter_constraints,
        "module": [None, nn.Module, type, callable],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "max_epochs": [Interval(Integral, 0, None, closed="left")],
        "pretrain_epochs": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "outlier_ratio": [Interval(Real, 0, None, closed="neither")],
        "optimizer": [StrOptions(set(OPTIMIZERS)), type, callable],
        "schedule": [StrOptions({"cosine", "constant"})],
        "augment": [None, StrOptions({"crop-flip"}), callable],
        "compile": ["boolean", dict],
        "callbacks": [None, list],
        "checkpoint": [None, str, os.PathLike],
        "verbose": ["verbose"],
    }

    # ---- the hooks

    @abstractmethod
    def _tune(self, loader, data, rng):
        """Train ``module_``, a classifier by now, as the method has it, and return the history."""

    def _needs_outliers(self):
        """Whether outliers are drawn where none are given."""
        return self.max_epochs > 0

    def _pretrain_lr(self):
        """Return the learning rate of the classifier, where it is not that of the method."""
        return self.lr

    def _n_outputs(self, n_classes):
        """Return the outputs that the network needs."""
        return n_classes

    def _read_range(self, x_in, pool):
        """Set and check what depends on the data alone, before anything is trained.

        ``pool`` is None where there are no outliers.
        """

    def _hold_out(self, data, rng):
        """Return the rows of X that are to be measured, not trained on."""
        return data.held_out

    def _selection(self, loader):
        """Return how the loader is to choose the outliers of an epoch."""
        return loader.choose

    # ---- the fit

    def _fit(self, X, y, X_aux, resume):
        processes = open_processes(self.device)
        check_precision(self.precision, self.dtype)
        data = read_training_data(self, X, y, X_aux)
        if not isinstance(self.module, nn.Module):
            warn_about_scales(data.x_in)
        if data.pool is not None:
            names = getattr(self, "feature_names_in_", None)
            warn_about_far_outliers(data.x_in, data.pool, names)
        self.classes_ = data.classes
        # Outside any autocast of the caller's: `precision` alone says how to compute.
        plainly = torch.autocast(torch.device(processes.device).type, enabled=False)
        kept = open_checkpoint(self, data, draw_seed(self.random_state), resume, processes)
        if processes.count > 1:  # and none writes before all have read
            processes.check_alike(facts_of(self, data) | {"epochs kept": kept.n_epochs})
        with kept.telling_what_is_kept():
            with plainly, seeded(kept.seed, processes.device) as rng:
                self._kept, self._processes = kept, processes
                if data.pool is None and self._needs_outliers():
                    data.pool = self._synthetic_pool(data.x_in, rng)
                self._read_range(data.x_in, data.pool)
                data.held_out = self._hold_out(data, rng)
                self.module_ = self._build(data.x_in)
                self._warn_of_outputs(data.x_in)
                self.module_.to(processes.device)
                loader = self._loader(data, data.pool, rng)
                if loader.n_out and self.max_epochs > 0:
                    # Now, not after the pretraining, one is told of a pool that is too small.
                    loader.choose = self._selection(loader)
                self.history_ = self._pretrain(data, rng)
                self.history_ += self._tune(loader, data, rng)
            del self._kept, self._processes
            self.n_iter_ = len(self.history_)
            self._check_trained()
            self.module_.eval().requires_grad_(False).zero_grad(set_to_none=True)
            self._set_offset(data.x_in)

    def _check_trained(self):
        if not self.history_ and not isinstance(self.module, nn.Module):
            raise ValueError(
                f"nothing was trained: max_epochs={self.max_epochs}, pretrain_epochs="
                f"{self.pretrain_epochs!r}" + (" (for which labels are needed)" if self.classes_ is
                None else "") + ". Raise one, or pass a trained network as module."
            )

    def _synthetic_pool(self, x_in, rng):
        warnings.warn(
            f"{type(self).__name__} trains against outliers and none were given: synthetic ones "
            "are drawn from X. Outliers like those you expect, X_aux=..., usually detect better.",
            UserWarning,
            stacklevel=5,
        )
        drawn = synthetic_like(x_in, random_state=rng)
        return OutlierPool([drawn], self.dtype, synthetic=True)

    def _build(self, x_in):
        n_classes = 1 if self.classes_ is None else len(self.classes_)
        return build_module(
            self.module, _without_prefix(self._options("module__")),
            to_input(rows(x_in, slice(_N_EXAMPLE)), self.dtype), n_classes=n_classes,
            n_outputs=self._n_outputs(n_classes), dtype=self.dtype,
        )

    def _warn_of_outputs(self, x_in):
        """Warn where a network that was given returns no logits; it is one pass over two rows."""
        if isinstance(self.module, nn.Module):
            few = predict_logits(self.module_, x_in[:_N_EXAMPLE], self.dtype)
            warn_of_probabilities(few, "module", stacklevel=5)

    def _new_module(self):
        device = open_processes(self.device).device
        with seeded(0):  # so that the caller's generator is left alone
            module = self._build(np.zeros((_N_EXAMPLE, *self.input_shape_), self.dtype))
        return module.to(device)

    def _pretrain(self, data, rng):
        """Train the classifier alone, which most methods assume has been done."""
        if self.classes_ is None:
            if self.pretrain_epochs not in (0, "auto"):
                warnings.warn(
                    f"pretrain_epochs={self.pretrain_epochs} is passed over: without labels there "
                    "is no classifier to pretrain.", UserWarning, stacklevel=5,
                )
            return []
        loader, n_epochs = self._loader(data, None, rng), self._n_pretrain_epochs()
        return self._train(loader, cross_entropy, "pretrain", n_epochs, lr=self._pretrain_lr())

    def _n_pretrain_epochs(self):
        if self.pretrain_epochs != "auto":
            return self.pretrain_epochs
        return 0 if isinstance(self.module, nn.Module) else self.max_epochs

    def _begins_untrained(self):
        """Whether the method's own epochs begin with a network that nobody has trained."""
        trained = isinstance(self.module, nn.Module) or self._n_pretrain_epochs() > 0
        return self.max_epochs > 0 and not trained

    def _loader(self, data, pool, rng):
        options = _without_prefix(self._options("iterator_train__"))
        check_options("iterator_train", training_loader, options, n_positional=0)
        x_in, y_in = data.trained_on()
        n = len(x_in)
        automatic = max(int(np.clip(n // 16, 8, 64)), min(n // 256, 128))
        return PairedLoader(
            x_in, y_in, pool,
            batch_size=automatic if self.batch_size == "auto" else self.batch_size,
            outlier_ratio=self.outlier_ratio, rng=rng, augment=self.augment, dtype=self.dtype,
            device=self._processes.device, **options,
        )

    def _train(
        self, loader, loss, phase, max_epochs, lr=None, perturb=None, penalty=None, watch=()
    ):
        if max_epochs == 0:
            return []  # no phase of a checkpoint either: those that there are have no gaps
        kept = self._kept.next_phase()
        self.__dict__ |= kept.measured(_numbers(self))
        return train(
            self.module_, loader, loss, perturb=perturb, penalty=penalty, watch=watch,
            precision=self.precision, compile=self.compile, phase=phase, max_epochs=max_epochs,
            lr=lr or self.lr, optimizer=self.optimizer, schedule=self.schedule,
            callbacks=self.callbacks, processes=self._processes, verbose=self.verbose,
            options=self._options("optimizer__", "callbacks__"), kept=kept,
        )


def _numbers(detector):
    """Return what a fit has measured by now, such as margins."""
    attributes = vars(detector).items()
    return {k: v for k, v in attributes if k.endswith("_") and isinstance(v, (Real, tuple))}


def _without_prefix(options):
    return {name.partition("__")[2]: value for name, value in options.items()}


def cross_entropy(logits_in, y_in, logits_out):
    """Return the loss of a plain classifier, which sees no outliers."""
    return F.cross_entropy(logits_in, y_in)


def log_odds(logits_in, y_in, logits_out):
    """Return the binary cross-entropy of one output, the log-odds of X; both sides weigh alike."""
    return (F.softplus(-logits_in).mean() + F.softplus(logits_out).mean()) / 2


def training_loader(shuffle=True, drop_last=False, read_ahead=True):
    """Name what users may set of ``PairedLoader``, as ``iterator_train__*``."""


def sample_rows(n, at_most, rng):
    """Return row numbers: all, or ``at_most`` of them drawn without replacement."""
    return np.arange(n) if n <= at_most else np.sort(rng.choice(n, size=at_most, replace=False))
