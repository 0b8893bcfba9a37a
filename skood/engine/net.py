"""The training loop: skorch's, with a paired forward pass and the method's own loss."""

import math

import numpy as np
import torch
from sklearn.base import clone
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, LRScheduler
from tqdm.auto import tqdm

# "sgd" is the optimizer of all the papers; "adamw" asks less of the learning rate.
OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}),
    "adamw": (torch.optim.AdamW, {}),
}


class _Net(NeuralNet):
    """skorch's loop around one module; a batch is a ``Pair`` and its in-distribution labels."""

    def __init__(self, module, *, loader, loss, **kwargs):
        super().__init__(module, criterion=torch.nn.Identity, train_split=None, **kwargs)
        self.loader = loader
        self.loss = loss

    def get_iterator(self, dataset, training=False):
        return self.loader

    def infer(self, x, **fit_params):
        # One forward of cat(ID, outliers): separate ones would give BatchNorm two populations.
        logits = self.module_(x.x.to(self.device))
        return logits[: x.n_in], logits[x.n_in :]

    def get_loss(self, y_pred, y_true, X=None, training=False):
        return self.loss(y_pred[0], y_true.to(self.device), y_pred[1])


class _Progress(Callback):
    """A bar over the epochs, and a clear end to a training that has diverged."""

    def __init__(self, phase, max_epochs, verbose):
        self.phase = phase
        self.max_epochs = max_epochs
        self.verbose = verbose

    def on_train_begin(self, net, **kwargs):
        self.bar_ = tqdm(total=self.max_epochs, desc=self.phase, disable=not self.verbose)

    def on_epoch_end(self, net, **kwargs):
        loss = net.history[-1, "train_loss"]
        self.bar_.set_postfix(loss=f"{loss:.4g}", refresh=False)
        self.bar_.update()
        if not math.isfinite(loss):
            raise ValueError(
                f"training diverged: the loss of epoch {len(net.history)} ({self.phase}) is "
                f"{loss}. Lower lr (now {net.lr}) or scale X."
            )

    def on_train_end(self, net, **kwargs):
        self.bar_.close()


def train(
    module, loader, loss, *, phase, max_epochs, lr, optimizer, schedule, callbacks, device, verbose,
    options,
):
    """Train ``module`` in place and return its history, one plain dict an epoch.

    Parameters
    ----------
    module : torch.nn.Module
    loader : PairedLoader
    loss : callable
        ``loss(logits_in, y_in, logits_out) -> scalar Tensor``.
    phase : str
        What the history calls these epochs.
    max_epochs, lr, optimizer, schedule, callbacks, device, verbose
        As the detectors' parameters of these names.
    options : dict
        ``optimizer__*`` and ``callbacks__*``, handed to skorch.

    Raises
    ------
    ValueError
        If the loss becomes NaN or infinite.
    """
    if max_epochs == 0:
        return []
    optimizer, defaults = OPTIMIZERS.get(optimizer, (optimizer, {}))
    options = {f"optimizer__{name}": value for name, value in defaults.items()} | options
    own = [("progress", _Progress(phase, max_epochs, verbose))]
    if schedule == "cosine":
        own.append(("schedule", _cosine(max_epochs * len(loader))))
    net = _Net(
        module, loader=loader, loss=loss, optimizer=optimizer, lr=lr, max_epochs=max_epochs,
        # Clones, so that one callback object can serve many fits (and grid searches).
        callbacks=own + list(clone(callbacks or [], safe=False)), callbacks__print_log=None,
        callbacks__valid_loss=None, device=device, verbose=0, **options,
    )
    _run(net)
    return [_plain(row, phase) for row in net.history]


def _cosine(n_steps):
    return LRScheduler(
        policy=torch.optim.lr_scheduler.CosineAnnealingLR, T_max=n_steps, step_every="batch"
    )


def _run(net):
    """Fit, without skorch's silence about an interrupt: it must not look like the end."""
    net.initialize()
    net.notify("on_train_begin", X=net.loader, y=None)
    try:
        net.fit_loop(net.loader)
    except KeyboardInterrupt:
        if not _stopped_early(net):
            raise
    net.notify("on_train_end", X=net.loader, y=None)


def _stopped_early(net):
    """Whether a callback ended the training, which skorch's EarlyStopping does by an interrupt."""
    return any(
        isinstance(callback, EarlyStopping) and callback.misses_ == callback.patience
        for _, callback in net.callbacks_
    )


def _plain(row, phase):
    """Turn a row of skorch's history into a dict of what a reader asks for."""
    kept = {name: value for name, value in row.items() if not name.endswith(("_best", "_count"))}
    kept.pop("batches", None)
    numbers = {name: v.item() if isinstance(v, np.generic) else v for name, v in kept.items()}
    return {"phase": phase, **numbers}
