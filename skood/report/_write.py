"""The report's door: what is measured once, and the page that shows it."""

from pathlib import Path

from .._files import replaced
from ..metrics import ood_report
from ..metrics._sets import named_sets
from ..plotting._matplotlib import require_matplotlib
from ..plotting._scores import by_name, score_sets
from ._decisions import decisions
from ._figures import pictures
from ._tables import data_card, metrics_table, settings, surest_rows


def write_report(
    path,
    detector,
    X_in,
    X_ood,
    *,
    y_in=None,
    title=None,
    descriptions=None,
    to_images=None,
    n_bootstrap=1000,
    confidence_level=0.95,
    random_state=0,
):
    """Write one self-contained HTML page about a detector.

    Parameters
    ----------
    path : str or path-like
        The file to write; one that is there is replaced once the new page is complete.
    detector : estimator
        Fitted, with ``score_samples`` (higher = more in-distribution): one of skood, or of
        scikit-learn, or a pipeline or search that ends in one. Each set is scored once.
    X_in : array-like of shape (n_in, *input_shape)
        In-distribution (ID) test samples, none of which the detector was fitted on.
    X_ood : dict of str to array-like, or array-like
        Out-of-distribution (OOD) test sets by name; a bare array is named "ood".
    y_in : array-like of shape (n_in,), default=None
        Class labels of `X_in`, for the accuracy; needs ``predict_class``, of a pipeline's last
        step if it is one.
    title : str, default=None
        Heading of the page. None: the detector's name.
    descriptions : dict of str to str, default=None
        Where each set comes from, by its name; that of `X_in` is "in-distribution".
    to_images : callable, default=None
        ``to_images(rows) -> images`` of shape (n, 1 or 3, H, W) in [0, 1], for rows that are no
        such images but can be shown as some. Other rows are shown as a table.
    n_bootstrap : int, default=1000
        Replicates for the intervals of the metrics, at least 1.
    confidence_level : float, default=0.95
        Of all intervals, in (0, 1).
    random_state : int, RandomState or None, default=0
        Seeds the replicates.

    Returns
    -------
    path : pathlib.Path
        Where the page is.

    Raises
    ------
    ImportError
        If matplotlib or Jinja2 is missing: ``pip install 'skood[report]'``.
    TypeError
        If `detector` lacks ``score_samples``, or an argument is of another type.
    ValueError
        If a set is empty or its scores are not finite, `descriptions` names no set, or a
        parameter is outside its range. No file is written then.

    See Also
    --------
    skood.metrics.ood_report : The page's table of metrics.
    skood.plotting : Its pictures.
    skood.ConformalDetector : A threshold with a guarantee, which the page then states.

    Notes
    -----
    The page has no script and loads nothing: it can be sent by mail and kept. It follows the
    reader's choice of a dark or a light screen and fits a telephone. It holds the sets' sizes,
    ranges and fingerprints, the metrics with bootstrap intervals, what is refused of each set with
    exact (Clopper-Pearson) intervals, what the threshold promises, pictures of scores and
    training, the surest mistakes of both kinds, and the parameters, seeds and versions to make the
    numbers again. Of the data only the mistakes shown are in it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skood import OutlierExposureDetector
    >>> from skood.datasets import load_digits_ood
    >>> from skood.report import write_report
    >>> digits = load_digits_ood()
    >>> detector = OutlierExposureDetector(max_epochs=1, random_state=0)
    >>> detector = detector.fit(digits.X_train, digits.y_train, X_aux=(digits.X_aux,))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_report(
    ...         Path(folder) / "report.html", detector, digits.X_test, digits.ood,
    ...         y_in=digits.y_test, n_bootstrap=50,
    ...     )
    ...     path.read_text(encoding="utf-8")[:15]
    '<!doctype html>'
    """
    require_matplotlib("a report")
    template = _template()
    if n_bootstrap == 0:
        raise ValueError("n_bootstrap must be at least 1: the report's numbers have intervals.")
    scores_in, scores_ood = score_sets(detector, X_in, X_ood, with_mean=True)
    scores, sets = by_name(scores_in, scores_ood), by_name(X_in, named_sets(X_ood))
    measured = ood_report(
        None, scores_in, scores_ood, n_bootstrap=n_bootstrap, confidence_level=confidence_level,
        random_state=random_state,
    )
    page = template.render(
        title=title or type(detector).__name__,
        data=data_card(sets, y_in, descriptions),
        metrics=metrics_table(measured),
        decisions=decisions(detector, sets, scores, y_in, confidence_level),
        pictures=pictures(detector, sets, scores, to_images),
        surest=surest_rows(sets, scores) if to_images is None else None,
        settings=settings(detector),
        level=f"{confidence_level:.0%}",
        n_bootstrap=n_bootstrap,
    )
    with replaced(path) as file:
        file.write(page.encode())
    return Path(path)


def _template():
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise ImportError(
            "Jinja2 is needed to write a report: pip install 'skood[report]'"
        ) from error
    environment = Environment(
        loader=PackageLoader("skood.report", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    return environment.get_template("page.html")
