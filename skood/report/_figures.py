"""The report's pictures, each drawn for a light and for a dark screen, as data URIs."""

from base64 import b64encode
from io import BytesIO

import numpy as np

from ..metrics._sets import innermost, offset_of
from ..plotting import (
    FPRAtTPRDisplay,
    ROCDisplay,
    ScoreHistogramDisplay,
    SurestMistakesDisplay,
    TrainingCurveDisplay,
)

# Without a salt the ids within a picture are random, and no page is like the one before.
_COMMON = {"svg.hashsalt": "skood", "font.size": 11}
_STYLES = {
    "light": [_COMMON], "dark": ["dark_background", _COMMON | {"grid.color": "0.3"}],
}


def pictures(detector, sets, scores, to_images):
    """Return the title, what to see, and both versions of each picture."""
    threshold = offset_of(detector)
    threshold = threshold if threshold is None or np.isfinite(threshold) else None
    shown = _of_scores(scores, threshold)
    if to_images is not None or all(_are_images(X) for X in sets.values()):
        shown.append(_of_mistakes(sets, scores, threshold, to_images))
    history = getattr(innermost(detector), "history_", None)
    if history and "train_loss" in history[0]:
        shown.append(("Training", "The loss of each epoch.",
                      lambda: TrainingCurveDisplay.from_history(history)))
    return [{"title": title, "text": text, **_drawn(draw)} for title, text, draw in shown]


def _of_scores(scores, threshold):
    both = _apart(scores)
    shares = all(each.min() >= 0 and each.max() <= 1 for each in scores.values())
    scale = "logit" if shares else "linear"
    return [
        ("Scores", "The higher, the more in-distribution; the line is the threshold.",
         lambda: ScoreHistogramDisplay.from_scores(*both, threshold=threshold, scale=scale)),
        ("ROC curves", "In-distribution is positive: at each share of in-distribution rows "
         "accepted, the share of each out-of-distribution set accepted with them.",
         lambda: ROCDisplay.from_scores(*both)),
        ("What other thresholds cost", "Out-of-distribution rows accepted by the thresholds that "
         "accept so many in-distribution ones.",
         lambda: FPRAtTPRDisplay.from_scores(*both)),
    ]


def _of_mistakes(sets, scores, threshold, to_images):
    text = (
        "In-distribution samples with the lowest scores, and of each out-of-distribution set those "
        "with the highest. Grey numbers: decided rightly after all."
    )
    return "Surest mistakes", text, lambda: SurestMistakesDisplay.from_scores(
        *_apart(scores), *_apart(sets), threshold=threshold, to_images=to_images
    )


def _apart(by_name):
    """Return what belongs to the in-distribution set, and a dict of the rest."""
    (_, first), *others = by_name.items()
    return first, dict(others)


def _are_images(X):
    shape = np.shape(X)
    return len(shape) == 4 and shape[1] in (1, 3)


def _drawn(draw):
    """Draw in each style; on a new figure that is closed again, and without a window."""
    from matplotlib import pyplot

    uris = {}
    for name, styles in _STYLES.items():
        with pyplot.style.context(styles):
            figure = draw().figure_
            uris[name] = _uri(figure)
            pyplot.close(figure)
    return uris


def _uri(figure):
    file = BytesIO()
    figure.savefig(
        file, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None}
    )
    return f"data:image/svg+xml;base64,{b64encode(file.getvalue()).decode()}"
