"""Arrays that lie in a mapped file, and what the system is told of the rows that are to be read."""

import mmap

import numpy as np

_FOLDER_OF_JOBLIB = "joblib_memmapping_folder"
_CAN_TELL = hasattr(mmap, "MADV_WILLNEED")  # not on Windows


def mapping_of(array):
    """Return the mapped file in which an array lies, or None.

    Memory that joblib shares among its processes is a mapped file, too, and not one of the user's:
    the same rows are to be the same fit in each.
    """
    while isinstance(array, np.ndarray):
        if _FOLDER_OF_JOBLIB in str(getattr(array, "filename", "")):
            return None
        array = array.base
    return array if isinstance(array, mmap.mmap) else None


def announce(array, index):
    """Have the system read rows of a mapped file, all at once, before they are touched.

    A row that is touched unannounced stops the reader, and brings along as much of what lies around
    it as the system holds to be worth it: megabytes, of which a window of rows is a small part.

    Parameters
    ----------
    array : ndarray
        Where it lies in no file, or its rows are not in one piece, nothing happens.
    index : integer array
    """
    mapping = mapping_of(array)
    if mapping is None or not _CAN_TELL or not len(index) or not array[:1].flags.c_contiguous:
        return
    origin = np.frombuffer(mapping, np.uint8).ctypes.data
    starts = array.ctypes.data - origin + index * array.strides[0]
    ends = starts + array[:1].nbytes
    gaps = np.flatnonzero(starts[1:] != ends[:-1])
    for start, end in zip(starts[np.r_[0, gaps + 1]], ends[np.r_[gaps, -1]], strict=True):
        page = int(start) // mmap.PAGESIZE * mmap.PAGESIZE
        mapping.madvise(mmap.MADV_WILLNEED, page, int(end) - page)
