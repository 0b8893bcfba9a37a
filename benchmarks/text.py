"""Every detector of the library on text: ids of words in a GRU, sentence embeddings in an MLP.

    pip install transformers pyod       # to embed, and to compare with
    python benchmarks/text.py           # five minutes, after two for the embeddings

Glosses of eight classes of nouns are in, dictionary text is what methods train against, and glosses
of other nouns and texts of other kinds are out. Rows already in results/text.csv are not measured
again; `--fresh` begins anew (do that after a change of the library).
"""

import argparse
import tempfile
import warnings
from pathlib import Path

import harness  # beside this file, as the others are
import numpy as np
import pandas as pd
from images import TUNED
from joblib import Memory
from posthoc_scores import DETECTORS as READERS
from sklearn.frozen import FrozenEstimator
from tables import BESIDE
from text_data import CLASSES, N_HELD_OUT, N_OOD, N_OUTLIERS, N_TEST, N_TRAIN, texts
from text_inputs import GRU, LENGTH, N_WORDS, embedding_seconds, inputs

import skood
from skood.posthoc import Classifier

KINDS = {"tokens": "Ids of words, a GRU", "embeddings": "Sentence embeddings, an MLP"}
SEEDS = (0, 1, 2)
EPOCHS, TUNING_EPOCHS = 8, 2
RATES = (3e-3, 1e-2, 3e-4, 1e-4)  # the first is the plain classifier's
NEAR = ["other nouns"]
FAR = ["tweets", "movies", "products", "editorials", "amazon", "imdb", "yelp", "spam"]
# The first five move or differentiate inputs; Gram reads layers that a GRU does not have.
NOT_FOR_TOKENS = {"ATOM", "ACET", "GReg", "GReg+", "ODIN", "Gram"}
UNAIDED = (Classifier, skood.UnleashingMaskDetector)
memory = Memory(Path(tempfile.gettempdir()) / "skood-benchmarks", verbose=0)


def shared(data, seed):
    """Return the parameters that every method that trains has."""
    return {"batch_size": 64, "outlier_ratio": 2.0, "random_state": seed} | read_as(data)


def read_as(data):
    return {"dtype": "int64"} if data == "tokens" else {}


def able(data, names):
    """Return those of the names that this kind of input allows."""
    return [n for n in names if data == "embeddings" or n not in NOT_FOR_TOKENS]


def training_data(data):
    return inputs(data)["X train"], np.array(texts()["y train"])


@memory.cache
def plain(data, seed):
    """Train the classifier that every detector reads or begins with; also its CPU seconds."""
    module = {"module": GRU} if data == "tokens" else {}
    classifier = Classifier(max_epochs=EPOCHS, lr=RATES[0], **module, **shared(data, seed))
    return harness.timed(classifier, *training_data(data))


def detectors(data, network, seed, lr):
    """Return fitted detectors by name, and the CPU seconds of training."""
    X, y = training_data(data)
    if network in BESIDE:
        detector, seconds = harness.timed(BESIDE[network](seed), X)
        return {network: detector}, seconds
    classifier, seconds = plain(data, seed)
    if network == "plain":
        return {name: reader(data, name, classifier) for name in able(data, READERS)}, seconds
    fitted, seconds = trained(data, network, seed, lr, (inputs(data)["outliers"],))
    return {network: fitted}, seconds


def trained(data, network, seed, lr, X_aux):
    """Return a detector that goes on from the plain classifier, and the CPU seconds of it."""
    X, y = training_data(data)
    classifier, _ = plain(data, seed)
    make, own = TUNED[network]
    options = {"max_epochs": TUNING_EPOCHS, "lr": lr} | shared(data, seed) | own
    given = {} if make in UNAIDED else {"X_aux": X_aux}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*fewer than", UserWarning)  # the pool is what there is
        return harness.timed(make(classifier.module_, **options), X, y, **given)


def reader(data, name, classifier):
    """Return a fitted detector that reads the classifier."""
    detector = READERS[name](FrozenEstimator(classifier)).set_params(**read_as(data))
    # Where it has no outliers, GROOD mixes rows, and of ids there is no mean.
    cannot_mix = name == "GROOD" and data == "tokens"
    given = {"X_aux": (inputs(data)["outliers"],)} if cannot_mix else {}
    return detector.fit(*training_data(data), **given)


def measure(data, network, seed, lr):
    """Return a row for each detector and set, that to choose by included."""
    fitted, seconds = detectors(data, network, seed, lr)
    X, accuracy = inputs(data), np.nan
    if network not in BESIDE:
        y_test = np.array(texts()["y test"])
        accuracy = (next(iter(fitted.values())).predict_class(X["X test"]) == y_test).mean()
    sets = {name: X[name] for name in NEAR + FAR}
    rows = harness.judge(fitted, X["X test"], sets, accuracy)
    if network in TUNED and seed == SEEDS[0]:
        rows += harness.judge(fitted, X["X held out"], {"held out: verbs": X["verbs"]})
    return pd.DataFrame(rows).assign(cpu_s=round(seconds, 1))


def settings(data, networks, seeds, rates):
    return [
        {"data": data, "network": network, "seed": seed, "lr": rates[network]}
        for seed in seeds for network in networks
    ]


def run(data, jobs, path):
    """Measure what is missing, and return the rows of one kind and the chosen rates."""
    def ensure(*of):
        rows = harness.measure_all(measure, settings(data, *of), path, jobs)
        return rows[rows.data == data]

    first = ["plain", *(BESIDE if data == "embeddings" else ())]
    ensure(first, SEEDS, dict.fromkeys(first, RATES[0]))
    for lr in RATES:
        rows = ensure(able(data, TUNED), SEEDS[:1], dict.fromkeys(TUNED, lr))
    rates, means = harness.chosen_rates(rows)
    return ensure(able(data, TUNED), SEEDS, rates), rates, means


def page(found):
    rows = pd.concat([rows for rows, _, _ in found.values()])
    return f"""\
# Every detector on text

{harness.provenance("python benchmarks/text.py", rows)} The embeddings took
{embedding_seconds() / 60:.0f} more, once.

{setting()}
{"".join(section(data, *found[data]) for data in found)}
"""


def setting():
    return f"""\
- In: WordNet's glosses of {len(CLASSES)} classes of nouns ({", ".join(CLASSES.values())}), without
  their examples, {N_TRAIN:,} to train on and {N_TEST:,} to test by.
- Outliers to train against: {N_OUTLIERS:,} definitions of the dictionary GCIDE. Its entries from
  WordNet are left out, and every definition that is a gloss.
- Tested, {N_OOD} of each. Near: glosses of other classes of nouns. Far: tweets, sentences of film
  and product reviews and of editorials (VADER's corpora), of reviews at Amazon, IMDb and Yelp, and
  the beginnings of spam mails.
- Tokens: the {N_WORDS:,} most frequent words of the training rows, {LENGTH} a text, in a GRU of one
  layer of 64 (the Outlier Exposure paper has two of 128). Embeddings: MiniLM-L6, frozen,
  standardised by the training rows, in the default `MLP`.
- The plain classifier takes {EPOCHS} epochs, each method that trains {TUNING_EPOCHS} more from it
  (SOFL one in each of its phases), in batches of 64 with 128 outliers. *Cross-entropy, as long*
  goes on without outliers: the control. WOODS has the dictionary as its wild set, and so has GROOD,
  a reader, with ids of words, which it cannot mix; UM and UMAP use none.
- All parameters are the library's defaults but the epochs and batches named above and the learning
  rate of fine-tuning, one of {len(RATES)} (a better one may lie outside them), chosen on glosses of
  verbs beside {N_HELD_OUT:,} held-out glosses of the classes: no test set is touched.
- ATOM, ACET, GReg and ODIN move their inputs or take gradients by them. Ids of words allow neither,
  so these four are with the embeddings only. So is Gram, which reads convolutions and Linear layers
  before the last: the GRU has none.
- Percent, mean ± standard deviation over the seeds. FPR95 has in-distribution texts as positive.
  CPU s: of the plain classifier for its readers, of the further epochs for the others.
- Why some scores of the classifier are below MSP is measured [on images](why_readers.md) only.
  Here, too, the last layer reads 64 features, of which ASH and DICE keep a tenth by default.
- PyOD's KNN and LOF read the embeddings themselves, which tell a gloss from a review better than
  any network trained on them. Likely the networks drop what their classes do not need.
- On embeddings of other kinds of text OE and ACET are below the control for all seeds, the others
  that train against the dictionary within its spread. Given tweets and editorials instead, OE finds
  reviews and mails far better ([measured](why_text.md)).
"""


def section(data, rows, rates, means):
    test = harness.with_chosen_rates(rows, RATES[0])
    return f"""
## {KINDS[data]}

Far:

{harness.ranking(test, FAR)}

{harness.beside_control(test[test.set.isin(FAR)], TUNED)}
Near:

{harness.ranking(test, NEAR)}

{harness.beside_control(test[test.set.isin(NEAR)], TUNED)}
Learning rates, by mean AUROC against verbs, seed 0:

{harness.table_of_rates(rates, means)}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    options = parser.parse_args()
    path = harness.RESULTS / "text.csv"
    if options.fresh:
        path.unlink(missing_ok=True)
        plain.clear(warn=False)
    text = page({data: run(data, options.jobs, path) for data in KINDS})
    path.with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
