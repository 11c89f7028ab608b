"""`glass-edge camera list | show | check`: GenICam cameras before the line runs.

Promises: producers are loaded in a process of their own, so one that crashes or hangs costs a message and exit code 1;
no line is taken. `check` sets the camera to the profile (that is the only way to know) and tells all it lacks at once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from glass_edge.acquisition.genicam_spec import GenicamSpec

_Cti = Annotated[
    list[Path] | None, typer.Option("--cti", help="GenTL producer; default: those of GENICAM_GENTL64_PATH.")
]
_Serial = Annotated[str | None, typer.Option("--serial", help="Serial number of the camera.")]
_User = Annotated[str | None, typer.Option("--user-id", help="Name somebody gave the camera.")]
_Timeout = Annotated[float, typer.Option("--timeout-s", min=1, help="Longest wait for the producer, s.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the group to `app`."""
    group = typer.Typer(help="Find GenICam cameras and check them against a profile.", no_args_is_help=True)
    group.command("list")(list_cameras)
    group.command("show")(show)
    group.command("check")(check)
    app.add_typer(group, name="camera")


def list_cameras(cti: _Cti = None, timeout_s: _Timeout = 20.0, as_json: _Json = False) -> int:
    """List the cameras that the producers find; exit code 1 when there are none."""
    from glass_edge.acquisition.genicam_process import ask
    from glass_edge.acquisition.genicam_spec import find_producers

    producers = find_producers(tuple(cti or ()))
    devices = ask({"task": "list", "cti": list(producers)}, timeout_s)["devices"]
    if as_json:
        typer.echo(json.dumps({"cti": list(producers), "cameras": devices}, indent=2))
    else:
        for one in devices:
            user = f'  user id "{one["user_defined_name"]}"' if one["user_defined_name"] else ""
            typer.echo(f"{one['vendor']} {one['model']}  serial {one['serial_number']}{user}  {one['tl_type']}")
        if not devices:
            typer.echo(f"no camera; asked {', '.join(producers)}")
    return 0 if devices else 1


def show(
    cti: _Cti = None,
    serial: _Serial = None,
    user_id: _User = None,
    timeout_s: _Timeout = 30.0,
    as_json: _Json = False,
) -> None:
    """Show a camera and every feature it has, with its value and what it allows."""
    from glass_edge.config.camera_profile import CameraProfile

    spec = _spec(cti, serial, user_id, CameraProfile(chunks=()))
    answer = _open(spec, timeout_s, features=True)
    if as_json:
        typer.echo(json.dumps({key: answer[key] for key in ("facts", "features")}, indent=2))
        return
    typer.echo(_describe(answer["facts"]))
    for one in answer["features"]:
        value = f" = {one['value']}" if one["value"] else ""
        allowed = f"  ({one['allowed']})" if one["allowed"] else ""
        typer.echo(f"{one['access']}  {one['name']}{value}{allowed}")


def check(
    profile: Annotated[Path, typer.Argument(metavar="PROFILE", help="Camera profile (TOML).")],
    *,
    cti: _Cti = None,
    serial: _Serial = None,
    user_id: _User = None,
    timeout_s: _Timeout = 30.0,
    as_json: _Json = False,
) -> None:
    """Set a camera to a profile and tell what it lacks; exit code 2 when it cannot do what the profile asks."""
    from glass_edge.config.camera_profile import load_profile

    answer = _open(_spec(cti, serial, user_id, load_profile(profile)), timeout_s, features=False)
    if as_json:
        typer.echo(json.dumps({key: answer[key] for key in ("facts", "done", "lacks")}, indent=2))
        return
    typer.echo(_describe(answer["facts"]))
    for done in answer["done"]:
        typer.echo(f"set    {done}")
    for lack in answer["lacks"]:
        typer.echo(f"lacks  {lack}; lines are counted without")
    typer.echo(f"{profile}: good")


def _spec(cti: list[Path] | None, serial: str | None, user_id: str | None, profile: Any) -> GenicamSpec:  # noqa: ANN401
    from glass_edge.acquisition.genicam_spec import GenicamSpec, find_producers
    from glass_edge.errors import InputError

    if serial is not None and user_id is not None:
        raise InputError("give --serial or --user-id, not both")
    return GenicamSpec(find_producers(tuple(cti or ())), serial, user_id, profile)


def _open(spec: GenicamSpec, timeout_s: float, *, features: bool) -> dict[str, Any]:
    from glass_edge.acquisition.genicam_process import ask

    return ask({"task": "open", "spec": spec.to_json(), "features": features}, timeout_s)


def _describe(facts: dict[str, Any]) -> str:
    chunks = f", chunks {', '.join(facts['chunks'])}" if facts["chunks"] else ""
    return (
        f"{facts['vendor']} {facts['model']}, serial {facts['serial_number']}: {facts['width_px']} px, blocks of "
        f"{facts['n_lines']} lines, {facts['pixel_format']}{chunks}"
    )
