"""What somebody may have meant who named what is not there."""

import difflib


def did_you_mean(name, known, write=repr):
    """Return a sentence that names the nearest of the known names, or nothing without one."""
    near = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {write(near[0])}?" if near else ""
