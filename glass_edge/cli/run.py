"""`glass-edge run`: a station as its file describes it.

Promises: runs until the camera's lines end or a signal asks for the end, which is its normal way to stop (exit code 0
when everything could be inspected).
"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from glass_edge.acquisition.camera import Camera
    from glass_edge.config.station import StationSettings

_STOP_S = 20.0  # to end a roll and to close camera, journal and sockets


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("run")(run)


def run(
    *,
    config: Annotated[Path, typer.Option(help="Station file.")],
    roll: Annotated[
        str | None, typer.Option(help="Name of the roll; default: the file's, or station and time.")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Keep raw lines as the file's [recording] says; 'replay' plays them.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON summary and nothing else.")] = False,
) -> int:
    """Inspect what the station's camera sees and publish defects, until told to stop."""
    from glass_edge.cli.joined import open_station_camera
    from glass_edge.cli.judging import judge_rules
    from glass_edge.cli.log_output import is_json
    from glass_edge.cli.one_roll import inspect_and_show
    from glass_edge.cli.replay import FAILURES
    from glass_edge.cli.station_down import down_time_of
    from glass_edge.cli.station_engine import station_engine, station_recipes, watched_styles
    from glass_edge.cli.station_metrics import station_metrics
    from glass_edge.config.station import load_station
    from glass_edge.service.notify import Notifier
    from glass_edge.service.notify_station import StationNotes
    from glass_edge.service.roll_job import RollJob, check_job
    from glass_edge.service.running_settings import keep_running
    from glass_edge.service.signals import stop_on_signals
    from glass_edge.service.station import Station

    settings = load_station(config)
    engine = station_engine(settings)
    bundle = engine.bundle
    opened = open_station_camera(settings.camera, settings.web, bundle.manifest.style)
    source = opened.camera
    recorded = _recorded(source, settings) if record or settings.recording.enabled else source
    followed, follow = watched_styles(recorded, settings, engine)
    camera, down_time = down_time_of(followed, source, settings)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    job = RollJob(
        roll_id=roll or settings.roll_id or f"{settings.station}-{stamp}",
        camera=camera,
        bundle=bundle,
        web=settings.web,
        engine=settings.engine,
        inspection=settings.inspection,
        live=not camera.is_simulated,
        judge=judge_rules(settings, bundle.manifest.style),
        report_table=settings.grading.table,
        across=opened.across,
        recipes=station_recipes(engine, settings, follow),
    )
    check_job(job)
    if engine.said:
        typer.echo(engine.said, err=True)
    stop_takes_s = settings.inspection.stop_drain_s + settings.output.report_wait_s + _STOP_S
    with (
        stop_on_signals() as stop,
        Notifier.from_environment() as notifier,
        Station(
            settings.station,
            settings.events,
            settings.output,
            is_simulated=camera.is_simulated,
            challenge=settings.challenge,
            drift=settings.drift,
            is_logged=is_json(),
            down_time=down_time,
        ) as station,
        StationNotes(notifier, stop, stop_takes_s) as notes,
        station_metrics(settings, job) as (watched_job, watchers),
    ):
        keep_running(settings)
        report = inspect_and_show(
            station,
            watched_job,
            stop,
            total_lines=_total_lines(source),
            as_json=as_json,
            notes=notes,
            watchers=watchers if down_time is None else [*watchers, down_time],
            is_logged=is_json(),
        )
    for said in _measured(source):
        typer.echo(said, err=True)
    return 1 if FAILURES & report.faults.keys() else 0


def _measured(camera: Camera, name: str = "camera") -> list[str]:
    """Line rate, speed and headroom of GenICam cameras, a line each."""
    from glass_edge.acquisition.genicam_camera import GenicamCamera
    from glass_edge.acquisition.joined_camera import JoinedCamera

    if isinstance(camera, JoinedCamera):
        return [said for one in camera.members for said in _measured(one.camera, f"camera {one.name}")]
    if not isinstance(camera, GenicamCamera):
        return []
    seen = camera.measured
    if seen.line_rate_hz is None or seen.web_m_per_min is None:
        return []
    counts = {key: value for key, value in dataclasses.asdict(seen.counts).items() if value and key != "lines"}
    free = "" if seen.exposure_headroom is None else f", the exposure leaves {100 * seen.exposure_headroom:.0f} % free"
    told = "".join(f", {key.replace('_', ' ')} {value}" for key, value in counts.items())
    return [f"{name}: {seen.line_rate_hz:.0f} lines/s, {seen.web_m_per_min:.2f} m/min{free}{told}"]


def _recorded(camera: Camera, settings: StationSettings) -> Camera:
    from glass_edge.acquisition.recorder import RecordingCamera, RingSettings

    recording, web = settings.recording, settings.web
    ring = RingSettings(recording.folder, recording.budget_mb << 20, recording.file_mb << 20)
    return RecordingCamera(camera, ring, mm_per_px=web.mm_per_px, mm_per_line=web.mm_per_line)


def _total_lines(camera: Camera) -> int | None:
    """Lines to come, None for a camera that does not end."""
    from glass_edge.acquisition.loom.loom_camera import LoomCamera
    from glass_edge.acquisition.recording import ReplayCamera

    if isinstance(camera, ReplayCamera):
        return camera.total_lines
    return camera.renderer.spec.end_line if isinstance(camera, LoomCamera) else None
