"""The forward pass of scoring: batched, safe for the module's mode, equal for every batch size."""

from contextlib import contextmanager

import numpy as np
import torch

from .inputs import rows, to_input

# Few enough bytes that a batch's activations stay in the processor's cache: on CPUs small batches
# are up to 2.3 times as fast as batches of 200. A GPU wants the opposite.
_INPUT_BYTES = 2**18
_ROWS_ON_GPU = 512
# A float32 forward of one row and of many differ in the last bits, because the kernels for short
# matrices sum in another order. Padding to whole multiples makes them bitwise equal.
_MULTIPLE = 8


@contextmanager
def eval_mode(module):
    """Put every submodule in evaluation mode and, at the end, back into the mode it had."""
    training = [child for child in module.modules() if child.training]
    module.eval()
    try:
        yield module
    finally:
        for child in training:
            child.training = True


def n_rows(input_shape, device):
    """Return the rows of one scoring batch: a power of two from 16 to 4096."""
    if device.type != "cpu":
        return _ROWS_ON_GPU
    fitting = _INPUT_BYTES // (4 * int(np.prod(input_shape, dtype=np.int64)) or 1)
    return 2 ** int(np.clip(fitting, 16, 4096)).bit_length() // 2


def predict_logits(module, X, dtype):
    """Return the logits of every row.

    Parameters
    ----------
    module : torch.nn.Module
        Used on the device where its weights lie, in evaluation mode, without gradients.
    X : array of shape (n, *input_shape)
        May be a memmap; it is read batch by batch.
    dtype : {"float32", "float64", "int64"}
        What the module receives.

    Returns
    -------
    ndarray of shape (n, n_outputs), of the module's own float dtype
    """
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    step = n_rows(X.shape[1:], device)
    logits = None
    # no_grad rather than inference_mode: what leaves here may later meet autograd.
    with torch.no_grad(), eval_mode(module):
        for start in range(0, len(X), step):
            batch = to_input(rows(X, slice(start, start + step)), dtype).to(device)
            out = _forward_padded(module, batch).cpu().numpy()
            if logits is None:
                logits = np.empty((len(X), *out.shape[1:]), out.dtype)
            logits[start : start + step] = out
    return logits


def _forward_padded(module, batch):
    missing = -len(batch) % _MULTIPLE
    if not missing:
        return module(batch)
    return module(torch.cat([batch, batch[:1].expand(missing, *batch.shape[1:])]))[: len(batch)]
