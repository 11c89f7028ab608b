"""Reports of rolls with known defects: their figures, their pages, and how they are written."""

from __future__ import annotations

import csv
import io
import json
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageColor
from report_support import (
    SCALE,
    defect,
    maker,
    random_defects,
    roll_end,
    save_crop,
    stop_ack,
    told,
    whole_roll,
    write_journal,
)

from glass_edge.config.grading import load_grading
from glass_edge.errors import GlassEdgeError, InputError, MissingExtraError
from glass_edge.events.journal_reader import JournalReader
from glass_edge.events.schema import Draft, Kind
from glass_edge.fabric.defect import DefectShape
from glass_edge.service.report import WrittenReport, folder_name, write_report

pytest.importorskip("matplotlib")

from glass_edge.service import report_drawing
from glass_edge.service.report_map import CELL_FILLS, map_layout
from glass_edge.service.report_page import DPI, INK
from glass_edge.service.report_symbols import BLUE, GREEN, ORANGE, RED

GRADING = load_grading("four-point-metric")
WIDTH_MM = 1500.0


def known_roll(roll_id: str = "R-17") -> list[Draft]:
    """Eight metres: 2 + 4 + 1 + 3 x 4 points by hand."""
    make = maker(roll_id)
    between = [
        make.coverage_gap(30_000, 32_500, "overrun", detail="slow"),  # 6.0 to 6.5 m
        make.stop_request("s1", "a hole", defect_id=2, along_mm=1500.0),
        stop_ack(make, "s1", accepted=True),
    ]
    payloads = [
        defect(1, 300, 400, 100, 2, shape=DefectShape.WARP_LINE),  # 2 points: above 75 mm
        defect(2, 1500, 700, 30, 30, is_hole=True),  # 4 points: a hole above 25 mm
        defect(3, 1600, 100, 10, 10, shape=DefectShape.BLOCK),  # 1 point, and the metre is full
        defect(4, 2500, 900, 3, 3, shape=DefectShape.POINT),  # 1 point
        defect(5, 3200, 200, 2100, 2, shape=DefectShape.WARP_LINE),  # runs: 4 points in metres 3, 4 and 5
        defect(6, 3300, 220, 5, 5, merged_into=5),  # none of its own
        defect(7, 7200, 1000, 2, 300, shape=DefectShape.WEFT_LINE, oriented_length_mm=301.0, direction_deg=88.0),  # 4
    ]
    return whole_roll(payloads, woven_m=8.0, missed_m=0.5, width_mm=WIDTH_MM, between=between, roll_id=roll_id)


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> WrittenReport:
    folder = tmp_path_factory.mktemp("known")
    journal = write_journal(folder / "events.journal", known_roll())
    return write_report(journal, "R-17", folder / "out", grading=GRADING, crops=folder / "crops")


def read_json(written: WrittenReport) -> dict[str, object]:
    return dict(json.loads(written.files[-1].read_text(encoding="utf-8")))


def rows_of(written: WrittenReport) -> list[dict[str, str]]:
    (path,) = [path for path in written.files if path.name == "defects.csv"]
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def pixels(folder: Path, name: str = "roll-map.png") -> NDArray[np.uint8]:
    with Image.open(folder / name) as image:
        return np.asarray(image.convert("RGB"))


def colour(picture: NDArray[np.uint8], x_mm: float, y_mm: float) -> tuple[int, ...]:
    """The pixel at a place on paper."""
    return tuple(int(value) for value in picture[round(y_mm / 25.4 * DPI - 0.5), round(x_mm / 25.4 * DPI - 0.5)])


def test_the_document_has_the_figures_computed_by_hand(known: WrittenReport) -> None:
    document = read_json(known)
    grade, defects = document["grade"], document["defects"]
    assert isinstance(grade, dict)
    assert isinstance(defects, dict)
    assert document["roll_id"] == "R-17"
    assert (document["woven_m"], document["inspected_m"]) == (8.0, 7.5)
    total = 2 + 4 + 1 + 3 * 4 + 4
    assert grade["total_points"] == total
    assert grade["points_per_100_m2"] == pytest.approx(total * 100_000 / (7.5 * WIDTH_MM))
    assert [(unit["unit"], unit["points"]) for unit in grade["units"]] == [
        (0, 2), (1, 4), (2, 1), (3, 4), (4, 4), (5, 4), (7, 4),
    ]  # fmt: skip
    assert grade["is_first_quality"] is False
    assert defects["count"] == 6
    assert defects["merged"] == 1
    assert {row["kind"]: row["count"] for row in defects["by_class"]} == {
        "hole": 1, "running": 1, "warp_line": 1, "weft_line": 1, "block": 1, "point": 1,
    }  # fmt: skip
    assert document["not_inspected"] == [{"reason": "overrun", "stretches": 1, "length_m": 0.5}]
    (stop,) = document["stops"]  # type: ignore[misc]
    assert (stop["accepted"], stop["source"]) == (True, "plc-7")  # type: ignore[index]
    assert document["files"] == sorted(path.name for path in known.files[:-1])


def test_the_table_has_every_defect_and_its_points_sum_up(known: WrittenReport) -> None:
    rows = rows_of(known)
    assert [row["defect_id"] for row in rows] == ["1", "2", "3", "4", "5", "6", "7"]
    assert sum(int(row["points"]) for row in rows) == known.data.grade.total_points
    by_id = {row["defect_id"]: row for row in rows}
    assert (by_id["3"]["points"], by_id["3"]["points_by_size"], by_id["3"]["why_less"]) == ("0", "1", "capped")
    assert (by_id["6"]["merged_into"], by_id["6"]["why_less"], by_id["6"]["points"]) == ("5", "merged", "0")
    assert (by_id["5"]["class"], by_id["5"]["is_running"], by_id["2"]["is_hole"]) == ("running", "false", "true")
    assert (by_id["7"]["longest_mm"], by_id["7"]["direction_deg"], by_id["7"]["along_m"]) == ("301", "88", "7.2")
    assert by_id["4"]["contrast"] == ""


def test_symbols_cells_and_hatches_are_where_they_belong(known: WrittenReport) -> None:
    layout = map_layout(known.data)
    assert layout.pages == 1
    picture = pixels(known.files[-1].parent)

    def at(along_mm: float, across_mm: float) -> tuple[int, ...]:
        (strip,) = [strip for strip in layout.strips if strip.shows(along_mm, along_mm)]
        return colour(picture, strip.x_mm(along_mm), strip.y_mm(across_mm))

    assert at(350, 401) == ImageColor.getrgb(BLUE)
    assert at(1605, 105) == ImageColor.getrgb(GREEN)
    assert at(2501.5, 901.5) == ImageColor.getrgb(INK)
    assert at(7201, 1150) == ImageColor.getrgb(ORANGE)
    red = np.array(at(1515, 715)) - np.array(ImageColor.getrgb(RED))  # the middle of the cross
    assert np.abs(red).max() < 110  # thin strokes, softened
    assert at(1515, 715) != (255, 255, 255)
    assert at(800, 1000) == (255, 255, 255)  # good cloth
    assert at(3310, 1400) == (255, 255, 255)
    for cell, points in ((0, 2), (1, 4), (2, 1), (4, 4), (6, 0), (7, 4)):
        (strip,) = [strip for strip in layout.strips if strip.shows(1000.0 * cell, 1000.0 * cell)]
        corner = strip.x_mm(1000 * cell + 40), strip.cells_top_mm + 1
        assert colour(picture, *corner) == ImageColor.getrgb(CELL_FILLS[points])
    hatched = {at(along, across) for along in range(6050, 6500, 20) for across in range(50, 1450, 25)}
    assert (200, 200, 200) in hatched
    assert len(hatched) > 1  # strokes
    assert (255, 255, 255) not in {at(along, 100) for along in range(6050, 6450, 20)}


def test_a_running_defect_is_drawn_over_all_its_metres(known: WrittenReport) -> None:
    layout = map_layout(known.data)
    picture = pixels(known.files[-1].parent)
    seen = set()
    for along in np.setdiff1d(np.arange(3250, 5250, 10), [4000]):  # there a strip ends
        (strip,) = [strip for strip in layout.strips if strip.shows(along, along)]
        seen.add(colour(picture, strip.x_mm(along), strip.y_mm(201) - 0.6))  # beside the dashes in its middle
    assert seen == {ImageColor.getrgb(INK)}


def test_the_pdf_has_head_map_and_gallery_as_text(known: WrittenReport) -> None:
    pdfium = pytest.importorskip("pypdfium2")
    document = pdfium.PdfDocument(known.files[-1].parent / "report.pdf")
    texts = [page.get_textpage().get_text_range() for page in document]
    assert len(texts) == 3
    assert all("Roll R-17" in text and "NOT FIRST QUALITY" in text for text in texts)
    for words in ("23", "204.4", "four-point, metric", "a hole", "accepted by plc-7", "2025.3", "overrun"):
        assert words in texts[0]
    assert "Roll map" in texts[1]
    assert "no picture was kept" in texts[2]
    document.close()


def test_the_same_roll_gives_the_same_bytes_in_any_thread(known: WrittenReport, tmp_path: Path) -> None:
    journal = known.files[-1].parents[1] / "events.journal"
    errors: list[BaseException] = []

    def write(name: str) -> None:
        try:
            write_report(journal, None, tmp_path / name, grading=GRADING)
        except BaseException as error:  # noqa: BLE001 - told by the test's thread
            errors.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for path in known.files:
        if not path.name.startswith(("gallery", "report")):  # those say why there is no picture
            assert (tmp_path / "a" / path.name).read_bytes() == path.read_bytes()
        assert (tmp_path / "a" / path.name).read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_an_open_reader_will_do(tmp_path: Path) -> None:
    journal = write_journal(tmp_path / "events.journal", known_roll())
    with JournalReader(journal) as reader:
        write_report(reader, "R-17", tmp_path / "out", grading=GRADING)
        assert reader.extent().head > 0  # still open
    assert (tmp_path / "out" / "roll.json").exists()


def test_an_open_roll_is_marked_partial(tmp_path: Path) -> None:
    make = maker()
    drafts = [make.roll_start(), told(Kind.DEFECT_NEW, defect(1, 900, 10, 100, 5), make)]
    journal = write_journal(tmp_path / "events.journal", drafts)
    with pytest.raises(InputError, match="--width-mm"):
        write_report(journal, None, tmp_path / "out", grading=GRADING)
    assert not (tmp_path / "out").exists()
    written = write_report(journal, None, tmp_path / "out", grading=GRADING, width_mm=1000)
    document = read_json(written)
    assert (document["is_partial"], document["state"], document["ended_utc"]) == (True, "open", None)
    assert "Partial" in str(document["notes"])
    assert document["woven_m"] == pytest.approx(1.0)
    assert rows_of(written)[0]["has_ended"] == "false"


def test_a_roll_without_defects_has_a_map_and_no_gallery(tmp_path: Path) -> None:
    journal = write_journal(tmp_path / "events.journal", whole_roll([], woven_m=3))
    written = write_report(journal, None, tmp_path / "out", grading=GRADING)
    assert [path.name for path in written.files] == ["report.pdf", "roll-map.png", "defects.csv", "roll.json"]
    assert written.data.grade.is_first_quality
    assert rows_of(written) == []


@pytest.mark.slow
def test_ten_thousand_defects_are_all_in_the_table_and_the_worst_in_the_gallery(tmp_path: Path) -> None:
    payloads = random_defects(10_000, 200, WIDTH_MM)
    journal = write_journal(tmp_path / "events.journal", whole_roll(payloads, woven_m=200))
    written = write_report(journal, None, tmp_path / "out", grading=GRADING, most_pictures=24)
    rows = rows_of(written)
    assert len(rows) == 10_000
    assert sum(int(row["points"]) for row in rows) == written.data.grade.total_points
    names = {path.name for path in written.files}
    assert {"roll-map.png", "roll-map-2.png", "gallery.png", "gallery-2.png"} <= names
    assert "gallery-3.png" not in names
    worst = written.data.worst()
    by_size = [one.points.points_by_size for one in worst]
    assert by_size == sorted(by_size, reverse=True)


def test_pictures_are_shown_and_outlined_and_missing_ones_say_so(tmp_path: Path) -> None:
    crops = tmp_path / "crops"
    cloth = np.full((200, 300), 90, np.uint8)
    scores = np.zeros((200, 300), np.uint8)
    scores[80:120, 100:200] = 255
    names = [save_crop(crops, "r/000001.png", cloth), "r/000002.png", "../outside.png", "r/broken.png"]
    save_crop(crops, "r/000001-score.png", scores)
    save_crop(tmp_path, "outside.png", cloth)
    (crops / "r/broken.png").write_bytes((crops / names[0]).read_bytes()[:40])
    payloads = [
        defect(number, 1000 * number, 100, 100 - number, 5, crop_file=name)
        for number, name in enumerate(names, start=1)
    ]
    journal = write_journal(tmp_path / "events.journal", whole_roll(payloads, woven_m=6))
    write_report(journal, None, tmp_path / "out", grading=GRADING, crops=crops)
    from glass_edge.service.report_crops import load_crop
    from glass_edge.service.report_gallery import frame_box

    why = [load_crop(crops, name, 1.75) for name in names[1:]]
    assert why == [
        "its picture is not there any more",
        "its picture lies outside the folder",
        "its picture cannot be read",
    ]
    picture = pixels(tmp_path / "out", "gallery.png")
    left, top, width, height = frame_box(0)
    across_mm, along_mm = 300 * SCALE.mm_per_px, 200 * SCALE.mm_per_line
    per_mm = max(across_mm / width, along_mm / height)
    middle_x, middle_y = left + width / 2, top + height / 2
    assert colour(picture, middle_x, middle_y) == (90, 90, 90)
    frame = picture[
        round(top / 25.4 * DPI) : round((top + height) / 25.4 * DPI),
        round(left / 25.4 * DPI) : round((left + width) / 25.4 * DPI),
    ].astype(int)
    red = np.argwhere(np.abs(frame - np.array(ImageColor.getrgb(RED))).sum(axis=2) < 60) * 25.4 / DPI
    # the outline, in mm of cloth around the middle: scores cover 10 x 8 mm about it, and a little distance
    spread = (red.max(axis=0) - red.min(axis=0)) * per_mm
    assert 8 < spread[0] < 12
    assert 10 < spread[1] < 13


def test_a_report_that_fails_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = write_journal(tmp_path / "events.journal", known_roll())
    out = tmp_path / "out"
    write_report(journal, None, out, grading=GRADING)
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def broken(*_: object) -> None:
        raise RuntimeError("no such font")

    monkeypatch.setattr(report_drawing, "draw_gallery", broken)
    with pytest.raises(GlassEdgeError, match="no such font"):
        write_report(journal, None, out, grading=load_grading("ten-point"))
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_full_disk_is_told_and_no_half_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = write_journal(tmp_path / "events.journal", known_roll())
    import os

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GlassEdgeError, match="No space left"):
        write_report(journal, None, tmp_path / "out", grading=GRADING)
    assert list((tmp_path / "out").iterdir()) == []


def test_pages_of_a_longer_report_before_go_and_other_files_stay(tmp_path: Path) -> None:
    out = tmp_path / "out"
    many = write_journal(tmp_path / "a" / "j", whole_roll(random_defects(30, 150, WIDTH_MM), woven_m=150))
    write_report(many, None, out, grading=GRADING)
    (out / "notes.txt").write_text("mine")
    assert (out / "roll-map-2.png").exists()
    assert (out / "gallery-3.png").exists()
    write_report(write_journal(tmp_path / "b" / "j", known_roll()), None, out, grading=GRADING)
    assert sorted(path.name for path in out.iterdir()) == [
        "defects.csv", "gallery.png", "notes.txt", "report.pdf", "roll-map.png", "roll.json",
    ]  # fmt: skip


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = write_journal(tmp_path / "events.journal", known_roll())
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"glass-edge\[report\]"):
        write_report(journal, None, tmp_path / "out", grading=GRADING)
    assert not (tmp_path / "out").exists()


def test_odd_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    name = "roll $x^2$ \\frac\n{1} ../..  %s"
    journal = write_journal(tmp_path / "events.journal", whole_roll([], woven_m=1, roll_id=name, style="$a_b$"))
    written = write_report(journal, name, tmp_path / "out", grading=GRADING)
    assert read_json(written)["roll_id"] == name
    assert "/" not in folder_name(written.data.record.place)
    assert not folder_name(written.data.record.place).startswith(".")


def test_yards_have_cells_of_a_yard(tmp_path: Path) -> None:
    payloads = [defect(1, 930, 100, 10, 10)]
    journal = write_journal(tmp_path / "events.journal", whole_roll(payloads, woven_m=4))
    written = write_report(journal, None, tmp_path / "out", grading=load_grading("four-point-yards"))
    layout = map_layout(written.data)
    assert layout.unit_mm == 914.4
    (strip,) = [strip for strip in layout.strips if strip.shows(930, 930)]
    picture = pixels(tmp_path / "out")
    assert colour(picture, strip.x_mm(960), strip.cells_top_mm + 1) == ImageColor.getrgb(CELL_FILLS[1])
    (first,) = [strip for strip in layout.strips if strip.shows(0, 0)]
    assert colour(picture, first.x_mm(890), first.cells_top_mm + 1) == ImageColor.getrgb(CELL_FILLS[0])


def test_a_defect_on_the_border_of_two_strips_is_on_both(tmp_path: Path) -> None:
    payloads = [defect(1, 950, 700, 100, 3, shape=DefectShape.WARP_LINE)]
    make = maker()
    drafts = [make.roll_start(), *(told(Kind.DEFECT_END, one, make) for one in payloads), roll_end(make, 2.0)]
    journal = write_journal(tmp_path / "events.journal", drafts)
    written = write_report(journal, None, tmp_path / "out", grading=GRADING, width_mm=WIDTH_MM)
    layout = map_layout(written.data)
    picture = pixels(tmp_path / "out")
    assert len(layout.strips) == 2
    for strip, along in zip(layout.strips, (975, 1025), strict=True):
        assert colour(picture, strip.x_mm(along), strip.y_mm(701.5)) == ImageColor.getrgb(BLUE)
