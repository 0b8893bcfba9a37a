"""Out-of-distribution test sets, from packages that no auxiliary set uses."""

import io
import re
import unicodedata
from functools import partial

import numpy as np
from sklearn.utils import Bunch

from ._archives import read_deb, read_nested
from ._cache import PACKAGES, cached, data_folder, find_package, open_archive
from ._crops import (
    check_choice,
    check_size,
    crops_of_pictures,
    luminance,
    names_cifar_class,
    require_pillow,
)
from ._letters import render_letters
from ._street_numbers import render_street_numbers


def fetch_ood(name, *, size=None, grayscale=None, data_home=None, download=True, verbose=True):
    """Load an out-of-distribution test set of images.

    Parameters
    ----------
    name : {"scenes", "textures", "emoji", "letters", "street_numbers"}
        "scenes": photographs of landscapes and cities, up to 6 crops of each, from
        ``endless-sky-data`` (69.7 MB). "textures": surfaces of stone, metal, wood and tiles, up
        to 2 crops of each, from ``openarena-081-textures`` (93.7 MB). "emoji": drawings from
        ``fonts-noto-color-emoji`` (9.9 MB), without those named after a CIFAR-10 class.
        "letters": A to J in the faces of ``fonts-urw-base35`` and ``fonts-lato`` (13.5 MB),
        bright on black, like notMNIST. "street_numbers": numbers drawn in the fonts that come with
        matplotlib, with gradients, blur and neighbours, like SVHN; nothing is downloaded.
    size : int, default=None
        Height and width in pixels, at least 8. None: 28 for "letters", 32 for the others.
    grayscale : bool, default=None
        Whether to return one channel instead of three. None: True for "letters", False for the
        others.
    data_home : path-like, default=None
        As in `fetch_auxiliary`.
    download : bool, default=True
        Whether missing packages may be downloaded with ``apt-get``.
    verbose : bool, default=True
        Whether to show progress.

    Returns
    -------
    data : `~sklearn.utils.Bunch`
        X_ood : ndarray of shape (n, 3, size, size) or (n, 1, size, size), uint8
            The images.
        name : str
            As given.
        composition : dict
            For each package ``{"pictures": int, "crops": int}``; for the drawn sets the pictures
            are the faces.
        DESCR : str
            What the images are, and where they are from.

    Raises
    ------
    FileNotFoundError
        If a package is not there and cannot be downloaded; the message says how to get it.
    OSError
        If a package does not have the checksum it should have.
    ImportError
        If the set has to be built and Pillow (all sets), fontTools ("emoji") or matplotlib
        ("street_numbers") is missing.

    See Also
    --------
    fetch_auxiliary : Outliers to train against, from other packages than these.
    load_digits_ood : A small in-distribution set with its outliers, without download.

    Notes
    -----
    Images that are nearly one colour (standard deviation below 8 of 255 in every channel) and
    repetitions are left out.

    References
    ----------
    The sets stand in for the Places, DTD, SVHN and notMNIST sets of Hendrycks, Mazeika &
    Dietterich, "Deep anomaly detection with outlier exposure", ICLR 2019; they are not those sets.
    """
    check_choice("name", name, _BUILDERS)
    size = (28 if name == "letters" else 32) if size is None else size
    check_size(size)
    grayscale = name == "letters" if grayscale is None else grayscale
    colour = "grey" if grayscale else "rgb"
    # the number is that of the recipe: another one when the images would come out differently
    path = data_folder(data_home) / f"ood-{name}-{size}-{colour}-1.npz"
    find = partial(_members, data_home=data_home, download=download, verbose=verbose)
    arrays = cached(path, lambda: _build(name, find, size, grayscale))
    X, pictures = arrays["X_ood"], int(arrays["pictures"])
    packages = " and ".join(_PACKAGES.get(name, ["drawn with matplotlib's fonts"]))
    return Bunch(
        X_ood=X,
        name=name,
        composition={packages: {"pictures": pictures, "crops": len(X)}},
        DESCR=f"Out-of-distribution test set '{name}': {len(X)} images from {pictures} pictures or "
        f"faces, uint8 of shape {X.shape[1:]}; {packages}.",
    )


def _build(name, find, size, grayscale):
    require_pillow()  # before anything is downloaded for nothing
    X, pictures = _BUILDERS[name](find, size, grayscale)
    return {"X_ood": X, "pictures": np.array(pictures)}


def _members(package, *, data_home, download, verbose):
    """Yield the members of a Debian package, and those of the archives in it."""
    path = find_package(PACKAGES[package], data_home, download, verbose)
    with open_archive(path, verbose) as stream:
        yield from read_nested(read_deb(stream))


def _scenes(find, size, grayscale):
    members = ((n, content) for n, content in find("endless-sky-data") if "/images/land/" in n)
    return crops_of_pictures(members, 6, size, grayscale)


def _textures(find, size, grayscale):
    surface = re.compile(r"textures/(?!sfx|skies|flares|common|clown)")  # no skies, effects, faces
    members = find("openarena-081-textures")
    chosen = ((name, content) for name, content in members if surface.match(name))
    return crops_of_pictures(chosen, 2, size, grayscale)


def _emoji(find, size, grayscale):
    members = ((n, c) for n, c in _emoji_bitmaps(find) if not names_cifar_class(n))
    return crops_of_pictures(members, 1, size, grayscale, background=(255, 255, 255))


def _emoji_bitmaps(find):
    """Yield ``(name, PNG bytes)`` of each glyph, with the character's name where it has one."""
    try:
        from fontTools.ttLib import TTFont
    except ImportError as error:
        raise ImportError(
            "fontTools is needed to read the emoji font: pip install 'skood[datasets]'"
        ) from error
    content = next(c for name, c in find("fonts-noto-color-emoji") if name.endswith(".ttf"))
    font = TTFont(io.BytesIO(content))
    codes = {glyph: code for code, glyph in font.getBestCmap().items()}
    for glyph, bitmap in font["CBDT"].strikeData[0].items():
        character = unicodedata.name(chr(codes[glyph]), "") if glyph in codes else ""
        yield f"{glyph} {character}.png", bitmap.imageData


def _letters(find, size, grayscale):
    symbols = ("D050000L", "StandardSymbolsPS")  # faces without letters
    faces = [
        content
        for package in _PACKAGES["letters"]
        for name, content in find(package)
        if name.endswith((".otf", ".ttf")) and not any(face in name for face in symbols)
    ]
    X = render_letters(faces, "ABCDEFGHIJ", 4, size)
    return X if grayscale else X.repeat(3, axis=1), len(faces)


def _street_numbers(find, size, grayscale):
    X, n_faces = render_street_numbers(2000, size)
    return (luminance(X) if grayscale else X), n_faces


_BUILDERS = {
    "scenes": _scenes,
    "textures": _textures,
    "emoji": _emoji,
    "letters": _letters,
    "street_numbers": _street_numbers,
}
_PACKAGES = {
    "scenes": ["endless-sky-data"],
    "textures": ["openarena-081-textures"],
    "emoji": ["fonts-noto-color-emoji"],
    "letters": ["fonts-urw-base35", "fonts-lato"],
}
