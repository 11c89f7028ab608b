from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from glass_edge.calibration.planted_defects import RIM_PX, PlantedKind, YarnPitch, extent_px, plant
from glass_edge.calibration.planted_defects_places import PlantingArea, place_all
from glass_edge.calibration.planted_defects_shapes import FloatBox
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import WebBox, WebScale

SCALE = WebScale(0.1, 0.1)
YARNS = YarnPitch(0.4, 0.5)
YARNS_PX = (4.0, 5.0)
AREA_BY_BOX = {PlantedKind.HOLE: np.pi / 4, PlantedKind.STAIN: np.pi / 4, PlantedKind.SLUB: 0.75}
TONED = [kind for kind in PlantedKind if kind.has_contrast]


def woven(lines: int = 220, width: int = 240, seed: int = 3) -> NDArray[np.uint8]:
    """Cloth with yarns every 4 px and 5 lines, shading and noise."""
    y, x = np.arange(lines)[:, None], np.arange(width)[None, :]
    grey = 110 + 12 * np.cos(2 * np.pi * x / 4) + 10 * np.cos(2 * np.pi * y / 5) + 0.05 * x
    return np.rint(grey + np.random.default_rng(seed).normal(0, 4, (lines, width))).clip(0, 255).astype(np.uint8)


def centred(kind: PlantedKind, size_mm: float, shape: tuple[int, ...], shift: float = 0.0) -> FloatBox:
    width, length = extent_px(kind, size_mm, SCALE, YARNS)
    x, y = shape[1] / 2 + shift, shape[0] / 2 - shift
    return FloatBox(x - width / 2, x + width / 2, y - length / 2, y + length / 2)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(PlantedKind)),
    st.floats(0.3, 15.0),
    st.floats(-0.6, 0.6).filter(lambda value: abs(value) > 0.05),
    st.floats(-0.5, 0.5),
    st.integers(0, 1 << 31),
)
def test_only_the_box_and_its_rim_change(
    kind: PlantedKind, size_mm: float, contrast: float, shift: float, key: int
) -> None:
    before = woven()
    after = before.copy()
    box = centred(kind, size_mm, before.shape, shift)
    planted = plant(after, kind, box, contrast, yarns_px=YARNS_PX, key=key)
    outside = np.ones(before.shape, bool)
    outside[
        int(np.floor(box.top)) - RIM_PX : int(np.ceil(box.bottom)) + RIM_PX,
        int(np.floor(box.left)) - RIM_PX : int(np.ceil(box.right)) + RIM_PX,
    ] = False
    assert (after[outside] == before[outside]).all()
    assert abs(planted.box.left_px - box.left) <= (1.6 if kind is not PlantedKind.SLUB else 3.0)  # it tapers
    assert abs(planted.box.first_line - box.top) <= 1.6
    assert abs(planted.box.right_px - box.right) <= (1.6 if kind is not PlantedKind.SLUB else 0.08 * size_mm / 0.1 + 2)
    again = before.copy()
    assert plant(again, kind, box, contrast, yarns_px=YARNS_PX, key=key) == planted
    assert (again == after).all()


@pytest.mark.parametrize("kind", TONED)
@pytest.mark.parametrize("contrast", [-0.5, -0.1, 0.3])
def test_the_contrast_measured_in_the_picture_is_the_one_asked_for(kind: PlantedKind, contrast: float) -> None:
    """Measured with no knowledge of the outline: the whole change of grey, spread over the area that was asked for."""
    before = woven()
    after = before.copy()
    box = centred(kind, 8.0, before.shape)
    planted = plant(after, kind, box, contrast, yarns_px=YARNS_PX, key=5)
    assert planted.contrast == pytest.approx(contrast, abs=0.008)
    area = AREA_BY_BOX.get(kind, 1.0) * (box.right - box.left) * (box.bottom - box.top)
    here = before[round(box.top) : round(box.bottom), round(box.left) : round(box.right)].mean()
    measured = (after.astype(float) - before).sum() / (area * here)
    assert measured == pytest.approx(contrast, rel=0.2)  # the soft edge counts too


@pytest.mark.parametrize(
    ("kind", "width_px", "lines"),
    [
        (PlantedKind.MISSING_END, 4, 80),
        (PlantedKind.BROKEN_PICK, 80, 5),
        (PlantedKind.FLOAT, 80, 5),
        (PlantedKind.SLUB, 80, 10),
        (PlantedKind.HOLE, 80, 80),
        (PlantedKind.STAIN, 80, 80),
        (PlantedKind.PARTED_ENDS, 16, 80),
    ],
)
def test_a_defect_has_the_size_that_was_asked_for(kind: PlantedKind, width_px: int, lines: int) -> None:
    assert extent_px(kind, 8.0, SCALE, YARNS) == (width_px, lines)
    before = np.full((200, 200), 120, np.uint8) if kind.has_contrast else woven(200, 200)
    after = before.copy()
    plant(after, kind, centred(kind, 8.0, before.shape), -0.5, yarns_px=YARNS_PX, key=1)
    change = np.abs(after.astype(float) - before)
    strong = change >= (0.4 * change.max() if kind.has_contrast else 1)
    rows, columns = np.flatnonzero(strong.any(axis=1)), np.flatnonzero(strong.any(axis=0))
    assert columns[-1] - columns[0] + 1 == pytest.approx(width_px, abs=2 + 0.05 * width_px)
    assert rows[-1] - rows[0] + 1 == pytest.approx(lines, abs=2 + 0.05 * lines)


def test_a_stain_keeps_the_yarns_and_a_hole_has_none() -> None:
    def texture(lines: NDArray[np.uint8]) -> float:
        part = lines[95:125, 105:135].astype(float)
        return float(part.std() / part.mean())

    before = woven()
    stained, torn = before.copy(), before.copy()
    plant(stained, PlantedKind.STAIN, centred(PlantedKind.STAIN, 8.0, before.shape), -0.4, yarns_px=YARNS_PX, key=1)
    plant(torn, PlantedKind.HOLE, centred(PlantedKind.HOLE, 8.0, before.shape), -0.4, yarns_px=YARNS_PX, key=1)
    assert texture(stained) == pytest.approx(texture(before), rel=0.05)
    assert texture(torn) < 0.01


def test_parted_ends_move_yarns_and_leave_the_brightness() -> None:
    before = woven()
    after = before.copy()
    planted = plant(after, PlantedKind.PARTED_ENDS, centred(PlantedKind.PARTED_ENDS, 10.0, before.shape), -0.7,
                    yarns_px=YARNS_PX, key=1)  # fmt: skip
    assert abs(planted.contrast) < 0.05
    assert np.abs(after.astype(float) - before).max() > 10


def test_colour_is_planted_in_every_channel() -> None:
    before = np.stack([woven(seed=1), woven(seed=2) // 2, woven(seed=4)], axis=2)
    after = before.copy()
    plant(after, PlantedKind.STAIN, centred(PlantedKind.STAIN, 6.0, before.shape), -0.4, yarns_px=YARNS_PX, key=1)
    part = np.s_[100:120, 110:130]
    for channel in range(3):
        ratio = after[part][..., channel].mean() / before[part][..., channel].mean()
        assert ratio == pytest.approx(0.6, abs=0.06)


def test_a_bright_defect_that_the_camera_cannot_show_says_what_was_reached() -> None:
    lines = np.full((100, 100), 200, np.uint8)
    planted = plant(lines, PlantedKind.HOLE, FloatBox(40, 60, 40, 60), 0.9, yarns_px=YARNS_PX, key=1)
    assert planted.contrast == pytest.approx(255 / 200 - 1, abs=0.01)


def test_what_cannot_be_planted_is_refused() -> None:
    lines = woven()
    with pytest.raises(InputError, match="beyond the picture"):
        plant(lines, PlantedKind.HOLE, FloatBox(2, 12, 50, 60), -0.3, yarns_px=YARNS_PX, key=1)
    with pytest.raises(InputError, match="contrast"):
        plant(lines, PlantedKind.HOLE, FloatBox(50, 60, 50, 60), -0.95, yarns_px=YARNS_PX, key=1)
    with pytest.raises(InputError, match="smaller than a pixel"):
        extent_px(PlantedKind.STAIN, 0.05, SCALE, None)
    with pytest.raises(InputError, match="ends and picks"):
        extent_px(PlantedKind.MISSING_END, 5.0, SCALE, None)
    assert (lines == woven()).all()


AREAS = [PlantingArea(0, WebBox(10, 300, 5, 250)), PlantingArea(2, WebBox(0, 150, 0, 400), (WebBox(0, 75, 0, 400),))]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.integers(1, 80), st.floats(0, 30), st.floats(0, 30))
def test_every_order_has_one_place_inside_and_apart(seed: int, n: int, across: float, along: float) -> None:
    sizes = np.random.default_rng(seed).uniform(1, 60, (n, 2))
    extents = [(float(width), float(length)) for width, length in sizes]
    passes = place_all(extents, AREAS, (across, along), np.random.default_rng(seed))
    assert sorted(place.order for places in passes for place in places) == list(range(n))
    assert passes == place_all(extents, AREAS, (across, along), np.random.default_rng(seed))
    for places in passes:
        for k, place in enumerate(places):
            area = next(one for one in AREAS if one.stretch == place.stretch)
            box, width, length = place.box, *extents[place.order]
            assert box.right - box.left == pytest.approx(width)
            assert box.bottom - box.top == pytest.approx(length)
            assert area.box.left_px <= box.left < box.right <= area.box.right_px + 1e-9
            assert area.box.first_line <= box.top < box.bottom <= area.box.end_line + 1e-9
            others = [other.box for other in places[:k] if other.stretch == place.stretch]
            others += [FloatBox(one.left_px, one.right_px, one.first_line, one.end_line) for one in area.clear]
            for other in others:
                gap_across = max(other.left - box.right, box.left - other.right)
                gap_along = max(other.top - box.bottom, box.top - other.bottom)
                assert gap_across >= across - 1e-9 or gap_along >= along - 1e-9


def test_places_are_spread_evenly_over_the_cloth() -> None:
    area = [PlantingArea(0, WebBox(0, 1000, 0, 1000))]
    rng = np.random.default_rng(4)
    boxes = [place_all([(10.0, 10.0)], area, (0.0, 0.0), rng)[0][0].box for _ in range(2000)]
    lefts, tops = np.array([box.left for box in boxes]), np.array([box.top for box in boxes])
    for values in (lefts, tops):
        assert np.histogram(values, 10, (0, 990))[0] == pytest.approx(np.full(10, 200), abs=60)


def test_an_order_without_a_place_is_refused() -> None:
    with pytest.raises(InputError, match="no place is left"):
        place_all([(400.0, 10.0)], AREAS, (0.0, 0.0), np.random.default_rng(0))
    full = [PlantingArea(0, WebBox(0, 100, 0, 100), (WebBox(0, 100, 0, 100),))]
    with pytest.raises(InputError, match="alarm without a defect"):
        place_all([(10.0, 10.0)], full, (0.0, 0.0), np.random.default_rng(0))
