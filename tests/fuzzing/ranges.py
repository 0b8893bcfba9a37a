"""The range of each detector's score, as its documentation has it."""

import math

ANY, AT_MOST_0, AT_LEAST_0 = (-math.inf, math.inf), (-math.inf, 0), (0, math.inf)
MINUS_A_PROBABILITY = (-1, 0)


def _largest_probability(detector, n_classes):
    return 1 / n_classes, 1


def _generalized_entropy(detector, n_classes):
    n_read = min(detector.n_largest or n_classes, n_classes)
    return -n_read / 4**detector.gamma, 0  # p (1 - p) is at most 1/4


def _read_probabilities(detector, n_classes):
    score = detector.get_params()["score"]
    if score == "uniform":
        return math.log(n_classes), math.inf
    return _largest_probability(detector, n_classes) if score == "msp" else ANY


def _distance(detector, n_classes):
    return (-2, 0) if detector.normalize else AT_MOST_0  # between vectors of length 1


# With labels or without.
ALWAYS = {
    "NTOMDetector": MINUS_A_PROBABILITY, "ATOMDetector": MINUS_A_PROBABILITY,
    "DOSDetector": MINUS_A_PROBABILITY, "SOFLDetector": MINUS_A_PROBABILITY,
    "EnergyExposureDetector": ANY, "GRegDetector": ANY, "WOODSDetector": ANY,
    "MaxLogitDetector": ANY, "EnergyDetector": ANY, "ScoreDetector": ANY,
    "MahalanobisDetector": AT_MOST_0, "RMDSDetector": ANY,
    "ViMDetector": ANY, "ResidualDetector": AT_MOST_0,
    "ReActDetector": ANY, "ASHDetector": ANY, "SCALEDetector": ANY,
    "GramDetector": AT_MOST_0, "GROODDetector": (-2, 0),  # between gradients of length 1 at most
    "NNGuideDetector": ANY,
    "IsolationForest": MINUS_A_PROBABILITY,
}
# With labels; without, the score is the log-odds of X or, of these three, minus a probability.
WITHOUT_CLASSES = {
    "OutlierExposureDetector": MINUS_A_PROBABILITY, "ACETDetector": MINUS_A_PROBABILITY,
}
WITH_CLASSES = {
    "OutlierExposureDetector": _read_probabilities, "ACETDetector": _read_probabilities,
    "UnleashingMaskDetector": _read_probabilities,
    "MSPDetector": _largest_probability, "ODINDetector": _largest_probability,
    "GENDetector": _generalized_entropy,
    "KLMatchingDetector": lambda detector, n_classes: AT_MOST_0,
    "DICEDetector": lambda detector, n_classes: ANY,
    "GradNormDetector": lambda detector, n_classes: AT_LEAST_0,
    "SHEDetector": lambda detector, n_classes: ANY,
    "FDBDDetector": lambda detector, n_classes: AT_LEAST_0,
    "NCIDetector": lambda detector, n_classes: ANY,
}


def score_range(detector):
    """Return the least and the largest score that a fitted detector may give."""
    name = type(detector).__name__
    if name == "ConformalDetector":
        return (0, 1) if detector.method == "cross" else score_range(detector.estimators_[0])
    if name == "KNNDetector":
        return _distance(detector, None)
    if name in ALWAYS:
        return ALWAYS[name]
    if detector.classes_ is None:
        return WITHOUT_CLASSES.get(name, ANY)
    return WITH_CLASSES[name](detector, len(detector.classes_))
