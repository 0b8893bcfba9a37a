"""Files that earlier releases wrote are read, whatever has changed since."""

from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import clone

from .reference.make_files import detectors, outputs_of

FILES = Path(__file__).parent / "reference" / "files"
RELEASES = sorted(folder.name for folder in FILES.iterdir())


def read(path, name):
    if path.suffix == ".joblib":
        return joblib.load(path)
    return clone(detectors()[name]).load_weights(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".joblib"])
@pytest.mark.parametrize("name", detectors())
@pytest.mark.parametrize("release", RELEASES)
def test_a_file_of_a_release_is_read_and_says_what_it_said(release, name, suffix):
    detector = read(FILES / release / f"{name}{suffix}", name)
    with np.load(FILES / release / "outputs.npz", allow_pickle=False) as kept:
        for method, output in outputs_of(detector).items():
            if output.dtype == np.float64:  # processors and releases of torch round otherwise
                np.testing.assert_allclose(output, kept[f"{name}.{method}"], rtol=1e-5, atol=1e-6)
            else:
                np.testing.assert_array_equal(output, kept[f"{name}.{method}"])
    assert detector.get_params(deep=False).keys() == detectors()[name].get_params(deep=False).keys()


def test_there_are_files_of_the_first_release():
    assert "0.1.0" in RELEASES
