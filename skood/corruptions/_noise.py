"""Noise: of the sensor, of counted photons, of dead pixels, and multiplicative."""

import numpy as np


def gaussian_noise(X, rng, scale):
    """Add normal noise of standard deviation `scale`."""
    return X + scale * rng.standard_normal(X.shape, dtype=np.float32)


def shot_noise(X, rng, photons):
    """Count photons, of which a value of 1 sends `photons` on average."""
    return (rng.poisson(X * photons) / photons).astype(np.float32)


def impulse_noise(X, rng, share):
    """Set a share of the values to 0 or 1, with equal probability and each channel for itself."""
    draws = rng.random(X.shape, dtype=np.float32)
    return np.where(draws < share, draws >= share / 2, X)


def speckle_noise(X, rng, scale):
    """Add normal noise of standard deviation ``scale * X``."""
    return X + X * (scale * rng.standard_normal(X.shape, dtype=np.float32))
