"""What a run folder says of its data, its machine and its end.

Promises: plain JSON values.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from glass_edge.config.recipe import Recipe
from glass_edge.glass.data import ClothStrip, GoodData
from glass_edge.glass.data_folder import recognise
from glass_edge.glass.trainer_records import TrainingResult

_LIBRARIES = ("glass-edge", "torch", "timm", "numpy", "opencv-python-headless", "pillow", "scipy")


def describe_data(data: GoodData, selection: Sequence[ClothStrip]) -> dict[str, Any]:
    """Content of `data.json`; `selection`: strips that choose the epoch."""
    strips = (*data.train, *data.holdout, *selection)
    spans = {strip.name: [strip.span.left_px, strip.span.right_px] for strip in strips}
    return {
        "folder": str(data.folder),
        "layout": recognise(data.folder).value,
        "fingerprint_sha256": data.fingerprint,
        "images": {name: _describe_image(data, name, spans[name]) for name in data.hashes},
        "train": [strip.name for strip in data.train],
        "holdout": [strip.name for strip in data.holdout],
        "selection": [strip.name for strip in selection],
        "skipped": [{"name": one.name, "reason": one.reason} for one in data.skipped],
    }


def _describe_image(data: GoodData, name: str, span: list[int]) -> dict[str, Any]:
    described = {"sha256": data.hashes[name], "cloth_px": span}
    if name in data.foreground_hashes:
        described["foreground_sha256"] = data.foreground_hashes[name]
    return described


def describe_environment(threads: int) -> dict[str, Any]:
    """Content of `environment.json`."""
    versions: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {
        "started_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "threads": threads,
        "torch_cpu": torch.backends.cpu.get_cpu_capability(),
        "versions": versions,
    }


def describe_end(result: TrainingResult, recipe: Recipe) -> dict[str, Any]:
    """Content of `training.json`."""
    return {
        "method": recipe.method,
        "epochs": result.epochs,
        "ended": result.ended,
        "select": recipe.training.select,
        "patience": recipe.training.patience,
        "chosen_epoch": result.chosen,
        "seconds": round(result.seconds, 3),
        "finished_utc": datetime.now(UTC).isoformat(timespec="seconds"),
    }
