"""Against the virtual loom: blocks are the cloth byte for byte, and whatever fails, lines inspected + lines reported
missing = lines woven."""

import dataclasses
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from glass_edge.acquisition import open_camera
from glass_edge.acquisition.camera import LineBlock
from glass_edge.acquisition.genicam_camera import GenicamCamera
from glass_edge.acquisition.virtual_loom import VirtualLoom
from glass_edge.calibration.flat_reference import measure_flat_field
from glass_edge.cli.correction import load_correction
from glass_edge.config.camera import GenicamCameraSettings
from glass_edge.config.web import WebSettings
from glass_edge.errors import InputError

pytest.importorskip("genicam")
RATE_HZ, COUNTS, BLOCK, WIDTH = 4000.0, 4, 64, 256
CLOTH = np.random.default_rng(11).integers(0, 256, (1 << 15, WIDTH), dtype=np.uint8)
PROFILE = f"""
model = "VirtualLoom"
pixel_format = "Mono8"
block_lines = {BLOCK}
line_trigger = "encoder"
encoder_divider = {COUNTS}
exposure_us = 50
required_chunks = ["encoder", "frame_id"]
"""


@pytest.fixture
def loom(tmp_path: Path) -> Iterator[VirtualLoom]:
    with VirtualLoom.create(tmp_path / "loom", CLOTH, line_rate_hz=RATE_HZ, counts_per_line=COUNTS) as made:
        yield made


def open_loom(loom: VirtualLoom, profile: str = PROFILE, **keys: object) -> GenicamCamera:
    path = loom.folder / "profile.toml"
    path.write_text(profile)
    settings = {
        "kind": "genicam",
        "cti": (loom.cti,),
        "serial_number": loom.serial,
        "profile": path,
        "stall_s": 1.0,
        "longest_pause_s": 0.5,
    }
    camera = open_camera(
        GenicamCameraSettings.model_validate(settings | keys),
        WebSettings(mm_per_px=0.1, mm_per_line=0.1),
        load_correction=load_correction,
    )
    assert isinstance(camera, GenicamCamera)
    return camera


class Booked:
    """What the inspection would book, checked against the cloth line by line."""

    def __init__(self, camera: GenicamCamera) -> None:
        self.camera = camera
        self.next_line = camera.first_line
        self.handed = self.missed = 0
        self.faults: list[str] = []
        self.slowest_s = 0.0
        self.blocks: list[LineBlock] = []

    def read_for(self, seconds: float = 60.0, until: str = "", blocks: int = 10**9) -> None:
        end, count = time.monotonic() + seconds, len(self.blocks) + blocks
        while time.monotonic() < end and len(self.blocks) < count:
            began = time.monotonic()
            block = self.camera.read(0.1)
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            if block is None:
                continue
            self._book(block)
            if until and any(until in fault for fault in block.health.faults):
                return
        assert not until, f"no fault '{until}' in {self.faults}"

    def _book(self, block: LineBlock) -> None:
        rows = (block.encoder_count // COUNTS + np.arange(block.n_lines)) % len(CLOTH)
        np.testing.assert_array_equal(block.lines, CLOTH[rows])
        assert block.first_line >= self.next_line
        if self.blocks:
            first = self.blocks[0]
            woven = (block.encoder_count - first.encoder_count) // COUNTS
            assert block.first_line - first.first_line == woven
        self.missed += block.first_line - self.next_line
        assert self.missed == block.health.missed_lines
        self.handed += block.n_lines
        self.next_line = block.end_line
        self.faults += block.health.faults
        self.blocks.append(block)

    def check(self) -> None:
        assert self.handed + self.missed == self.next_line
        assert self.slowest_s < 1.0


@pytest.mark.parametrize("process", [True, False])
def test_blocks_are_the_cloth(loom: VirtualLoom, process: bool) -> None:
    camera = open_loom(loom, process=process)
    assert (camera.width_px, camera.channels, camera.is_simulated) == (WIDTH, 1, True)
    with camera:
        booked = Booked(camera)
        booked.read_for(blocks=40)
        rate = camera.measured.line_rate_hz
    booked.check()
    assert (booked.missed, booked.faults) == (0, [])
    assert rate == pytest.approx(RATE_HZ, rel=0.1)


@pytest.mark.parametrize(
    "form",
    [
        "Mono10p",
        "Mono12Packed",
        "Mono16",
        *(pytest.param(form, marks=pytest.mark.slow) for form in ("Mono10", "Mono12", "Mono12p")),
    ],
)
def test_every_pixel_format_is_the_cloth(loom: VirtualLoom, form: str) -> None:
    with open_loom(loom, PROFILE.replace("Mono8", form)) as camera:
        booked = Booked(camera)
        booked.read_for(blocks=3)
    booked.check()


def test_faults_of_blocks(loom: VirtualLoom) -> None:
    with open_loom(loom) as camera:
        booked = Booked(camera)
        for order, words, lines_lost in (
            ("incomplete", "incomplete blocks", 2 * BLOCK),
            ("drop", "blocks lost on the way", 2 * BLOCK),
            ("missed_trigger", "line triggers missed", 2),
            ("bad_chunk", "chunk data could not be read", 0),
        ):
            before = booked.missed
            for _ in range(2):
                booked.read_for(blocks=5)
                loom.order(order, 2)
                booked.read_for(20, until=words)
            booked.read_for(blocks=5)
            assert booked.missed - before == 2 * lines_lost, order
    booked.check()


@pytest.mark.parametrize("process", [True, False])
def test_a_lost_camera_is_found_again(loom: VirtualLoom, process: bool) -> None:
    with open_loom(loom, process=process) as camera:
        booked = Booked(camera)
        for _ in range(2):
            booked.read_for(blocks=5)
            loom.lose(0.3)
            booked.read_for(20, until="is back after" if process else "is back")
        booked.read_for(blocks=5)
    booked.check()
    assert booked.missed > RATE_HZ * 0.3 * 2 * 0.9
    assert any("was lost" in fault for fault in booked.faults)


def test_a_camera_that_is_away_says_so_at_once(loom: VirtualLoom) -> None:
    with open_loom(loom) as camera:
        booked = Booked(camera)
        booked.read_for(blocks=5)
        loom.lose(2.5)
        told: list[str] = []
        end = time.monotonic() + 10
        while not told and time.monotonic() < end:
            block = camera.read(0.05)
            if block is None:
                told += camera.take_faults()
            else:
                assert not block.health.faults
        assert any("was lost" in text for text in told), told
        booked.read_for(20, until="is back after")


def test_the_flat_field_of_a_station_is_applied(loom: VirtualLoom, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    shape = np.linspace(0.7, 1.0, WIDTH)
    white = np.clip(200 * shape + rng.normal(0, 1, (600, WIDTH)), 0, 255).astype(np.uint8)
    field = measure_flat_field(white)
    path = tmp_path / "camera.flat.npz"
    field.save(path)
    with open_loom(loom, flat_field=path) as camera:
        block = None
        while block is None:
            block = camera.read(1.0)
    raw = CLOTH[block.encoder_count // COUNTS + np.arange(block.n_lines)]
    np.testing.assert_array_equal(block.lines, field.apply(raw))
    gain = np.median(block.lines.astype(float) / np.maximum(raw, 1), axis=0)
    assert gain[0] / gain[-1] == pytest.approx(1 / 0.7, rel=0.05)  # the dark side is lifted
    other = dataclasses.replace(field, camera_serial="another")
    other.save(tmp_path / "other.npz")
    with pytest.raises(InputError, match="another"):
        open_loom(loom, flat_field=tmp_path / "other.npz")


def test_a_producer_that_crashes_and_a_stream_that_stalls(loom: VirtualLoom) -> None:
    with open_loom(loom) as camera:
        booked = Booked(camera)
        booked.read_for(blocks=5)
        loom.order("crash")
        booked.read_for(20, until="killed by signal 6")
        booked.read_for(blocks=5)
        loom.stall()
        booked.read_for(2.0)
        loom.resume()
        booked.read_for(20, until="the stream stalled")
        loom.order("crash")
        booked.read_for(20, until="killed by signal 6")
        booked.read_for(blocks=5)
    booked.check()


def test_a_standing_loom_is_nothing(loom: VirtualLoom) -> None:
    with open_loom(loom) as camera:
        booked = Booked(camera)
        booked.read_for(blocks=5)
        loom.stop()
        booked.read_for(1.8)
        loom.run()
        booked.read_for(blocks=5)
    booked.check()
    assert (booked.missed, booked.faults) == (0, [])


@pytest.mark.parametrize("mode", ["Motion", "DirectionUp", "PositionUp"])
def test_cloth_that_is_let_back_is_seen_once(loom: VirtualLoom, mode: str) -> None:
    with open_loom(loom, PROFILE + f'[features]\nEncoderOutputMode = "{mode}"\n') as camera:
        booked = Booked(camera)
        for _ in range(2):
            booked.read_for(blocks=8)
            loom.stop()
            loom.run(-RATE_HZ)
            booked.read_for(0.06)
            loom.run()
        booked.read_for(blocks=30)
        if mode != "Motion":  # many blocks' worth back without a line, for longer than `stall_s`
            loom.run(-RATE_HZ / 2)
            booked.read_for(1.8)
            loom.run()
            booked.read_for(blocks=30)
    booked.check()
    assert (booked.missed, booked.faults) == (0, [])


def test_a_slow_inspection_loses_lines_and_says_so(loom: VirtualLoom) -> None:
    with open_loom(loom, ring_blocks=4) as camera:
        booked = Booked(camera)
        for _ in range(2):
            booked.read_for(blocks=3)
            time.sleep(0.3)
            booked.read_for(10, until="ring full")
        booked.read_for(blocks=3)
    booked.check()
    assert booked.missed > 0


def test_ranges_of_the_profile(loom: VirtualLoom) -> None:
    with pytest.raises(
        InputError, match="exposure_us: ExposureTime = 20000 is out of range; the camera takes 1 to 10000"
    ):
        open_loom(loom, PROFILE.replace("exposure_us = 50", "exposure_us = 20000"))
    with pytest.raises(InputError, match=r"Width = 130 is not a step of 4 from 4; give 128 or 132"):
        open_loom(loom, PROFILE + "width_px = 130\n")


KILLED_PARENT = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_genicam_loom import open_loom
from glass_edge.acquisition.virtual_loom import VirtualLoom
with VirtualLoom(Path({folder!r})) as loom, open_loom(loom) as camera:
    while camera.read(1.0) is None: pass
    print(camera.process_id, flush=True)
    time.sleep(60)
"""


def test_the_camera_process_ends_with_a_parent_that_was_killed(loom: VirtualLoom) -> None:
    code = KILLED_PARENT.format(tests=str(Path(__file__).parent), folder=str(loom.folder))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    until = time.monotonic() + 10
    while Path(f"/proc/{child}/stat").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < until
        time.sleep(0.05)
    with open_loom(loom) as camera:  # and the camera is free again
        Booked(camera).read_for(blocks=2)
