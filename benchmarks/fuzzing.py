"""Run ten thousand random cases of tests/fuzzing/ over all detectors.

    OMP_NUM_THREADS=1 python benchmarks/fuzzing.py --jobs 2 --write   # in results/fuzzing.md

A case is a detector, data, a change of a parameter and up to six calls in some order, any of them
plain or odd. A call must give a result in its documented range, or an error that says what is
wrong; whatever else comes is counted as a failure and shown. `--start` goes on where a run stopped.
The cases are drawn from the same seeds with any number of `--jobs`.
"""

import argparse
import collections
import platform
import sys
import time
import traceback
from pathlib import Path

import hypothesis
import sklearn
import torch
from harness import processor
from hypothesis import HealthCheck, Phase, given, seed, settings
from joblib import Parallel, delayed
from tqdm import tqdm

import skood

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests import fuzzing  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "fuzzing.md"
ROUND = 10  # cases that are drawn from one seed


def run_round(number):
    """Run some cases of a detector; return its name, how calls ended, and what failed."""
    torch.set_num_threads(1)
    name = [*fuzzing.INSTANCES][number % len(fuzzing.INSTANCES)]
    counts, failures = collections.Counter(), []

    @seed(number)
    @settings(
        max_examples=ROUND, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(fuzzing.cases(names=(name,)))
    def check(case):
        counts["cases"] += 1
        try:
            counts.update(fuzzing.run(case))
        except AssertionError:
            failures.append(f"{case}\n{traceback.format_exc()}")

    check()
    return name, counts, failures


def record(n_cases, start, jobs):
    """Return the text of the record, and what failed."""
    rounds = range(start // ROUND, n_cases // ROUND)
    ended = Parallel(n_jobs=jobs, return_as="generator")(map(delayed(run_round), rounds))
    by_name, failures, begin = collections.defaultdict(collections.Counter), [], time.perf_counter()
    for name, counts, failed in tqdm(ended, total=len(rounds), unit=f" x {ROUND} cases"):
        by_name[name] += counts
        failures += failed
        if failed:
            print("", *failed, sep="\n", file=sys.stderr)
    total = sum(by_name.values(), collections.Counter())
    versions = ", ".join(
        f"{package.__name__} {package.__version__}"
        for package in (skood, sklearn, torch, hypothesis)
    )
    rows = [
        f"| {name} | {c['cases']} | {c['results']} | {c['errors']} |" for name, c in by_name.items()
    ]
    return "\n".join([
        "# Random data, parameters and orders of calls", "",
        f"Command: `OMP_NUM_THREADS=1 python benchmarks/fuzzing.py --jobs {jobs} --write`",
        f"Machine: {processor()}; {jobs} processes. Python "
        f"{platform.python_version()}, {versions}.",
        f"Time: {(time.perf_counter() - begin) / 60:.0f} minutes.", "",
        f"{total['cases']} cases, {total['results']} calls with a result in its range, "
        f"{total['errors']} with an error that says what is wrong, **{len(failures)} failures**.",
        "", "| detector | cases | results | errors |", "|---|---|---|---|", *rows, "",
    ]), failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000, help="(default: 10000)")
    parser.add_argument("--start", type=int, default=0, help="the first of them that is run")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--write", action="store_true", help=f"record in {RESULTS.name}")
    arguments = parser.parse_args()
    text, failures = record(arguments.cases, arguments.start, arguments.jobs)
    print(text)
    if arguments.write:
        RESULTS.write_text(text)
    if failures:
        raise SystemExit(f"{len(failures)} failures")


if __name__ == "__main__":
    main()
