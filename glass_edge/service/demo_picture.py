"""The picture of a demonstration: every strip with scores, found boxes and true boxes, under one legend.

Promises: pure; what is drawn red was found, what is drawn green is true.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glass_edge.inspection.overlay import FOUND_RGB, TRUE_RGB, OverlayBox, caption, draw_strip, legend
from glass_edge.service.demo import RollOutcome


def draw_demo(outcomes: Sequence[RollOutcome]) -> NDArray[np.uint8]:
    """One picture of all rolls, uint8 (height, width, 3) RGB."""
    parts = [legend()]
    for outcome in outcomes:
        parts += [caption(_headline(outcome)), _strip(outcome)]
    width = max(part.shape[1] for part in parts)
    padded = [
        np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=250)  # paper
        for part in parts
    ]
    return np.concatenate(padded)


def _headline(outcome: RollOutcome) -> str:
    job, match = outcome.roll.job, outcome.match
    manifest = job.bundle.manifest
    lines = outcome.report.totals.lines_woven
    return (
        f"{outcome.roll.title}: {lines * job.web.mm_per_line / 1000:.3f} m, engine {manifest.style} "
        f"{manifest.version}, "
        f"{match.n_found} of {len(outcome.roll.truths)} defects found, {len(match.false_alarms)} false alarms"
    )


def _strip(outcome: RollOutcome) -> NDArray[np.uint8]:
    job = outcome.roll.job
    threshold = job.inspection.threshold_logit
    boxes = [OverlayBox(truth.box_px, truth.kind, TRUE_RGB, is_outer=True) for truth in outcome.roll.truths]
    for defect in outcome.found:
        place = f"#{defect.defect_id} {defect.box_mm.along_mm:.0f} mm, {defect.box_mm.across_mm:.0f} mm"
        boxes.append(OverlayBox(defect.box_px, place, FOUND_RGB))
    return draw_strip(
        outcome.lines,
        outcome.scores,
        boxes,
        job.scale,
        job.bundle.manifest.threshold.logit if threshold is None else threshold,
    )
