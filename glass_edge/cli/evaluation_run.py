"""Scoring a labelled folder and writing what came of it.

Promises: files appear whole; `evaluation.json` says what was evaluated, on which images, with which threshold and what
it rests on.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from glass_edge import __version__
from glass_edge.cli.evaluation_sheet import draw_sheet
from glass_edge.cli.evaluation_subject import Subject
from glass_edge.engine.machine import describe_machine
from glass_edge.errors import InputError
from glass_edge.files import make_folder, write_bytes, write_json
from glass_edge.glass.data_labelled import LabelledData, load_labelled_data
from glass_edge.glass.evaluation import Evaluation, Figures

RESULT_NAME = "evaluation.json"
TABLE_NAME = "evaluation-images.csv"
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


def evaluate(subject: Subject, folder: Path | None, tick: Tick) -> EvaluationRun:
    """Score and judge the test images of `folder` (None: of the data the subject was trained on).

    Args:
        subject: what scores.
        folder: in MVTec AD layout, see `glass.data_folder`.
        tick: told after each image how many of how many are done.

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
    return EvaluationRun(subject, data, evaluation, evaluation.figures(), time.monotonic() - started)


def write_evaluation(run: EvaluationRun, out: Path) -> list[Path]:
    """Write `evaluation.json`, a table of the images and a sheet of pictures into `out`; returns their paths."""
    make_folder(out)
    files = [out / RESULT_NAME, out / TABLE_NAME]
    write_json(files[0], run.document())
    write_bytes(files[1], _table(run))
    sheet = draw_sheet(run.evaluation, run.data)
    if sheet is not None:
        files.append(out / SHEET_NAME)
        write_bytes(files[2], sheet)
    return files


def _table(run: EvaluationRun) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["image", "kind", "largest_logit", "regions", "regions_found", "regions_not_scored", "false_alarms"]
    )
    for image in run.evaluation.images:
        counts = image.counts
        row = [image.name, image.kind, f"{image.score:.6g}", counts.regions, counts.regions_found]
        writer.writerow([*row, image.regions_not_scored, counts.false_alarms])
    return text.getvalue().encode()
