"""Positions through a lens: where the events say a defect lies against where it was drawn in millimetres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from station_support import cloth, journal_events, make_bundle, save

from glass_edge.acquisition.recording import ReplayCamera
from glass_edge.calibration.line_scale import LineScale
from glass_edge.cli.joined import lens_map
from glass_edge.config.engine import EngineSettings
from glass_edge.config.events import EventSettings
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.output import OutputSettings
from glass_edge.config.web import WebSettings
from glass_edge.errors import InputError
from glass_edge.service.roll_job import RollJob
from glass_edge.service.runtime_folder import runtime_folder
from glass_edge.service.station import Station

WIDTH = 400


def scale(width_px: int = WIDTH) -> LineScale:
    """200 mm over 400 px, pixels at the ends 12 % wider than the mean."""
    return LineScale(
        width_px=width_px,
        mm_per_px=0.5,
        mm_per_line=0.25,
        coefficients=(100.0, 94.0, 0.0, 6.0),
        first_px=0,
        last_px=width_px,
        bars=20,
        residual_rms_px=0.01,
        residual_max_px=0.02,
    )


def web(path: Path, **changes: object) -> WebSettings:
    known = {"mm_per_px": 0.5, "mm_per_line": 0.25, "span": {"left_px": 20, "right_px": 380}, "scale_file": path}
    return WebSettings(**(known | changes))


def test_events_tell_the_millimetres_of_the_map(tmp_path: Path) -> None:
    measured = scale()
    measured.save(tmp_path / "c.scale.json")
    lines = cloth(200, WIDTH)
    lines[80:92, 48:64] = 255
    lines[80:92, 200:216] = 255
    save(tmp_path / "i" / "1.png", lines)
    camera = ReplayCamera(tmp_path / "i")
    settings = web(tmp_path / "c.scale.json")
    with runtime_folder() as sockets:
        events = EventSettings(
            journal=tmp_path / "events.journal",
            publish_endpoint=f"ipc://{sockets}/e",
            request_endpoint=f"ipc://{sockets}/r",
        )
        with Station("loom7", events, OutputSettings(folder=tmp_path), is_simulated=True) as station:
            station.inspect(
                RollJob(
                    "R",
                    camera,
                    make_bundle(tmp_path / "engines"),
                    settings,
                    EngineSettings(precision="f32", threads=1),
                    InspectionSettings(gap_mm=0.0, run_gap_mm=0.0),
                    live=False,
                    across=lens_map(settings, camera),
                )
            )
    ends = [event["payload"] for event in journal_events(tmp_path / "events.journal") if event["kind"] == "defect.end"]
    assert [(end["left_px"], end["right_px"]) for end in ends] == [(48, 64), (200, 216)]
    for end in ends:
        places = measured.across_mm([20, end["left_px"], end["right_px"]])
        assert end["across_mm"] == pytest.approx(places[1] - places[0], abs=2e-3)
        assert end["width_mm"] == pytest.approx(places[2] - places[1], abs=2e-3)
        assert end["area_mm2"] == pytest.approx(end["width_mm"] * 12 * 0.25)
    assert abs(ends[0]["across_mm"] - 14.0) > 0.5  # what even pixels would say
    assert ends[0]["width_mm"] > ends[1]["width_mm"]


def test_a_scale_of_another_camera_or_with_other_figures_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "i" / "1.png", np.zeros((50, WIDTH), np.uint8))
    camera = ReplayCamera(tmp_path / "i")
    scale().save(tmp_path / "c.scale.json")
    scale(640).save(tmp_path / "wide.scale.json")
    assert lens_map(web(tmp_path / "c.scale.json", scale_file=None), camera) is None
    with pytest.raises(InputError, match=r"px 640, and the station's camera has 400"):
        lens_map(web(tmp_path / "wide.scale.json"), camera)
    with pytest.raises(InputError, match=r"mm_per_px = 0\.51, .*0\.500000; write that"):
        lens_map(web(tmp_path / "c.scale.json", mm_per_px=0.51), camera)
    with pytest.raises(InputError, match=r"mm_per_line = 0\.2, "):
        lens_map(web(tmp_path / "c.scale.json", mm_per_line=0.2), camera)
    with pytest.raises(InputError, match="calibrate scale"):
        lens_map(web(tmp_path / "missing.json"), camera)
