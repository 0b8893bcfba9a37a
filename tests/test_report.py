"""The report: its numbers are the metrics', it stands alone, and nothing is written by halves."""

import re
import sys
from base64 import b64decode
from html.parser import HTMLParser
from xml.etree import ElementTree

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import IsolationForest
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skood import ConformalDetector, OutlierExposureDetector
from skood.datasets import load_digits_ood
from skood.metrics import ood_report
from skood.report import write_report

QUICK = {"n_bootstrap": 20}


class Page(HTMLParser):
    """A page as its tables (lists of rows of texts), its text, and what it points at."""

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tables, self.links, self.tags, self._text = [], [], [], []
        self.feed(self.source)
        self.text = " ".join("".join(self._text).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ("src", "srcset", "href")]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "small":
            self.handle_data("|")

    def handle_data(self, data):
        self._text.append(data)
        if self.lasttag in ("td", "th", "small") and data.strip():
            self.tables[-1][-1][-1] += data.strip()

    def table(self, first_head, second_head):
        for table in self.tables:
            if table[0][:2] == [first_head, second_head]:
                return {row[0]: dict(zip(table[0], row, strict=True)) for row in table[1:]}
        raise AssertionError(f"no table of {first_head} and {second_head}")


@pytest.fixture(scope="module")
def digits():
    return load_digits_ood()


@pytest.fixture(scope="module")
def detector(digits):
    detector = OutlierExposureDetector(max_epochs=2, random_state=0)
    return detector.fit(digits.X_train, digits.y_train, X_aux=(digits.X_aux,))


@pytest.fixture(scope="module")
def page(detector, digits, tmp_path_factory):
    path = write_report(
        tmp_path_factory.mktemp("report") / "a.html", detector, digits.X_test, digits.ood,
        y_in=digits.y_test, title="What <it> knows", descriptions={"letters": "A & Z"}, **QUICK,
    )
    return Page(path)


def percent(share):
    return f"{100 * share:.1f} %"


def test_metrics_and_intervals_are_those_of_the_report_function(page, detector, digits):
    table = page.table("set", "FPR95")
    expected = ood_report(detector, digits.X_test, digits.ood, n_bootstrap=20, random_state=0)
    assert list(table) == list(expected.index)
    for name, row in expected.iterrows():
        bounds = f"{100 * row.auroc_low:.1f} to {100 * row.auroc_high:.1f}"
        assert table[name]["AUROC"] == f"{percent(row.auroc)}|{bounds}"
        assert table[name]["FPR95"].startswith(percent(row.fpr95))
        assert table[name]["AUPR, ID positive"].startswith(percent(row.aupr_in))
        assert table[name]["AUPR, OOD positive"].startswith(percent(row.aupr_out))


def test_metrics_are_explained_in_words(page):
    for name in ("FPR95: ", "AUROC: ", "AUPR: "):
        assert name in page.text
    assert "not how far training the detector again, with another seed, would" in page.text


def test_shares_refused_are_those_of_predict_with_exact_intervals(page, detector, digits):
    table = page.table("set", "refused")
    for name, X in {"in-distribution": digits.X_test, **digits.ood}.items():
        n_refused = int((detector.predict(X) == -1).sum())
        low, high = binomtest(n_refused, len(X)).proportion_ci(0.95)
        share = f"{percent(n_refused / len(X))}|{100 * low:.1f} to {100 * high:.1f}"
        assert table[name]["refused"] == share
    accuracy = np.mean(detector.predict_class(digits.X_test) == digits.y_test)
    assert f"The right class is given to {percent(accuracy)}" in page.text


@pytest.mark.parametrize("kind", ["scaled", "search", "bare"])
def test_accuracy_of_a_pipeline_is_that_of_its_last_step(kind, digits, tmp_path):
    X, y = digits.X_train.reshape(len(digits.X_train), -1), digits.y_train
    detector = OutlierExposureDetector(max_epochs=3, random_state=0)
    pipe = make_pipeline(detector) if kind == "bare" else make_pipeline(StandardScaler(), detector)
    if kind == "search":
        pipe = GridSearchCV(
            pipe, {"outlierexposuredetector__max_epochs": [3]}, cv=2,
            scoring=lambda estimator, X, y: estimator.score_samples(X).mean(),
        )
    with pytest.warns(UserWarning, match="synthetic"):
        pipe.fit(X, y)
    X_in = digits.X_test.reshape(len(digits.X_test), -1)
    share = np.mean(ConformalDetector(FrozenEstimator(pipe)).fit(X_in).predict_class(X_in)
                    == digits.y_test)
    assert share > 0.8
    page = Page(write_report(
        tmp_path / "a.html", pipe, X_in, X_in[::-1], y_in=digits.y_test, **QUICK
    ))
    assert f"The right class is given to {percent(share)}" in page.text
    report = ood_report(pipe, X_in, X_in, y_in=digits.y_test)
    assert report["accuracy"].tolist() == [share, share]


def test_data_card_knows_the_sets_again(page, digits):
    table = page.table("set", "rows")
    for name, X in {"in-distribution": digits.X_test, **digits.ood}.items():
        assert table[name]["rows"] == f"{len(X):,}" and table[name]["type"] == "uint8"
        assert table[name]["shape"] == "1 × 8 × 8"
        assert table[name]["values"] == f"{X.min()} to {X.max()}"
        assert table[name]["fingerprint"] == joblib.hash(X)[:12]
    assert table["letters"]["what it is"] == "A & Z"
    assert f"0: {np.sum(digits.y_test == 0)}, 1:" in page.text


def test_range_of_a_frame_with_missing_values(tmp_path):
    X = pd.DataFrame({"a": [1.0, np.nan, 3.0, 5.0], "site": ["x", "y", None, "x"]})
    X["b"] = pd.array([-2, 7, pd.NA, 0], dtype="Int64")
    detector = make_pipeline(
        make_column_transformer((SimpleImputer(), ["a"])), IsolationForest(random_state=0)
    ).fit(X)
    page = write_report(tmp_path / "page.html", detector, X, {"other": X}, **QUICK)
    text = re.sub(r"<[^>]*>", " ", page.read_text())
    assert text.count("-2 to 7") == 2 and "nan to" not in text


def test_page_stands_alone_and_escapes_what_it_is_given(page):
    assert page.links and all(link.startswith("data:image/svg+xml;base64,") for link in page.links)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert not re.search(r"url\(|@import|https?://", page.source)
    assert "What &lt;it&gt; knows" in page.source and "<it>" not in page.source
    assert 'name="viewport"' in page.source


def test_each_picture_is_drawn_for_light_and_for_dark_screens(page):
    assert page.tags.count("picture") == 5
    drawn = [b64decode(link.partition(",")[2]) for link in page.links]
    assert {ElementTree.fromstring(image).tag.rpartition("}")[2] for image in drawn} == {"svg"}
    for dark, light in zip(drawn[::2], drawn[1::2], strict=True):
        assert dark != light


def test_how_to_make_it_again(page, detector):
    assert repr(detector) in page.text and "random_state0 versions" in page.text
    assert f"numpy {np.__version__}" in page.text


def test_same_numbers_give_the_same_page(detector, digits, tmp_path):
    sets = {"letters": digits.ood["letters"][:50]}
    paths = [tmp_path / name for name in ("a.html", "b.html")]
    for path in paths:
        write_report(path, detector, digits.X_test[:50], sets, **QUICK)
    first, second = (re.sub(r"\d\d:\d\d UTC", "", path.read_text("utf-8")) for path in paths)
    assert first == second


class Counting(IsolationForest):
    """Counts the rows it scores."""

    n_scored = 0

    def score_samples(self, X):
        if getattr(self, "counts", False):
            self.n_scored += len(X)
        return super().score_samples(X)


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    frames = [pd.DataFrame(rng.normal(m, size=(60, 3)), columns=list("abc")) for m in (0, 0, 3)]
    return frames


def test_each_row_is_scored_once(table, tmp_path):
    X, X_in, X_ood = table
    forest = Counting(n_estimators=5, random_state=0).fit(X)
    forest.counts = True
    write_report(tmp_path / "a.html", forest, X_in, {"far": X_ood}, **QUICK)
    assert forest.n_scored == len(X_in) + len(X_ood)


def test_tables_show_the_rows_at_the_wrong_ends(table, tmp_path):
    X, X_in, X_ood = table
    forest = IsolationForest(n_estimators=5, random_state=0).fit(X)
    page = Page(write_report(tmp_path / "a.html", forest, X_in, {"far": X_ood}, **QUICK))
    shown = [t for t in page.tables if t[0][:3] == ["set", "row", "score"]][0]
    assert shown[0][3:] == ["a", "b", "c"] and len(shown) == 11
    lowest, highest = forest.score_samples(X_in).argmin(), forest.score_samples(X_ood).argmax()
    assert shown[1][:2] == ["in-distribution", str(lowest)]
    assert shown[6][:2] == ["far", str(highest)]
    assert shown[6][3:] == [f"{value:.4g}" for value in X_ood.iloc[highest]]
    assert page.tags.count("picture") == 3


@pytest.mark.parametrize("kind", ["pipeline", "search"])
def test_decisions_of_what_is_inside_a_pipeline_or_search(kind, table, tmp_path):
    X, X_in, X_ood = table
    detector = make_pipeline(StandardScaler(), IsolationForest(n_estimators=5, random_state=0))
    if kind == "search":
        detector = GridSearchCV(
            detector, {"isolationforest__max_samples": [10, 20]}, refit="auroc",
            scoring={"auroc": lambda estimator, X, y=None: estimator.score_samples(X).mean()}, cv=2,
        )
    detector.fit(X)
    page = Page(write_report(tmp_path / "a.html", detector, X_in, X_ood, **QUICK))
    refused = (detector.predict(X_ood) == -1).mean()
    assert page.table("set", "refused")["ood"]["refused"].startswith(percent(refused))
    assert "No guarantee: the threshold leaves out contamination=auto" in page.text


@pytest.mark.parametrize(("method", "promise"), [
    ("split", "at most the share alpha is refused"),
    ("cross", "what is proved is about twice as much"),
])
def test_promise_of_a_conformal_threshold_is_stated(method, promise, table, tmp_path):
    X, X_in, X_ood = table
    forest = IsolationForest(n_estimators=5, random_state=0)
    detector = ConformalDetector(
        forest, alpha=0.1, method=method, calibration_size=24, n_folds=2, random_state=0
    ).fit(X)
    page = Page(write_report(tmp_path / "a.html", detector, X_in, X_ood, **QUICK))
    n = {"split": 24, "cross": 60}[method]
    assert f"from {n} rows that calibrated it" in page.text and "alpha=0.1" in page.text
    assert promise in page.text
    refused = np.mean(detector.predict(X_in) == -1)
    shown = page.table("set", "refused")["in-distribution"]["refused"]
    assert shown.startswith(percent(refused))


def test_thresholds_of_classes_decide_by_predict(digits, detector, tmp_path):
    by_class = ConformalDetector(
        FrozenEstimator(detector), alpha=0.2, conditional_on="predicted"
    ).fit(digits.X_test[:240], digits.y_test[:240])
    sets = {"letters": digits.ood["letters"][:50]}
    X_in = digits.X_test[240:]
    page = Page(write_report(tmp_path / "a.html", by_class, X_in, sets, **QUICK))
    refused = np.mean(by_class.predict(X_in) == -1)
    shown = page.table("set", "refused")["in-distribution"]["refused"]
    assert shown.startswith(percent(refused)) and "Refused is what scores below" not in page.text


def test_images_can_be_made_of_rows(table, tmp_path):
    X, X_in, X_ood = table
    forest = IsolationForest(n_estimators=5, random_state=0).fit(X)

    def to_images(rows):
        return np.clip(np.asarray(rows), 0, 1).reshape(len(rows), 1, 1, 3)

    page = Page(write_report(
        tmp_path / "a.html", forest, X_in, {"far": X_ood}, to_images=to_images, **QUICK
    ))
    assert page.tags.count("picture") == 4
    assert not [t for t in page.tables if t[0][:2] == ["set", "row"]]


@pytest.mark.parametrize(("argument", "value", "message"), [
    ("n_bootstrap", 0, "n_bootstrap must be at least 1"),
    ("confidence_level", 1.5, "confidence_level must be in"),
    ("X_ood", {}, "X_ood is empty"),
    ("descriptions", {"near": "?"}, r"descriptions must name sets among .*got \['near'\]"),
    ("y_in", np.zeros(60), "y_in needs a detector with predict_class"),
])
def test_bad_arguments_are_named_and_the_page_before_is_kept(
    argument, value, message, table, tmp_path
):
    X, X_in, X_ood = table
    forest = IsolationForest(n_estimators=5, random_state=0).fit(X)
    (tmp_path / "a.html").write_text("before")
    arguments = {"X_in": X_in, "X_ood": {"far": X_ood}, **QUICK, argument: value}
    with pytest.raises((ValueError, TypeError), match=message):
        write_report(tmp_path / "a.html", forest, **arguments)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["before"]


def test_missing_template_engine_is_named(table, tmp_path, monkeypatch):
    X, X_in, X_ood = table
    forest = IsolationForest(n_estimators=5, random_state=0).fit(X)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match=r"Jinja2 is needed.*skood\[report\]"):
        write_report(tmp_path / "a.html", forest, X_in, X_ood)
