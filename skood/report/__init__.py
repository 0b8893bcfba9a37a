"""One page that says what a detector knows, what it refuses, and how far to trust it."""

from ._write import write_report

__all__ = ["write_report"]
