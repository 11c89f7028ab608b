"""How often the charts of drift alarm for nothing, and how soon they see what is there.

For baselines of 10, 20 and 50 rolls, with the default limits, on figures of one sort of process after the other: the
share of figures that alarm within 100 rolls after the baseline, the rolls woven for one that alarms (in the 1000 after
the baseline; the average run length in control), both for all nine figures of a station, taken for independent, and the
rolls until a change is seen in half and in nine of ten cases.

    .venv/bin/python benchmarks/control_chart.py [--samples N]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.control_chart import ChartRules, baseline_of, draw_chart
from glass_edge.config.drift import DriftLimits
from glass_edge.service.drift_figures import CHARTED

FLOOR = 1e-6
ROLLS = 1000
SEEN_WITHIN = 200
Process = Callable[[np.random.Generator, int], NDArray[np.float64]]


def independent(random: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Rolls that have nothing to do with each other."""
    return random.standard_normal(n)


def heavy(random: np.random.Generator, n: int) -> NDArray[np.float64]:
    """The same with the tails of Student's t of 5 degrees of freedom."""
    return random.standard_t(5, n) / math.sqrt(5 / 3)


def alike(random: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Neighbouring rolls with a correlation of one half."""
    out = random.standard_normal(n)
    for k in range(1, n):
        out[k] = 0.5 * out[k - 1] + math.sqrt(0.75) * out[k]
    return out


def lots(random: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Five rolls of one lot of yarn have half of the variance in common."""
    common = np.repeat(random.standard_normal(-(-n // 5)), 5)[:n]
    return math.sqrt(0.5) * (common + random.standard_normal(n))


STABLE: dict[str, Process] = {
    "independent, normal": independent,
    "independent, heavy tails": heavy,
    "neighbours alike, 0.5": alike,
    "lots of five rolls": lots,
}
MOVES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "a jump of 1 sigma": lambda rolls: 0 * rolls + 1,
    "a jump of 2 sigma": lambda rolls: 0 * rolls + 2,
    "a jump of 4 sigma": lambda rolls: 0 * rolls + 4,
    "a jump of 8 sigma": lambda rolls: 0 * rolls + 8,
    "0.1 sigma a roll": lambda rolls: 0.1 * rolls,
    "0.5 sigma a roll": lambda rolls: 0.5 * rolls,
}


def first_alarm(values: NDArray[np.float64], n_base: int, rules: ChartRules) -> int:
    """Roll after the baseline that alarms first, from 1; one more than there are when none does."""
    chart = draw_chart(baseline_of(list(values[:n_base]), FLOOR), list(values[n_base:]), rules)
    return next((k for k, point in enumerate(chart.points, start=1) if point.is_alarm), len(values) - n_base + 1)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000)
    samples = parser.parse_args().samples
    limits = DriftLimits()
    rules = ChartRules(limits.level_sigmas, limits.trend_sigmas, limits.trend_weight, clear_rolls=limits.clear_rolls)
    titles = ("stable rolls", "baseline", "alarm in 100", "rolls to an alarm", "all nine: in 100", "rolls to an alarm")
    print(f"| {' | '.join(titles)} |\n" + len(titles) * "| --- " + "|")
    for name, process in STABLE.items():
        for n_base in (10, 20, 50):
            random = np.random.default_rng(n_base)
            first = np.array([first_alarm(process(random, n_base + ROLLS), n_base, rules) for _ in range(samples)])
            short, alarms = float((first <= 100).mean()), int((first <= ROLLS).sum())
            length, nine = int(np.minimum(first, ROLLS).sum()) / max(1, alarms), len(CHARTED)
            told = [f"{100 * short:.1f} %", f"{length:,.0f}"]
            told += [f"{100 * (1 - (1 - short) ** nine):.0f} %", f"{length / nine:,.0f}"]
            print(f"| {name} | {n_base} | {' | '.join(told)} |", flush=True)
    print("\n| what changes | baseline | half seen after | nine of ten after | ever in 200 |\n" + 5 * "| --- " + "|")
    for name, move in MOVES.items():
        for n_base in (10, 20, 50):
            random = np.random.default_rng(n_base)
            moved = np.concatenate([np.zeros(n_base), move(np.arange(1.0, SEEN_WITHIN + 1))])
            first = np.array(
                [first_alarm(independent(random, len(moved)) + moved, n_base, rules) for _ in range(samples)]
            )
            half, most = (float(np.quantile(first, share)) for share in (0.5, 0.9))
            words = [f"{value:.0f}" if value <= SEEN_WITHIN else "-" for value in (half, most)]
            seen = 100 * float((first <= SEEN_WITHIN).mean())
            print(f"| {name} | {n_base} | {words[0]} | {words[1]} | {seen:.0f} % |", flush=True)


if __name__ == "__main__":
    main()
