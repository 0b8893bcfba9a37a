"""Training batches: which rows come, beside which outliers, and in what form."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from torch.nn import functional as F
from torch.utils.data import Dataset

from skood.engine.inputs import crop_flip
from skood.engine.loader import PairedLoader
from skood.engine.pool import OutlierPool


def _loader(X, pool=None, *, batch_size=4, outlier_ratio=2.0, seed=0, **options):
    options = {"augment": None, "dtype": "float32"} | options
    return PairedLoader(
        X, np.arange(len(X)), pool, batch_size=batch_size, outlier_ratio=outlier_ratio,
        rng=np.random.default_rng(seed), **options,
    )


def _numbered(n, start=0, dtype=np.float32):
    """Rows of two equal columns, the row's number, so that a batch tells which rows it holds."""
    return np.repeat(np.arange(start, start + n, dtype=dtype)[:, None], 2, axis=1)


def _epoch(loader):
    """Return, for each batch, the numbers of its rows, of its labels and of its outliers."""
    batches = [(pair.x[:, 0].numpy().astype(int), pair.n_in, y.numpy()) for pair, y in loader]
    return [(numbers[:n_in], y, numbers[n_in:]) for numbers, n_in, y in batches]


# ---- in-distribution rows


@pytest.mark.parametrize(("n", "batch_size"), [(129, 128), (257, 128), (10, 3), (7, 100), (8, 4)])
def test_batches_are_even_and_none_has_a_single_row(n, batch_size):
    loader = _loader(_numbered(n), batch_size=batch_size)
    sizes = [len(pair) for pair, _ in loader]
    assert len(sizes) == len(loader) == -(-n // batch_size)
    assert max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1 and min(sizes) > 1


def test_every_row_comes_once_an_epoch_with_its_label_in_a_new_order():
    loader = _loader(_numbered(50))
    orders = []
    for _ in range(2):
        epoch = _epoch(loader)
        for rows, labels, outliers in epoch:
            assert_array_equal(rows, labels)
            assert len(outliers) == 0
        orders.append(np.concatenate([rows for rows, *_ in epoch]))
        assert_array_equal(np.sort(orders[-1]), np.arange(50))
    assert (orders[0] != orders[1]).any() and (orders[0] != np.arange(50)).any()


def test_shuffle_can_be_turned_off():
    epoch = _epoch(_loader(_numbered(50), shuffle=False))
    assert_array_equal(np.concatenate([rows for rows, *_ in epoch]), np.arange(50))


@pytest.mark.parametrize(("n", "expected"), [(50, [16, 16, 16]), (48, [16] * 3), (9, [9])])
def test_drop_last_leaves_whole_batches_and_at_least_one(n, expected):
    loader = _loader(_numbered(n), batch_size=16, drop_last=True)
    epoch = _epoch(loader)
    assert [len(rows) for rows, *_ in epoch] == expected and len(loader) == len(expected)
    seen = np.concatenate([rows for rows, *_ in epoch])
    assert len(np.unique(seen)) == len(seen)


def test_rows_left_out_by_drop_last_differ_from_epoch_to_epoch():
    loader = _loader(_numbered(50), batch_size=16, drop_last=True)
    left = [set(range(50)).difference(*(rows for rows, *_ in _epoch(loader))) for _ in range(5)]
    assert all(len(out) == 2 for out in left) and len(set(map(frozenset, left))) > 1


def test_the_seed_decides_the_batches():
    def epochs(seed):
        loader = _loader(_numbered(50), OutlierPool([_numbered(70, 100)]), seed=seed)
        return [pair.x for _ in range(2) for pair, _ in loader]

    assert all(map(torch.equal, epochs(0), epochs(0)))
    assert not all(map(torch.equal, epochs(0), epochs(1)))


def test_the_array_is_neither_changed_nor_shared():
    X = _numbered(20)
    X.flags.writeable = False
    for pair, _ in _loader(X, shuffle=False):
        pair.x.zero_()
    assert_array_equal(X, _numbered(20))


# ---- outliers


@pytest.mark.parametrize(("ratio", "expected"), [(2.0, 8), (1.0, 4), (0.5, 2), (1.3, 5), (0.01, 1)])
def test_the_ratio_counts_outliers_beside_each_batch(ratio, expected):
    loader = _loader(_numbered(40), OutlierPool([_numbered(500, 100)]), outlier_ratio=ratio)
    assert [len(outliers) for *_, outliers in _epoch(loader)] == [expected] * 10


def test_uneven_batches_keep_the_ratio():
    loader = _loader(_numbered(10), OutlierPool([_numbered(500, 100)]), batch_size=4)
    assert [(len(rows), len(out)) for rows, _, out in _epoch(loader)] == [(4, 8), (3, 6), (3, 6)]


@pytest.mark.parametrize("n_pool", [80, 81, 500])
def test_no_outlier_comes_twice_in_an_epoch_while_the_pool_lasts(n_pool):
    loader = _loader(_numbered(40), OutlierPool([_numbered(n_pool, 100)]))
    seen = np.concatenate([outliers for *_, outliers in _epoch(loader)])
    assert len(seen) == len(np.unique(seen)) == 80
    assert seen.min() >= 100 and seen.max() < 100 + n_pool


def test_a_small_pool_is_used_up_before_any_outlier_comes_again():
    loader = _loader(_numbered(40), OutlierPool([_numbered(30, 100)]))
    seen = np.concatenate([outliers for *_, outliers in _epoch(loader)])
    assert_array_equal(np.sort(seen[:30]), np.arange(100, 130))
    assert_array_equal(np.sort(seen[30:60]), np.arange(100, 130))
    assert len(np.unique(seen[60:])) == 20


def test_outliers_are_drawn_anew_each_epoch():
    loader = _loader(_numbered(40), OutlierPool([_numbered(500, 100)]))
    first, second = ([set(outliers) for *_, outliers in _epoch(loader)] for _ in range(2))
    assert first != second


# ---- sources


class _Asked(Dataset):
    """Remembers which items were asked for."""

    def __init__(self, items):
        self.items, self.asked = items, []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        self.asked.append(i)
        return self.items[i]


def test_of_a_dataset_only_the_rows_asked_for_are_read():
    source = _Asked(torch.from_numpy(_numbered(1000, 100)))
    pool = OutlierPool([source])
    assert_array_equal(pool.take(np.array([7, 3, 999]))[:, 0], [107, 103, 1099])
    assert source.asked == [7, 3, 999]
    source.asked.clear()
    batches = iter(_loader(_numbered(40), pool))
    next(batches)
    batches.close()
    assert len(source.asked) <= 1 + 2 * 8  # the first item; a batch, and the next one ahead


def test_a_dataset_may_give_labels_beside_its_samples():
    items = [(row, "ignored") for row in _numbered(9)]
    assert_array_equal(OutlierPool([_Asked(items)]).take(np.array([8, 0]))[:, 0], [8, 0])


def test_several_sources_are_one_pool_in_the_order_asked_for():
    mapped = _Asked(torch.from_numpy(_numbered(5, 200)))
    pool = OutlierPool([_numbered(10, 100), _numbered(0), mapped, _numbered(3, 300)])
    assert len(pool) == 18
    index = np.array([17, 0, 12, 10, 9, 15, 0])
    assert_array_equal(pool.take(index)[:, 0], [302, 100, 202, 200, 109, 300, 100])
    assert mapped.asked == [2, 0]


def test_a_mapped_file_gives_the_rows_of_the_array(tmp_path):
    np.save(tmp_path / "A.npy", _numbered(100))
    mapped = np.load(tmp_path / "A.npy", mmap_mode="r")
    index = np.array([99, 5, 5, 0])
    assert_array_equal(OutlierPool([mapped]).take(index)[:, 0], index)


# ---- dtypes


def _images(n, dtype=np.uint8, size=8, seed=0):
    drawn = np.random.default_rng(seed).integers(256, size=(n, 3, size, size), dtype=np.uint8)
    return drawn if dtype == np.uint8 else (drawn / 255).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_8_bit_images_become_the_unit_interval(dtype):
    X = _images(4)
    ((pair, _),) = _loader(X, OutlierPool([X]), shuffle=False, outlier_ratio=1, dtype=dtype)
    assert pair.x.dtype == getattr(torch, dtype) and pair.n_in == 4 and len(pair.x) == 8
    assert_array_equal(pair.x[:4], X.astype(dtype) / np.array(255, dtype))


def test_8_bit_tables_and_tokens_keep_their_values():
    X = np.arange(8, dtype=np.uint8).reshape(4, 2)
    for dtype in ("float32", "int64"):
        ((pair, _),) = _loader(X, shuffle=False, dtype=dtype)
        assert_array_equal(pair.x, X)
        assert pair.x.dtype == getattr(torch, dtype)


@pytest.mark.parametrize("first", [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("second", [np.uint8, np.float64])
def test_sources_of_different_dtypes_meet_in_the_unit_interval(first, second):
    white = [np.ones((4, 1, 8, 8), d) * (255 if d == np.uint8 else 1) for d in (first, second)]
    for pair, _ in _loader(white[0].astype(first), OutlierPool([*white])):
        assert pair.x.dtype == torch.float32 and (pair.x == 1).all()


# ---- augmentation


def _crops_and_mirrors(image, pad):
    """All that crop-flip may make of an image, by (y, x, mirrored)."""
    padded, size = F.pad(image, (pad,) * 4), image.shape[-1]
    made = {}
    for y in range(2 * pad + 1):
        for x in range(2 * pad + 1):
            crop = padded[:, y : y + size, x : x + size]
            made |= {(y, x, False): crop, (y, x, True): crop.flip(2)}
    return made


def _transforms(image, outputs, pad):
    """Return which transform each output is."""
    made = _crops_and_mirrors(image, pad)
    stacked = torch.stack(list(made.values()))
    same = (outputs[:, None] == stacked).flatten(2).all(2)
    assert (same.sum(1) == 1).all(), "each output is exactly one crop or mirrored crop"
    return np.array(list(made))[same.int().argmax(1)]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("size", [8, 16])
def test_crop_flip_makes_crops_of_the_padded_image_and_their_mirrors(dtype, size):
    image = (torch.from_numpy(_images(1, size=size)[0]).int() + 1).clamp(max=255).to(dtype)
    torch.manual_seed(0)
    outputs = crop_flip(image.expand(2000, -1, -1, -1))
    assert outputs.dtype == dtype and outputs.shape == (2000, 3, size, size)
    assert outputs.is_contiguous()
    drawn = _transforms(image, outputs, size // 8)
    assert len(np.unique(drawn, axis=0)) == 2 * (2 * (size // 8) + 1) ** 2  # all of them occur
    assert abs(drawn[:, 2].mean() - 0.5) < 0.05  # 4.5 standard deviations of 2000 coins


def test_crop_flip_shifts_rectangles_by_an_eighth_of_each_side():
    image = torch.arange(1.0, 1 + 16 * 40).view(1, 1, 16, 40)
    torch.manual_seed(0)
    corners = crop_flip(image.expand(3000, -1, -1, -1))[:, 0, 8, 20]
    rows = (corners.long() - 1) // 40
    assert rows.min() == 8 - 2 and rows.max() == 8 + 2
    columns = (corners.long() - 1) % 40
    assert columns.min() == 19 - 5 and columns.max() == 20 + 5


def test_crop_flip_is_drawn_for_each_sample_and_alike_for_both_populations():
    image = _images(1)[0] // 2 + 1
    X = np.repeat(image[None], 4000, axis=0)
    loader = _loader(X, OutlierPool([X]), batch_size=4000, outlier_ratio=1, augment="crop-flip")
    torch.manual_seed(0)
    ((pair, _),) = loader
    drawn = _transforms(torch.from_numpy(image) / 255, pair.x, pad=1)
    kind = drawn @ [6, 2, 1]
    counts = np.stack([np.bincount(half, minlength=18) for half in np.split(kind, 2)])
    # Chi-squared of two samples over 18 kinds: 17 degrees of freedom, beyond 41 once in a thousand.
    assert (np.diff(counts, axis=0) ** 2 / counts.sum(0)).sum() < 41
    assert (counts.sum(0) > 8000 / 18 * 0.8).all()


def test_crop_flip_is_reproducible_from_torchs_seed_and_new_at_each_pass():
    loader = _loader(_images(64), augment="crop-flip", shuffle=False, batch_size=64)

    def passes():
        torch.manual_seed(3)
        return [pair.x for _ in range(2) for pair, _ in loader]

    first, again = passes(), passes()
    assert all(map(torch.equal, first, again)) and not torch.equal(first[0], first[1])


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_a_callable_receives_the_joint_batch_in_the_datas_own_dtype(dtype):
    X, A = _images(6, dtype), _images(20, dtype, seed=1)
    seen = []

    def darken(batch):
        seen.append(batch.clone())
        return batch * 0

    loader = _loader(X, OutlierPool([A]), batch_size=6, shuffle=False, augment=darken)
    ((pair, _),) = loader
    assert len(seen) == 1 and len(seen[0]) == 6 + 12
    assert_array_equal(seen[0][:6].numpy(), X)
    assert seen[0].numpy().dtype == dtype
    assert pair.x.dtype == torch.float32 and (pair.x == 0).all()
