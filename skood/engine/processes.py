"""One fit in several processes, those of Hugging Face's Accelerate: passes shared, results equal.

All processes call ``fit`` with the same data and draw the same numbers, so that they agree, without
a word, on every batch and candidate. A network's passes, which take the time of a fit, are shared:
each process runs its rows, and what comes out is gathered. So every process computes the loss of
the joint batch, whatever its formula, and the gradient that they average is that loss's.
"""

import os
import warnings

import numpy as np
import torch
from skorch.hf import AccelerateMixin
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from .build import check_device
from .gathering import JointBatchNorm, gathered, mean_of_losses
from .precision import forward
from .randomness import set_aside


def open_processes(device):
    """Return the processes that a detector's parameter ``device`` names."""
    if device != "accelerate":
        check_device(device)
        return Alone(device)
    try:
        from accelerate import Accelerator
    except ImportError as error:
        raise ImportError(
            "device='accelerate' trains through Hugging Face's Accelerate, which is not installed: "
            'pip install "skood[distributed]".'
        ) from error
    # The detector places the network, and its `precision` says how to compute.
    accelerator = Accelerator(device_placement=False, mixed_precision="no")
    if accelerator.num_processes == 1:
        if _meant_for_several(os.environ):
            warnings.warn(
                "device='accelerate' finds one process alone: on CPUs `accelerate launch "
                "--num_processes` starts no second one. Start them by torch: accelerate launch "
                "--cpu -m torch.distributed.run --nproc_per_node 2 script.py.",
                UserWarning, stacklevel=5,
            )
        return Alone(accelerator.device)
    kind = accelerator.distributed_type.value
    if not kind.startswith("MULTI_"):
        raise ValueError(
            "device='accelerate' shares batches among processes that hold the whole network each, "
            f"but they were launched for {kind}: launch them with --multi_gpu, or --cpu."
        )
    return Together(accelerator)


def _meant_for_several(environment):
    """Whether Accelerate's launcher was asked for several processes and started one."""
    on_cpu = environment.get("ACCELERATE_USE_CPU", "").lower() == "true"
    return on_cpu and "MASTER_ADDR" in environment and "RANK" not in environment


class Alone:
    """A fit in one process.

    Attributes
    ----------
    device : str or torch.device
        Where this process computes.
    index, count : int
        Which of how many processes this is.
    """

    index, count = 0, 1

    def __init__(self, device="cpu"):
        self.device = device

    def agreed(self, value):
        """Return the value of the first process."""
        return value

    def shared(self, compute, n):
        """Return, for all of n rows, what ``compute`` returns for some.

        Parameters
        ----------
        compute : callable
            ``compute(own)``, of a slice of row numbers, returns a tuple of arrays or tensors.
        n : int
        """
        return compute(slice(0, n))

    def same_buffers(self, module):
        """Give every process the buffers of the first."""


class Together(Alone):
    """A fit in several processes that each have a share of the rows of every pass.

    Parameters
    ----------
    accelerator : accelerate.Accelerator
    """

    def __init__(self, accelerator):
        super().__init__(accelerator.device)
        self.accelerator = accelerator
        self.index, self.count = accelerator.process_index, accelerator.num_processes

    def agreed(self, value):
        """Return the value of the first process."""
        values = [value]
        distributed.broadcast_object_list(values, device=self.device)
        return values[0]

    def check_alike(self, facts):
        """Refuse to fit where the processes have been given different things."""
        everybody = [None] * self.count
        distributed.all_gather_object(everybody, facts)
        differing = sorted(
            name for name in set().union(*everybody)
            if len({each.get(name) for each in everybody}) > 1
        )
        if differing:
            told = "; ".join(
                f"{name} is {', '.join(str(each.get(name)) for each in everybody)}"
                for name in differing
            )
            raise ValueError(
                f"all {self.count} processes must fit the same, but {told}. Load the same data in "
                "the same order, with the same parameters, in each."
            )

    def check_rows(self, n):
        """Refuse batches of so few in-distribution rows that a process would have none."""
        if n < self.count:
            raise ValueError(
                f"batches of {n} rows of X cannot be shared among {self.count} processes: raise "
                "batch_size, or launch fewer."
            )

    def check_compile(self, compile):
        """Refuse to compile: what is gathered between the passes of a step cannot be."""
        if compile is not False:
            raise ValueError(
                f"compile={compile!r}, but passes that {self.count} processes share are not "
                "compiled: pass compile=False, or launch one process."
            )

    def share(self, n):
        """Return the slice of n row numbers that is this process's."""
        return slice(n * self.index // self.count, n * (self.index + 1) // self.count)

    def shared(self, compute, n):
        """Compute this process's share of the rows, and return what all have computed."""
        if n < self.count:  # too few to share: everybody computes them
            return super().shared(compute, n)
        own = self.share(n)
        return tuple(self._gathered(part, own, n) for part in compute(own))

    def _gathered(self, part, own, n):
        tensor = torch.as_tensor(part).to(self.device)
        joint = gathered(tensor, own, n)
        return joint.cpu().numpy() if isinstance(part, np.ndarray) else joint

    def same_buffers(self, module):
        """Give every process the buffers of the first."""
        for buffer in module.buffers():
            distributed.broadcast(buffer, 0)


def unwrapped(module):
    """Return the network itself, without what averages its gradients."""
    return module.module if isinstance(module, DistributedDataParallel) else module


# ---- the training loop


class SharedPasses(AccelerateMixin):
    """What skorch's loop around a network does in several processes; mixed into skood's."""

    def __init__(self, *args, processes, **kwargs):
        super().__init__(*args, accelerator=processes.accelerator, **kwargs)
        self.processes = processes
        del self.callbacks__print_log__sink  # of a callback that is switched off

    def _initialize_callbacks(self):
        return super(AccelerateMixin, self)._initialize_callbacks()  # whose own sets that again

    def _initialize_accelerator(self):
        """Prepare all but the loss, which every process computes of the joint batch."""
        self.module_ = self.accelerator.prepare(self.module_)
        self.optimizer_ = self.accelerator.prepare(self.optimizer_)
        self._wrapped_with_accelerator = True

    def _pass(self, batch, n_in):
        """Return the logits of the joint batch, of which this process computes its share."""
        own = np.r_[self._share(0, n_in), self._share(n_in, len(batch))]
        with set_aside(self._own_seed(), self.device), JointBatchNorm():
            logits = forward(self.module_, batch[own], self.precision)
        return gathered(logits, own, len(batch))

    def _share(self, first, last):
        """Return row numbers: of X's rows, as of the outliers, each process has its part."""
        return np.arange(first, last)[self.processes.share(last - first)]

    def _own_seed(self):
        """Return that of this process and step: dropout is not to be alike in all processes."""
        step = len(self.history), len(self.history[-1, "batches"]), self.processes.index
        return int(np.random.SeedSequence([torch.initial_seed(), *step]).generate_state(1)[0])

    def _penalty_of(self, *args):
        return mean_of_losses(super()._penalty_of(*args), self.processes.count)
