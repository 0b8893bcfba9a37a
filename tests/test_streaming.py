"""Rows that are not in memory: their order, reading ahead, and items decoded once an epoch."""

import mmap
import random
import threading
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from numpy.testing import assert_array_equal
from skorch.callbacks import Callback, EarlyStopping
from torch.utils.data import Dataset, IterableDataset

from skood import (
    ATOMDetector,
    DOSDetector,
    EnergyExposureDetector,
    GRegDetector,
    NTOMDetector,
    OutlierExposureDetector,
    WOODSDetector,
)
from skood.engine import decoded, pool, streaming
from skood.engine.ahead import THREAD_NAME, in_turn, looked_at
from skood.engine.decoded import Decoded, there_is_room
from skood.engine.inputs import Selection, is_mapped, rows
from skood.engine.loader import PairedLoader
from skood.engine.order import mixed
from skood.engine.pool import OutlierPool
from skood.engine.selection import MinedSelection
from skood.engine.streaming import in_batches

FAST = {"max_epochs": 2, "batch_size": 8, "module__hidden": (8,), "random_state": 0}
DETECTORS = {
    "OE": OutlierExposureDetector(**FAST),
    "Energy": EnergyExposureDetector(pretrain_epochs=1, **FAST),
    "NTOM": NTOMDetector(**FAST),
    "ATOM": ATOMDetector(n_steps=1, **FAST),
    "GReg+": GRegDetector(sampling="clustered", pretrain_epochs=1, **FAST),
    "DOS": DOSDetector(**FAST),
    "WOODS": WOODSDetector(alpha=0.5, ce_tolerance=9, pretrain_epochs=1, **FAST),
}
EVERY = pytest.mark.parametrize("name", DETECTORS)


def fitted(name, X, y, A, **params):
    detector = DETECTORS[name]
    return type(detector)(**detector.get_params() | params).fit(X, y, X_aux=(A,))


def table(n_aux=400):
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=32)
    X = (rng.normal(size=(32, 3)) * 0.3 + 2 * y[:, None]).astype(np.float32)
    return X, y, rng.uniform(-3, 5, size=(n_aux, 3)).astype(np.float32)


def mapped(array, path):
    np.save(path, array)
    return np.load(path, mmap_mode="r")


def threads_reading():
    return [t for t in threading.enumerate() if t.name.startswith(THREAD_NAME)]


@pytest.fixture
def small_blocks(monkeypatch):
    """Take files of a few kilobytes for large ones."""
    monkeypatch.setattr(streaming, "_BLOCK_BYTES", 2**10)
    monkeypatch.setattr(streaming, "_LEAST_WINDOWS", 4)
    monkeypatch.setattr(streaming, "_LEAST_BLOCKS", 2)


# ---- the order


@pytest.mark.parametrize(("n_rows", "window"), [(100, 7), (100, 10), (5, 1), (7, 50)])
def test_an_order_repeats_no_row_before_all_have_come(n_rows, window):
    blocks = [n_rows // 2, n_rows, 3, n_rows]
    for seed in range(20):
        order = mixed(n_rows, blocks, window, np.random.default_rng(seed))
        assert len(order) == sum(blocks)
        for start in range(0, len(order), n_rows):
            one_pass = order[start : start + n_rows]
            assert len(np.unique(one_pass)) == len(one_pass)
        assert_array_equal(np.sort(order[:n_rows]), np.arange(n_rows))


def test_a_block_is_read_in_stretches_from_many_places_and_comes_mixed():
    order = mixed(100_000, [1000] * 10, 50, np.random.default_rng(0))
    for block in np.split(order, 10):
        stretches = np.split(np.sort(block), np.flatnonzero(np.diff(np.sort(block)) > 1) + 1)
        assert 15 <= len(stretches) <= 22  # 20 windows, some side by side, some cut by the end
        assert abs(np.corrcoef(block[:-1], block[1:])[0, 1]) < 0.2
    assert len(np.unique(order // 10_000)) == 10


def test_every_row_is_as_likely_at_every_place():
    counts = np.zeros((23, 10))
    for seed in range(4000):
        order = mixed(23, [5, 5], 4, np.random.default_rng(seed))
        counts[order, np.arange(10)] += 1
    expected = 4000 / 23
    # Chi-squared of a place over 23 rows: 22 degrees of freedom, beyond 55 once in 10,000.
    assert (((counts - expected) ** 2 / expected).sum(0) < 55).all()


# ---- reading ahead


@pytest.mark.parametrize("ahead", [True, False])
def test_parts_come_in_their_order(ahead):
    assert list(in_turn(str, range(50), ahead)) == list(map(str, range(50)))
    assert list(in_turn(str, [], ahead)) == []
    assert not threads_reading()


def test_only_the_next_part_is_read_ahead():
    read = []
    for part in in_turn(lambda part: read.append(part) or part, range(20), True):
        assert len(read) <= part + 2


def test_what_is_read_ahead_is_read_in_another_thread_while_one_works():
    may_read, names = threading.Event(), []

    def read(part):
        names.append(threading.current_thread().name)
        assert part == 0 or may_read.wait(10)

    parts = in_turn(read, range(2), True)
    next(parts)
    may_read.set()  # which only works where the second is read beside this line
    assert list(parts) == [None]
    assert all(name.startswith(THREAD_NAME) for name in names)


def _unreadable(part):
    raise OSError(f"part {part} cannot be read")


def test_an_error_comes_with_its_own_traceback_and_ends_the_thread():
    with pytest.raises(OSError, match="part 0 cannot be read") as caught:
        list(in_turn(_unreadable, range(5), True))
    assert "_unreadable" in "".join(traceback.format_tb(caught.tb))
    assert not threads_reading()


def test_closing_ends_the_thread():
    parts = in_turn(str, range(5), True)
    next(parts)
    assert threads_reading()
    parts.close()
    assert not threads_reading()


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (lambda: torch.rand(1), True),
        (lambda: random.random(), True),
        (lambda: np.random.rand(), True),  # noqa: NPY002
        (lambda: np.random.default_rng(0).random(), False),
    ],
)
def test_draws_from_global_generators_are_noticed_and_undone(draw, expected):
    value, drew = looked_at(draw)
    assert drew is expected and draw() == value


# ---- what has been decoded


@pytest.mark.parametrize("in_memory", [True, False])
def test_rows_are_decoded_once(monkeypatch, in_memory):
    if not in_memory:
        monkeypatch.setattr(decoded, "_MOST_BYTES_IN_MEMORY", 0)
    X, asked = torch.arange(40.0).view(20, 2), []

    def decode(index):
        asked.extend(index)
        return X[index]

    kept = Decoded(20, 20)
    for index in ([3, 1, 3], [1, 19], [0, 3, 2]):
        assert_array_equal(kept.take(np.array(index), decode), X[index])
    assert sorted(asked) == [0, 1, 2, 3, 19]
    assert isinstance(kept._rows, np.memmap) is not in_memory


def test_the_file_of_decoded_rows_has_no_name(monkeypatch, tmp_path):
    monkeypatch.setattr(decoded, "_MOST_BYTES_IN_MEMORY", 0)
    monkeypatch.setattr(decoded.tempfile, "tempdir", str(tmp_path))
    kept = Decoded(4, 4)
    kept.take(np.arange(2), lambda index: torch.ones(len(index), 3))
    assert isinstance(kept._rows, np.memmap) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("other", [torch.ones(1, 2), torch.ones(1, 3, dtype=torch.uint8)])
def test_rows_of_another_shape_or_dtype_are_refused(other):
    kept = Decoded(4, 4)
    kept.take(np.array([0]), lambda index: torch.ones(1, 3))
    with pytest.raises(ValueError, match="items of X_aux must have one shape and one dtype"):
        kept.take(np.array([1]), lambda index: other)


def test_where_the_disk_is_too_full_it_is_said_and_items_are_decoded_again(monkeypatch):
    assert there_is_room(1000)
    with pytest.warns(UserWarning, match="decoded again. Name a larger disk .* TMPDIR"):
        assert not there_is_room(10**18)
    monkeypatch.setattr(pool, "there_is_room", lambda n_bytes: False)
    X, y, A = table(20)
    again = Counted(A)
    same = fitted("OE", X, y, again).score_samples(X)
    assert len(again.read) > 2 * 20
    assert_array_equal(same, fitted("OE", X, y, A).score_samples(X))


# ---- batches


def test_views_and_selections_of_a_mapped_file_are_mapped(tmp_path):
    A = mapped(np.ones((9, 2)), tmp_path / "a.npy")
    for view in (A, np.asarray(A), A[2:], np.asarray(A)[1:].reshape(-1, 1), Selection(A, [0, 1])):
        assert is_mapped(view)
    for array in (np.ones(3), A[[0, 1]], A + 0, np.array(A), Selection(np.ones((3, 1)), [0])):
        assert not is_mapped(array)


class Told(mmap.mmap):
    """A mapping that remembers which bytes it was told to read."""

    def madvise(self, option, start, length):
        super().madvise(option, start, length)
        assert option == mmap.MADV_WILLNEED and start % mmap.PAGESIZE == 0
        self.ranges = [*getattr(self, "ranges", []), (start, start + length)]


def is_mapped_in_a_worker(array):
    return is_mapped(array), isinstance(array, np.memmap)


def test_memory_that_joblib_shares_is_no_mapped_file():
    array = np.zeros((2, 2**20), np.uint8)
    (mapped, is_memmap), _ = Parallel(n_jobs=2, max_nbytes=1)(
        delayed(is_mapped_in_a_worker)(each) for each in (array, array)
    )
    assert is_memmap and not mapped


@pytest.mark.skipif(not hasattr(mmap, "MADV_WILLNEED"), reason="the system cannot be told")
@pytest.mark.parametrize("through", ["array", "view", "selection", "images"])
def test_the_system_is_told_which_stretches_are_read(tmp_path, through):
    (tmp_path / "a").write_bytes(bytes(range(250)) * 4000)
    with open(tmp_path / "a", "rb") as file:
        mapping = Told(file.fileno(), 0, access=mmap.ACCESS_READ)
    array = np.ndarray((900, 1000), np.uint8, buffer=mapping, offset=128)
    index = np.array([3, 4, 5, 400, 899])
    if through == "view":
        array, index = array[2:].view(), index - 2
    elif through == "selection":
        array, index = Selection(array, np.array([3, 4, 5, 400, 899])), np.arange(5)
    elif through == "images":
        array = array.reshape(900, 10, 100)
    expected = [(3, 6), (400, 401), (899, 900)]
    picked = rows(array, index)
    for (start, end), (first, last) in zip(mapping.ranges, expected, strict=True):
        assert 0 <= 128 + 1000 * first - start < mmap.PAGESIZE and end == 128 + 1000 * last
    assert_array_equal(picked.reshape(5, 1000)[0], np.arange(3128, 4128) % 250)


@pytest.mark.parametrize("turn", [
    lambda A: A.transpose(0, 2, 1), lambda A: A[::-1], lambda A: A[:, ::2], np.asfortranarray,
])
def test_rows_of_mapped_files_of_any_layout_are_read(tmp_path, turn):
    A = np.arange(24_000.0).reshape(1000, 4, 6)
    np.save(tmp_path / "a.npy", turn(A))
    index = np.array([999, 3, 4, 4, 0])
    for view in (np.load(tmp_path / "a.npy", mmap_mode="r"), turn(mapped(A, tmp_path / "b.npy"))):
        assert_array_equal(rows(view, index), turn(A)[index])


@pytest.mark.parametrize("dtype", ["i8", "u2", "?", ">f4", "f2"])
def test_outliers_in_a_file_of_any_dtype_stay_there(tmp_path, dtype, monkeypatch):
    X, y, A = table()
    A = A.astype(dtype)
    file, sources = mapped(A, tmp_path / "a.npy"), []
    original = OutlierPool.__init__
    monkeypatch.setattr(OutlierPool, "__init__", lambda self, given, *args, **params: (
        sources.extend(given), original(self, given, *args, **params))[1])
    same = fitted("NTOM", X, y, file)
    assert len(sources) == 1 and is_mapped(sources[0])
    assert_array_equal(same.score_samples(X), fitted("NTOM", X, y, A).score_samples(X))


def _loader(X, A, seed=0, **options):
    options = {"augment": None, "dtype": "float32", "outlier_ratio": 2.0} | options
    return PairedLoader(
        X, np.arange(len(X)), A, batch_size=8, rng=np.random.default_rng(seed), **options
    )


def _numbered(n):
    return np.repeat(np.arange(n, dtype=np.float32)[:, None], 2, axis=1)


@pytest.mark.parametrize("drop_last", [True, False])
def test_batches_of_large_files_hold_each_row_once_with_its_label(
    tmp_path, small_blocks, drop_last
):
    X, A = (mapped(_numbered(n), tmp_path / f"{n}.npy") for n in (301, 2000))
    loader = _loader(X, OutlierPool([A]), drop_last=drop_last)
    orders = []
    for _ in range(2):
        numbers, outliers = [], []
        for pair, y in loader:
            assert_array_equal(pair.x[: pair.n_in, 0], y)
            numbers += y.tolist()
            outliers += pair.x[pair.n_in :, 0].tolist()
        assert len(set(numbers)) == len(numbers) == (296 if drop_last else 301)
        assert len(set(outliers)) == len(outliers) == 2 * len(numbers)
        orders.append(numbers)
    assert orders[0] != orders[1] and orders[0] != sorted(orders[0])


def test_large_files_are_read_by_blocks_from_the_first_row_to_the_last(
    tmp_path, small_blocks, monkeypatch
):
    A, read = mapped(_numbered(5000), tmp_path / "a.npy"), []
    original = streaming.rows
    monkeypatch.setattr(streaming, "rows", lambda X, i: read.append(i) or original(X, i))
    sizes = [16] * 40
    indices = streaming.drawn(A, sizes, np.random.default_rng(0))
    batches = list(in_batches(A, indices))
    assert [len(batch) for batch in batches] == sizes
    for batch, index in zip(batches, indices, strict=True):
        assert_array_equal(batch[:, 0], index)
    assert [len(block) for block in read] == [128] * 5  # of the 8 bytes of a row, 2**10
    for block in read:
        steps = np.diff(block)
        assert (steps > 0).all() and (steps > 1).sum() <= 5  # 4 windows, cut at the ends
    # Windows are cut where blocks end, and go on in the next.
    assert len(np.unique(np.concatenate(read))) == 640


def test_of_a_file_that_fits_a_block_the_batches_are_those_of_the_array(tmp_path):
    X, A = _numbered(60), _numbered(300)
    files = [mapped(array, tmp_path / f"{len(array)}.npy") for array in (X, A)]
    for (a, _), (b, _) in zip(
        _loader(X, OutlierPool([A])), _loader(files[0], OutlierPool([files[1]])), strict=True
    ):
        assert torch.equal(a.x, b.x)


@pytest.mark.parametrize("kind", ["file", "items", "both"])
def test_reading_ahead_changes_no_batch_and_no_draw(tmp_path, small_blocks, kind):
    A = _numbered(1000)
    sources = {"file": [mapped(A, tmp_path / "a.npy")], "items": [Counted(A)]}
    sources["both"] = [*sources["file"], *sources["items"], A]

    def epochs(read_ahead):
        loader = _loader(_numbered(90), OutlierPool(sources[kind]), read_ahead=read_ahead)
        batches = [pair.x for _ in range(2) for pair, _ in loader]
        return batches, loader.rng.bit_generator.state

    (ahead, state), (plain, same) = epochs(True), epochs(False)
    assert all(map(torch.equal, ahead, plain)) and len(ahead) == len(plain) == 24
    assert state == same


def test_candidates_that_lie_near_each_other_stay_so(tmp_path, small_blocks):
    A = mapped(_numbered(4000), tmp_path / "a.npy")
    mining = MinedSelection(
        torch.nn.Linear(2, 2), OutlierPool([A]), confidence=lambda logits: logits[:, 0],
        select=lambda confidence, n: np.random.default_rng(0).permutation(len(confidence))[:n],
        n_candidates=4000, n_kept=1000, dtype="float32", precision="float32",
        rng=np.random.default_rng(0),
    )
    block = np.concatenate(mining.candidates([64] * 15)[:2])
    assert len(np.unique(block)) == 128
    # Every fourth row is kept, so that those of a window lie much nearer than this.
    assert 1 + (np.diff(np.sort(block)) > 60).sum() <= 5


# ---- Datasets


class Counted(Dataset):
    """Items that remember how often they were decoded, and in which thread."""

    def __init__(self, A):
        self.A, self.read, self.threads = A, [], set()

    def __len__(self):
        return len(self.A)

    def __getitem__(self, i):
        self.read.append(i)
        self.threads.add(threading.current_thread().name)
        return self.A[i]


class Epochs(Callback):
    """Notes, after each epoch that decodes any, how often each item was decoded in it."""

    source, counts = None, []

    def on_epoch_begin(self, net, **kwargs):
        Epochs.source.read.clear()

    def on_epoch_end(self, net, **kwargs):
        if Epochs.source.read:
            Epochs.counts.append(np.unique(Epochs.source.read, return_counts=True)[1])


@EVERY
@pytest.mark.parametrize("n_aux", [50, 1500])
def test_no_item_is_decoded_twice_in_an_epoch(name, n_aux, small_blocks, monkeypatch):
    monkeypatch.setattr(decoded, "_MOST_BYTES_IN_MEMORY", 2**11)  # so that files are used, too
    monkeypatch.setattr("skood.engine.inference._LARGEST_BYTES", 2**8)  # so that mining has parts
    X, y, A = table(n_aux)
    Epochs.source, Epochs.counts = Counted(A), []
    fitted(name, X, y, Epochs.source, callbacks=[Epochs()])
    assert len(Epochs.counts) == 2
    assert all((counts == 1).all() for counts in Epochs.counts)
    in_thread = any(thread.startswith(THREAD_NAME) for thread in Epochs.source.threads)
    assert in_thread or n_aux == 50  # which are mined in one go
    assert not threads_reading()


@EVERY
@pytest.mark.parametrize("n_aux", [50, 1500])
def test_a_dataset_that_fits_a_block_trains_as_the_array_does(name, n_aux):
    X, y, A = table(n_aux)
    expected = fitted(name, X, y, A)
    assert_array_equal(fitted(name, X, y, Counted(A)).score_samples(X), expected.score_samples(X))


@EVERY
def test_reading_ahead_changes_no_result(name, small_blocks, tmp_path):
    X, y, A = table(1500)
    files = mapped(np.tile(X, (6, 1)), tmp_path / "x.npy"), np.tile(y, 6)
    for source in (Counted(A), mapped(A, tmp_path / "a.npy")):
        ahead, plain = (
            fitted(name, *files, source, iterator_train__read_ahead=read_ahead, max_epochs=1)
            for read_ahead in (True, False)
        )
        assert_array_equal(ahead.score_samples(X), plain.score_samples(X))


def test_without_reading_ahead_everything_happens_in_one_thread():
    X, y, A = table()
    source = Counted(A)
    fitted("NTOM", X, y, source, iterator_train__read_ahead=False)
    assert source.threads == {threading.current_thread().name}


def test_read_only_items_are_read_without_a_word():
    A = table()[2]
    A.flags.writeable = False
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert_array_equal(OutlierPool([Counted(A)]).take(np.array([3])), A[[3]])
    finally:
        torch.set_warn_always(False)


@pytest.mark.parametrize("turn", [
    lambda a: a[::-1], lambda a: a.astype(">f4"), lambda a: (torch.from_numpy(a), 7),
])
def test_items_in_any_layout_are_read(turn):
    X, y, A = table(40)
    expected = [torch.as_tensor(turn(a)[0] if isinstance(turn(a), tuple) else
                                turn(a).astype(np.float32)) for a in A]
    assert_array_equal(OutlierPool([Turned(A, turn)]).take(np.arange(40)), torch.stack(expected))


class Turned(Counted):
    """Items as a function of a row."""

    def __init__(self, A, turn):
        super().__init__(A)
        self.turn = turn

    def __getitem__(self, i):
        return self.turn(super().__getitem__(i))


class Image:
    """What a library that reads images may return."""


@pytest.mark.parametrize(
    ("turn", "error", "said"),
    [
        (lambda a: Image(), TypeError, "arrays or Tensors.* got Image"),
        (lambda a: {"image": a}, TypeError, "arrays or Tensors.* got dict"),
        (lambda a: None, TypeError, "arrays or Tensors.* got NoneType"),
        (lambda a: a * 1j, ValueError, "must be real, got torch.complex64"),
    ],
)
def test_items_that_are_no_arrays_of_numbers_are_refused(turn, error, said):
    X, y, A = table(40)
    with pytest.raises(error, match=said):
        fitted("OE", X, y, Turned(A, turn))


class Iterated(IterableDataset):
    def __len__(self):
        return 40

    def __iter__(self):
        return iter(table(40)[2])


class Unfinished(Dataset):
    def __len__(self):
        return 40


@pytest.mark.parametrize("source", [Iterated(), Unfinished()])
def test_datasets_whose_items_cannot_be_asked_for_are_refused(source):
    X, y, _ = table()
    with pytest.raises(TypeError, match="map-style Dataset.*got " + type(source).__name__):
        fitted("OE", X, y, source)


class Noisy(Counted):
    """Items with noise from torch's global generator, as transforms of images draw it."""

    def __getitem__(self, i):
        return torch.from_numpy(super().__getitem__(i)) + torch.randn(3)


@pytest.mark.parametrize("name", ["OE", "NTOM", "DOS"])
def test_items_that_draw_from_a_global_generator_are_reproducible(name):
    X, y, A = table()
    sources = Noisy(A), Noisy(A)
    first, second = (fitted(name, X, y, source) for source in sources)
    assert_array_equal(first.score_samples(X), second.score_samples(X))
    assert sources[0].threads == {threading.current_thread().name}


def test_fits_in_threads_do_not_disturb_each_other():
    X, y, A = table()
    expected = fitted("OE", X, y, Counted(A)).score_samples(X)
    with ThreadPoolExecutor(4) as threads:
        fits = [threads.submit(fitted, "OE", X, y, Noisy(A) if i % 2 else Counted(A))
                for i in range(12)]
    for fit in fits[::2]:
        assert_array_equal(fit.result().score_samples(X), expected)


# ---- the end of a fit


class Broken(Counted):
    """A pool in which one item cannot be read."""

    def __getitem__(self, i):
        if i == 7:
            raise OSError("item 7 cannot be read")
        return super().__getitem__(i)


@pytest.mark.parametrize("name", ["OE", "NTOM", "GReg+"])
def test_an_item_that_cannot_be_read_ends_the_fit_with_its_error(name):
    X, y, A = table(40)
    with pytest.raises(OSError, match="item 7 cannot be read") as caught:
        fitted(name, X, y, Broken(A))
    assert "__getitem__" in "".join(traceback.format_tb(caught.tb))
    assert not threads_reading()


class Interrupting(Callback):
    def on_batch_end(self, net, **kwargs):
        assert threads_reading() or len(net.history[-1, "batches"]) > 1
        raise KeyboardInterrupt


def test_an_interrupt_ends_the_thread():
    X, y, A = table()
    with pytest.raises(KeyboardInterrupt):
        fitted("OE", X, y, Counted(A), callbacks=[Interrupting()])
    assert not threads_reading()


def test_an_early_stop_ends_the_thread():
    X, y, A = table()
    stopping = EarlyStopping(monitor="train_loss", patience=1, threshold=1e9)
    detector = fitted("OE", X, y, Counted(A), callbacks=[stopping], max_epochs=9)
    assert detector.n_iter_ < 9 and not threads_reading()


class Stopping(Callback):
    """Interrupts in the middle of the second epoch."""

    on = False

    def on_batch_end(self, net, **kwargs):
        if Stopping.on and len(net.history) == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("kind", ["file", "items", "noisy"])
@pytest.mark.parametrize("name", ["OE", "NTOM", "GReg+"])
def test_a_fit_that_was_stopped_goes_on_as_one_that_was_not(
    name, kind, small_blocks, tmp_path, monkeypatch
):
    X, y, A = table(1500)
    A = {"file": mapped(A, tmp_path / "a.npy"), "items": Counted(A), "noisy": Noisy(A)}[kind]
    X, y = mapped(np.tile(X, (6, 1)), tmp_path / "x.npy"), np.tile(y, 6)
    params = {"callbacks": [Stopping()], "max_epochs": 3}
    detector = DETECTORS[name]
    whole = fitted(name, X, y, A, **params)
    detector = type(detector)(
        **detector.get_params() | params | {"checkpoint": str(tmp_path / "fit")}
    )
    monkeypatch.setattr(Stopping, "on", True)
    with pytest.raises(KeyboardInterrupt):
        detector.fit(X, y, X_aux=(A,))
    monkeypatch.setattr(Stopping, "on", False)
    resumed = detector.set_params(iterator_train__read_ahead=False)
    resumed.fit(X, y, X_aux=(A,), resume=True)
    assert_array_equal(resumed.score_samples(X), whole.score_samples(X))


# ---- what is measured before the epochs


@pytest.mark.parametrize("name", ["Energy", "GReg+", "WOODS"])
def test_margins_and_the_wild_sample_are_read_in_batches(name, monkeypatch):
    X, y, A = table(6000)
    taken, original = [], OutlierPool.take

    def take(self, index):
        taken.append(len(index))
        return original(self, index)

    monkeypatch.setattr(OutlierPool, "take", take)
    monkeypatch.setattr("skood.engine.inference._LARGEST_BYTES", 2**14)
    fitted(name, X, y, Counted(A), max_epochs=1)
    assert sum(taken) >= 5000 and max(taken) < 1000
