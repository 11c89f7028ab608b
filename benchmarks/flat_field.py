"""Lines a second of the flat field on one core, beside what a camera of 8192 px and 10 kHz needs.

    python benchmarks/flat_field.py [--width-px 8192] [--block-lines 512] [--channels 1] [--json]

The correction uses one thread. The median of the rounds counts; on a machine that does other work read the best too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np

from glass_edge.calibration.flat_field import FlatField
from glass_edge.calibration.lamp_drift import DriftingFlatField

_NEEDED_LINES_PER_S = 10_000.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width-px", type=int, default=8192)
    parser.add_argument("--block-lines", type=int, default=512)
    parser.add_argument("--channels", type=int, choices=(1, 3), default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    random = np.random.default_rng(0)
    shape = (options.width_px, options.channels)
    dark = random.uniform(2, 6, shape).astype(np.float32)
    flat = FlatField(dark, dark + random.uniform(120, 200, shape).astype(np.float32), 200.0)
    size = (options.block_lines, options.width_px) + ((3,) if options.channels == 3 else ())
    block = random.integers(0, 256, size, dtype=np.uint8)
    following = DriftingFlatField(flat)
    result = {}
    for name, correct in (("flat field", flat.apply), ("flat field with lamp drift", following.apply)):
        correct(block)
        seconds = []
        for _ in range(options.rounds):
            started = time.process_time()
            correct(block)
            seconds.append(time.process_time() - started)
        rate, best = (options.block_lines / value for value in (statistics.median(seconds), min(seconds)))
        result[name] = {"lines_per_s": rate, "best_lines_per_s": best, "core_share_at_10_khz": 1e4 / rate}
        if not options.json:
            print(
                f"{name}: {rate:.0f} lines/s of {options.width_px} px x {options.channels} (best {best:.0f}), "
                f"{rate / _NEEDED_LINES_PER_S:.1f} times 10 kHz, {100 * _NEEDED_LINES_PER_S / rate:.0f} % of a core"
            )
    if options.json:
        print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
