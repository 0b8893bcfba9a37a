"""Time what reading a trained network costs over running it, beside pytorch-ood 0.4.0.

    OMP_NUM_THREADS=1 python benchmarks/posthoc.py --peer build/peers --write   # results/posthoc.md
    OMP_NUM_THREADS=1 python benchmarks/posthoc.py --peer build/peers --check   # fail on a miss

The peer is optional: without ``--peer`` its columns are left out, and the targets that compare
with it are not checked. Install it where it cannot touch this environment (its other
requirement, torchvision, is not needed for its detectors):

    pip install --no-deps --target build/peers pytorch-ood==0.4.0

Both libraries read the same network and images in one process, in turns. Times are CPU times of
one thread.
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import pickle
import platform
import subprocess
import sys
import tempfile
import time
import types
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import posthoc_features
import sklearn
import torch
from batch_sizes import rows_chosen, to_float, turns
from harness import processor
from posthoc_features import features_section, product_rate
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import skood
from skood.datasets import fetch_cifar10, fetch_ood
from skood.metrics import auroc
from skood.nn import WideResNet
from skood.posthoc import Classifier
from skood.posthoc.blocks import BLOCK

RESULTS = Path(__file__).parent / "results" / "posthoc.md"
N_FIT, N_TRAIN, EPOCHS, REPEATS = 10_000, 20_000, 3, 7
WIDTHS = (32, 64, 256)
N_WIDE, WIDE_SIZES = 256, (16, 32, 64)  # images, and batches of the bare forward, of WRN-40-2
BARE_SIZES = (32, 64, 128, 256, 512)  # of which the fastest batches are the bare forward's
OWN = {
    "MSP": skood.MSPDetector, "Energy": skood.EnergyDetector,
    "Mahalanobis": skood.MahalanobisDetector, "ViM": skood.ViMDetector,
    "ReAct": skood.ReActDetector, "KNN": skood.KNNDetector,
}
OVER_BARE = 1.05, ("MSP", "Energy", "Mahalanobis", "ViM", "ReAct")  # the most that is allowed
KNN_OVER_PEER, MOST_MB, LARGEST_DIFFERENCE = 1.2, 100, 1e-3


# ---- the network and the data


def network(input_shape, n_outputs):
    """Three convolutions, BatchNorm and ReLU after each, their means, and a last layer."""
    layers = []
    for before, after in zip((input_shape[0], *WIDTHS), WIDTHS, strict=False):
        convolution = nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU()]
    pooled = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(pooled, nn.Linear(WIDTHS[-1], n_outputs))


def trained(data):
    """Return the network after a short training, in torch's own memory format, and its accuracy."""
    classifier = Classifier(network, max_epochs=EPOCHS, batch_size=64, random_state=0)
    classifier.fit(data.X_train[:N_TRAIN], data.y_train[:N_TRAIN])
    accuracy = (classifier.predict_class(data.X_test) == data.y_test).mean()
    # Training has laid it out with channels last, as a user's own network is not.
    net = classifier.module_.to(memory_format=torch.contiguous_format)
    return net.requires_grad_(True).eval(), accuracy


def bare_logits(net, X, size):
    with torch.no_grad():
        return torch.cat([net(to_float(torch.from_numpy(x))) for x in batches(X, size)]).numpy()


def batches(X, size):
    return [X[start : start + size] for start in range(0, len(X), size)]


# ---- pytorch-ood


def peer_detectors(folder):
    """Return pytorch-ood's detectors, or None where no folder is given.

    Its package imports torchvision on the way, which its detectors never use. A bare module in the
    place of the package lets them be imported alone; their code runs unchanged.
    """
    if folder is None:
        return None
    sys.path.append(str(folder))  # last: it shadows nothing of this environment
    spec = importlib.util.find_spec("pytorch_ood")
    if spec is None:
        raise SystemExit(f"no pytorch_ood in {folder}: see the head of this file")
    package = types.ModuleType("pytorch_ood")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["pytorch_ood"] = package
    return importlib.import_module("pytorch_ood.detector")


def peer_makers(peer, net):
    """Return how to make its detectors, with the parameters that are skood's defaults."""
    encoder, head = net
    return {
        "MSP": lambda: peer.MaxSoftmax(net), "Energy": lambda: peer.EnergyBased(net),
        "Mahalanobis": lambda: peer.Mahalanobis(encoder),
        "ViM": lambda: peer.ViM(encoder, WIDTHS[-1] // 2, head.weight, head.bias),
        "ReAct": lambda: peer.ReAct(encoder, head), "KNN": lambda: peer.KNN(encoder),
    }


def peer_scores(detector, X, size, grad=False):
    """Return its scores, turned so that higher = more in-distribution."""
    with torch.set_grad_enabled(grad):
        scores = [detector(to_float(torch.from_numpy(x))) for x in batches(X, size)]
    return -torch.cat(scores).detach().double().numpy()


def timed(call):
    start = time.process_time()
    return call(), time.process_time() - start


def fitted(net, X, y, peer):
    """Return both libraries' detectors by name, and the seconds that their fits took."""
    own = {name: timed(lambda make=make: make(net).fit(X, y)) for name, make in OWN.items()}
    if peer is None:
        return own, {}
    images = TensorDataset(to_float(torch.from_numpy(X)), torch.from_numpy(y).long())
    makers = peer_makers(peer, net).items()
    loader = DataLoader(images, batch_size=128)
    return own, {name: timed(lambda make=make: make().fit(loader)) for name, make in makers}


# ---- memory, each in a process of its own


_MEMORY = """
import pickle, re, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import posthoc
posthoc.torch.set_num_threads(1)
posthoc.peer_detectors({folder!r})

def resident(key):
    return int(re.search(key + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1000

X = posthoc.fetch_cifar10(verbose=False).X_test
detector = pickle.loads(Path({file!r}).read_bytes())
{call}(X[:64])  # what a first call alone costs is no matter of the rows
Path("/proc/self/clear_refs").write_text("5")  # let the peak start afresh
before = resident("VmRSS")
{call}(X)
print(resident("VmHWM") - before)
"""
_OWN = "detector.score_samples"
_BARE = "(lambda X: posthoc.bare_logits(detector, X, {size}))"
_PEER = "(lambda X: posthoc.peer_scores(detector, X, {size}, grad={grad}))"


def memory_added(detector, call, folder):
    """Megabytes that a call on the test images adds at its peak, in a fresh process (Linux)."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "detector.pickle"
        file.write_bytes(pickle.dumps(detector))
        here = str(Path(__file__).parent)
        code = _MEMORY.format(here=here, folder=folder, file=str(file), call=call)
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(run.stderr)
    return float(run.stdout)


# ---- end to end


def bare_section(net, X):
    """Return a row of the bare forward's images a second by batch size, and the fastest size."""
    calls = [partial(bare_logits, net, X, size) for size in BARE_SIZES]
    seconds = turns(calls, 3).min(axis=0)
    row = f"| {' | '.join(f'{len(X) / each:,.0f}' for each in seconds)} |"
    print(row, flush=True)
    return row, BARE_SIZES[int(np.argmin(seconds))]


def times(net, X, size, own, other):
    """Return the least seconds of the bare forward and of both libraries' detectors, by name."""
    calls = {"bare": partial(bare_logits, net, X, size)}
    calls |= {name: partial(each.score_samples, X) for name, (each, _) in own.items()}
    calls |= {
        (name, "peer"): partial(peer_scores, each, X, size) for name, (each, _) in other.items()
    }
    return dict(zip(calls, turns(list(calls.values()), REPEATS).min(axis=0), strict=True))


def aurocs(X, X_ood, size, own, other):
    """Return the AUROC of both libraries' detectors by name."""
    truth = np.repeat([1, -1], [len(X), len(X_ood)])

    def judged(scores):
        return auroc(truth, np.concatenate([scores(X), scores(X_ood)]))

    return (
        {name: judged(each.score_samples) for name, (each, _) in own.items()},
        {name: judged(partial(peer_scores, each, size=size)) for name, (each, _) in other.items()},
    )


def rows(name, seconds, found, n, own, other, memory):
    """Return skood's line of the table, and pytorch-ood's."""
    bare, lines = seconds["bare"], []
    for library, key, fits, judged in (
        ("skood", name, own, found[0]), ("pytorch-ood", (name, "peer"), other, found[1])
    ):
        if key in seconds:
            lines.append(
                f"| {name} | {library} | {fits[name][1]:.2f} | {n / seconds[key]:,.0f} "
                f"| {seconds[key] / bare:.3f} | {memory[key]:.0f} | {100 * judged[name]:.3f} |"
            )
    return lines


def memories(net, size, own, other, folder):
    """Return megabytes added at the peak, by name."""
    peer_call = _PEER.format(size=size, grad=False)
    added = {"bare": memory_added(net, _BARE.format(size=size), folder)}
    added |= {name: memory_added(each, _OWN, folder) for name, (each, _) in own.items()}
    added |= {
        (name, "peer"): memory_added(each, peer_call, folder) for name, (each, _) in other.items()
    }
    if other:
        grad_call = _PEER.format(size=size, grad=True)
        added["grad"] = memory_added(other["MSP"][0], grad_call, folder)
    return added


def end_to_end(peer, folder):
    """Return what the page says of the whole way from images to scores, and what was reached."""
    data, X_ood = fetch_cifar10(), fetch_ood("textures").X_ood
    net, accuracy = trained(data)
    sizes, size = bare_section(net, data.X_test)
    own, other = fitted(net, data.X_train[:N_FIT], data.y_train[:N_FIT], peer)
    seconds = times(net, data.X_test, size, own, other)
    found = aurocs(data.X_test, X_ood, size, own, other)
    memory = memories(net, size, own, other, folder)
    lines = [
        line for name in OWN
        for line in rows(name, seconds, found, len(data.X_test), own, other, memory)
    ]
    print("\n".join(lines), flush=True)
    values = {
        "accuracy": 100 * accuracy, "n_ood": len(X_ood), "size": size, "sizes": sizes,
        "chosen": rows_chosen(net, data.X_test[:1024]),
        "rate": len(data.X_test) / seconds["bare"], "bare_mb": memory["bare"],
        "grad": GRAD.format(mb=memory["grad"]) if other else "", "end_to_end": "\n".join(lines),
    }
    return values, reached_by(seconds, found, memory)


def on_wide_resnet(data):
    """Return rows of a table, and what was reached by target: the papers' network, untrained.

    How long it takes does not depend on what it has learned. Ratios are of turns that follow each
    other, and their medians count: it is long enough for the machine to change its pace.
    """
    torch.manual_seed(0)
    net, X = WideResNet((3, 32, 32), 10).eval(), data.X_test[:N_WIDE]
    most, names = OVER_BARE
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* names .* of X rightly")
        detectors = [OWN[name](net).fit(X, data.y_test[:N_WIDE]) for name in names]
    bare = [partial(bare_logits, net, X, size) for size in WIDE_SIZES]
    seconds = turns([*bare, *(partial(each.score_samples, X) for each in detectors)], REPEATS)
    best = int(np.argmin(np.median(seconds[:, : len(bare)], axis=0)))
    ratios = np.median(seconds[:, len(bare) :] / seconds[:, [best]], axis=0)
    lines = [f"| {name} | {ratio:.3f} |" for name, ratio in zip(names, ratios, strict=True)]
    print("\n".join(lines), flush=True)
    reached = {
        f"{name}, time over the bare forward's, WRN-40-2": (ratio, "at most", most)
        for name, ratio in zip(names, ratios, strict=True)
    }
    values = {
        "wide": "\n".join(lines), "n_wide": N_WIDE, "wide_size": WIDE_SIZES[best],
        "wide_ms": 1e3 * np.median(seconds[:, best]) / N_WIDE,
    }
    return values, reached


def reached_by(seconds, found, memory):
    """Return what was reached by target: value, sense, bound."""
    most, names = OVER_BARE
    reached = {
        f"{name}, time over the bare forward's": (
            seconds[name] / seconds["bare"], "at most", most
        )
        for name in names
    }
    own_mb = max(memory[name] for name in OWN)
    reached["largest memory added, MB"] = own_mb, "at most", MOST_MB
    if found[1]:
        ratio = seconds["KNN", "peer"] / seconds["KNN"]
        reached["KNN, images a second over pytorch-ood's"] = ratio, "at least", KNN_OVER_PEER
        difference = max(abs(found[0][name] - found[1][name]) for name in OWN)
        reached["largest difference of an AUROC"] = difference, "at most", LARGEST_DIFFERENCE
    return reached


# ---- the record


GRAD = """\
pytorch-ood runs under `no_grad` here. Called as it is, its MSP keeps the graph of every batch with
the scores: {mb:,.0f} MB instead.
"""
ALONE = """
pytorch-ood was not given (`--peer`): its columns and the targets that are ratios to it are left
out.
"""
OVER = """
Where the time over the bare forward's goes (tried apart, in turns of 1,024 and 4,096 rows of the
small network, on a processor where a row takes 135 microseconds). skood takes 64 rows a batch by a
rule of memory; the table below has what the best batch gains over that. In batches of one size,
reading the logits takes 1 to 4 % more than the bare forward, reading the features 1 to 2 % more
than that. The score of a row takes 0.1 microseconds for MSP and energy, 0.8 for ReAct, 2.4 for ViM
and 2.6 for Mahalanobis, in float64: 2 % of so small a network, and the less the larger it is. The
measure has an error of some percent: pytorch-ood's MSP is the bare loop, in the same batches, and a
softmax.
"""
DICE = """
Why DICE misses: the product of the features and the sparse weights, in float64 as all of skood's
scores, takes {product:,.0f} rows a second by itself on this processor, whose vectors are
those of AVX2. In float32 it is twice as fast; skood's scores are float64 throughout.
"""
PAGE = """\
# Reading a trained network, beside pytorch-ood

Command: `OMP_NUM_THREADS=1 python benchmarks/posthoc.py --peer build/peers --write`
Machine: {processor}; one thread, other jobs running. Versions: {versions}.
Time: {minutes:.0f} CPU minutes.
CPU times; both libraries take turns in one process, and the fastest turn of each counts, {repeats}
of images and {repeats_features} of features: other jobs only ever add to a time.

| | measured | wanted | reached |
|---|---|---|---|
{targets}
{why}
## From images to scores

The {n:,} test images of CIFAR-10, 8-bit, read by a network of three convolutions with BatchNorm
(d = {d}), trained for {epochs} epochs ({accuracy:.0f} % right), in torch's own memory format; the
detectors are fitted on {n_fit:,} training images, all parameters at skood's defaults. Outliers for
the AUROC: the {n_ood:,} images of "textures".

The bare forward under `no_grad`, images a second by the size of its batches:

| {bare_sizes} |
{rule}
{sizes}

"Over bare" is relative to batches of {size}, {rate:,.0f} images a second, of which pytorch-ood's
detectors are given the same; skood chooses {chosen} for this network. MB: what the resident memory
of a fresh process gains at its peak, of the second call; the bare forward's are {bare_mb:.0f}.
{grad}
| | library | fit, s | images a second | over bare | MB | AUROC |
|---|---|---|---|---|---|---|
{end_to_end}

- pytorch-ood reads pictures from a `DataLoader` to be fitted; skood's fit also scores the training
  images, for its threshold, and KNN is most expensive there.
- KNN holds a matrix of distances of up to 32 MB, and here works on a bank of {n_fit:,} rows.

## On the papers' network

A WideResNet-40-2, untrained, {n_wide} images, against the bare forward in its best batches, of
{wide_size}: {wide_ms:.1f} ms an image. Medians of the ratios of turns.

| | over bare |
|---|---|
{wide}

## From features to scores

{n_features:,} x {d_features} features in float32, {n_classes} classes; the rows scored are new.
KNN and NNGuide look up fewer of them in a bank of as many. skood in blocks of {block}, pytorch-ood
in the faster batches of {peer_sizes}, its slow ones on fewer rows. "1 - r": of the correlation of
both libraries' scores.

{features_head}
{features}

- pytorch-ood computes in float32, skood in float64, which costs up to a factor of three where a
  matrix product or an exponential is all there is to do (ViM, ReAct, KL matching).
- pytorch-ood's GradNorm has no call on features: it was given the last layer as its network.
"""


def met(value, sense, bound):
    return value <= bound if sense == "at most" else value >= bound


def target_line(name, value, sense, bound):
    shown = f"{value:,.0f}" if value > 1000 else f"{value:.4g}"
    verdict = "yes" if met(value, sense, bound) else "no"
    return f"| {name} | {shown} | {sense} {bound:,g} | {verdict} |"


def versions(peer):
    found = f"Python {platform.python_version()}, " + ", ".join(
        f"{package.__name__} {package.__version__}" for package in (skood, torch, sklearn, np)
    )
    return found if peer is None else (
        f"{found}, pytorch-ood {importlib.metadata.version('pytorch-ood')}"
    )


def record(folder):
    """Return the record's text and the targets missed."""
    start, peer = time.process_time(), peer_detectors(folder)
    values, reached = end_to_end(peer, folder)
    wide, reached_wide = on_wide_resnet(fetch_cifar10())
    values, reached = values | wide, reached | reached_wide
    features, reached_features = features_section(peer)
    reached |= reached_features
    missed = [name for name, target in reached.items() if not met(*target)]
    why = "" if peer else ALONE
    if any("bare" in name for name in missed):
        why += OVER
    if any(name.startswith("DICE") for name in missed):
        why += DICE.format(product=product_rate())
    text = PAGE.format(
        processor=processor(), versions=versions(peer), repeats=REPEATS, why=why,
        minutes=(time.process_time() - start) / 60, repeats_features=posthoc_features.REPEATS,
        targets="\n".join(target_line(name, *target) for name, target in reached.items()),
        n=10_000, d=WIDTHS[-1], epochs=EPOCHS, n_fit=N_FIT, features="\n".join(features),
        bare_sizes=" | ".join(map(str, BARE_SIZES)), rule="|---" * len(BARE_SIZES) + "|",
        n_features=posthoc_features.N, d_features=posthoc_features.D, block=BLOCK,
        n_classes=posthoc_features.N_CLASSES, peer_sizes=posthoc_features.PEER_SIZES,
        features_head=posthoc_features.head_of_table(peer), **values,
    )
    return text, missed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", help="the folder that pytorch-ood was installed in")
    parser.add_argument("--write", action="store_true", help=f"record in {RESULTS.name}")
    parser.add_argument("--check", action="store_true", help="fail where a target is missed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    text, missed = record(arguments.peer)
    print(text)
    if arguments.write:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text)
    if arguments.check and missed:
        raise SystemExit(f"missed: {', '.join(missed)}")


if __name__ == "__main__":
    main()
