"""Brightness, contrast and saturation."""

import numpy as np


def brightness(X, rng, amount):
    """Add to the value of every pixel in HSV; hue and saturation stay."""
    value = X.max(axis=1, keepdims=True)
    lit = np.minimum(value + np.float32(amount), 1)
    # Hue and saturation are ratios of the channels. Black has none, and turns grey.
    factor = np.divide(lit, value, out=np.zeros_like(value), where=value > 0)
    return np.where(value > 0, X * factor, lit)


def contrast(X, rng, factor):
    """Shrink the differences from the mean of each channel."""
    means = X.mean(axis=(2, 3), keepdims=True)
    return (X - means) * factor + means


def saturate(X, rng, factor, shift):
    """Scale and shift the saturation of every pixel in HSV; hue and value stay."""
    if X.shape[1] == 1:
        return X
    value, lowest = X.max(axis=1, keepdims=True), X.min(axis=1, keepdims=True)
    spread = value - lowest
    saturation = np.divide(spread, value, out=np.zeros_like(value), where=value > 0)
    saturation = np.clip(saturation * factor + shift, 0, 1)
    # How far each channel is from the highest to the lowest: the hue. That of grey is red, as in
    # the usual conversions, so a shift of the saturation turns grey reddish.
    red = np.array([0, 1, 1], np.float32)[:, None, None]
    hue = np.broadcast_to(red, X.shape).copy()
    np.divide(value - X, spread, out=hue, where=spread > 0)
    return value * (1 - saturation * hue)
