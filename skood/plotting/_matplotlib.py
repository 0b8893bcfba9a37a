"""The door to matplotlib, and the colours that all displays share."""

# Okabe and Ito, "Color Universal Design", 2008: told apart with any colour vision. The first is
# for what is in-distribution, the others are for the out-of-distribution sets in their order.
ID_COLOR = "#0072B2"
OOD_COLORS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
LINE_STYLES = ("-", "--", ":", "-.")  # once all colours are used, the next style
GUIDE = {"color": "0.45", "linewidth": 1.0}  # thresholds, chance levels, borders of phases
GRID = {"color": "0.5", "alpha": 0.2, "linewidth": 0.8}  # as faint on dark paper as on light

_DRAWN = "skood-curve"  # marks our lines, so that a second display goes on with the next colour


def require_matplotlib(caller, ax=None):
    """Return pyplot, or say what to install; called before anything is computed."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            f"matplotlib is needed to draw {caller}: pip install 'skood[plot]'"
        ) from error
    from matplotlib.axes import Axes

    if ax is not None and not isinstance(ax, Axes):
        raise TypeError(f"ax must be matplotlib axes or None, got {type(ax).__name__}.")
    return pyplot


def open_axes(ax, caller, figsize=None):
    """Return the axes to draw on, new ones for None, and their figure."""
    pyplot = require_matplotlib(caller, ax)
    if ax is None:
        ax = pyplot.subplots(figsize=figsize, layout="constrained")[1]
    return ax, ax.figure


def line_options(ax, n_lines, given, parameter="curve_kwargs"):
    """Return the options of each of our next lines on these axes, those given coming first."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    given = [given or {}] * n_lines if given is None or isinstance(given, dict) else list(given)
    if len(given) != n_lines:
        raise ValueError(
            f"{parameter} must be one dict, or a list of one a line: {n_lines}, got {len(given)}."
        )
    n_drawn = sum(line.get_gid() == _DRAWN for line in ax.get_lines())
    return [
        {"gid": _DRAWN, **_style(n_drawn + i), **normalize_kwargs(options, Line2D)}
        for i, options in enumerate(given)
    ]


def _style(i):
    turn, color = divmod(i, len(OOD_COLORS))
    style = LINE_STYLES[turn % len(LINE_STYLES)]
    return {"color": OOD_COLORS[color], "linestyle": style, "linewidth": 1.8}


def ood_color(i):
    """Return the colour of the i-th out-of-distribution set."""
    return OOD_COLORS[i % len(OOD_COLORS)]


def ink_on(rgba):
    """Return the colour of a text that can be read on a background."""
    red, green, blue = rgba[:3]
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.55 else "black"


def hide_spines(ax, *sides):
    """Leave out lines around the axes that say nothing."""
    ax.spines[list(sides or ("top", "right"))].set_visible(False)


def percent(share):
    """Write a share as the texts of displays and reports do."""
    return f"{100 * share:.1f} %"
