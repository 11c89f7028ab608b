"""Everything after the engine: megapixels a second on one core, beside scipy's plain implementation of the same steps.

    python benchmarks/postprocess.py [--width-px 10000] [--metres 20] [--rounds 5] [--json]

Scores of good cloth with a spot a metre are smoothed, thresholded, labelled and followed as the defects thread does it,
strip by strip; the plain implementation has the whole strip in memory and calls `gaussian_filter`, `label`,
`find_objects` and `maximum` once. Both in turn, in one process and one thread, processor time. What events, journal and
pictures on disk cost is in neither; the pictures cut out in memory are.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import cv2
import numpy as np
from endless_scores import STRIDE_PX, THRESHOLD, Feed, Scores, defect_stage
from numpy.typing import NDArray
from scipy import ndimage

from glass_edge.fabric.geometry import WebScale
from glass_edge.inspection.sink import QuietSink

_MM_PER_PX = 0.1
_LOOM_M_PER_MIN = 0.5
_STRIP_ROWS = 56


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width-px", type=int, default=10_000)
    parser.add_argument("--metres", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    n_cells = options.width_px // STRIDE_PX
    lines = round(options.metres * 1000 / _MM_PER_PX)
    scores = Scores(n_cells, round(1000 / _MM_PER_PX / STRIDE_PX))
    whole = scores.rows(0, lines // STRIDE_PX)
    ours: list[float] = []
    plain: list[float] = []
    found = expected = 0
    for _ in range(options.rounds):
        seconds, found = _ours(scores, n_cells, lines)
        ours.append(seconds)
        seconds, expected = _plain(whole)
        plain.append(seconds)
    megapixels = options.width_px * lines / 1e6
    line_rate = lines / statistics.median(ours)
    result = {
        "width_px": options.width_px,
        "metres": options.metres,
        "megapixels_per_s": megapixels / statistics.median(ours),
        "plain_megapixels_per_s": megapixels / statistics.median(plain),
        "ratio": statistics.median(p / o for p, o in zip(plain, ours, strict=True)),
        "times_real_time_at_half_a_metre_a_minute": line_rate * _MM_PER_PX * 0.06 / _LOOM_M_PER_MIN,
        "defects": found,
        "defects_plain": expected,
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    times = result["times_real_time_at_half_a_metre_a_minute"]
    print(
        f"{options.metres:g} m of {options.width_px} px at {_MM_PER_PX} mm: {result['megapixels_per_s']:.0f} "
        f"megapixels/s of the camera on one core, {times:.0f} times a loom of {_LOOM_M_PER_MIN} m/min; "
        f"plain {result['plain_megapixels_per_s']:.0f} megapixels/s, ratio {result['ratio']:.1f}; "
        f"{found} defects, plain {expected}"
    )


def _ours(scores: Scores, n_cells: int, lines: int) -> tuple[float, int]:
    feed = Feed(scores, n_cells, lines, _STRIP_ROWS)
    stage = defect_stage(feed, QuietSink(), WebScale(_MM_PER_PX, _MM_PER_PX), gap_mm=0.0, run_gap_mm=0.0)
    begun = time.thread_time()
    stage.run()
    return time.thread_time() - begun - feed.making_s, stage.totals.defects


def _plain(whole: NDArray[np.float32]) -> tuple[float, int]:
    begun = time.thread_time()
    smooth = ndimage.gaussian_filter(whole, 2.0 / STRIDE_PX, mode="reflect", truncate=4)
    mask = smooth >= THRESHOLD
    labels, n = ndimage.label(mask, structure=np.ones((3, 3)))
    boxes = ndimage.find_objects(labels)
    ndimage.maximum(smooth, labels, np.arange(1, n + 1))
    ndimage.sum_labels(1 / (1 + np.exp(-smooth)), labels, np.arange(1, n + 1))
    return time.thread_time() - begun, len(boxes)


if __name__ == "__main__":
    main()
