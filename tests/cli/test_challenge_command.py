"""`glass-edge challenge` against a real publication, and against a station that inspects simulated cloth."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glass_edge.acquisition.loom.defects import parse_orders
from glass_edge.acquisition.loom.output import write_strip
from glass_edge.acquisition.loom.spec import LoomSpec
from glass_edge.cli import challenge
from glass_edge.config.events import EventSettings
from glass_edge.events.drafts import DraftMaker
from glass_edge.events.journal_reader import JournalReader
from glass_edge.events.parsing import parse_event
from glass_edge.events.payloads import GapReason
from glass_edge.events.payloads_records import Challenge
from glass_edge.events.publisher import Publisher
from glass_edge.fabric.defect import Defect, DefectPhase, DefectShape
from glass_edge.fabric.geometry import WebBox, WebScale, to_mm
from glass_edge.fabric.roll import Roll

ROOT = Path(__file__).resolve().parents[2]
SCALE = WebScale(1.0, 1.0)
Run = Callable[..., tuple[int, str, str]]

STATION = """
station = "loom-7"
bundle = "{bundle}"
camera = {{ kind = "replay", path = "cloth", separate = false, line_rate_hz = {rate} }}
web = {{ mm_per_px = 0.1, mm_per_line = 0.1, span = {{ left_px = 0, right_px = 512 }} }}
output = {{ folder = "out", reports = false }}
[events]
journal = "events.journal"
publish_endpoint = "ipc://{sockets}/p"
request_endpoint = "ipc://{sockets}/r"
beacon_s = 0.1
"""


def _station(folder: Path, sockets: Path, rate: int = 1000) -> Path:
    path = folder / "station.toml"
    path.write_text(STATION.format(bundle=ROOT / "engines" / "demo", sockets=sockets, rate=rate))
    return path


def _strip(folder: Path, marks: list[tuple[float, float]], at_least: float = 0.9) -> Path:
    rows = ",".join(f'{{along_mm = {along}, across_mm = {across}, kind = "hole"}}' for along, across in marks)
    path = folder / "strip.toml"
    path.write_text(f'strip = "A"\nreach_mm = 5\nat_least = {at_least}\nmarks = [{rows}]\n')
    return path


def _defect(number: int, along: int, across: int, phase: DefectPhase, merged_into: int | None = None) -> Defect:
    box = WebBox(left_px=across - 1, right_px=across + 1, first_line=along - 1, end_line=along + 1)
    box_mm = to_mm(box, SCALE, left_selvedge_px=0, roll_first_line=0)
    return Defect(number, phase, DefectShape.POINT, box, box_mm, 4, 0.9, 0.8, 3.0, merged_into=merged_into)


def _challenges(journal: Path) -> list[Challenge]:
    with JournalReader(journal) as reader:
        payloads = [parse_event(one.document).payload for one in reader.read(1, 10_000).events]
    return [payload for payload in payloads if isinstance(payload, Challenge)]


MARKS = [(20.0 * number + 3.0 * (number % 4), 50.0 + 10.0 * (number % 3)) for number in range(29)]


@pytest.mark.parametrize("missed", [(), (4,)])
def test_marks_of_a_real_publication(
    tmp_path: Path, sockets: Path, run: Run, monkeypatch: pytest.MonkeyPatch, missed: tuple[int, ...]
) -> None:
    station, strip = _station(tmp_path, sockets), _strip(tmp_path, MARKS)
    settings = EventSettings(
        journal=tmp_path / "events.journal",
        publish_endpoint=f"ipc://{sockets}/p",
        request_endpoint=f"ipc://{sockets}/r",
        beacon_s=0.1,
    )
    maker, is_listening = DraftMaker(Roll("r", "s", 0), SCALE, True), threading.Event()

    def passing(*arguments: object) -> Callable[[], bool]:  # what guides the person, who then leads the strip past
        has_passed = guide(*arguments)
        is_listening.set()
        return has_passed

    guide = challenge._passing
    monkeypatch.setattr(challenge, "_passing", passing)

    def weave() -> None:
        assert is_listening.wait(60)
        for number, (along, across) in enumerate(MARKS):
            if number not in missed:
                place = round(along) + 1000, round(across)
                publisher.emit(maker.defect(_defect(number + 10, place[0] - 4, place[1], DefectPhase.NEW)))
                publisher.emit(maker.defect(_defect(number + 10, *place, DefectPhase.END)))
        publisher.emit(maker.defect(_defect(99, 1000, 50, DefectPhase.NEW)))
        publisher.emit(maker.defect(_defect(99, 1000, 50, DefectPhase.END, merged_into=10)))
        publisher.emit(maker.coverage_gap(1000, 1040, GapReason.BAD_BLOCK, detail="CRC"))

    with Publisher(settings, "loom-7") as publisher:
        publisher.emit_all([maker.roll_start(), maker.defect(_defect(1, 500, 50, DefectPhase.NEW))])
        weaver = threading.Thread(target=weave)
        weaver.start()
        arguments = ("challenge", "strip", strip, "--config", station, "--for", 2, "--operator", "K. Weber")
        code, out, err = run(*arguments)
        weaver.join()
    assert code == len(missed)
    (kept,) = _challenges(settings.journal)
    assert (kept.shown, kept.found, kept.extra, kept.is_passed) == (29, 29 - len(missed), 0, not missed)
    assert (kept.client, kept.operator, kept.name) == ("local", "K. Weber", "A")
    assert "lead it past the camera" in err
    assert f"{29 - len(missed)} of 29 marks found" in out
    assert "0.040 m of cloth were not inspected meanwhile" in out
    assert ("missed: 5 hole (80, 60 mm)" in out) is bool(missed)


def test_a_strip_with_too_few_marks_is_refused(tmp_path: Path, sockets: Path, run: Run) -> None:
    code, _, err = run("challenge", "strip", _strip(tmp_path, MARKS[:28]), "--config", _station(tmp_path, sockets))
    assert code == 2
    assert "28 marks cannot show at_least = 0.9, even if all are found; 29 can" in err


def test_without_a_station_nothing_is_claimed(tmp_path: Path, sockets: Path, run: Run) -> None:
    arguments = ("--config", _station(tmp_path, sockets), "--timeout", 0.5)
    code, _, err = run("challenge", "strip", _strip(tmp_path, MARKS), *arguments, "--for", 1)
    assert code == 1
    assert "the station is not heard" in err


def test_golden_tiles_and_a_strip_on_a_station_that_inspects(tmp_path: Path, sockets: Path) -> None:
    cloth = tmp_path / "cloth"
    cloth.mkdir()
    truth: dict[str, Any] = {}
    for number, (lines, seed, orders) in enumerate([(3000, 5, ""), (2400, 9, "hole:8@4x4"), (8000, 6, "")]):
        spec = LoomSpec(cloth="photo:linen", width_px=512, section_lines=lines, seed=seed, defects=parse_orders(orders))
        found = write_strip(spec, tmp_path / f"strip{number}")
        truth = found if orders else truth
        (tmp_path / f"strip{number}" / "strip.png").rename(cloth / f"{number}.png")
    boxes = [defect["box_px"] for defect in truth["defects"]]
    marks = [((b["first_line"] + b["end_line"]) / 20, (b["left_px"] + b["right_px"]) / 20) for b in boxes]
    strip, station = _strip(tmp_path, marks, at_least=0.6), _station(tmp_path, sockets, rate=600)
    command = [sys.executable, "-m", "glass_edge.cli"]
    running = subprocess.Popen([*command, "run", "--config", str(station)], cwd=tmp_path, stdout=subprocess.DEVNULL)
    try:
        arguments = ["--config", str(station), "--timeout", "60", "--json"]
        asked = [*command, "challenge", "strip", str(strip), *arguments, "--for", "9"]
        told = subprocess.run(asked, capture_output=True, text=True, check=False)
        asked = [*command, "challenge", "tiles", *arguments]
        tiles = subprocess.run(asked, capture_output=True, text=True, check=False)
    finally:
        running.terminate()
        running.wait(60)
    assert told.returncode == 0, told.stdout + told.stderr
    assert json.loads(told.stdout)["found"] == 8
    assert json.loads(tiles.stdout)["is_passed"]
    assert [one.subject for one in _challenges(tmp_path / "events.journal")] == ["strip", "tiles"]
