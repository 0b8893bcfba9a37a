"""What the tables of results share: rows kept as they are measured, and the words around them."""

import argparse
import platform
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
import torch
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning

import skood
from skood.metrics import auroc, fpr95

RESULTS = Path(__file__).parent / "results"
SETTING = ("data", "problem", "network", "seed", "lr")  # what tells one training from another
CONTROL = "cross-entropy, as long"  # the method that trains on without outliers


def processor():
    """Return the processor's name, of Linux and of others."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def environment():
    """Return what a run is measured on, and with."""
    return (
        f"{processor()}, one thread a job; Python {platform.python_version()}, skood "
        f"{skood.__version__}, torch {torch.__version__}, scikit-learn {sklearn.__version__}"
    )


def provenance(command, rows):
    """Return where numbers come from: the command, the machines, versions, seeds and time."""
    runs = rows.drop_duplicates([name for name in SETTING if name in rows])
    seeds, minutes = ", ".join(map(str, sorted(set(rows.seed)))), runs.cpu_s.sum() / 60
    return (
        f"Command: `{command}`.\nMachine: {' and '.join(rows.environment.unique())}.\n"
        f"Seeds: {seeds}; {minutes:.{0 if minutes > 2 else 1}f} CPU minutes of training, for the "
        "rows shown."
    )


def read(path):
    """Return the rows measured so far."""
    return pd.read_csv(path) if path.exists() else pd.DataFrame()


def measure_all(measure, settings, path, jobs=1):
    """Call ``measure(**setting)`` where the file has no rows of it; keep its rows as they come.

    ``measure`` returns a frame. An interrupted run goes on where it stopped.
    """
    missing = [setting for setting in settings if not _rows_of(read(path), setting)]
    runs = Parallel(n_jobs=jobs, return_as="generator_unordered")(
        delayed(_run)(measure, setting) for setting in missing
    )
    for done, (setting, new) in enumerate(runs, start=1):
        _write(pd.concat([read(path), new.assign(**setting)]), path)
        print(f"{done} of {len(missing)}: {setting}", flush=True)
    return read(path)


def main(description, name, measure, settings, page):
    """Measure what is missing of a record, by the options of the command, and write its page."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    options = parser.parse_args()
    path = RESULTS / f"{name}.csv"
    if options.fresh:
        path.unlink(missing_ok=True)
    text = page(measure_all(measure, settings, path, options.jobs))
    path.with_suffix(".md").write_text(text)
    print(text)


def _write(rows, path):
    """Write the file whole or not at all."""
    part = path.with_suffix(".part")
    rows.to_csv(part, index=False, float_format="%.6g")
    part.replace(path)


def _run(measure, setting):
    torch.set_num_threads(1)
    return setting, measure(**setting).assign(environment=environment())


def _rows_of(rows, setting):
    if rows.empty:
        return False
    return rows[list(setting)].eq(pd.Series(setting)).all(axis=1).any()


def timed(detector, *args, **kwargs):
    """Fit a detector; return it and the CPU seconds that it took."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        detector.fit(*args, **kwargs)
    return detector, time.process_time() - start


def judge(fitted, X_in, sets, accuracy=np.nan):
    """Return a row for each detector and set of outliers, both by name."""
    scores_in = skood.score_many([*fitted.values()], X_in)
    rows = []
    for name, X in sets.items():
        scores_out = skood.score_many([*fitted.values()], X)
        truth = np.repeat([1, -1], [len(X_in), len(X)])
        for method, one, other in zip(fitted, scores_in, scores_out, strict=True):
            joint = np.concatenate([one, other])
            rows.append({
                "method": method, "set": name, "auroc": auroc(truth, joint),
                "fpr95": fpr95(truth, joint), "accuracy": accuracy,
            })
    return rows


def chosen_rates(rows):
    """Return, for each network, the rate that outliers held out to choose by prefer; the means."""
    rows = rows[rows.set.str.startswith("held out")]
    means = rows.groupby(["network", "lr"]).auroc.mean().unstack()
    return means.idxmax(axis=1).to_dict(), means


def with_chosen_rates(rows, plain_lr):
    """Return the rows of test sets, of each method with the rate that was chosen for it."""
    rates, _ = chosen_rates(rows)
    test = rows[~rows.set.str.startswith("held out")]
    return test[test.lr.eq(test.network.map(rates).fillna(plain_lr))]


def table_of_rates(rates, means):
    """Return the choice of `chosen_rates` as a Markdown table."""
    return markdown(
        ["method", *(f"{lr:g}" for lr in means.columns), "chosen"],
        [[name, *(f"{100 * v:.2f}" for v in line), f"{rates[name]:g}"]
         for name, line in zip(means.index, means.to_numpy(), strict=True)],
    )


def percent(values):
    """Mean ± standard deviation over the seeds, a dash where nothing was measured."""
    if values.isna().all():
        return "–"
    spread = f" ± {100 * values.std():.1f}" if len(values) > 1 else ""
    return f"{100 * values.mean():.1f}{spread}"


def markdown(header, lines):
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def composition(aux):
    """Return how many crops of each package an auxiliary set has."""
    return ", ".join(f"{name} {part['crops']:,}" for name, part in aux.composition.items())


def ranking(rows, sets, metric="auroc"):
    """Return a table of methods, best first: each set's mean, then the mean of sets over seeds."""
    means = rows.groupby(["method", "set"])[metric].mean().unstack()[sets]
    of_seeds = rows[rows.set.isin(sets)].groupby(["method", "seed"])[[metric, "fpr95"]].mean()
    accuracy = rows.groupby(["method", "seed"]).accuracy.mean()
    order = of_seeds[metric].groupby("method").mean().sort_values(ascending=False).index
    return markdown(
        ["method", *sets, "**AUROC, mean**", "FPR95, mean", "accuracy", "CPU s"],
        [
            [
                method, *(f"{100 * value:.1f}" for value in means.loc[method]),
                f"**{percent(of_seeds[metric][method])}**", percent(of_seeds.fpr95[method]),
                percent(accuracy[method]), f"{rows[rows.method == method].cpu_s.mean():.0f}",
            ]
            for method in order
        ],
    )


def below_control(rows, trained):
    """Return the trained methods with a lower AUROC than the control's, and the forgetful ones."""
    mean = rows.groupby("method")[["auroc", "accuracy"]].mean()
    change = mean.loc[[name for name in trained if name in mean.index]] - mean.loc[CONTROL]
    return [*change.index[change.auroc < 0]], [*change.index[change.accuracy < -0.05]]


def beside_control(rows, trained):
    """Say in two lines which trained methods did not help, or made the network forget."""
    below, forgetful = (", ".join(names) or "none" for names in below_control(rows, trained))
    return f"""\
Trained methods below the control (its score: largest logit): {below}.
More than 5 points of accuracy lost: {forgetful}.
"""
