"""Cases are drawn and run here."""

import tempfile
from pathlib import Path

from hypothesis import strategies as st

from .calls import CALLS, OF_CALIBRATED
from .data import data
from .detectors import INSTANCES, fast
from .errors import raised_on_purpose, strict_about_warnings
from .parameters import parameters
from .world import World


@st.composite
def cases(draw, names=tuple(INSTANCES)):
    """Draw the name of a detector, two sets of data, a change of a parameter, and some calls."""
    name = draw(st.sampled_from(names))
    return {
        "name": name,
        "data": [draw(data()), draw(data())],
        "change": draw(parameters(fast(name))),
        "calls": draw(st.lists(st.sampled_from(calls_of(name)), min_size=2, max_size=6)),
    }


def calls_of(name):
    """Return the names of the calls that a detector of the table has."""
    is_calibrated = hasattr(INSTANCES[name], "p_values")
    return [*CALLS, *(2 * [*OF_CALIBRATED] if is_calibrated else [])]


def run(case):
    """Run a case.

    Returns
    -------
    dict of str to int
        How many calls gave a result, and how many an error on purpose.

    Raises
    ------
    AssertionError
        If a result is not what it must be, or an error is none that was raised on purpose.
    """
    count = {"results": 0, "errors": 0}
    with tempfile.TemporaryDirectory() as folder:
        world = World(case, Path(folder))
        for call in ["fit", *case["calls"]]:
            count["results" if _succeeds(world, call) else "errors"] += 1
    return count


def _succeeds(world, call):
    """Make a call; say whether it gave a result, or an error on purpose that changed nothing."""
    before = world.kept()
    try:
        with strict_about_warnings(world.is_foreign):
            (CALLS | OF_CALIBRATED)[call](world)
    except Exception as error:  # whatever is raised is looked at
        assert raised_on_purpose(error), f"{call}: {error!r}"
        world.check_unchanged(before)
        return False
    return True
