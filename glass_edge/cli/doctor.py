"""`glass-edge doctor`: whether this box and a station's parts are well, and what to do where they are not.

Promises: every part is looked at, whatever another one says; nothing is changed, no line is taken, a running station is
not disturbed but for its processor time; exit code 1 when the station could not work.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glass_edge.config.camera import GenicamCameraSettings
    from glass_edge.config.station import StationSettings
    from glass_edge.service.doctor.finding import Finding

_COLOURS = {"good": typer.colors.GREEN, "care": typer.colors.YELLOW, "bad": typer.colors.RED}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("doctor")(doctor)


def doctor(
    *,
    config: Annotated[Path | None, typer.Option(help="Station file; without it the box alone is looked at.")] = None,
    adapter: Annotated[list[Path] | None, typer.Option(help="Adapter file; may be given several times.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> int:
    """Look at the box and, with a station file, at camera, engine, disks, sockets and keys; and at adapters."""
    from glass_edge.config.station import load_station
    from glass_edge.service.doctor.finding import Verdict

    settings = None if config is None else load_station(config)
    findings: list[Finding] = []
    for finding in _examine(settings, adapter or []):
        findings.append(finding)
        if not as_json:
            _print(finding)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    return 1 if any(finding.verdict is Verdict.BAD for finding in findings) else 0


def _examine(settings: StationSettings | None, adapters: list[Path]) -> Iterator[Finding]:
    from glass_edge.cli.doctor_adapter import adapter_findings
    from glass_edge.service.doctor import box
    from glass_edge.service.doctor.finding import examine

    yield from examine("processor", box.processor)
    yield from examine("clock", box.clock)
    if settings is not None:
        yield from _station(settings)
    for file in adapters:
        yield from examine("adapter", partial(adapter_findings, file))


def _station(settings: StationSettings) -> Iterator[Finding]:
    from glass_edge.service.doctor import box, network, parts, storage
    from glass_edge.service.doctor.finding import examine

    events, output = settings.events, settings.output
    yield from examine("gpu", lambda: box.gpu(settings.engine))
    yield from examine("engine", lambda: parts.engine_of(settings))
    yield from examine("camera", lambda: parts.camera(settings.camera, _ask_camera))
    if settings.camera.kind in ("genicam", "joined"):
        yield from examine("system", parts.usb_and_network)
    yield from examine("journal", lambda: storage.journal_disk(events.journal, events.keep_mb))
    yield from examine("pictures", lambda: storage.picture_disk(output.folder, output.crops_mb))
    yield from examine("sockets", lambda: network.sockets(events, settings.station))
    yield from examine("keys", lambda: network.keys(events))


def _ask_camera(camera: GenicamCameraSettings) -> dict[str, Any]:
    from glass_edge.acquisition.genicam_process import ask
    from glass_edge.acquisition.genicam_spec import GenicamSpec, find_producers
    from glass_edge.config.camera_profile import CameraProfile, load_profile

    profile = CameraProfile(chunks=()) if camera.profile is None else load_profile(camera.profile)
    spec = GenicamSpec(find_producers(camera.cti), camera.serial_number, camera.user_id, profile)
    return ask({"task": "open", "spec": spec.to_json(), "features": False}, camera.open_timeout_s)


def _print(finding: Finding) -> None:
    verdict = typer.style(f"{finding.verdict.value:<5}", fg=_COLOURS[finding.verdict.value])
    typer.echo(f"{verdict} {finding.part:<10} {finding.text}")
    if finding.remedy:
        typer.echo(f"{'':<16} -> {finding.remedy}")
