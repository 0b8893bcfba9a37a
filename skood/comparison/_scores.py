"""The scores that are compared: each detector's on each set, computed once."""

from typing import NamedTuple

from ..metrics._sets import check_detector, check_set_scores, named_sets
from ..posthoc.many import score_many


class Scores(NamedTuple):
    """Scores by row number, the same rows for all detectors.

    Attributes
    ----------
    detectors : list of str
    inside : list of ndarray of shape (n_in,)
        One for each detector.
    sets : dict of str to list of ndarray of shape (n_out,)
        For each OOD set, one for each detector.
    """

    detectors: list
    inside: list
    sets: dict


def read_scores(detectors, X_in, X_ood):
    """Return the `Scores` of detectors or, where those are None, the scores given."""
    sets = named_sets(X_ood)
    if detectors is None:
        names = list(_check_given(X_in, "X_in"))
        score = _given(names)
    else:
        detectors = _named(detectors)
        names, score = list(detectors), _computed(detectors)
    inside = score(X_in, "X_in")
    return Scores(names, inside, {name: score(X, f"X_ood[{name!r}]") for name, X in sets.items()})


def _named(detectors):
    """Return detectors by name; of a list, by class, numbered where that is not unique."""
    if not isinstance(detectors, dict):
        if not isinstance(detectors, list | tuple):
            raise TypeError(
                "detectors must be a dict of names to fitted detectors, a list of these, or None "
                f"for scores; got {type(detectors).__name__}."
            )
        classes = [type(detector).__name__ for detector in detectors]
        numbers = [classes[: i + 1].count(name) for i, name in enumerate(classes)]
        detectors = {
            f"{name}-{number}" if classes.count(name) > 1 else name: detector
            for name, number, detector in zip(classes, numbers, detectors, strict=True)
        }
    if not detectors:
        raise ValueError("detectors is empty; pass at least one.")
    for name, detector in detectors.items():
        check_detector(detector, f" as detectors[{name!r}]")
    return detectors


def _computed(detectors):
    def score(X, name):
        # Detectors of one network run it once.
        scores = score_many(detectors.values(), X)
        return [
            check_set_scores(own, f"{name} by {detector!r}")
            for detector, own in zip(detectors, scores, strict=True)
        ]

    return score


def _check_given(scores, name):
    if not isinstance(scores, dict) or not scores:
        raise TypeError(
            f"with detectors=None, {name} must be a dict of detectors' names to their scores, got "
            f"{type(scores).__name__}."
        )
    return scores


def _given(names):
    def score(scores, name):
        scores = _check_given(scores, name)
        if set(scores) != set(names):
            raise ValueError(
                f"{name} must hold the scores of the detectors of X_in, {names}, got "
                f"{list(scores)}."
            )
        checked = [check_set_scores(scores[own], f"{name} by {own!r}") for own in names]
        lengths = [len(own) for own in checked]
        if len(set(lengths)) > 1:
            raise ValueError(
                f"the detectors' scores of {name} must be of the same rows, got {lengths} of them: "
                "the comparison is by pairs."
            )
        return checked

    return score
