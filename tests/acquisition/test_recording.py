import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from glass_edge.acquisition import open_camera
from glass_edge.acquisition.camera import Camera, EndOfLinesError, LineBlock
from glass_edge.acquisition.recording import ReplayCamera
from glass_edge.config.camera import LoomCameraSettings, ReplayCameraSettings
from glass_edge.config.web import WebSettings
from glass_edge.errors import InputError

RANDOM = np.random.default_rng(4)


def save(path: Path, height: int = 40, width: int = 64, colour: bool = False, **how: object) -> np.ndarray:
    pixels = RANDOM.integers(0, 256, (height, width, 3) if colour else (height, width), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **how)  # type: ignore[arg-type]
    return pixels


def cut_off(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def play(camera: ReplayCamera) -> tuple[list[LineBlock], EndOfLinesError]:
    blocks: list[LineBlock] = []
    with camera:
        while True:
            try:
                block = camera.read(10.0)
            except EndOfLinesError as end:
                return blocks, end
            assert block is not None
            blocks.append(block)


@settings(max_examples=15, deadline=None)
@given(block_lines=st.integers(1, 100), heights=st.lists(st.integers(1, 60), min_size=1, max_size=4))
def test_lines_are_those_of_the_files(
    tmp_path_factory: pytest.TempPathFactory, block_lines: int, heights: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("strips")
    pixels = [save(folder / f"s{number}.png", height) for number, height in enumerate(heights)]
    blocks, end = play(ReplayCamera(folder, block_lines=block_lines))
    np.testing.assert_array_equal(np.concatenate([b.lines for b in blocks]), np.concatenate(pixels))
    assert [b.first_line for b in blocks[1:]] == [b.end_line for b in blocks[:-1]]
    assert blocks[0].first_line == 0
    assert end.end_line == sum(heights) == blocks[-1].end_line
    assert end.faults == ()
    assert all(b.lines.flags.c_contiguous and b.lines.flags.owndata and b.n_lines <= block_lines for b in blocks)
    starts = {b.first_line for b in blocks if b.starts_segment}
    assert starts == set(np.cumsum([0, *heights[:-1]]).tolist())


def test_consecutive_scans_are_one_segment_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 9, 1):
        save(tmp_path / f"scan{number}.bmp", 5)
    blocks, _ = play(ReplayCamera(tmp_path, separate=False))
    assert [b.source for b in blocks] == ["scan1.bmp", "scan9.bmp", "scan10.bmp"]
    assert [b.starts_segment for b in blocks] == [True, False, False]


def test_a_second_run_starts_over(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    camera = ReplayCamera(tmp_path)
    first, _ = play(camera)
    second, _ = play(camera)
    assert [b.first_line for b in first] == [b.first_line for b in second]
    assert isinstance(camera, Camera)
    assert camera.is_simulated
    assert not [t for t in threading.enumerate() if t.name.startswith("replay-read")]


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp"])
def test_colour_to_grey_is_luma_and_equal_channels_are_kept(tmp_path: Path, suffix: str) -> None:
    grey = save(tmp_path / f"g.{suffix}")
    with Image.open(tmp_path / f"g.{suffix}") as image:
        grey = np.array(image)
    Image.fromarray(np.repeat(grey[:, :, None], 3, axis=2)).save(tmp_path / "rgb.png")
    blocks, _ = play(ReplayCamera([tmp_path / "rgb.png"], channels=1))
    np.testing.assert_array_equal(blocks[0].lines, grey)
    colour = save(tmp_path / "c.png", colour=True)
    blocks, _ = play(ReplayCamera([tmp_path / "c.png"], channels=1))
    luma = colour.astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(blocks[0].lines - luma).max() <= 1
    blocks, _ = play(ReplayCamera([tmp_path / "g.png" if suffix == "png" else tmp_path / f"g.{suffix}"], channels=3))
    np.testing.assert_array_equal(blocks[0].lines, np.repeat(grey[:, :, None], 3, axis=2))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_needs_its_full_scale(tmp_path: Path, suffix: str) -> None:
    wide = np.array([[0, 2048, 4095, 60000]] * 3, dtype=np.uint16)
    Image.fromarray(wide).save(tmp_path / f"w.{suffix}")
    with pytest.raises(InputError, match="full_scale_16bit"):
        ReplayCamera(tmp_path)
    blocks, _ = play(ReplayCamera(tmp_path, full_scale_16bit=4095))
    assert blocks[0].lines[0].tolist() == [0, 128, 255, 255]


def test_bad_places_are_named_before_anything_plays(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such file or folder"):
        ReplayCamera(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no images in this folder"):
        ReplayCamera(tmp_path)
    with pytest.raises(InputError, match="nothing to play"):
        ReplayCamera([])
    save(tmp_path / "a.png")
    (tmp_path / "b.png").touch()
    with pytest.raises(InputError, match=r"b\.png: the file is empty"):
        ReplayCamera(tmp_path)
    (tmp_path / "b.png").write_text("not an image at all")
    with pytest.raises(InputError, match=r"b\.png: not a PNG"):
        ReplayCamera(tmp_path)
    save(tmp_path / "b.png", width=65)
    with pytest.raises(InputError, match=r"b\.png: 65 px wide, but a\.png is 64"):
        ReplayCamera(tmp_path)
    save(tmp_path / "b.png", colour=True)
    with pytest.raises(InputError, match=r"b\.png: colour, but a\.png is grey"):
        ReplayCamera(tmp_path)
    assert ReplayCamera(tmp_path, channels=1).channels == 1
    Image.new("CMYK", (64, 4)).save(tmp_path / "b.tif")
    with pytest.raises(InputError, match=r"b\.tif: pixels of kind 'CMYK'"):
        ReplayCamera(tmp_path / "b.tif")


@pytest.mark.parametrize("keys", [{"block_lines": 0}, {"line_rate_hz": 0.0}, {"channels": 2}, {"full_scale_16bit": 0}])
def test_impossible_values_are_refused(tmp_path: Path, keys: dict[str, float]) -> None:
    save(tmp_path / "a.png")
    with pytest.raises(InputError, match=next(iter(keys))):
        ReplayCamera(tmp_path, **keys)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp"])
def test_damaged_image_becomes_missing_lines_and_a_fault(tmp_path: Path, suffix: str) -> None:
    for name in ("a", "b", "c"):
        save(tmp_path / f"{name}.{suffix}", 100, 200)
    cut_off(tmp_path / f"b.{suffix}")
    blocks, end = play(ReplayCamera(tmp_path))
    assert [(b.source[0], b.first_line, b.n_lines) for b in blocks] == [("a", 0, 100), ("c", 200, 100)]
    assert blocks[0].health.faults == ()
    assert f"b.{suffix}" in blocks[1].health.faults[0]
    assert "100 lines" in blocks[1].health.faults[0]
    assert blocks[1].health.missed_lines == 100
    assert blocks[1].health.incomplete_blocks == 1
    assert (end.end_line, end.faults) == (300, ())


def test_damage_in_the_last_and_in_every_image_is_told_at_the_end(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 100, 200)
    save(tmp_path / "b.png", 100, 200)
    cut_off(tmp_path / "b.png")
    blocks, end = play(ReplayCamera(tmp_path))
    assert len(blocks) == 1
    assert end.end_line == 200
    assert "b.png" in end.faults[0]
    cut_off(tmp_path / "a.png")
    blocks, end = play(ReplayCamera(tmp_path))
    assert blocks == []
    assert end.end_line == 200
    assert len(end.faults) == 2


def test_a_file_that_vanished_meanwhile_is_a_fault(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "b.png")
    camera = ReplayCamera(tmp_path)
    (tmp_path / "a.png").unlink()
    blocks, _ = play(camera)
    assert blocks[0].first_line == 40
    assert "a.png" in blocks[0].health.faults[0]


def test_long_strip_is_no_bomb(tmp_path: Path) -> None:
    # 4096 x 100 000 px of one value pack to a small file; Pillow alone refuses it as a decompression bomb.
    Image.new("L", (4096, 100_000), 77).save(tmp_path / "long.png")
    camera = ReplayCamera(tmp_path, block_lines=512)
    with camera:
        block = camera.read(60.0)
    assert block is not None
    assert block.lines.shape == (512, 4096)
    assert (block.lines == 77).all()
    before = Image.MAX_IMAGE_PIXELS
    assert before is not None
    assert before < 4096 * 100_000


def test_line_rate_paces_and_never_blocks_beyond_the_timeout(tmp_path: Path) -> None:
    save(tmp_path / "a.png", 40)
    with ReplayCamera(tmp_path, block_lines=20, line_rate_hz=100.0) as camera:
        start = time.monotonic()
        assert camera.read(0.02) is None
        blocks = []
        while len(blocks) < 2:
            if (block := camera.read(0.05)) is not None:
                blocks.append(block)
        # 40 lines at 100 a second cannot be complete earlier; no upper bound, machines are slow at times.
        assert blocks[-1].received_monotonic_s - start >= 0.39


def test_reading_a_closed_camera_is_a_programming_error(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    with pytest.raises(RuntimeError, match="with"):
        ReplayCamera(tmp_path).read(0.1)


def test_factory_opens_what_the_settings_say(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    web = WebSettings(mm_per_px=0.2, mm_per_line=0.25)
    replay = open_camera(ReplayCameraSettings(kind="replay", path=tmp_path, channels=3), web)
    assert (replay.width_px, replay.channels) == (64, 3)
    loom = open_camera(
        LoomCameraSettings(kind="loom", width_px=200, section_m=0.05, sections=2, defects="hole:1@2x2"), web
    )
    lines = 0
    with loom:
        while lines < 400:
            block = loom.read(30.0)
            assert block is not None
            lines += block.n_lines
    assert lines == 400
    with pytest.raises(InputError, match="no such file"):
        open_camera(ReplayCameraSettings(kind="replay", path=tmp_path / "x"), web)
