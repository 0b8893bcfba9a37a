"""Where the network comes from that a detector reads."""

from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import validate_data
from skorch import NeuralNet
from torch import nn

from ..base import BaseDetector
from ..engine.build import count_outputs
from ..engine.inference import device_of
from ..engine.inputs import rows, to_input
from ..engine.randomness import seeded
from .classifier import Classifier


class TrainedNet(NamedTuple):
    """A trained network and what is known of it.

    Attributes
    ----------
    module : torch.nn.Module
    classes : ndarray of shape (n_classes,) or None
    n_read : int
        How many of its outputs are read, the first: those of in-distribution classes.
    history : list of dict
    """

    module: nn.Module
    classes: np.ndarray | None
    n_read: int
    history: list


def trained_net(detector, data, X, y, X_aux, resume):
    """Return the network of ``detector.estimator``, fitted first unless it is trained already.

    Parameters
    ----------
    detector : BasePostHocDetector
    data : TrainingData
        What ``X, y, X_aux``, the arguments of the fit, were found to be.
    resume : bool
        For the fit of the estimator.
    """
    estimator, frozen = _source(detector)
    if isinstance(estimator, BaseDetector):
        return _of_detector(detector, data, estimator, frozen, (X, y, X_aux, resume))
    if resume:
        raise ValueError(
            f"resume=True, but estimator, a {type(estimator).__name__}, keeps no checkpoint: only "
            "detectors of skood that train do. Leave resume out."
        )
    if isinstance(estimator, NeuralNet):
        return _of_skorch(detector, data, estimator, frozen)
    if isinstance(estimator, nn.Module):
        return _of_module(detector, data, estimator, [])
    raise _no_source(estimator)


def _no_source(estimator):
    return TypeError(
        "estimator must be None, a detector of skood, a skorch net, either of them in a "
        f"FrozenEstimator, or a trained torch.nn.Module, got {type(estimator).__name__}."
    )


def _source(detector):
    """Return what the network comes from, and whether it is trained already."""
    estimator = detector.estimator
    if estimator is None:
        classifier = Classifier(
            dtype=detector.dtype, precision=detector.precision, device=detector.device,
            random_state=detector.random_state,
        )
        return classifier, False
    if isinstance(estimator, FrozenEstimator):
        return estimator.estimator, True
    return estimator, False


def network_like(detector):
    """Return a network of the layers that a fitted ``detector`` reads; of other weights, maybe."""
    estimator, frozen = _source(detector)
    if isinstance(estimator, nn.Module):
        return estimator
    if frozen and hasattr(estimator, "module_"):
        return estimator.module_
    if isinstance(estimator, NeuralNet):
        with seeded(0):
            return clone(estimator).initialize().module_
    if not isinstance(estimator, BaseDetector):
        raise _no_source(estimator)
    like = clone(estimator)
    like.classes_, like.input_shape_ = detector.classes_, detector.input_shape_
    return like._new_module()


def _of_detector(detector, data, estimator, frozen, arguments):
    if estimator.dtype != detector.dtype:
        raise ValueError(
            f"dtype={detector.dtype!r}, but the network of estimator, a "
            f"{type(estimator).__name__}, reads {estimator.dtype!r}: pass dtype="
            f"{estimator.dtype!r}."
        )
    X, y, X_aux, resume = arguments
    if resume and frozen:
        raise ValueError("resume=True, but a frozen estimator trains no more: leave resume out.")
    if not frozen:
        estimator = clone(estimator).fit(X, y, X_aux=X_aux, resume=resume)
    if not hasattr(estimator, "module_"):
        raise ValueError(f"the frozen {type(estimator).__name__} is not fitted: fit it first.")
    _count_outputs(estimator.module_, data.x_in, detector.dtype)
    if hasattr(X, "columns"):  # the network reads its own columns in its own order
        validate_data(estimator, X, reset=False, skip_check_array=True)
    classes = _agreed(data.classes, estimator.classes_)
    n_read = getattr(estimator, "_n_read", 1) if classes is None else len(classes)
    return TrainedNet(estimator.module_, classes, n_read, estimator.history_)


def _agreed(given, known):
    """Return the classes that labels have and the network was trained with."""
    if given is not None and not np.array_equal(given, known if known is not None else []):
        names = "no classes" if known is None else f"the classes {list(known)}"
        raise ValueError(
            f"y has the classes {list(given)}, but the network of estimator was trained with "
            f"{names}. Pass the labels it was trained with, or leave y out."
        )
    return known


def _of_skorch(detector, data, estimator, frozen):
    if not frozen:
        if data.classes is None:
            raise ValueError(
                "estimator is a skorch net, which learns from labels, and there are none: pass y, "
                "or a net that is trained, in a FrozenEstimator."
            )
        x_in = to_input(rows(data.x_in, slice(None)), detector.dtype).numpy()
        estimator = clone(estimator).fit(x_in, data.y_in)
    if not getattr(estimator, "initialized_", False):
        raise ValueError("the frozen skorch net is not initialised: fit it, or load its weights.")
    history = [
        {name: value for name, value in row.items() if name != "batches"}
        for row in estimator.history
    ]
    return _of_module(detector, data, estimator.module_, history)


def _of_module(detector, data, module, history):
    n_outputs = _count_outputs(module, data.x_in, detector.dtype)
    if data.classes is not None and len(data.classes) != n_outputs:
        raise ValueError(
            f"estimator has {n_outputs} outputs, but y has {len(data.classes)} classes: a trained "
            "network must have one for each, in sorted order. Pass the labels it was trained with, "
            "or leave y out."
        )
    return TrainedNet(module, data.classes, n_outputs, history)


def example_for(module, X, dtype):
    """Return two rows of X as a module receives them, where its weights lie."""
    return to_input(rows(X, slice(2)), dtype).to(device_of(module))


def _count_outputs(module, X, dtype):
    return count_outputs(module, example_for(module, X, dtype), "estimator")
