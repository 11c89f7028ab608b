"""Builds graphs with tensorrt_rtx in a process of its own and prints what came out, as JSON.

A library that ends its process on an error ends only this one. Arguments: a JSON file of jobs, a list of objects with
model (path), tile, max_batch, optimal_batch, compute_capabilities and fail_at (share at which the callback raises).
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.tensorrt_api import library_version, load_api
from glass_edge.engine.tensorrt_builder import PlanOptions, build_plan
from glass_edge.errors import GlassEdgeError


class Stopped(Exception):
    """Raised by the callback."""


def run(job: dict[str, object]) -> dict[str, object]:
    told: list[tuple[str, float]] = []

    def progress(phase: str, share: float) -> None:
        told.append((phase, share))
        if share >= float(str(job.get("fail_at", 2.0))):
            raise Stopped(phase)

    api = load_api("tensorrt-rtx")
    options = PlanOptions(
        max_batch=job.get("max_batch", 4),
        optimal_batch=job.get("optimal_batch", 2),
        compute_capabilities=tuple(job.get("compute_capabilities", ["SM86"])),
        hardware_compatibility=job.get("hardware_compatibility", "none"),
    )
    model = Path(str(job["model"]))
    try:
        tile = TileSpec.model_validate(job["tile"])
        built = build_plan(api, model.read_bytes(), tile, options, model.name, progress=progress)
    except (GlassEdgeError, Stopped) as error:
        return {"error": type(error).__name__, "message": str(error), "shares": [share for _, share in told]}
    return {
        "library": library_version(api),
        "bytes": len(built.plan),
        "sha256": hashlib.sha256(built.plan).hexdigest(),
        "timings": len(built.timing_cache),
        "shares": [share for _, share in told],
        "phases": sorted({phase for phase, _ in told}),
    }


if __name__ == "__main__":
    results = [run(job) for job in json.loads(Path(sys.argv[1]).read_text())]
    sys.stdout.write("\n" + json.dumps(results) + "\n")
