r"""Fits under ``accelerate launch``, or in one process, and writes what comes of them.

    accelerate launch --cpu --num_processes 2 \
        -m torch.distributed.run --nproc_per_node 2 tests/accelerated.py FOLDER
"""

import os
import pickle
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from sklearn.base import clone
from skorch.callbacks import Callback
from torch import nn

from skood import (
    ATOMDetector,
    DOSDetector,
    GRegDetector,
    MSPDetector,
    OutlierExposureDetector,
    UnleashingMaskDetector,
    WOODSDetector,
)
from skood.datasets import load_digits_ood
from skood.engine import selection

FAST = {"max_epochs": 2, "batch_size": 21, "random_state": 0, "lr": 0.01}
SMALL = FAST | {"pretrain_epochs": 1, "module__hidden": (16,)}


class Images(nn.Sequential):
    """A network with BatchNorm, which couples the rows of a batch."""

    def __init__(self, input_shape, n_outputs):
        super().__init__(
            nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
            nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, n_outputs),
        )


DETECTORS = {  # on rows, unless a network for images is named
    "oe": OutlierExposureDetector(**FAST, module__hidden=(16,)),
    "atom": ATOMDetector(**FAST, n_steps=2, outlier_ratio=1.0, record_kept=True,
                         module__hidden=(16,)),
    "atom, images": ATOMDetector(Images, **FAST, n_steps=1, augment="crop-flip"),
    "greg, images": GRegDetector(Images, **FAST, sampling="clustered", pretrain_epochs=1),
    "dos": DOSDetector(**SMALL),
    "woods": WOODSDetector(**SMALL),
    "um": UnleashingMaskDetector(**SMALL, level=0.5),
    "umap": UnleashingMaskDetector(**SMALL, strategy="prune"),
}


class Dropping(nn.Sequential):
    """A network that draws numbers in its forward pass."""

    def __init__(self, input_shape, n_outputs):
        super().__init__(nn.Linear(*input_shape, 16), nn.Dropout(), nn.Linear(16, n_outputs))


class Stop(Callback):
    """Interrupts the fourth epoch, while it is on."""

    on = True

    def on_batch_end(self, net, **kwargs):
        if Stop.on and len(net.history) == 4:
            raise KeyboardInterrupt


class Counted:
    """A function of the engine that counts the rows it is given."""

    def __init__(self, function):
        self.function, self.n_rows = function, 0

    def __call__(self, module, X, *args):
        self.n_rows += len(X)
        return self.function(module, X, *args)


def results_of(detector, x_in, y_in, x_out, resume=False):
    """Fit, and return the detector pickled, its scores and how many candidates it scored."""
    selection.predict_logits = counted = Counted(selection.predict_logits)
    try:
        detector.fit(x_in, y_in, X_aux=(x_out,), resume=resume)
    finally:
        selection.predict_logits = counted.function
    return {
        "detector": pickle.dumps(detector),
        "scores": detector.score_samples(np.concatenate([x_in, x_out])),
        "offset": detector.offset_,
        "history": detector.history_,
        "weights": {k: v.numpy() for k, v in detector.module_.state_dict().items()},
        "n_scored": counted.n_rows,
    }


def data():
    """Return rows and images of the embedded digits, by the name of the network's input."""
    digits = load_digits_ood()
    x_in, y_in, x_out = digits.X_train[:130], digits.y_train[:130], digits.X_aux[:600]
    as_rows = [x.reshape(len(x), -1).astype(np.float32) / 255 for x in (x_in, x_out)]
    return {"rows": (as_rows[0], y_in, as_rows[1]), "images": (x_in, y_in, x_out)}


def run(**params):
    """Fit all detectors and return their results."""
    kinds = data()
    return {
        name: results_of(
            detector.set_params(**params), *kinds["images" if "images" in name else "rows"]
        )
        for name, detector in DETECTORS.items()
    }


def interruptible(device):
    """Return a detector whose network draws numbers, and that ``Stop`` interrupts."""
    parameters = FAST | {"max_epochs": 4, "device": device}
    return OutlierExposureDetector(Dropping, **parameters, callbacks=[Stop()])


def run_in_processes(folder, index):
    """Fit what has no equal in one process, or is refused there."""
    x_in, y_in, x_out = data()["rows"]
    whole = interruptible("accelerate")
    unseeded = clone(whole).set_params(random_state=None)
    stopped = clone(whole).set_params(checkpoint=folder / "oe.checkpoint")
    interruption = raised(KeyboardInterrupt, stopped.fit, x_in, y_in, (x_out,))
    if index == 0:
        shutil.copy(stopped.checkpoint, folder / "interrupted.checkpoint")
    Stop.on = False
    resumed = {
        "unseeded": results_of(unseeded, x_in, y_in, x_out),
        "reading": results_of(MSPDetector(clone(whole)), x_in, y_in, x_out),
        "whole": results_of(whole, x_in, y_in, x_out),
        "resumed": results_of(stopped, x_in, y_in, x_out, resume=True),
    }
    few = clone(whole).set_params(batch_size=1)
    return resumed | {
        "interruption": interruption,
        "unlike": raised(ValueError, whole.fit, x_in[index:], y_in[index:], (x_out,)),
        "few": raised(ValueError, few.fit, x_in, y_in, (x_out,)),
    }


def raised(kind, call, x_in, y_in, x_aux):
    """Return what is said where a fit is refused."""
    try:
        call(x_in, y_in, X_aux=x_aux)
    except kind as error:
        return str(error)


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, index = Path(sys.argv[1]), int(os.environ["RANK"])
    results = run(device="accelerate") | run_in_processes(folder, index)
    (folder / f"{index}.pickle").write_bytes(pickle.dumps(results))
    # Else torch may abort a process that has done its work (pytorch/pytorch#190489).
    torch.distributed.destroy_process_group()
