"""A fit that may be stopped at any moment, by anything, and goes on where it was.

A fit is a few trainings one after the other, its phases. What lies between them, the network built,
margins measured, is computed again from the same seed; the trainings go on from the file.
"""

import hashlib
import io
import os
import pickle
import reprlib
from contextlib import contextmanager
from pathlib import Path

import torch
from skorch.callbacks import Callback

from .._files import LONGEST_NAME, clear_parts, replaced
from .._version import __version__
from .facts import differing, facts_of
from .state import (
    of_generators,
    of_history,
    of_module,
    of_net,
    plain,
    rich,
    to_generators,
    to_module,
    to_net,
)

_FORMAT = 1
_HEAD = b"skood checkpoint\n"  # then the digest of the rest, which torch reads
_DIGEST = hashlib.sha256


def open_checkpoint(detector, data, seed, resume, processes):
    """Return the checkpoint that a detector's parameters name, for a fit on these data.

    Parameters
    ----------
    detector : BaseTrainedDetector
    data : TrainingData
    seed : int
        Of a fit that begins.
    resume : bool
        As in ``fit``.
    processes : Alone or Together
        Those that fit: the first writes, all go on.
    """
    seed = processes.agreed(seed)
    if detector.checkpoint is not None:
        facts = facts_of(detector, data)
        return Checkpoint(detector.checkpoint, facts, seed, resume, writes=processes.index == 0)
    if resume:
        raise ValueError(
            "resume=True goes on from the file checkpoint, but checkpoint=None: give the path with "
            "which the fit was begun."
        )
    return NoCheckpoint(seed)


class NoCheckpoint:
    """Stands for a checkpoint where none is wanted."""

    n_epochs = 0

    def __init__(self, seed):
        self.seed = seed

    def next_phase(self):
        """Return one of which nothing is kept."""
        return _Fresh()

    @contextmanager
    def telling_what_is_kept(self):
        """Tell whoever interrupts the fit that it is lost."""
        try:
            yield
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(
                "the fit is interrupted and nothing of it is kept; the detector is as it was. "
                "With checkpoint=path a fit can go on where it was."
            ) from interrupt


class _Fresh:
    """A phase that begins at its beginning and leaves nothing behind."""

    def measured(self, numbers):
        return numbers

    def finished(self, module, rng, device):
        return None

    def callbacks(self):
        return []

    def restore(self, net):
        return 0

    def finish(self, module, rng, device, history):
        pass


class Checkpoint:
    """The file of a fit, written anew after every epoch.

    Parameters
    ----------
    path : str or path-like
    facts : dict of str to str
        What a fit that goes on from the file must agree in.
    seed : int
        Of the fit, if it begins.
    resume : bool
        Whether to go on from the file. Where there is none, the fit begins.
    writes : bool, default=True
        Whether this process is the one that writes.

    Attributes
    ----------
    seed : int
        Of the fit that began.

    Raises
    ------
    ValueError
        If the file cannot be read or is of another fit, or is there and not to be gone on from.
    """

    def __init__(self, path, facts, seed, resume, writes=True):
        self.path, self.facts, self.seed, self.writes = Path(path), facts, seed, writes
        self._phases, self._n_begun, self._stamp = [], 0, None
        _check_folder(self.path)
        if not self.path.exists():
            return
        if not resume:
            raise ValueError(
                f"checkpoint={str(path)!r} exists, and a fit never writes over another's: pass "
                "fit(..., resume=True) to go on from it, give another path, or delete it."
            )
        kept = _read(self.path)
        _check_same(self.path, kept["facts"], facts)
        for phase in kept["phases"]:
            _check_phase(self.path, phase)
        self.seed, self._phases, self._stamp = kept["seed"], kept["phases"], _stamp(self.path)

    @property
    def n_epochs(self):
        """Number of epochs that are kept."""
        return sum(len(phase["history"]) for phase in self._phases)

    def next_phase(self):
        """Return the phase that is due, with what is kept of it."""
        self._n_begun += 1
        return _Phase(self, self._n_begun - 1)

    @contextmanager
    def telling_what_is_kept(self):
        """Tell whoever interrupts the fit how it can go on."""
        try:
            yield
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(
                f"the fit is interrupted; the detector is as it was. {self._what_is_kept()}"
            ) from interrupt

    def _what_is_kept(self):
        if not self._phases:
            return f"No epoch was finished: {self.path} is not written."
        epochs = "1 epoch is" if self.n_epochs == 1 else f"{self.n_epochs} epochs are"
        return f"{epochs} kept in {self.path}: fit(..., resume=True) goes on from there."

    def kept(self, index):
        """Return what is kept of a phase, or None."""
        return self._phases[index] if index < len(self._phases) else None

    def keep(self, index, phase):
        """Write the file with this phase, begun or finished, in it."""
        if self.writes and _stamp(self.path) != self._stamp:
            raise ValueError(
                f"another fit writes checkpoint={str(self.path)!r}, too: give each a path of its "
                "own. In a search over parameters leave the checkpoint out."
            )
        phases = [*self._phases[:index], phase]
        if self.writes:
            self._write(phases)
        self._phases = phases  # once it is true: who interrupts the writing is told of the others

    def _write(self, phases):
        content = io.BytesIO()
        torch.save(
            {"format": _FORMAT, "version": __version__, "facts": self.facts, "seed": self.seed,
             "phases": phases},
            content,
        )
        clear_parts(self.path)  # no other fit writes this file
        with replaced(self.path) as file:
            file.write(_HEAD + _DIGEST(content.getbuffer()).digest())
            file.write(content.getbuffer())
        self._stamp = _stamp(self.path)


class _Phase:
    """One training of a fit, and its place in the file."""

    def __init__(self, checkpoint, index):
        self.checkpoint, self.index = checkpoint, index
        self._kept = checkpoint.kept(index)
        self._measured = {}

    def measured(self, numbers):
        """Return the numbers that the training uses: those kept, where they are, or these."""
        self._measured = numbers
        if self._kept is not None:
            self._measured = rich(self._kept["measured"])
            if _known(self._measured) != _known(numbers):  # they become attributes
                raise _another_form(
                    self.checkpoint.path, f"it measured {reprlib.repr(self._measured)}"
                )
        return self._measured

    def finished(self, module, rng, device):
        """Return the history of a phase that is at its end, having put its result back, or None."""
        if self._kept is None or not self._kept["finished"]:
            return None
        with _telling_of_another_form(self.checkpoint.path):
            to_module(module, self._kept["module"])
            to_generators(self._kept["generators"], rng, device)
        return rich(self._kept["history"])

    def callbacks(self):
        """Return the callbacks by which the phase is kept."""
        return [("checkpoint", _Keep(self))]

    def restore(self, net):
        """Put back what is kept, and return the epochs that were run."""
        if self._kept is None:
            return 0
        with _telling_of_another_form(self.checkpoint.path):
            return to_net(net, self._kept)

    def keep(self, net):
        """Keep the phase as it is at the end of an epoch."""
        self._write(of_net(net), finished=False)

    def finish(self, module, rng, device, history):
        """Keep the result of the phase."""
        # Clones: the file of the next phase holds them, too, when training has moved the tensors.
        state = _cloned(of_module(module))
        generators = of_generators(rng, device)
        self._write(
            {"module": state, "generators": generators, "history": of_history(history)},
            finished=True,
        )

    def _write(self, state, finished):
        state |= {"measured": plain(self._measured), "finished": finished}
        self.checkpoint.keep(self.index, state)


class _Keep(Callback):
    """Keeps a phase after every epoch but the last, after which its result is kept."""

    def __init__(self, phase):
        self.phase = phase

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) < net.max_epochs:
            self.phase.keep(net)


def _cloned(value):
    if isinstance(value, torch.Tensor):
        return value.clone()
    return {k: _cloned(v) for k, v in value.items()} if isinstance(value, dict) else value


def _check_folder(path):
    if path.is_dir():
        raise ValueError(f"checkpoint={str(path)!r} is a folder: give the path of a file.")
    folder, name = path.resolve().parent, path.resolve().name
    if len(os.fsencode(name)) > LONGEST_NAME:
        raise ValueError(
            f"checkpoint={str(path)!r} has a name of {len(os.fsencode(name))} bytes: give one of "
            f"at most {LONGEST_NAME}, as it is written under a longer one first."
        )
    if not os.access(folder, os.W_OK):
        raise ValueError(
            f"checkpoint={str(path)!r} cannot be written: the folder {folder} is missing or "
            "read-only."
        )


def _stamp(path):
    """Return what tells one state of a file from another, None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def _read(path):
    try:
        # On the CPU, whatever device wrote it; without running code, whoever wrote it.
        kept = torch.load(io.BytesIO(_content(path)), map_location="cpu", weights_only=True)
    except (
        OSError, EOFError, LookupError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError
    ) as error:
        raise _another_form(path, str(error)) from error
    _check_form(path, kept, {"format": int})
    if kept["format"] != _FORMAT:
        raise ValueError(
            f"checkpoint={str(path)!r} was written by skood {kept.get('version')} in format "
            f"{kept['format']}; this is {__version__}, which reads format {_FORMAT}. Go on with "
            "that version."
        )
    _check_form(path, kept, {"facts": dict, "seed": int, "phases": list})
    if not 0 <= kept["seed"] < 2**31:
        raise _another_form(path, f"its seed is {kept['seed']}")
    return kept


# ---- what someone wrote who knows how the checksum is made


def _check_form(path, kept, kinds):
    for name, kind in kinds.items():
        value = kept.get(name) if isinstance(kept, dict) else kept
        if not isinstance(value, kind):
            raise _another_form(path, f"its {name} is {reprlib.repr(value)}")


def _known(numbers):
    """Return of what a training measured what is known before: all but the values of floats."""
    return {k: float if isinstance(value, float) else value for k, value in numbers.items()}


def _check_phase(path, kept):
    _check_form(path, kept, {"finished": bool, "measured": dict, "history": list})
    if not all(isinstance(row, dict) for row in kept["history"]):
        raise _another_form(path, "its history is not one of epochs")


@contextmanager
def _telling_of_another_form(path):
    """Tell of what fits no network, optimizer or generator; their code is torch's and NumPy's."""
    try:
        yield
    except (
        ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError
    ) as error:
        raise _another_form(path, repr(error)) from error


def _another_form(path, why):
    return ValueError(
        f"checkpoint={str(path)!r} is damaged or no checkpoint of skood: {why}. Delete it, or give "
        "another path."
    )


def _content(path):
    """Return what torch is to read, which is as it was written."""
    whole = path.read_bytes()
    begin = len(_HEAD) + _DIGEST().digest_size
    digest, content = whole[len(_HEAD) : begin], whole[begin:]
    if not whole.startswith(_HEAD):
        raise ValueError("it does not begin as one")
    if digest != _DIGEST(content).digest():
        raise ValueError("it is not what was written: its checksum differs")
    return content


def _check_same(path, kept, facts):
    others = differing(kept, facts, "not there")
    if others:
        raise ValueError(
            f"checkpoint={str(path)!r} is of another fit: {'; '.join(others)}. Repeat the "
            "parameters and data of that fit, or give another path."
        )
