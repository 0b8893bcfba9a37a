"""Write the files that later versions must read: python -m tests.reference.make_files.

Run once for a release, with the next free name for the folder: files of earlier ones stay.
"""

import sys
from pathlib import Path

import joblib
import numpy as np

import skood

FAST = {"max_epochs": 30, "module__hidden": (8,), "random_state": 0}


def detectors():
    """Return unfitted detectors of the kinds that files differ in, by the names of their files."""
    return {
        "oe": skood.OutlierExposureDetector(score="uniform", **FAST),
        "atom": skood.ATOMDetector(**FAST),
        "mahalanobis": skood.MahalanobisDetector(
            skood.OutlierExposureDetector(**FAST), feature_layer=["hidden.0", "hidden.1"]
        ),
        "conformal": skood.ConformalDetector(
            skood.EnergyExposureDetector(**FAST), method="cross", n_folds=2, alpha=0.1,
            random_state=0,
        ),
    }


def data(seed=0):
    """Return X, y and outliers: the labels are text."""
    rng = np.random.default_rng(seed)
    y = rng.integers(3, size=120)
    X = (rng.normal(size=(120, 4)) + 3 * np.eye(3, 4)[y]).astype(np.float32)
    return X, np.array(["ant", "bee", "fly"])[y], rng.uniform(-6, 6, (60, 4)).astype(np.float32)


def outputs_of(detector):
    """Return what a detector says of new rows, in-distribution and other, by method.

    Of the rows that calibrated it, it says one rank more or less as a processor rounds.
    """
    X, _, A = data(seed=1)
    methods = ("score_samples", "predict", "predict_proba", "predict_class")
    return {each: getattr(detector, each)(np.concatenate([X[:30], A[:30]])) for each in methods}


def main(folder):
    """Write each detector twice, and what it says."""
    folder.mkdir()
    X, y, A = data()
    outputs = {}
    for name, detector in detectors().items():
        detector.fit(X, y, X_aux=(A,))
        detector.save_weights(folder / f"{name}.safetensors")
        joblib.dump(detector, folder / f"{name}.joblib", compress=9)
        outputs |= {f"{name}.{method}": each for method, each in outputs_of(detector).items()}
    np.savez_compressed(folder / "outputs.npz", **outputs)


if __name__ == "__main__":
    main(Path(__file__).parent / "files" / (sys.argv[1:] or [skood.__version__])[0])
