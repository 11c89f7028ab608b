"""The parity gate: an engine is accepted only when it says what the checkpoint said.

Promises: `require` lets nothing pass that is off by more than the tolerance or decides otherwise; the tolerance is in
the result, so what was accepted can be read later.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.engine.base import Engine
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.golden import GoldenSet
from glass_edge.engine.manifest import Manifest, ParityResult
from glass_edge.errors import GlassEdgeError

EXACT_TOLERANCE = 1e-3
"""f32: allowed logit error as a fraction of the largest golden logit (at least 1): other orders of summation, with room
for whitened features."""
REDUCED_TOLERANCE = 5e-2
"""Any other precision: the same as a fraction of twice the threshold (at least 1). What counts is the decision; the
largest golden logit stems from painted damage and is no scale for it."""
ALLOWED_CHANGE = 0.05
"""Share of the golden alarm cells whose decision may differ; one more is always allowed, at a contour's edge."""


class ParityError(GlassEdgeError):
    """The engine's scores are not those of the checkpoint: it must not run."""


def tolerance_for(precision: str, golden: GoldenSet, threshold_logit: float) -> float:
    """Largest absolute logit error accepted of an engine of this precision."""
    if precision == "f32":
        return EXACT_TOLERANCE * max(1.0, float(np.abs(golden.maps).max()))
    return REDUCED_TOLERANCE * max(1.0, 2 * abs(threshold_logit))


def measure(
    engine: Engine,
    golden: GoldenSet,
    threshold_logit: float,
    smoothing_sigma_px: float = 0.0,
    tolerance: float | None = None,
    *,
    halo_px: int = 0,
) -> ParityResult:
    """Run the golden tiles through `engine` and compare.

    Args:
        engine: nothing may be in flight.
        golden: tiles and the checkpoint's logits.
        threshold_logit: alarm where the smoothed logit is at or above it.
        smoothing_sigma_px: Gaussian sigma of the smoothing before the threshold, px.
        tolerance: largest absolute logit error accepted; None: `tolerance_for` the engine's precision.
        halo_px: border of the tiles whose scores are never used, and so not compared.

    Raises:
        ParityError: the engine returned NaN or infinity.
    """
    if tolerance is None:
        tolerance = tolerance_for(engine.facts.precision, golden, threshold_logit)
    maps = np.concatenate(
        [
            engine.infer(golden.tiles[first : first + engine.max_batch])
            for first in range(0, len(golden.tiles), engine.max_batch)
        ]
    )
    if not np.isfinite(maps).all():
        raise ParityError(f"{engine.facts.runtime} {engine.facts.precision}: NaN or infinity among the golden scores")
    edge = halo_px // engine.score_stride_px
    rows, columns = golden.maps.shape[1:]
    inside = np.s_[:, edge : rows - edge, edge : columns - edge]
    error = np.abs(maps.astype(np.float64) - golden.maps)[inside]
    sigma_cells = smoothing_sigma_px / engine.score_stride_px
    expected = (_smooth(golden.maps, sigma_cells) >= threshold_logit)[inside]
    changed = int(np.count_nonzero(expected != (_smooth(maps, sigma_cells) >= threshold_logit)[inside]))
    allowed = 1 + int(ALLOWED_CHANGE * np.count_nonzero(expected))
    return ParityResult(
        runtime=engine.facts.runtime,
        precision=engine.facts.precision,
        max_abs_logit_error=float(error.max()),
        mean_abs_logit_error=float(error.mean()),
        tolerance=tolerance,
        alarm_cells_changed=changed,
        passed=bool(error.max() <= tolerance) and changed <= allowed,
    )


def require(result: ParityResult, name: str) -> None:
    """Raises ParityError, beginning with `name`, unless `result` passed."""
    if not result.passed:
        raise ParityError(
            f"{name}: {result.runtime} {result.precision} differs from the checkpoint by up to "
            f"{result.max_abs_logit_error:.3g} in the logit ({result.tolerance:.3g} allowed) and decides "
            f"{result.alarm_cells_changed} golden cells otherwise; use precision f32, or rebuild the bundle"
        )


def self_test(engine: Engine, bundle: Bundle) -> ParityResult:
    """Run the gate on this machine, with the tolerance the bundle was accepted with.

    Raises:
        ParityError: the engine differs, or the bundle records that this runtime and precision failed.
    """
    manifest = bundle.manifest
    recorded = recorded_result(manifest, engine.facts.runtime, engine.facts.precision)
    if recorded is not None:
        require(recorded, f"{bundle.folder} (recorded when it was built)")
    result = measure(
        engine,
        bundle.golden(),
        manifest.threshold.logit,
        manifest.smoothing_sigma_px,
        recorded.tolerance if recorded is not None else None,
        halo_px=manifest.tile.halo_px,
    )
    require(result, str(bundle.folder))
    return result


def recorded_result(manifest: Manifest, runtime: str, precision: str) -> ParityResult | None:
    """What the gate found for this variant when the bundle was built, if it was tried."""
    for result in manifest.parity:
        if (result.runtime, result.precision) == (runtime, precision):
            return result
    return None


def _smooth(maps: NDArray[np.float32], sigma_cells: float) -> NDArray[np.float32]:
    if sigma_cells <= 0:
        return maps
    return np.stack([cv2.GaussianBlur(plane, (0, 0), sigma_cells) for plane in maps]).astype(np.float32, copy=False)
