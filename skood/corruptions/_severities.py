"""The table of the protocol: what is done to an image, and with which numbers at each severity.

The numbers are those of CIFAR-10-C for images of 32x32. Lengths in pixels are stretched for larger
images by the functions that take them; see `skood.corruptions.corrupt`.
"""

from ._blur import defocus_blur, gaussian_blur, glass_blur, motion_blur, zoom_blur
from ._colour import brightness, contrast, saturate
from ._digital import elastic_transform, jpeg_compression, pixelate
from ._noise import gaussian_noise, impulse_noise, shot_noise, speckle_noise
from ._spatter import spatter
from ._weather import fog, frost, snow

SEVERITIES = (1, 2, 3, 4, 5)

# Each function takes images (n, C, H, W) as float32 in [0, 1], which it leaves as they are, a
# Generator, and the numbers below. Values that leave [0, 1] are clipped by the caller.
TABLE = {
    "gaussian_noise": (gaussian_noise, [(0.04,), (0.06,), (0.08,), (0.09,), (0.10,)]),
    "shot_noise": (shot_noise, [(500,), (250,), (100,), (75,), (50,)]),
    "impulse_noise": (impulse_noise, [(0.01,), (0.02,), (0.03,), (0.05,), (0.07,)]),
    "defocus_blur": (defocus_blur, [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)]),
    "glass_blur": (glass_blur, [
        (0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2),
    ]),
    "motion_blur": (motion_blur, [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)]),
    "zoom_blur": (zoom_blur, [(1.06,), (1.11,), (1.16,), (1.21,), (1.26,)]),
    "snow": (snow, [
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ]),
    "frost": (frost, [(1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)]),
    "fog": (fog, [(0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)]),
    "brightness": (brightness, [(0.05,), (0.1,), (0.15,), (0.2,), (0.3,)]),
    "contrast": (contrast, [(0.75,), (0.5,), (0.4,), (0.3,), (0.15,)]),
    "elastic_transform": (elastic_transform, [
        (0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03),
    ]),
    "pixelate": (pixelate, [(0.95,), (0.9,), (0.85,), (0.75,), (0.65,)]),
    "jpeg_compression": (jpeg_compression, [(80,), (65,), (58,), (50,), (40,)]),
    "speckle_noise": (speckle_noise, [(0.06,), (0.1,), (0.12,), (0.16,), (0.2,)]),
    "gaussian_blur": (gaussian_blur, [(0.4,), (0.6,), (0.7,), (0.8,), (1,)]),
    "spatter": (spatter, [
        (0.62, 0.1, 0.7, 0.7, 0.5, "water"),
        (0.65, 0.1, 0.8, 0.7, 0.5, "water"),
        (0.65, 0.3, 1, 0.69, 0.5, "water"),
        (0.65, 0.1, 0.7, 0.69, 0.6, "mud"),
        (0.65, 0.1, 0.5, 0.68, 0.6, "mud"),
    ]),
    "saturate": (saturate, [(0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)]),
}  # fmt: skip

CORRUPTIONS = tuple(TABLE)

# These know what red, green and blue are; the others do the same to every channel.
OF_COLOURS = {"snow", "frost", "brightness", "jpeg_compression", "spatter", "saturate"}

# The released files of these come from libraries that round to whole levels; others are cut off.
ROUNDED = {"motion_blur", "pixelate", "jpeg_compression"}
