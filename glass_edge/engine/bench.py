"""Measuring an engine, alone and beside a reference.

Promises: only what was timed is reported, as medians and percentiles of `time.perf_counter`; a comparison alternates
the two sides in one run, so a change of the machine's load or clock meets both, and reports how far their results
differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.engine.base import Engine
from glass_edge.errors import InputError

Scorer = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
_MIN_ROUNDS = 3
_BATCHES_A_ROUND = 2


@dataclass(frozen=True, slots=True)
class BatchFigures:
    """An engine at one batch size.

    Attributes:
        batch: tiles in a submission.
        tiles_per_s: throughput with all submissions in flight that the engine takes.
        latency_p50_ms, latency_p95_ms, latency_p99_ms, latency_max_ms: from submission to result of one batch with
            nothing else in flight, ms.
        n_latency: batches behind the latencies.
        n_throughput: batches behind the throughput.
    """

    batch: int
    tiles_per_s: float
    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    latency_max_ms: float
    n_latency: int
    n_throughput: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """An engine beside a reference at one batch size.

    Attributes:
        batch: tiles in a submission.
        rounds: alternations, one round of each side.
        engine_tiles_per_s, reference_tiles_per_s: medians over the rounds.
        ratio: engine median by reference median.
        ratio_low, ratio_high: smallest and largest ratio of a round and its neighbour.
        max_abs_logit_difference: between the two, over the tiles used.
    """

    batch: int
    rounds: int
    engine_tiles_per_s: float
    reference_tiles_per_s: float
    ratio: float
    ratio_low: float
    ratio_high: float
    max_abs_logit_difference: float


def measure_engine(engine: Engine, tiles: NDArray[np.uint8], batch: int, seconds: float) -> BatchFigures:
    """Time `engine` for `seconds`, half one at a time, half with a full pipeline.

    Args:
        engine: warm, nothing in flight.
        tiles: uint8 (n, h, w, c), used in turn.
        batch: tiles in a submission, 1 to engine.max_batch.
        seconds: time to spend; at least a few batches are run whatever it is.

    Raises:
        InputError: the batch is larger than the engine takes, or `seconds` is not above 0.
    """
    _require(engine, batch, seconds)
    batches = _batches(tiles, batch)
    latencies_s: list[float] = []
    end = time.perf_counter() + seconds / 2
    while len(latencies_s) < _MIN_ROUNDS or time.perf_counter() < end:
        start = time.perf_counter()
        engine.infer(batches[len(latencies_s) % len(batches)])
        latencies_s.append(time.perf_counter() - start)
    submitted, elapsed_s = _run_full(engine, batches, seconds / 2)
    p50, p95, p99, worst = np.percentile(latencies_s, (50, 95, 99, 100)) * 1e3
    return BatchFigures(
        batch=batch,
        tiles_per_s=submitted * batch / elapsed_s,
        latency_p50_ms=float(p50),
        latency_p95_ms=float(p95),
        latency_p99_ms=float(p99),
        latency_max_ms=float(worst),
        n_latency=len(latencies_s),
        n_throughput=submitted,
    )


def throughput(engine: Engine, tiles: NDArray[np.uint8], batch: int, seconds: float) -> float:
    """Tiles a second with all submissions in flight that the engine takes; arguments as `measure_engine`."""
    _require(engine, batch, seconds)
    submitted, elapsed_s = _run_full(engine, _batches(tiles, batch), seconds)
    return submitted * batch / elapsed_s


def _run_full(engine: Engine, batches: list[NDArray[np.uint8]], seconds: float) -> tuple[int, float]:
    """Batches run in about `seconds`, and the time they took."""
    submitted = collected = 0
    start = time.perf_counter()
    while submitted < _MIN_ROUNDS * engine.depth or time.perf_counter() < start + seconds:
        engine.submit(batches[submitted % len(batches)])
        submitted += 1
        if submitted - collected == engine.depth:
            engine.collect()
            collected += 1
    while collected < submitted:
        engine.collect()
        collected += 1
    return submitted, time.perf_counter() - start


def compare(engine: Engine, reference: Scorer, tiles: NDArray[np.uint8], batch: int, seconds: float) -> Comparison:
    """Time `engine` and `reference` in turn on the same batches: A B A B, at least three rounds of each.

    Args:
        engine: warm, nothing in flight.
        reference: uint8 (n, h, w, c) tiles to float32 (n, h // stride, w // stride) logits.
        tiles, batch, seconds: as `measure_engine`.

    Raises:
        InputError: as `measure_engine`, or the reference returns another shape.
    """
    _require(engine, batch, seconds)
    batches = _batches(tiles, batch)
    difference = 0.0
    for one in batches:  # also warms both up
        ours, theirs = engine.infer(one), reference(one)
        if ours.shape != theirs.shape:
            raise InputError(f"the reference returns {theirs.shape}, the engine {ours.shape}: another checkpoint's?")
        difference = max(difference, float(np.abs(ours.astype(np.float64) - theirs).max()))
    engine_s: list[float] = []
    reference_s: list[float] = []
    end = time.perf_counter() + seconds
    while len(engine_s) < _MIN_ROUNDS or time.perf_counter() < end:
        first = len(engine_s) * _BATCHES_A_ROUND
        chosen = [batches[(first + k) % len(batches)] for k in range(_BATCHES_A_ROUND)]
        engine_s.append(_time_engine(engine, chosen))
        start = time.perf_counter()
        for one in chosen:
            reference(one)
        reference_s.append(time.perf_counter() - start)
    n_tiles = _BATCHES_A_ROUND * batch
    ratios = np.array(reference_s) / np.array(engine_s)
    return Comparison(
        batch=batch,
        rounds=len(engine_s),
        engine_tiles_per_s=n_tiles / float(np.median(engine_s)),
        reference_tiles_per_s=n_tiles / float(np.median(reference_s)),
        ratio=float(np.median(reference_s) / np.median(engine_s)),
        ratio_low=float(ratios.min()),
        ratio_high=float(ratios.max()),
        max_abs_logit_difference=difference,
    )


def _time_engine(engine: Engine, batches: list[NDArray[np.uint8]]) -> float:
    start = time.perf_counter()
    waiting = 0
    for one in batches:
        if waiting == engine.depth:
            engine.collect()
            waiting -= 1
        engine.submit(one)
        waiting += 1
    for _ in range(waiting):
        engine.collect()
    return time.perf_counter() - start


def _require(engine: Engine, batch: int, seconds: float) -> None:
    if not 1 <= batch <= engine.max_batch:
        raise InputError(f"batch = {batch}: this engine takes 1 to {engine.max_batch} tiles")
    if not seconds > 0:
        raise InputError(f"seconds = {seconds}: a time above 0 is needed")


def _batches(tiles: NDArray[np.uint8], batch: int) -> list[NDArray[np.uint8]]:
    """The tiles as whole batches, the tiles repeated where they do not fill them."""
    count = -(-len(tiles) // batch)
    index = np.arange(count * batch) % len(tiles)
    return [np.ascontiguousarray(tiles[part]) for part in np.split(index, count)]
