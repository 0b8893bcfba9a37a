"""Watch a net run, in a way that leaves it as it was and minds other threads."""

import threading
from contextlib import contextmanager

import torch

from .._locks import TORCH_RANDOM

# torch numbers its hooks with an unguarded counter: two threads registering at once could be given
# the same number, and one hook would silently replace the other.
_HOOK_LOCK = threading.Lock()


class LastCall:
    """Forward pre-hook that remembers the last layer called by this thread, and its input."""

    def __init__(self):
        self.thread = threading.get_ident()
        self.layer = None
        self.input = None

    def __call__(self, layer, args, kwargs=None):
        # Another thread's forward runs through the same hook: its input is none of ours. torch
        # may also call a hook it is just removing without `kwargs`, hence the default.
        if threading.get_ident() == self.thread:
            inputs = (*args, *(kwargs or {}).values())
            self.layer, self.input = layer, inputs[0] if inputs else None


class LastOutput:
    """Forward hook that remembers what a layer returned to this thread, or what is made of it.

    Parameters
    ----------
    read : callable, default=None
        ``read(layer, output)`` returns what to remember; None: the output.
    """

    def __init__(self, read=None):
        self.thread, self.read = threading.get_ident(), read
        self.output = None

    def __call__(self, layer, args, output):
        if threading.get_ident() == self.thread:
            self.output = output if self.read is None else self.read(layer, output)


@contextmanager
def recording_output(layer, read=None):
    """Yield a `LastOutput` that listens to one layer until the block is left."""
    last = LastOutput(read)
    with _HOOK_LOCK:
        handle = layer.register_forward_hook(last)
    try:
        yield last
    finally:
        with _HOOK_LOCK:
            handle.remove()


@contextmanager
def recording(layers):
    """Yield a `LastCall` that listens to `layers` until the block is left, however it is left."""
    call, handles = LastCall(), []
    try:
        with _HOOK_LOCK:
            for layer in layers:
                handles.append(layer.register_forward_pre_hook(call, with_kwargs=True))
        yield call
    finally:
        with _HOOK_LOCK:
            for handle in handles:
                handle.remove()


@contextmanager
def undisturbed_eval(module, x):
    """Run in eval mode without gradients; put every mode and torch's random state back."""
    modes = [(layer, layer.training) for layer in module.modules()]
    devices = [x.device] if x.is_cuda else []
    with TORCH_RANDOM, torch.random.fork_rng(devices=devices), torch.no_grad():
        try:
            for layer, _ in modes:
                layer.training = False
            yield
        finally:
            for layer, mode in modes:
                layer.training = mode
