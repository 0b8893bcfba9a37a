"""What a ConformalDetector refuses before it trains anything."""

import inspect

from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNet
from torch import nn


def check_parameters(detector):
    """Refuse parameters of a ConformalDetector that do not go together."""
    check_estimator(detector.estimator)
    if detector.method == "cross" and isinstance(detector.estimator, FrozenEstimator):
        raise ValueError(
            "method='cross' trains the estimator anew in each fold, and a FrozenEstimator "
            "cannot be: pass method='split', with which all of X calibrates it."
        )
    if detector.method == "cross" and detector.conditional_on is not None:
        raise ValueError(
            f"conditional_on={detector.conditional_on!r} needs method='split', got 'cross': the "
            "detectors of the folds share no threshold for a class."
        )
    if detector.method == "cross":
        check_no_checkpoint(detector.estimator)
    # A clone is asked: one that was fitted without labels hides what it does with them.
    by_prediction = detector.conditional_on == "predicted"
    if by_prediction and not hasattr(clone(detector.estimator), "predict_proba"):
        raise ValueError(
            "conditional_on='predicted' needs an estimator with predict_proba, got "
            f"{type(detector.estimator).__name__}: pass 'label' or None."
        )


def check_no_checkpoint(estimator):
    """Refuse a file of states that every fold would write, before the first one is trained."""
    params = estimator.get_params() if hasattr(estimator, "get_params") else {}
    for name, value in params.items():
        if name.split("__")[-1] == "checkpoint" and value is not None:
            raise ValueError(
                f"method='cross' trains an estimator in each fold, and all would write one file, "
                f"{name}={str(value)!r}: pass {name}=None, or method='split'."
            )


def check_estimator(estimator):
    """Refuse what has no score, and say what to do with a bare network."""
    if hasattr(estimator, "score_samples"):
        return
    inner = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    raise TypeError(
        "estimator must have score_samples (higher = more in-distribution), got "
        f"{type(inner).__name__}.{_remedy(inner, is_frozen=inner is not estimator)}"
    )


def _remedy(estimator, is_frozen):
    """Return how a network is put into what has a score, or nothing for what is none."""
    if not isinstance(estimator, (nn.Module, NeuralNet)):
        return ""
    if isinstance(estimator, NeuralNet) and not is_frozen:
        return " MSPDetector trains and reads such a network: ConformalDetector(MSPDetector(net))."
    read = "net" if isinstance(estimator, nn.Module) else "FrozenEstimator(net)"
    return (
        f" A detector reads the network: fitted = MSPDetector({read}).fit(X, y), on the rows that "
        "trained it; then ConformalDetector(FrozenEstimator(fitted)).fit(X_held), on rows that it "
        "has not seen."
    )


def check_takes_outliers(estimator):
    """Refuse outliers that an estimator has no use for, before they vanish."""
    if isinstance(estimator, FrozenEstimator):
        raise TypeError(
            "X_aux was given, but a FrozenEstimator is not trained: leave the outliers out."
        )
    taken = inspect.signature(estimator.fit).parameters
    if "X_aux" not in taken and not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        raise TypeError(
            f"X_aux was given, but {type(estimator).__name__}.fit takes no outliers: leave them "
            "out, or pass a detector that trains against them."
        )
