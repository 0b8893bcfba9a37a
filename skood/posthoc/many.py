"""Several detectors on one pass over the network that they share."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..validation import check_samples
from .base import run
from .blocks import blocks


def score_many(detectors, X):
    """Score samples by several detectors, running a network that they share once.

    Parameters
    ----------
    detectors : list of fitted detectors
        Those that read one and the same network (the same ``module_`` object, `dtype`, `precision`
        and `feature_layer`) share a pass; any other detector is asked for its ``score_samples``.
    X : array-like of shape (n, *input_shape)

    Returns
    -------
    list of ndarray of float64 of shape (n,)
        What each detector's ``score_samples`` returns, in the order given.

    See Also
    --------
    EnergyDetector, KNNDetector, ViMDetector : Some that may share a network.

    Notes
    -----
    Detectors share a network if they were fitted on the same trained ``torch.nn.Module``, or on
    the same fitted detector in a ``FrozenEstimator``. Those that were stored and loaded apart have
    a network each.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.frozen import FrozenEstimator
    >>> from skood import EnergyDetector, KNNDetector, score_many
    >>> from skood.posthoc import Classifier
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(2, size=200)
    >>> X = rng.normal(size=(200, 2)) * 0.3 + 2 * y[:, None]
    >>> net = FrozenEstimator(Classifier(max_epochs=5, random_state=0).fit(X, y))
    >>> detectors = [EnergyDetector(net).fit(X, y), KNNDetector(net).fit(X, y)]
    >>> [scores.shape for scores in score_many(detectors, X)]
    [(200,), (200,)]
    """
    detectors, results, groups = list(detectors), {}, {}
    for i, detector in enumerate(detectors):
        check_is_fitted(detector)
        groups.setdefault(_shared(detector) or ("alone", i), []).append(i)
    for members in groups.values():
        if len(members) == 1:
            results[members[0]] = detectors[members[0]].score_samples(X)
        else:
            scores = _on_one_pass([detectors[i] for i in members], X)
            results.update(zip(members, scores, strict=True))
    return [results[i] for i in range(len(detectors))]


def _shared(detector):
    """Return what detectors must have in common to share a pass, or None."""
    reading = getattr(detector, "_reading", lambda: None)()
    if reading is None:
        return None
    return id(detector.module_), reading.dtype, reading.precision, reading.layer


def _on_one_pass(detectors, X):
    X = [check_samples(detector, X) for detector in detectors][0]
    readings = [detector._reading() for detector in detectors]
    reading = readings[0]._replace(features=any(each.features for each in readings))
    scores = [[] for _ in detectors]
    for part in blocks(len(X)):
        logits, features = run(detectors[0].module_, X[part], reading)
        for detector, own in zip(detectors, scores, strict=True):
            own.append(detector._score_rows(logits[:, : detector._n_read], features))
    return [
        detector._finite(np.concatenate(own))
        for detector, own in zip(detectors, scores, strict=True)
    ]
