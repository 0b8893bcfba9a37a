"""The examples run as a newcomer runs them, and what they print is true of what they save."""

import os
import re
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from scipy.spatial import KDTree
from scipy.stats import betabinom
from sklearn.datasets import make_moons
from sklearn.metrics import roc_auc_score

from skood.attacks import pgd_linf
from skood.datasets import load_digits_ood
from skood.metrics import ood_report
from skood.robustness import evaluate_robustness
from skood.scores import energy

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.stem.removeprefix("plot_") for path in ROOT.glob("examples/plot_*.py"))
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
SETS = ["held_out_digits", "photograph", "letters", "noise"]


def _run(name, folder, *arguments):
    """Run an example in an empty folder and without a display; return what it prints."""
    hidden = {"DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND"}
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / f"plot_{name}.py", *arguments],
        cwd=folder, env=environment | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=170,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout, folder / f"{name}_output"


def _running(name, *arguments):
    """Return a fixture: what an example prints, and the folder of what it saves."""

    @pytest.fixture(scope="module", name=name)
    def run(tmp_path_factory):
        return _run(name, tmp_path_factory.mktemp(name), *arguments)

    return run


quickstart = _running("quickstart", "--epochs", "1")
atom = _running("atom", "--epochs", "3", "--steps", "2")
greg = _running("greg", "--epochs", "8")
displays = _running("displays", "--epochs", "1")
woods = _running("woods", "--epochs", "12")
unleashing_mask = _running("unleashing_mask", "--epochs", "8", "--retuning", "2")
conformal = _running("conformal", "--epochs", "3")
posthoc = _running("posthoc", "--epochs", "3")
own_method = _running("own_method", "--epochs", "1")
concepts = _running("concepts", "--epochs", "5")
two_fpr95 = _running("two_fpr95")
table = _running("table", "--epochs", "10")
overlap = _running("overlap", "--epochs", "1")


def _printed_table(text):
    rows = (line.split() for line in text.splitlines())
    rows = [row for row in rows if len(row) == 9 and row[0] in (*SETS, "mean")]
    return {row[0]: np.array(row[1:], dtype=float) for row in rows}


def test_quickstart_prints_what_the_saved_detector_does(quickstart):
    text, output = quickstart
    data = load_digits_ood()
    detector = joblib.load(output / "detector.joblib")
    report = ood_report(detector, data.X_test, data.ood, y_in=data.y_test)
    printed = _printed_table(text)
    assert list(printed) == [*SETS, "mean"]
    for name, row in printed.items():
        expected = 100 * report.loc[name, ["accuracy", "fpr95", "auroc", "aupr_out"]]
        # Printed with one decimal; 0.06 leaves room for the last bit of a score.
        np.testing.assert_allclose(row[1::2], expected.astype(float), atol=0.06)


def test_quickstart_shows_what_predict_decides_about_new_images(quickstart):
    text, output = quickstart
    data = load_digits_ood()
    detector = joblib.load(output / "detector.joblib")
    for name, images in {"digits 0 to 7": data.X_test, **data.ood}.items():
        decision = detector.predict(images[:1])[0]
        (line,) = (x for x in text.splitlines() if x.startswith(name) and "predict gives" in x)
        assert f"predict gives {decision:+d}" in line


def test_quickstart_fits_a_terminal_and_says_where_its_files_are(quickstart):
    text, output = quickstart
    assert max(map(len, text.splitlines())) <= 100
    for file in sorted(output.iterdir()):
        assert f"quickstart_output/{file.name}" in text
    assert [file.name for file in sorted(output.iterdir())] == ["detector.joblib", "quickstart.png"]


def _check_picture(path):
    picture = path.read_bytes()
    assert picture.startswith(PNG_SIGNATURE)
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
    assert 1000 <= width <= 2000
    assert 500 <= height <= 1200


def test_quickstart_saves_a_picture(quickstart):
    _check_picture(quickstart[1] / "quickstart.png")


@pytest.mark.parametrize("picture", sorted(ROOT.glob("docs/images/*")), ids=lambda path: path.stem)
def test_picture_of_the_documentation_is_small(picture):
    assert picture.read_bytes().startswith(PNG_SIGNATURE)
    assert picture.stat().st_size <= 250_000


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_runs_and_saves_a_picture(name, request):
    _, output = request.getfixturevalue(name)
    _check_picture(output / f"{name}.png")


def _printed_robustness(text):
    """Return {attack: {set: FPR95 and AUROC of OE, NTOM and ATOM}}."""
    printed = {"natural": {}, "linf": {}}
    attack = None
    for line in text.splitlines():
        *names, values = line.split(maxsplit=line.startswith((*printed,)) + 1) or [None, ""]
        attack = names[0] if names[0] in printed else attack
        if attack and names[-1] in (*SETS, "mean") and len(values.split()) == 6:
            printed[attack][names[-1]] = np.array(values.split(), dtype=float)
    return printed


def test_atom_prints_what_the_saved_detector_does(atom):
    text, output = atom
    data = load_digits_ood()
    detector = joblib.load(output / "detector.joblib")
    report = evaluate_robustness(
        detector, data.X_test, data.ood, n_samples=200, attacks=("natural", "linf"),
        eps=55 / 255, step_size=55 / 255 / 4, n_steps=2,
    )
    for attack, rows in _printed_robustness(text).items():
        assert list(rows) == [*SETS, "mean"]
        for name, row in rows.items():
            expected = 100 * report.loc[(attack, name), ["fpr95", "auroc"]]
            # Printed with one decimal; 0.06 leaves room for the last bit of a score.
            np.testing.assert_allclose(row[2::3], expected.astype(float), atol=0.06)


def test_atom_shows_that_no_attack_makes_an_outlier_easier(atom):
    printed = _printed_robustness(atom[0])
    for name, natural in printed["natural"].items():
        attacked = printed["linf"][name]
        assert (attacked[:3] >= natural[:3]).all()
        assert (attacked[3:] <= natural[3:]).all()
    assert (printed["linf"]["mean"][:3] > printed["natural"]["mean"][:3]).all()


def test_atom_prints_what_mining_kept(atom):
    text, output = atom
    data = load_digits_ood()
    detector = joblib.load(output / "detector.joblib")
    is_sign = (data.X_aux == 0).mean(axis=(1, 2, 3)) > 0.25
    (line,) = (x for x in text.splitlines() if x.startswith("ATOM   "))
    for epoch in (1, 3):
        share = is_sign[detector.history_[epoch - 1]["kept_index"]].mean()
        assert f"{epoch}: {share:.0%}" in line


def test_atom_fits_a_terminal_and_says_where_its_files_are(atom):
    text, output = atom
    assert max(map(len, text.splitlines())) <= 100
    assert [file.name for file in sorted(output.iterdir())] == ["atom.png", "detector.joblib"]
    for file in output.iterdir():
        assert f"atom_output/{file.name}" in text


def test_atom_saves_a_picture(atom):
    _check_picture(atom[1] / "atom.png")


GREG_NAMES = ["trained net", "energy", "GReg 0.1", "GReg 1", "energy, loosened"]


def _greg_points():
    """Return the test points of the example."""
    box = np.random.default_rng(0).uniform([-2.2, -1.8], [3.2, 2.3], (6000, 2))
    outliers = box[KDTree(make_moons(400)[0]).query(box)[0] > 0.3][2000:3000]
    moons = make_moons(2000, noise=0.1, random_state=0)[0][1000:]
    return {"moons": moons.astype("float32"), "outliers": outliers.astype("float32")}


def _greg_attack(detector, points, eps, up):
    """Move points towards high energy, or low."""
    return pgd_linf(
        lambda x: energy(detector.module_(x)) * (-1 if up else 1), torch.from_numpy(points),
        eps, eps / 4, 10, bounds=None, generator=torch.Generator().manual_seed(0),
    ).numpy()


def _greg_rows(text):
    """Return {kind: {detector: the six numbers of the first table}}."""
    printed = {"moons": {}, "outliers": {}}
    kind = None
    for line in text.splitlines():
        kind = next((k for k in printed if line.startswith(k + "  ")), kind)
        name, *values = re.split(r"\s{2,}", line.removeprefix(kind or "").strip())
        if name in GREG_NAMES and len(values) == 6:
            printed[kind][name] = np.array(values, dtype=float)
    return printed


def _greg_areas(text):
    """Return {detector: the four numbers of the second table}."""
    rows = (re.split(r"\s{2,}", line.strip()) for line in text.splitlines())
    return {row[0]: np.array(row[1:], dtype=float) for row in rows
            if row[0] in GREG_NAMES and len(row) == 5}


@pytest.mark.parametrize(("kind", "sign"), [("moons", 1), ("outliers", -1)])
def test_greg_prints_what_the_saved_detector_does(greg, kind, sign):
    text, output = greg
    detector, points = joblib.load(output / "detector.joblib"), _greg_points()[kind]
    printed = _greg_rows(text)[kind]
    assert list(printed) == GREG_NAMES
    found = points[detector.predict(points) == sign]
    x = torch.from_numpy(found).requires_grad_()
    length = torch.autograd.grad(energy(detector.module_(x)).sum(), x)[0].norm(dim=1).numpy()
    turned = detector.predict(_greg_attack(detector, found, 0.1, up=sign > 0)) != sign
    expected = [
        100 * len(found) / len(points), np.median(length),
        np.median(np.abs(detector.decision_function(found)) / length), 100 * turned.mean(),
    ]
    # Printed with two decimals; 0.006 leaves room for the last bit of a score.
    np.testing.assert_allclose(printed["GReg 0.1"][[0, 1, 2, 5]], expected, atol=0.006)


@pytest.mark.parametrize(("kind", "sign"), [("moons", 1), ("outliers", -1)])
def test_greg_prints_how_far_the_threshold_is(greg, kind, sign):
    text, output = greg
    detector, points = joblib.load(output / "detector.joblib"), _greg_points()[kind]
    found = points[detector.predict(points) == sign]
    axes = np.arange(-3.2, 4.2, 0.02), np.arange(-2.8, 3.3, 0.02)
    grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2).astype("float32")
    over = grid[detector.predict(grid) != sign]
    distance = np.median(KDTree(over).query(found)[0])
    # The next grid point over the line is a diagonal of the grid behind it at most.
    assert -0.006 <= distance - _greg_rows(text)[kind]["GReg 0.1"][3] <= 0.006 + 0.02 * np.sqrt(2)


def test_greg_prints_the_areas_of_attacked_points(greg):
    text, output = greg
    detector, points = joblib.load(output / "detector.joblib"), _greg_points()
    printed = _greg_areas(text)
    assert list(printed) == GREG_NAMES[:-1]
    for column, eps in enumerate((0.0, 0.1, 0.2)):
        scores = [
            detector.score_samples(_greg_attack(detector, x, eps, kind == "moons") if eps else x)
            for kind, x in points.items()
        ]
        expected = 100 * roc_auc_score(np.repeat([1, 0], 1000), np.concatenate(scores))
        np.testing.assert_allclose(printed["GReg 0.1"][column], expected, atol=0.006)


def test_greg_shows_flatter_ground_and_what_a_threshold_alone_does(greg):
    printed = _greg_rows(greg[0])
    for rows in printed.values():
        assert rows["GReg 0.1"][1] < rows["energy"][1]
    # One landscape, two thresholds: no side gains without the other's loss, or its tie.
    moons, outliers = (
        rows["energy, loosened"][0] - rows["energy"][0] for rows in printed.values()
    )
    assert moons != 0 and moons * outliers <= 0


def test_greg_fits_a_terminal_and_says_where_its_files_are(greg):
    text, output = greg
    assert max(map(len, text.splitlines())) <= 100
    assert [file.name for file in sorted(output.iterdir())] == ["detector.joblib", "greg.png"]
    for file in output.iterdir():
        assert f"greg_output/{file.name}" in text


def test_greg_saves_a_picture(greg):
    _check_picture(greg[1] / "greg.png")


def _woods_rows(text):
    """Return {(share, method): the printed row}, whose share is printed once."""
    printed, share = {}, None
    for words in (line.split() for line in text.splitlines()):
        share = words[0] if len(words) == 10 else share
        if len(words) in (9, 10) and words[-9] in ("plain", "energy", "WOODS"):
            printed[share, words[-9]] = np.array(words[-8:], dtype=float)
    return printed


def _as_rows(images):
    return images.reshape(len(images), -1).astype("float32") / 255


def test_woods_prints_what_the_saved_detector_does(woods):
    text, output = woods
    data = load_digits_ood()
    detector = joblib.load(output / "detector.joblib")
    X, outliers = _as_rows(data.X_test), {name: _as_rows(x) for name, x in data.ood.items()}
    report = ood_report(detector, X, outliers, y_in=data.y_test)
    accepted = [np.mean(detector.predict(x) == 1) for x in outliers.values()]
    expected = [
        np.mean(detector.predict(X) == -1), *accepted, np.mean(accepted),
        *report.loc["mean", ["fpr95", "accuracy"]],
    ]
    printed = _woods_rows(text)
    assert len(printed) == 7
    # Printed with one decimal; 0.06 leaves room for the last bit of a score.
    np.testing.assert_allclose(printed["50%", "WOODS"], 100 * np.array(expected), atol=0.06)


def test_woods_decides_by_its_own_threshold(woods):
    detector = joblib.load(woods[1] / "detector.joblib")
    X, last = _as_rows(load_digits_ood().X_test), detector.history_[-1]
    g = last["slope"] * detector.score_samples(X) + last["shift"]
    assert last["slope"] < 0
    np.testing.assert_array_equal(detector.predict(X), np.where(g > 0, -1, 1))


def test_woods_prints_what_the_constraint_counts(woods):
    text, output = woods
    last = joblib.load(output / "detector.joblib").history_[-1]
    counted = 100 * (last["false_alarms_violation"] + 0.05)
    assert f"50%: {counted:.1f} % (multiplier {last['false_alarms_multiplier']:.2f})" in text


def test_woods_fits_a_terminal_and_says_where_its_files_are(woods):
    text, output = woods
    assert max(map(len, text.splitlines())) <= 100
    assert [file.name for file in sorted(output.iterdir())] == ["detector.joblib", "woods.png"]
    for file in output.iterdir():
        assert f"woods_output/{file.name}" in text


def test_woods_saves_a_picture(woods):
    _check_picture(woods[1] / "woods.png")


def test_displays_print_the_rates_and_save_a_picture(displays):
    text, output = displays
    for name in SETS:
        assert re.search(rf"^{name} +AUROC +[\d.]+%   FPR95 +[\d.]+%$", text, re.MULTILINE)
    # 5 % of 193 digits kept back lie below the threshold: of 481 others 5 %, deviation 1.9 %.
    refused = re.search(r"^in-distribution +([\d.]+)% decided wrongly", text, re.MULTILINE)
    assert 1 < float(refused[1]) < 11
    assert [file.name for file in sorted(output.iterdir())] == ["displays.png"]
    assert "displays_output/displays.png" in text
    _check_picture(output / "displays.png")


UM_NAMES = ["start", "trained on", "UM, measured", "UM, chosen", "UMAP, measured", "UMAP, chosen"]


def _um_rows(text):
    """Return {detector: level, loss, by heart, held-out, the sets, mean, AUROC, right}."""
    rows = (line.split("  ", maxsplit=1) for line in text.splitlines() if "  " in line)
    return {name: np.array(row.split()) for name, row in rows if name and len(row.split()) == 11}


def test_um_prints_what_the_saved_detector_does(unleashing_mask):
    text, output = unleashing_mask
    data = load_digits_ood()
    detector = joblib.load(output / "detector.joblib")
    report = ood_report(
        detector, _as_rows(data.X_test), {name: _as_rows(x) for name, x in data.ood.items()},
        y_in=data.y_test,
    )
    printed = _um_rows(text)
    assert list(printed)[:6] == UM_NAMES and list(printed)[6].startswith("stopped at ")
    expected = [*report.fpr95, *report.loc["mean", ["auroc", "accuracy"]]]
    # Printed with one decimal; 0.06 leaves room for the last bit of a score.
    row = printed["UM, chosen"].astype(float)
    np.testing.assert_allclose(row[4:], 100 * np.array(expected, dtype=float), atol=0.06)
    last = detector.history_[-1]
    assert (detector.level_, last["ood_fpr95"]) == pytest.approx((row[0], row[3] / 100), abs=6e-4)
    assert (last["train_loss"], last["by_heart"]) == pytest.approx((row[1], row[2] / 100), abs=6e-3)


def test_um_measures_the_right_labels_of_digits_that_it_is_not_trained_on(unleashing_mask):
    (stage,) = joblib.load(unleashing_mask[1] / "detector.joblib").callbacks
    data = load_digits_ood()
    rows = {row.tobytes(): label for row, label in
            zip(_as_rows(data.X_train), data.y_train, strict=True)}
    assert [rows[row.tobytes()] for row in stage.X_in] == stage.y_in.tolist()
    assert len(stage.X_in) == 200
    np.testing.assert_array_equal(stage.X_ood, _as_rows(data.X_val_ood))


def test_um_chooses_by_held_out_outliers(unleashing_mask):
    text, output = unleashing_mask
    printed, chosen = _um_rows(text), joblib.load(output / "detector.joblib")
    assert chosen.level in (0.2, 0.4, 0.6, 0.8)
    assert printed["trained on"][0] == "0.00" and printed["start"][0] == "-"
    first, last = (line for line in text.splitlines() if line.startswith("After epoch"))
    middle = int(re.match(r"After epoch (\d+):", first)[1])
    assert f"stopped at {middle}" in printed and last.startswith("After epoch 8:")
    held_out = [float(re.search(r"outliers ([\d.]+) %", line)[1]) for line in (first, last)]
    assert held_out[0] <= held_out[1] == float(printed["start"][3])


def test_um_fits_a_terminal_and_says_where_its_files_are(unleashing_mask):
    text, output = unleashing_mask
    assert max(map(len, text.splitlines())) <= 100
    files = [file.name for file in sorted(output.iterdir())]
    assert files == ["detector.joblib", "unleashing_mask.png"]
    for file in output.iterdir():
        assert f"unleashing_mask_output/{file.name}" in text


def test_um_saves_a_picture(unleashing_mask):
    _check_picture(unleashing_mask[1] / "unleashing_mask.png")


def _conformal_rows(text):
    """Return {promised: the six shares refused} and {promised: the three of the draws}."""
    rows = [line.split() for line in text.splitlines()]
    rows = [row for row in rows if row and row[0] in ("1", "5", "10")]
    return ({row[0]: np.array(row[1:], float) for row in rows if len(row) == n} for n in (7, 4))


def test_conformal_prints_what_the_saved_detector_does(conformal):
    text, output = conformal
    data = load_digits_ood()
    detector = joblib.load(output / "detector.joblib")
    shares, _ = _conformal_rows(text)
    for promised, row in shares.items():
        p_values = [
            detector.p_values(X) for X in (data.X_test, np.concatenate(list(data.ood.values())))
        ]
        refused = [100 * np.mean(p <= int(promised) / 100) for p in p_values]
        # Printed with one decimal; 0.06 leaves room for the last bit of a score.
        np.testing.assert_allclose(row[[1, 4]], refused, atol=0.06)


def test_conformal_shows_a_promise_that_is_kept(conformal):
    shares, draws = _conformal_rows(conformal[0])
    assert list(shares) == list(draws) == ["1", "5", "10"]
    for promised, k in {"1": 2, "5": 12, "10": 24}.items():
        # Over all draws of 240 from one pool of images k / 241; the law is that of a draw.
        error = 400 * betabinom(241, k, 241 - k).std() / 241 / np.sqrt(1000)
        assert abs(draws[promised][0] - 100 * k / 241) <= error + 0.05
        assert draws[promised][1] < int(promised) < draws[promised][2]
        assert shares[promised][0] > shares[promised][1]


def test_conformal_fits_a_terminal_and_says_where_its_files_are(conformal):
    text, output = conformal
    assert max(map(len, text.splitlines())) <= 100
    assert [file.name for file in sorted(output.iterdir())] == ["conformal.png", "detector.joblib"]
    for file in output.iterdir():
        assert f"conformal_output/{file.name}" in text


def test_conformal_saves_a_picture(conformal):
    _check_picture(conformal[1] / "conformal.png")


POSTHOC_KINDS = ["digits 0 to 7", *SETS]


def _posthoc_rows(text, n):
    """Return {first column: the last n numbers} of the rows that end in so many."""
    rows = (re.split(r"\s{2,}", line.strip()) for line in text.splitlines())
    rows = [row for row in rows if len(row) > n and re.fullmatch(r"[\d.]+", row[-n])]
    return {row[0]: np.array(row[-n:], dtype=float) for row in rows}


def test_posthoc_prints_what_the_saved_detector_does(posthoc):
    text, output = posthoc
    data = load_digits_ood()
    detector = joblib.load(output / "detector.joblib")
    report = ood_report(detector, data.X_test, data.ood).loc[SETS, "auroc"]
    printed = _posthoc_rows(text, 5)["Mahalanobis"]
    # Printed with one decimal; 0.06 leaves room for the last bit of a score.
    np.testing.assert_allclose(printed[:-1], 100 * report.astype(float), atol=0.06)
    np.testing.assert_allclose(printed[-1], 100 * report.mean(), atol=0.06)
    refused = _posthoc_rows(text, 4)
    for kind, images in {"digits 0 to 7": data.X_test, **data.ood}.items():
        share = 100 * np.mean(detector.predict(images) == -1)
        np.testing.assert_allclose(refused[kind][1] + refused[kind][2], share, atol=0.11)


def test_posthoc_prints_every_score_once_the_best_on_top(posthoc):
    rows = _posthoc_rows(posthoc[0], 5)
    assert len(rows) == 24
    means = [row[-1] for row in rows.values()]
    assert means == sorted(means, reverse=True)
    refused = {k: row for k, row in _posthoc_rows(posthoc[0], 4).items() if k in POSTHOC_KINDS}
    assert list(refused) == POSTHOC_KINDS
    np.testing.assert_allclose([row.sum() for row in refused.values()], 100, atol=0.25)


def test_posthoc_fits_a_terminal_and_says_where_its_files_are(posthoc):
    text, output = posthoc
    assert max(map(len, text.splitlines())) <= 100
    assert [file.name for file in sorted(output.iterdir())] == ["detector.joblib", "posthoc.png"]
    for file in output.iterdir():
        assert f"posthoc_output/{file.name}" in text


def test_posthoc_saves_a_picture(posthoc):
    _check_picture(posthoc[1] / "posthoc.png")


def test_a_plain_classifier_is_sure_far_away_until_it_is_trained_against_outliers(concepts):
    rows = re.findall(r"^ +far +([\d.]+)% taken for known, AUROC ([\d.]+)%", concepts[0], re.M)
    (plain_passed, plain_auroc), (passed, auroc) = [map(float, row) for row in rows]
    assert plain_passed > 50 > plain_auroc
    assert passed < 5 and auroc > 95


def test_two_fpr95s_tell_opposite_stories(two_fpr95):
    values = [float(value) for value in re.findall(r"FPR95 ([\d.]+)%", two_fpr95[0])]
    as_id, as_ood, other_as_id, other_as_ood = values
    assert as_id < other_as_id and as_ood > 5 * other_as_ood


def test_table_says_what_each_detector_finds(table):
    rows = dict(re.findall(r"^(the third grower|one measurement off) +([\d. ]+)$", table[0], re.M))
    _, forest, factor = map(float, rows["the third grower"].split())
    assert forest > factor  # as the example says
    _, forest, factor = map(float, rows["one measurement off"].split())
    assert forest < factor - 0.1


def test_overlap_finds_what_was_planted(overlap):
    found, mistaken = re.search(r"([\d.]+)% are found, .* ([\d.]+)% are taken", overlap[0]).groups()
    assert float(found) == 100 and float(mistaken) < 0.1
