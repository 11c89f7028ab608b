"""Defects as a station reports them on labelled cloth: found, false, in pieces, joined.

    python benchmarks/defects.py BUNDLE=FABRIC... [--mm-per-px 0.1] [--asked 20000 5000 1000] [--block-m 0.001] [--json]
    python benchmarks/defects.py BUNDLE=FABRIC... --vary run_gap_mm 0 10 25 --vary hysteresis_logit 0 1 [--raised 2]

FABRIC is the data folder the bundle's style was trained on, in the layout of MVTec AD. Every picture goes through the
inspection pipeline; its defects, not score maps, are compared with the boxes of the masks' regions (8-connected), with
8 px of slack (`match_boxes`). At the bundle's own threshold all good test pictures are held back. A promised threshold
is that of `calibrate threshold`, from the pictures held out of training and one half of the good test pictures; the
other half is held back, and then the halves change places. With `--vary` only the bundle's own threshold is judged,
with each combination of these settings of the table `[inspection]`.

A scale that is not known must be assumed; it sets the size of all lengths in mm.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from strip_defects import ScoredPicture, roll_job, rules_of, score_pictures

from glass_edge.calibration.alarm_rate import alarm_rate
from glass_edge.calibration.tail_promise import Promise, promise
from glass_edge.cli.good_rolls import GoodRolls, gap_cells, score_roll
from glass_edge.config.inspection import InspectionSettings
from glass_edge.engine.bundle import Bundle, load_bundle
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import WebBox, WebScale
from glass_edge.glass.data_folder import GOOD, labelled_files
from glass_edge.glass.data_images import read_mask
from glass_edge.inspection.tracker import DefectRules
from glass_edge.service.truth_match import match_boxes

REACH_PX = 8
SPECK_PX = 32
_SWOLLEN = 10


@dataclass(slots=True)
class Figures:
    """Sums over pictures.

    Attributes:
        regions, found: true regions, and those that a defect touches.
        pieces: defects that touch a found region, summed over the found regions.
        joining: defects that touch two regions or more.
        false_alarms: defects that touch none.
        metres: inspected.
        lines, iou_lines: found regions that are longer than a speck, and intersection by union of a region's box with
            the best box that touches it, summed over them.
        iou_specks: the same of the other found regions.
        swollen: found regions whose best box has more than 10 times the area of the region's box and its slack.
    """

    regions: int = 0
    found: int = 0
    pieces: int = 0
    joining: int = 0
    false_alarms: int = 0
    metres: float = 0.0
    lines: int = 0
    iou_lines: float = 0.0
    iou_specks: float = 0.0
    swollen: int = 0

    def __add__(self, other: Figures) -> Figures:
        return Figures(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


@dataclass(frozen=True, slots=True)
class Cloth:
    """A fabric with its bundle, inspected.

    Attributes:
        name: of the data folder.
        held_out: good pictures that had no part in training but in the bundle's threshold.
        good: good test pictures and their scores.
        defective: pictures with defects and the boxes of their regions.
    """

    name: str
    bundle: Bundle
    scale: WebScale
    held_out: list[Path]
    good: dict[Path, ScoredPicture]
    defective: list[tuple[ScoredPicture, list[WebBox]]]


def true_boxes(mask: Path) -> list[WebBox]:
    """Boxes of the 8-connected regions of a mask."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(read_mask(mask).astype(np.uint8), connectivity=8)
    corners = [[int(value) for value in stats[label, :4]] for label in range(1, count)]
    return [WebBox(x, x + width, y, y + height) for x, y, width, height in corners]


def intersection_by_union(one: WebBox, other: WebBox) -> float:
    """Of two boxes."""
    width = min(one.right_px, other.right_px) - max(one.left_px, other.left_px)
    height = min(one.end_line, other.end_line) - max(one.first_line, other.first_line)
    shared = max(width, 0) * max(height, 0)
    return shared / (_area(one) + _area(other) - shared)


def _with_slack(box: WebBox) -> WebBox:
    return WebBox(box.left_px - REACH_PX, box.right_px + REACH_PX, box.first_line - REACH_PX, box.end_line + REACH_PX)


def _area(box: WebBox) -> int:
    return (box.right_px - box.left_px) * (box.end_line - box.first_line)


def judge(truths: Sequence[WebBox], found: Sequence[WebBox], metres: float) -> Figures:
    """Figures of one picture."""
    match = match_boxes(truths, found, REACH_PX)
    touched = [place for places in match.found_of_truth for place in places]
    figures = Figures(
        regions=len(truths),
        found=match.n_found,
        pieces=len(touched),
        joining=sum(touched.count(place) > 1 for place in set(touched)),
        false_alarms=len(match.false_alarms),
        metres=metres,
    )
    for truth, places in zip(truths, match.found_of_truth, strict=True):
        if not places:
            continue
        best = max((found[place] for place in places), key=lambda box: intersection_by_union(truth, box))
        if max(truth.right_px - truth.left_px, truth.end_line - truth.first_line) > SPECK_PX:
            figures.lines += 1
            figures.iou_lines += intersection_by_union(truth, best)
        else:
            figures.iou_specks += intersection_by_union(truth, best)
        figures.swollen += _area(best) > _SWOLLEN * _area(_with_slack(truth))
    return figures


def judge_cloth(cloth: Cloth, rules: DefectRules) -> Figures:
    """Figures of the pictures with defects."""
    total = Figures()
    for picture, truths in cloth.defective:
        found = [picture.on_picture(box) for box in picture.defects(rules, cloth.scale)]
        total += judge(truths, found, _metres(cloth, [picture]))
    return total


def judge_good(cloth: Cloth, pictures: Sequence[ScoredPicture], rules: DefectRules) -> Figures:
    """Figures of good pictures: all defects are false alarms."""
    alarms = sum(len(picture.defects(rules, cloth.scale)) for picture in pictures)
    return Figures(false_alarms=alarms, metres=_metres(cloth, pictures))


def _metres(cloth: Cloth, pictures: Sequence[ScoredPicture]) -> float:
    return sum(picture.lines for picture in pictures) * cloth.scale.mm_per_line / 1000


def read_cloth(bundle: Bundle, folder: Path, mm_per_px: float) -> Cloth:
    """Inspect all test pictures of a fabric."""
    files, complaints = labelled_files(folder)
    if complaints:
        raise InputError("; ".join(f"{name}: {complaint}" for name, complaint in complaints))
    evidence = json.loads((bundle.folder / "threshold.json").read_text())
    scored = score_pictures(bundle, [file.path for file in files], mm_per_px)
    pairs = list(zip(files, scored, strict=True))
    return Cloth(
        name=folder.name,
        bundle=bundle,
        scale=WebScale(mm_per_px, mm_per_px),
        held_out=[folder / image["name"] for image in evidence["images"]],
        good={file.path: picture for file, picture in pairs if file.kind == GOOD},
        defective=[(picture, true_boxes(file.mask)) for file, picture in pairs if file.mask is not None],
    )


def promised(cloth: Cloth, files: Sequence[Path], asked: Sequence[float], block_m: float) -> list[Promise | str]:
    """The promise for each rate, as `calibrate threshold` finds it from these pictures; or why it is refused."""
    mm_per_px = cloth.scale.mm_per_px
    rolls = [score_roll(roll_job(cloth.bundle, [file], mm_per_px), n, block_m) for n, file in enumerate(files)]
    gaps = gap_cells(InspectionSettings().gap_mm, cloth.scale, cloth.bundle.manifest.tile.score_stride_px)
    good = GoodRolls(tuple(map(str, files)), tuple(one for roll in rolls for one in roll), *gaps)
    found: list[Promise | str] = []
    for rate in asked:
        try:
            found.append(promise(good.blocks(), rate, good.count_alarms))
        except InputError as error:
            found.append(str(error))
    return found


def thresholds(cloth: Cloth, asked: Sequence[float], block_m: float) -> list[dict[str, Any]]:
    """Figures at the bundle's own threshold and at the promised ones, a document each."""
    own, settings = cloth.bundle.manifest.threshold.logit, InspectionSettings()
    rules = rules_of(settings, own)
    good = list(cloth.good)
    rows = [_row(cloth, "own", own, judge_cloth(cloth, rules), judge_good(cloth, list(cloth.good.values()), rules))]
    halves = (good[: len(good) // 2], good[len(good) // 2 :])
    for fitted, back in (halves, halves[::-1]):
        for rate, one in zip(asked, promised(cloth, [*cloth.held_out, *fitted], asked, block_m), strict=True):
            if isinstance(one, str):
                rows.append({"fabric": cloth.name, "threshold": f"{rate:g}", "refused": one})
                continue
            rules = rules_of(settings, one.threshold_logit)
            seen = judge_good(cloth, [cloth.good[file] for file in back], rules)
            rows.append(_row(cloth, f"{rate:g}", one.threshold_logit, judge_cloth(cloth, rules), seen))
            expected = [limit * seen.metres / 100 for limit in (one.low_per_100m, one.high_per_100m)]
            verdict = alarm_rate(seen.false_alarms, seen.metres, are_false=True).verdict(one.high_per_100m)
            rows[-1] |= {"promised": expected, "verdict": str(verdict)}
    return rows


def _row(cloth: Cloth, name: str, logit: float, figures: Figures, good: Figures) -> dict[str, Any]:
    return {"fabric": cloth.name, "threshold": name, "logit": logit, **asdict(figures), "good": asdict(good)}


def print_thresholds(rows: Sequence[dict[str, Any]]) -> None:
    """A table, with the sum of all fabrics at their own thresholds."""
    head = ["fabric", "threshold", "regions found", "defects a found region", "false alarms a metre, defect strips"]
    head += ["good cloth held back: seen in m", "promised", "so"]
    _print_head(head)
    own = [row for row in rows if row["threshold"] == "own"]
    sums = {one.name: sum(row[one.name] for row in own) for one in fields(Figures)}
    good = {key: sum(row["good"][key] for row in own) for key in ("false_alarms", "metres")}
    for row in [*rows, {"fabric": "all", "threshold": "own", **sums, "good": good}]:
        start = f"| {row['fabric']} | {row['threshold']} |"
        if "refused" in row:
            print(f"{start} refused: {row['refused']} | | | | | |")
            continue
        low_high = "{:.2g} to {:.2g}".format(*row["promised"]) if "promised" in row else ""
        print(
            f"{start} {row['found']} of {row['regions']} | {_ratio(row['pieces'], row['found'])} |"
            f" {_ratio(row['false_alarms'], row['metres'])} | {row['good']['false_alarms']} in"
            f" {row['good']['metres']:.4f} | {low_high} | {row.get('verdict', '')} |"
        )


def vary(
    cloths: Sequence[Cloth], keys: Sequence[str], values: Sequence[Sequence[float]], raised_logit: float = 0.0
) -> list[dict[str, Any]]:
    """Sums over all fabrics, their own thresholds raised, a document for each combination of settings."""
    rows = []
    for combination in itertools.product(*values):
        changes = dict(zip(keys, combination, strict=True))
        settings = InspectionSettings(**{**InspectionSettings().model_dump(), **changes})
        total, good = Figures(), Figures()
        for cloth in cloths:
            rules = rules_of(settings, cloth.bundle.manifest.threshold.logit + raised_logit)
            total += judge_cloth(cloth, rules)
            good += judge_good(cloth, list(cloth.good.values()), rules)
        rows.append({"settings": changes, **asdict(total), "good": asdict(good)})
    return rows


def print_varied(keys: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """A table, a row for each combination."""
    head = [*keys, "regions found", "defects a found region", "that join regions"]
    head += ["IoU of lines", "of specks", "swollen", "false alarms, defect strips", "good strips"]
    _print_head(head)
    for row in rows:
        cells = [f"{row['settings'][key]:g}" for key in keys]
        cells += [f"{row['found']} of {row['regions']}", _ratio(row["pieces"], row["found"]), str(row["joining"])]
        cells += [_ratio(row["iou_lines"], row["lines"]), _ratio(row["iou_specks"], row["found"] - row["lines"])]
        cells += [str(row["swollen"]), str(row["false_alarms"]), str(row["good"]["false_alarms"])]
        print("| " + " | ".join(cells) + " |")


def _print_head(names: Sequence[str]) -> None:
    print("| " + " | ".join(names) + " |")
    print("| " + " | ".join("---" for _ in names) + " |")


def _ratio(value: float, by: float) -> str:
    return f"{value / by:.2f}" if by else "-"


def main() -> None:
    """Inspect, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", metavar="BUNDLE=FABRIC", help="a bundle and its labelled data folder")
    parser.add_argument("--mm-per-px", type=float, default=0.1)
    parser.add_argument("--asked", type=float, nargs="+", default=[20000, 5000, 1000], help="false alarms in 100 m")
    parser.add_argument("--block-m", type=float, default=0.001)
    parser.add_argument("--vary", nargs="+", action="append", default=[], metavar=("KEY", "VALUE"))
    parser.add_argument("--raised", type=float, default=0.0, help="with --vary: thresholds so much higher, logits")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    pairs = [pair.partition("=") for pair in options.pairs]
    try:
        cloths = [read_cloth(load_bundle(Path(one)), Path(other), options.mm_per_px) for one, _, other in pairs]
    except InputError as error:
        raise SystemExit(str(error)) from error
    keys = [key for key, *_ in options.vary]
    if keys:
        rows = vary(cloths, keys, [[float(value) for value in values] for _, *values in options.vary], options.raised)
    else:
        rows = [row for cloth in cloths for row in thresholds(cloth, options.asked, options.block_m)]
    if options.json:
        print(json.dumps(rows, indent=2))
    elif keys:
        print_varied(keys, rows)
    else:
        print_thresholds(rows)


if __name__ == "__main__":
    main()
