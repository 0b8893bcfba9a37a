"""The arguments of an evaluation: checked before anything is computed."""

from numbers import Integral
from typing import NamedTuple

import numpy as np
from sklearn.utils import check_random_state

from .._numbers import check_bounds, check_integer, check_number
from ..metrics._sets import named_sets
from ..validation import numeric_rows

ATTACKS = ("natural", "corrupted", "linf", "compositional")
CORRUPTING = {"corrupted", "compositional"}
CLIMBING = {"linf", "compositional"}
_PIXEL = 1 / 255


class Samples(NamedTuple):
    """Rows as an array, and the names of their columns if they came in a frame."""

    X: np.ndarray
    columns: object = None

    def wrap(self, X):
        """Return other rows in the container these came in."""
        if self.columns is None:
            return X
        import pandas as pd  # there is a frame, so there is pandas

        return pd.DataFrame(X, columns=self.columns)


def check_attacks(attacks):
    """Return the names of the attacks, each once."""
    names = [attacks] if isinstance(attacks, str) else list(attacks)
    for name in names:
        if name not in ATTACKS:
            raise ValueError(f"attacks must be among {ATTACKS}, got {name!r}.")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"attacks must be one or more different names of {ATTACKS}, got {names}.")
    return names


def check_sets(X_in, X_ood, attacks, eps, bounds):
    """Return the out-of-distribution sets as `Samples`, by name."""
    shape = _check_rows(X_in, "X_in").X.shape[1:]
    sets = {name: _check_rows(X, f"X_ood[{name!r}]") for name, X in named_sets(X_ood).items()}
    for name, (X, _) in sets.items():
        if X.shape[1:] != shape:
            raise ValueError(
                f"each sample of X_ood[{name!r}] must have the shape of a sample of X_in, {shape}; "
                f"got {X.shape[1:]}."
            )
    for name, (X, _) in sets.items():
        if CORRUPTING.intersection(attacks):
            _check_images(X, f"X_ood[{name!r}]")
        if CLIMBING.intersection(attacks):
            _check_units(X, eps, bounds, f"X_ood[{name!r}]")
            _check_within(X, bounds, f"X_ood[{name!r}]")
    return sets


def _check_rows(X, name):
    array = numeric_rows(X, name)
    if len(array) == 0:
        raise ValueError(f"{name} is empty; pass at least one row.")
    return Samples(array, getattr(X, "columns", None))


def _check_images(X, name):
    """Refuse, before hours of work, what some of the corruptions cannot be made of."""
    from ..corruptions._corrupt import SMALLEST  # no other attack needs them

    shaped = X.ndim == 4 and X.shape[1] in (1, 3) and min(X.shape[2:]) >= SMALLEST
    numbers = X.dtype == np.uint8 or X.dtype.kind == "f" and X.min() >= 0 and X.max() <= 1
    if not (shaped and numbers):
        raise ValueError(
            f"{name} must hold images to be corrupted, (n, 1 or 3, H, W) of at least "
            f"{SMALLEST}x{SMALLEST} pixels, uint8 or floats in [0, 1]; got {X.dtype} of shape "
            f"{X.shape}, from {X.min():.6g} to {X.max():.6g}: leave out 'corrupted' and "
            "'compositional'."
        )


def _is_8_bit(X):
    return X.ndim == 4 and X.dtype == np.uint8


def _check_units(X, eps, bounds, name):
    """Refuse 8-bit images together with the numbers of an attack in units of 0 to 255."""
    if _is_8_bit(X) and (eps > 1 or bounds not in (None, (0, 1))):
        raise ValueError(
            f"{name} holds 8-bit images, which are read as [0, 1]: bounds must be (0, 1) or None, "
            "and eps and step_size in units of [0, 1], so 8/255 and 1/255; got eps="
            f"{eps:g} and bounds={bounds}."
        )


def _check_within(X, bounds, name):
    low, high = float(X.min()), float(X.max())
    if _is_8_bit(X):
        low, high = low / 255, high / 255
    if bounds is not None and not bounds[0] <= low <= high <= bounds[1]:
        raise ValueError(
            f"{name} must lie within bounds={tuple(bounds)}, got values from {low:.6g} to "
            f"{high:.6g}: give the range of the data as bounds, and eps and step_size in its "
            "units, or bounds=None for no clipping."
        )


def check_pgd(attacks, *, eps, step_size, n_steps, n_restarts, bounds):
    """Return the arguments of ``attacks.pgd_linf`` that do not depend on the data."""
    check_number("eps", eps, 0, strict=False)
    check_number("step_size", step_size, 0, strict=True)
    check_integer("n_steps", n_steps, 0)
    check_integer("n_restarts", n_restarts, 1)
    if bounds is not None:
        bounds = check_bounds(bounds)
        if "compositional" in attacks and not bounds[0] <= 0 < 1 <= bounds[1]:
            raise ValueError(
                "the attack 'compositional' begins with corrupted images in [0, 1], which bounds="
                f"{bounds} must contain."
            )
    return {
        "eps": float(eps), "step_size": float(step_size), "n_steps": int(n_steps),
        "n_restarts": int(n_restarts), "bounds": bounds,
    }


def grid_of(sets, bounds):
    """Return the distance of whole pixel values for images in [0, 1], else None."""
    n_dimensions = {samples.X.ndim for samples in sets.values()}
    return _PIXEL if n_dimensions == {4} and bounds == (0, 1) else None


def check_seed(random_state):
    """Return one integer for all draws; None takes it from the operating system."""
    if random_state is None:
        return int(np.random.default_rng().integers(2**31 - 1))
    if isinstance(random_state, Integral) and not isinstance(random_state, bool):
        check_random_state(random_state)
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def subsample(samples, n_samples, seed):
    """Keep so many rows, drawn without replacement, in their order; of fewer rows all."""
    n = len(samples.X)
    if n_samples is None or n_samples >= n:
        return samples
    kept = np.sort(np.random.RandomState(seed).choice(n, n_samples, replace=False))
    return samples._replace(X=samples.X[kept])
