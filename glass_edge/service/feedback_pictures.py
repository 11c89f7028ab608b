"""Pictures of judged defects gathered for a training.

Promises: what was judged false lies in `train/good` (cloth that the next training must learn as good), what was judged
real in `real/<fault>`; gathering again adds what is new, moves what was judged otherwise since, and changes nothing
else; `verdicts.json` says of every picture where it comes from and who judged.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from glass_edge.events.payloads_records import Opinion
from glass_edge.files import make_folder, write_bytes, write_json
from glass_edge.service.feedback import Feedback, JudgedDefect

INDEX = "verdicts.json"


@dataclass(frozen=True, slots=True)
class Gathered:
    """What was gathered.

    Attributes:
        false, real: pictures of either kind that are there now.
        without: judged defects whose picture is no longer kept.
        small: pictures of `false` smaller than a tile.
    """

    false: int
    real: int
    without: int
    small: int


def gather(feedback: Feedback, crops: Path, out: Path, *, tile_px: tuple[int, int]) -> Gathered:
    """Copy the pictures of judged defects into `out`.

    Args:
        feedback: of a journal.
        crops: the station's folder of pictures.
        out: made when absent.
        tile_px: height and width of the tile that a training needs.

    Raises:
        InputError: `out` cannot be written. OSError: the disk is full.
    """
    counts = {Opinion.FALSE: 0, Opinion.REAL: 0}
    without = small = 0
    index = []
    for judged in feedback.defects:
        verdict = judged.verdict
        if verdict is None:
            continue
        name = f"{feedback.station}-{feedback.epoch[:8]}-{judged.seq}.png"
        wanted = _place(judged)
        for stale in [*out.glob(f"train/good/{name}"), *out.glob(f"real/*/{name}")]:
            if wanted is None or stale != out / wanted / name:
                stale.unlink()
        if wanted is None:
            continue
        picture = out / wanted / name
        if not picture.exists() and not _copy(judged, crops, picture):
            without += 1
            continue
        counts[verdict.opinion] += 1
        if verdict.opinion is Opinion.FALSE:
            with Image.open(picture) as image:
                small += image.height < tile_px[0] or image.width < tile_px[1]
        index.append(_entry(feedback, judged, f"{wanted}/{name}"))
    make_folder(out)
    write_json(out / INDEX, {"format": 1, "pictures": index})
    return Gathered(counts[Opinion.FALSE], counts[Opinion.REAL], without, small)


def _place(judged: JudgedDefect) -> str | None:
    """Folder of the picture; None where nothing is learnt from it."""
    verdict = judged.verdict
    if verdict is None or verdict.opinion is Opinion.UNSURE:
        return None
    return "train/good" if verdict.opinion is Opinion.FALSE else f"real/{verdict.fault or 'unnamed'}"


def _copy(judged: JudgedDefect, crops: Path, picture: Path) -> bool:
    name = judged.payload.crop_file
    if name is None or not re.fullmatch(r"[A-Za-z0-9._-]+/[0-9]+\.png", name):
        return False
    try:
        data = (crops / name).read_bytes()
    except FileNotFoundError:
        return False
    make_folder(picture.parent)
    write_bytes(picture, data)
    return True


def _entry(feedback: Feedback, judged: JudgedDefect, file: str) -> dict[str, object]:
    verdict = judged.verdict
    roll = feedback.rolls[judged.roll - 1]
    return {
        "file": file,
        "station": feedback.station,
        "epoch": feedback.epoch,
        "seq": judged.seq,
        "roll_id": roll.roll_id,
        "style": roll.style,
        "defect_id": judged.payload.defect_id,
        "peak_logit": judged.payload.peak_logit,
        "verdict": None if verdict is None else verdict.model_dump(mode="json"),
    }
