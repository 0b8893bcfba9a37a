"""What every test shares: one torch thread a process, and no skip without a reason."""

import numpy as np
import pytest
import torch

from skood.nn import SmallResNet
from skood.posthoc import Classifier

torch.set_num_threads(1)  # the suite runs in parallel processes; more threads only fight over cores


@pytest.fixture(autouse=True)
def _seeded():
    """Start every test from one state: nets that tests build themselves are the same each time."""
    torch.manual_seed(0)


UNEXPLAINED = {"", "unconditional skip", "Skipped"}


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    """Fail a run in which a test was skipped and nobody said why."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    silent = [r.nodeid for r in skipped if r.longrepr[2].removeprefix("Skipped: ") in UNEXPLAINED]
    if silent:
        reporter.write_line(f"skipped without a reason: {', '.join(silent)}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


# ---- what the tests of detectors read that read a trained network; others have their own


@pytest.fixture(scope="module")
def table():
    """Three classes that overlap a little, and outliers around them."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=150)
    X = (rng.normal(size=(150, 4)) + 3 * np.eye(3, 4)[y]).astype(np.float32)
    return X, y, rng.uniform(-6, 6, size=(100, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def net(table):
    """A network trained on the table."""
    X, y, _ = table
    return Classifier(max_epochs=20, random_state=0).fit(X, y).module_


@pytest.fixture(scope="module")
def images():
    """Return 8-bit images of two classes and a small trained network."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=64)
    X = rng.integers(0, 120, size=(64, 3, 8, 8)) + 100 * y[:, None, None, None]
    X = X.astype(np.uint8)
    return X, y, Classifier(SmallResNet, max_epochs=3, random_state=0).fit(X, y).module_
