"""Sets of images that are scored and shown: their doors, and the few rows that are drawn."""

import numpy as np

from .. import _images
from ..metrics._sets import named_sets
from ..validation import as_array
from ._scores import ID, by_name


def rows_by_name(X_in, X_ood):
    """Return all sets of rows by name, ID first."""
    rows = by_name(X_in, named_sets(X_ood, with_mean=False))
    return {name: X if hasattr(X, "shape") else np.asarray(X) for name, X in rows.items()}


def check_images(sets, to_images):
    """Refuse tables before anything is scored."""
    if to_images is not None:
        if not callable(to_images):
            raise TypeError(f"to_images must be callable or None, got {to_images!r}.")
        return
    for name, X in sets.items():
        shape = tuple(take(X, slice(1)).shape[1:])  # a SliceDataset knows only how many there are
        if len(shape) != 3 or shape[0] not in (1, 3):
            raise ValueError(
                f"{_parameter(name)} must hold images of shape (n, 1 or 3, H, W), got "
                f"{(len(X), *shape)}; pass to_images to make images of its rows."
            )


def check_pairs(scores, sets):
    """Refuse images that are not those of the scores."""
    if list(scores) != list(sets):
        raise ValueError(
            f"scores_ood and X_ood must have the same names, got {list(scores)[1:]} and "
            f"{list(sets)[1:]}."
        )
    for name, each in scores.items():
        if len(each) != len(sets[name]):
            raise ValueError(
                f"{_parameter(name)} must have one row a score, {len(each)}, got "
                f"{len(sets[name])}."
            )


def _parameter(name):
    return "X_in" if name == ID else f"X_ood[{name!r}]"


def take(X, index):
    """Return some rows, a frame of a frame; of a memmap no other row is read."""
    return X.iloc[index] if hasattr(X, "iloc") else as_array(X[index])


def read_images(rows, to_images, name):
    """Return rows as images in [0, 1]."""
    images = as_array(rows if to_images is None else to_images(np.asarray(rows)))
    if images.ndim != 4 or len(images) != len(rows) or images.shape[1] not in (1, 3):
        raise ValueError(
            f"to_images must return {len(rows)} images of shape (n, 1 or 3, H, W), got "
            f"{images.shape}."
        )
    try:
        return _images.read_images(images)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"{_parameter(name)} cannot be shown: {error} Or pass to_images, which does."
        ) from None
