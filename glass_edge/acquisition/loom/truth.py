"""Ground truth as plain values.

Promises: millimetres count from the left selvedge and from the first line of the strip; boxes are half-open pixel
ranges of the strip's own image, exactly the bounding box of the defect's mask.
"""

from __future__ import annotations

from typing import Any

from glass_edge.acquisition.loom.renderer import DefectTruth, LoomRenderer
from glass_edge.fabric.geometry import WebBox, WebScale, to_mm

FORMAT = 1


def describe_defect(truth: DefectTruth, renderer: LoomRenderer, first_line: int) -> dict[str, Any]:
    """One defect of the strip that begins at web line `first_line`."""
    spec, box = renderer.spec, truth.box_px
    scale = WebScale(spec.mm_per_px, spec.mm_per_line)
    place = to_mm(box, scale, left_selvedge_px=renderer.frame.left_px, roll_first_line=first_line)
    own = WebBox(box.left_px, box.right_px, box.first_line - first_line, box.end_line - first_line)
    return {
        "kind": str(truth.fault.kind),
        "across_mm": round(place.across_mm, 4),
        "along_mm": round(place.along_mm, 4),
        "width_mm": round(place.width_mm, 4),
        "length_mm": round(place.length_mm, 4),
        "box_px": {
            "left_px": own.left_px,
            "right_px": own.right_px,
            "first_line": own.first_line,
            "end_line": own.end_line,
        },
        "contrast": round(truth.contrast, 4),
    }


def describe_strip(renderer: LoomRenderer, first_line: int, n_lines: int) -> dict[str, Any]:
    """Everything known about lines [first_line, first_line + n_lines)."""
    spec, frame = renderer.spec, renderer.frame
    return {
        "format": FORMAT,
        "cloth": spec.cloth,
        "seed": spec.seed,
        "background": str(spec.background),
        "width_px": spec.width_px,
        "lines": n_lines,
        "mm_per_px": spec.mm_per_px,
        "mm_per_line": spec.mm_per_line,
        "left_selvedge_px": frame.left_px,
        "right_selvedge_px": frame.left_px + frame.cloth_px,
        "contrast_asked": spec.contrast,
        "defects": [
            describe_defect(truth, renderer, first_line)
            for truth in renderer.truths_between(first_line, first_line + n_lines)
        ],
    }
