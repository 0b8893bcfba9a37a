"""Readers of package archives: Debian .deb, npm .tgz, zip, Qt resource (.rcc) and idx files.

They need neither the package manager nor root, and nothing is ever unpacked to disk, so that a
member's path cannot escape into the file system.
"""

import gzip
import io
import math
import struct
import tarfile
import zipfile
import zlib

import numpy as np

_RCC_COMPRESSED, _RCC_DIRECTORY, _RCC_ZSTD = 1, 2, 4
_UNREADABLE = (tarfile.TarError, EOFError, zlib.error, struct.error, zipfile.BadZipFile)


def read_deb(stream):
    """Yield ``(name, bytes)`` of every file a Debian package would install.

    Parameters
    ----------
    stream : binary file
        An open ``.deb``: an ``ar`` archive whose member ``data.tar.*`` holds the files.

    Yields
    ------
    name : str
        Path of the file below the installation root.
    content : bytes

    Raises
    ------
    OSError
        If the file is no ``.deb``, is cut short, or holds no ``data.tar`` member.
    """
    if stream.read(8) != b"!<arch>\n":
        raise OSError(f"{stream.name} is not a Debian package (no ar signature).")
    while len(header := stream.read(60)) == 60:
        # ar header: name 16, mtime 12, uid 6, gid 6, mode 8, size 10, end 2; data padded to even
        name, size = header[:16].decode("ascii", "replace").rstrip(" /"), header[48:58].strip()
        if name.startswith("data.tar"):
            yield from _tar_members(stream, "r|" + name[len("data.tar") :].lstrip("."))
            return
        if not size.isdigit():
            break
        stream.seek(int(size) + int(size) % 2, io.SEEK_CUR)
    raise OSError(f"{stream.name} holds no data.tar member; it may be cut short.")


def read_tgz(stream):
    """Yield ``(name, bytes)`` of every file of an open compressed tar, such as an npm package."""
    yield from _tar_members(stream, "r|*")


def _tar_members(stream, mode):
    try:
        with tarfile.open(fileobj=stream, mode=mode) as tar:
            for member in tar:
                if member.isfile():
                    yield member.name, tar.extractfile(member).read()
    except _UNREADABLE as error:
        raise OSError(f"the archive {stream.name} cannot be read: {error}") from error


def read_nested(members):
    """Yield ``(name, bytes)``, opening every zip (``.zip``, ``.pk3``) and ``.rcc`` member."""
    readers = {"zip": read_zip, "pk3": read_zip, "rcc": read_rcc}
    for name, content in members:
        reader = readers.get(name.rpartition(".")[2].lower())
        if reader is None:
            yield name, content
        else:
            yield from reader(content)


def read_zip(content):
    """Yield ``(name, bytes)`` of every file of a zip archive given as bytes."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                if not name.endswith("/"):
                    yield name, archive.read(name)
    except _UNREADABLE as error:
        raise OSError(f"the zip archive cannot be read: {error}") from error


def read_rcc(content):
    """Yield ``(name, bytes)`` of every file of a binary Qt resource file given as bytes.

    Raises
    ------
    OSError
        If the bytes are no resource file, or hold entries compressed with Zstandard.

    Notes
    -----
    All numbers are big-endian. The header holds the format version and the offsets of three
    sections: a tree of fixed-size nodes (node 0 is the root; a directory names the index of its
    first child and their count), the data (length, then bytes; a compressed entry is a 4-byte
    length followed by a zlib stream) and the names (UTF-16). Version 2 added 8 bytes of
    modification time to each node, version 3 a word of flags to the header.
    """
    if content[:4] != b"qres":
        raise OSError("not a Qt resource file (no 'qres' signature).")
    version, tree, data, names = struct.unpack_from(">4I", content, 4)
    node_size = 14 if version == 1 else 22
    todo = [(0, "")]
    while todo:
        index, folder = todo.pop()
        name_offset, flags, *span = struct.unpack_from(">IHII", content, tree + index * node_size)
        name = folder + _rcc_name(content, names + name_offset) if index else ""
        if flags & _RCC_DIRECTORY:
            n_children, first = span
            # reversed, because the list is a stack and members should come in tree order
            children = reversed(range(first, first + n_children))
            todo += [(child, name + "/" if index else "") for child in children]
        else:  # the first half of span is the country and language of a translated resource
            yield name, _rcc_data(content, data + span[1], flags)


def _rcc_name(content, offset):
    (length,) = struct.unpack_from(">H", content, offset)  # then 4 bytes of hash, then the name
    return content[offset + 6 : offset + 6 + 2 * length].decode("utf-16-be")


def _rcc_data(content, offset, flags):
    if flags & _RCC_ZSTD:
        raise OSError("the Qt resource file is compressed with Zstandard, which is not supported.")
    (length,) = struct.unpack_from(">I", content, offset)
    raw = content[offset + 4 : offset + 4 + length]
    return zlib.decompress(raw[4:]) if flags & _RCC_COMPRESSED else raw


def read_idx(content):
    """Return the array in an idx file (the format of MNIST) given as bytes, gzipped or not.

    Raises
    ------
    OSError
        If the bytes are no idx file of unsigned bytes, or their number does not fit the header.
    """
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    if content[:3] != b"\x00\x00\x08":
        raise OSError("not an idx file of unsigned bytes.")
    n_dims = content[3]
    shape = struct.unpack_from(f">{n_dims}I", content, 4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * n_dims)
    if values.size != math.prod(shape):
        raise OSError(f"idx file cut short: {values.size} values for the shape {shape}.")
    return values.reshape(shape)
