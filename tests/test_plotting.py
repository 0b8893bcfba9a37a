"""What the displays draw is what scikit-learn and skood compute; pixels are not compared."""

import sys
from io import BytesIO
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import IsolationForest
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.helper import SliceDataset
from torch.utils.data import TensorDataset

import skood
from skood import ConformalDetector, OutlierExposureDetector, plotting
from skood.metrics import aupr_in, aupr_out, fpr95, fpr_at_tpr
from skood.plotting import (
    FPRAtTPRDisplay,
    PrecisionRecallDisplay,
    RobustnessDisplay,
    ROCDisplay,
    ScoreHistogramDisplay,
    SurestMistakesDisplay,
    TrainingCurveDisplay,
)
from skood.robustness import evaluate_robustness

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

rng = np.random.default_rng(0)
SCORES_IN = rng.normal(2, size=300)
# ties with each other and with the ID scores, so that a curve has slanted steps
SCORES_OOD = {
    "near": np.concatenate([rng.normal(1, size=60), SCORES_IN[:40]]),
    "far": rng.normal(-1, size=50).round(1),
}
SIDES = {"id": (1, SCORES_IN), "ood": (-1, SCORES_IN)}
FROM_SCORES = [ROCDisplay, PrecisionRecallDisplay, ScoreHistogramDisplay, FPRAtTPRDisplay]
PIXELS = rng.integers(0, 256, size=(30, 3, 5, 4), dtype=np.uint8)
HISTORY = [
    {"phase": "pretrain", "train_loss": 3.0, "dur": 1.0},
    {"phase": "pretrain", "train_loss": 2.0, "dur": 1.5},
    {"phase": "exposure", "train_loss": 9.0, "dur": 2.0, "kept": [1, 2], "shift": 0.5},
]


@pytest.fixture(autouse=True)
def _closed():
    settings = dict(matplotlib.rcParams)
    yield
    plt.close("all")
    assert dict(matplotlib.rcParams) == settings


@pytest.fixture(scope="module")
def forest():
    """A detector that is not ours, its rows, and two sets."""
    rng = np.random.default_rng(1)
    X, near, far = (rng.normal(m, size=(n, 2)) for m, n in ((0, 200), (1, 70), (5, 50)))
    forest = IsolationForest(n_estimators=20, contamination=0.1, random_state=0).fit(X)
    return forest, X, {"near": near, "far": far}


@pytest.fixture(scope="module")
def table():
    """A detector with a network, its rows, and two sets."""
    rng = np.random.default_rng(2)
    y = rng.integers(3, size=200)
    X = (rng.normal(size=(200, 4)) + 4 * y[:, None]).astype(np.float32)
    A = rng.uniform(-9, 15, size=(200, 4)).astype(np.float32)
    detector = skood.EnergyExposureDetector(max_epochs=2, random_state=0).fit(X, y, X_aux=(A,))
    return detector, X, {"first": A[:50], "second": A[50:90]}


def labelled(name, positive="id"):
    """+1 and -1 for the positive class and the other, and scores that rise with it."""
    sign = 1 if positive == "id" else -1
    y = np.repeat([1, -1], [len(SCORES_IN), len(SCORES_OOD[name])])
    return sign * y, sign * np.concatenate([SCORES_IN, SCORES_OOD[name]])


# ---------------------------------------------------------------- curves


@pytest.mark.parametrize("positive", ["id", "ood"])
@pytest.mark.parametrize("name", SCORES_OOD)
def test_roc_lines_are_those_of_scikit_learn(name, positive):
    display = ROCDisplay.from_scores(SCORES_IN, SCORES_OOD, positive=positive)
    fpr, tpr, _ = roc_curve(*labelled(name, positive))
    np.testing.assert_array_equal(display.line_[name].get_xydata(), np.column_stack([fpr, tpr]))
    assert display.auroc[name] == pytest.approx(roc_auc_score(*labelled(name, positive)))
    assert list(display.line_) == list(SCORES_OOD)
    assert positive.upper() in display.ax_.get_ylabel()


@pytest.mark.parametrize("positive", ["id", "ood"])
@pytest.mark.parametrize("tpr", [0.5, 0.95, 1.0])
@pytest.mark.parametrize("name", SCORES_OOD)
def test_the_marked_point_is_the_operating_point_and_lies_on_the_line(name, tpr, positive):
    display = ROCDisplay.from_scores(SCORES_IN, SCORES_OOD, positive=positive, marked_tpr=tpr)
    y, scores = labelled(name)
    x, height = display.point_[name].get_xydata()[0]
    assert x == fpr_at_tpr(y, scores, tpr=tpr, positive=positive)
    fpr, reached, _ = roc_curve(*labelled(name, positive), drop_intermediate=False)
    assert height == reached[np.flatnonzero(reached >= tpr)[0]]
    assert height in reached[fpr == x]


@pytest.mark.parametrize("positive", ["id", "ood"])
@pytest.mark.parametrize("name", SCORES_OOD)
def test_precision_recall_lines_are_those_of_scikit_learn(name, positive):
    display = PrecisionRecallDisplay.from_scores(
        SCORES_IN, SCORES_OOD, positive=positive, plot_chance_level=True
    )
    y, scores = labelled(name, positive)
    precision, recall, _ = precision_recall_curve(y, scores, drop_intermediate=True)
    drawn = display.line_[name]
    np.testing.assert_array_equal(drawn.get_xydata(), np.column_stack([recall, precision]))
    assert drawn.get_drawstyle() == "steps-post"
    area = {"id": aupr_in, "ood": aupr_out}[positive](*labelled(name))
    assert display.average_precision[name] == area
    assert area == pytest.approx(average_precision_score(y, scores))
    assert set(display.chance_level_[name].get_ydata()) == {np.mean(y == 1)}
    precision, recall, _ = precision_recall_curve(y, scores)
    strictest = np.flatnonzero(recall >= 0.95)[-1]
    expected = recall[strictest], precision[strictest]
    assert tuple(display.point_[name].get_xydata()[0]) == pytest.approx(expected, abs=1e-15)


def test_the_legend_says_the_numbers_and_lines_go_on_with_other_colours():
    display = ROCDisplay.from_scores(SCORES_IN, SCORES_OOD, plot_chance_level=True)
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    y, scores = labelled("near")
    auroc, fpr = 100 * roc_auc_score(y, scores), 100 * fpr95(y, scores)
    assert texts[0] == f"near: AUROC {auroc:.1f} %, FPR95 {fpr:.1f} %"
    np.testing.assert_array_equal(display.chance_level_.get_xydata(), [[0, 0], [1, 1]])
    second = ROCDisplay.from_scores(SCORES_IN, SCORES_OOD["far"], ax=display.ax_, name="other")
    assert second.ax_ is display.ax_ and second.figure_ is display.figure_
    lines = [*display.line_.values(), *second.line_.values()]
    assert len({line.get_color() for line in lines}) == 3
    assert second.line_["ood"].get_label().startswith("other: AUROC")


def test_more_lines_than_colours_differ_in_style():
    display = ROCDisplay.from_scores(SCORES_IN, {f"{i}": SCORES_IN - i for i in range(9)})
    styles = {(line.get_color(), line.get_linestyle()) for line in display.line_.values()}
    assert len(styles) == 9


def test_options_of_lines_are_taken_for_all_or_for_each():
    one = ROCDisplay.from_scores(SCORES_IN, SCORES_OOD, curve_kwargs={"c": "k"}, marked_tpr=None)
    assert {line.get_color() for line in one.line_.values()} == {"k"}
    assert one.point_ == {} and one.chance_level_ is None
    each = one.plot(curve_kwargs=[{"lw": 3}, {"lw": 4}])
    assert [line.get_linewidth() for line in each.line_.values()] == [3, 4]
    with pytest.raises(ValueError, match="curve_kwargs must be one dict, or a list .* 2, got 1"):
        one.plot(curve_kwargs=[{}])


# ---------------------------------------------------------------- histograms and tables


@pytest.mark.parametrize("scale", ["linear", "logit"])
def test_histograms_hold_every_row(scale):
    shift = (lambda s: 1 / (1 + np.exp(-2 * s))) if scale == "logit" else np.asarray
    extremes = [1e-9, 1.0] if scale == "logit" else [-1e6, 50.0]
    sets = {name: shift(s) for name, s in SCORES_OOD.items()} | {"extreme": np.array(extremes)}
    scores_in = shift(SCORES_IN)
    display = ScoreHistogramDisplay.from_scores(scores_in, sets, bins=20, scale=scale)
    edges = display.bin_edges
    for name, scores in {"in-distribution": scores_in, **sets}.items():
        assert display.counts[name].sum() == len(scores)
        inner = [np.sum((scores >= a) & (scores < b)) for a, b in pairwise(edges[1:-1])]
        np.testing.assert_array_equal(display.counts[name][1:-1], inner)
    assert display.counts["extreme"][[0, -1]].tolist() == [1, 1]
    assert display.beyond[0] and "hold" in display.ax_.get_xlabel()
    shown_in = np.mean((scores_in >= edges[1]) & (scores_in < edges[-2]))
    assert shown_in > 0.9 and np.count_nonzero(display.counts["in-distribution"]) >= 4
    assert display.ax_.get_xscale() == scale


def test_what_is_drawn_of_a_histogram_are_its_counts():
    display = ScoreHistogramDisplay.from_scores(SCORES_IN, SCORES_OOD, bins=[-3, 0, 1, 2.5, 6])
    assert list(display.stairs_) == ["in-distribution", "near", "far"]
    for row, stairs in enumerate(display.stairs_.values()):
        values, edges, baseline = stairs.get_data()
        expected = np.histogram(np.clip([SCORES_IN, *SCORES_OOD.values()][row], -3, 6), edges)[0]
        np.testing.assert_array_equal(edges, [-3, 0, 1, 2.5, 6])
        np.testing.assert_allclose(values - baseline, 0.8 * expected / expected.max(), atol=1e-15)
        assert baseline == -row
    assert display.threshold_line_ is None and display.text_ == {}


@pytest.mark.parametrize("wrap", ["plain", "pipeline"])
def test_the_threshold_is_that_of_the_detector(forest, wrap):
    detector, X, sets = forest
    if wrap == "pipeline":
        detector = make_pipeline(StandardScaler(), detector)
        detector[0].fit(X)
    display = ScoreHistogramDisplay.from_detector(detector, X, sets)
    offset = forest[0].offset_
    assert set(display.threshold_line_.get_xdata()) == {offset}
    for name, rows in {"in-distribution": X, **sets}.items():
        accepted = np.mean(detector.predict(rows) == 1)
        assert display.accepted[name] == accepted
        assert display.text_[name].get_text() == f"{100 * accepted:.1f} % accepted"
    moved = ScoreHistogramDisplay.from_detector(detector, X, sets, threshold=-9.0)
    assert set(moved.threshold_line_.get_xdata()) == {-9.0}
    assert moved.bin_edges[0] <= -9.0 and moved.accepted["far"] == 1
    assert ScoreHistogramDisplay.from_detector(detector, X, sets, threshold=None).threshold is None


def test_scores_that_are_all_alike_can_be_drawn():
    display = ScoreHistogramDisplay.from_scores(np.ones(5), np.ones(3), threshold=1.0)
    assert display.counts["ood"].sum() == 3 and display.accepted["ood"] == 1
    assert (np.diff(display.bin_edges) > 0).all()


@pytest.mark.parametrize("kwargs", [{}, {"positive": "ood"}, {"protocol": "hendrycks"}])
def test_the_table_holds_the_metric(kwargs):
    levels = (0.5, 0.8, 0.95)
    display = FPRAtTPRDisplay.from_scores(SCORES_IN, SCORES_OOD, tpr=levels, **kwargs)
    expected = [[fpr_at_tpr(*labelled(s), tpr=t, **kwargs) for t in levels] for s in SCORES_OOD]
    expected.append(np.mean(expected, axis=0))
    np.testing.assert_array_equal(display.fpr, expected)
    np.testing.assert_array_equal(display.im_.get_array(), expected)
    texts = np.vectorize(lambda text: text.get_text())(display.text_)
    np.testing.assert_array_equal(texts, [[f"{100 * x:.1f}" for x in row] for row in expected])
    x, y = display.text_[2, 0].get_position()
    assert (x, y) == (0, 2)
    assert [t.get_text() for t in display.ax_.get_yticklabels()] == ["near", "far", "mean"]
    positive = "id" if not kwargs else "ood"
    assert display.positive == positive and positive.upper() in display.ax_.get_xlabel()
    assert FPRAtTPRDisplay.from_scores(SCORES_IN, SCORES_OOD["far"]).names == ["ood"]


@pytest.mark.parametrize("Display", FROM_SCORES)
def test_a_detector_is_drawn_by_its_scores(forest, Display):
    detector, X, sets = forest
    scores = {name: detector.score_samples(rows) for name, rows in sets.items()}
    # the bins of a histogram reach to the threshold, which scores alone do not have
    known = {"threshold": detector.offset_} if Display is ScoreHistogramDisplay else {}
    ours = vars(Display.from_detector(detector, X, sets))
    same = vars(Display.from_scores(detector.score_samples(X), scores, **known))
    assert ours.keys() == same.keys()
    for key in [key for key in same if not key.endswith("_")]:
        np.testing.assert_equal(ours[key], same[key])


# ---------------------------------------------------------------- robustness


@pytest.fixture(scope="module")
def report(table):
    detector, X, sets = table
    attacks = {"attacks": ("natural", "linf"), "n_steps": 2, "bounds": None, "eps": 1.0}
    return evaluate_robustness(detector, X, sets, **attacks), attacks


@pytest.mark.parametrize("metric", [None, "auroc"])
def test_marks_are_where_the_report_has_them(report, metric):
    frame, _ = report
    display = RobustnessDisplay.from_report(frame, metric=metric)
    assert list(display.points_) == ["natural", "linf"]
    for attack, points in display.points_.items():
        expected = frame.loc[attack][metric or "fpr95"]
        np.testing.assert_array_equal(points.get_xdata(), expected[["first", "second", "mean"]])
    ticks = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert ticks == ["first", "second", "mean"]
    np.testing.assert_array_equal(display.ax_.get_yticks(), points.get_ydata())


def test_reports_of_several_detectors_stand_side_by_side(report):
    frame, _ = report
    display = RobustnessDisplay.from_report({"a": frame, "b": 1 - frame}, metric="auroc")
    expected = np.ravel([(v, 1 - v) for v in frame.loc["linf"]["auroc"]])
    np.testing.assert_array_equal(display.points_["linf"].get_xdata(), expected)
    ticks = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert ticks[:3] == ["first · a", "first · b", "second · a"]
    steps = -np.diff(display.points_["linf"].get_ydata())
    assert (steps[::2] < steps[1]).all() and (steps[1::2] == steps[1]).all()


def test_from_detector_runs_the_evaluation(table, report):
    detector, X, sets = table
    frame, attacks = report
    display = RobustnessDisplay.from_detector(detector, X, {"first": sets["first"]}, **attacks)
    expected = [frame.loc[attack].loc["first", "fpr95"] for attack in ("natural", "linf")]
    np.testing.assert_array_equal(display.values.to_numpy(), [expected])


def test_a_metric_that_will_not_be_there_is_refused_before_the_attacks():
    for metric, given in (("auc", {}), ("fpr95", {"tpr": 0.9}), ("seconds", {})):
        with pytest.raises(ValueError, match=f"metric must be one of .*; got '{metric}'"):
            RobustnessDisplay.from_detector(_NeverScored(), PIXELS, PIXELS, metric=metric, **given)


def test_what_is_no_report_is_refused(report):
    frame, _ = report
    for wrong in ([1], pd.DataFrame({"fpr95": [1.0]}), {"a": None}):
        with pytest.raises(TypeError, match="report must be the frame that evaluate_robustness"):
            RobustnessDisplay.from_report(wrong)
    with pytest.raises(ValueError, match="metric must be a column of the report, .*got 'seconds'"):
        RobustnessDisplay.from_report(frame, metric="seconds")
    with pytest.raises(ValueError, match="report is an empty dict"):
        RobustnessDisplay.from_report({})
    with pytest.raises(ValueError, match="same attacks and sets; that of 'b' differs"):
        RobustnessDisplay.from_report({"a": frame, "b": frame.loc[["natural"]]})


# ---------------------------------------------------------------- trainings


def test_losses_stand_over_the_epochs_and_phases_are_apart(table):
    detector, _, _ = table
    display = TrainingCurveDisplay.from_detector(detector)
    losses = [row["train_loss"] for row in detector.history_]
    x, y = display.line_["train_loss"].get_data()
    np.testing.assert_array_equal(y, [*losses[:2], np.nan, *losses[2:]])
    np.testing.assert_array_equal(x, [1, 2, 2.5, 3, 4])
    assert [set(line.get_xdata()) for line in display.border_] == [{2.5}]
    texts = {text.get_text(): text.get_position()[0] for text in display.text_}
    assert texts == {"pretrain": 1.5, "exposure": 3.5}


def test_other_columns_on_request_and_gaps_where_they_are_missing():
    columns = {"train_loss": "loss", "shift": "shift of g"}
    display = TrainingCurveDisplay.from_history(HISTORY, columns=columns, name="WOODS")
    assert display.line_["loss"].get_label() == "WOODS, loss"
    np.testing.assert_array_equal(
        display.line_["shift of g"].get_ydata(), [np.nan, np.nan, np.nan, 0.5]
    )
    two = TrainingCurveDisplay.from_history(HISTORY[:2], columns=["train_loss", "dur"])
    np.testing.assert_array_equal(two.line_["dur"].get_xydata(), [[1, 1.0], [2, 1.5]])
    assert two.border_ == [] and two.text_ == []


def test_what_is_no_history_is_refused(table):
    with pytest.raises(ValueError, match="history is empty"):
        TrainingCurveDisplay.from_history([])
    with pytest.raises(ValueError, match="history is empty"):
        detector, X, _ = table
        read = skood.EnergyDetector(detector.module_).fit(X, np.arange(200) % 3)
        TrainingCurveDisplay.from_detector(read)
    for wrong in (None, {"train_loss": [1.0]}, [1.0]):
        with pytest.raises(TypeError, match="history must be a list of dicts"):
            TrainingCurveDisplay.from_history(wrong)
    with pytest.raises(TypeError, match="must be fitted and have history_, got IsolationForest"):
        TrainingCurveDisplay.from_detector(IsolationForest())
    numbers = "columns must name numbers of history, which are train_loss, dur, shift; "
    with pytest.raises(ValueError, match=f"{numbers}'kept' is no number"):
        TrainingCurveDisplay.from_history(HISTORY, columns="kept")
    with pytest.raises(ValueError, match=f"{numbers}'loss' is not there"):
        TrainingCurveDisplay.from_history(HISTORY, columns="loss")
    with pytest.raises(ValueError, match="columns is empty"):
        TrainingCurveDisplay.from_history(HISTORY, columns=[])


# ---------------------------------------------------------------- mistakes


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("kind", ["uint8", "float32", "float64"])
def test_the_grid_shows_the_lowest_id_and_the_highest_ood_rows(kind, n_channels):
    X_in, X_ood = PIXELS[:18, :n_channels], PIXELS[18:, :n_channels]
    if kind != "uint8":
        X_in, X_ood = (X.astype(kind) / 255 for X in (X_in, X_ood))
    scores_in = rng.permutation(18) + 0.5
    scores_ood = rng.permutation(12).astype(float)
    display = SurestMistakesDisplay.from_scores(
        scores_in, {"other": scores_ood}, X_in, {"other": X_ood}, n_images=4, threshold=2.0
    )
    expected = {"in-distribution": [0.5, 1.5, 2.5, 3.5], "other": [11, 10, 9, 8]}
    pixels = {"in-distribution": (scores_in, PIXELS[:18]), "other": (scores_ood, PIXELS[18:])}
    for name, values in expected.items():
        scores, rows = pixels[name]
        assert display.scores[name].tolist() == values
        for image, value in zip(display.images_[name], values, strict=True):
            row = rows[np.flatnonzero(scores == value)[0], :n_channels]
            drawn = row[0] if n_channels == 1 else row.transpose(1, 2, 0)
            np.testing.assert_allclose(image.get_array(), drawn / 255, atol=1e-7)
            assert image.get_clim() == (0, 1)
    captions = [text.get_text() for text in display.text_["in-distribution"]]
    assert captions == ["0.5", "1.5", "2.5", "3.5"]
    colors = [text.get_color() for text in display.text_["in-distribution"]]
    assert len(set(colors[:2])) == 1 and set(colors[2:]) == {"0.55"} and colors[0] != "0.55"
    assert display.wrong == {"in-distribution": 2 / 18, "other": 10 / 12}
    places = [image.get_extent() for images in display.images_.values() for image in images]
    assert len({(left, bottom) for left, _, bottom, _ in places}) == 8


def test_the_grid_of_a_detector(table):
    detector, X, sets = table
    display = SurestMistakesDisplay.from_detector(
        detector, X, sets, n_images=3, to_images=lambda rows: (rows / 30 + 0.5).reshape(-1, 1, 2, 2)
    )
    for name, rows in {"in-distribution": X, **sets}.items():
        scores = detector.score_samples(rows)
        order = np.argsort(scores if name == "in-distribution" else -scores)[:3]
        np.testing.assert_array_equal(display.index[name], order)
        np.testing.assert_array_equal(
            display.images_[name][1].get_array(), (rows[order[1]] / 30 + 0.5).reshape(2, 2)
        )
        label = detector.predict_class(rows[order[:1]])[0]
        assert display.text_[name][0].get_text() == f"{label}: {scores[order[0]]:.3g}"
    assert display.threshold == detector.offset_
    assert display.wrong["first"] == np.mean(detector.predict(sets["first"]) == 1)


@pytest.mark.parametrize("names", [["cat", "dog", "frog"], ["automobile", "truck", "aeroplane"]])
def test_the_names_of_classes_do_not_run_into_each_other(names):
    X = np.repeat(PIXELS[:9], 3, axis=0)
    detector = skood.OutlierExposureDetector(max_epochs=1, random_state=0)
    detector.fit(X, np.array(names)[np.arange(27) % 3], X_aux=(PIXELS[18:],))
    display = SurestMistakesDisplay.from_detector(detector, X, {"other": PIXELS[18:]})
    display.figure_.canvas.draw()
    for texts in display.text_.values():
        boxes = [text.get_window_extent() for text in texts]
        assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


@pytest.mark.parametrize("container", [pd.DataFrame, torch.from_numpy, np.ndarray.tolist])
def test_the_rows_may_come_in_any_container(table, container):
    _, X, sets = table
    detector = skood.OutlierExposureDetector(max_epochs=1, random_state=0)
    detector.fit(container(X), np.arange(200) % 3, X_aux=(container(sets["first"]),))
    display = SurestMistakesDisplay.from_detector(
        detector, container(X), container(sets["first"]), n_images=2,
        to_images=lambda rows: np.asarray(rows / 30 + 0.5).reshape(-1, 1, 2, 2),
    )
    best = np.argsort(-detector.score_samples(container(sets["first"])))[0]
    drawn = display.images_["ood"][0].get_array()
    np.testing.assert_allclose(drawn, (sets["first"][best] / 30 + 0.5).reshape(2, 2), atol=1e-6)


@pytest.mark.parametrize("n_sets", [1, 4])
@pytest.mark.parametrize("n_images", [1, 8])
def test_a_plain_savefig_cuts_no_text_off(n_images, n_sets):
    scores_in = np.arange(20.0)
    names = [f"a set with a long name {i}" for i in range(n_sets)]
    scores, images = (dict.fromkeys(names, each[:20]) for each in (scores_in + 5, PIXELS))
    displays = [
        SurestMistakesDisplay.from_scores(
            scores_in, scores, PIXELS[:20], images, n_images=n_images, threshold=10.0
        ),
        ScoreHistogramDisplay.from_scores(scores_in, scores, threshold=10.0),
    ]
    for display in displays:
        figure = display.figure_
        figure.savefig(BytesIO(), format="png")
        texts = display.ax_.get_yticklabels() + [
            text for each in display.text_.values() for text in np.atleast_1d(each)
        ]
        for text in texts:
            box = text.get_window_extent()
            assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, (type(display), text.get_text())
            assert box.y0 >= 0 and box.y1 <= figure.bbox.y1, (type(display), text.get_text())


def test_rows_of_a_slice_dataset_can_be_shown():
    images = SliceDataset(TensorDataset(torch.from_numpy(PIXELS[:6])))
    scores = np.array([5.0, 4.0, 3.0, 2.0, 9.0, 8.0])
    display = SurestMistakesDisplay.from_scores(scores, scores, images, images, n_images=1)
    drawn = display.images_["ood"][0].get_array()
    np.testing.assert_allclose(drawn, PIXELS[4].transpose(1, 2, 0) / 255, atol=1e-7)


class _NeverScored:
    def score_samples(self, X):
        raise AssertionError("images are to be looked at before they are scored")


def test_a_set_smaller_than_the_row_and_rows_that_are_no_images():
    scores = np.arange(3.0)
    small = SurestMistakesDisplay.from_scores(scores, scores[:2], PIXELS[:3], PIXELS[:2])
    assert [len(images) for images in small.images_.values()] == [3, 2]
    with pytest.raises(ValueError, match=r"X_in must hold images .* got \(3, 7\); pass to_images"):
        SurestMistakesDisplay.from_detector(_NeverScored(), np.ones((3, 7)), PIXELS)
    with pytest.raises(ValueError, match=r"X_ood\['b'\] must hold images .*got \(2, 2, 5, 4\)"):
        SurestMistakesDisplay.from_detector(_NeverScored(), PIXELS, {"b": PIXELS[:2, :2]})
    with pytest.raises(ValueError, match=r"X_ood\['ood'\] cannot be shown: X must be in pixel spa"):
        SurestMistakesDisplay.from_scores(scores, scores, PIXELS[:3], PIXELS[:3] * 2.0)
    with pytest.raises(ValueError, match="X_in must have one row a score, 3, got 4"):
        SurestMistakesDisplay.from_scores(scores, scores, PIXELS[:4], PIXELS[:3])
    with pytest.raises(ValueError, match=r"same names, got \['a'\] and \['b'\]"):
        SurestMistakesDisplay.from_scores(scores, {"a": scores}, PIXELS[:3], {"b": PIXELS[:3]})
    with pytest.raises(ValueError, match="n_images must be at least 1, got 0"):
        SurestMistakesDisplay.from_scores(scores, scores, PIXELS[:3], PIXELS[:3], n_images=0)
    with pytest.raises(TypeError, match="to_images must be callable or None, got 3"):
        SurestMistakesDisplay.from_scores(scores, scores, PIXELS[:3], PIXELS[:3], to_images=3)
    with pytest.raises(ValueError, match=r"to_images must return 3 images .* got \(3, 5, 4\)"):
        SurestMistakesDisplay.from_scores(
            scores, scores, PIXELS[:3], PIXELS[:3], to_images=lambda rows: rows[:, 0]
        )


# ---------------------------------------------------------------- the doors


@pytest.mark.parametrize("Display", FROM_SCORES)
def test_bad_scores_are_refused_by_name(forest, Display):
    detector, X, _ = forest
    bad = [
        (([1, np.nan], [1.0]), ValueError, "scores_in has 1 NaN or infinite"),
        (([1.0], {"a": [np.inf]}), ValueError, r"scores_ood\['a'\] has 1 NaN or infinite"),
        (([], [1.0]), ValueError, "scores_in is empty"),
        (([1.0], {"a": []}), ValueError, r"scores_ood\['a'\] is empty"),
        (([1.0], {}), ValueError, "scores_ood is empty"),
        (([1.0], [["a"]]), ValueError, r"scores_ood\['ood'\] must have shape \(n,\)"),
        ((["a"], [1.0]), TypeError, "scores_in must hold real numbers"),
    ]
    for arguments, error, message in bad:
        with pytest.raises(error, match=message):
            Display.from_scores(*arguments)
    with pytest.raises(TypeError, match="detector must have score_samples .*from_scores"):
        Display.from_detector(None, X, X)
    with pytest.raises(ValueError, match="X_ood is empty"):
        Display.from_detector(detector, X, {})
    if Display is ScoreHistogramDisplay:
        with pytest.raises(TypeError, match="threshold must be a number, 'auto' or None, got 'no'"):
            Display.from_detector(detector, X, X, threshold="no")
    for draw, arguments in (
        (Display.from_scores, ([1.0], [0.0])), (Display.from_detector, (_NeverScored(), X, X))
    ):
        with pytest.raises(TypeError, match="ax must be matplotlib axes or None, got str"):
            draw(*arguments, ax="axes")


def test_bad_numbers_are_refused_by_name():
    for kwargs, error, message in [
        ({"marked_tpr": 95}, ValueError, r"marked_tpr must be in \(0, 1\]"),
        ({"positive": "in"}, ValueError, "positive must be 'id', 'ood' or None"),
    ]:
        for Display in (ROCDisplay, PrecisionRecallDisplay):
            with pytest.raises(error, match=message):
                Display.from_scores([1.0], [0.0], **kwargs)
    for kwargs, error, message in [
        ({"bins": 0}, ValueError, "bins must be an integer of at least 1, or edges, got 0"),
        ({"bins": [1, 1]}, ValueError, "bins must be two or more finite, ascending edges"),
        ({"bins": "auto"}, TypeError, "bins must be an integer or ascending edges"),
        ({"threshold": "auto"}, TypeError, "threshold must be a number or None, got 'auto'"),
        ({"threshold": True}, TypeError, "threshold must be a number or None, got True"),
        ({"threshold": np.nan}, ValueError, "threshold must be finite, got nan"),
        ({"scale": "log"}, ValueError, "scale must be 'linear' or 'logit', got 'log'"),
    ]:
        with pytest.raises(error, match=message):
            ScoreHistogramDisplay.from_scores([1.0], [0.0], **kwargs)
    with pytest.raises(ValueError, match=r"scale='logit' needs scores in \[0, 1\], got \[-1, 0\]"):
        ScoreHistogramDisplay.from_scores([0.0], [-1.0], scale="logit")
    with pytest.raises(ValueError, match="no out-of-distribution set may be named 'in-distrib"):
        ScoreHistogramDisplay.from_scores([0.0], {"in-distribution": [1.0]})
    with pytest.raises(ValueError, match="scores_ood must not name a set 'mean'"):
        FPRAtTPRDisplay.from_scores([1.0], {"mean": [0.0]})
    with pytest.raises(ValueError, match="tpr is empty"):
        FPRAtTPRDisplay.from_scores([1.0], [0.0], tpr=())


# The pairs of an overlap come of no detector and fill a figure: see test_overlap.py.
ON_AXES = sorted(set(plotting.__all__) - {"OverlapDisplay"})


@pytest.mark.parametrize("name", ON_AXES)
def test_without_matplotlib_one_is_told_before_anything_is_scored(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    arguments = [_NeverScored()] if name != "TrainingCurveDisplay" else [_Trained()]
    arguments += [PIXELS, PIXELS] if name != "TrainingCurveDisplay" else []
    with pytest.raises(ImportError, match=rf"to draw an? {name}: pip install 'skood\[plot\]'"):
        getattr(plotting, name).from_detector(*arguments)


def test_without_matplotlib_an_overlap_says_what_to_install(monkeypatch):
    display = plotting.OverlapDisplay(pairs=[0], images_aux=[], images_in=[])
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"an OverlapDisplay: pip install 'skood\[plot\]'"):
        display.plot()


class _Trained:
    history_ = HISTORY


def test_every_display_draws_on_given_axes_and_returns_itself(report):
    frame, _ = report
    scores = np.arange(3.0)
    displays = [Display.from_scores(SCORES_IN, SCORES_OOD) for Display in FROM_SCORES]
    displays += [
        RobustnessDisplay.from_report(frame),
        TrainingCurveDisplay.from_history(HISTORY),
        SurestMistakesDisplay.from_scores(scores, scores, PIXELS[:3], PIXELS[:3]),
    ]
    assert {type(display).__name__ for display in displays} == set(ON_AXES)
    figure, axes = plt.subplots(2, 4)
    n_figures = len(plt.get_fignums())
    for display, ax in zip(displays, axes.flat, strict=False):
        assert display.plot(ax) is display
        assert display.ax_ is ax and display.figure_ is figure
    assert len(plt.get_fignums()) == n_figures
    figure.canvas.draw()


def test_threshold_and_grid_can_be_seen_on_dark_paper():
    with plt.style.context("dark_background"):
        histogram = ScoreHistogramDisplay.from_scores([1.0, 2.0], [0.0, 1.0], threshold=1.0)
        curves = ROCDisplay.from_scores([1.0, 2.0], [0.0, 1.0])
    assert histogram.threshold_line_.get_color() == "white"
    assert curves.ax_.get_xgridlines()[0].get_alpha() < 0.5
    plt.close("all")


def test_thresholds_of_classes_are_not_drawn_as_one():
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=200)
    X = rng.normal(size=(200, 2)) + 3 * y[:, None]
    detector = ConformalDetector(
        OutlierExposureDetector(max_epochs=1, random_state=0), alpha=0.2,
        conditional_on="predicted", random_state=0,
    ).fit(X, y, X_aux=(rng.uniform(-6, 9, size=(200, 2)),))
    assert np.shape(detector.offset_) == (2,)
    assert ScoreHistogramDisplay.from_detector(detector, X, X + 9).threshold is None
    plt.close("all")
