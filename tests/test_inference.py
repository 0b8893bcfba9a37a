"""Scoring: a row has one score, whatever company it comes in, and scoring leaves no trace."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from skood.engine.inference import in_eval_mode, predict_logits
from skood.nn import MLP, MNISTConvNet, SmallResNet

N = 333  # several batches for each net but the MLP's, the last one uneven


def _tanh_net(input_shape, n_outputs):
    # Odd widths: what a vector loop of tanh leaves over differs from row to row.
    return nn.Sequential(nn.Linear(*input_shape, 33), nn.Tanh(), nn.Linear(33, n_outputs))


NETS = {
    "MLP": (MLP, (20,)),
    "MLP-odd-widths": (lambda *args: MLP(*args, hidden=(33, 7)), (5,)),
    "tanh": (_tanh_net, (20,)),
    "SmallResNet": (SmallResNet, (3, 32, 32)),
    "SmallResNet-8x8": (SmallResNet, (1, 8, 8)),
    "MNISTConvNet": (MNISTConvNet, (1, 28, 28)),
}


def _net_and_data(name, n=N, dtype=np.float32):
    make, shape = NETS[name]
    torch.manual_seed(0)
    net = make(shape, 10).to(torch.float64 if dtype == np.float64 else torch.float32)
    return net.eval(), np.random.default_rng(0).random((n, *shape)).astype(dtype)


@pytest.mark.parametrize("name", NETS)
def test_a_row_has_the_same_logits_alone_in_a_slice_and_in_the_whole(name):
    net, X = _net_and_data(name)
    whole = predict_logits(net, X, "float32")
    for rows in (slice(0, 1), slice(332, 333), slice(17, 18), slice(3, 10), slice(100, 333)):
        np.testing.assert_array_equal(predict_logits(net, X[rows], "float32"), whole[rows])
    np.testing.assert_array_equal(predict_logits(net, X[::-1], "float32"), whole[::-1])


@pytest.mark.parametrize("n_bytes", [1, 2**16, 2**20, 2**24])
@pytest.mark.parametrize("name", NETS)
def test_logits_do_not_depend_on_the_batch_size(name, n_bytes, monkeypatch):
    net, X = _net_and_data(name)
    expected = predict_logits(net, X, "float32")
    monkeypatch.setattr("skood.engine.inference._LARGEST_BYTES", n_bytes)
    np.testing.assert_array_equal(predict_logits(net, X, "float32"), expected)


@pytest.mark.parametrize("name", ["MLP", "tanh"])
def test_float64_rows_are_bitwise_alike_too(name):
    net, X = _net_and_data(name, dtype=np.float64)
    whole = predict_logits(net, X, "float64")
    assert whole.dtype == np.float64
    np.testing.assert_array_equal(predict_logits(net, X[40:47], "float64"), whole[40:47])


@pytest.mark.parametrize("name", NETS)
def test_logits_are_those_of_a_plain_forward(name):
    net, X = _net_and_data(name, n=50)
    with torch.no_grad():
        plain = net(torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(predict_logits(net, X, "float32"), plain, rtol=1e-5, atol=1e-6)


def test_8_bit_images_are_read_as_unit_interval():
    net, _ = _net_and_data("SmallResNet")
    X = np.random.default_rng(0).integers(256, size=(40, 3, 32, 32), dtype=np.uint8)
    expected = predict_logits(net, X.astype(np.float32) / np.float32(255), "float32")
    np.testing.assert_array_equal(predict_logits(net, X, "float32"), expected)


def _batch_lengths(net, X):
    lengths = []
    with net.register_forward_hook(lambda net, args, logits: lengths.append(len(logits))):
        predict_logits(net, X, "float32")
    return lengths


def test_wide_activations_get_small_batches():
    # SmallResNet's largest tensor has 16 channels of 16 x 16 float32: 16 KiB a row, 128 in 2 MiB.
    assert _batch_lengths(*_net_and_data("SmallResNet")) == [16, 128, 128, 64]
    narrow = SmallResNet((3, 32, 32), 10, width=64)
    assert max(_batch_lengths(narrow.eval(), _net_and_data("SmallResNet")[1])) == 32


def test_tables_get_large_batches():
    assert _batch_lengths(*_net_and_data("MLP", n=9000)) == [32, 8192, 800]


def test_functional_calls_count_for_the_batch_size():
    class Blowing(nn.Module):
        def forward(self, x):
            return torch.outer(x[:, 0], torch.ones(2**14)).sum(1, keepdim=True)

    assert _batch_lengths(Blowing(), np.zeros((100, 2), np.float32)) == [32, 32, 32, 32]


class _Noisy(nn.Module):
    """Would change the logits, the weights and the user's data in the wrong mode."""

    def __init__(self):
        super().__init__()
        self.norm, self.dropout, self.head = nn.BatchNorm1d(20), nn.Dropout(), nn.Linear(20, 3)

    def forward(self, x):
        x += 1
        return self.head(self.dropout(self.norm(x)))


def test_modes_gradients_weights_and_data_are_left_as_they_were():
    net, X = _Noisy(), np.random.default_rng(0).normal(size=(100, 20)).astype(np.float32)
    net.train()
    net.norm.eval()
    net.head.weight.requires_grad_(False)
    before, data = {k: v.clone() for k, v in net.state_dict().items()}, X.copy()
    state = torch.get_rng_state()
    logits = predict_logits(net, X, "float32")
    np.testing.assert_array_equal(logits, predict_logits(net, X, "float32"))
    modes = {name: child.training for name, child in net.named_modules()}
    assert modes == {"": True, "norm": False, "dropout": True, "head": True}
    assert not net.head.weight.requires_grad and net.head.bias.requires_grad
    assert torch.is_grad_enabled() and all(p.grad is None for p in net.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(X, data)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


def test_modes_come_back_after_an_error():
    net = nn.Sequential(nn.Linear(20, 3), nn.Dropout())
    with pytest.raises(RuntimeError, match="shapes"):
        predict_logits(net, np.zeros((4, 7), np.float32), "float32")
    assert net.training and net[1].training and torch.is_grad_enabled()


def test_the_shadow_in_eval_mode_shares_tensors_and_not_modes():
    net = nn.Sequential(nn.Sequential(nn.Dropout()), nn.Linear(2, 2))
    shadow = in_eval_mode(net)
    assert not any(child.training for child in shadow.modules())
    assert all(child.training for child in net.modules())
    assert shadow[1].weight is net[1].weight
    assert in_eval_mode(net.eval()) is net


class _Counted(np.memmap):
    """A mapped array that remembers how many rows were taken out of it at a time."""

    taken = ()

    def __getitem__(self, index):
        part = super().__getitem__(index)
        type(self).taken = (*self.taken, len(part))
        return part


def test_a_mapped_file_stays_mapped(tmp_path):
    net, X = _net_and_data("SmallResNet")
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r").view(_Counted)
    np.testing.assert_array_equal(
        predict_logits(net, mapped, "float32"), predict_logits(net, X, "float32")
    )
    assert sum(_Counted.taken) == N and max(_Counted.taken) == 128


@pytest.mark.parametrize("name", ["MLP", "SmallResNet", "MNISTConvNet"])
def test_threads_scoring_one_net_at_once_agree(name):
    net, X = _net_and_data(name)
    expected = predict_logits(net, X, "float32")
    with ThreadPoolExecutor(4) as threads:
        for logits in threads.map(lambda _: predict_logits(net, X, "float32"), range(12)):
            np.testing.assert_array_equal(logits, expected)


def test_a_scripted_module_gets_batches_that_fit():
    seen = []

    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(3072, 2)))

        def forward(self, x):
            seen.append(len(x))
            return self.inner(x)

    predict_logits(Counted().eval(), np.zeros((600, 3, 32, 32), np.uint8), "float32")
    assert max(seen) * 3072 * 4 <= 2**21


def test_a_half_precise_network_scores_in_float32():
    net = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(8, 2)).bfloat16().eval()
    logits = predict_logits(net, np.ones((5, 2), np.int64), "int64")
    assert logits.dtype == np.float32
