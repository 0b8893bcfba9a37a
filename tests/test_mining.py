"""Mining in a fit: which candidates an epoch scores, which it keeps, and what it says of them."""

import warnings

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch.utils.data import Dataset

from skood import ATOMDetector, NTOMDetector
from skood.engine.order import draw
from skood.engine.pool import OutlierPool
from skood.engine.selection import MinedSelection
from skood.losses import abstention
from skood.sampling import informative

EVERY = pytest.mark.parametrize("Detector", [NTOMDetector, ATOMDetector])
FAST = {"max_epochs": 2, "batch_size": 10, "random_state": 0}


def blobs(n=40, n_aux=400):
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=n)
    X = (rng.normal(size=(n, 3)) * 0.3 + 2 * y[:, None]).astype(np.float32)
    return X, y, rng.uniform(-3, 5, size=(n_aux, 3)).astype(np.float32)


class Counting(Dataset):
    """A map-style pool that remembers which rows were read."""

    def __init__(self, X):
        self.X, self.read = X, []

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        self.read.append(i)
        return self.X[i]


class Forbidden(Callback):
    """A callback that lets nobody train."""

    def on_train_begin(self, net, **kwargs):
        raise AssertionError("trained")


# ---- candidates


@pytest.mark.parametrize(("n_rows", "n"), [(50, 50), (50, 7), (1000, 640), (300_000, 80_000)])
def test_windows_hold_rows_once_and_in_order(n_rows, n):
    pool = OutlierPool([np.zeros((n_rows, 1), np.uint8)])
    for seed in range(20):
        index = pool.windows(n, np.random.default_rng(seed))
        assert len(index) == n
        assert (np.diff(index) > 0).all()
        assert index[0] >= 0 and index[-1] < n_rows


def test_windows_are_long_stretches_from_all_over_the_pool():
    pool = OutlierPool([np.zeros((1_000_000, 1), np.uint8)])
    index = pool.windows(100_000, np.random.default_rng(0))
    n_stretches = 1 + (np.diff(index) > 1).sum()
    assert 64 <= n_stretches <= 110
    assert (np.bincount(index // 100_000, minlength=10) > 0).all()


def test_every_row_is_as_likely_to_be_a_candidate():
    pool = OutlierPool([np.zeros((700, 1), np.uint8)])
    counts = np.zeros(700)
    for seed in range(2000):
        counts[pool.windows(140, np.random.default_rng(seed))] += 1
    # 400 expected; windows of 2 rows are drawn together, so the deviation is that of a binomial.
    assert abs(counts.mean() - 400) < 1e-9
    assert np.abs(counts - 400).max() < 5 * np.sqrt(2000 * 0.2 * 0.8)


def test_draw_repeats_no_row_before_all_have_come():
    index = draw(10, 25, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(index[:20]).reshape(10, 2)[:, 0], np.arange(10))
    assert len(set(index[20:])) == 5


# ---- what is kept


def selection(n_candidates, n_kept, quantile=0.125):
    X = np.linspace(-1, 1, 64, dtype=np.float32)[:, None]
    return MinedSelection(
        torch.nn.Linear(1, 2), OutlierPool([X[np.random.default_rng(1).permutation(64)]]),
        confidence=lambda logits: logits[:, 1] - logits[:, 0],
        select=lambda confidence, n: informative(confidence, n, quantile),
        n_candidates=n_candidates, n_kept=n_kept, dtype="float32",
        precision="float32", rng=np.random.default_rng(0), keeps_index=True,
    )


@pytest.mark.parametrize("quantile", [0, 0.125, 0.75])
def test_the_block_from_the_quantile_on_is_kept(quantile):
    mining = selection(64, 16, quantile)
    index = mining.mined()
    with torch.no_grad():
        logits = mining.module(torch.from_numpy(mining.pool.sources[0]))
    order = (logits[:, 1] - logits[:, 0]).argsort().numpy()
    first = int(quantile * 64)
    assert set(index) == set(order[first : first + 16])
    np.testing.assert_array_equal(np.sort(index), np.sort(mining.record["kept_index"]))


def test_too_few_kept_ones_come_equally_often():
    index = np.concatenate(selection(64, 16).candidates([40]))
    _, counts = np.unique(index, return_counts=True)
    assert set(counts) == {2, 3} and len(counts) == 16


def test_the_module_and_its_mode_are_left_alone():
    mining = selection(64, 16)
    mining.module.train()
    state = {k: v.clone() for k, v in mining.module.state_dict().items()}
    rng = torch.get_rng_state()
    mining.mined()
    assert mining.module.training
    assert all(torch.equal(v, state[k]) for k, v in mining.module.state_dict().items())
    assert all(p.grad is None for p in mining.module.parameters())
    assert torch.equal(torch.get_rng_state(), rng)


# ---- in a fit


@EVERY
def test_the_history_says_what_was_kept(Detector):
    X, y, A = blobs(n_aux=1000)
    detector = Detector(record_kept=True, **FAST).fit(X, y, X_aux=(A,))
    for row in detector.history_:
        pool, kept = row["pool_confidence"], row["kept_confidence"]
        assert len(kept) == 5 and sorted(kept) == kept
        assert 0 <= pool[0] <= kept[0] <= kept[-1] <= pool[-1] <= 1
        assert row["kept_index"].shape == (80,)  # two for each row of X
        assert row["selection_dur"] < row["dur"]
    assert set(detector.history_[0]["kept_index"]) != set(detector.history_[1]["kept_index"])


@EVERY
def test_row_numbers_are_recorded_on_request_only(Detector):
    X, y, A = blobs()
    assert "kept_index" not in Detector(**FAST).fit(X, y, X_aux=(A,)).history_[0]


def test_a_pretrained_epoch_mines_nothing():
    X, y, A = blobs()
    detector = NTOMDetector(pretrain_epochs=1, **FAST).fit(X, y, X_aux=(A,))
    assert "kept_confidence" not in detector.history_[0]
    assert "kept_confidence" in detector.history_[1]


def test_hard_outliers_are_less_surely_outliers_than_easy_ones():
    X, y, A = blobs()
    hard, easy = (
        NTOMDetector(quantile=quantile, **FAST).fit(X, y, X_aux=(A,)).history_[-1]
        for quantile in (0, 0.75)
    )
    assert hard["kept_confidence"][-1] < easy["kept_confidence"][0]


def test_a_dataset_is_read_in_windows_and_only_as_far_as_needed():
    X, y, A = blobs(n_aux=5000)
    pool = Counting(A)
    NTOMDetector(**FAST | {"max_epochs": 1}).fit(X, y, X_aux=pool)
    # The first item for its shape, and the 320 candidates, of which those that are kept stay.
    assert len(pool.read) == 1 + 320


def test_a_memmap_stays_one(tmp_path):
    X, y, A = blobs(n_aux=2000)
    np.save(tmp_path / "pool.npy", A)
    mapped = np.load(tmp_path / "pool.npy", mmap_mode="r")
    from_file = NTOMDetector(**FAST).fit(X, y, X_aux=(mapped,))
    in_memory = NTOMDetector(**FAST).fit(X, y, X_aux=(A,))
    np.testing.assert_array_equal(from_file.score_samples(X), in_memory.score_samples(X))


def test_augmentation_is_drawn_after_the_mining_and_anew():
    rng = np.random.default_rng(0)
    X, A = (rng.integers(256, size=(n, 1, 8, 8), dtype=np.uint8) for n in (20, 160))
    seen = []

    def augment(x):
        seen.append(len(x))
        return x

    NTOMDetector(augment=augment, **FAST).fit(X, np.arange(20) % 2, X_aux=(A,))
    assert seen == [30] * 4  # joint training batches, no candidates


# ---- pools that are too small


def test_a_small_pool_is_taken_whole_and_said_once():
    X, y, A = blobs(n_aux=100)
    message = "X_aux has 100 rows, fewer than the 320 candidates .* keeps 25 and draws each about"
    with pytest.warns(UserWarning, match=message) as caught:
        detector = NTOMDetector(record_kept=True, **FAST).fit(X, y, X_aux=(A,))
    assert len([w for w in caught if "candidates" in str(w.message)]) == 1
    assert all(len(row["kept_index"]) == 25 for row in detector.history_)


def test_a_pool_that_is_large_enough_is_not_commented_on():
    X, y, A = blobs(n_aux=320)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NTOMDetector(**FAST).fit(X, y, X_aux=(A,))


@EVERY
@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"pool_size": 401}, "pool_size=401 .* there are 400 outliers"),
        ({"pool_size": 79}, "pool_size=79 candidates are fewer than the 80 outliers"),
        ({"quantile": 0.8}, "passes over the 256 hardest of 320 .* leaves 64 where 80"),
        ({"pool_size": 100, "quantile": 0.5}, "leaves 50 where 80"),
    ],
)
def test_what_cannot_be_mined_is_refused_before_any_training(Detector, params, message):
    X, y, A = blobs()
    detector = Detector(pretrain_epochs=1, callbacks=[Forbidden()], **FAST | params)
    with pytest.raises(ValueError, match=message):
        detector.fit(X, y, X_aux=(A,))
    assert not hasattr(detector, "module_")


def test_pool_size_and_quantile_are_searchable():
    X, y, A = blobs()
    hardest = NTOMDetector(pool_size=80, quantile=0, **FAST).fit(X, y, X_aux=(A,))
    # As many candidates as are kept: nothing is chosen.
    row = hardest.history_[0]
    assert row["kept_confidence"] == row["pool_confidence"]


# ---- the method


@EVERY
def test_outliers_have_the_last_output_and_classes_the_others(Detector):
    X, y, A = blobs()
    labels = np.array(["a", "b"])[y]
    detector = Detector(**FAST | {"max_epochs": 20, "lr": 0.01}).fit(X, labels, X_aux=(A,))
    with torch.no_grad():
        logits = detector.module_(torch.from_numpy(X))
    assert logits.shape == (40, 3)
    p = torch.softmax(logits.double(), 1).numpy()
    np.testing.assert_allclose(detector.score_samples(X), -p[:, 2], atol=1e-7)
    known = p[:, :2] / p[:, :2].sum(1, keepdims=True)
    np.testing.assert_allclose(detector.predict_proba(X), known, atol=1e-6)
    assert (detector.predict_class(X) == labels).mean() > 0.95
    assert (detector.predict([[-3.0, 5.0, -3.0]]) == -1).all()


@EVERY
def test_without_labels_there_are_two_outputs(Detector):
    X, _, A = blobs()
    detector = Detector(**FAST | {"max_epochs": 10, "lr": 0.01}).fit(X, A)
    assert detector.classes_ is None
    assert detector.score_samples(X).mean() > detector.score_samples(A).mean() + 0.2


@EVERY
def test_a_trained_network_is_given_one_more_output(Detector):
    X, y, A = blobs()
    net = torch.nn.Linear(3, 2)
    before = net.weight.clone()
    detector = Detector(net, **FAST | {"max_epochs": 1}).fit(X, y, X_aux=(A,))
    assert detector.module_.out_features == 3
    assert net.out_features == 2 and torch.equal(net.weight, before)


def test_the_loss_of_a_step_is_the_papers():
    X, y, A = blobs(n=10, n_aux=80)
    net = torch.nn.Linear(3, 3)
    detector = NTOMDetector(
        net, optimizer="sgd", lr=1e-9, schedule="constant", record_kept=True, beta=0.7,
        **FAST | {"max_epochs": 1},
    ).fit(X, y, X_aux=(A,))
    row = detector.history_[0]
    with torch.no_grad():
        kept = net(torch.from_numpy(A[row["kept_index"]]))
        expected = abstention(net(torch.from_numpy(X)), torch.from_numpy(y), kept, beta=0.7)
    assert row["train_loss"] == pytest.approx(expected.item(), rel=1e-5)
