"""`glass-edge replay`: images or long strips played as a camera through the whole inspection.

Promises: everything that can be wrong with files, bundle and settings is said before anything plays (exit code 2);
damage met while playing is a fault event, a gap, and exit code 1; a replay never uses the journal or the sockets of a
station file, so it disturbs no running station.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glass_edge.errors import InputError

if TYPE_CHECKING:
    from glass_edge.acquisition.camera import Camera
    from glass_edge.config.events import EventSettings
    from glass_edge.config.station import StationSettings
    from glass_edge.service.roll_job import RollReport

INTERRUPTED = 130
FAILURES = frozenset({"bad_block", "camera", "engine_error", "non_finite_scores"})
"""Faults that mean that cloth which was there was not inspected as it should have been."""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("replay")(replay)


def replay(
    places: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Images, folders of images, or a recording.")
    ],
    *,
    engine: Annotated[
        Path | None, typer.Option(help="Bundle: engines/<style>/<version>, or the style; default: the station's.")
    ] = None,
    station: Annotated[Path | None, typer.Option(help="Station file for web, engine and inspection settings.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for journal and pictures; default runs/replay-TIME.")] = None,
    publish: Annotated[str | None, typer.Option(help="Endpoint to publish events on; default: a private one.")] = None,
    request: Annotated[str | None, typer.Option(help="Endpoint to answer requests on; default: a private one.")] = None,
    joined: Annotated[bool, typer.Option("--joined", help="The images are consecutive scans of one web.")] = False,
    line_rate_hz: Annotated[float | None, typer.Option(help="Lines a second; default: as fast as possible.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Alarm threshold, logit; default: the bundle's.")] = None,
    mm_per_px: Annotated[float | None, typer.Option(help="Width of a pixel on the cloth, mm.")] = None,
    mm_per_line: Annotated[float | None, typer.Option(help="Advance a line, mm; default: as --mm-per-px.")] = None,
    roll: Annotated[str | None, typer.Option(help="Name of the roll; default: replay-TIME.")] = None,
    linger_s: Annotated[
        float, typer.Option(min=0.0, max=86_400.0, help="Go on answering subscribers this long after the end, s.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON summary and nothing else.")] = False,
) -> int:
    """Play images or long line-scan strips as a camera, find defects and publish them as events."""
    from glass_edge.cli.one_roll import inspect_and_show
    from glass_edge.cli.replay_job import Played, replay_job
    from glass_edge.config.output import OutputSettings
    from glass_edge.config.station import load_station
    from glass_edge.engine.bundle import load_bundle
    from glass_edge.service.runtime_folder import runtime_folder
    from glass_edge.service.signals import stop_on_signals
    from glass_edge.service.station import Station

    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    settings = load_station(station) if station is not None else None
    bundle_path = engine if engine is not None else settings.bundle if settings else None
    if bundle_path is None:
        raise InputError("--engine is missing; give a bundle (engines/<style>), or a station file that names one")
    played = Played(tuple(places), joined, line_rate_hz, mm_per_px, mm_per_line)
    job = replay_job(
        played,
        load_bundle(bundle_path),
        settings,
        roll_id=roll or f"replay-{stamp}",
        threshold=threshold,
        is_graded=True,
    )
    folder = out if out is not None else Path("runs") / f"replay-{stamp}"
    crops = settings.output.crops_mb if settings else OutputSettings().crops_mb
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        private = None if publish and request else stack.enter_context(runtime_folder())
        events = _event_settings(settings, folder, publish, request, private)
        output = OutputSettings(folder=folder, crops_mb=crops)
        running = stack.enter_context(
            Station(settings.station if settings else "replay", events, output, is_simulated=True)
        )
        report = inspect_and_show(
            running, job, stop, total_lines=_total_lines(job.camera), as_json=as_json, linger_s=linger_s
        )
    return _exit_code(report)


def _total_lines(camera: Camera) -> int | None:
    from glass_edge.acquisition.recording import ReplayCamera

    return camera.total_lines if isinstance(camera, ReplayCamera) else None


def _event_settings(
    settings: StationSettings | None, folder: Path, publish: str | None, request: str | None, private: Path | None
) -> EventSettings:
    """Journal in the run's own folder, private sockets unless others were asked for."""
    from pydantic import ValidationError

    from glass_edge.config.events import EventSettings

    limits = settings.events.model_dump() if settings else {}
    places = {
        "journal": folder / "events.journal",
        "publish_endpoint": publish or f"ipc://{private}/events",
        "request_endpoint": request or f"ipc://{private}/requests",
    }
    try:
        return EventSettings.model_validate(limits | places)
    except ValidationError as error:
        raise InputError("\n".join(one["msg"].removeprefix("Value error, ") for one in error.errors())) from error


def _exit_code(report: RollReport) -> int:
    if FAILURES & report.faults.keys():
        return 1
    return INTERRUPTED if report.was_stopped else 0
