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
    scale = WebScale(0.3, 0.5)
    assert inspected_span(ClothSpan(10, 90), 100, 3.0, scale) == ClothSpan(20, 80)
    assert inspected_span(ClothSpan(10, 90), 100, 3.1, scale) == ClothSpan(21, 79)
    assert inspected_span(ClothSpan(0, 90), 100, 3.0, scale) == ClothSpan(0, 80)
    assert inspected_span(ClothSpan(0, 100), 100, 3.0, scale) == ClothSpan(0, 100)
    with pytest.raises(InputError, match=r"nothing is left of cloth 6\.0 mm wide"):
        inspected_span(ClothSpan(10, 30), 100, 3.0, scale)
    with pytest.raises(InputError, match="beyond the camera line of 80 px"):
        inspected_span(ClothSpan(10, 90), 80, 0.0, scale)
