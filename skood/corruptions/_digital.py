"""What happens to images in computers: elastic warps, coarse pixels and JPEG."""

import io

import numpy as np

from .._images import boxes
from ._planes import blend, smooth


def pixelate(X, rng, share):
    """Shrink to a share of the size and enlarge again, without interpolation."""
    rows, columns = (_coarse(size, int(size * share)) for size in X.shape[2:])
    return blend(X, rows, columns)


def _coarse(size, n_boxes):
    """Return the map (1, size, size) that averages an axis over boxes of equal width."""
    means, box = boxes(size, n_boxes)
    return means[box][None]


def jpeg_compression(X, rng, quality):
    """Encode as JPEG and decode; one by one, as the encoder knows no sets of images."""
    Image = _import_pillow()
    levels = np.rint(255 * np.moveaxis(X, 1, -1)).astype(np.uint8)
    levels = levels[..., 0] if X.shape[1] == 1 else levels
    decoded = np.empty(levels.shape, np.uint8)
    for i, image in enumerate(levels):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        decoded[i] = Image.open(file)
    decoded = decoded.reshape(len(X), *X.shape[2:], X.shape[1])
    return np.moveaxis(decoded, -1, 1) / np.float32(255)


def _import_pillow():
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "jpeg_compression needs Pillow: pip install 'skood[corruptions]'."
        ) from error
    return Image


def elastic_transform(X, rng, amount, sigma, jitter):
    """Move three points at random, the plane with them, and then every pixel a little.

    All three numbers are shares of the shorter side.
    """
    n, _, height, width = X.shape
    side = min(height, width)
    draws = rng.uniform(-1, 1, (n, 6 + 2 * height * width)).astype(np.float32)
    warped = _sample(X, _affine(X, jitter * side * draws[:, :6].reshape(n, 3, 2)), mirror=0)
    if not amount:
        return warped
    moves = smooth(draws[:, 6:].reshape(n, 2, height, width), sigma * side, "reflect", truncate=3)
    return _sample(warped, amount * side * moves + np.mgrid[:height, :width], mirror=1)


def _affine(X, moves):
    """Return the places (n, 2, H, W) that the pixels come from when three points are moved."""
    height, width = X.shape[2:]
    third = min(height, width) // 3
    points = np.array([height // 2, width // 2]) + third * np.array([[1, 1], [-1, 1], [-1, -1]])
    moved = np.concatenate([points + moves, np.ones((len(X), 3, 1))], axis=2)
    back = np.linalg.solve(moved, points)  # (n, 3, 2): from where a point went to where it was
    pixels = np.stack([*np.mgrid[:height, :width], np.ones((height, width))])
    return np.tensordot(back, pixels, (1, 0))


def _sample(X, places, mirror):
    """Read images at rows and columns (n, 2, H, W), in fractions of pixels, interpolating linearly.

    Beyond the edges images are mirrored: with ``mirror=0`` at the middle of the outermost pixels,
    with 1 at their outer edges.
    """
    n, n_channels, height, width = X.shape
    below = np.floor(places)
    share = (places - below).astype(np.float32)[..., None]
    below = below.astype(np.intp)
    top, bottom = (_mirrored(below[:, 0] + i, height, mirror) * width for i in (0, 1))
    left, right = (_mirrored(below[:, 1] + i, width, mirror) for i in (0, 1))
    pixels = np.moveaxis(X, 1, -1).reshape(-1, n_channels)  # all channels of one move together
    start = height * width * np.arange(n)[:, None, None]

    def between(row):
        values = pixels.take(start + row + left, axis=0)
        return values + share[:, 1] * (pixels.take(start + row + right, axis=0) - values)

    upper = between(top)
    return np.moveaxis(upper + share[:, 0] * (between(bottom) - upper), -1, 1)


def _mirrored(index, size, mirror):
    period = 2 * (size - 1 + mirror)
    index = index % period
    return np.minimum(index, period - mirror - index)
