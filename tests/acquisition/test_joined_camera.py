"""Cameras side by side as one: replays cut from one wide picture, and cameras that lag, fail and tell."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glass_edge.acquisition.camera import (
    Alarm,
    Camera,
    CameraFigures,
    CameraHealth,
    CameraLostError,
    EndOfLinesError,
    LineBlock,
)
from glass_edge.acquisition.joined_camera import JoinedCamera
from glass_edge.acquisition.joined_side import CommonEncoder, JoinedMember
from glass_edge.acquisition.recorder import RecordingCamera, RingSettings
from glass_edge.acquisition.recording import ReplayCamera
from glass_edge.errors import InputError

LINES, WIDTH = 240, 90
PICTURE = np.random.default_rng(0).integers(0, 256, (LINES, WIDTH), dtype=np.uint8)


def play(camera: Camera, most_s: float = 30.0) -> tuple[list[LineBlock], EndOfLinesError]:
    blocks, until = [], time.monotonic() + most_s
    while time.monotonic() < until:
        try:
            block = camera.read(0.2)
        except EndOfLinesError as end:
            return blocks, end
        if block is not None:
            blocks.append(block)
    raise AssertionError("the cameras did not end")


def check(blocks: list[LineBlock], end: EndOfLinesError, picture: np.ndarray, first: int = 0) -> int:
    """Blocks are the picture (row 0 is line `first`) and every line is in them or missed; returns how many are."""
    missed = line = 0
    for block in blocks:
        assert block.first_line >= line
        missed += block.first_line - line
        assert block.health.missed_lines == missed
        np.testing.assert_array_equal(block.lines, picture[block.first_line - first : block.end_line - first])
        assert block.lines.flags.c_contiguous
        line = block.end_line
    end_line = line if end.end_line is None else end.end_line
    assert end_line >= line
    return missed + end_line - line


def replay(folder: Path, name: str, picture: np.ndarray, block_lines: int, cuts: tuple[int, ...] = ()) -> ReplayCamera:
    place = folder / name
    place.mkdir(parents=True)
    for number, part in enumerate(np.split(picture, cuts)):
        cv2.imwrite(str(place / f"{number}.png"), part)
    return ReplayCamera(place, block_lines=block_lines, separate=bool(cuts))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), cameras=st.integers(2, 3))
def test_views_of_one_picture_are_that_picture(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, cameras: int
) -> None:
    folder = tmp_path_factory.mktemp("views")
    seams = [0, *sorted(data.draw(st.sets(st.integers(4, WIDTH - 4), min_size=cameras - 1, max_size=cameras - 1)))]
    cuts = tuple(sorted(data.draw(st.sets(st.integers(1, LINES - 1), max_size=2))))
    members = []
    for number, (left, right) in enumerate(zip(seams, [*seams[1:], WIDTH], strict=True)):
        extra = data.draw(st.integers(0, left)), data.draw(st.integers(0, WIDTH - right))
        view = PICTURE[:, left - extra[0] : right + extra[1]]
        camera = replay(folder, f"{number}", view, data.draw(st.integers(1, 100)), cuts)
        members.append(JoinedMember(f"camera{number}", camera, extra[0], extra[0] + right - left))
    encoder = data.draw(st.sampled_from([None, CommonEncoder(1.0)]))
    joined = JoinedCamera(members, window_lines=data.draw(st.integers(1, 300)), encoder=encoder)
    assert isinstance(joined, Camera)
    assert (joined.width_px, joined.channels, joined.is_simulated, joined.first_line) == (WIDTH, 1, True, 0)
    for _ in range(2):  # it may be opened again
        with joined:
            blocks, end = play(joined)
        assert check(blocks, end, PICTURE) == 0
        assert end.faults == ()
        assert [block.first_line for block in blocks if block.starts_segment] == [0, *cuts]
        assert [block.encoder_count for block in blocks] == [block.first_line for block in blocks]
    assert not [one for one in threading.enumerate() if one.name.startswith("joined-")]


def test_cameras_that_stand_along_the_web_see_the_same_cloth(tmp_path: Path) -> None:
    # The right camera sees cloth 30 lines later: its line 30 is the left one's line 0.
    late = np.concatenate([np.zeros((30, 50), np.uint8), PICTURE[:, 40:]])
    joined = JoinedCamera(
        [
            JoinedMember("left", replay(tmp_path, "left", PICTURE[:, :50], 32), 0, 50),
            JoinedMember("right", replay(tmp_path, "right", late, 50), 10, 50, along_offset_lines=30),
        ],
        window_lines=16,
    )
    with joined:
        blocks, end = play(joined)
    assert blocks[0].first_line == 30  # before, the right camera alone saw cloth
    assert "30 lines before line 30 are missed for the whole width: left" in blocks[0].health.faults[0]
    assert check(blocks, end, PICTURE, first=30) == 30
    assert end.end_line == LINES + 30


def test_lines_of_one_that_goes_on_are_told(tmp_path: Path) -> None:
    joined = JoinedCamera(
        [
            JoinedMember("left", replay(tmp_path, "left", PICTURE[:, :50], 32), 0, 50),
            JoinedMember("right", replay(tmp_path, "right", PICTURE[:100, 50:], 30), 0, 40),
        ]
    )
    with joined:
        blocks, end = play(joined)
    assert check(blocks, end, PICTURE) == LINES - 100
    assert "ended at line 100; of 140 lines from line 100 on" in end.faults[0]


def test_a_damaged_picture_of_one_is_missed_by_all(tmp_path: Path) -> None:
    left = replay(tmp_path, "left", PICTURE[:, :50], 32, (80, 160))
    right = replay(tmp_path, "right", PICTURE[:, 50:], 48, (80, 160))
    bad = tmp_path / "right" / "1.png"
    bad.write_bytes(bad.read_bytes()[:400])
    with JoinedCamera([JoinedMember("left", left, 0, 50), JoinedMember("right", right, 0, 40)]) as joined:
        blocks, end = play(joined)
    assert check(blocks, end, PICTURE) == 80
    told = [fault for block in blocks for fault in block.health.faults]
    assert any(fault.startswith("right: ") and "damaged" in fault for fault in told)
    assert any("80 lines before line 160 are missed for the whole width: right" in fault for fault in told)
    assert blocks[-1].health.incomplete_blocks == 1


def test_what_is_recorded_is_the_wide_line(tmp_path: Path) -> None:
    from glass_edge.acquisition.raw_player import RawPlayer

    def member(name: str, first: int, end: int) -> JoinedMember:
        return JoinedMember(name, replay(tmp_path, name, PICTURE[:, first:end], 64), 0, end - first)

    joined = JoinedCamera([member("left", 0, 50), member("right", 50, 90)])
    ring = RingSettings(tmp_path / "ring", 8 << 20, 1 << 20)
    with RecordingCamera(joined, ring, mm_per_px=0.1, mm_per_line=0.1) as camera:
        blocks, _ = play(camera)
    with RawPlayer(tmp_path / "ring") as again:
        played, end = play(again)
    assert check(played, end, PICTURE) == 0
    assert sum(block.n_lines for block in blocks) == LINES


class Scripted:
    """A live camera that gives what it is told to."""

    channels, first_line, is_simulated = 1, 0, False

    def __init__(
        self, width_px: int = 20, error: BaseException | None = None, opens_after: Callable | None = None
    ) -> None:
        self.width_px, self._error, self._opens_after = width_px, error, opens_after
        self.waiting: list[LineBlock | BaseException] = []
        self.faults: list[str] = []
        self.alarms: list[Alarm] = []
        self.is_open = False
        self.encoder = 0  # at line 0
        self.counts = 1

    def __enter__(self) -> "Scripted":
        if self._opens_after is not None:
            self._opens_after()
        if self._error is not None:
            raise self._error
        self.is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.is_open = False

    def read(self, timeout_s: float) -> LineBlock | None:
        if not self.waiting:
            time.sleep(min(timeout_s, 0.005))
            return None
        found = self.waiting.pop(0)
        if isinstance(found, BaseException):
            raise found
        return replace(found, received_monotonic_s=time.monotonic())

    def take_faults(self) -> tuple[str, ...]:
        told, self.faults = tuple(self.faults), []
        return told

    def take_alarms(self) -> tuple[Alarm, ...]:
        told, self.alarms = tuple(self.alarms), []
        return told

    def figures(self) -> CameraFigures:
        return CameraFigures(100.0 * self.width_px, 0.5)

    def give(self, first: int, end: int, column: int = 0, faults: tuple[str, ...] = ()) -> None:
        lines = np.ascontiguousarray(np.tile(PICTURE, (200, 1))[first:end, column : column + self.width_px])
        encoder = self.encoder + first * self.counts
        health = CameraHealth(faults=faults)
        self.waiting.append(LineBlock(lines, first, encoder, datetime.now(UTC), 0.0, first == 0, health=health))


def pair(**keys: object) -> tuple[Scripted, Scripted, JoinedCamera]:
    left, right = Scripted(20), Scripted(30)
    members = [
        JoinedMember("left", left, 0, 20, is_live=True),
        JoinedMember("right", right, 0, 30, is_live=True),
    ]
    return left, right, JoinedCamera(members, **keys)


def until(condition: Callable[[], object], most_s: float = 10.0) -> None:
    end = time.monotonic() + most_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def read_some(camera: JoinedCamera, most_s: float = 5.0) -> LineBlock:
    end = time.monotonic() + most_s
    while time.monotonic() < end:
        if (block := camera.read(0.2)) is not None:
            return block
    raise AssertionError("no block came")


def test_a_camera_that_is_lost_does_not_hold_up_the_other_for_ever() -> None:
    left, right, joined = pair(window_lines=1000)
    with joined:
        left.give(0, 100)
        right.give(0, 100, 20)
        assert read_some(joined).n_lines == 100
        for top in range(100, 20_000, 100):
            left.give(top, top + 100)
        until(lambda: not left.waiting)  # none of them had to wait for the right camera
        held = sum(len(piece.lines) for piece in joined._lines._sides[0].pieces)
        assert held <= 1100
        right.faults.append("was lost")
        told: list[str] = []
        until(lambda: told.extend(joined.take_faults()) or len(told) >= 2)
        assert joined.read(0.1) is None
        assert any(one.startswith("right: gives no lines while the others go on") for one in told)
        assert "right: was lost" in told
        right.give(19_900, 20_000, 20, ("is back",))
        block = read_some(joined)
        assert (block.first_line, block.n_lines, block.health.missed_lines) == (19_900, 100, 19_800)
        assert block.health.faults[0] == "right: is back"
        assert "19800 lines before line 19900 are missed for the whole width: right" in block.health.faults[1]
        np.testing.assert_array_equal(block.lines, np.tile(PICTURE, (200, 1))[19_900:20_000, :50])


def test_a_slow_reader_holds_up_the_cameras_and_nothing_is_lost() -> None:
    left, right, joined = pair(window_lines=500)
    with joined:
        for top in range(0, 3000, 100):
            left.give(top, top + 100)
            right.give(top, top + 100, 20)
            if top < 500:
                until(lambda: not left.waiting and not right.waiting)
        time.sleep(0.2)
        assert len(left.waiting) > 20
        assert len(right.waiting) > 20
        lines = 0
        while lines < 3000:
            block = read_some(joined)
            assert block.first_line == lines
            lines = block.end_line


def test_a_camera_that_is_gone_ends_it_after_the_lines_that_are_whole() -> None:
    left, right, joined = pair()
    with joined:
        left.give(0, 100)
        right.give(0, 60, 20)
        right.waiting.append(CameraLostError("it is gone"))
        until(lambda: not right.waiting)
        assert read_some(joined).n_lines == 60
        with pytest.raises(CameraLostError, match=r"^right: it is gone"):
            read_some(joined)
    assert not left.is_open


def test_none_stays_open_when_one_cannot_be_opened() -> None:
    left = Scripted(20)
    right = Scripted(30, error=InputError("no such camera"))
    joined = JoinedCamera([JoinedMember("left", left, 0, 20), JoinedMember("right", right, 0, 30)])
    with pytest.raises(InputError, match=r"^right: no such camera"), joined:
        pass
    assert not left.is_open


def test_encoders_that_count_together_align_cameras_that_start_apart() -> None:
    left, right, joined = pair(encoder=CommonEncoder(4.0, 16))
    left.counts = right.counts = 4
    left.encoder, right.encoder = 65_500, 65_500 + 25 * 4 - 65_536  # the counter started over meanwhile
    with joined:
        left.give(0, 100)
        until(lambda: not left.waiting)
        right.waiting.append(_shifted(right, 25, 75))
        block = read_some(joined)
        assert (block.first_line, block.n_lines, block.encoder_count) == (25, 75, 65_500 + 25 * 4)
        np.testing.assert_array_equal(block.lines, PICTURE[25:100, :50])
        assert "25 lines before line 25 are missed for the whole width: right" in block.health.faults[0]


def _shifted(camera: Scripted, first: int, n_lines: int) -> LineBlock:
    """The picture's lines from `first` on as the camera's own first lines."""
    lines = np.ascontiguousarray(PICTURE[first : first + n_lines, 20 : 20 + camera.width_px])
    return LineBlock(lines, 0, camera.encoder, datetime.now(UTC), 0.0, starts_segment=True)


def test_an_encoder_that_starts_over_is_told() -> None:
    left, right, joined = pair(encoder=CommonEncoder(1.0))
    with joined:
        for top in (0, 100):
            left.give(top, top + 100)
            right.give(top, top + 100, 20)
            if top == 0:
                until(lambda: not right.waiting)
                right.encoder -= 500
        told: list[str] = []
        line = 0
        while line < 200:
            block = read_some(joined)
            told += block.health.faults
            line = block.end_line
        assert len([one for one in told if one.startswith("right: its encoder started over")]) == 1


def test_lines_before_all_are_open_are_told_where_no_encoder_is_shared() -> None:
    gate = threading.Event()
    left, right = Scripted(20), Scripted(30, opens_after=lambda: gate.wait(5))
    members = [JoinedMember("left", left, 0, 20, is_live=True), JoinedMember("right", right, 0, 30, is_live=True)]
    left.give(0, 100)
    right.give(0, 100, 20)
    threading.Timer(0.3, gate.set).start()
    with JoinedCamera(members) as joined:
        block = read_some(joined)
    assert [one for one in block.health.faults if "left: lines came before all cameras were open" in one]
    assert not [one for one in block.health.faults if one.startswith("right")]


def test_alarms_and_figures_are_those_of_the_cameras() -> None:
    left, right, joined = pair()
    with joined:
        right.alarms.append(Alarm("lamp", "is weak"))
        told: list[Alarm] = []
        until(lambda: told.extend(joined.take_alarms()) or told)
        assert told == [Alarm("lamp", "right: is weak")]
        until(lambda: joined.figures().line_rate_hz is not None and left.is_open)
        assert joined.figures() == CameraFigures(2000.0, 0.5)


def test_cameras_that_do_not_fit_are_refused() -> None:
    colour = Scripted(20)
    colour.channels = 3
    grey = JoinedMember("a", Scripted(20), 0, 20)
    with pytest.raises(InputError, match="b gives 3 channels and a 1"):
        JoinedCamera([grey, JoinedMember("b", colour, 0, 20)])
    with pytest.raises(InputError, match="b: its own columns 0 to 21"):
        JoinedCamera([grey, JoinedMember("b", Scripted(20), 0, 21)])
    with pytest.raises(InputError, match="one at least"):
        JoinedCamera([])
