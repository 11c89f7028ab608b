"""The report of a finished training run, from its run folder alone.

Promises: no labelled image is looked at; the tiles shown are those that choose an epoch (`glass.selection_tiles`), the
threshold is that of held-out good cloth. Without the extra `report` the plots are left out, that is said, and
everything else is written; files appear whole.

Files: `report.json`, `report-losses.png` (when epochs were trained), `report-scores.png` and `report-sheet.png` (when
good cloth was held out).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from glass_edge import __version__
from glass_edge.cli.evaluation_sheet import draw_sheet
from glass_edge.cli.plots import can_plot
from glass_edge.cli.training_metrics import TrainingMetrics, read_metrics
from glass_edge.cli.training_plots import draw_losses, draw_scores
from glass_edge.cli.training_scores import HeldOutScores, score_held_out
from glass_edge.errors import InputError
from glass_edge.files import write_bytes, write_json
from glass_edge.glass.checkpoint import CheckpointInfo, load_info
from glass_edge.glass.run_folder import DATA_NAME, END_NAME, ENVIRONMENT_NAME

REPORT_NAME = "report.json"
LOSSES_NAME = "report-losses.png"
SCORES_NAME = "report-scores.png"
SHEET_NAME = "report-sheet.png"


def write_training_report(run_folder: Path, *, say: Callable[[str], None]) -> list[Path]:
    """Write the report of a run into its folder.

    Args:
        run_folder: with a checkpoint.
        say: told in a sentence what had to be left out, and why.

    Returns:
        The paths of the files.

    Raises:
        InputError: no checkpoint, damaged files, or the held-out images are gone. OSError: the disk is full.
    """
    recipe, info = load_info(run_folder)
    metrics = read_metrics(run_folder)
    scores: HeldOutScores | None = None
    if info.holdout:
        scores = score_held_out(run_folder)
    else:
        say("no scores in the report: no good image was held out; give data.holdout a share above 0")
    pictures: dict[str, bytes | None] = {}
    if scores is not None:
        pictures[SHEET_NAME] = draw_sheet(scores.evaluation, scores.select)
    if (metrics.rows or scores is not None) and can_plot(say):
        if metrics.rows:
            pictures[LOSSES_NAME] = draw_losses(metrics, info.epoch if info.selection else None)
        if scores is not None:
            pictures[SCORES_NAME] = draw_scores(scores)
    document = {
        "style": recipe.style,
        "method": recipe.method,
        "hypothesis": recipe.gas.hypothesis if recipe.method == "glass" else None,
        "backbone": recipe.backbone.name,
        "levels": list(recipe.backbone.levels),
        "training": _training(run_folder, metrics, info),
        "data": _data(run_folder),
        "held_out": scores.document() if scores is not None else None,
        "environment": _read(run_folder / ENVIRONMENT_NAME),
        "glass_edge_version": __version__,
    }
    for name, picture in pictures.items():
        if picture is not None:
            write_bytes(run_folder / name, picture)
    write_json(run_folder / REPORT_NAME, document)
    return [run_folder / REPORT_NAME, *(run_folder / name for name, one in sorted(pictures.items()) if one is not None)]


def _training(run_folder: Path, metrics: TrainingMetrics, info: CheckpointInfo) -> dict[str, Any]:
    """How it went: the end, the chosen epoch, and every epoch's figures."""
    seconds = [value for epoch, value in metrics.column("seconds").items() if epoch > 0]  # 0: nothing is trained
    return {
        **_read(run_folder / END_NAME),
        "checkpoint_epoch": info.epoch,
        "seconds_per_epoch": round(median(seconds), 3) if seconds else None,
        "epochs_logged": [{"epoch": epoch, **_finite(row)} for epoch, row in metrics.rows.items()],
    }


def _data(run_folder: Path) -> dict[str, Any]:
    document = _read(run_folder / DATA_NAME)
    counted = ("train", "holdout", "selection", "skipped")
    return {
        "folder": document.get("folder"),
        "fingerprint_sha256": document.get("fingerprint_sha256"),
        "images": {name: len(document.get(name, ())) for name in counted},
        "skipped": document.get("skipped", []),
    }


def _finite(row: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in row.items()}


def _read(path: Path) -> dict[str, Any]:
    """A JSON document of the run; empty when it is not there (an interrupted run has no end yet)."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}): cut off or changed; restore it from a backup") from error
    return document if isinstance(document, dict) else {}
