"""A lamp that fades in front of a GenICam camera: the whole road, from the producer to the corrected line."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from glass_edge.acquisition import open_camera
from glass_edge.acquisition.genicam_camera import GenicamCamera
from glass_edge.acquisition.virtual_loom import VirtualLoom
from glass_edge.calibration.flat_field import FlatField
from glass_edge.calibration.lamp_memory import load_memory
from glass_edge.cli.correction import correction_loader
from glass_edge.config.camera import GenicamCameraSettings
from glass_edge.config.web import WebSettings
from glass_edge.fabric.geometry import ClothSpan

pytest.importorskip("genicam")
WIDTH, LINES, LEARNT, CLOTH = 256, 128_000, 6_000, 110.0
SPAN = ClothSpan(96, 256)
SHADE = np.linspace(170, 210, WIDTH)
FLAT = FlatField(np.zeros((WIDTH, 1), np.float32), SHADE[:, None].astype(np.float32), 200.0)
PROFILE = """
pixel_format = "Mono8"
block_lines = 200
line_trigger = "encoder"
encoder_divider = 2
exposure_us = 50
required_chunks = ["encoder", "frame_id"]
"""


def lamp(line: np.ndarray) -> np.ndarray:
    """Light at a line: all of it, then 20 % less in the course of the roll."""
    return 1.0 - 0.2 * np.clip((line - LEARNT) / (LINES - LEARNT), 0, 1)


@pytest.fixture
def loom(tmp_path: Path) -> Iterator[VirtualLoom]:
    random = np.random.default_rng(4)
    level = np.where(np.arange(WIDTH) < SPAN.left_px, 170.0, CLOTH) * SHADE / 200.0
    cloth = np.empty((LINES, WIDTH), np.uint8)
    for top in range(0, LINES, 1000):
        light = lamp(np.arange(top, top + 1000))[:, None]
        cloth[top : top + 1000] = np.round(level * light + random.normal(0, 3, (1000, WIDTH)).astype(np.float32))
    serial = f"LAMP-{os.getpid()}"
    speed = {"line_rate_hz": 16_000.0, "counts_per_line": 2}
    with VirtualLoom.create(tmp_path / "loom", cloth, serial=serial, **speed, repeat=False, patient=True) as made:
        yield made


def station(loom: VirtualLoom, folder: Path, span: ClothSpan | None) -> GenicamCamera:
    (folder / "profile.toml").write_text(PROFILE)
    FLAT.save(folder / "camera.flat.npz")
    keys = {"cti": (loom.cti,), "profile": folder / "profile.toml", "flat_field": folder / "camera.flat.npz"}
    settings = GenicamCameraSettings.model_validate({"kind": "genicam", "longest_pause_s": 0.3} | keys)
    loader = correction_loader(lambda: span, "twill")
    camera = open_camera(settings, WebSettings(mm_per_px=0.1, mm_per_line=0.1), load_correction=loader)
    assert isinstance(camera, GenicamCamera)
    return camera


@pytest.mark.parametrize("span", [SPAN, None])
def test_the_level_stays_while_the_lamp_loses_a_fifth(
    loom: VirtualLoom, tmp_path: Path, span: ClothSpan | None
) -> None:
    levels: list[tuple[int, float]] = []
    faults: list[str] = []
    blocks = lost = 0
    with station(loom, tmp_path, span) as camera:
        while not levels or levels[-1][0] < LINES - 400:
            block = camera.read(0.2)
            if block is None:
                faults += camera.take_faults()
                if any("is back" in fault for fault in faults):
                    loom.run()
                continue
            levels.append((block.first_line, float(block.lines[:, SPAN.left_px :].mean())))
            blocks += 1
            if blocks in (100, 250):  # lost blocks and a camera that goes away are not the lamp
                loom.order("drop", 3)
            if blocks == 180:  # the web waits: this lamp fades in seconds
                loom.stop()
                loom.lose(0.3)
            lost = block.health.missed_lines
        assert camera.take_alarms() == ()
    assert lost >= 1200
    assert any("was lost" in fault for fault in faults)
    off = [abs(level / CLOTH - 1) for _, level in levels]
    assert max(off) < 0.01
    assert float(lamp(np.array(levels[-1][0]))) == pytest.approx(0.8, abs=0.002)
    kept = load_memory(tmp_path / "camera.flat.lamp.json", FLAT.sha256)
    assert kept.gain == pytest.approx(1 / 0.8, rel=0.01)


def test_a_lamp_that_is_not_to_be_followed_is_not(loom: VirtualLoom, tmp_path: Path) -> None:
    camera = station(loom, tmp_path, SPAN)
    settings = camera._settings.model_copy(update={"lamp_drift": False})
    fixed = open_camera(
        settings, WebSettings(mm_per_px=0.1, mm_per_line=0.1), load_correction=correction_loader(lambda: SPAN)
    )
    with fixed:
        block = None
        while block is None or block.first_line < 40_000:
            block = fixed.read(10.0)
            assert block is not None
    assert block.lines[:, SPAN.left_px :].mean() / CLOTH == pytest.approx(float(lamp(np.array(40_000))), rel=0.01)
    assert not (tmp_path / "camera.flat.lamp.json").exists()
