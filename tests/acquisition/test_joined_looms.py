"""Two virtual looms at once, each over its own camera process: the joined line is the wide cloth, whatever fails."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from glass_edge.acquisition.camera import Camera, LineBlock
from glass_edge.acquisition.virtual_loom import VirtualLoom
from glass_edge.cli.joined import open_station_camera
from glass_edge.config.joined_camera import JoinedCameraSettings
from glass_edge.config.web import WebSettings

pytest.importorskip("genicam")
RATE_HZ, COUNTS, WIDTH, SEEN = 2000.0, 4, 300, 200
CLOTH = np.random.default_rng(12).integers(0, 256, (1 << 14, WIDTH), dtype=np.uint8)
PROFILE = """
pixel_format = "Mono8"
block_lines = {block_lines}
line_trigger = "encoder"
encoder_divider = 4
exposure_us = 50
required_chunks = ["encoder", "frame_id"]
"""


@pytest.fixture
def looms(tmp_path: Path) -> Iterator[tuple[VirtualLoom, VirtualLoom]]:
    speed = {"line_rate_hz": RATE_HZ, "counts_per_line": COUNTS}
    with (
        VirtualLoom.create(tmp_path / "l", CLOTH[:, :SEEN], serial=f"L{os.getpid()}", **speed) as left,
        VirtualLoom.create(tmp_path / "r", CLOTH[:, -SEEN:], serial=f"R{os.getpid()}", **speed) as right,
    ):
        yield left, right


def open_both(looms: tuple[VirtualLoom, VirtualLoom], **keys: object) -> Camera:
    cameras = []
    for loom, name, left_mm, block_lines in zip(looms, ("left", "right"), (0.0, 10.0), (64, 96), strict=True):
        profile = loom.folder / "profile.toml"
        profile.write_text(PROFILE.format(block_lines=block_lines))
        one = {"kind": "genicam", "name": name, "cti": (loom.cti,), "profile": profile, "left_mm": left_mm}
        cameras.append(one | {"stall_s": 1.0, "longest_pause_s": 0.5})
    settings = JoinedCameraSettings.model_validate({"kind": "joined", "cameras": cameras[::-1]} | keys)
    opened = open_station_camera(settings, WebSettings(mm_per_px=0.1, mm_per_line=0.1))
    assert opened.across is not None
    columns = np.linspace(0, WIDTH, 61)
    np.testing.assert_allclose(opened.across.across_mm(columns), columns * 0.1, atol=1e-9)
    return opened.camera


class Booked:
    """What the inspection would book, line by line against the cloth."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.next_line = self.handed = self.missed = 0
        self.faults: list[str] = []

    def read(self, until: str = "", blocks: int = 10**9, most_s: float = 30.0) -> None:
        end = time.monotonic() + most_s
        while time.monotonic() < end and blocks > 0:
            block = self.camera.read(0.1)
            if block is None:
                continue
            blocks -= 1
            self._book(block)
            if until and any(until in fault for fault in block.health.faults):
                return
        assert not until, f"no fault '{until}' in {self.faults}"

    def _book(self, block: LineBlock) -> None:
        rows = (block.encoder_count // COUNTS + np.arange(block.n_lines)) % len(CLOTH)
        np.testing.assert_array_equal(block.lines, CLOTH[rows])
        assert block.first_line == block.encoder_count // COUNTS  # the looms' encoders began at 0
        self.missed += block.first_line - self.next_line
        assert self.missed == block.health.missed_lines
        self.handed += block.n_lines
        self.next_line = block.end_line
        self.faults += block.health.faults


@pytest.mark.timeout(180)
def test_the_joined_line_is_the_cloth_and_all_lines_are_booked(looms: tuple[VirtualLoom, VirtualLoom]) -> None:
    left, right = looms
    camera = open_both(looms)
    assert (camera.width_px, camera.channels, camera.is_simulated, camera.first_line) == (WIDTH, 1, True, 0)
    with camera:
        booked = Booked(camera)
        booked.read(blocks=30)
        assert (booked.missed, booked.faults) == (0, [])
        right.order("drop", 3)
        booked.read(until="missed for the whole width: right")
        assert any(fault.startswith("right: 288 lines before line") for fault in booked.faults)
        assert booked.missed == 3 * 96
        left.order("incomplete", 2)
        booked.read(until="missed for the whole width: left")
        booked.read(blocks=10)
        assert booked.missed == 3 * 96 + 2 * 64
        right.order("crash")
        booked.read(until="missed for the whole width: right")
        assert any("right: " in fault and "signal 6" in fault for fault in booked.faults)
        left.lose(0.5)
        booked.read(until="missed for the whole width: left")
        booked.read(blocks=30)
    assert booked.handed + booked.missed == booked.next_line
    assert booked.handed > 3000


@pytest.mark.timeout(120)
def test_a_camera_that_is_away_for_longer_than_the_window_is_told(looms: tuple[VirtualLoom, VirtualLoom]) -> None:
    with open_both(looms, window_lines=512, align_by="start") as camera:
        booked = Booked(camera)
        booked.read(blocks=20)
        looms[1].lose(1.5)
        told: list[str] = []
        end = time.monotonic() + 20
        signs = ("gives no lines while the others go on", "was lost")
        while not all(any(sign in one for one in told) for sign in signs) and time.monotonic() < end:
            if (block := camera.read(0.05)) is None:
                told += camera.take_faults()
            else:
                booked._book(block)
                told += block.health.faults
        for sign in signs:
            assert [one for one in told if sign in one and one.startswith("right: ")], told
        booked.read(until="missed for the whole width: right")
        booked.read(blocks=20)
    assert booked.handed + booked.missed == booked.next_line
    assert booked.missed > RATE_HZ * 1.5 * 0.8
