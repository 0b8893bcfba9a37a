"""README's table and picture, from the recorded rows of images.py.

``python benchmarks/headline.py`` prints the table and draws docs/images/headline.png.
"""

from pathlib import Path

import harness  # beside this file, as images is
import images
import pandas as pd
from matplotlib import pyplot as plt

ROWS = harness.RESULTS / "images_cifar10.csv"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "headline.png"
SHOWN = {  # in README: the usual score and the best one of the plain classifier, then the papers'
    "MSP": "a plain classifier, read by MSP",
    "Gram": "the same, read by Gram matrices: the best of its 25 scores on these sets",
    "cross-entropy, as long": "the plain classifier, trained on as long, without outliers",
    "OE": "Outlier Exposure",
    "OE, score H(U; p)": "Outlier Exposure, read by H(U; p)",
    "energy exposure": "energy exposure",
    "GReg": "GReg",
    "GReg+": "GReg+",
    "NTOM": "NTOM",
    "ATOM": "ATOM",
    "ACET": "ACET",
    "SOFL": "SOFL",
    "WOODS": "WOODS",
    "DOS": "DOS, the best of all",
    "UM": "Unleashing Mask (no outliers)",
    "UMAP": "UMAP (no outliers)",
}


def test_rows():
    """Return the rows of test sets, of each method with the rate that was chosen for it."""
    rows = pd.read_csv(ROWS)
    return harness.with_chosen_rates(rows[rows.problem.eq("far")], images.RATES[0])


def of_seeds(rows, metric):
    """Return the mean over the sets, by method and seed."""
    return rows.groupby(["method", "seed"])[metric].mean()


def table(rows):
    """Return README's table."""
    measured = [of_seeds(rows, metric) for metric in ("auroc", "fpr95", "accuracy")]
    return harness.markdown(
        ["", "AUROC, %", "FPR95, %", "accuracy, %"],
        [
            [name, *(harness.percent(values[method]) for values in measured)]
            for method, name in SHOWN.items()
        ],
    )


def draw(rows):
    """Draw every detector's AUROC, best on top: those that train further are blue."""
    auroc = 100 * of_seeds(rows, "auroc").groupby("method").agg(["mean", "std"])
    auroc = auroc.sort_values("mean")
    reads = rows[rows.network == "plain"].method.unique()
    fig, ax = plt.subplots(figsize=(8, 8.5), layout="constrained")
    for is_reader, color, label in [
        (False, "#1b6ca8", "trains the classifier further, mostly against outliers"),
        (True, "0.6", "reads the plain classifier"),
    ]:
        shown = auroc.index.isin(reads) == is_reader
        place = shown.nonzero()[0]
        ax.barh(place, auroc["mean"][shown] - 50, left=50, color=color, label=label)
        ax.errorbar(auroc["mean"][shown], place, xerr=auroc["std"][shown], fmt="none", color="0.2")
    ax.set_yticks(range(len(auroc)), auroc.index)
    ax.set(
        xlim=(50, 100), ylim=(-0.6, len(auroc) - 0.4), xlabel="AUROC, %, mean of four test sets",
        title="CIFAR-10 against scenes, textures, emoji and street numbers:\n"
        "every detector on one small network, three seeds",
    )
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="0.93")
    ax.set_axisbelow(True)
    ax.legend(frameon=False, loc="lower right")
    fig.savefig(PICTURE, dpi=100)


def main():
    rows = test_rows()
    print(table(rows))
    draw(rows)


if __name__ == "__main__":
    main()
