"""Where the network comes from that a detector reads, how often it is run, and how it is kept."""

import pickle
import warnings
from copy import deepcopy

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import NearestNeighbors
from skorch import NeuralNetClassifier
from torch import nn

import skood
from skood.model_selection import OODScorer
from skood.nn import MLP
from skood.posthoc import Classifier, base, gram

from .instances import make_reading
from .networks import Counting

# ---- where the network comes from


def test_a_trained_network_is_read_and_left_as_it_was(table, net):
    X, y, _ = table
    own = MLP((4,), 3, dropout=0.5).train()
    before = {name: value.clone() for name, value in own.state_dict().items()}
    for make in make_reading().values():
        detector = make.set_params(estimator=own)
        layer = detector.get_params().get("feature_layer")
        detector.fit(X, y).score_samples(X)
        assert detector.module_ is own, layer
    assert all(module.training for module in own.modules())
    assert all(p.requires_grad and p.grad is None for p in own.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in own.modules())
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())


@pytest.mark.parametrize("change", [{"lr": -1}, {"optimizer": {}}, {"contamination": 2}])
def test_parameters_of_an_estimator_are_checked_in_its_own_fit(table, change):
    X, y, _ = table
    with pytest.raises(ValueError, match=f"The '{[*change][0]}' parameter of Classifier"):
        skood.MSPDetector(Classifier(max_epochs=1, **change)).fit(X, y)


class Normalising(nn.Module):
    def __init__(self, input_shape=(4,), n_outputs=3):
        super().__init__()
        self.norm = nn.BatchNorm1d(input_shape[0])
        self.body = nn.Linear(input_shape[0], 8)
        self.head = nn.Linear(8, n_outputs)

    def forward(self, x):
        return self.head(self.body(self.norm(x)).relu())


@pytest.mark.parametrize("name", make_reading())
def test_batch_mates_and_training_mode_make_no_difference(table, name):
    X, y, A = table
    own = Normalising().train()
    detector = make_reading()[name].set_params(estimator=own)
    if "feature_layer" in detector.get_params():
        detector.set_params(feature_layer=None)
    scores = detector.fit(X, y).score_samples(A)
    alone = np.concatenate([detector.score_samples(row[None]) for row in A[:9]])
    np.testing.assert_allclose(alone, scores[:9], rtol=1e-7)
    assert own.norm.num_batches_tracked == 0


def test_a_detector_is_fitted_and_a_frozen_one_is_read(table):
    X, y, A = table
    energy = skood.EnergyExposureDetector(max_epochs=2, random_state=0)
    fitted = skood.MSPDetector(energy).fit(X, y, X_aux=(A,))
    assert not hasattr(energy, "module_")
    assert len(fitted.history_) == fitted.n_iter_ == 4
    frozen = FrozenEstimator(clone(energy).fit(X, y, X_aux=(A,)))
    read = skood.MSPDetector(frozen).fit(X)
    assert read.module_ is frozen.estimator.module_
    np.testing.assert_array_equal(read.score_samples(A), fitted.score_samples(A))
    np.testing.assert_array_equal(read.predict_class(A), frozen.estimator.predict_class(A))
    with pytest.raises(ValueError, match="y has the classes .* was trained with"):
        skood.MSPDetector(frozen).fit(X, y + 1)


def test_an_outliers_class_is_not_among_those_read(table):
    X, y, A = table
    ntom = FrozenEstimator(skood.NTOMDetector(max_epochs=2, random_state=0).fit(X, y, X_aux=(A,)))
    detector = skood.MaxLogitDetector(ntom).fit(X, y)
    logits = detector.module_(torch.from_numpy(A)).numpy()
    assert logits.shape == (100, 4)
    np.testing.assert_array_equal(detector.score_samples(A), logits[:, :3].max(axis=1))


def test_a_skorch_net_is_fitted_on_the_labels_positions(table):
    X, y, A = table
    skorch_net = NeuralNetClassifier(
        MLP, module__input_shape=(4,), module__n_outputs=3, criterion=nn.CrossEntropyLoss,
        max_epochs=3, verbose=0,
    )
    names = np.array(["ant", "bee", "cat"])[y]
    detector = skood.KNNDetector(skorch_net, n_neighbors=5).fit(X, names)
    assert detector.n_iter_ == 3 and set(detector.predict_class(X)) <= set(names)
    frozen = FrozenEstimator(clone(skorch_net).fit(X, y))
    assert skood.KNNDetector(frozen).fit(X, y).module_ is frozen.estimator.module_
    with pytest.raises(ValueError, match="learns from labels, and there are none"):
        skood.KNNDetector(skorch_net).fit(X)


def test_labels_that_are_strings_or_have_gaps_are_the_positions(table, net):
    X, y, A = table
    plain = skood.MahalanobisDetector(net).fit(X, y).score_samples(A)
    for labels in (y * 3 + 2, np.array(["a", "b", "c"])[y]):
        again = skood.MahalanobisDetector(net).fit(X, labels)
        np.testing.assert_array_equal(again.score_samples(A), plain)
        assert set(again.predict_class(A)) <= set(labels)


def test_without_labels_the_networks_own_predictions_are_the_classes(table, net):
    X, _, A = table
    predicted = net(torch.from_numpy(X)).argmax(1).numpy()
    np.testing.assert_array_equal(
        skood.MahalanobisDetector(net).fit(X).score_samples(A),
        skood.MahalanobisDetector(net).fit(X, predicted).score_samples(A),
    )


@pytest.mark.parametrize("name", make_reading())
def test_without_labels_or_network_outliers_are_told_from_X(name):
    """Outliers that no synthetic one was drawn from."""
    rng = np.random.default_rng(0)
    X, new = rng.normal(size=(400, 2)) * 0.3 + 1, rng.normal(size=(200, 2)) * 0.3 + 1
    far = rng.normal(size=(200, 2)) * 0.3 + [-2.0, 2.5]
    detector = make_reading()[name].set_params(estimator=Classifier(random_state=0))
    with pytest.warns(UserWarning, match="none were given"):
        detector.fit(X)
    truth = np.repeat([1, 0], 200)
    found = roc_auc_score(truth, detector.score_samples(np.concatenate([new, far])))
    assert found > 0.9


def test_a_frozen_detector_minds_the_names_of_its_columns(table):
    X, y, A = table
    X, names = pd.DataFrame(X, columns=list("abcd")), list("dcba")
    inner = skood.EnergyExposureDetector(max_epochs=1, random_state=0).fit(X, y, X_aux=(A,))
    frozen = FrozenEstimator(inner)
    skood.MSPDetector(frozen).fit(X, y)
    with pytest.raises(ValueError, match="Feature names must be in the same order"):
        skood.MSPDetector(frozen).fit(X[names], y)
    nested = FrozenEstimator(skood.MSPDetector(frozen).fit(X, y))
    with pytest.raises(ValueError, match="feature names should match those that were passed"):
        skood.MSPDetector(nested).fit(X.rename(columns={"a": "e"}), y)


@pytest.mark.parametrize("name", make_reading())
def test_outliers_that_nothing_uses_are_checked_and_passed_over(table, net, name):
    X, y, A = table
    detector = make_reading()[name].set_params(estimator=net)
    without = clone(detector).set_params(estimator=net).fit(X, y).score_samples(A)
    same = detector.fit(X, y, X_aux=(A,)).score_samples(A)
    assert np.array_equal(same, without) == (name != "GROOD")
    with pytest.raises(ValueError, match=r"sample of X_aux must have the shape .* \(4,\)"):
        detector.fit(X, y, X_aux=(A[:, :2],))


@pytest.mark.parametrize(("estimator", "error", "match"), [
    (MLP((4,), 5), ValueError, "estimator has 5 outputs, but y has 3 classes"),
    (FrozenEstimator(skood.MSPDetector()), ValueError, "frozen MSPDetector is not fitted"),
    (skood.OutlierExposureDetector(dtype="float64"), ValueError, "pass dtype='float64'"),
    (FrozenEstimator(skood.MSPDetector(MLP((2,), 3)).fit(np.eye(3, 2), [0, 1, 2])), ValueError,
     "estimator cannot read a batch of shape"),
    (NearestNeighbors(), TypeError, "estimator must be None, a detector of skood"),
    ("resnet", TypeError, "estimator must be a network, got 'resnet'"),
])
def test_what_is_no_network_for_these_data_is_refused(table, estimator, error, match):
    X, y, _ = table
    detector = skood.EnergyDetector(estimator)
    with pytest.raises(error, match=match):
        detector.fit(X, y)
    assert not hasattr(detector, "module_")


def test_weights_of_another_dtype_are_told_what_to_do(table, net):
    X, y, A = table
    double = deepcopy(net).double()
    with pytest.raises(ValueError, match=r"cannot read.*float64: pass dtype='float64'\.$"):
        skood.EnergyDetector(double).fit(X, y)
    skood.EnergyDetector(double, dtype="float64").fit(X, y).predict(A)
    half = deepcopy(net).half()
    with pytest.raises(ValueError, match=r"cannot read.*float16: pass a copy\.deepcopy"):
        skood.EnergyDetector(half).fit(X, y)
    skood.EnergyDetector(deepcopy(half).float()).fit(X, y).predict(A)


def test_a_softmax_at_the_end_is_pointed_out(table, net):
    X, y, _ = table
    for end, name in ((nn.Softmax(1), "softmax"), (nn.LogSoftmax(1), "log-softmax")):
        with pytest.warns(UserWarning, match=f"seems to end in a {name}"):
            skood.EnergyDetector(nn.Sequential(net, end)).fit(X, y)


@pytest.mark.parametrize("kind", [skood.OutlierExposureDetector, skood.EnergyExposureDetector])
def test_a_softmax_at_the_end_is_pointed_out_before_a_network_is_trained_further(table, net, kind):
    X, y, A = table
    for end, name in ((nn.Softmax(1), "softmax"), (nn.LogSoftmax(1), "log-softmax")):
        ended = nn.Sequential(net, end)
        with pytest.warns(UserWarning, match=f"^module seems to end in a {name}") as caught:
            kind(ended, max_epochs=1, random_state=0).fit(X, y, X_aux=(A,))
        assert [each.filename for each in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind(net, max_epochs=1, random_state=0).fit(X, y, X_aux=(A,))


@pytest.mark.parametrize("kind, name", [
    (skood.EnergyDetector, "estimator"), (skood.OutlierExposureDetector, "module"),
])
def test_weights_without_a_network_are_told_what_to_do(table, net, kind, name):
    X, y, A = table
    with pytest.raises(TypeError, match=f"^{name} must be a network, got its weights") as caught:
        kind(net.state_dict()).fit(X, y, X_aux=(A,))
    assert len(str(caught.value)) < 300  # and no weights


@pytest.mark.parametrize("kind, name", [
    (skood.EnergyDetector, "estimator"), (skood.OutlierExposureDetector, "module"),
])
def test_a_file_instead_of_a_network_is_told_what_to_do(table, kind, name):
    X, y, A = table
    with pytest.raises(TypeError, match=f"^{name} must be a network, got 'net.pt'.*load them"):
        kind("net.pt").fit(X, y, X_aux=(A,))


def test_a_class_instead_of_a_network_is_told_what_to_do(table):
    X, y, _ = table
    with pytest.raises(TypeError, match="got the class Linear: pass Linear\\(...\\)"):
        skood.EnergyDetector(torch.nn.Linear).fit(X, y)


# ---- one pass


def counted(net):
    calls = []
    net.register_forward_hook(lambda module, args, out: calls.append(len(args[0])))
    return calls


def test_many_scores_of_one_network_are_one_pass(table, net):
    X, y, A = table
    own = MLP((4,), 3)
    own.load_state_dict(net.state_dict())
    detectors = [d.set_params(estimator=own).fit(X, y) for d in make_reading().values()]
    alone = [detector.score_samples(A) for detector in detectors]
    calls = counted(own)
    together = skood.score_many(detectors, A)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)
    shared = [d for d in detectors if d._reading() is not None]
    calls.clear()
    skood.score_many([d for d in shared if d._reading().layer is None], A)
    once = sum(calls)
    calls.clear()
    skood.KNNDetector.score_samples(detectors[list(make_reading()).index("KNN")], A)
    assert once == sum(calls)


def test_detectors_of_other_networks_are_asked_themselves(table, net):
    X, y, A = table
    trained = skood.OutlierExposureDetector(max_epochs=1, random_state=0).fit(X, y, X_aux=(A,))
    detectors = [skood.MSPDetector(net).fit(X, y), trained, skood.EnergyDetector().fit(X, y)]
    for one, detector in zip(skood.score_many(detectors, A), detectors, strict=True):
        np.testing.assert_array_equal(one, detector.score_samples(A))


def test_a_search_with_a_memory_runs_the_network_once_for_each_fold(table, net, tmp_path):
    X, y, A = table
    search = GridSearchCV(
        skood.KNNDetector(Counting(net), memory=str(tmp_path)), {"n_neighbors": [1, 5, 20]},
        scoring=OODScorer(A), refit="auroc", cv=StratifiedKFold(2),
    )
    Counting.n_rows = 0
    search.fit(X, y)
    first = Counting.n_rows
    plain = clone(search).set_params(estimator__memory=None)
    Counting.n_rows = 0
    plain.fit(X, y)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_auroc"], plain.cv_results_["mean_test_auroc"]
    )
    assert first < Counting.n_rows / 2
    with torch.no_grad():  # other weights are another network
        search.estimator.estimator.net.head.weight.mul_(2)
    Counting.n_rows = 0
    search.fit(X, y)
    assert Counting.n_rows > 0


# ---- fitted again, stored, shared


@pytest.mark.parametrize("name", make_reading())
def test_a_stored_detector_scores_as_before(table, tmp_path, name):
    X, y, A = table
    detector = make_reading()[name].fit(X, y)
    joblib.dump(detector, tmp_path / "detector.joblib")
    loaded = joblib.load(tmp_path / "detector.joblib", mmap_mode="r")
    np.testing.assert_array_equal(loaded.score_samples(A), detector.score_samples(A))
    np.testing.assert_array_equal(loaded.predict(A), detector.predict(A))
    np.testing.assert_array_equal(loaded.predict_proba(A), detector.predict_proba(A))


@pytest.mark.parametrize("name", make_reading())
def test_fitting_again_is_fitting_anew(table, name):
    X, y, A = table
    again = make_reading()[name].set_params(random_state=0)
    if again.estimator is None:
        again.set_params(estimator=Classifier(max_epochs=2, random_state=0))
    anew = clone(again).fit(X, y)
    again.fit(X[:40, :2], y[:40] % 2).fit(X, y)
    np.testing.assert_array_equal(again.score_samples(A), anew.score_samples(A))
    assert vars(again).keys() == vars(anew).keys()


def test_two_detectors_on_one_network_do_not_disturb_each_other(table, net):
    X, y, A = table
    first = skood.KNNDetector(net).fit(X, y)
    before = first.score_samples(A)
    second = skood.ViMDetector(net).fit(X[:60], y[:60])
    np.testing.assert_array_equal(first.score_samples(A), before)
    assert not np.array_equal(second.score_samples(A), before)


# ---- networks that are not what they seem


def test_a_network_read_in_other_units_is_pointed_out(table, net):
    X, y, _ = table
    for Detector in (skood.KNNDetector, skood.GramDetector, skood.GROODDetector):
        with pytest.warns(UserWarning, match="names .* of X rightly, no more than a guess"):
            Detector(net).fit(X, (y + 1) % 3)


class Cooled(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x) / 5


def test_a_head_whose_outputs_are_not_the_logits_is_pointed_out(table, net):
    X, y, _ = table
    with pytest.warns(UserWarning, match="not what the network's last Linear layer returns: ReAct"):
        skood.ReActDetector(Cooled(net)).fit(X, y)


def test_a_detector_fitted_without_labels_is_read_by_all_its_outputs(table, net):
    X, y, A = table
    inner = FrozenEstimator(skood.KNNDetector(net).fit(X))
    np.testing.assert_array_equal(
        skood.MSPDetector(inner).fit(X).score_samples(A),
        skood.MSPDetector(net).fit(X).score_samples(A),
    )


def test_what_works_in_place_changes_nothing(table):
    X, y, A = table
    plain = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    in_place = nn.Sequential(plain[0], nn.ReLU(inplace=True), plain[2])
    np.testing.assert_array_equal(*(
        skood.KNNDetector(each, feature_layer="0").fit(X, y).score_samples(A)
        for each in (plain, in_place)
    ))

    def score(logits, features):
        logits -= 1.0
        return logits[:, 0]

    with pytest.raises(ValueError, match="read-only"):
        skood.ScoreDetector(plain, score=score).fit(X, y)


def test_a_network_without_a_head_has_neighbours(table):
    X, y, A = table
    own = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Unflatten(1, (8, 1)), nn.Conv1d(8, 3, 1))
    own.append(nn.Flatten())
    detector = skood.KNNDetector(own, feature_layer="1").fit(X, y)
    assert detector.score_samples(A).shape == (100,)


def test_a_trained_network_is_stored_once(table, net):
    X, y, A = table
    own = MLP((4,), 3, hidden=(512, 512))
    size = sum(p.nbytes for p in own.parameters())
    frozen = FrozenEstimator(skood.EnergyDetector(own).fit(X, y))
    for estimator in (own, frozen):
        detector = skood.MSPDetector(estimator).fit(X, y)
        data = pickle.dumps(detector)
        assert size < len(data) < 1.2 * size
        loaded = pickle.loads(data)
        np.testing.assert_array_equal(loaded.score_samples(A), detector.score_samples(A))


def test_a_memory_sees_that_code_has_changed(table, net, tmp_path):
    X, y, A = table
    own = Switching(net)
    before = skood.MaxLogitDetector(own, memory=str(tmp_path)).fit(X, y).score_samples(A)
    Switching.factor = 2.0
    after = skood.MaxLogitDetector(own, memory=str(tmp_path)).fit(X, y).score_samples(A)
    np.testing.assert_allclose(after, 2 * before, rtol=1e-6)


def test_a_network_that_has_no_pickle_has_no_memory(table, net, tmp_path):
    X, y, A = table

    class Local(MLP):
        pass

    by_lambda = deepcopy(net)
    by_lambda.scale = lambda: 1.0
    for own in (Local((4,), 3), by_lambda):
        skood.KNNDetector(own).fit(X, y)
        with pytest.raises(ValueError, match="memory knows a network by .* or pass memory=None"):
            skood.KNNDetector(own, memory=str(tmp_path)).fit(X, y)


@pytest.mark.parametrize("Detector", [skood.KNNDetector, skood.GramDetector])
def test_a_memory_looks_at_the_network_once_a_call(table, net, tmp_path, monkeypatch, Detector):
    X, y, _ = table
    detector, looks = Detector(net, memory=str(tmp_path)).fit(X, y), []
    many = np.tile(X, (60, 1))

    def look(*args, real=base._fingerprint):
        looks.append(args)
        return real(*args)

    plain = Detector(net).fit(X, y).score_samples(many)
    monkeypatch.setattr(base, "_fingerprint", look)
    if Detector is skood.GramDetector:
        monkeypatch.setattr(gram, "_SUMS_BYTES", 2**23)
    np.testing.assert_array_equal(detector.score_samples(many), plain)
    assert len(looks) == 1


class Switching(nn.Module):
    factor = 1.0

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x) * Switching.factor
