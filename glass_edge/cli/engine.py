"""`glass-edge engine install | activate | rollback | list`: the engines of a station.

Promises: installing activates nothing; a running station takes another engine by a command, a stopped one at its next
start; what is refused is said with the reason.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from glass_edge.cli import engine_change, engine_list
from glass_edge.cli.station_options import AnswerOption

StationOption = Annotated[Path, typer.Option("--config", help="Station file.")]


def register(app: typer.Typer) -> None:
    """Add the group to `app`."""
    group = typer.Typer(no_args_is_help=True, help="Install engines on a station, activate them, go back.")
    group.command("install")(install)
    group.command("activate")(engine_change.activate)
    group.command("rollback")(engine_change.rollback)
    group.command("list")(engine_list.list_engines)
    app.add_typer(group, name="engine")


def install(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle: a folder, a .tar.gz or a .zip.")],
    *,
    config: StationOption,
    keep: Annotated[
        int, typer.Option(min=0, max=1000, help="Versions that stay besides the new one and those in use.")
    ] = 2,
    as_json: AnswerOption = False,
) -> None:
    """Verify BUNDLE, try it on this machine and put it among the engines of its style; nothing is activated."""
    from glass_edge.service.engine_selftest import try_engine
    from glass_edge.service.engine_store import Order, install

    done = install(Order(config, bundle, try_engine, keep))
    manifest = done.bundle.manifest
    if as_json:
        document = {
            "style": manifest.style,
            "version": manifest.version,
            "folder": str(done.bundle.folder),
            "manifest_sha256": done.bundle.manifest_sha256,
            "was_there": done.was_there,
            "removed": list(done.removed),
            "kept_because": done.kept_because or None,
        }
        typer.echo(json.dumps(document, indent=2))
        return
    came = (
        "is there already, the same in every byte" if done.was_there else "verified, tried on this machine, installed"
    )
    typer.echo(f"{manifest.style} {manifest.version}: {came}: {done.bundle.folder}")
    if done.removed:
        typer.echo(f"removed: {', '.join(f'{manifest.style} {version}' for version in done.removed)}")
    if done.kept_because:
        typer.echo(done.kept_because, err=True)
    typer.echo(
        f"nothing is activated: glass-edge engine activate {manifest.style} {manifest.version} --config {config}"
    )
