"""Detectors that read a trained network: published numbers, identities, peers' faults."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import skood

GOLDEN = np.load(Path(__file__).parent / "reference" / "scores.npz")


class Head(nn.Module):
    """The reference's last layer: its inputs are the features."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(32, 10).double()
        self.fc.weight.data = torch.from_numpy(GOLDEN["fc_weight"])
        self.fc.bias.data = torch.from_numpy(GOLDEN["fc_bias"])

    def forward(self, x):
        return self.fc(x)


def number(name):
    return GOLDEN[name].item()


PUBLISHED = {
    "msp": lambda net: skood.MSPDetector(net, dtype="float64"),
    "max_logit": lambda net: skood.MaxLogitDetector(net, dtype="float64"),
    "energy": lambda net: skood.EnergyDetector(net, dtype="float64"),
    "gen": lambda net: skood.GENDetector(
        net, gamma=number("gen_gamma"), n_largest=number("gen_m"), dtype="float64"
    ),
    "klm": lambda net: skood.KLMatchingDetector(net, dtype="float64"),
    "mahalanobis": lambda net: skood.MahalanobisDetector(net, dtype="float64"),
    "rmds": lambda net: skood.RMDSDetector(net, dtype="float64"),
    "knn_distance": lambda net: skood.KNNDetector(
        net, n_neighbors=number("knn_k"), dtype="float64"
    ),
    "vim": lambda net: skood.ViMDetector(net, n_dims=number("vim_dim"), dtype="float64"),
    "residual": lambda net: skood.ResidualDetector(
        net, n_dims=number("residual_dim"), dtype="float64"
    ),
    "react": lambda net: skood.ReActDetector(
        net, percentile=number("percentile"), dtype="float64"
    ),
    **{
        f"ash_{variant}": lambda net, variant=variant: skood.ASHDetector(
            net, variant=variant, percentile=number("percentile"), dtype="float64"
        )
        for variant in "pbs"
    },
    "scale": lambda net: skood.SCALEDetector(
        net, percentile=number("percentile"), dtype="float64"
    ),
    "dice": lambda net: skood.DICEDetector(net, percentile=number("percentile"), dtype="float64"),
    "gradnorm": lambda net: skood.GradNormDetector(net, dtype="float64"),
    "she": lambda net: skood.SHEDetector(net, dtype="float64"),
    "fdbd": lambda net: skood.FDBDDetector(net, dtype="float64"),
    "nci": lambda net: skood.NCIDetector(net, alpha=number("nci_alpha"), dtype="float64"),
    "nnguide": lambda net: skood.NNGuideDetector(
        net, n_neighbors=number("nnguide_k"), dtype="float64"
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_scores_are_the_published_ones(name):
    detector = PUBLISHED[name](Head()).fit(GOLDEN["features_train"], GOLDEN["labels_train"])
    # NNGuide's reference adds 1e-10 to what it has normalised.
    rtol = 1e-6 if name == "nnguide" else 1e-9
    np.testing.assert_allclose(
        detector.score_samples(GOLDEN["features_test"]), GOLDEN[f"score_{name}"],
        rtol=rtol, atol=1e-9,
    )


@pytest.mark.parametrize(("name", "Detector"), [
    ("mahalanobis_dead", skood.MahalanobisDetector), ("rmds_dead", skood.RMDSDetector),
])
def test_features_that_are_always_0_are_left_out(name, Detector):
    train, test = GOLDEN["features_train"].copy(), GOLDEN["features_test"].copy()
    train[:, GOLDEN["dead_columns"]] = test[:, GOLDEN["dead_columns"]] = 0
    detector = Detector(Head(), dtype="float64").fit(train, GOLDEN["labels_train"])
    np.testing.assert_allclose(detector.score_samples(test), GOLDEN[f"score_{name}"], rtol=1e-8)
