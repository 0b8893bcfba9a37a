"""Time a search and scoring in blocks on loky, dask and ray, and see that the results agree.

    OMP_NUM_THREADS=1 python benchmarks/backends.py --write

It needs the extras ``distributed`` and ``ray``.
"""

import argparse
import importlib.metadata
import time
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from skood import ATOMDetector
from skood.datasets import load_digits_ood
from skood.model_selection import OODScorer

RESULTS = Path(__file__).parent / "results" / "backends.md"
N_FITTED, N_SCORED, N_BLOCK = 400, 50_000, 5_000


@contextmanager
def plain():
    yield lambda detector, X: detector.score_samples(X)


@contextmanager
def dask():
    import dask.array as da
    from dask.distributed import Client, LocalCluster

    def scored(detector, X):
        blocks = da.from_array(X, chunks=(N_BLOCK, *X.shape[1:]))
        kind = {"drop_axis": tuple(range(1, X.ndim)), "dtype": float, "meta": np.empty(0)}
        return blocks.map_blocks(detector.score_samples, **kind).compute()

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster):
            yield scored


@contextmanager
def ray():
    import ray
    from ray.util.joblib import register_ray

    def scored(detector, X):
        task, shared = ray.remote(lambda detector, X: detector.score_samples(X)), ray.put(detector)
        blocks = np.array_split(X, len(X) // N_BLOCK)
        return np.concatenate(ray.get([task.remote(shared, block) for block in blocks]))

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    register_ray()
    try:
        yield scored
    finally:
        ray.shutdown()


ENGINES = {"sequential": plain, "loky": plain, "dask": dask, "ray": ray}


def searched(digits):
    search = GridSearchCV(
        ATOMDetector(max_epochs=1, random_state=0),
        {"beta": [0.5, 1.0], "quantile": [0.0, 0.125]},
        scoring=OODScorer(digits.X_val_ood), refit="auroc", cv=StratifiedKFold(2), n_jobs=2,
    )
    X, y = digits.X_train[:N_FITTED], digits.y_train[:N_FITTED]
    return search.fit(X, y, X_aux=(digits.X_aux,))


def without_times(search):
    return {
        k: np.asarray(v).tolist() for k, v in search.cv_results_.items() if not k.endswith("_time")
    }


def timed(call, *args):
    start = time.perf_counter()
    return call(*args), time.perf_counter() - start


def measure(name, digits, X):
    """Return the search, the scores, and the seconds of all three steps."""
    start = time.perf_counter()
    with ENGINES[name]() as score, joblib.parallel_config(name):
        ready = time.perf_counter() - start
        search, of_search = timed(searched, digits)
        scores, of_scores = timed(score, search.best_estimator_, X)
    return search, scores, (ready, of_search, of_scores)


def table():
    digits = load_digits_ood()
    X = np.resize(digits.X_train, (N_SCORED, *digits.X_train.shape[1:]))
    lines = [
        "| engine | starting | search | scoring | results of the search | scores |",
        "|---|---|---|---|---|---|",
    ]
    reference = None
    for name in ENGINES:
        search, scores, seconds = measure(name, digits, X)
        reference = reference or (without_times(search), search.best_params_, scores)
        same = without_times(search) == reference[0] and search.best_params_ == reference[1]
        verdicts = ["equal" if each else "DIFFERENT" for each in (
            same, np.array_equal(scores, reference[2])
        )]
        times = [f"{each:.1f}" for each in seconds]
        lines.append(f"| {' | '.join([name, *times, *verdicts])} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"record in {RESULTS.name}")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = ("torch", "scikit-learn", "joblib", "dask", "distributed", "ray")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    text = "\n".join([
        "# Searches and scoring on several engines",
        "",
        "Command: `OMP_NUM_THREADS=1 python benchmarks/backends.py --write`",
        f"Versions: {versions}.",
        "Wall-clock seconds of two processes on two cores, other jobs running. The search: ATOM on",
        f"{N_FITTED} embedded digits, 4 candidates, 2 folds and the last fit. Scoring:",
        f"{N_SCORED:,} images of 8x8, in blocks of {N_BLOCK:,}",
        "on dask and ray. Equal: to the last bit, to what the sequential engine gives.",
        "",
        *table(),
        "",
        "Starting is that of the engine's processes; their import of torch counts to the search.",
        "",
    ])
    print(text)
    if arguments.write:
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
