"""What may be called, in any order, and what each call must give."""

import copy
import pickle
from numbers import Integral

import joblib
import numpy as np
from sklearn.base import clone

from .data import length
from .errors import ON_PURPOSE
from .parameters import change, restore
from .world import World, check_same_scores, check_scores


def score_samples(world):
    scores = world.detector.score_samples(world.asked)
    check_scores(world.detector, scores, length(world.asked))
    if hasattr(world.asked, "columns") and hasattr(world.detector, "feature_names_in_"):
        assert list(world.asked.columns) == list(world.detector.feature_names_in_)


def decision_function(world):
    decided = world.detector.decision_function(world.asked)
    assert decided.shape == (length(world.asked),)
    if np.ndim(world.detector.offset_) == 0:  # else it is that of the predicted class
        scores = world.detector.score_samples(world.asked)
        np.testing.assert_array_equal(decided, scores - world.detector.offset_)


def predict(world):
    decided = world.detector.predict(world.asked)
    assert decided.shape == (length(world.asked),)
    at_least_0 = world.detector.decision_function(world.asked) >= 0
    np.testing.assert_array_equal(decided, np.where(at_least_0, 1, -1))


def predict_proba(world):
    p = world.detector.predict_proba(world.asked)
    assert p.shape == (length(world.asked), len(world.detector.classes_))
    assert ((p >= 0) & (p <= 1)).all()
    np.testing.assert_allclose(p.sum(axis=1), 1)


def predict_class(world):
    named = world.detector.predict_class(world.asked)
    assert named.shape == (length(world.asked),)
    likeliest = world.detector.predict_proba(world.asked).max(axis=1)
    place = np.searchsorted(world.detector.classes_, named)
    p = world.detector.predict_proba(world.asked)[np.arange(len(named)), place]
    np.testing.assert_array_equal(p, likeliest)


def fit_predict(world):
    decided = world.detector.fit_predict(**world.given())
    assert set(decided) <= {1, -1}


def fit_clone(world):
    world.fit()
    if _is_seeded(world.detector):
        check_same_scores(world, clone(world.detector).fit(**world.given()))


def _is_seeded(detector):
    """Whether two fits of it are to be the same; a change may have taken a seed away."""
    params = detector.get_params().items()
    seeds = [value for name, value in params if name.endswith("random_state")]
    return all(isinstance(seed, Integral) for seed in seeds)


def set_params(world):
    params = world.detector.get_params()
    change(world.detector, world.change, world.folder)
    try:
        world.fit()
    except (*ON_PURPOSE, ImportError):
        restore(world.detector, world.change, params)
        raise


def cloned(world):
    world.detector = clone(world.detector)
    assert not world.is_fitted


def _replace(world, other):
    """Go on with a copy."""
    if world.is_fitted:
        check_same_scores(world, other)
    assert repr(other.get_params().keys()) == repr(world.detector.get_params().keys())
    world.detector = other


def pickled(world):
    _replace(world, pickle.loads(pickle.dumps(world.detector)))


def copied(world):
    _replace(world, copy.deepcopy(world.detector))


def _stored(world):
    # Each in a file of its own: an earlier one may be mapped, and must not be written over.
    path = world.folder / f"{len(list(world.folder.iterdir()))}.joblib"
    joblib.dump(world.detector, path)
    return path


def loaded(world):
    _replace(world, joblib.load(_stored(world)))


def mapped(world):
    _replace(world, joblib.load(_stored(world), mmap_mode="r"))


def weights(world):
    path = world.folder / "weights"
    world.detector.save_weights(path)
    _replace(world, clone(world.detector).load_weights(path))


def resumed(world):
    names = {"checkpoint", "estimator__checkpoint"} & world.detector.get_params().keys()
    for name in names:
        before = world.detector.get_params()[name]
        world.detector.set_params(**{name: world.folder / "fit"})
        try:
            world.fit(resume=True)
            if _is_seeded(world.detector):
                again = clone(world.detector).fit(**world.given(), resume=True)
                check_same_scores(world, again)
        finally:
            world.detector.set_params(**{name: before})


def p_values(world):
    p = world.detector.p_values(world.asked)
    assert p.dtype == np.float64 and p.shape == (length(world.asked),)
    assert ((p > 0) & (p <= 1)).all()
    refused = world.detector.predict(world.asked) == -1
    np.testing.assert_array_equal(refused, p <= world.detector.alpha)


def select(world):
    selected = world.detector.select(world.asked, q=0.3)
    assert selected.dtype == bool and selected.shape == (length(world.asked),)


def recalibrate(world):
    before = world.detector.score_samples(world.probe) if world.is_fitted else None
    world.detector.recalibrate(world.data[1]["X"], world.data[1]["y"])
    np.testing.assert_array_equal(world.detector.score_samples(world.probe), before)
    p = world.detector.p_values(world.probe)
    assert ((p > 0) & (p <= 1)).all()


CALLS = {
    "fit": World.fit,
    "fit on other data": lambda world: world.fit(1),
    "fit_predict": fit_predict,
    "fit a clone": fit_clone,
    "score_samples": score_samples,
    "decision_function": decision_function,
    "predict": predict,
    "predict_proba": predict_proba,
    "predict_class": predict_class,
    "set_params": set_params,
    "clone": cloned,
    "pickle": pickled,
    "deepcopy": copied,
    "joblib": loaded,
    "joblib, mapped": mapped,
    "weights": weights,
    "resume": resumed,
    "repr": lambda world: repr(world.detector),
}
OF_CALIBRATED = {"p_values": p_values, "select": select, "recalibrate": recalibrate}
