"""The tables of results: what was measured is not measured again."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

HARNESS = Path(__file__).parents[1] / "benchmarks" / "harness.py"
SETTINGS = [{"network": name, "seed": seed} for name in ("plain", "OE") for seed in (0, 1)]


@pytest.fixture(scope="module")
def harness():
    spec = importlib.util.spec_from_file_location("harness", HARNESS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(network, seed):
    score = 0.5 + 0.1 * seed + 0.2 * (network == "OE")
    return pd.DataFrame({
        "method": network, "set": ["letters", "textures"], "auroc": [score, score + 0.05],
        "fpr95": 0.5, "accuracy": 0.9, "cpu_s": 60.0,
    })


def test_a_run_that_was_interrupted_goes_on_where_it_stopped(harness, tmp_path):
    calls, path = [], tmp_path / "results.csv"

    def measure(network, seed):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append((network, seed))
        return rows(network, seed)

    with pytest.raises(KeyboardInterrupt):
        harness.measure_all(measure, SETTINGS, path)
    kept = harness.read(path)
    calls_before, calls[:] = list(calls), []
    found = harness.measure_all(
        lambda **setting: calls.append((setting["network"], setting["seed"])) or rows(**setting),
        SETTINGS, path,
    )
    assert calls_before + calls == [(each["network"], each["seed"]) for each in SETTINGS]
    pd.testing.assert_frame_equal(found[: len(kept)], kept)
    assert len(found) == 8


def test_a_table_has_the_best_first_and_the_spread_over_seeds(harness):
    measured = pd.concat([rows(**each).assign(seed=each["seed"]) for each in SETTINGS])
    lines = harness.ranking(measured, ["letters", "textures"]).splitlines()
    assert lines[2] == "| OE | 75.0 | 80.0 | **77.5 ± 7.1** | 50.0 ± 0.0 | 90.0 ± 0.0 | 60 |"
    assert lines[3].startswith("| plain | 55.0 | 60.0 | **57.5 ± 7.1** |")


def test_seconds_of_a_training_count_once(harness):
    measured = pd.concat([rows(**each).assign(**each) for each in SETTINGS])
    text = harness.provenance("python benchmarks/x.py", measured.assign(environment="here"))
    assert "4 CPU minutes" in text


def test_where_rows_were_measured_stays_with_them(harness, tmp_path):
    path = tmp_path / "results.csv"
    rows("plain", 0).assign(network="plain", seed=0, environment="elsewhere").to_csv(
        path, index=False
    )
    found = harness.measure_all(rows, SETTINGS[:2], path)
    text = harness.provenance("python benchmarks/x.py", found)
    assert f"Machine: elsewhere and {harness.environment()}." in text
    assert [file.name for file in tmp_path.iterdir()] == ["results.csv"]


def test_what_trains_and_does_not_help_is_named(harness):
    names = [harness.CONTROL, "OE", "forgetful", "worse"]
    measured = pd.DataFrame({
        "method": names, "auroc": [0.6, 0.7, 0.8, 0.5], "accuracy": [0.9, 0.86, 0.84, 0.9],
    })
    text = harness.beside_control(measured, [*names, "not measured"])
    assert text.splitlines() == [
        "Trained methods below the control (its score: largest logit): worse.",
        "More than 5 points of accuracy lost: forgetful.",
    ]
