"""The report's pictures, each drawn for a light and for a dark screen, as data URIs."""

from base64 import b64encode
from io import BytesIO

import numpy as np

from ..plotting import (
    FPRAtTPRDisplay,
    ROCDisplay,
    ScoreHistogramDisplay,
    SurestMistakesDisplay,
    TrainingCurveDisplay,
)
from ._decisions import innermost

# Without a salt the ids within a picture are random, and no page is like the one before.
_COMMON = {"svg.hashsalt": "skood", "font.size": 11}
_STYLES = {
    "light": [_COMMON], "dark": ["dark_background", _COMMON | {"grid.color": "0.3"}],
}


def pictures(detector, sets, scores, to_images):
    """Return the title, what to see, and both versions of each picture."""
    (_, scores_in), *others = scores.items()
    of_scores = scores_in, dict(others)
    last = innermost(detector)
    offset = getattr(last, "offset_", None)
    threshold = float(offset) if offset is not None and np.ndim(offset) == 0 else None
    threshold = threshold if threshold is not None and np.isfinite(threshold) else None
    shown = [
        ("Scores", "The higher, the more in-distribution; the line is the threshold.",
         lambda ax: ScoreHistogramDisplay.from_scores(*of_scores, threshold=threshold, ax=ax)),
        ("ROC curves", "In-distribution is positive: at each share of in-distribution rows "
         "accepted, the share of each out-of-distribution set accepted with them.",
         lambda ax: ROCDisplay.from_scores(*of_scores, ax=ax)),
        ("What other thresholds cost", "Out-of-distribution rows accepted by the thresholds that "
         "accept so many in-distribution ones.",
         lambda ax: FPRAtTPRDisplay.from_scores(*of_scores, ax=ax)),
    ]
    if to_images is not None or all(_are_images(X) for X in sets.values()):
        shown.append(_surest(sets, of_scores, threshold, to_images))
    if getattr(last, "history_", None) and "train_loss" in last.history_[0]:
        shown.append(("Training", "The loss of each epoch.",
                      lambda ax: TrainingCurveDisplay.from_history(last.history_, ax=ax)))
    return [
        {"title": title, "text": text, **_drawn(draw, title)} for title, text, draw in shown
    ]


def _are_images(X):
    shape = np.shape(X)
    return len(shape) == 4 and shape[1] in (1, 3)


def _surest(sets, of_scores, threshold, to_images):
    X_in, *others = sets.values()
    X_ood = dict(zip(list(sets)[1:], others, strict=True))

    def draw(ax):
        return SurestMistakesDisplay.from_scores(
            *of_scores, X_in, X_ood, threshold=threshold, to_images=to_images, ax=ax
        )

    return ("Surest mistakes", "In-distribution samples with the lowest scores, and of each "
            "out-of-distribution set those with the highest. Grey numbers: decided rightly after "
            "all.", draw)


def _drawn(draw, title):
    """Draw in each style; on a new figure that is closed again, and without a window."""
    from matplotlib import pyplot

    uris = {}
    for name, styles in _STYLES.items():
        with pyplot.style.context(styles):
            figure = draw(None).figure_
            uris[name] = _uri(figure)
            pyplot.close(figure)
    return uris


def _uri(figure):
    file = BytesIO()
    figure.savefig(
        file, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None}
    )
    return f"data:image/svg+xml;base64,{b64encode(file.getvalue()).decode()}"
