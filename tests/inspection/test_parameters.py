from __future__ import annotations

import pytest
from inspection_peers import ConvEngine

from glass_edge.config.inspection import InspectionSettings
from glass_edge.engine.base import TileShapeError
from glass_edge.engine.manifest import Manifest
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.inspection.parameters import inspected_span, style_parameters

MANIFEST = Manifest(
    format_version=1,
    style="poplin",
    version="1",
    created_utc="2024-05-01T00:00:00Z",
    glass_edge_version="0",
    backbone="tf_efficientnet_lite0",
    levels=(4,),
    method="glass",
    tile={
        "height_px": 64,
        "width_px": 96,
        "channels": 1,
        "halo_px": 16,
        "score_stride_px": 4,
        "max_halo_error": 0.0,
    },
    smoothing_sigma_px=3.0,
    threshold={"logit": 1.5, "method": "by hand", "quantile": 1.0, "n_blocks": 0, "good_cloth_lines": 0},
    training_data_sha256="",
    metrics={},
    parity=(),
    files={},
)


def test_the_station_wins_over_the_bundle_also_with_zero() -> None:
    plain = style_parameters(MANIFEST, ConvEngine(), InspectionSettings())
    assert (plain.style, plain.halo_px, plain.smoothing_sigma_px, plain.threshold_logit) == ("poplin", 16, 3.0, 1.5)
    changed = style_parameters(MANIFEST, ConvEngine(), InspectionSettings(threshold_logit=0.0, smoothing_sigma_px=0.0))
    assert (changed.smoothing_sigma_px, changed.threshold_logit) == (0.0, 0.0)


def test_an_engine_for_another_tile_is_refused() -> None:
    with pytest.raises(TileShapeError, match="build the bundle again"):
        style_parameters(MANIFEST, ConvEngine(tile=(64, 64)), InspectionSettings())


def test_the_margin_is_inside_the_selvedges_that_the_camera_sees() -> None:
    def inspected(cloth: ClothSpan, width: int, margin_mm: float, halo_px: int = 0, stride_px: int = 1) -> ClothSpan:
        scale = WebScale(0.3, 0.5)
        return inspected_span(cloth, width, margin_mm, scale, halo_px=halo_px, stride_px=stride_px)

    assert inspected(ClothSpan(10, 90), 100, 3.0) == ClothSpan(20, 80)
    assert inspected(ClothSpan(10, 90), 100, 3.1) == ClothSpan(21, 79)
    assert inspected(ClothSpan(0, 90), 100, 3.0) == ClothSpan(0, 80)
    assert inspected(ClothSpan(0, 100), 100, 3.0) == ClothSpan(0, 100)
    # The halo counts at the image's edge too, and at a selvedge the wider of the two does.
    assert inspected(ClothSpan(0, 100), 100, 3.0, halo_px=16) == ClothSpan(16, 84)
    assert inspected(ClothSpan(10, 90), 100, 3.0, halo_px=16) == ClothSpan(26, 74)
    assert inspected(ClothSpan(0, 90), 100, 9.0, halo_px=16) == ClothSpan(16, 60)
    # Whole cells only.
    assert inspected(ClothSpan(10, 90), 100, 3.0, halo_px=16, stride_px=8) == ClothSpan(32, 72)
    with pytest.raises(InputError, match=r"nothing is left of cloth 20 px \(6\.0 mm\) wide"):
        inspected(ClothSpan(10, 30), 100, 3.0)
    with pytest.raises(InputError, match="halo of 48 px"):
        inspected(ClothSpan(0, 100), 100, 0.0, halo_px=48, stride_px=8)
    with pytest.raises(InputError, match="beyond the camera line of 80 px"):
        inspected(ClothSpan(10, 90), 80, 0.0)
