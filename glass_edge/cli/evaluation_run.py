"""Scoring a labelled folder and writing what came of it.

Promises: files appear whole; `evaluation.json` says what was evaluated, on which images, with which threshold and what
it rests on.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from glass_edge import __version__
from glass_edge.cli.evaluation_curves import write_curves
from glass_edge.cli.evaluation_sheet import draw_sheet
from glass_edge.cli.evaluation_subject import Subject, open_subject
from glass_edge.engine.machine import describe_machine
from glass_edge.errors import InputError
from glass_edge.files import csv_bytes, make_folder, write_bytes, write_json
from glass_edge.glass.data_labelled import LabelledData, load_labelled_data
from glass_edge.glass.evaluation import Evaluation
from glass_edge.glass.evaluation_figures import Figures

RESULT_NAME = "evaluation.json"
TABLE_NAME = "evaluation-images.csv"
KINDS_NAME = "evaluation-kinds.csv"
SHEET_NAME = "evaluation.png"
Tick = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class EvaluationRun:
    """A finished evaluation.

    Attributes:
        subject: what was evaluated.
        data: the images.
        evaluation: image by image.
        figures: of all.
        seconds: time of scoring and judging, s.
    """

    subject: Subject
    data: LabelledData
    evaluation: Evaluation
    figures: Figures
    seconds: float

    @property
    def name(self) -> str:
        """For tables and legends."""
        return f"{self.subject.path} ({self.subject.method})"

    def document(self) -> dict[str, Any]:
        """Content of `evaluation.json`."""
        subject = self.subject
        return {
            "subject": str(subject.path),
            "style": subject.style,
            "method": subject.method,
            "data": str(self.data.folder),
            "images": len(self.evaluation.images),
            "skipped": [dataclasses.asdict(one) for one in self.data.skipped],
            "threshold": subject.threshold.model_dump(mode="json"),
            "smoothing_sigma_px": subject.sigma_px,
            "halo_px": subject.tile.halo_px,
            "figures": self.figures.document(),
            "engine": dataclasses.asdict(subject.engine.facts),
            "machine": dataclasses.asdict(describe_machine()),
            "glass_edge_version": __version__,
            "finished_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 3),
        }


def evaluate(subject: Subject, folder: Path | None, tick: Tick, *, intervals: bool = True) -> EvaluationRun:
    """Score and judge the test images of `folder` (None: of the data the subject was trained on).

    Args:
        subject: what scores.
        folder: labelled, see `glass.data_folder`.
        tick: told after each image how many of how many are done.
        intervals: draw the intervals of the figures too.

    Raises:
        InputError: no folder, no labelled images, or images that cannot be used.
    """
    place = folder or subject.data
    if place is None:
        raise InputError(
            f"{subject.path}: a bundle does not know its images; say where labelled ones are: --data FOLDER"
        )
    started = time.monotonic()
    data = load_labelled_data(place, subject.tile, subject.find_cloth, on_bad_image=subject.on_bad_image)
    evaluation = Evaluation(subject.threshold.logit, subject.min_area_px)
    for done, image in enumerate(data, start=1):
        try:
            plain = subject.score(image.strip.pixels, image.strip.span)
            evaluation.add(image, subject.to_threshold(plain, image.strip.pixels, image.strip.span), plain)
        except InputError as error:
            raise InputError(f"{place / image.strip.name}: {error}") from error
        tick(done, len(data))
    figures = evaluation.figures(intervals=intervals)
    return EvaluationRun(subject, data, evaluation, figures, time.monotonic() - started)


def evaluate_run(path: Path, *, data: Path | None = None, threshold_images: Path | None = None) -> dict[str, Any]:
    """Evaluate a run folder, a checkpoint or a bundle and return what `evaluation.json` would hold; writes nothing.

    Args:
        path: what to evaluate.
        data: labelled folder; None: that of the recipe.
        threshold_images: good images for a checkpoint's threshold instead of the held-out ones.

    Raises:
        InputError: as `evaluate` and `open_subject`.
    """
    with open_subject(path, data=data, threshold_images=threshold_images) as subject:
        return evaluate(subject, data, lambda done, total: None).document()


def write_evaluation(run: EvaluationRun, out: Path) -> list[Path]:
    """Write `evaluation.json`, tables of images, kinds and curves, and a sheet of pictures into `out`.

    Returns:
        The paths of the files.
    """
    make_folder(out)
    files = [out / RESULT_NAME, out / TABLE_NAME, out / KINDS_NAME]
    write_json(files[0], run.document())
    write_bytes(files[1], csv_bytes(_image_rows(run)))
    write_bytes(files[2], csv_bytes(_kind_rows(run)))
    files += write_curves(run.evaluation.curves(), out)
    sheet = draw_sheet(run.evaluation, run.data.select)
    if sheet is not None:
        files.append(out / SHEET_NAME)
        write_bytes(files[-1], sheet)
    return files


def _image_rows(run: EvaluationRun) -> Iterator[list[object]]:
    yield ["image", "kind", "largest_logit", "regions", "regions_found", "regions_not_scored", "false_alarms"]
    for image in run.evaluation.images:
        counts = image.counts
        row = [image.name, image.kind, f"{image.score:.6g}", counts.regions, counts.regions_found]
        yield [*row, image.regions_not_scored, counts.false_alarms]


def _kind_rows(run: EvaluationRun) -> Iterator[list[object]]:
    """Per kind of defect, the last row all of them; figures that are not defined are empty."""
    figures = run.figures
    counted = ["regions", "regions_found", "regions_not_scored", "strips", "strips_found"]
    measured = ["region_recall", "image_auroc", "tile_auroc"]
    at = [f"regions_found_at_{one.false_alarms_per_good_strip:g}_false_alarms" for one in figures.yardsticks]
    yield ["kind", *counted, *measured, *at]
    for kind, one in [*sorted(figures.kinds.items()), ("all", figures.all_kinds)]:
        values = [getattr(one, name) for name in measured]
        shown = ["" if value is None else f"{value:.6g}" for value in values]
        yield [kind, *(getattr(one, name) for name in counted), *shown, *one.found_at]
