"""The one table of detectors, with fast parameters, that the common tests run over.

``make()`` gives fresh instances: every public detector, in the configurations that take different
paths through the code.
"""

from sklearn.ensemble import IsolationForest

import skood

FAST = {"max_epochs": 2, "batch_size": 32, "module__hidden": (8,), "random_state": 0}


def net():
    """Return what the detectors read that read a trained network."""
    return skood.EnergyExposureDetector(**FAST)


def make():
    """Return all instances, by a name that says what is special about each."""
    return make_training() | make_reading() | make_around()


def make_training():
    """Return the instances that train a network."""
    return {
        "OE": skood.OutlierExposureDetector(**FAST),
        "OE-uniform-pretrained": skood.OutlierExposureDetector(
            score="uniform", pretrain_epochs=1, **FAST
        ),
        "OE-sgd-float64": skood.OutlierExposureDetector(
            optimizer="sgd", schedule="constant", dtype="float64", outlier_ratio=0.5,
            **(FAST | {"lr": 1e-4}),
        ),
        "Energy": skood.EnergyExposureDetector(**FAST),
        "Energy-margins": skood.EnergyExposureDetector(m_in=-5.0, m_out=-1.0, **FAST),
        "GReg": skood.GRegDetector(**FAST),
        "GReg+": skood.GRegDetector(sampling="clustered", n_clusters=2, **FAST),
        "DOS": skood.DOSDetector(**FAST),
        "Energy-defaults": skood.EnergyExposureDetector(),
        "OE-defaults": skood.OutlierExposureDetector(),
        "OE-bf16": skood.OutlierExposureDetector(precision="bf16", **FAST),
        "NTOM": skood.NTOMDetector(**FAST),
        "NTOM-pretrained": skood.NTOMDetector(pretrain_epochs=1, record_kept=True, **FAST),
        "NTOM-defaults": skood.NTOMDetector(),
        "ATOM": skood.ATOMDetector(**FAST),
        "ATOM-bounded": skood.ATOMDetector(eps=0.2, bounds=None, n_steps=2, **FAST),
        "ATOM-bf16": skood.ATOMDetector(precision="bf16", **FAST),
        "ATOM-defaults": skood.ATOMDetector(),
        "ACET": skood.ACETDetector(**FAST),
        "ACET-uniform-bounded": skood.ACETDetector(
            score="uniform", eps=0.2, bounds=None, n_steps=2, pretrain_epochs=1, **FAST
        ),
        "ACET-defaults": skood.ACETDetector(),
        "SOFL": skood.SOFLDetector(**FAST),
        "SOFL-one-phase": skood.SOFLDetector(n_reject=1, pretrain_epochs=0, **FAST),
        "SOFL-defaults": skood.SOFLDetector(),
        "WOODS": skood.WOODSDetector(**FAST),
        "WOODS-sgd": skood.WOODSDetector(
            optimizer="sgd", ce_tolerance=1.0, **(FAST | {"lr": 1e-3})
        ),
        "WOODS-defaults": skood.WOODSDetector(),
        "UM": skood.UnleashingMaskDetector(**FAST),
        "UM-prune": skood.UnleashingMaskDetector(strategy="prune", n_masks=2, **FAST),
        "UM-energy": skood.UnleashingMaskDetector(
            exposure="energy", beta=0.1, score="max_logit", level=0.3, pretrain_epochs=1, **FAST
        ),
        "UM-defaults": skood.UnleashingMaskDetector(),
    }


def make_reading():
    """Return the instances that read a trained network."""
    return {
        "MSP": skood.MSPDetector(net()),
        "MSP-defaults": skood.MSPDetector(),
        "MaxLogit": skood.MaxLogitDetector(net()),
        "Energy-score": skood.EnergyDetector(net(), temperature=0.5),
        "GEN": skood.GENDetector(net(), n_largest=2),
        "KLMatching": skood.KLMatchingDetector(net()),
        "ODIN": skood.ODINDetector(net()),
        "Mahalanobis": skood.MahalanobisDetector(net()),
        "Mahalanobis++": skood.MahalanobisDetector(net(), normalize=True, feature_layer="hidden"),
        "Mahalanobis-layers": skood.MahalanobisDetector(net(), feature_layer="all"),
        "RMDS": skood.RMDSDetector(net()),
        "KNN": skood.KNNDetector(net(), n_neighbors=5),
        "KNN-defaults": skood.KNNDetector(),
        "ViM": skood.ViMDetector(net()),
        "Residual": skood.ResidualDetector(net(), n_dims=3),
        "ReAct": skood.ReActDetector(net()),
        "ASH": skood.ASHDetector(net()),
        "ASH-B": skood.ASHDetector(net(), variant="b", percentile=50),
        "SCALE": skood.SCALEDetector(net()),
        "DICE": skood.DICEDetector(net(), percentile=50),
        "GradNorm": skood.GradNormDetector(net()),
        "Gram": skood.GramDetector(net()),
        "Gram-even": skood.GramDetector(net(), powers=(2, 4)),
        "GROOD": skood.GROODDetector(net()),
        "SHE": skood.SHEDetector(net()),
        "fDBD": skood.FDBDDetector(net()),
        "NCI": skood.NCIDetector(net()),
        "NNGuide": skood.NNGuideDetector(net(), n_neighbors=3),
        "Score": skood.ScoreDetector(net()),
    }


def make_around():
    """Return the instances around another detector."""
    forest = IsolationForest(n_estimators=10, random_state=0)
    return {
        "Conformal-forest": skood.ConformalDetector(forest),
        "Conformal-forest-cross": skood.ConformalDetector(forest, method="cross", n_folds=3),
        "Conformal-OE": skood.ConformalDetector(skood.OutlierExposureDetector(**FAST)),
        "Conformal-OE-cross": skood.ConformalDetector(
            skood.OutlierExposureDetector(**FAST), method="cross", n_folds=2, alpha=0.1
        ),
    }
