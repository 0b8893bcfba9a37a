"""Several detectors side by side: how much they differ, and how sure that is."""

from ._compare import compare
from ._table import comparison_table, styled_comparison

__all__ = ["compare", "comparison_table", "styled_comparison"]
