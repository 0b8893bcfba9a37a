"""What every test shares: one torch thread a process, and no skip without a reason."""

import pytest
import torch

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
