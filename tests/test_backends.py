"""Searches and scoring in other processes: the same numbers, whichever engine runs them."""

import importlib.util
from contextlib import contextmanager

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from skood import ATOMDetector, OutlierExposureDetector
from skood.model_selection import OODScorer

BACKENDS = ["loky", "dask", "ray"]


@pytest.fixture(scope="module")
def outliers():
    return np.random.default_rng(1).uniform(-6, 6, size=(200, 4)).astype(np.float32)


def searched(table, outliers):
    X, y, X_ood = table
    detector = ATOMDetector(max_epochs=2, n_steps=2, module__hidden=(8,), random_state=0)
    search = GridSearchCV(
        detector, {"beta": [0.5, 1.0], "optimizer__weight_decay": [0, 0.1]},
        scoring=OODScorer(X_ood), refit="auroc", cv=StratifiedKFold(2), n_jobs=2,
    )
    return search.fit(X, y, X_aux=(outliers,))


@pytest.fixture(scope="module")
def sequential(table, outliers):
    with joblib.parallel_config("sequential"):
        return searched(table, outliers)


@contextmanager
def engine(name):
    """Two processes of an engine, as its users start them."""
    if importlib.util.find_spec(name) is None and name != "loky":
        extra = "ray" if name == "ray" else "distributed"
        pytest.skip(f"the extra '{extra}' is not installed")
    if name == "dask":
        from dask.distributed import Client, LocalCluster

        local = {"processes": True, "threads_per_worker": 1, "dashboard_address": None}
        with LocalCluster(n_workers=2, **local) as cluster, Client(cluster):
            yield
    elif name == "ray":
        import ray
        from ray.util.joblib import register_ray

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        try:
            register_ray()
            yield
        finally:
            ray.shutdown()
    else:
        yield


def plain(results):
    """Return ``cv_results_`` without its times."""
    return {k: np.asarray(v).tolist() for k, v in results.items() if not k.endswith("_time")}


@pytest.mark.parametrize("name", BACKENDS)
def test_a_search_finds_the_same_on_every_engine(name, table, outliers, sequential):
    with engine(name), joblib.parallel_config(name):
        search = searched(table, outliers)
    assert plain(search.cv_results_) == plain(sequential.cv_results_)
    assert search.best_params_ == sequential.best_params_
    for X in (table[0], outliers):
        np.testing.assert_array_equal(search.score_samples(X), sequential.score_samples(X))


@pytest.fixture(scope="module")
def detector(table, outliers):
    X, y, _ = table
    return OutlierExposureDetector(max_epochs=2, random_state=0).fit(X, y, X_aux=(outliers,))


@pytest.mark.parametrize("n_rows", [1, 33, 1000])
def test_dask_scores_an_array_in_blocks_bit_for_bit(n_rows, detector):
    da = pytest.importorskip("dask.array", reason="the extra 'distributed' is not installed")
    X = np.random.default_rng(2).uniform(-6, 6, size=(1001, 4)).astype(np.float32)
    blocks = da.from_array(X, chunks=(n_rows, -1))
    scores = blocks.map_blocks(
        detector.score_samples, drop_axis=1, dtype=np.float64, meta=np.empty(0)
    )
    np.testing.assert_array_equal(scores.compute(), detector.score_samples(X))


def scored_by_dask(detector, X):
    import dask.array as da

    blocks = da.from_array(X, chunks=(100, -1))
    meta = {"drop_axis": 1, "dtype": np.float64, "meta": np.empty(0)}
    return blocks.map_blocks(detector.score_samples, **meta).compute()


def scored_by_ray(detector, X):
    import ray

    scored = ray.remote(lambda detector, block: detector.score_samples(block))
    shared = ray.put(detector)
    return np.concatenate(ray.get([scored.remote(shared, X[i : i + 100]) for i in (0, 100, 200)]))


@pytest.mark.parametrize("scored", [scored_by_dask, scored_by_ray])
def test_processes_score_an_array_in_blocks_bit_for_bit(scored, detector):
    X = np.random.default_rng(2).uniform(-6, 6, size=(250, 4)).astype(np.float32)
    with engine(scored.__name__.removeprefix("scored_by_")):
        scores = scored(detector, X)
    np.testing.assert_array_equal(scores, detector.score_samples(X))
