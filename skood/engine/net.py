"""The training loop: skorch's, with a paired forward pass and the method's own loss."""

from contextlib import closing

import numpy as np
import torch
from skorch import NeuralNet
from torch.nn.attention import SDPBackend, sdpa_kernel

from .batch_norm import FusedBatchNorm
from .build import check_options, compiled
from .callbacks import (
    WITHOUT_SKORCHS_TABLE,
    Progress,
    Record,
    check_names,
    copied,
    cosine,
    stopped_early,
)
from .optimizer import check_optimizer, telling_what_was_refused
from .precision import forward
from .processes import SharedPasses

# "sgd" is the optimizer of all the papers; "adamw" asks less of the learning rate.
OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}),
    "adamw": (torch.optim.AdamW, {}),
}


class _Weightless(torch.nn.Module):
    """A loss that is a function."""

    def __init__(self, loss):
        super().__init__()
        self.forward = loss


class _Net(NeuralNet):
    """skorch's loop around one module; a batch is a ``Pair`` and its in-distribution labels."""

    def __init__(self, module, *, loader, loss, perturb, penalty, precision, run, **kwargs):
        # A loss that is a module may have weights of its own, which skorch then trains, too.
        criterion = loss if isinstance(loss, torch.nn.Module) else _Weightless(loss)
        super().__init__(module, criterion=criterion, train_split=None, **kwargs)
        self.loader = loader
        self.perturb = perturb
        self.penalty = penalty
        self.precision = precision
        self.run = run  # computes as the module does, compiled; or None

    def get_iterator(self, dataset, training=False):
        return self.loader

    def initialize_optimizer(self, *args, **kwargs):
        with telling_what_was_refused(self.optimizer, self.lr):
            super().initialize_optimizer(*args, **kwargs)
        check_optimizer(self.optimizer_, self.optimizer)
        return self

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Run an epoch, and end what reads ahead for it, whatever ends the epoch."""
        if iterator is None:
            return
        with closing(iter(iterator)) as batches:
            if _is_asynchronous(self.device):
                self._run_unwaiting(batches, training, prefix, step_fn, **fit_params)
            else:
                super().run_single_epoch(batches, training, prefix, step_fn, **fit_params)

    def _run_unwaiting(self, iterator, training, prefix, step_fn, **fit_params):
        """Run an epoch whose losses are read at its end.

        skorch reads each at once, and so waits for the device in every step.
        """
        name, losses = f"{prefix}_loss", []
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **fit_params)
            losses.append(step["loss"].detach())
            # A tensor for now, so that only a callback which reads the loss waits for it.
            self.history.record_batch(name, losses[-1])
            self.history.record_batch(f"{prefix}_batch_size", len(batch[0]))
            self.notify("on_batch_end", batch=batch, training=training, **step)
        rows = self.history[-1]["batches"]
        for row, loss in zip(rows, torch.stack(losses).tolist(), strict=True):
            row[name] = loss
        self.history.record(f"{prefix}_batch_count", len(losses))

    def infer(self, x, **fit_params):
        batch = x.x
        if self.perturb is not None:
            batch = torch.cat([batch[: x.n_in], self.perturb(batch[x.n_in :])])
        # One forward of cat(ID, outliers): separate ones would give BatchNorm two populations.
        if self.penalty is None:
            logits = self._pass(batch, x.n_in)
        else:
            batch = batch.detach().requires_grad_()  # not the very tensor that augment returned
            with FusedBatchNorm(), sdpa_kernel(SDPBackend.MATH):  # the one attention that can
                # A copy: some networks work in place, which autograd forbids on what it starts at.
                logits = self._pass(batch.clone(), x.n_in)
        return batch, logits[: x.n_in], logits[x.n_in :]

    def get_loss(self, y_pred, y_true, X=None, training=False):
        x, logits_in, logits_out = y_pred
        loss = self.criterion_(logits_in, y_true, logits_out)
        return loss if self.penalty is None else loss + self._penalty_of(x, logits_in, logits_out)

    def _pass(self, batch, n_in):
        """Return the logits of a batch whose first ``n_in`` rows are in-distribution."""
        return forward(self.module_ if self.run is None else self.run, batch, self.precision)

    def _penalty_of(self, x, logits_in, logits_out):
        return self.penalty(x, logits_in, logits_out)


class _NetOfSeveral(SharedPasses, _Net):
    """The same loop in each of several processes."""


def _is_asynchronous(device):
    return torch.device(device).type != "cpu"


def train(
    module, loader, loss, *, perturb, penalty, precision, compile, phase, max_epochs, lr, optimizer,
    schedule, watch, callbacks, processes, verbose, options, kept,
):
    """Train ``module`` in place and return its history, one plain dict an epoch.

    Parameters
    ----------
    module : torch.nn.Module
    loader : PairedLoader
    loss : callable or torch.nn.Module
        ``loss(logits_in, y_in, logits_out) -> scalar Tensor``; of a module the weights are trained.
    perturb : callable or None
        ``perturb(x_out) -> Tensor of x_out's shape``: the outliers as the network is to see them.
    penalty : callable or None
        ``penalty(x, logits_in, logits_out) -> scalar Tensor``, a term that asks for the gradient of
        the logits with respect to x, the joint batch.
    precision : {"float32", "bf16"}
        Of the forward pass; the loss is computed in float32 or wider.
    compile : bool or dict
        Whether to compile the forward and backward passes, and how.
    phase : str
        What the history calls these epochs.
    watch : sequence of skorch callbacks
        The method's own.
    processes : Alone or Together
        Those that train, and where.
    max_epochs, lr, optimizer, schedule, callbacks, verbose
        As the detectors' parameters of these names.
    options : dict
        ``optimizer__*`` and ``callbacks__*``, handed to skorch.
    kept : phase of a checkpoint
        What is kept of this training, and where it is to be kept.

    Raises
    ------
    ValueError
        If the loss becomes NaN or infinite.
    """
    history = kept.finished(module, loader.rng, processes.device)
    if history is not None:
        return history
    optimizer, defaults = OPTIMIZERS.get(optimizer, (optimizer, {}))
    given = {k.removeprefix("optimizer__"): v for k, v in options.items() if k.startswith("opt")}
    check_options("optimizer", optimizer, given, n_positional=1)
    shown = verbose and processes.index == 0
    own = [("progress", Progress(phase, max_epochs, shown)), ("record", Record(loader)), *watch]
    if schedule == "cosine":
        own.append(("schedule", cosine(max_epochs * len(loader))))
    kind, together = _Net, {}
    if processes.count > 1:
        processes.check_rows(len(loader.X) // len(loader))
        processes.check_compile(compile)
        kind, together = _NetOfSeveral, {"processes": processes}
    net = kind(
        module, loader=loader, loss=loss, perturb=perturb, penalty=penalty,
        precision=precision, run=compiled(module, compile),
        optimizer=optimizer, lr=lr, max_epochs=max_epochs, device=str(processes.device), verbose=0,
        callbacks=own + copied(callbacks, options) + kept.callbacks(),
        **{f"optimizer__{name}": value for name, value in defaults.items()}
        | WITHOUT_SKORCHS_TABLE | options | together,
    )
    _run(net, options, kept)
    history = [_plain(row, phase) for row in net.history]
    processes.same_buffers(module)
    kept.finish(module, loader.rng, processes.device, history)
    return history


def _run(net, options, kept):
    """Fit, without skorch's silence about an interrupt: it must not look like the end."""
    net.initialize()
    check_names(net.callbacks_, options)
    net.notify("on_train_begin", X=net.loader, y=None)
    try:
        n_done = kept.restore(net)
        net.fit_loop(net.loader, epochs=net.max_epochs - n_done)
    except KeyboardInterrupt:
        if not stopped_early(net.callbacks_):
            raise
    finally:
        dict(net.callbacks_)["progress"].bar_.close()
    net.notify("on_train_end", X=net.loader, y=None)


def _plain(row, phase):
    """Turn a row of skorch's history into a dict of what a reader asks for."""
    kept = {name: value for name, value in row.items() if not name.endswith(("_best", "_count"))}
    kept.pop("batches", None)
    numbers = {name: v.item() if isinstance(v, np.generic) else v for name, v in kept.items()}
    return {"phase": phase, **numbers}
