"""Scale: pictures of known geometry, drawn from the print by another renderer, are measured to 0.1 %."""

from __future__ import annotations

import re
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))

from printed_target import LineCamera, printed

from glass_edge.calibration.bars import CodePlace, find_bars, locate
from glass_edge.calibration.line_scale import LineScale, load_scale
from glass_edge.calibration.scale_fit import TargetError, measure_scale
from glass_edge.calibration.target import LEAST_BARS, Target, code_bits, load_target, make_target
from glass_edge.calibration.target_print import to_pdf, to_svg
from glass_edge.calibration.web_map import camera_at, place_cameras, web_width_mm
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan

WIDTH = 1024
TARGET = make_target(120.0, 2.5, ladder_lines=11)
RECTS = printed(to_svg(TARGET))


def place(columns: np.ndarray, start_mm: float = 14.0, mirrored: bool = False) -> np.ndarray:
    """A lens with 2 % barrel distortion that sees 100 mm."""
    x = 2 * np.asarray(columns) / WIDTH - 1
    x = -x if mirrored else x
    return start_mm + 50 + 50 * (x * (1 + 0.02 * x**2 - 0.008 * x**4) + 0.004 * x**2)


@cache
def picture(  # noqa: PLR0917
    turn_deg: float = 0.4,
    blur_px: float = 1.2,
    start_mm: float = 14.0,
    mirrored: bool = False,
    mm_per_line: float = 0.12,
    upside_down: bool = False,
) -> np.ndarray:
    camera = LineCamera(WIDTH, lambda c: place(c, start_mm, mirrored), mm_per_line, turn_deg, blur_px)
    lines = round((TARGET.page_mm[1] + 12) / mm_per_line)
    image = camera.look(RECTS, TARGET.page_mm, lines, -6.0)
    return image[::-1, ::-1] if upside_down else image


def check(scale: LineScale, start_mm: float = 14.0, mm_per_line: float = 0.12) -> None:
    columns = np.arange(0, WIDTH + 1, 8.0)
    true = place(columns, start_mm)
    found = scale.across_mm(columns)
    assert np.abs((found - found.mean()) - (true - true.mean())).max() < 0.001 * (true[-1] - true[0]) / 10
    local = place(columns + 0.5) - place(columns - 0.5)
    assert np.abs(scale.local_mm_per_px(columns) / local - 1).max() < 0.001
    assert scale.mm_per_px == pytest.approx((true[-1] - true[0]) / WIDTH, rel=0.0005)
    assert scale.mm_per_line == pytest.approx(mm_per_line, rel=0.0005)


@pytest.mark.parametrize(("turn", "blur"), [(0.0, 0.8), (0.4, 1.2), (-1.5, 2.0)])
def test_a_known_geometry_is_recovered(turn: float, blur: float) -> None:
    scale = measure_scale(picture(turn, blur), TARGET)
    check(scale)
    assert scale.rotation_deg == pytest.approx(turn, abs=0.02)
    assert scale.skew_deg == pytest.approx(0, abs=0.02)
    assert scale.residual_rms_px < 0.1
    assert not scale.mirrored
    # the code is absolute: bar 0 lies 10 mm + half a pitch from the page's edge
    at_start = scale.across_mm(scale.width_px / 2) + 10 + TARGET.pitch_mm / 2
    assert at_start * np.cos(np.radians(turn)) == pytest.approx(float(place(WIDTH / 2)), abs=2.5)


def test_lines_that_advance_otherwise_than_pixels_are_wide() -> None:
    check(measure_scale(picture(mm_per_line=0.2), TARGET), mm_per_line=0.2)


def test_colour_mirrored_and_upside_down_pictures() -> None:
    grey = picture()
    assert measure_scale(np.repeat(grey[:, :, None], 3, axis=2), TARGET).mm_per_px == pytest.approx(
        measure_scale(grey, TARGET).mm_per_px
    )
    for image in (picture(mirrored=True), picture(upside_down=True)):
        scale = measure_scale(image, TARGET)
        assert scale.mirrored
        assert scale.mm_per_px == pytest.approx(100 * 1.012 / WIDTH, rel=0.001)
        assert scale.mm_per_line == pytest.approx(0.12, rel=0.001)
        assert abs(scale.skew_deg) < 0.02


def test_a_print_of_another_size_is_taken_into_account() -> None:
    plain = measure_scale(picture(), TARGET)
    stretched = TARGET.model_copy(update={"stretch_across": 1.01, "stretch_along": 0.99})
    scale = measure_scale(picture(), Target.model_validate(stretched.model_dump()))
    assert scale.mm_per_px == pytest.approx(1.01 * plain.mm_per_px, rel=1e-4)
    assert scale.mm_per_line == pytest.approx(0.99 * plain.mm_per_line, rel=1e-4)


def test_corrected_columns_are_even_millimetres_and_the_map_is_inverted() -> None:
    scale = measure_scale(picture(), TARGET)
    columns = np.linspace(0, WIDTH, 777)
    assert np.abs(scale.column_px(scale.across_mm(columns)) - columns).max() < 1e-3
    even = scale.corrected_px(columns) * scale.mm_per_px
    assert np.ptp(even - scale.across_mm(columns)) < 1e-9
    assert scale.corrected_px(WIDTH / 2) == pytest.approx(WIDTH / 2)
    true = place(np.array([100.0, 900.0]))
    assert scale.width_mm(ClothSpan(100, 900)) == pytest.approx(float(true[1] - true[0]), rel=0.001)
    assert scale.web_scale.mm_per_px == scale.mm_per_px


def test_scale_and_target_survive_the_disk(tmp_path: Path) -> None:
    scale = measure_scale(picture(), TARGET, camera_serial="S", references={"a.png": "00"})
    scale.save(tmp_path / "s.json")
    assert load_scale(tmp_path / "s.json") == scale
    TARGET.save(tmp_path / "t.json")
    assert load_target(tmp_path / "t.json") == TARGET
    for name in ("t.json", "absent.json"):
        with pytest.raises(InputError, match="calibrate scale"):
            load_scale(tmp_path / name)
    for name in ("s.json", "absent.json"):
        with pytest.raises(InputError, match="calibrate target"):
            load_target(tmp_path / name)
    (tmp_path / "s.json").write_text(
        re.sub(r'"coefficients": \[[^]]*\]', '"coefficients": [0, -1]', (tmp_path / "s.json").read_text())
    )
    with pytest.raises(InputError, match="must grow"):
        load_scale(tmp_path / "s.json")


def test_pictures_without_a_readable_target_are_refused() -> None:
    image = picture()
    noise = np.random.default_rng(0).integers(60, 200, (400, WIDTH), dtype=np.uint8)
    for wrong in (noise, np.full((400, WIDTH), 200, np.uint8), image[:100, :200], image[:, ::5]):
        with pytest.raises(TargetError, match="the code of the target is not found"):
            measure_scale(np.ascontiguousarray(wrong), TARGET)
    with pytest.raises(TargetError, match="the code of the target is not found"):
        measure_scale(image, make_target(2000, 5))
    with pytest.raises(TargetError, match="ladder"):
        measure_scale(image[:350], TARGET)
    half = image.copy()
    half[:, 440:] = 200
    with pytest.raises(TargetError, match=r"covers [34]\d % of the line"):
        measure_scale(half, TARGET)
    with pytest.raises(TargetError, match=r"turned by -?4"):
        measure_scale(picture(turn_deg=4.0), TARGET)


def test_uneven_lines_are_refused() -> None:
    image = picture()
    wobbly = np.clip(np.arange(WIDTH) + 3 * np.sin(np.arange(WIDTH) / 40), 0, WIDTH - 1).astype(int)
    with pytest.raises(TargetError, match="deviate from a smooth map"):
        measure_scale(np.ascontiguousarray(image[:, wobbly]), TARGET)


def test_codes_of_different_targets_have_nothing_in_common() -> None:
    one, other = make_target(1000, 5).bits, make_target(1000, 4).bits
    assert 0.4 < one.mean() < 0.6
    for start in range(0, 150, 10):
        assert locate(one[start : start + 30], other) is None


@settings(max_examples=60, deadline=None)
@given(start=st.integers(0, 180), count=st.integers(16, 60), mirrored=st.booleans())
def test_a_piece_of_the_code_is_located(start: int, count: int, mirrored: bool) -> None:
    bits = code_bits("a", 240)
    piece = bits[start : start + count]
    found = locate(piece[::-1] if mirrored else piece, bits)
    if found is not None or count >= 24:
        assert found == CodePlace(start + len(piece) - 1 if mirrored else start, mirrored)
    assert locate(piece[: LEAST_BARS - 1], bits) is None


@settings(max_examples=40, deadline=None)
@given(shift=st.floats(0, 1), blur=st.floats(0.6, 2.4), gain=st.floats(0.4, 1))
def test_bars_are_found_to_a_fraction_of_a_pixel(shift: float, blur: float, gain: float) -> None:
    from scipy.special import erf

    x = np.arange(900) + 0.5
    centres = 60 + shift + 24.3 * np.arange(32)
    widths = np.where(code_bits("a", 32), 0.65, 0.35) * 24.3
    profile = np.full(900, 200.0)
    for centre, width in zip(centres, widths, strict=True):
        left, right = ((x - centre + side) / (blur * np.sqrt(2)) for side in (width / 2, -width / 2))
        profile -= 90 * (erf(left) - erf(right))
    (bars,) = find_bars(profile * gain)
    assert len(bars) == 32
    assert np.abs(bars.centre_px - centres).max() < 0.1
    assert np.abs((bars.centre_px - centres).mean()) < 0.01
    assert np.array_equal(bars.wide(), code_bits("a", 32))


def test_the_prints_have_their_true_size() -> None:
    target = make_target(275, 5)
    width_mm, height_mm = target.page_mm
    svg, pdf = to_svg(target), to_pdf(target)
    assert f'width="{width_mm:g}mm" height="{height_mm:g}mm" viewBox="0 0 {width_mm:g} {height_mm:g}"' in svg
    box = re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    assert box is not None
    assert float(box[1]) == pytest.approx(width_mm * 72 / 25.4, abs=1e-4)
    assert float(box[2]) == pytest.approx(height_mm * 72 / 25.4, abs=1e-4)
    assert b"/PrintScaling /None" in pdf
    drawn = [tuple(map(float, one)) for one in re.findall(rb"([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) re", pdf)]
    flipped = [(x, height_mm - y - h, w, h) for x, y, w, h in printed(svg)]
    assert np.allclose(drawn, flipped, atol=1e-5)
    bars = sorted(box for box in printed(svg) if box[3] > box[2])
    centres = np.array([x + w / 2 for x, _, w, _ in bars])
    assert np.allclose(np.diff(centres), 5.0)
    assert centres[-1] - centres[0] == pytest.approx(target.code_length_mm)
    for number, match in enumerate(re.finditer(rb"(\d{10}) 00000 n", pdf), start=1):
        assert pdf[int(match[1]) :].startswith(b"%d 0 obj" % number)
    start = re.search(rb"startxref\n(\d+)\n", pdf)
    assert start is not None
    assert pdf[int(start[1]) :].startswith(b"xref")
    with pytest.raises(ValueError, match="PDF allows"):
        to_pdf(make_target(6000, 20))


def test_a_pdf_reader_opens_it_at_its_size() -> None:
    pdfium = pytest.importorskip("pypdfium2", reason="no PDF reader is installed")
    target = make_target(100, 5)
    page = pdfium.PdfDocument(to_pdf(target))[0]
    assert np.allclose(np.array(page.get_size()) * 25.4 / 72, target.page_mm, atol=0.01)
    grey = np.asarray(page.render(scale=10 * 25.4 / 72).to_pil().convert("L"))  # 10 px a mm
    profile = grey[200:300].mean(axis=0)
    (bars,) = find_bars(profile)
    assert bars.pitch_px == pytest.approx(50, abs=0.05)
    assert np.array_equal(bars.wide(), target.bits)


@pytest.mark.parametrize(("width", "pitch"), [(10, 5), (100, 0), (100, 80), (6000, 5), (-5, 5)])
def test_impossible_targets_are_refused(width: float, pitch: float) -> None:
    with pytest.raises(InputError, match="pitch"):
        make_target(width, pitch)


def camera(start_mm: float, width_mm: float = 100.0, mirrored: bool = False) -> LineScale:
    half = width_mm / 2
    return LineScale(
        width_px=1000,
        mm_per_px=width_mm / 1000,
        mm_per_line=0.1,
        coefficients=(start_mm + half, half * 0.98, 0.0, half * 0.02),
        first_px=0,
        last_px=1000,
        mirrored=mirrored,
        bars=40,
        residual_rms_px=0,
        residual_max_px=0,
    )


def test_cameras_side_by_side_share_every_millimetre() -> None:
    cameras = place_cameras({"right": camera(180.0), "left": camera(0.0), "middle": camera(92.0)})
    assert [one.name for one in cameras] == ["left", "middle", "right"]
    assert [one.overlap_right_mm for one in cameras] == pytest.approx([8.0, 12.0, 0.0])
    assert web_width_mm(cameras) == pytest.approx(280.0)
    assert (cameras[0].first_px, cameras[-1].end_px) == (0, 1000)
    for left, right in pairwise(cameras):
        step = float(right.web_mm(right.first_px + 0.5) - left.web_mm(left.end_px - 0.5))
        assert 0 < step < 0.25  # no column twice, none missing
    for place_mm in np.linspace(0, 280, 141):
        one, column = camera_at(cameras, float(place_mm))
        assert one.first_px - 1 <= column <= one.end_px
        assert float(one.web_mm(column)) == pytest.approx(place_mm, abs=1e-3)
    with pytest.raises(ValueError, match="outside"):
        camera_at(cameras, 281.0)


def test_cameras_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"between a and b lie 20.00 mm"):
        place_cameras({"a": camera(0.0), "b": camera(120.0)})
    with pytest.raises(InputError, match="columns of b run the other way"):
        place_cameras({"a": camera(0.0), "b": camera(90.0, mirrored=True)})
    with pytest.raises(InputError, match="b sees nothing"):
        place_cameras({"a": camera(0.0), "b": camera(10.0, 50.0)})
    with pytest.raises(InputError, match="no camera"):
        place_cameras({})


def test_two_pictures_of_one_target_give_the_overlap() -> None:
    scales = {
        "a": measure_scale(picture(start_mm=6.0), TARGET),
        "b": measure_scale(picture(start_mm=26.0), TARGET),
    }
    cameras = place_cameras(scales)
    true = float(place(np.array(WIDTH), 6.0) - place(np.array(0), 26.0))
    assert cameras[0].overlap_right_mm == pytest.approx(true, abs=0.02)
