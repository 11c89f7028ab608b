"""A defect drawn anywhere, across block, tile and frame borders, is one defect with the millimetres it was drawn at."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inspection_peers import BlockCamera, ConvEngine, Notes, blocks_of
from scipy import ndimage

from glass_edge.config.inspection import InspectionSettings
from glass_edge.fabric.defect import DefectPhase
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.inspection.one_shot import score_strip, smooth_strip
from glass_edge.inspection.parameters import StyleParameters
from glass_edge.inspection.pipeline import InspectionPipeline

WIDTH, LINES = 310, 420
STYLE = StyleParameters("poplin", halo_px=16, smoothing_sigma_px=4.0, threshold_logit=2.0)
SCALE = WebScale(0.5, 0.25)
CLOTH = np.random.default_rng(0).integers(118, 138, (LINES, WIDTH), dtype=np.uint8)
WHOLE = ClothSpan(0, WIDTH)


@settings(deadline=None, max_examples=40)
@given(
    top=st.integers(24, LINES - 120),
    left=st.integers(24, WIDTH - 90),
    height=st.integers(14, 90),
    width=st.integers(14, 60),
    sizes=st.lists(st.integers(1, 130), min_size=1, max_size=4),
    tile=st.sampled_from([(64, 64), (80, 96), (48, 144)]),
    advance=st.sampled_from([None, 16]),
    batch=st.integers(1, 3),
)
def test_it_is_one_new_and_one_end_with_the_box_of_the_whole_strip(  # noqa: PLR0917 - drawn by hypothesis
    top: int,
    left: int,
    height: int,
    width: int,
    sizes: list[int],
    tile: tuple[int, int],
    advance: int | None,
    batch: int,
) -> None:
    lines = CLOTH.copy()
    lines[top : top + height, left : left + width] = 250
    engine = ConvEngine(tile=tile)
    notes = Notes()
    pipeline = InspectionPipeline(
        BlockCamera(blocks_of(lines, sizes), WIDTH),
        engine,
        notes,
        roll_id="R1",
        style=STYLE,
        scale=SCALE,
        cloth=WHOLE,
        settings=InspectionSettings(gap_mm=0.0, advance_px=advance, batch=batch, read_timeout_s=0.02),
        live=False,
    )
    pipeline.start()
    pipeline.wait(60)
    reports = notes.of("defect")
    assert [d.phase for d in reports].count(DefectPhase.NEW) == 1
    assert reports[0].phase is DefectPhase.NEW
    assert reports[-1].phase is DefectPhase.END
    assert {d.defect_id for d in reports} == {1}

    whole = smooth_strip(score_strip(ConvEngine(tile=tile), lines, WHOLE, halo_px=16), 4.0)
    labels, n = ndimage.label(whole.logits >= 2.0, structure=np.ones((3, 3)))
    assert n == 1
    rows, columns = ndimage.find_objects(labels)[0]
    box = reports[-1].box_mm
    first_line = whole.first_line + 4 * rows.start
    assert box.along_mm == pytest.approx(first_line * 0.25)
    assert box.length_mm == pytest.approx(4 * (rows.stop - rows.start) * 0.25)
    assert box.across_mm == pytest.approx((whole.first_cell + columns.start) * 4 * 0.5)
    assert box.width_mm == pytest.approx(4 * (columns.stop - columns.start) * 0.5)
    # and it is where it was drawn, within the engine's reach, the smoothing and a cell
    assert box.along_mm == pytest.approx(top * 0.25, abs=0.25 * (6 + 16 + 4))
    assert box.across_mm == pytest.approx(left * 0.5, abs=0.5 * (6 + 16 + 4))
