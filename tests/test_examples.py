"""The examples run as a newcomer runs them, and what they print is true of what they save."""

import os
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest

from skood.datasets import load_digits_ood
from skood.metrics import ood_report

ROOT = Path(__file__).parents[1]
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
SETS = ["held_out_digits", "photograph", "letters", "noise"]


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """Run the quickstart, one epoch each, in an empty folder and without a display."""
    folder = tmp_path_factory.mktemp("quickstart")
    hidden = {"DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND"}
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "plot_quickstart.py", "--epochs", "1"],
        cwd=folder, env=environment | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=170,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout, folder / "quickstart_output"


def _printed_table(text):
    rows = (line.split() for line in text.splitlines())
    rows = [row for row in rows if len(row) == 9 and row[0] in (*SETS, "mean")]
    return {row[0]: np.array(row[1:], dtype=float) for row in rows}


def test_quickstart_prints_what_the_saved_detector_does(quickstart):
    text, output = quickstart
    data = load_digits_ood()
    detector = joblib.load(output / "detector.joblib")
    report = ood_report(detector, data.X_test, data.ood, y_in=data.y_test)
    printed = _printed_table(text)
    assert list(printed) == [*SETS, "mean"]
    for name, row in printed.items():
        expected = 100 * report.loc[name, ["accuracy", "fpr95", "auroc", "aupr_out"]]
        # Printed with one decimal; 0.06 leaves room for the last bit of a score.
        np.testing.assert_allclose(row[1::2], expected.astype(float), atol=0.06)


def test_quickstart_shows_what_predict_decides_about_new_images(quickstart):
    text, output = quickstart
    data = load_digits_ood()
    detector = joblib.load(output / "detector.joblib")
    for name, images in {"digits 0 to 7": data.X_test, **data.ood}.items():
        decision = detector.predict(images[:1])[0]
        (line,) = (x for x in text.splitlines() if x.startswith(name) and "predict gives" in x)
        assert f"predict gives {decision:+d}" in line


def test_quickstart_fits_a_terminal_and_says_where_its_files_are(quickstart):
    text, output = quickstart
    assert max(map(len, text.splitlines())) <= 100
    for file in sorted(output.iterdir()):
        assert f"quickstart_output/{file.name}" in text
    assert [file.name for file in sorted(output.iterdir())] == ["detector.joblib", "quickstart.png"]


def test_quickstart_saves_a_picture(quickstart):
    picture = (quickstart[1] / "quickstart.png").read_bytes()
    assert picture.startswith(PNG_SIGNATURE)
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
    assert 1000 <= width <= 2000
    assert 500 <= height <= 1200


def test_picture_of_the_readme_is_small():
    picture = ROOT / "docs" / "images" / "quickstart.png"
    assert picture.read_bytes().startswith(PNG_SIGNATURE)
    assert picture.stat().st_size <= 250_000
