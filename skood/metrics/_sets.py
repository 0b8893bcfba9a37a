"""What reports over several out-of-distribution sets share: their doors and their table."""

import numpy as np

from ._curve import check_scores


def named_sets(X_ood, parameter="X_ood", with_mean=True):
    """Return the out-of-distribution sets by name; a bare array is named "ood"."""
    sets = dict(X_ood) if isinstance(X_ood, dict) else {"ood": X_ood}
    if not sets:
        raise ValueError(f"{parameter} is empty; pass at least one out-of-distribution set.")
    if with_mean and "mean" in sets:
        raise ValueError(
            f"{parameter} must not name a set 'mean': the report's last row has that name."
        )
    return sets


def check_detector(detector, advice=""):
    """Refuse what cannot score samples."""
    if not hasattr(detector, "score_samples"):
        raise TypeError(
            "detector must have score_samples (higher = more in-distribution), got "
            f"{type(detector).__name__}{advice}."
        )


def check_set_scores(scores, name):
    """Return the scores of one set, of which there must be some."""
    scores = check_scores(scores, f"scores of {name}")
    if len(scores) == 0:
        raise ValueError(f"{name} is empty; pass at least one row.")
    return scores


def innermost(detector):
    """Return the detector at the end of searches and pipelines."""
    while hasattr(detector, "best_estimator_") or hasattr(detector, "steps"):
        at_end = getattr(detector, "best_estimator_", None)
        detector = detector.steps[-1][1] if at_end is None else at_end
    return detector


def offset_of(detector):
    """Return the one threshold of a detector, or None: it may have one for each class."""
    offset = getattr(innermost(detector), "offset_", None)
    return None if offset is None or np.ndim(offset) else float(offset)


def rightly_named(detector, X_in, y_in):
    """Return which rows are given their class, also by the detector at the end of a pipeline."""
    last, rows = detector, X_in
    while not hasattr(last, "predict_class"):
        if hasattr(last, "best_estimator_"):
            last = last.best_estimator_
        elif hasattr(last, "steps"):  # a Pipeline hands on no method that it does not know
            rows = last[:-1].transform(rows) if len(last.steps) > 1 else rows
            last = last.steps[-1][1]
        else:
            what = "scores" if detector is None else type(detector).__name__
            raise TypeError(
                f"y_in needs a detector with predict_class, got {what}; fit it with class labels, "
                "or leave y_in out."
            )
    named, y_in = np.asarray(last.predict_class(rows)), np.asarray(y_in)
    if named.shape != y_in.shape:
        raise ValueError(
            f"y_in must have one label for each row of X_in, shape {named.shape}, got "
            f"{y_in.shape}."
        )
    _check_are_known(y_in, getattr(last, "classes_", None))
    return named == y_in


def _check_are_known(y_in, classes):
    """Refuse labels of which none is a class: names beside numbers would make an accuracy of 0."""
    if classes is None:
        return
    known = np.asarray(classes).tolist()
    if not set(known).intersection(y_in.tolist()):
        raise ValueError(
            f"y_in holds none of the classes that the detector was fitted on, {known[:5]}"
            f"{' and more' if len(known) > 5 else ''}; its first label is {y_in.tolist()[0]!r}. "
            "Pass labels as fit had them."
        )


def frame(columns, index, attrs):
    """Return the report as a table that knows how it was made."""
    import pandas as pd  # only a report needs it: importing skood stays light

    report = pd.DataFrame(columns, index=index)
    report.attrs.update(attrs)
    return report
