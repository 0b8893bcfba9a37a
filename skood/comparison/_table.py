"""A comparison as a table for people: in notebooks, Markdown and LaTeX."""

import numpy as np

from .._numbers import check_integer
from ..metrics._intervals import check_share


def comparison_table(comparison, metrics=None, *, interval=True, digits=1, alpha=0.05):
    r"""Write a comparison out: a row for each detector, a column for each metric and set.

    Parameters
    ----------
    comparison : pandas.DataFrame
        What `compare` returns, or some rows of it.
    metrics : str or list of str, default=None
        Which metrics, in this order; None: all there are.
    interval : bool, default=True
        Whether to write the intervals.
    digits : int, default=1
        Decimals of the percentages, at least 0.
    alpha : float in (0, 1), default=0.05
        Where "p_adjusted" is at most this, ▲ says that the detector is better than the reference,
        ▼ that it is worse.

    Returns
    -------
    table : pandas.DataFrame of str
        Percentages. Its columns are named by the sets or, of several metrics, "AUROC, far".
        ``to_markdown()``, ``to_latex(escape=True)`` and ``to_html()`` are those of pandas.
        ``attrs["caption"]`` names the reference, the intervals and the test.

    Raises
    ------
    ValueError
        If there is no such metric, `digits` or `alpha` is outside its range, or a number stands
        twice in `comparison`.
    TypeError
        If `comparison` is no frame with the columns that `compare` makes.

    See Also
    --------
    styled_comparison : The same with the best of each column in bold.

    Notes
    -----
    pdfLaTeX has to be told of the triangles, after ``\usepackage{amssymb}``:
    ``\DeclareUnicodeCharacter{25B2}{$\blacktriangle$}`` and
    ``\DeclareUnicodeCharacter{25BC}{$\blacktriangledown$}``.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import compare
    >>> from skood.comparison import comparison_table
    >>> rng = np.random.default_rng(0)
    >>> scores_in = {"old": rng.normal(1, size=400), "new": rng.normal(2, size=400)}
    >>> scores_far = {"old": rng.normal(size=300), "new": rng.normal(size=300)}
    >>> comparison = compare(None, scores_in, {"far": scores_far}, random_state=0)
    >>> print(comparison_table(comparison, "auroc"))  # doctest: +NORMALIZE_WHITESPACE
                            far
    detector
    old        78.5 [74.9, 81.7]
    new      91.1 [88.8, 92.9] ▲
    """
    part = _chosen(comparison, metrics)
    check_integer("digits", digits, 0)
    check_share("alpha", alpha)
    text = [f"{100 * value:.{digits}f}" for value in part["value"]]
    if interval:
        limits = 100 * part[["low", "high"]].to_numpy()
        text = [
            each if np.isnan(low + high) else f"{each} [{low:.{digits}f}, {high:.{digits}f}]"
            for each, (low, high) in zip(text, limits, strict=True)
        ]
    differs, better = part["p_adjusted"] <= alpha, _gain(part, "difference") > 0
    marks = np.where(differs, np.where(better, " ▲", " ▼"), "")
    part["text"] = [each + mark for each, mark in zip(text, marks, strict=True)]
    table = _wide(part, "text")
    table.attrs["caption"] = _caption(comparison.attrs, alpha)
    return table


def styled_comparison(comparison, metrics=None, *, interval=True, digits=1, alpha=0.05):
    """Style the table of a comparison for notebooks: the best of each column in bold.

    Parameters
    ----------
    comparison, metrics, interval, digits, alpha
        As for `comparison_table`.

    Returns
    -------
    pandas.io.formats.style.Styler
        Shown by notebooks as it is; ``to_html()`` and ``to_latex(convert_css=True)`` write it. The
        caption names the reference, the intervals and the test.

    Raises
    ------
    ImportError
        If jinja2 is missing, which PyTorch brings.
    ValueError, TypeError
        As for `comparison_table`.

    See Also
    --------
    comparison_table : The same as plain text.

    Examples
    --------
    >>> import numpy as np
    >>> from skood import compare
    >>> from skood.comparison import styled_comparison
    >>> rng = np.random.default_rng(0)
    >>> scores_in = {"old": rng.normal(1, size=400), "new": rng.normal(2, size=400)}
    >>> scores_far = {"old": rng.normal(size=300), "new": rng.normal(size=300)}
    >>> comparison = compare(None, scores_in, {"far": scores_far}, random_state=0)
    >>> "font-weight: bold" in styled_comparison(comparison, "auroc").to_html()
    True
    """
    table = comparison_table(comparison, metrics, interval=interval, digits=digits, alpha=alpha)
    part = _chosen(comparison, metrics)
    best = _wide(part.assign(gain=_gain(part, "value")), "gain")
    bold = np.where(best == best.max(), "font-weight: bold", "")
    return _styler(table).apply(lambda _: bold, axis=None).set_caption(table.attrs["caption"])


def _gain(part, column):
    """Return a column such that more is better."""
    return part[column].where(~part["metric"].str.startswith("fpr"), -part[column])


def _chosen(comparison, metrics):
    """Return the rows of some metrics, in their order."""
    missing = {
        "metric", "ood_set", "detector", "value", "low", "high", "difference", "p_adjusted",
    }
    missing = missing.difference(getattr(comparison, "columns", ()))
    if missing:
        raise TypeError(
            "comparison must be the frame that skood.compare returns; it has no column "
            f"{sorted(missing)}."
        )
    known = list(dict.fromkeys(comparison["metric"]))
    metrics = known if metrics is None else [metrics] if isinstance(metrics, str) else list(metrics)
    if not metrics or not set(metrics) <= set(known):
        raise ValueError(f"metrics must be among {known}, got {metrics}.")
    part = comparison[comparison["metric"].isin(metrics)]
    if part.duplicated(["metric", "ood_set", "detector"]).any():
        raise ValueError("comparison has more than one row of a metric, set and detector.")
    return part.sort_values("metric", key=lambda names: names.map(metrics.index), kind="stable")


def _wide(part, column):
    """Return a row for each detector, a column for each metric and set, all in their order."""
    names = part["ood_set"].astype(str)
    if part["metric"].nunique() > 1:
        # One level and no underscore: Markdown writes tuples of names, LaTeX stops at "aupr_in".
        names = part["metric"].map(_title) + ", " + names
    wide = part.assign(column=names).set_index(["detector", "column"])[column]
    return wide.unstack("column", sort=False).rename_axis(columns=None)


def _title(metric):
    first, *rest = metric.split("_")  # "aupr_in"
    return " ".join([first.upper(), *rest])


def _styler(table):
    try:
        return table.style
    except (AttributeError, ImportError) as error:  # so pandas says that jinja2 is missing, or old
        raise ImportError(
            "a styled table needs jinja2: pip install jinja2, or print comparison_table(...)."
        ) from error


def _caption(attrs, alpha):
    if not attrs:  # some pandas operations lose them
        return ""
    # Without the sign of percent, which starts a comment in LaTeX.
    return (
        f"In percent, with intervals of level {attrs['confidence_level']:g} (AUROC: DeLong; "
        f"others: bootstrap, {attrs['n_bootstrap']} draws). ▲ better, ▼ worse than "
        f"{attrs['reference']}: p at most {alpha:g} after Holm's correction."
    )
