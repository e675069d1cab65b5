#!/usr/bin/env python3
"""How close `rhumb calibrate` comes to the asked false-alarm rate, by drawing many small samples of aligned actions.

Usage: rhumb eval --json --input DATA.jsonl.gz --features features.jsonl > /dev/null
       scripts/simulate-calibration.py features.jsonl [FEWEST]

FEWEST: actions of an effect from which it has a threshold of its own, in place of the 10 that are in force.

Each draw takes n aligned actions of one family, makes thresholds from them, and counts alarms among the others. The
rules are those of server/drift/src/{conformal,per_effect}.rs, written a second time; beside them stands plain split
conformal prediction, with one threshold for all effects. At the end other rules, one threshold for each group: families,
and effects within them. Needs numpy.
"""

import functools
import json
import math
import sys
from collections import defaultdict

import numpy as np

TARGET = 0.05
DRAWS = 1000
SIZES = (20, 50, 100, 200)
FEWEST = int(sys.argv[2]) if len(sys.argv) > 2 else 10
# Fewer actions than this are too few to measure a rate on.
LEFT = 25
EFFECTS = ("READ", "WRITE", "UNKNOWN")


def log_odds(drift):
    return np.log(drift / (1 - drift))


def interpolated(sample):
    """`estimate` of conformal.rs, in log-odds; these data have no ties that matter."""
    x, n = np.sort(sample), len(sample)
    wanted = (n + 1) * TARGET
    above = max(math.ceil(wanted) - 1, 0)
    if above == 0:
        return x[-1] + 1e-9
    lower, upper = x[n - above - 1], x[n - above]
    share = above * ((above + 1) / wanted - 1)
    return max(lower + share * (upper - lower), np.nextafter(lower, np.inf))


def plain(sample):
    """Split conformal prediction: the rank ceil((n + 1)(1 - target))."""
    x, n = np.sort(sample), len(sample)
    return np.nextafter(x[min(math.ceil((n + 1) * (1 - TARGET)), n) - 1], np.inf)


def nearest(sample):
    """The rank nearest to (n + 1)(1 - target)."""
    x, n = np.sort(sample), len(sample)
    return np.nextafter(x[min(round((n + 1) * (1 - TARGET)), n) - 1], np.inf)


def sample_quantile(sample):
    return np.quantile(sample, 1 - TARGET)


def linear(sample):
    """Linear between ranks at (n + 1)(1 - target)."""
    return np.quantile(sample, 1 - TARGET, method="weibull")


@functools.cache
def harrell_davis_weights(n):
    a, b = (n + 1) * (1 - TARGET), (n + 1) * TARGET
    grid = np.linspace(0, 1, 20001)
    middle = (grid[1:] + grid[:-1]) / 2
    density = np.exp((a - 1) * np.log(middle) + (b - 1) * np.log1p(-middle))
    share = np.concatenate([[0], np.cumsum(density)]) / density.sum()
    return np.diff(np.interp(np.arange(n + 1) / n, grid, share))


def harrell_davis(sample):
    return harrell_davis_weights(len(sample)) @ np.sort(sample)


def tail_of_8(sample):
    """An exponential tail fitted to the 8 largest; exact in the mean if the tail is one."""
    x, n, m = np.sort(sample), len(sample), 8
    scale = (x[n - m :] - x[n - m - 1]).mean()
    return x[n - m - 1] + scale * m * (((m + 1) / ((n + 1) * TARGET)) ** (1 / m) - 1)


def per_effect(drift, effect):
    """`by_effect` of per_effect.rs."""
    pool = interpolated(drift)
    thresholds = {}
    for name in EFFECTS:
        own = drift[effect == name]
        carries = len(own) == len(drift) or (len(own) >= FEWEST and (len(own) + 1) * TARGET >= 0.5)
        thresholds[name] = interpolated(own) if carries else pool
    lowest = min(pool, *thresholds.values())
    return {name: t if (effect == name).any() else lowest for name, t in thresholds.items()}


def draws(rows, n, by_request, random):
    """Splits: indices of the sample and of the rest."""
    requests = np.array([row["intent"] for row in rows])
    for _ in range(DRAWS):
        if not by_request:
            order = random.permutation(len(rows))
            yield order[:n], order[n:]
            continue
        names = random.permutation(np.unique(requests))
        sizes = np.cumsum([(requests == name).sum() for name in names])
        taken = np.isin(requests, names[: np.searchsorted(sizes, n) + 1])
        if (~taken).sum() >= LEFT:
            yield np.flatnonzero(taken), np.flatnonzero(~taken)


def summary(rates):
    rates = np.array(rates)
    off = np.abs(rates - TARGET)
    return f"{100 * rates.mean():.1f} | {100 * off.mean():.1f} | {100 * (off <= 0.02 + 1e-12).mean():.0f}"


def measure(family, rows, n, by_request, random):
    drift = log_odds(np.array([row["drift"] for row in rows]))
    effect = np.array([row["effect"] for row in rows])
    own, one, single = [], [], defaultdict(list)
    for sample, rest in draws(rows, n, by_request, random):
        thresholds = per_effect(drift[sample], effect[sample])
        alarm = drift[rest] >= np.array([thresholds[name] for name in effect[rest]])
        own.append(alarm.mean())
        one.append((drift[rest] >= plain(drift[sample])).mean())
        for name in EFFECTS:
            if (effect[rest] == name).any():
                single[name].append(alarm[effect[rest] == name].mean())
    if len(own) < DRAWS // 2:
        return
    means = " / ".join(f"{100 * np.mean(single[name]):.1f}" if single[name] else "-" for name in EFFECTS)
    print(f"| {family} | {n} | {summary(own)} | {means} | {summary(one)} |")


def compare_rules(families, n, random):
    """One line for each rule: averages over groups that are large enough."""
    groups = dict(families)
    for family, rows in families.items():
        for name in EFFECTS:
            groups[f"{family} {name}"] = [row for row in rows if row["effect"] == name]
    groups = {name: rows for name, rows in groups.items() if len(rows) >= n + LEFT}
    print(f"\nOther rules, n = {n}, {len(groups)} groups:\n")
    print("| rule | mean FPR | mean distance of a group's mean | mean distance of one draw |\n|---|---|---|---|")
    for rule in (plain, nearest, sample_quantile, linear, interpolated, harrell_davis, tail_of_8):
        means, distances = [], []
        for rows in groups.values():
            drift = log_odds(np.array([row["drift"] for row in rows]))
            splits = draws(rows, n, False, random)
            rates = np.array([(drift[rest] >= rule(drift[sample])).mean() for sample, rest in splits])
            means.append(rates.mean())
            distances.append(np.abs(rates - TARGET).mean())
        off = np.abs(np.array(means) - TARGET).mean()
        figures = " | ".join(f"{100 * x:.2f}" for x in (np.mean(means), off, np.mean(distances)))
        print(f"| {rule.__name__} | {figures} |")


def main():
    families = defaultdict(list)
    for line in open(sys.argv[1], encoding="utf-8"):
        row = json.loads(line)
        if row["label"] == "aligned":
            families[row["family"]].append(row)
    for by_request in (False, True):
        print(f"\n{'Whole requests' if by_request else 'Single actions'} drawn, asked {100 * TARGET:.0f} %:\n")
        print("| family | n | mean FPR | mean distance | within 2 points | READ / WRITE / UNKNOWN |"
              " plain: mean FPR | distance | within |")
        print("|---|---|---|---|---|---|---|---|---|")
        for family, rows in sorted(families.items()):
            for n in SIZES:
                if len(rows) >= n + LEFT:
                    measure(family, rows, n, by_request, np.random.default_rng(7))
    compare_rules(families, 50, np.random.default_rng(7))


main()
