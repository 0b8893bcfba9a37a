"""The forward pass of scoring: batched, safe for the module's mode, equal for every batch size."""

from contextlib import closing, nullcontext
from functools import partial

import numpy as np
import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ..nn.tap import Layers, forward_features, forward_layer, forward_layers
from .ahead import in_turn
from .frozen import shadow
from .inputs import rows, to_device, to_input
from .precision import forward
from .streaming import reads_ahead

# The largest tensor of a forward pass is kept near this size. On CPUs a convolution wants many rows
# (each call has a fixed cost) but activations that stay in cache: with this many bytes six networks
# are within a fifth of their fastest (benchmarks/results/overhead.md).
_LARGEST_BYTES = 2**21
_LARGEST_BYTES_ON_GPU = 2**28
# A gradient costs more a call, and keeps all activations until it has come back.
_LARGEST_BYTES_OF_GRADIENT = 2**24
_LARGEST_BYTES_OF_GRADIENT_ON_GPU = 2**26
# Float forwards of one row and of many differ in the last bits: kernels for short matrices sum in
# another order, and vector loops, of up to 32 numbers, round exp and tanh otherwise than the loop
# over what they leave. Batches padded to whole multiples are bitwise equal. Images get fewer rows,
# because theirs are dear and their layers leave nothing over, unless the number of units is odd.
_MULTIPLE = 32
_MULTIPLE_OF_IMAGES = 16
# For the same reason matrix rows start at multiples of these bytes: where some do and some do not,
# the products of narrow layers are summed in another order from row to row.
_ALIGNMENT = 16
_NARROW = 64  # outputs; wider products in float32 are summed in one order


def in_eval_mode(module):
    """Return the module, or if any part of it is in training mode a shadow that is not.

    The shadow shares the tensors. The module's own mode stays: another thread may be running it.
    """
    return shadow(module).eval() if any(m.training for m in module.modules()) else module


class _Watch(TorchFunctionMode):
    """While it is on, this thread's tensors are measured and its linear layers aligned.

    A mode rather than hooks: it sees functional calls too, and touches no module, which other
    threads may be running. It costs a few percent, so it stays on only where there is a need.

    Parameters
    ----------
    rows : Tensor of shape (n_rows, ...)
        What goes in. It counts too: within a scripted module nothing else is seen.

    Attributes
    ----------
    row_bytes : int
        Of the largest tensor in batches of ``n_rows``, the bytes of one row.
    aligns : bool
        Whether any linear layer had to be aligned.
    """

    def __init__(self, rows):
        super().__init__()
        self.n_rows, self.device = len(rows), rows.device
        self.row_bytes, self.aligns = max(4 * rows[0].numel(), 1), False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        out = (self._linear if func is F.linear else func)(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor) and self.n_rows in out.shape:
            self.row_bytes = max(self.row_bytes, out.nbytes // self.n_rows)
        return out

    def _linear(self, input, weight, bias=None):
        missing = -weight.shape[-1] % (_ALIGNMENT // weight.element_size())
        narrow = len(weight) <= _NARROW or weight.dtype == torch.float64
        if missing and narrow and weight.device.type == "cpu":
            self.aligns = True
            input, weight = F.pad(input, (0, missing)), F.pad(weight, (0, missing))
        return F.linear(input, weight, bias)

    def n_fitting(self, on_cpu=_LARGEST_BYTES, on_gpu=_LARGEST_BYTES_ON_GPU):
        """Return the rows, where it can be in whole multiples, whose largest tensor fits."""
        fitting = (on_cpu if self.device.type == "cpu" else on_gpu) // self.row_bytes
        return max(fitting - fitting % self.n_rows, min(fitting, self.n_rows), 1)


def predict_logits(module, X, dtype, precision="float32"):
    """Return the logits of every row.

    The first few rows are used to measure how many make a batch.

    Parameters
    ----------
    module : torch.nn.Module
        Used on the device where its weights lie, in evaluation mode, without gradients.
    X : array of shape (n, *input_shape)
        May be a memmap; it is read batch by batch, the next one in a thread.
    dtype : {"float32", "float64", "int64"}
        What the module receives.
    precision : {"float32", "bf16"}
        As ``precision.forward`` has it.

    Returns
    -------
    ndarray of shape (n, n_outputs), of the module's own float dtype
        On a CPU, the same bits for a row in whatever company it comes, if the module is made of
        linear, convolutional, normalising and elementwise layers; of others, float rounding apart.
    """
    module = in_eval_mode(module)
    return predict(lambda x: (module(x),), X, dtype, precision, device_of(module))[0]


def predict_features(module, X, dtype, precision="float32", layer=None):
    """Return the logits of every row and, of the same pass, the features they come from.

    Parameters
    ----------
    module, X, dtype, precision
        As for ``predict_logits``.
    layer : str, Layers or None
        Whose output, its maps averaged, is to be the features; of several layers, summaries side by
        side. None: the input of the Linear layer that is called last.

    Returns
    -------
    logits : ndarray of shape (n, n_outputs)
    features : ndarray of shape (n, d)
    """
    module = in_eval_mode(module)
    if layer is None:
        compute = partial(forward_features, module)
    elif isinstance(layer, Layers):
        compute = partial(_side_by_side, module, layers=layer)
    else:
        compute = partial(forward_layer, module, name=layer)
    return predict(compute, X, dtype, precision, device_of(module))


def _side_by_side(module, x, layers):
    logits, summaries = forward_layers(module, x, layers)
    return logits, torch.cat(summaries, dim=1)


def predict(compute, X, dtype, precision, device, gradient=False):
    """Return the arrays for the tensors that ``compute(x)`` returns, over all rows.

    Parameters
    ----------
    compute : callable
        ``compute(x)``, of a batch on ``device``, returns a tuple of tensors with a row for each of
        its rows. Gradients are off, unless it turns them on.
    X, dtype, precision
        As for ``predict_logits``.
    device : torch.device
    gradient : bool, default=False
        Whether it takes gradients, which on a GPU makes batches smaller: all activations are kept.

    Returns
    -------
    list of ndarray
    """
    multiple = _multiple(X)

    def moved(batch):
        return to_input(to_device(batch, device), dtype)

    def run(batch):
        out = forward(compute, _padded(batch, multiple), precision)
        return [_array(each[: len(batch)]) for each in out]

    # no_grad rather than inference_mode: what leaves here may later meet autograd.
    with torch.no_grad():
        few = moved(rows(X, slice(multiple)))
        with _Watch(_padded(few, multiple)) as watch:
            first = run(few)
        results = [np.empty((len(X), *each.shape[1:]), each.dtype) for each in first]
        on_gpu = _LARGEST_BYTES_OF_GRADIENT_ON_GPU if gradient else _LARGEST_BYTES_ON_GPU
        n_rows = max(watch.n_fitting(_LARGEST_BYTES, on_gpu), multiple)
        _write(results, first, 0)
        parts = [slice(start, start + n_rows) for start in range(multiple, len(X), n_rows)]
        read = in_turn(partial(rows, X), parts, reads_ahead(X) and len(parts) > 1)
        with watch if watch.aligns else nullcontext(), closing(read):
            for part, batch in zip(parts, read, strict=True):
                _write(results, run(moved(batch)), part.start)
    return results


def _array(tensor):
    tensor = tensor.cpu()
    half = tensor.dtype in (torch.bfloat16, torch.float16)
    return (tensor.float() if half else tensor).numpy()


def _write(results, parts, start):
    for result, part in zip(results, parts, strict=True):
        result[start : start + len(part)] = part


def rows_per_gradient(module, x, precision="float32"):
    """Return of how many rows, as the module receives them, to take the gradient at a time.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    x : Tensor of shape (n, *input_shape)
        Some rows, on the module's device.
    precision : {"float32", "bf16"}
    """
    few = _padded(x[: _multiple(x)], _multiple(x))
    with torch.no_grad(), _Watch(few) as watch:
        forward(module, few, precision)
    return watch.n_fitting(_LARGEST_BYTES_OF_GRADIENT, _LARGEST_BYTES_OF_GRADIENT_ON_GPU)


def device_of(module):
    """Return where a module's weights lie."""
    return next((p.device for p in module.parameters()), torch.device("cpu"))


def _multiple(X):
    return _MULTIPLE if X.ndim == 2 else _MULTIPLE_OF_IMAGES


def _padded(batch, multiple):
    missing = -len(batch) % multiple
    if not missing:
        return batch
    return torch.cat([batch, batch[:1].expand(missing, *batch.shape[1:])])
