"""What reports over several out-of-distribution sets share: their doors and their table."""

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


def frame(columns, index, attrs):
    """Return the report as a table that knows how it was made."""
    import pandas as pd  # only a report needs it: importing skood stays light

    report = pd.DataFrame(columns, index=index)
    report.attrs.update(attrs)
    return report
