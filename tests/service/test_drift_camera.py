"""Pictures are measured beside the blocks, which pass unchanged and never wait."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import numpy as np
import pytest

from glass_edge.acquisition.camera import CameraHealth, EndOfLinesError, LineBlock
from glass_edge.calibration.picture_figures import PictureFigures, measure_picture
from glass_edge.config.drift import DriftSettings
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.service import drift_camera
from glass_edge.service.drift_camera import DriftCamera

WIDTH, LINES, BLOCK = 200, 128, 48
SPAN = ClothSpan(0, WIDTH)


@pytest.fixture(autouse=True)
def priority(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_camera, "_LOWEST_PRIORITY", os.getpriority(os.PRIO_PROCESS, 0))


def cloth(n_lines: int) -> np.ndarray:
    """No two stretches of it have the same figures."""
    return np.random.default_rng(0).integers(92, 109, (n_lines, WIDTH), dtype=np.uint8)


class Player:
    """A camera that plays lines in blocks; with holes, and splices, before some of them."""

    width_px, channels, is_simulated, first_line = WIDTH, 1, True, 0

    def __init__(self, lines: np.ndarray, *, holes: Iterable[int] = (), splices: Iterable[int] = ()) -> None:
        self.blocks: list[LineBlock] = []
        for number, at in enumerate(range(0, len(lines), BLOCK)):
            if number in holes:
                continue
            part = lines[at : at + BLOCK]
            is_splice = number in splices
            block = LineBlock(part, at, at, datetime.now(UTC), 0.0, starts_segment=is_splice, health=CameraHealth())
            self.blocks.append(block)
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


def settings(**changes: object) -> DriftSettings:
    return DriftSettings.model_validate({"every_m": 0.0, "lines": LINES} | changes)


def wait_until_idle(camera: DriftCamera) -> None:
    until_s = time.monotonic() + 30
    while camera._busy.is_set() and time.monotonic() < until_s:
        time.sleep(0.001)


def read_all(camera: DriftCamera) -> list[LineBlock]:
    """Blocks of a whole run; each sample is measured before the next block is read."""
    blocks = []
    with contextlib.suppress(EndOfLinesError):
        while (block := camera.read(0.1)) is not None:
            blocks.append(block)
            wait_until_idle(camera)
    return blocks


def figures_at(n_lines: int, *first_lines: int) -> list[PictureFigures]:
    """Of samples of `cloth` that begin at these lines."""
    return [measure_picture(cloth(n_lines)[line : line + LINES], SPAN) for line in first_lines]


def test_blocks_pass_unchanged_and_samples_are_measured_where_they_are() -> None:
    player = Player(cloth(1000))
    with DriftCamera(player, settings(), mm_per_line=0.1, span=SPAN) as camera:
        assert all(one is other for one, other in zip(read_all(camera), player.blocks, strict=True))
        figures = camera.take(0, 1000)
    assert figures == figures_at(1000, 0, 144, 288, 432, 576, 720, 864)


@pytest.mark.parametrize(("every_m", "n_samples"), [(0.0, 7), (0.02, 5), (0.05, 2), (1.0, 1)])
def test_so_many_as_are_asked_for(every_m: float, n_samples: int) -> None:
    with DriftCamera(Player(cloth(1000)), settings(every_m=every_m), mm_per_line=0.1, span=SPAN) as camera:
        read_all(camera)
        assert len(camera.take(0, 1000)) == n_samples


def test_a_sample_has_no_hole_and_is_of_one_piece_of_cloth() -> None:
    player = Player(cloth(1200), holes=[2], splices=[7])
    with DriftCamera(player, settings(), mm_per_line=0.1, span=SPAN) as camera:
        read_all(camera)
        found = camera.take(0, 1200)
    assert found == figures_at(1200, *(BLOCK * number for number in (3, 7, 10, 13, 16, 19, 22)))


def test_a_roll_takes_its_own_samples_and_forgets_those_before() -> None:
    with DriftCamera(Player(cloth(1000)), settings(), mm_per_line=0.1, span=SPAN) as camera:
        read_all(camera)
        assert len(camera.take(100, 500)) == 3  # 144, 288, 432; the one at 0 is of the roll before
        assert camera.take(0, 500) == []
        assert len(camera.take(500, 1000)) == 3


def test_a_sample_that_is_measured_after_its_roll_has_ended_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def slow(lines: np.ndarray, span: ClothSpan) -> PictureFigures:
        assert go_on.wait(30)
        return measure_picture(lines, span)

    monkeypatch.setattr(drift_camera, "measure_picture", slow)
    with DriftCamera(Player(cloth(1000)), settings(), mm_per_line=0.1, span=SPAN) as camera:
        started_s = time.monotonic()
        for _ in range(15):
            assert camera.read(0.1) is not None  # nobody waits
        assert time.monotonic() - started_s < 5
        assert camera.take(0, 500) == []
        go_on.set()
        wait_until_idle(camera)
        assert camera.take(0, 1000) == []


def test_what_shows_no_cloth_is_no_sample() -> None:
    lines = cloth(600)
    lines[:288] = 255
    with DriftCamera(Player(lines), settings(), mm_per_line=0.1, span=None) as camera:
        read_all(camera)
        figures = camera.take(0, 600)
        assert camera.take_alarms() == ()
    assert [one.saturated_share for one in figures] == [0.0, 0.0]  # those at 288 and 432


def test_a_failure_is_told_once_and_the_lines_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(lines: np.ndarray, span: ClothSpan) -> PictureFigures:
        raise MemoryError("no room")

    monkeypatch.setattr(drift_camera, "measure_picture", broken)
    player = Player(cloth(1000))
    with DriftCamera(player, settings(), mm_per_line=0.1, span=SPAN) as camera:
        for _ in range(10):
            camera.read(0.1)
        until_s = time.monotonic() + 30
        while not (told := camera.take_alarms()) and time.monotonic() < until_s:
            time.sleep(0.001)
        assert [(one.kind, "MemoryError: no room" in one.message) for one in told] == [("drift_failed", True)]
        for _ in range(len(player.blocks) - 10):
            assert camera.read(0.1) is not None
        assert camera.take_alarms() == ()


def test_the_thread_ends_with_the_camera() -> None:
    before = threading.active_count()
    with DriftCamera(Player(cloth(1000)), settings(), mm_per_line=0.1, span=SPAN) as camera:
        camera.read(0.1)
    assert threading.active_count() == before
