"""One fit in two processes of Accelerate, beside the same fit in one."""

import builtins
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from skood import OutlierExposureDetector

from . import accelerated

SCRIPT = Path(accelerated.__file__)
SEEDED = sorted(accelerated.DETECTORS)


@pytest.fixture(scope="module")
def alone():
    return accelerated.run(device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("accelerated")


@pytest.fixture(scope="module")
def together(folder):
    """What each of two processes has, of one launch for all tests."""
    pytest.importorskip("accelerate", reason="the extra 'distributed' is not installed")
    # On CPUs Accelerate leaves it to MPI or torch to start the processes.
    command = "-m accelerate.commands.launch --cpu --num_processes 2 -m torch.distributed.run"
    own = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[1])}
    run = subprocess.run(
        [sys.executable, *command.split(), "--standalone", "--nproc_per_node", "2", SCRIPT, folder],
        env=own, cwd=folder, capture_output=True, text=True, timeout=300,
    )
    assert run.returncode == 0, run.stderr
    return [pickle.loads((folder / f"{i}.pickle").read_bytes()) for i in range(2)]


@pytest.mark.parametrize("name", SEEDED)
def test_two_processes_learn_what_one_learns_of_the_joint_batch(name, alone, together):
    one, two = alone[name], together[0][name]
    atol = 1e-4 * np.ptp(one["scores"])  # rounding, of gradients summed in another order
    np.testing.assert_allclose(two["scores"], one["scores"], rtol=0, atol=atol)
    assert two["offset"] == pytest.approx(one["offset"], abs=atol)
    for row, of_one in zip(two["history"], one["history"], strict=True):
        assert row["train_loss"] == pytest.approx(of_one["train_loss"], rel=1e-4)


@pytest.mark.parametrize("name", [*SEEDED, "unseeded", "reading", "whole", "resumed"])
def test_both_processes_hold_the_same_bits(name, together):
    first, second = (each[name] for each in together)
    assert first["weights"].keys() == second["weights"].keys()
    for key, weight in first["weights"].items():
        np.testing.assert_array_equal(second["weights"][key], weight)
    np.testing.assert_array_equal(second["scores"], first["scores"])
    assert second["offset"] == first["offset"]
    assert [r["train_loss"] for r in second["history"]] == [
        r["train_loss"] for r in first["history"]
    ]


@pytest.mark.parametrize("name", ["atom", "atom, images"])
def test_each_candidate_is_scored_in_one_process_alone(name, alone, together):
    shares = [each[name]["n_scored"] for each in together]
    assert sum(shares) == alone[name]["n_scored"] > 0
    assert shares[0] == shares[1]


def test_the_same_candidates_are_kept(alone, together):
    for row, of_one in zip(
        together[0]["atom"]["history"], alone["atom"]["history"], strict=True
    ):
        np.testing.assert_array_equal(row["kept_index"], of_one["kept_index"])


@pytest.mark.parametrize("name", ["oe", "atom"])
def test_the_detector_is_an_ordinary_one_after_the_fit(name, together):
    detector = pickle.loads(together[1][name]["detector"])
    rows, _, x_out = accelerated.data()["rows"]
    scores = detector.score_samples(np.concatenate([rows, x_out]))
    np.testing.assert_array_equal(scores, together[1][name]["scores"])
    assert type(detector.module_).__name__ == "MLP"
    # The parameter is all that remains of the word.
    assert together[1][name]["detector"].count(b"ccelerate") == 1


def test_an_interrupted_fit_goes_on_in_all_processes(together):
    for each in together:
        assert "3 epochs are kept" in each["interruption"]
        np.testing.assert_array_equal(each["resumed"]["scores"], each["whole"]["scores"])
        losses = [[r["train_loss"] for r in each[k]["history"]] for k in ("resumed", "whole")]
        assert losses[0] == losses[1]


def test_a_fit_begun_in_two_processes_goes_on_in_one(folder, together, monkeypatch):
    monkeypatch.setattr(accelerated.Stop, "on", False)
    x_in, y_in, x_out = accelerated.data()["rows"]
    detector = accelerated.interruptible("cpu")
    detector.set_params(checkpoint=folder / "interrupted.checkpoint")
    detector.fit(x_in, y_in, X_aux=(x_out,), resume=True)
    losses, of_two = ([r["train_loss"] for r in history] for history in (
        detector.history_, together[0]["whole"]["history"]
    ))
    assert losses[:3] == of_two[:3]
    assert losses[3] != of_two[3]  # its dropout was drawn here


def test_processes_with_other_data_are_told(together):
    for each in together:
        assert "all 2 processes must fit the same, but X is float32[130, 64]" in each["unlike"]


def test_batches_too_small_to_share_are_refused(together):
    for each in together:
        assert "batches of 1 rows of X cannot be shared among 2 processes" in each["few"]


# ---- in one process


def test_one_process_alone_fits_as_ever(alone):
    pytest.importorskip("accelerate", reason="the extra 'distributed' is not installed")
    detector = accelerated.DETECTORS["oe"].set_params(device="accelerate")
    x_in, y_in, x_out = accelerated.data()["rows"]
    detector.fit(x_in, y_in, X_aux=(x_out,))
    if torch.cuda.is_available():
        return  # Accelerate chooses the GPU there, and sums otherwise
    scores = detector.score_samples(np.concatenate([x_in, x_out]))
    np.testing.assert_array_equal(scores, alone["oe"]["scores"])


def test_a_launch_that_starts_one_process_of_several_is_told(monkeypatch):
    pytest.importorskip("accelerate", reason="the extra 'distributed' is not installed")
    x_in, y_in, x_out = accelerated.data()["rows"]
    detector = OutlierExposureDetector(max_epochs=1, device="accelerate")
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")  # as `launch --cpu --num_processes 2` does
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.warns(UserWarning, match="one process alone.*torch.distributed.run") as told:
        detector.fit(x_in, y_in, X_aux=(x_out,))
    assert told[0].filename == __file__


def test_a_missing_accelerate_is_named(monkeypatch):
    found = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "accelerate":
            raise ImportError(name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    x_in, y_in, x_out = accelerated.data()["rows"]
    detector = OutlierExposureDetector(device="accelerate")
    with pytest.raises(ImportError, match=r'pip install "skood\[distributed\]"'):
        detector.fit(x_in, y_in, X_aux=(x_out,))
