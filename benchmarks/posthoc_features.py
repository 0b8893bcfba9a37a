"""Time the scores of logits and features alone, beside pytorch-ood's: the network is left out.

    OMP_NUM_THREADS=1 python benchmarks/posthoc_features.py

benchmarks/posthoc.py records it in results/posthoc.md.
"""

from functools import partial

import numpy as np
import torch
from batch_sizes import turns
from torch import nn

import skood
from skood.posthoc.blocks import blocks

N, D, N_CLASSES, REPEATS = 50_000, 512, 100, 4
N_NEIGHBOURS = 2_000  # rows that are looked up in a bank of N
N_PEER = {"Mahalanobis": 2_000, "DICE": 10_000, "GradNorm": 500}  # fewer of its slow ones
PEER_SIZES = (128, 1024)  # batch sizes of which pytorch-ood has the faster
AT_LEAST = {  # rows a second
    "Mahalanobis": 50_000, "DICE": 300_000, "KL matching": 100_000, "GradNorm": 100_000,
}
OWN = {
    "Mahalanobis": skood.MahalanobisDetector, "DICE": skood.DICEDetector,
    "KL matching": skood.KLMatchingDetector, "GradNorm": skood.GradNormDetector,
    "ViM": skood.ViMDetector, "ReAct": skood.ReActDetector,
    "KNN": skood.KNNDetector, "NNGuide": skood.NNGuideDetector,
}


def rows_of(name):
    return N_NEIGHBOURS if name in ("KNN", "NNGuide") else N


def layer():
    """Return features of classes that differ, after a ReLU, new ones, classes, and a last layer."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(N_CLASSES, D)).astype(np.float32)
    y = rng.integers(N_CLASSES, size=N)
    features, others = (
        np.maximum(centres[y] + rng.standard_normal((N, D), np.float32), 0) for _ in range(2)
    )
    head = nn.Linear(D, N_CLASSES)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(centres / 64))
    return features, others, y, head.requires_grad_(False)


# ---- both sides


def own_scores(name, features, others, y, head):
    """Return skood's detector, fitted, as a call on the first of the new rows."""
    detector = OWN[name]()
    detector._weight, detector._bias = head.weight.double().numpy(), head.bias.double().numpy()
    detector._n_read, detector._ends = N_CLASSES, []  # all classes, of one layer
    detector._learn(head(torch.from_numpy(features)).numpy(), features, y)
    logits = head(torch.from_numpy(others)).numpy()

    def scores(n):
        return np.concatenate([
            detector._score_rows(logits[part], others[part]) for part in blocks(n)
        ])

    return scores


def peer_scores(name, features, others, y, head, peer):
    """Return pytorch-ood's detector, fitted, as a call on the first rows in batches of a size."""
    w, b = head.weight, head.bias
    features, others, y = map(torch.from_numpy, (features, others, y))
    score = {
        "Mahalanobis": lambda: peer.Mahalanobis(None).fit_features(features, y),
        "DICE": lambda: peer.DICE(None, w, b, 0.9).fit_features(features, y),
        "KL matching": lambda: peer.KLMatching(None).fit_logits(head(features), y),
        # It has no call on features: the last layer is its whole network.
        "GradNorm": lambda: peer.GradNorm(head, lambda name: name == "weight"),
        "ViM": lambda: peer.ViM(None, D // 2, w, b).fit_features(features, y),
        "ReAct": lambda: peer.ReAct(None, head).fit_feature_maps(features, y),
        "KNN": lambda: peer.KNN(None).fit_features(features, y),
        "NNGuide": lambda: peer.NNGuide(None, head).fit_features(features, y),
    }[name]()
    rows = head(others) if name == "KL matching" else others
    methods = ("predict_features", "predict_logits", "predict_feature_maps", "predict")
    call = next(getattr(score, method) for method in methods if hasattr(score, method))

    def scores(n, size):
        with torch.no_grad():
            return -torch.cat([call(batch) for batch in rows[:n].split(size)]).double().numpy()

    return scores


# ---- the table


def measured(name, data, peer):
    """Return rows a second of skood and of pytorch-ood, its batch size, and the correlation."""
    n, own = rows_of(name), own_scores(name, *data)
    if peer is None:
        return n / turns([partial(own, n)], REPEATS).min(), None, None, None
    other, m = peer_scores(name, *data, peer), N_PEER.get(name, n)
    calls = [partial(own, n), *(partial(other, m, size) for size in PEER_SIZES)]
    seconds, *others = turns(calls, REPEATS).min(axis=0)
    best = int(np.argmin(others))
    alike = np.corrcoef(own(m), other(m, 128))[0, 1]
    return n / seconds, m / others[best], PEER_SIZES[best], alike


def product_rate():
    """Return the rows a second of DICE's matrix product alone, in float64."""
    features, weight = np.ones((blocks(N)[0].stop, D)), np.ones((N_CLASSES, D))
    return len(features) / turns([lambda: features @ weight.T], 9).min()


def head_of_table(peer):
    names = ["", "rows", "skood, rows a second"]
    if peer is not None:
        names += ["pytorch-ood, rows a second", "its batch", "ratio", "1 - r"]
    return f"| {' | '.join(names)} |\n{'|---' * len(names)}|"


def features_section(peer):
    """Return the lines of the record, and what was reached by target."""
    data, lines, reached = layer(), [], {}
    for name in OWN:
        rate, other, size, alike = measured(name, data, peer)
        beside = "" if peer is None else (
            f" {other:,.0f} | {size} | {rate / other:.3g} | {1 - alike:.0e} |"
        )
        lines.append(f"| {name} | {rows_of(name):,} | {rate:,.0f} |{beside}")
        print(lines[-1], flush=True)
        if name in AT_LEAST:
            reached[f"{name} on features, rows a second"] = (rate, "at least", AT_LEAST[name])
    return lines, reached


if __name__ == "__main__":
    torch.set_num_threads(1)
    features_section(None)
