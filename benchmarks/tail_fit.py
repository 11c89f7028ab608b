"""Does the interval of a false-alarm rate hold the true rate, and is the promise kept on cloth not seen?

    python benchmarks/tail_fit.py [--samples 300] [--blocks 120 400 2000] [--bootstrap 0] [--points] [--json]

Each process is good cloth whose true rate is known: exactly, or from a run a thousand times as long. Of every sample
the tail is fitted and the threshold for a rate taken that is one alarm in 2 (10) times the metres seen; counted are
intervals that hold the true rate at that rate's own threshold, and thresholds whose true rate is no more than
promised. `--bootstrap N` adds the interval by N resamples of the blocks; `--points` prints the percentage points of
the Anderson-Darling statistic that `glass_edge.calibration.tail_level` uses.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.tail_blocks import AlarmCounter, BlockMaxima
from glass_edge.calibration.tail_fit import fit_tail
from glass_edge.calibration.tail_level import anderson_darling
from glass_edge.calibration.tail_promise import LEAST_EFFECTIVE, FittedTail, fitted_tail
from glass_edge.errors import InputError

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], tuple[BlockMaxima, AlarmCounter]]
BLOCK_M = 0.25
_PER_BLOCK = 60  # values of a block where the process is a series
_GAP = 3  # values without alarm that do not part an alarm
_ROLL_BLOCKS = 40


@dataclass(frozen=True, slots=True)
class Process:
    """Cloth: `draw(random, n)` gives n blocks and their counter, `rate(x)` the true alarms a block."""

    name: str
    draw: Draw
    rate: Callable[[float], float]


def _blocks(maxima: Floats, roll: NDArray[np.int64] | None = None) -> BlockMaxima:
    n = len(maxima)
    zeros = np.zeros(n, np.int64)
    return BlockMaxima(maxima, np.full(n, BLOCK_M), zeros if roll is None else roll, zeros if roll is None else roll)


def _of_points(sizes: Callable[[np.random.Generator, int], Floats], bursts: float = 1.0) -> Draw:
    """Blocks of a Poisson process (one spot a block), each spot with a geometric number of alarms of mean `bursts`."""

    def draw(random: np.random.Generator, n: int) -> tuple[BlockMaxima, AlarmCounter]:
        spots = random.poisson(1.0, n)
        block = np.repeat(np.arange(n), spots)
        peak = sizes(random, len(block))
        alarms = random.geometric(1.0 / bursts, len(block))
        maxima = np.full(n, -9.0)
        np.maximum.at(maxima, block, peak)
        return _blocks(maxima), lambda x: np.bincount(block, weights=alarms * (peak >= x), minlength=n).astype(np.int64)

    return draw


def _of_series(series: Callable[[np.random.Generator, int], Floats]) -> Draw:
    """Blocks of a series; an alarm is a run of values at or above the threshold, gaps of up to 3 values joined."""

    def draw(random: np.random.Generator, n: int) -> tuple[BlockMaxima, AlarmCounter]:
        values = series(random, n * _PER_BLOCK)
        return _blocks(values.reshape(n, _PER_BLOCK).max(axis=1)), lambda x: series_alarms(values, x)

    return draw


def series_alarms(values: Floats, x: float) -> NDArray[np.int64]:
    """Alarms that begin in each block of a series."""
    above = np.flatnonzero(values >= x)
    starts = above[np.diff(above, prepend=-_GAP - 9) > _GAP + 1]
    return np.bincount(starts // _PER_BLOCK, minlength=len(values) // _PER_BLOCK).astype(np.int64)


def _moving_maximum(width: int) -> Callable[[np.random.Generator, int], Floats]:
    def series(random: np.random.Generator, n: int) -> Floats:
        z = random.gumbel(size=n + width - 1)
        return np.lib.stride_tricks.sliding_window_view(z, width).max(axis=1)

    return series


def _smoothed_noise(sigma: float) -> Callable[[np.random.Generator, int], Floats]:
    reach = math.ceil(4 * sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= np.sqrt(np.sum(weights**2))

    def series(random: np.random.Generator, n: int) -> Floats:
        return np.convolve(random.normal(size=n + 2 * reach), weights, mode="valid")

    return series


def _rolls_that_differ(spread: float) -> Process:
    """Exponential peaks whose level differs from roll to roll by a normal logit shift."""

    def draw(random: np.random.Generator, n: int) -> tuple[BlockMaxima, AlarmCounter]:
        roll = np.arange(n) // _ROLL_BLOCKS
        shift = random.normal(0, spread, roll[-1] + 1)[roll]
        maxima = -np.log(random.exponential(size=n)) + shift  # Gumbel: the largest of a Poisson number of exponentials
        return _blocks(maxima, roll), lambda x: (maxima >= x).astype(np.int64)

    return Process(f"rolls that differ ({spread:g})", draw, lambda x: math.exp(-x + spread**2 / 2))


def _empirical(draw: Draw, blocks: int = 20_000, rounds: int = 60) -> Callable[[float], float]:
    """The true rate from a long run."""
    random = np.random.default_rng(77)
    thresholds = np.linspace(2.0, 6.0, 401)
    counts = np.zeros(len(thresholds))
    for _ in range(rounds):
        _, count = draw(random, blocks)
        counts += [count(x).sum() for x in thresholds]
    rates = np.log(np.maximum(counts, 0.3) / (blocks * rounds))
    return lambda x: math.exp(float(np.interp(x, thresholds, rates)))


def _gpd(shape: float) -> Process:
    def sizes(random: np.random.Generator, n: int) -> Floats:
        return np.asarray((random.uniform(size=n) ** -shape - 1) / shape)

    def rate(x: float) -> float:
        return float(max(0.0, 1 + shape * max(x, 0.0)) ** (-1 / shape)) if 1 + shape * x > 0 else 0.0

    return Process(f"Pareto tail, shape {shape:+g}", _of_points(sizes), rate)


def processes() -> list[Process]:
    """Good cloth of many kinds."""
    exponential = _of_points(lambda random, n: random.exponential(size=n))
    in_bursts = _of_points(lambda random, n: random.exponential(size=n), bursts=3.0)
    wide, noise = _of_series(_moving_maximum(2 * _PER_BLOCK)), _of_series(_smoothed_noise(3.0))
    return [
        Process("exponential tail", exponential, lambda x: math.exp(-x)),
        _gpd(-0.3),
        _gpd(0.3),
        _gpd(0.6),
        Process("three alarms a spot", in_bursts, lambda x: 3 * math.exp(-x)),
        Process("moving maximum over two blocks", wide, lambda x: _PER_BLOCK * -math.expm1(-math.exp(-x))),
        Process("smoothed Gaussian noise", noise, _empirical(noise)),
        _rolls_that_differ(0.5),
    ]


def threshold_of(rate: Callable[[float], float], wanted: float) -> float:
    """Where a falling rate is `wanted`."""
    low, high = 0.0, 2.0
    while rate(high) > wanted:
        low, high = high, 2 * high
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if rate(middle) > wanted else (low, middle)
    return high


def study(process: Process, n: int, beyond: Sequence[float], samples: int, bootstrap: int) -> list[dict[str, object]]:
    """Coverage and kept promises of `samples` samples of `n` blocks, for one alarm in `beyond` times the metres."""
    wanted = [1.0 / (one * n) for one in beyond]  # alarms a block
    at = [threshold_of(process.rate, rate) for rate in wanted]
    counts = {name: np.zeros(len(wanted)) for name in ("coverage", "interval_below_truth", "promise_kept")}
    resampled, refused = np.zeros(len(wanted)), 0
    rates: list[list[float]] = []
    for number in range(samples):
        random = np.random.default_rng([7, n, number])
        blocks, count = process.draw(random, n)
        tail = fitted_tail(blocks, count)
        if tail is None or tail.effective < LEAST_EFFECTIVE:
            refused += 1
            continue
        rates.append([])
        for i, rate in enumerate(wanted):
            asked = 100.0 * rate / BLOCK_M
            _, low, high = tail.per_100m(at[i])
            counts["coverage"][i] += low <= asked <= high
            counts["interval_below_truth"][i] += high < asked
            rates[-1].append(process.rate(tail.threshold_for(asked)) / rate)
            counts["promise_kept"][i] += rates[-1][-1] <= 1
            if bootstrap:
                resampled[i] += _bootstrap_holds(random, blocks, tail, at[i], asked, resamples=bootstrap)
    judged = max(1, samples - refused)
    middle = np.median(rates, axis=0) if rates else np.full(len(wanted), np.nan)
    return [
        {"process": process.name, "blocks": n, "beyond": one, "refused": refused}
        | {name: float(found[i] / judged) for name, found in counts.items()}
        | {"median_rate_of_asked": float(middle[i])}
        | ({"coverage_bootstrap": float(resampled[i] / judged)} if bootstrap else {})
        for i, one in enumerate(beyond)
    ]


def _bootstrap_holds(
    random: np.random.Generator, blocks: BlockMaxima, tail: FittedTail, at: float, asked: float, *, resamples: int
) -> bool:
    """Whether the percentile interval from resampled stretches of four blocks holds the true rate."""
    n = blocks.maxima.size
    rates = []
    for _ in range(resamples):
        starts = random.integers(0, n - 3, -(-n // 4))
        chosen = (starts[:, None] + np.arange(4)).ravel()[:n]
        try:
            rates.append(float(fit_tail(_blocks(blocks.maxima[chosen]), tail.fit.level_logit).rate_at(at)))
        except InputError:
            continue
    low, high = 100 * tail.alarms_per_exceedance * np.quantile(rates, (0.025, 0.975))
    return bool(low <= asked <= high)


def percentage_points(samples: int, n: int = 400, share: float = 0.25) -> dict[float, tuple[float, float]]:
    """10 % and 1 % points of the Anderson-Darling statistic by shape, `share` of `n` blocks above the level."""
    points = {}
    for shape in (-0.5, -0.25, 0.0, 0.25, 0.5):
        random = np.random.default_rng(1)
        found = []
        for _ in range(samples):
            falls = np.minimum(random.exponential(size=n) / -math.log1p(-share), 1.0)
            excess = (falls**-shape - 1) / shape if shape else -np.log(falls)
            blocks = _blocks(np.where(falls < 1, excess, -1.0))
            found.append(anderson_darling(blocks, fit_tail(blocks, 0.0)))
        ten, one = np.quantile(found, (0.9, 0.99))
        points[shape] = (float(ten), float(one))
    return points


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--blocks", type=int, nargs="+", default=[120, 400, 2000])
    parser.add_argument("--beyond", type=float, nargs="+", default=[2.0, 10.0])
    parser.add_argument("--bootstrap", type=int, default=0)
    parser.add_argument("--only", default="", help="processes whose name contains this")
    parser.add_argument("--points", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    if options.points:
        print(json.dumps(percentage_points(options.samples), indent=2))
        return
    results = []
    for process in processes():
        if options.only not in process.name:
            continue
        for n in options.blocks:
            results += study(process, n, options.beyond, options.samples, options.bootstrap)
            if not options.json:
                for one in results[-len(options.beyond) :]:
                    print("  ".join(_text(key, value) for key, value in one.items()), flush=True)
    if options.json:
        print(json.dumps(results, indent=2))


def _text(key: str, value: object) -> str:
    return f"{key} {value:.3f}" if isinstance(value, float) and key != "beyond" else f"{key} {value}"


if __name__ == "__main__":
    main()
