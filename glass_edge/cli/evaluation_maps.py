"""Score maps of test images as files: 16-bit pictures for programs, overlays for people.

Promises: all maps of an evaluation share one scale, told in `maps.json`; a map is of the image's size, pixel by pixel
what the pixel figures judge (interpolated, without the offset of the selvedge zone); overlays show what the threshold
judges; files appear whole.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.cli.evaluation_sheet import OUTLINE_RGB, as_rgb, heated
from glass_edge.errors import GlassEdgeError
from glass_edge.files import make_folder, write_bytes, write_json
from glass_edge.glass.data_labelled import LabelledStrip
from glass_edge.glass.evaluation_image import ImageEvaluation, full_map, pixel_map

if TYPE_CHECKING:
    from glass_edge.cli.evaluation_run import EvaluationRun, Tick

SCALE_NAME = "maps.json"
_HIGHEST = 65535
_ALARM_RGB = (220, 40, 40)


def write_maps(run: EvaluationRun, folder: Path, tick: Tick) -> list[Path]:
    """Write `<kind>/<name>.png` and `<kind>/<name>-overlay.png` of each image, and `maps.json`, into `folder`.

    Args:
        run: a finished evaluation; its images are decoded again.
        folder: made when missing.
        tick: told after each image how many of how many are done.

    Returns:
        The paths, `maps.json` last.

    Raises:
        InputError: the folder cannot be written.
    """
    images = {image.name: image for image in run.evaluation.images}
    low = min((float(image.plain.logits.min()) for image in images.values()), default=0.0)
    high = max((float(image.plain.logits.max()) for image in images.values()), default=1.0)
    step = max(high - low, 1e-6) / (_HIGHEST - 1)
    stems = Counter((image.kind, Path(name).stem) for name, image in images.items())
    files = []
    for done, strip in enumerate(run.data.select(images), start=1):
        judged = images[strip.strip.name]
        place = make_folder(folder / strip.kind)
        file = Path(strip.strip.name)
        stem = file.name if stems[strip.kind, file.stem] > 1 else file.stem
        for name, picture in (
            (f"{stem}.png", _counts(judged, strip, low, step)),
            (f"{stem}-overlay.png", _overlay(judged, strip, run.evaluation.threshold)),
        ):
            write_bytes(place / name, _png(picture))
            files.append(place / name)
        tick(done, len(images))
    document = {
        "logit_of_1": low,
        "logits_per_count": step,
        "0": "not scored",
        "threshold_logit": run.evaluation.threshold,
        "subject": str(run.subject.path),
        "data": str(run.data.folder),
    }
    write_json(folder / SCALE_NAME, document)
    return [*files, folder / SCALE_NAME]


def _counts(judged: ImageEvaluation, strip: LabelledStrip, low: float, step: float) -> NDArray[np.uint16]:
    """Logits as counts from 1; 0 where nothing is scored."""
    scores = judged.plain
    fine, _ = pixel_map(scores, strip.mask)
    whole = np.zeros(strip.mask.shape, np.uint16)
    top, left = scores.first_line, scores.first_cell * scores.stride_px
    part = whole[top : top + fine.shape[0], left : left + fine.shape[1]]
    part[...] = np.clip(np.rint((fine - low) / step), 0, _HIGHEST - 1) + 1
    return whole


def _overlay(judged: ImageEvaluation, strip: LabelledStrip, threshold: float) -> NDArray[np.uint8]:
    """The cloth with heat, alarms outlined in red and masks in green; BGR."""
    cloth = as_rgb(strip.strip.pixels)
    scores = full_map(judged.scores, (cloth.shape[0], cloth.shape[1]))
    picture = heated(cloth, scores, float(np.median(judged.scores.logits)), threshold)
    for area, colour in ((scores >= threshold, _ALARM_RGB), (strip.mask, OUTLINE_RGB)):
        outline = cv2.dilate(area.astype(np.uint8), np.ones((3, 3), np.uint8)) > area
        picture[outline] = colour
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), np.uint8)


def _png(picture: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    ok, encoded = cv2.imencode(".png", picture)
    if not ok:
        raise GlassEdgeError("a score map could not be encoded as PNG")
    return encoded.tobytes()
