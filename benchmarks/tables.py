"""Every detector of the library on tables, beside scikit-learn's and PyOD's.

    pip install rdata pyod              # Shuttle lies in a file of R
    python benchmarks/tables.py         # a quarter of an hour on one thread

Classes are held out of four tables: some of them to test by, others as known outliers for the
methods that train against any. These have synthetic ones, too. Rows already in results/tables.csv
are not measured again; `--fresh` begins anew (do that after a change of the library).
"""

import warnings

import harness  # beside this file, as the others are
import numpy as np
import pandas as pd
import pyod
import sklearn
from images import TUNED
from posthoc_scores import DETECTORS as READERS
from pyod.models.ecod import ECOD
from pyod.models.knn import KNN
from pyod.models.lof import LOF
from sklearn.base import BaseEstimator
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from table_data import DRAWN, TABLES, classes, split

from skood.outliers import synthetic_like
from skood.posthoc import Classifier

SEEDS = (0, 1, 2)
UNAIDED = ("UM", "UMAP")  # they take no outliers
TRAINED = {name: made for name, made in TUNED.items() if made[0] is not Classifier}
PROBLEMS = ("no examples", "known outliers", "known and synthetic")
FOREST = "random forest, outliers one more class"
FEW = ("OE", "energy exposure", "NTOM")  # what known and synthetic ones together are shown by


class Negated(BaseEstimator):
    """A detector of PyOD, whose scores are high for outliers, with scikit-learn's sign."""

    def __init__(self, detector):
        self.detector = detector

    def fit(self, X, y=None):
        """Fit the detector."""
        self.detector_ = self.detector.fit(X)
        return self

    def score_samples(self, X):
        """Return scores that are high for what is like X."""
        return -self.detector_.decision_function(X)


class KnownOutliersForest(BaseEstimator):
    """The plain way to use known outliers: a classifier with a class of their own."""

    __metadata_request__fit = {"X_aux": True}

    def __init__(self, random_state=None):
        self.random_state = random_state

    def fit(self, X, y, X_aux):
        """Fit a forest on the classes and one more."""
        A = np.concatenate(X_aux)
        forest = RandomForestClassifier(300, random_state=self.random_state)
        self.forest_ = forest.fit(np.r_[X, A], np.r_[y, np.repeat("", len(A))])
        return self

    def score_samples(self, X):
        """Return minus the probability of the outliers."""
        return -self.forest_.predict_proba(X)[:, 0]  # "" is the first of the sorted classes


BESIDE = {
    "isolation forest (scikit-learn)": lambda seed: IsolationForest(random_state=seed),
    "ECOD (PyOD)": lambda seed: Negated(ECOD()),
    "KNN (PyOD)": lambda seed: Negated(KNN()),
    "LOF (PyOD)": lambda seed: Negated(LOF()),
}


def scaled(detector):
    """Return a pipeline that standardises rows, outliers included, by the rows trained on."""
    steps = [("scale", StandardScaler()), ("detect", detector)]
    return Pipeline(steps, transform_input=["X_aux"])


def fitted(detector, rows, X_aux=None):
    """Return the fitted pipeline of a detector and the CPU seconds of the fit."""
    given = {} if X_aux is None else {"X_aux": X_aux}
    with warnings.catch_warnings(), sklearn.config_context(enable_metadata_routing=True):
        warnings.filterwarnings("ignore", ".*(synthetic|fewer than)", UserWarning)
        return harness.timed(scaled(detector), rows.X, rows.y, **given)


def outliers(rows, problem, seed):
    """Return what is given to train against; None where a method makes its own."""
    if problem == "no examples":
        return None
    synthetic = (synthetic_like(rows.X, random_state=seed),)
    return (rows.X_known,) + (synthetic if problem == "known and synthetic" else ())


def readers(rows, seed):
    """Return every detector that reads a network, all of the same one."""
    classifier, seconds = fitted(Classifier(random_state=seed), rows)
    frozen = FrozenEstimator(classifier["detect"])
    return {
        name: (made, seconds + own)
        for name, make in READERS.items() for made, own in [fitted(make(frozen), rows)]
    }


def detectors(rows, problem, network, seed):
    """Return fitted pipelines by name, each with its CPU seconds."""
    if network == "plain":
        return readers(rows, seed)
    if network in BESIDE:
        return {network: fitted(BESIDE[network](seed), rows)}
    X_aux = outliers(rows, problem, seed)
    if network == FOREST:
        return {network: fitted(KnownOutliersForest(seed), rows, X_aux)}
    make, own = TRAINED[network]
    own = {name: value for name, value in own.items() if not name.endswith("epochs")}
    return {network: fitted(make(random_state=seed, **own), rows, X_aux)}


def accuracy_of(pipeline, rows):
    """Return the share of the known rows whose class is told; nan where none are."""
    if not hasattr(pipeline[-1], "predict_class"):
        return np.nan
    predicted = pipeline[-1].predict_class(pipeline[:-1].transform(rows.X_in))
    return (predicted == rows.y_in).mean()


def measure(data, problem, network, seed):
    """Return a row for each detector."""
    rows, found = split(data, seed), []
    for name, (pipeline, seconds) in detectors(rows, problem, network, seed).items():
        sets, accuracy = {data: rows.X_out}, accuracy_of(pipeline, rows)
        judged = harness.judge({name: pipeline}, rows.X_in, sets, accuracy)
        found += [row | {"cpu_s": round(seconds, 2)} for row in judged]
    return pd.DataFrame(found)


def settings():
    """Return what is measured: each network of each problem on each table, with each seed."""
    networks = {
        "no examples": ["plain", *BESIDE, *TRAINED],
        "known outliers": [FOREST, *(name for name in TRAINED if name not in UNAIDED)],
        "known and synthetic": FEW,
    }
    return [
        {"data": data, "problem": problem, "network": network, "seed": seed}
        for data in TABLES for problem in PROBLEMS for seed in SEEDS
        for network in networks[problem]
    ]


def page(rows):
    return f"""\
# Every detector on tables

{harness.provenance("python benchmarks/tables.py", rows)} PyOD {pyod.__version__}.

{SETTING}
{split_table()}

## Without examples of outliers

Detectors that read the plain classifier, methods that make outliers of the rows themselves
(`fit(X, y)`), and detectors that use no labels at all.

{harness.ranking(rows[rows.problem == "no examples"], [*TABLES])}

{READ_FIRST}
## With known outliers of other classes

Methods that train, given rows of the held-out classes that are not tested
(`fit(X, y, X_aux=(known,))`): examples of some outliers, and none of those to find.

{harness.ranking(rows[rows.problem == "known outliers"], [*TABLES])}

{READ_SECOND}
## Known and synthetic outliers together

AUROC of three methods by what they are given; "no examples" are synthetic outliers alone,
the third is `X_aux=(known, synthetic_like(X))`.

{gains(rows)}

{READ_THIRD}"""


SETTING = """\
- Network: the default `MLP` of two layers of 64. 1,000 rows to train on and up to 1,500 of each
  kind to test by (of Shuttle's valves there are 60 known and 184 to test), drawn by the seed. A
  pipeline standardises the columns by the training rows.
- **All parameters are the library's defaults**, budgets included: OE, NTOM, ATOM, ACET and DOS
  train for 30 epochs from scratch; SOFL, energy exposure, GReg, WOODS and UM for as many after a
  plain classifier's 30. PyOD's and scikit-learn's are theirs. Nothing was chosen on these tables.
- Percent, mean ± standard deviation over the seeds of the mean of the four tables. FPR95 has
  in-distribution rows as positive. CPU s: of one fit, for readers that of their network included.
  The known outliers go through the same fitted scaler.
"""


def split_table():
    """Return which classes are held out, as Markdown."""
    lines = [[name, *DRAWN[name], "drawn by the seed"] for name in TABLES if name in DRAWN]
    valves = [", ".join(part) for part in classes("shuttle", SEEDS[0])]
    return harness.markdown(
        ["table", "classes in", "known outliers", "tested", "which"],
        [["shuttle", *valves, "always these"], *lines],
    )


def gains(rows):
    """Set each method's means beside each other: by kind of outliers and by table."""
    mean = rows.groupby(["method", "problem", "data"]).auroc.mean()
    lines = [
        [name, problem, *(f"{100 * mean[name, problem, data]:.1f}" for data in TABLES),
         f"{100 * mean[name, problem].mean():.1f}"]
        for name in FEW for problem in PROBLEMS
    ]
    return harness.markdown(["method", "outliers", *TABLES, "mean"], lines)


READ_FIRST = """\
What helps, and why:

- **On Shuttle and Satimage distances do, logits do not; on Letter MSP is above Mahalanobis.** An
  MLP goes on in straight lines where no row was, so that a row far away has large logits: on
  Shuttle the largest logit is higher for faulty valves than for the training rows. Mahalanobis,
  residual and ViM measure how far a row's features are from those.
- **PyOD's KNN has neither a network nor labels and is hard to beat.** Try it first on a table.
- ASH, DICE, GradNorm and SHE were made for the wide features of networks for images. A
  likely reason that they fail here: 64 features of an MLP leave nothing to prune, and rows far away
  have large ones.
- WOODS gives up 2.6 points of accuracy, most of them on Letter: the wild rows may push the
  cross-entropy up to twice what it was ([measured](why_woods.md)).
- UM and UMAP undo the last of the training, and nothing in them knows of other rows: they stay near
  MSP.
- Methods that train against synthetic outliers beat the plain classifier's logits where the rows to
  find are away from the training rows (Shuttle, Satimage), and gain less where they lie among them.
"""
READ_SECOND = """\
**Few known outliers of one kind can do harm, where those to find lie elsewhere.** On Shuttle the
known ones are closed valves, the tested ones are open: networks fall far below 50. On the other
tables the differences are smaller and go both ways: beside synthetic outliers, known ones on
Satimage gain Outlier Exposure ten points and lose NTOM nine. A likely reason: a network draws one
border between its classes and the outliers that it was given.
"""
READ_THIRD = """\
On average both together are best for these three methods; the others were not measured so. On
Shuttle they are no better than synthetic ones alone for OE and NTOM. Synthetic outliers lie on all
sides, and known ones tell where it matters: give both when the known ones are few or of one kind.
"""


def main():
    harness.main(__doc__.splitlines()[0], "tables", measure, settings(), page)


if __name__ == "__main__":
    main()
