"""The callbacks of a fit: a progress bar, the schedule, and the user's, copied and checked."""

import copy
import math

import torch
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from tqdm.auto import tqdm

from .._spelling import did_you_mean

WITHOUT_SKORCHS_TABLE = {"callbacks__print_log": None, "callbacks__valid_loss": None}


class Progress(Callback):
    """A bar over the epochs, and a clear end to a training that has diverged."""

    def __init__(self, phase, max_epochs, verbose):
        self.phase = phase
        self.max_epochs = max_epochs
        self.verbose = verbose

    def on_train_begin(self, net, **kwargs):
        """Open the bar."""
        self.bar_ = tqdm(total=self.max_epochs, desc=self.phase, disable=not self.verbose)

    def on_epoch_end(self, net, **kwargs):
        """Show the loss, and stop where it is not finite."""
        loss = net.history[-1, "train_loss"]
        self.bar_.set_postfix(loss=f"{loss:.4g}", refresh=False)
        self.bar_.update(len(net.history) - self.bar_.n)  # more than one, where a fit goes on
        if not math.isfinite(loss):
            raise ValueError(
                f"training diverged: the loss of epoch {len(net.history)} ({self.phase}) is "
                f"{loss}. Lower lr (now {net.optimizer_.defaults['lr']}) or scale X."
            )


class Record(Callback):
    """Writes into the history what there is to say of the outliers that were chosen."""

    def __init__(self, loader):
        self.loader = loader

    def on_epoch_end(self, net, **kwargs):
        """Add a column for each thing recorded."""
        for name, value in self.loader.choose.record.items():
            net.history.record(name, value)


def cosine(n_steps):
    """Return the schedule that falls to zero over the steps, half a cosine."""
    return LRScheduler(
        policy=torch.optim.lr_scheduler.CosineAnnealingLR, T_max=n_steps, step_every="batch"
    )


def copied(callbacks, options):
    """Copy the user's callbacks, so that one object can serve many fits, and check them."""
    mine = copy.deepcopy(callbacks or [])
    for entry in mine:
        named = isinstance(entry, tuple) and len(entry) == 2
        _check_callback("callbacks", entry[1] if named else entry)
    for option, value in options.items():
        if option.startswith("callbacks__") and option.count("__") == 1:
            _check_callback(option, value)
    return mine


def _check_callback(parameter, callback):
    callback = callback() if isinstance(callback, type) else callback
    if callback is not None and not isinstance(callback, Callback):
        raise TypeError(f"{parameter} must hold skorch callbacks, got {callback!r}.")
    monitor = getattr(callback, "monitor", None)
    if isinstance(monitor, str) and monitor.startswith("valid_loss"):
        raise ValueError(
            f"{type(callback).__name__} in {parameter} monitors {monitor!r}, but a fit holds no "
            "validation set. Pass monitor='train_loss'."
        )


def check_names(callbacks, options):
    """Refuse a parameter of a callback that is not there, which skorch would pass over."""
    names = [name for name, _ in callbacks]
    for option in set(options).difference(WITHOUT_SKORCHS_TABLE):
        prefix, name, *_ = option.split("__")
        if prefix == "callbacks" and name not in names:
            raise TypeError(
                f"{option}: there is no callback {name!r}, only {', '.join(names)}."
                + did_you_mean(name, names, "callbacks__{}".format)
            )


def stopped_early(callbacks):
    """Whether a callback ended the training, which skorch's EarlyStopping does by an interrupt."""
    return any(
        isinstance(callback, EarlyStopping) and callback.misses_ == callback.patience
        for _, callback in callbacks
    )
