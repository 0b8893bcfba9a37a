"""How often the intervals of `skood.compare` hold the truth, and what its p-values are worth.

Simulated scores, normal in both classes; the truth is known. ``python benchmarks/intervals.py``
prints the tables of benchmarks/results/intervals.md, in some minutes.
"""

import argparse

import numpy as np
from scipy.integrate import quad
from scipy.stats import norm

from skood import compare
from skood.metrics._delong import Placements, auroc_variance, placements
from skood.metrics._intervals import exact_limits, log_odds_limits

METRICS = ("fpr95", "auroc", "aupr_in", "aupr_out")


def truth(shift, n_in, n_out):
    """Return the metrics of infinitely many rows, at the classes' share in the sample."""
    weight = n_in / (n_in + n_out)

    def precision_in(s):
        kept = weight * norm.sf(s - shift)
        return norm.pdf(s - shift) * kept / (kept + (1 - weight) * norm.sf(s))

    def precision_out(s):
        caught = (1 - weight) * norm.cdf(s)
        return norm.pdf(s) * caught / (caught + weight * norm.cdf(s - shift))

    fpr = norm.sf(norm.isf(0.95) + shift)
    areas = [quad(f, -8, 8 + shift, limit=200)[0] for f in (precision_in, precision_out)]
    return dict(zip(METRICS, [fpr, norm.cdf(shift / np.sqrt(2)), *areas], strict=True))


def pair(rng, n, mean, correlation):
    """Return two detectors' scores of the same rows, alike in law."""
    common = np.sqrt(correlation) * rng.normal(size=n)
    own = np.sqrt(1 - correlation) * rng.normal(size=(2, n))
    return dict(zip("ab", mean + common + own, strict=True))


def simulate(auroc, n_in, n_out, n_data, n_bootstrap):
    """Return, of two equally good detectors, how often limits held and p-values were small."""
    shift = np.sqrt(2) * norm.ppf(auroc)
    true, held, small = truth(shift, n_in, n_out), [], []
    for seed in range(n_data):
        rng = np.random.default_rng([seed, n_in])
        sets = pair(rng, n_in, shift, 0.5), {"far": pair(rng, n_out, 0, 0.5)}
        result = compare(None, *sets, n_bootstrap=n_bootstrap, random_state=seed)
        result = result.set_index(["detector", "metric"])
        first, p_values = result.loc["a"].loc[list(METRICS)], result.loc["b", "p_value"]
        goal = np.array([true[metric] for metric in METRICS])
        unknown = first["low"].isna()
        held.append(np.where(unknown, np.nan, (first["low"] <= goal) & (goal <= first["high"])))
        small.append(p_values.loc[list(METRICS)] <= 0.05)
    return np.nanmean(held, axis=0), np.mean(small, axis=0)


def of_the_auroc(auroc, n, n_data):
    """Return how often limits hold that are normal for the AUROC, and those of `compare`."""
    shift, held = np.sqrt(2) * norm.ppf(auroc), []
    for seed in range(n_data):
        rng = np.random.default_rng([seed, n])
        found = Placements(*(
            each[None] for each in placements(rng.normal(shift, size=n), rng.normal(size=n))
        ))
        value, variance = found.inside.mean(), auroc_variance([found])[0]
        plain = norm.isf(0.025) * np.sqrt(variance)
        low, high = log_odds_limits(value, variance, 0.95)
        if value == 1:
            low, high = exact_limits(value, n, 0.95)
        held.append([abs(value - auroc) <= plain, low <= auroc <= high])
    return np.mean(held, axis=0)


def main():
    """Print how often intervals of level 0.95 hold the truth, and how often p is at most 0.05."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=int, default=1000, help="simulated data sets a row")
    parser.add_argument("--bootstrap", type=int, default=200)
    args = parser.parse_args()
    print("| AUROC | rows a class | normal for the AUROC | normal for its log-odds |")
    print("|" + 4 * "---|")
    for n in (20, 50, 200):
        for auroc in (0.7, 0.9, 0.97, 0.99):
            plain, ours = 100 * of_the_auroc(auroc, n, 4 * args.data)
            print(f"| {auroc} | {n} | {plain:.1f} | {ours:.1f} |")
    columns = " | ".join([*METRICS, *(f"p: {metric}" for metric in METRICS)])
    print(f"\n| AUROC | n_in + n_out | {columns} |")
    print("|" + 10 * "---|")
    for n_in, n_out in ((50, 50), (200, 200), (500, 100)):
        for auroc in (0.7, 0.9, 0.97):
            rates = simulate(auroc, n_in, n_out, args.data, args.bootstrap)
            cells = [f"{100 * rate:.1f}" for rate in np.concatenate(rates)]
            print(f"| {auroc} | {n_in} + {n_out} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
