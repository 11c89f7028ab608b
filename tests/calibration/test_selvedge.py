import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from glass_edge.calibration.selvedge import NoClothError, find_cloth_span
from glass_edge.calibration.selvedge_tracker import SelvedgeTracker

DATA = Path(os.environ.get("GLASS_EDGE_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
AITEX = DATA / "fabric" / "aitex"
HSST = DATA / "fabric" / "hsst" / "greige"
# Where the cloth starts in good strips, read off the images by a person.
STARTS = {
    "fabric00": (1131, 1237),
    "fabric01": (415, 440),
    "fabric02": (239, 251),
    "fabric03": (1025, 1068),
    "fabric06": (739, 780),
}
needs_aitex = pytest.mark.skipif(not AITEX.is_dir(), reason="AITEX strips are not on this machine")


def weave(height: int = 128, width: int = 800, seed: int = 0) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(seed).normal(0, 5, (height, width))
    return 110 + 25 * np.sin(x * 1.4) * np.sin(y * 1.1) + noise


def grey(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def load(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


@settings(max_examples=25, deadline=None)
@given(
    left=st.integers(30, 300),
    right=st.integers(30, 300),
    lean=st.floats(-12, 12),
    background=st.sampled_from([255.0, 235.0, 3.0, 60.0, 90.0]),
)
def test_span_holds_no_background_and_nearly_all_cloth(left: int, right: int, lean: float, background: float) -> None:
    lines = weave()
    y, x = np.mgrid[0:128, 0:800]
    start = left + lean * y / 128
    end = 800 - right + lean * y / 128
    table = background + np.random.default_rng(1).normal(0, 1.5, lines.shape)
    span = find_cloth_span(grey(np.where((x >= start) & (x < end), lines, table)))
    slack = 0 if background in (255.0, 3.0) else 6  # brightness alone does not say where a table ends
    assert start.max() - 1 - slack <= span.left_px <= start.max() + 20
    assert end.min() - 20 <= span.right_px <= end.min() + 1 + slack


def test_cloth_that_fills_the_frame_reaches_its_edges() -> None:
    drift = weave() * np.linspace(0.75, 1.25, 800)
    drift[:, 400:] *= 0.85  # tone step of two stitched cameras
    drift[:, 390] += 60  # their seam
    span = find_cloth_span(grey(drift))
    assert (span.left_px, span.right_px) == (0, 800)


def test_stain_and_notch_at_the_edge_are_faults_not_borders() -> None:
    lines = weave(256)
    lines[:, :100] = 255
    lines[60:100, 100:150] = 255  # torn
    span = find_cloth_span(grey(lines))
    assert 99 <= span.left_px <= 106
    full = weave(256)
    full[80:140, :60] *= 0.3
    assert find_cloth_span(grey(full)).left_px == 0


def test_margin_is_taken_only_at_found_borders() -> None:
    lines = weave()
    lines[:, :100] = 255
    plain, less = find_cloth_span(grey(lines)), find_cloth_span(grey(lines), margin_px=12)
    assert less.left_px == plain.left_px + 12
    assert less.right_px == plain.right_px == 800


def test_colour_and_mirror_images_agree() -> None:
    lines = weave()
    lines[:, :120] = 40
    image = grey(lines)
    span = find_cloth_span(image)
    assert find_cloth_span(np.repeat(image[:, :, None], 3, axis=2)) == span
    mirrored = find_cloth_span(np.ascontiguousarray(image[:, ::-1]))
    assert (800 - mirrored.right_px, 800 - mirrored.left_px) == (span.left_px, span.right_px)


@pytest.mark.parametrize("value", [0, 255])
def test_no_cloth_is_told(value: int) -> None:
    with pytest.raises(NoClothError, match="no cloth is seen"):
        find_cloth_span(np.full((64, 512), value, np.uint8))


@pytest.mark.parametrize("shape", [(8, 512), (64, 16), (64,)])
def test_wrong_arrays_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="uint8"):
        find_cloth_span(np.zeros(shape, np.uint8))


def test_tracker_follows_slowly_and_forgives_one_bad_block() -> None:
    def block(left: int) -> np.ndarray:
        lines = weave(100)
        lines[:, :left] = 255
        return grey(lines)

    tracker = SelvedgeTracker(most_px_per_line=0.05)
    with pytest.raises(NoClothError):
        tracker.update(np.full((64, 800), 255, np.uint8))
    first = tracker.update(block(100))
    for _ in range(4):
        assert tracker.update(block(100)) == first
    assert tracker.update(block(300)) == first
    assert tracker.update(np.full((64, 800), 255, np.uint8)) == first
    assert tracker.blocks_without_cloth == 2
    lefts = [tracker.update(block(140)).left_px for _ in range(20)]
    steps = np.diff([first.left_px, *lefts])
    assert steps.max() <= 6
    assert lefts[-1] == find_cloth_span(block(140)).left_px


@needs_aitex
@pytest.mark.parametrize("fabric", sorted(STARTS))
def test_real_good_strips(fabric: str) -> None:
    low, high = STARTS[fabric]
    paths = sorted((AITEX / fabric / "train" / "good").glob("*.png"))
    assert paths
    for path in paths:
        span = find_cloth_span(load(path))
        assert low - 3 <= span.left_px <= high + 12, path
        assert span.right_px == 4096, path


@needs_aitex
@pytest.mark.parametrize("fabric", sorted(STARTS))
def test_real_cloth_without_background_has_no_border(fabric: str) -> None:
    # Camera seams, tone steps, brightness drift and the defects themselves are in these parts.
    for path in sorted((AITEX / fabric / "test").glob("*/*.png")):
        if "weft_crack" in str(path):
            continue  # the end of a piece fills the strip
        part = load(path)[:, STARTS[fabric][1] + 200 :]
        span = find_cloth_span(part)
        assert (span.left_px, span.right_px) == (0, part.shape[1]), path


@needs_aitex
def test_a_border_is_found_in_every_defect_strip() -> None:
    for path in sorted(AITEX.glob("*/test/*/*.png")):
        span = find_cloth_span(load(path))
        assert 150 < span.left_px < 1300, path
        assert span.right_px == 4096, path


@pytest.mark.skipif(not HSST.is_dir(), reason="stain images are not on this machine")
def test_real_greige_fills_its_frames() -> None:
    for path in sorted(HSST.glob("t*/*/*.png")):
        span = find_cloth_span(load(path))
        assert (span.left_px, span.right_px) == (0, 256), path


@pytest.mark.parametrize("background", ["white", "table", "dark", "none"])
@pytest.mark.parametrize("cloth", ["plain", "twill31", "photo:rib"])
def test_simulated_strips(cloth: str, background: str) -> None:
    from glass_edge.acquisition.loom.renderer import LoomRenderer
    from glass_edge.acquisition.loom.spec import Background, LoomSpec

    loom = LoomRenderer(
        LoomSpec(cloth=cloth, width_px=900, background=Background(background), section_lines=256, seed=2)
    )
    span = find_cloth_span(loom.render(0, 256))
    left, right = loom.frame.edges(0, 256)
    if background == "none":
        assert (span.left_px, span.right_px) == (0, 900)
        return
    slack = 6 if background == "table" else 1
    assert left.max() - slack <= span.left_px <= left.max() + 20
    assert right.min() - 20 <= span.right_px <= right.min() + slack
