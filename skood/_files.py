"""Files that are whole at every moment: the old one, or the new one, and never a part of either."""

import glob
import os
import uuid
from contextlib import contextmanager
from pathlib import Path

LONGEST_NAME = 255 - len(f".{uuid.UUID(int=0).hex}..part")  # bytes: its part has one, too
_ANY = 32 * "[0-9a-f]"  # the name of a part, and not the rest of another file's name


@contextmanager
def replaced(path):
    """Open a new file that takes the place of ``path`` when the block is left without an error.

    Parameters
    ----------
    path : str or path-like

    Yields
    ------
    file : binary file
        In the same folder, under another name.

    Notes
    -----
    The bytes are on the disk before the name is theirs, and the name before the block is over: not
    even a power cut leaves a broken file. A process that is killed while it writes leaves a
    ``.part``. Where ``path`` is a link, the file that it leads to is replaced.
    """
    path = Path(path).resolve()
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:  # an interrupt too must not leave the part behind
        part.unlink(missing_ok=True)
    _sync_folder(path.parent)


def clear_parts(path):
    """Delete what killed processes have left of ``path``, which no other is writing now."""
    path = Path(path).resolve()
    for part in path.parent.glob(f".{glob.escape(path.name)}.{_ANY}.part"):
        part.unlink(missing_ok=True)


def _sync_folder(folder):
    if os.name == "nt":  # where folders cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
