"""Random data, parameters and orders of calls, and what must hold after any of them.

A case is a detector of the common table, some data, and a few calls in some order. Whatever it is,
each call gives a result within its documented range or an error that was raised on purpose: by
skood or by scikit-learn's validation, not from within torch or NumPy.
"""

from .case import cases, run
from .detectors import INSTANCES

__all__ = ["INSTANCES", "cases", "run"]
