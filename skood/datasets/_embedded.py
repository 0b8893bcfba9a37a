"""A small real data set with its outliers that needs no download."""

from importlib.resources import files

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.utils import Bunch, check_random_state

_DESCR = """Handwritten digits and what is not one of them: 8x8 pixels, 17 grey levels as uint8.

In-distribution: the classes 0 to 7 of scikit-learn's digits ({n_train} for training, {n_test} for
testing). Auxiliary outliers ({n_aux}): patches of the left three quarters of the photograph
china.jpg, and mathematical signs and Greek letters in the STIX faces. Validation outliers
({n_val}): patches of its right quarter and other signs. Test outliers: the digits 8 and 9
("held_out_digits", {held_out_digits}), patches of the photograph flower.jpg ("photograph",
{photograph}), Latin letters in the DejaVu faces ("letters", {letters}), uniform and Gaussian noise
("noise", {noise}).

The digits are those of Alpaydin & Kaynak, "Optical recognition of handwritten digits", UCI Machine
Learning Repository, 1998. The photographs are the two in scikit-learn, by danielbuechele (china)
and vultilion (flower), CC BY 2.0. STIX and DejaVu are free typefaces that come with matplotlib.
"""
_N_CLASSES, _N_NOISE = 8, 800


def load_digits_ood(*, random_state=0):
    """Load scikit-learn's digits with auxiliary outliers and out-of-distribution test sets.

    Everything comes with skood and scikit-learn: nothing is downloaded. The classes 0 to 7 are
    in-distribution; 8 and 9 are held out as a test set near to them.

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=0
        Determines the split into training and test images, and the noise.

    Returns
    -------
    data : `~sklearn.utils.Bunch`
        X_train : ndarray of shape (962, 1, 8, 8), uint8
            The 17 grey levels of the digits, spread over 0 to 255.
        y_train : ndarray of shape (962,), int64
            Classes, 0 to 7.
        X_test : ndarray of shape (481, 1, 8, 8), uint8
            Further images of these classes.
        y_test : ndarray of shape (481,), int64
            Their classes.
        X_aux : ndarray of shape (3801, 1, 8, 8), uint8
            Outliers to train against: patches of a photograph, and signs that are no Latin letter.
        X_val_ood : ndarray of shape (628, 1, 8, 8), uint8
            Outliers to choose parameters by, from another part of that photograph and other signs.
        ood : dict of str to ndarray of shape (n, 1, 8, 8), uint8
            Test sets: "held_out_digits", "photograph", "letters", "noise". None shares a
            photograph, a typeface or a sign with ``X_aux`` and ``X_val_ood``.
        target_names : ndarray of shape (8,), str
            The names of the classes.
        DESCR : str
            What the images are, and where they are from.

    See Also
    --------
    fetch_fashion_mnist : A larger set of grey images, downloaded.
    fetch_auxiliary : Real auxiliary outliers, downloaded.

    Notes
    -----
    The outliers have the same 17 grey levels as the digits, and signs and letters were drawn as
    the digits were made (black and white at 32x32 pixels, counted in blocks of 4x4), so that they
    cannot be told apart by how they were stored. Patches with a standard deviation of less than 1
    level were left out. ``benchmarks/make_digits_outliers.py`` makes the file.

    Examples
    --------
    >>> from skood.datasets import load_digits_ood
    >>> data = load_digits_ood()
    >>> data.X_train.shape, data.X_aux.shape
    ((962, 1, 8, 8), (3801, 1, 8, 8))
    >>> sorted(data.ood)
    ['held_out_digits', 'letters', 'noise', 'photograph']
    """
    rng = check_random_state(random_state)
    digits = load_digits()
    X, y = _as_images(digits.images), digits.target.astype(np.int64)
    known = y < _N_CLASSES
    X_train, X_test, y_train, y_test = train_test_split(
        X[known], y[known], test_size=1 / 3, stratify=y[known], random_state=rng
    )
    with (files(__package__) / "digits_outliers.npz").open("rb") as stream, np.load(stream) as sets:
        outliers = {name: _as_images(levels) for name, levels in sets.items()}
    ood = {
        "held_out_digits": X[~known],
        "photograph": outliers["photograph"],
        "letters": outliers["letters"],
        "noise": _as_images(_noise(_N_NOISE, rng)),
    }
    sizes = {name: len(images) for name, images in ood.items()}
    return Bunch(
        X_train=X_train,
        y_train=y_train,
        X_test=X_test,
        y_test=y_test,
        X_aux=outliers["aux"],
        X_val_ood=outliers["val"],
        ood=ood,
        target_names=np.array([str(label) for label in range(_N_CLASSES)]),
        DESCR=_DESCR.format(
            n_train=len(X_train),
            n_test=len(X_test),
            n_aux=len(outliers["aux"]),
            n_val=len(outliers["val"]),
            **sizes,
        ),
    )


def _as_images(levels):
    """Spread grey levels 0 to 16, of shape (n, 8, 8), over 0 to 255."""
    return np.round(levels * (255 / 16)).astype(np.uint8)[:, None]


def _noise(n_images, rng):
    """Return levels (n, 8, 8): the first half uniform, the second Gaussian around the middle."""
    half = n_images // 2
    uniform = rng.randint(0, 17, (half, 8, 8))
    gaussian = rng.normal(8, 4, (n_images - half, 8, 8)).round().clip(0, 16)
    return np.concatenate([uniform, gaussian])
