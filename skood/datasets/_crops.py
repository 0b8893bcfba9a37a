"""From picture files to small square crops, and the filters every outlier set passes."""

import io
import numbers
import re
import warnings
import zlib

import numpy as np

MIN_STD = 8.0  # on the scale 0 to 255, within each channel
_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tga", ".bmp", ".gif")
# the classes of CIFAR-10, with the common words for the same things and for kinds of birds
_CLASS_WORDS = frozenset(
    """
    airplane aeroplane plane aircraft airliner jet biplane airbus boeing helicopter
    automobile auto car cabriolet limousine taxi suv jeep
    bird albatross chick chicken cock crow cuckoo dove duck duckling eagle emu falcon finch flamingo
    gander goose geese hawk hen heron hummingbird kingfisher lark macaw magpie ostrich owl parrot
    peacock peahen pelican penguin pigeon puffin raven robin rooster seagull sparrow stork swallow
    swan toucan turkey vulture woodpecker
    cat kitten kitty housecat deer stag elk moose reindeer fawn dog puppy hound poodle terrier
    frog toad tadpole horse pony foal stallion
    ship boat sailboat ferry steamer submarine yacht vessel canoe truck lorry pickup firetruck
    """.split()
)


def require_pillow():
    """Return the module ``PIL.Image``, or raise an `ImportError` that says what to install."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            "Pillow is needed to build this data set from its package: "
            "pip install 'skood[datasets]'"
        ) from error
    return Image


def is_picture(name):
    """Tell whether a member of an archive is a picture, by its suffix."""
    return name.lower().endswith(_SUFFIXES)


def names_cifar_class(name):
    """Tell whether a path or a phrase holds a word for one of CIFAR-10's classes.

    Whole words are compared, in snake_case and camelCase and in the plural, so that "catalog" and
    "scar" hold none, and "big_cats/lion.png" and "FireTruck2.png" hold one.
    """
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}
    return not _CLASS_WORDS.isdisjoint(words | {word.removesuffix("s") for word in words})


def flat(images):
    """Return the mask (n,) of images whose every channel is nearly constant.

    ``images`` are uint8 of shape (n, C, H, W). The standard deviation is taken within each
    channel: over all values together, a picture of one strong colour would pass.
    """
    return images.std(axis=(2, 3), dtype=np.float32).max(axis=1) < MIN_STD


def square_crops(name, content, n_crops, size, grayscale, *, min_side=48, background=None):
    """Cut square crops out of one picture.

    Parameters
    ----------
    name : str
        Seeds the choice of crops, so that it depends on the picture alone.
    content : bytes
        The picture file.
    n_crops : int
        The first crop is the centre square; the others are squares of 30 to 100 % of the shorter
        side, anywhere in the picture.
    size : int
        Side that the crops are resized to, in pixels.
    grayscale : bool
    min_side : int, default=48
        Pictures with a shorter side below this are left out.
    background : tuple of 3 ints, default=None
        Colour seen through transparent parts. None: one drawn for each picture.

    Returns
    -------
    crops : ndarray of shape (n, C, size, size), uint8
        Without the flat ones, so n is 0 to ``n_crops``.
    """
    image = require_pillow()
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    background = background or tuple(rng.integers(0, 256, 3).tolist())
    opaque = _open_opaque(content, min_side, background, image)
    if opaque is None:
        return np.empty((0, 1 if grayscale else 3, size, size), np.uint8)
    opaque = opaque.convert("L" if grayscale else "RGB")
    side = min(opaque.size)
    sides = side * np.r_[1.0, rng.uniform(0.3, 1.0, n_crops - 1)]
    room = np.array(opaque.size) - sides[:, None]
    corners = room * np.vstack([[0.5, 0.5], rng.uniform(size=(n_crops - 1, 2))])
    crops = [
        opaque.resize((size, size), image.Resampling.LANCZOS, (x, y, x + s, y + s), reducing_gap=2)
        for (x, y), s in zip(corners, sides, strict=True)
    ]
    crops = np.stack([np.atleast_3d(crop) for crop in crops]).transpose(0, 3, 1, 2)
    return crops[~flat(crops)]


def _open_opaque(content, min_side, background, image):
    """Return the picture without transparency; None if it is too small, or too large to decode."""
    try:
        with warnings.catch_warnings():
            # Pillow guards against small files that fill the memory; one clip art is like that
            warnings.simplefilter("error", image.DecompressionBombWarning)
            picture = image.open(io.BytesIO(content))
    except (image.DecompressionBombWarning, image.DecompressionBombError):
        return None
    if min(picture.size) < min_side:
        return None
    if picture.mode in ("RGB", "L"):
        return picture
    picture = picture.convert("RGBA")
    canvas = image.new("RGBA", picture.size, (*background, 255))
    canvas.alpha_composite(picture)
    return canvas


def crops_of_pictures(members, n_crops, size, grayscale, **options):
    """Return the distinct crops of all pictures among ``(name, bytes)``, and how many gave some.

    The other parameters are those of `square_crops`.
    """
    kept = []
    for name, content in members:
        if is_picture(name):
            crops = square_crops(name, content, n_crops, size, grayscale, **options)
            if len(crops):
                kept.append(crops)
    return distinct(np.concatenate(kept)), len(kept)


def distinct(images):
    """Return the images without exact repetitions, in their order."""
    _, first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
    return images[np.sort(first)]


def luminance(images):
    """Return RGB images (n, 3, H, W), uint8, as grey ones (n, 1, H, W), by Rec. 601 as Pillow."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return np.tensordot(images, weights, (1, 0))[:, None].round().astype(np.uint8)


def check_choice(parameter, value, allowed):
    """Raise a `ValueError` if the value of a parameter is not among the allowed ones."""
    if value not in allowed:
        raise ValueError(f"{parameter} must be one of {sorted(allowed)}; got {value!r}.")


def check_size(size):
    """Raise an error if ``size`` is no positive whole number of pixels."""
    if isinstance(size, bool) or not isinstance(size, numbers.Integral):
        raise TypeError(f"size must be a number of pixels (int); got {size!r}.")
    if size < 8:
        raise ValueError(f"size must be at least 8 pixels; got {size}.")
