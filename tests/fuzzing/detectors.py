"""The detectors of the common table, made so small and fast that thousands can be fitted."""

import math
from collections import OrderedDict

from sklearn.base import clone
from torch import nn

from skood.posthoc import Classifier

from ..instances import make

INSTANCES = make()
# What keeps a fit with a detector's own defaults fast.
_FAST = {"n_steps": 1, "n_masks": 2}


def network(input_shape, n_outputs, hidden=(4,)):
    """Make a very small network, for rows of any shape."""
    return nn.Sequential(OrderedDict(
        flat=nn.Flatten(), hidden=nn.Linear(math.prod(input_shape), *hidden), act=nn.ReLU(),
        head=nn.Linear(*hidden, n_outputs),
    ))


def fast(name):
    """Return a detector of the table; its training is short, and what it draws has a seed.

    Those with their own defaults keep the default network, too: an MLP or, of images, a CNN.
    """
    detector, has_defaults = clone(INSTANCES[name]), name.endswith("defaults")
    if has_defaults and "estimator" in detector.get_params(deep=False):
        # What None stands for, which is drawn as a change of the parameter.
        detector.set_params(estimator=Classifier())
    for trained in (detector, getattr(detector, "estimator", None)):
        params = trained.get_params(deep=False) if hasattr(trained, "get_params") else {}
        if "module" not in params:
            continue
        trained.set_params(max_epochs=1, batch_size=16)
        if has_defaults:
            trained.set_params(**{name: value for name, value in _FAST.items() if name in params})
        else:
            trained.set_params(module=network)
    seeds = [name for name in detector.get_params() if name.endswith("random_state")]
    return detector.set_params(**dict.fromkeys(seeds, 0))
