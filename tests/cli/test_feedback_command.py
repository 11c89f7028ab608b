"""`glass-edge feedback` on a real journal and a real publication."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glass_edge.config.station import StationSettings, load_station
from glass_edge.engine.base import EngineFacts
from glass_edge.engine.bundle import load_bundle
from glass_edge.events.drafts import DraftMaker
from glass_edge.events.publisher import Publisher
from glass_edge.fabric.defect import Defect, DefectPhase, DefectShape
from glass_edge.fabric.geometry import WebBox, WebScale, to_mm
from glass_edge.fabric.roll import Roll, RollTotals

ROOT = Path(__file__).resolve().parents[2]
SCALE = WebScale(0.1, 0.1)
Run = Callable[..., tuple[int, str, str]]

STATION = """
station = "loom-7"
bundle = "{bundle}"
camera = {{ kind = "loom" }}
web = {{ mm_per_px = 0.1, mm_per_line = 0.1, span = {{ left_px = 0, right_px = 512 }} }}
output = {{ folder = "out" }}
[events]
journal = "events.journal"
publish_endpoint = "ipc://{sockets}/p"
request_endpoint = "ipc://{sockets}/r"
"""


@pytest.fixture
def station(tmp_path: Path, sockets: Path) -> Path:
    path = tmp_path / "station.toml"
    path.write_text(STATION.format(bundle=ROOT / "engines" / "demo", sockets=sockets))
    return path


def _defect(number: int, peak: float, phase: DefectPhase) -> Defect:
    box = WebBox(left_px=100, right_px=130, first_line=100 * number, end_line=100 * number + 20)
    box_mm = to_mm(box, SCALE, left_selvedge_px=0, roll_first_line=0)
    return Defect(number, phase, DefectShape.POINT, box, box_mm, 1.5, 0.97, 0.8, peak)


@contextmanager
def _woven(settings: StationSettings, peaks: list[float]) -> Iterator[Publisher]:
    """A roll of each name with a defect a peak, and pictures of all but the last."""
    bundle = load_bundle(ROOT / "engines" / "demo")
    with Publisher(settings.events, settings.station) as publisher:
        maker = DraftMaker(None, SCALE, True)
        facts = EngineFacts("openvino", "1", "CPU", "f32", 2)
        publisher.emit(
            maker.engine_activated(
                style="demo",
                version="1",
                model_sha256=bundle.model_sha256,
                facts=facts,
                threshold_logit=2.0,
                promised_per_100m=None,
            )
        )
        for name in ("old", "new"):
            roll = DraftMaker(Roll(name, "demo", 0), SCALE, True)
            publisher.emit(roll.roll_start())
            for number, peak in enumerate(peaks, start=1):
                crop = f"{name}-1/{number:06d}.png"
                path = settings.output.folder / "crops" / crop
                path.parent.mkdir(parents=True, exist_ok=True)
                if number < len(peaks):
                    size = (512, 512) if number == 1 else (64, 64)
                    Image.fromarray(np.full(size, number, np.uint8)).save(path)
                publisher.emit(roll.defect(_defect(number, peak, DefectPhase.NEW)))
                publisher.emit(roll.defect(_defect(number, peak, DefectPhase.END), crop_file=crop))
            merged = replace(_defect(99, 9.0, DefectPhase.END), merged_into=1)
            publisher.emit(roll.defect(_defect(99, 9.0, DefectPhase.NEW)))
            publisher.emit(roll.defect(merged))
            publisher.emit(roll.roll_end(2000, RollTotals(2000, 2000, 0, len(peaks))))
        yield publisher


def test_defects_are_listed_judged_and_gathered(tmp_path: Path, station: Path, run: Run) -> None:
    settings = load_station(station)
    out = tmp_path / "gathered"
    with _woven(settings, [12.0, 10.5, 11.0, 15.0]):
        code, text, _ = run("feedback", "list", "--config", station)
        assert code == 0
        assert text.startswith("roll new, style demo: 4 defects, 0 judged")
        for defect, opinion, *more in (
            (1, "false"), (2, "false"), (3, "real", "--fault", "slub"), (4, "real"), (2, "real", "--note", "after all"),
        ):  # fmt: skip
            code, text, err = run("feedback", "judge", defect, opinion, *more, "--config", station, "--operator", "Ida")
            assert code == 0, err
        assert "defect 2 of roll new is real; kept by loom-7" in text
        code, text, _ = run("feedback", "list", "--config", station, "--json")
        listed = {one["defect_id"]: one["verdict"] for one in json.loads(text)["defects"]}
        assert [listed[number]["opinion"] for number in (1, 2, 3, 4)] == ["false", "real", "real", "real"]
        assert (listed[3]["fault"], listed[2]["note"], listed[1]["operator"]) == ("slub", "after all", "Ida")
        code, text, _ = run("feedback", "list", "--config", station, "--roll", "old")
        assert "4 defects, 0 judged" in text
        code, text, _ = run("feedback", "collect", "--config", station, "--out", out)
        assert code == 0
        assert "1 false alarms in train/good, 2 real defects in real" in text
        assert "of 1 judged defects no picture is kept any more" in text
        assert "smaller than a tile" not in text
        pictures = sorted(str(path.relative_to(out)) for path in out.rglob("*.png"))
        assert [name.rsplit("/", 1)[0] for name in pictures] == ["real/slub", "real/unnamed", "train/good"]
        with Image.open(out / pictures[2]) as image:
            assert np.asarray(image)[0, 0] == 1
        index = json.loads((out / "verdicts.json").read_text())["pictures"]
        assert sorted(one["file"] for one in index) == pictures
        run("feedback", "judge", 3, "false", "--config", station)
        run("feedback", "judge", 1, "unsure", "--config", station)
        code, text, _ = run("feedback", "collect", "--config", station, "--out", out)
        assert "1 false alarms in train/good, 1 real defects in real" in text
        assert "1 pictures in train/good are smaller than a tile" in text
        moved = sorted(str(path.relative_to(out)).rsplit("/", 1)[0] for path in out.rglob("*.png"))
        assert moved == ["real/unnamed", "train/good"]


def test_a_threshold_is_proposed_with_its_price(station: Path, run: Run) -> None:
    settings = load_station(station)
    with _woven(settings, [12.0, 10.5, 11.0, 15.0]):
        code, _, err = run("feedback", "threshold", "--config", station)
        assert (code, "no defect was judged false" in err) == (2, True)
        code, _, err = run("feedback", "rate", "--config", station)
        assert (code, "no roll of demo 1 is judged whole" in err) == (2, True)
        for defect, opinion in ((1, "real"), (2, "false"), (3, "false"), (4, "real")):
            run("feedback", "judge", defect, opinion, "--config", station)
        code, text, _ = run("feedback", "rate", "--config", station)
        assert code == 0
        assert text.startswith("1 rolls judged whole, 0.2 m: 1e+03 (")  # 2 false alarms; the roll `old` is not judged
        code, text, _ = run("feedback", "threshold", "--config", station)
        assert code == 0
        assert "2 defects judged false, 2 real" in text
        assert "0 of 2 false alarms reported, 0 of 2 real defects missed (0.0 to 84.2 %, 95 % confidence)" in text
        code, text, _ = run("feedback", "threshold", "--config", station, "--json")
        assert 11.0 < json.loads(text)["proposed"]["logit"] < 11.001


def test_what_is_not_there_is_named(station: Path, run: Run) -> None:
    settings = load_station(station)
    with _woven(settings, [12.0]):
        for arguments, complaint in (
            (("judge", 7, "real"), "roll new has no defect 7; it has 1"),
            (("judge", 1, "real", "--roll", "other"), "knows no roll 'other'; it has new, old"),
            (("judge", 1, "real", "--fault", "slob"), "--fault slob: no such name"),
        ):
            code, _, err = run("feedback", *arguments, "--config", station)
            assert code == 2
            assert complaint in err
    code, out, _ = run("feedback", "names")
    assert code == 0
    assert "broken_pick" in out.splitlines()
