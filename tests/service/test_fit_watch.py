"""The check of the picture while the loom runs: simulated cloth everywhere, real strips where this machine has them."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pytest
from PIL import Image
from station_support import glass_edge, journal_events, make_bundle

from glass_edge.acquisition.camera import Alarm, CameraHealth, EndOfLinesError, LineBlock
from glass_edge.acquisition.loom.renderer import LoomRenderer
from glass_edge.acquisition.loom.spec import LoomSpec
from glass_edge.calibration.cloth_look import ClothLook, learn_look, look_at
from glass_edge.config.fit_check import FitCheckSettings
from glass_edge.errors import InputError
from glass_edge.service import fit_watch
from glass_edge.service.fit_watch import FitWatchCamera, watch_fit

WIDTH, LINES, BLOCK = 512, 256, 64
DATA = Path(os.environ.get("GLASS_EDGE_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
AITEX, OFFSCALE = DATA / "fabric" / "aitex", DATA / "fabric" / "aitex-offscale"
needs_aitex = pytest.mark.skipif(
    not (AITEX.is_dir() and OFFSCALE.is_dir()), reason="AITEX strips are not on this machine"
)


@pytest.fixture(autouse=True)
def priority(monkeypatch: pytest.MonkeyPatch) -> int:
    """The priority of the check, lowest on a station and as the tests' own here; returns that of a station."""
    on_a_station = fit_watch._LOWEST_PRIORITY
    monkeypatch.setattr(fit_watch, "_LOWEST_PRIORITY", os.getpriority(os.PRIO_PROCESS, 0))
    return on_a_station


@cache
def woven(seed: int, mm_per_line: float = 0.1, n_lines: int = 4 * LINES) -> np.ndarray:
    spec = LoomSpec(
        "twill21",
        WIDTH,
        0.1,
        mm_per_line,
        ends_per_cm=20,
        picks_per_cm=16,
        section_lines=n_lines,
        seed=seed,
        camera_seed=1,
    )
    return LoomRenderer(spec).render(0, n_lines)


@cache
def look() -> ClothLook:
    return learn_look({str(seed): look_at(woven(seed)[:LINES]) for seed in range(2)}, WIDTH)


def settings(**changes: object) -> FitCheckSettings:
    return FitCheckSettings.model_validate({"every_m": 0.0, "lines": LINES} | changes)


class Player:
    """A camera that plays lines in blocks of any size, with holes where it is told."""

    width_px, channels, is_simulated, first_line = WIDTH, 1, True, 0

    def __init__(self, lines: np.ndarray, sizes: Iterable[int] = (), holes: Iterable[int] = ()) -> None:
        sizes, holes = list(sizes), set(holes)
        self.blocks: list[LineBlock] = []
        at = 0
        while at < len(lines):
            n_lines = sizes[len(self.blocks)] if len(self.blocks) < len(sizes) else BLOCK
            if len(self.blocks) in holes:
                holes.discard(len(self.blocks))
                at += n_lines
                continue
            part = lines[at : at + n_lines]
            block = LineBlock(part, at, at, datetime.now(UTC), 0.0, health=CameraHealth())
            self.blocks.append(block)
            at += len(part)
        self.at = 0

    def __enter__(self) -> Self:
        self.at = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def read(self, timeout_s: float) -> LineBlock | None:
        del timeout_s
        if self.at == len(self.blocks):
            raise EndOfLinesError
        self.at += 1
        return self.blocks[self.at - 1]


def read_all(camera: FitWatchCamera, pause_s: float) -> tuple[list[LineBlock], list[Alarm]]:
    """Blocks and alarms of a whole run."""
    blocks, told = [], []
    with camera, contextlib.suppress(EndOfLinesError):
        while True:
            if (block := camera.read(0.1)) is not None:
                blocks.append(block)
            told += camera.take_alarms()
            time.sleep(pause_s)
    return blocks, told


def play(camera: FitWatchCamera, checks_line: int = LINES) -> list[tuple[int, Alarm]]:
    """Alarms with the line up to which was read when they came; every sample that is due is waited for."""
    told, end_line = [], 0
    with camera:
        while True:
            try:
                block = camera.read(0.1)
            except EndOfLinesError:
                assert camera.take_alarms() == ()
                return told
            end_line = end_line if block is None else block.end_line
            until_s = time.monotonic() + 30
            while block is not None and camera.n_checks < end_line // checks_line and time.monotonic() < until_s:
                time.sleep(0.002)
            told += [(end_line, alarm) for alarm in camera.take_alarms()]


def test_cloth_that_fits_raises_nothing() -> None:
    camera = FitWatchCamera(Player(woven(7)), look(), settings(), mm_per_line=0.1)
    assert play(camera) == []
    assert camera.n_checks == 4


def test_a_misfit_that_lasts_is_told_when_it_begins_and_when_it_is_over() -> None:
    cloth = np.concatenate([woven(7), woven(8, 0.15), woven(9)])
    told = play(FitWatchCamera(Player(cloth), look(), settings(), mm_per_line=0.1))
    assert [(line // LINES, alarm.kind) for line, alarm in told] == [
        (7, "misfit_scale_along"),  # the third of the checks that do not fit
        (11, "misfit_scale_along_over"),  # the third of those that fit again
    ]
    began, over = (alarm.message for _, alarm in told)
    assert float(began.split()[0]) == pytest.approx(18.75 / 1.5, rel=0.02)  # lines a repeat
    assert "3 of the last 5 checks, the last at 0.15 m" in began
    assert "3 checks in a row, the last at 0.26 m" in over


def test_one_bad_picture_is_no_alarm() -> None:
    cloth = np.concatenate([woven(7), woven(8, 0.15)[: 2 * LINES], woven(9)])
    assert play(FitWatchCamera(Player(cloth), look(), settings(), mm_per_line=0.1)) == []
    told = play(FitWatchCamera(Player(cloth), look(), settings(misfits=1), mm_per_line=0.1))
    assert [alarm.kind for _, alarm in told] == ["misfit_scale_along", "misfit_scale_along_over"]


def test_the_limits_are_those_of_the_settings() -> None:
    cloth = woven(8, 0.15)
    assert play(FitWatchCamera(Player(cloth), look(), settings(limits={"scale_along": 1.0}), mm_per_line=0.1)) == []


def test_a_picture_without_cloth_has_its_name() -> None:
    told = play(FitWatchCamera(Player(np.zeros_like(woven(7))), look(), settings(), mm_per_line=0.1))
    assert [alarm.kind for _, alarm in told] == ["misfit_cloth"]


def test_what_the_last_lines_showed_is_told_before_the_end() -> None:
    camera = FitWatchCamera(Player(woven(8, 0.15)[: 3 * LINES]), look(), settings(), mm_per_line=0.1)
    told = []
    with camera:
        for _ in range(3 * LINES // BLOCK):
            until_s = time.monotonic() + 30
            block = camera.read(0.1)
            assert block is not None
            while camera.n_checks < min(2, block.end_line // LINES) and time.monotonic() < until_s:
                time.sleep(0.002)
            if block.end_line < 3 * LINES:
                told += camera.take_alarms()
        assert told == []
        assert camera.read(0.1) is None
        assert [alarm.kind for alarm in camera.take_alarms()] == ["misfit_scale_along"]
        with pytest.raises(EndOfLinesError):
            camera.read(0.1)


@pytest.mark.parametrize("seed", range(5))
def test_samples_are_stretches_of_the_cloth_at_the_distance_asked_for(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    lines = np.arange(40 * LINES, dtype=np.uint32)
    cloth = np.zeros((len(lines), WIDTH), np.uint8)
    cloth[:, :4] = lines.view(np.uint8).reshape(-1, 4)  # each line says its number
    seen: list[np.ndarray] = []

    def spy(sample: np.ndarray) -> object:
        seen.append(np.ascontiguousarray(sample[:, :4]).view(np.uint32)[:, 0])
        raise InputError("looked at")

    monkeypatch.setattr(fit_watch, "look_at", spy)
    holes = rng.integers(0, 200, 6)
    player = Player(cloth, rng.integers(1, 3 * LINES, 400), holes)
    camera = FitWatchCamera(player, look(), settings(every_m=0.1), mm_per_line=0.1)
    blocks, _ = read_all(camera, 0.005)
    assert all(one is other for one, other in zip(blocks, player.blocks, strict=True))
    assert len(seen) > 3
    known = {line for block in player.blocks for line in range(block.first_line, block.end_line)}
    for sample in seen:
        assert len(sample) == LINES
        assert np.array_equal(sample, np.arange(sample[0], sample[0] + LINES))
        assert known >= set(sample.tolist())
    starts = np.array([sample[0] for sample in seen])
    assert np.diff(starts).min() > 1000 - 3 * LINES  # 0.1 m are 1000 lines; a sample begins with a block
    assert seen[0][0] == player.blocks[0].first_line or player.blocks[0].end_line < LINES


def test_a_check_that_takes_long_keeps_no_line_waiting(monkeypatch: pytest.MonkeyPatch, priority: int) -> None:
    monkeypatch.setattr(fit_watch, "_LOWEST_PRIORITY", priority)
    go_on, priorities = threading.Event(), []

    def slow(sample: np.ndarray) -> object:
        priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        go_on.wait(30)
        raise InputError("looked at")

    monkeypatch.setattr(fit_watch, "look_at", slow)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    cloth = np.tile(woven(7), (8, 1))
    camera = FitWatchCamera(Player(cloth), look(), settings(every_m=0.02), mm_per_line=0.1)
    told = []
    with camera:
        began = time.monotonic()
        for _ in range(len(cloth) // BLOCK):
            assert camera.read(0.1) is not None
            told += camera.take_alarms()
        assert time.monotonic() - began < 2.0
        assert [alarm.kind for alarm in told] == ["fit_check_late"]
        go_on.set()
    assert len(priorities) == 1  # the sample that was looked at, and none piled up
    assert priorities[0] == 19
    assert os.getpriority(os.PRIO_PROCESS, 0) == own
    assert not [thread for thread in threading.enumerate() if thread.name == "fit-check"]


def test_a_check_that_fails_is_told_and_the_lines_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(sample: np.ndarray) -> object:
        raise MemoryError("no room")

    monkeypatch.setattr(fit_watch, "look_at", broken)
    camera = FitWatchCamera(Player(woven(7)), look(), settings(), mm_per_line=0.1)
    blocks, told = read_all(camera, 0.01)
    assert len(blocks) == len(woven(7)) // BLOCK
    assert [(alarm.kind, "MemoryError: no room" in alarm.message) for alarm in told] == [("fit_check_failed", True)]


def test_a_look_of_another_camera_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twill.look.json"
    look().save(path)
    player = Player(woven(7))
    assert watch_fit(player, settings(), mm_per_line=0.1, flat_field_sha256="") is player
    asked = settings(look=str(path))
    assert isinstance(watch_fit(player, asked, mm_per_line=0.1, flat_field_sha256=""), FitWatchCamera)
    with pytest.raises(InputError, match="learnt without a flat field"):
        watch_fit(player, asked, mm_per_line=0.1, flat_field_sha256="a" * 64)
    player.width_px = 1024
    with pytest.raises(InputError, match="512 px and the camera's have 1024"):
        watch_fit(player, asked, mm_per_line=0.1, flat_field_sha256="")
    with pytest.raises(InputError, match="calibrate learn"):
        watch_fit(player, settings(look=str(tmp_path / "none.json")), mm_per_line=0.1, flat_field_sha256="")


STATION = """
station = "loom7"
bundle = "engines/plain"
[camera]
{camera}
[web]
mm_per_px = 0.1
mm_per_line = {mm_per_line}
span = {{ left_px = 0, right_px = {width} }}
[inspection]
threshold_logit = 100.0
[fit_check]
look = "style.look.json"
every_m = {every_m}
lines = 256
[events]
journal = "events.journal"
publish_endpoint = "ipc://{sockets}/e"
request_endpoint = "ipc://{sockets}/r"
[output]
folder = "out"
"""
LOOM = """
kind = "loom"
cloth = "twill21"
ends_per_cm = 20
picks_per_cm = 16
width_px = 512
section_m = {section_m}
sections = 1
seed = 7
line_rate_hz = 2000
"""


def run_station(folder: Path, camera: str, known: ClothLook, **keys: object) -> tuple[set[str], dict[str, object]]:
    """`glass-edge run` to the end of its lines: the alarms of the journal, and its roll.end."""
    make_bundle(folder / "engines", tile=(128, 512), mm_per_px=0.1)
    known.save(folder / "style.look.json")
    text = STATION.format(camera=camera, width=known.width_px, sockets=folder, **keys)
    (folder / "station.toml").write_text(text)
    with glass_edge("run", "--config", folder / "station.toml", "--json") as process:
        out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err  # alarms, and everything was inspected
    assert json.loads(out)["roll_id"]
    events = journal_events(folder / "events.journal")
    told = [one["payload"] for one in events if one["payload"].get("fault_code")]
    assert all(one["state"] == "ContinuousExecution" for one in told)
    names = [one["fault_code"] for one in told]
    assert len(set(names)) == len(names), "each once"
    (end,) = [one["payload"] for one in events if one["kind"] == "roll.end"]
    return set(names), end


@pytest.mark.parametrize(
    ("mm_per_line", "expected"),
    [pytest.param(0.1, set(), marks=pytest.mark.slow), (0.15, {"misfit_scale_along"})],
)
def test_a_running_station_raises_the_alarm_and_goes_on(tmp_path: Path, mm_per_line: float, expected: set[str]) -> None:
    camera = LOOM.format(section_m=4000 * mm_per_line / 1000)
    names, end = run_station(tmp_path, camera, look(), mm_per_line=mm_per_line, every_m=0.03)
    assert names == expected
    assert end["lines_woven"] == 4000


@pytest.mark.slow
@needs_aitex
@pytest.mark.parametrize("fits", [True, False])
def test_real_strips_of_another_scale_raise_the_alarm_and_others_do_not(tmp_path: Path, fits: bool) -> None:
    good = sorted((AITEX / "fabric02" / "train" / "good").glob("*.png"))
    known = learn_look({one.name: look_at(np.asarray(Image.open(one).convert("L"))) for one in good}, 4096)
    strips = sorted(((AITEX if fits else OFFSCALE) / "fabric02" / "test").rglob("*.png"))
    (tmp_path / "strips").mkdir()
    for number, strip in enumerate(strips):
        (tmp_path / "strips" / f"{number:03d}.png").symlink_to(strip)
    camera = 'kind = "replay"\npath = "strips"\nline_rate_hz = 150'
    names, end = run_station(tmp_path, camera, known, mm_per_line=0.1, every_m=0.0)
    assert end["lines_woven"] == 256 * len(strips)
    if fits:
        assert names == set()
    else:
        assert "misfit_scale_along" in names


def test_another_style_is_judged_by_its_own_look() -> None:
    coarse = learn_look({str(seed): look_at(woven(seed, 0.15)[:LINES]) for seed in range(2)}, WIDTH)
    cloth = np.concatenate([woven(7), woven(8, 0.15), woven(9, 0.15), woven(3)])
    camera = FitWatchCamera(Player(cloth), look(), settings(), mm_per_line=0.1)
    told: list[str] = []
    n_checks = 0
    with camera:
        for style in (look(), look(), coarse, None):  # the second part of the cloth is the coarse style already
            if style is not look():
                camera.use(style)
            for _ in range(4):
                for _ in range(LINES // BLOCK):
                    camera.read(0.0)
                n_checks += style is not None
                until_s = time.monotonic() + 30
                while camera.n_checks < n_checks and time.monotonic() < until_s:
                    time.sleep(0.002)
            told += [alarm.kind for alarm in camera.take_alarms()]
    assert camera.n_checks == n_checks == 12  # of a style that nobody has seen, nothing is checked
    assert told == ["misfit_scale_along", "misfit_scale_along_over"]
