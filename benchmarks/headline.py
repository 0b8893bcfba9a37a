"""README's table and picture, from the recorded rows of images.py.

``python benchmarks/headline.py`` prints the table and draws docs/images/headline.png.
"""

from pathlib import Path

import harness
import pandas as pd
from matplotlib import pyplot as plt

ROWS = harness.RESULTS / "images_cifar10.csv"
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "headline.png"
SHOWN = {  # in README: the papers' methods, and what a network without outliers reaches
    "MSP": "a plain classifier, read by MSP",
    "Mahalanobis++": "the same, read by Mahalanobis++",
    "OE": "Outlier Exposure",
    "OE, score H(U; p)": "Outlier Exposure, read by H(U; p)",
    "energy exposure": "energy exposure",
    "GReg": "GReg",
    "GReg+": "GReg+",
    "NTOM": "NTOM",
    "ATOM": "ATOM",
    "UM": "Unleashing Mask (no outliers)",
    "UMAP": "UMAP (no outliers)",
}


def test_rows():
    """Return the rows of test sets, of each method with the rate that was chosen for it."""
    rows = pd.read_csv(ROWS)
    chosen = rows[rows.seed.ne(0)].drop_duplicates("network").set_index("network").lr
    rows = rows[~rows.set.str.startswith("held out") & rows.lr.eq(rows.network.map(chosen))]
    return rows


def of_seeds(rows, metric):
    """Return the mean over the sets, by problem, method and seed."""
    return rows.groupby(["problem", "method", "seed"])[metric].mean()


def table(rows):
    """Return README's table."""
    auroc, fpr95 = of_seeds(rows, "auroc"), of_seeds(rows, "fpr95")
    accuracy = of_seeds(rows, "accuracy")["far"]
    return harness.markdown(
        ["", "AUROC, other things", "FPR95", "AUROC, held-out classes", "accuracy"],
        [
            [
                name, harness.percent(auroc["far", method]), harness.percent(fpr95["far", method]),
                harness.percent(auroc["near", method]), harness.percent(accuracy[method]),
            ]
            for method, name in SHOWN.items()
        ],
    )


def draw(rows):
    """Draw every method: far against near, those that saw outliers in colour."""
    auroc = of_seeds(rows, "auroc").groupby(["problem", "method"]).agg(["mean", "std"])
    far, near = 100 * auroc.loc["far"], 100 * auroc.loc["near"]
    read = set(rows[rows.network == "plain"].method)
    fig, ax = plt.subplots(figsize=(9, 5.5), layout="constrained")
    for names, color, label in [
        ([name for name in far.index if name in read], "0.6", "reads the plain classifier"),
        ([name for name in far.index if name not in read], "#1b6ca8", "trains further"),
    ]:
        ax.errorbar(
            far.loc[names, "mean"], near.loc[names, "mean"], far.loc[names, "std"],
            near.loc[names, "std"], fmt="o", color=color, elinewidth=0.8, ms=5, label=label,
        )
        for name in names:
            ax.annotate(
                name, (far.loc[name, "mean"], near.loc[name, "mean"]), (4, 4),
                textcoords="offset points", fontsize=8, color=color if color != "0.6" else "0.35",
            )
    ax.set(
        xlabel="AUROC against other things: scenes, textures, emoji, street numbers (%)",
        ylabel="AUROC against four held-out classes (%)",
        title="CIFAR-10: every detector, one small network, three seeds",
    )
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="0.93")
    ax.legend(frameon=False)
    fig.savefig(PICTURE, dpi=110)


def main():
    rows = test_rows()
    print(table(rows))
    draw(rows)


if __name__ == "__main__":
    main()
