from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glass_edge.calibration.flat_field import FlatField
from glass_edge.calibration.flat_reference import BadReferenceError, ReferenceLimits, measure_flat_field, residual
from glass_edge.calibration.lamp_drift import DriftingFlatField, DriftSettings
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan

WIDTH = 2048


class Camera:
    """A camera with vignette, column gain, column offset, photon and read noise."""

    def __init__(self, width: int = WIDTH, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        x = np.linspace(-1, 1, width)
        self.response = (1 - 0.4 * x**2 + 0.05 * np.sin(3 * x)) * (1 + 0.02 * random.standard_normal(width))
        self.offset = 5 + 1.5 * random.standard_normal(width)

    def see(self, radiance: np.ndarray | float, lines: int = 256, seed: int = 1) -> np.ndarray:
        random = np.random.default_rng(seed)
        light = np.broadcast_to(np.asarray(radiance) * self.response, (lines, len(self.response)))
        noise = random.standard_normal(light.shape) * np.sqrt(0.4 + np.maximum(light, 0) * 255 / 20_000)
        return np.clip(np.rint(self.offset + light + noise), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("grey", [60.0, 120.0, 190.0])
def test_vignette_and_column_noise_go_below_one_percent(grey: float) -> None:
    camera = Camera()
    flat = measure_flat_field(camera.see(200, 512), camera.see(0, 256, 2))
    seen = camera.see(grey, 1024, 3)
    assert residual(seen) > 0.1
    corrected = flat.apply(seen)
    assert residual(corrected) < 0.01
    mean = corrected.mean(axis=0)
    assert np.abs(mean / mean.mean() - 1).max() < 0.01
    assert mean.mean() == pytest.approx(grey * flat.target_grey / 200, rel=0.01)


def test_colour_is_balanced() -> None:
    cameras = [Camera(seed=seed) for seed in (4, 5, 6)]

    def see(grey: float, seed: int) -> np.ndarray:
        tint = (0.7, 1.0, 0.8)
        return np.stack([c.see(grey * t, 256, seed + k) for k, (c, t) in enumerate(zip(cameras, tint, strict=True))], 2)

    flat = measure_flat_field(see(200, 10), see(0, 20))
    mean = flat.apply(see(120, 30)).mean(axis=(0, 1))
    assert np.ptp(mean) / mean.mean() < 0.005


def test_what_is_saturated_stays_saturated_and_black_stays_black() -> None:
    camera = Camera()
    flat = measure_flat_field(camera.see(200, 512), camera.see(0, 256, 2))
    lines = np.zeros((2, WIDTH), np.uint8)
    lines[1] = 255
    out = flat.apply(lines)
    assert out[0].max() == 0
    assert (out[1] == 255).mean() > 0.97


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 299), max_size=6, unique=True))
def test_blocks_do_not_matter_also_with_lamp_drift(cuts: list[int]) -> None:
    random = np.random.default_rng(0)
    dark = random.uniform(0, 8, (100, 1)).astype(np.float32)
    flat = FlatField(dark, dark + random.uniform(90, 220, (100, 1)).astype(np.float32), 200.0)
    lines = random.integers(0, 256, (300, 100), dtype=np.uint8)
    parts = np.split(lines, sorted(cuts))
    assert np.array_equal(np.concatenate([flat.apply(part) for part in parts]), flat.apply(lines))
    setup = DriftSettings(step_lines=16, settle_steps=2)
    whole, piecewise = DriftingFlatField(flat, None, setup), DriftingFlatField(flat, None, setup)
    assert np.array_equal(np.concatenate([piecewise.apply(part) for part in parts]), whole.apply(lines))
    assert piecewise.gain == whole.gain != 1.0


def test_the_correction_is_that_of_the_formula() -> None:
    random = np.random.default_rng(3)
    dark = random.uniform(0, 8, (37, 3)).astype(np.float32)
    white = dark + random.uniform(90, 220, (37, 3)).astype(np.float32)
    lines = random.integers(0, 256, (9, 37, 3), dtype=np.uint8)
    exact = (lines - dark.astype(float)) * 180.0 / (white.astype(float) - dark)
    out = FlatField(dark, white, 180.0).apply(lines)
    assert np.abs(out - np.clip(exact, 0, 255)).max() <= 0.5001


@pytest.mark.parametrize("beside", [True, False])
def test_a_lamp_that_fades_is_followed_up_to_the_bound(beside: bool) -> None:
    flat = FlatField(np.zeros((800, 1), np.float32), np.full((800, 1), 200, np.float32), 200.0)
    span = ClothSpan(200, 800) if beside else None
    follower = DriftingFlatField(flat, span, DriftSettings(settle_steps=4))
    cloth = np.random.default_rng(0).normal(120, 8, (256, 800))
    cloth[:, :200] = 180
    last = 0.0
    for step in range(120):
        lamp = 1.0 if step < 10 else max(0.85, 1 - 0.002 * (step - 10))
        if beside and step == 60:
            cloth[:, 200:] *= 0.8  # a darker cloth is no lamp
        last = follower.apply(np.clip(cloth * lamp, 0, 255).astype(np.uint8)).mean()
    expected = np.clip(cloth, 0, 255).mean()
    assert last == pytest.approx(expected, rel=0.01)
    assert not follower.at_bound
    for _ in range(60):
        follower.apply(np.clip(cloth * 0.5, 0, 255).astype(np.uint8))
    assert follower.at_bound
    assert follower.gain <= 1 / 0.75
    before = follower.gain
    follower.apply(np.zeros((256, 800), np.uint8))
    assert follower.gain == before


def test_profile_survives_the_disk_and_a_change_is_noticed(tmp_path: Path) -> None:
    camera = Camera(256)
    flat = measure_flat_field(camera.see(200))
    path = tmp_path / "a.npz"
    FlatField(flat.dark_dn, flat.white_dn, flat.target_grey, "M", "S1", "2026-01-01T00:00:00Z", {"w.png": "00"}).save(
        path
    )
    again = FlatField.load(path)
    assert (again.camera_model, again.camera_serial, again.references) == ("M", "S1", {"w.png": "00"})
    lines = camera.see(100)
    assert np.array_equal(again.apply(lines), flat.apply(lines))
    again.check_camera(width_px=256, channels=1, model="M", serial="")
    for wrong in ({"width_px": 255}, {"channels": 3}, {"model": "N"}, {"serial": "S2"}):
        with pytest.raises(InputError, match="was measured with"):
            again.check_camera(**({"width_px": 256, "channels": 1} | wrong))
    with np.load(path) as archive:
        parts = dict(archive)
    np.savez(path, **(parts | {"white": parts["white"] + 1}))
    with pytest.raises(InputError, match="SHA-256"):
        FlatField.load(path)
    meta = json.loads(str(parts["meta"])) | {"format": 9}
    np.savez(path, **(parts | {"meta": np.array(json.dumps(meta))}))
    with pytest.raises(InputError, match="format 1"):
        FlatField.load(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"hello", b"\x93NUMPY\x01\x00"])
def test_files_that_are_no_profile_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="flat-field"):
        FlatField.load(path)
    with pytest.raises(InputError, match="no such file"):
        FlatField.load(tmp_path / "b.npz")
    with pytest.raises(InputError, match="flat-field"):
        FlatField.load(tmp_path)


def weave(lines: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:lines, 0:width]
    return 1 + 0.15 * np.sin(x * 1.4) * np.sin(y * 1.1)


def bad(kind: str) -> tuple[np.ndarray, np.ndarray | None]:
    camera = Camera()
    radiance = np.full((256, WIDTH), 200.0)
    dark = None
    if kind == "saturated":
        radiance *= 1.4
    elif kind == "too dark":
        radiance *= 0.2
    elif kind == "not white everywhere":
        radiance[:, :200] = 5
    elif kind == "striped along the web":
        radiance *= 1 + 0.05 * np.sin(np.arange(256) / 3)[:, None]
    elif kind == "striped or dirty":
        radiance[:, 900:910] *= 0.85
    elif kind == "cloth or a pattern in view":
        radiance *= 0.8 * weave(256, WIDTH)
    elif kind == "cloth or a pattern in view: columns 1024":
        radiance[:, 1024:] *= 0.8 * weave(256, WIDTH)[:, 1024:]
    elif kind == "dirty: spots":
        for y, x in np.random.default_rng(0).integers(10, 240, (60, 2)):
            radiance[y : y + 8, x * 8 : x * 8 + 8] *= 0.7
    elif kind == "dark frames: grey":
        dark = camera.see(60)
    elif kind == "dark frames are":
        dark = camera.see(0)[:, :100]
    elif kind == "lines are too few":
        radiance = radiance[:20]
    return camera.see(radiance, len(radiance)), dark


@pytest.mark.parametrize(
    "reason",
    [
        "saturated",
        "too dark",
        "not white everywhere",
        "striped along the web",
        "striped or dirty",
        "cloth or a pattern in view",
        "cloth or a pattern in view: columns 1024",
        "dirty: spots",
        "dark frames: grey",
        "dark frames are",
        "lines are too few",
    ],
)
def test_a_bad_reference_is_refused_with_the_reason(reason: str) -> None:
    with pytest.raises(BadReferenceError, match=reason):
        measure_flat_field(*bad(reason))


def test_another_width_than_the_cameras_is_refused() -> None:
    with pytest.raises(BadReferenceError, match="2048 px wide, and the camera's line has 4096"):
        measure_flat_field(Camera().see(200), limits=ReferenceLimits(width_px=4096))


def test_a_speck_that_passes_leaves_no_trace() -> None:
    camera = Camera()
    radiance = np.full((512, WIDTH), 200.0)
    radiance[100:112, 700:712] *= 0.6
    flat = measure_flat_field(camera.see(radiance, 512), camera.see(0, 256, 2))
    clean = measure_flat_field(camera.see(200, 512), camera.see(0, 256, 2))
    assert np.abs(flat.gain / clean.gain - 1).max() < 0.005
