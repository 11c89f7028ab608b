"""Against the simulator that the genicam wheel ships: an area camera made by others."""

import gc
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from glass_edge.acquisition import open_camera
from glass_edge.acquisition.camera import Camera, CameraLostError, LineBlock
from glass_edge.acquisition.genicam_camera import GenicamCamera
from glass_edge.acquisition.genicam_spec import CameraInUseError
from glass_edge.config.camera import GenicamCameraSettings
from glass_edge.config.web import WebSettings
from glass_edge.errors import InputError

genicam = pytest.importorskip("genicam")
VIKY = Path(genicam.__file__).parent / "viky.cti"
WEB = WebSettings(mm_per_px=0.1, mm_per_line=0.1)


def open_viky(tmp_path: Path, profile: str = "", **keys: object) -> GenicamCamera:
    path = tmp_path / "viky.toml"
    path.write_text(profile or 'pixel_format = "Mono8"\nwidth_px = 800\nblock_lines = 200\n')
    chosen = {"serial_number": "1", "cti": (VIKY,), "profile": path, **keys}
    camera = open_camera(GenicamCameraSettings.model_validate({"kind": "genicam", **chosen}), WEB)
    assert isinstance(camera, GenicamCamera)
    return camera


def read_blocks(camera: GenicamCamera, count: int, timeout_s: float = 10.0) -> list[LineBlock]:
    blocks: list[LineBlock] = []
    until = time.monotonic() + timeout_s
    while len(blocks) < count:
        assert time.monotonic() < until, f"{len(blocks)} of {count} blocks"
        block = camera.read(0.2)
        if block is not None:
            blocks.append(block)
    return blocks


def open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counts, and is quick


@pytest.mark.parametrize("process", [True, False])
def test_streams_and_leaves_nothing(tmp_path: Path, process: bool) -> None:
    camera = open_viky(tmp_path, process=process)
    assert isinstance(camera, Camera)
    assert (camera.width_px, camera.channels, camera.is_simulated) == (800, 1, True)
    files, threads = open_files(), threading.active_count()
    for _ in range(2):
        with camera:
            blocks = read_blocks(camera, 6)
            pid = camera.process_id
        assert [b.first_line for b in blocks] == [200 * number for number in range(6)]
        assert [b.starts_segment for b in blocks] == [True, *[False] * 5]
        assert all(b.lines.shape == (200, 800) and b.lines.flags.owndata and not b.health.faults for b in blocks)
        assert any(b.lines.min() < b.lines.max() for b in blocks)  # a ball bounces there
        if pid is not None:
            assert not Path(f"/proc/{pid}").exists()
    if process:
        assert open_files() == files
    assert threading.active_count() == threads


def test_a_killed_camera_process_is_followed_by_another(tmp_path: Path) -> None:
    camera = open_viky(tmp_path)
    with camera:
        before = read_blocks(camera, 3)
        assert camera.process_id is not None
        os.kill(camera.process_id, signal.SIGKILL)
        slowest_s, blocks, until = 0.0, [], time.monotonic() + 20
        while not any("was killed by signal 9" in fault for block in blocks for fault in block.health.faults):
            assert time.monotonic() < until
            began = time.monotonic()
            block = camera.read(0.2)
            slowest_s = max(slowest_s, time.monotonic() - began)
            if block is not None:
                blocks.append(block)
    assert slowest_s < 1.0
    every = before + blocks
    handed_over = sum(block.n_lines for block in every)
    assert handed_over + every[-1].health.missed_lines == every[-1].end_line
    assert every[-1].health.missed_lines > 0
    assert any("estimated" in fault for block in blocks for fault in block.health.faults)


def test_the_same_camera_cannot_be_had_twice(tmp_path: Path) -> None:
    with open_viky(tmp_path), pytest.raises(CameraInUseError, match="in use by another"):
        open_viky(tmp_path)


def test_a_colour_camera_gives_rgb(tmp_path: Path) -> None:
    camera = open_viky(tmp_path, 'pixel_format = "RGBa8"\nwidth_px = 400\nblock_lines = 100\n')
    assert camera.channels == 3
    with camera:
        assert read_blocks(camera, 1)[0].lines.shape == (100, 400, 3)


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("width_px = 5000", "Width = 5000 is out of range; the camera takes 100 to 800"),
        ('pixel_format = "Mono12"', "PixelFormat = Mono12 is not possible; it can be RGBa8, Mono8"),
        ('model = "raL*"', 'the profile is for model "raL\\*" and the camera is "Viky"'),
        ('line_trigger = "encoder"', "none of the usual ways"),
        ('required_chunks = ["encoder"]', "chunk encoder: the camera does not have it"),
        ("exposure_us = 10", "exposure_us = 10.0: the camera has no such feature"),
        ("[features]\nAcquisitionFrameRate = 900.0", "the camera takes 1 to 200"),
        ("[features]\nNoSuchThing = 1", "no feature NoSuchThing"),
    ],
)
def test_a_profile_that_does_not_fit_says_what_would(tmp_path: Path, profile: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        open_viky(tmp_path, profile + "\n")


def test_wrong_producers_and_serials_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"no such file.*\.cti file"):
        open_viky(tmp_path, cti=(tmp_path / "none.cti",))
    broken = tmp_path / "broken.cti"
    broken.write_bytes(b"no library")
    with pytest.raises(InputError, match=r"broken\.cti: is no GenTL producer"):
        open_viky(tmp_path, cti=(broken,))
    with pytest.raises(InputError, match=r"no camera with serial number 77 was found.*Viky serial 0"):
        open_viky(tmp_path, serial_number="77")
    with pytest.raises(InputError, match="3 cameras fit"):
        open_viky(tmp_path, serial_number=None)
    monkeypatch.delenv("GENICAM_GENTL64_PATH", raising=False)
    with pytest.raises(InputError, match="GENICAM_GENTL64_PATH is not set"):
        open_viky(tmp_path, cti=())
    monkeypatch.setenv("GENICAM_GENTL64_PATH", str(VIKY.parent))
    assert open_viky(tmp_path, cti=()).width_px == 800


def test_a_library_that_is_no_producer_is_refused(tmp_path: Path) -> None:
    import _ctypes

    with pytest.raises((InputError, CameraLostError), match="no GenTL producer"):
        open_viky(tmp_path, cti=(Path(_ctypes.__file__),))
