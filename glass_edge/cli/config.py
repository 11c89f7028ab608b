"""`glass-edge config check | show`: station files.

Promises: `check` says all that is wrong with a file at once, and with the bundle and the images it names, and which
other engine a start would take; nothing is started or written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

_FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="Station file.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the group to `app`."""
    group = typer.Typer(help="Check a station file, or show what it means.", no_args_is_help=True)
    group.command("check")(check)
    group.command("show")(show)
    app.add_typer(group, name="config")


def check(file: _FileArgument, as_json: _Json = False) -> None:
    """Check a station file and everything it names."""
    from glass_edge.cli.joined import open_station_camera
    from glass_edge.cli.station_engine import recipe_problems
    from glass_edge.cli.watched import watched
    from glass_edge.config.station import load_station
    from glass_edge.engine.bundle import load_bundle
    from glass_edge.errors import InputError
    from glass_edge.service.engine_next import next_start
    from glass_edge.service.roll_job import RollJob, check_job

    settings = load_station(file)
    problems, camera, bundle = [], None, None
    try:
        camera = open_station_camera(settings.camera, settings.web).camera
        watched(camera, settings)
    except InputError as error:
        problems.append(str(error))
    try:
        bundle = load_bundle(settings.bundle)
    except InputError as error:
        problems.append(str(error))
    if camera is not None and bundle is not None:
        job = RollJob("check", camera, bundle, settings.web, settings.engine, settings.inspection, live=False)
        try:
            check_job(job)
        except InputError as error:
            problems.append(str(error))
        problems += recipe_problems(settings, job)
    said = ""
    if bundle is not None:
        try:
            said = next_start(settings).said
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))
    assert camera is not None
    assert bundle is not None
    manifest = bundle.manifest
    if as_json:
        document = {
            "file": str(file),
            "station": settings.station,
            "style": manifest.style,
            "version": manifest.version,
        }
        typer.echo(json.dumps(document | {"bundle": str(bundle.folder), "width_px": camera.width_px}, indent=2))
        return
    typer.echo(
        f"{file}: station {settings.station}, camera {settings.camera.kind} of {camera.width_px} px, style "
        f"{manifest.style} {manifest.version}: good"
    )
    if said:
        typer.echo(said)


def show(file: _FileArgument, as_json: _Json = False) -> None:
    """Print every setting of a station file with its value, also those left out."""
    from glass_edge.config.station import load_station

    document = load_station(file).model_dump(mode="json")
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return
    plain = {key: value for key, value in document.items() if not isinstance(value, dict)}
    _print_table("", plain)
    for key, table in document.items():
        if isinstance(table, dict):
            _print_table(key, table)


def _print_table(name: str, table: dict[str, object]) -> None:
    if name:
        typer.echo(f"\n[{name}]")
    for key, value in table.items():
        typer.echo(f"# {key} is left out" if value is None else f"{key} = {_toml(value)}")


def _toml(value: object) -> str:
    if isinstance(value, dict):
        given = {key: one for key, one in value.items() if one is not None}
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in given.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)
