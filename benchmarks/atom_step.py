"""Time ATOM's training step, and its mining pass, beside the published procedure.

    OMP_NUM_THREADS=1 python benchmarks/atom_step.py --write   # record in results/atom_step.md
    OMP_NUM_THREADS=1 python benchmarks/atom_step.py --check   # fail where a target is missed

skood's side is ``ATOMDetector.fit``; the other, benchmarks/atom_baseline.py, makes the same step
on the same images from the same weights and random starts. Both take turns in one process, step by
step. Times are CPU times of one thread; it takes about half an hour.
"""

import argparse
import platform
import time
from pathlib import Path

import numpy as np
import skorch
import torch
from allocator import run_keeping_memory
from atom_mining import memory_section, mining_section, mining_times
from atom_precision import precision_section
from atom_training import NETS, steps, training_section
from harness import processor

import skood

RESULTS = Path(__file__).parent / "results" / "atom_step.md"
AT_LEAST = {
    "DenseNet-BC-100-12": 1.5,
    "DenseNet-BC-100-12, bf16": 2.8,
    "WideResNet(40, 4)": 1.25,
    "WideResNet(40, 4), bf16": 2.3,
    "mining": 2.0,
    "mining, bf16": 4.0,
}
AT_MOST = {"difference of a loss": 1e-3, "mining memory, GB": 1.5}
TITLES = {
    "mining": "mining, DenseNet-BC-100-12, ratio",
    "mining, bf16": "mining, DenseNet-BC-100-12, bf16, ratio",
    "difference of a loss": "largest difference of a loss, float32",
}


# ---- the allocator


def densenet_ratios():
    """Return the ratios of steps and of mining, of a few turns, by what was timed."""
    torch.set_num_threads(1)
    ratios, (make, _) = {}, NETS["DenseNet-BC-100-12"]
    for precision in ("float32", "bf16"):
        own, bare, _ = np.median(steps(make, 2, precision=precision)[0], axis=0)
        ratios[f"step, {precision}"] = bare / own
    published, own, bf16 = mining_times(400, 2)[0]
    return ratios | {"mining, float32": published / own, "mining, bf16": published / bf16}


def allocator_section():
    ratios = run_keeping_memory(
        "import atom_step, json; print(json.dumps(atom_step.densenet_ratios()))"
    )
    return [
        "## How much of it is the allocator", "",
        "glibc gives large blocks back to the system after every layer and faults them in again,",
        "which costs large batches most, so the published procedure. The ratios on DenseNet with",
        "`MALLOC_TRIM_THRESHOLD_` and `MALLOC_MMAP_THRESHOLD_` raised before Python starts, so",
        "that both sides keep their memory (2 turns):", "",
        f"| {' | '.join(ratios)} |", "|---" * len(ratios) + "|",
        f"| {' | '.join(f'{ratio:.2f}' for ratio in ratios.values())} |",
    ]


# ---- the record


def verdicts(reached):
    """Return a row for each target, and the names of those missed."""
    rows, missed = [], []
    for wanted, sense in ((AT_LEAST, "at least"), (AT_MOST, "at most")):
        for name, bound in wanted.items():
            value = reached[name]
            met = value >= bound if wanted is AT_LEAST else value <= bound
            missed += [name] * (not met)
            title = TITLES.get(name, f"step, {name}, ratio" if wanted is AT_LEAST else name)
            rows.append(f"| {title} | {value:.3g} | {sense} {bound:g} | {'yes' if met else 'no'} |")
    return rows, missed


def record():
    """Return the record's text and the targets missed."""
    start = time.process_time()
    training, reached = training_section()
    mining, reached_mining = mining_section()
    memory, reached_memory = memory_section()
    rows, missed = verdicts(reached | reached_mining | reached_memory)
    versions = f"Python {platform.python_version()}, " + ", ".join(
        f"{package.__name__} {package.__version__}" for package in (skood, torch, skorch, np)
    )
    rest = [*precision_section(), "", *allocator_section()]
    minutes = (time.process_time() - start) / 60
    lines = [
        "# ATOM: a step and a mining pass beside the published procedure", "",
        "Command: `OMP_NUM_THREADS=1 python benchmarks/atom_step.py --write`",
        f"Machine: {processor()}; one thread, other jobs running. Versions: {versions}.",
        f"Time: {minutes:.0f} CPU minutes, and those of the processes started for memory.",
        "CPU times; skood (`ATOMDetector.fit`) and a plain re-statement of the published procedure",
        "(`atom_baseline.py`) take turns in one process, on the same network, images and starts.",
        "", "| | measured | wanted | reached |", "|---|---|---|---|", *rows,
        "", *training, "", *mining, "", *memory, "", *rest, "",
    ]
    return "\n".join(lines), missed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"record in {RESULTS.name}")
    parser.add_argument("--check", action="store_true", help="fail where a target is missed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    text, missed = record()
    print(text)
    if arguments.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text)
    if arguments.check and missed:
        raise SystemExit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
