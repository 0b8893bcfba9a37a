"""How a detector fares when outliers are corrupted or attacked."""

from ._evaluation import evaluate_robustness

__all__ = ["evaluate_robustness"]
