"""Which errors and warnings a call may end with."""

import traceback
import warnings
from contextlib import contextmanager

from sklearn.exceptions import NotFittedError

ON_PURPOSE = (TypeError, ValueError, NotFittedError, AttributeError)


def raised_on_purpose(error):
    """Whether an error says what is wrong, rather than being what went wrong."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    ours = "/skood/" in last.filename and last.line.startswith("raise")
    if isinstance(error, ImportError):
        return ours  # of what is not installed: it says how to do so
    theirs = "/sklearn/" in last.filename or "/joblib/" in last.filename  # n_jobs=0
    return isinstance(error, ON_PURPOSE) and (ours or theirs)


@contextmanager
def strict_about_warnings(is_foreign):
    """Turn RuntimeWarnings into errors: what overflows or divides by 0 is to be foreseen.

    Within an estimator of another library that is its own affair.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", RuntimeWarning)
        if is_foreign:
            warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"sklearn\.")
        yield
