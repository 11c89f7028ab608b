"""`glass-edge reload`: a running station takes the newest engine of its style, without stopping the camera.

Promises: what can be applied is applied, and the command ends when the engine decides; what cannot is refused with the
keys that need a restart, and then nothing changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("reload")(reload)


def reload(
    *,
    config: Annotated[Path, typer.Option(help="Station file of the running station.")],
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=1.0, help="How long the new engine may take until it decides, s.")
    ] = 600.0,
) -> None:
    """Have the station on this machine inspect with the newest engine of its style; `systemctl reload` calls it."""
    from glass_edge.cli.engine_wait import Place, wait_until_it_decides
    from glass_edge.config.events import IPC_PREFIX
    from glass_edge.config.station import load_station
    from glass_edge.errors import GlassEdgeError
    from glass_edge.events.commands import change_recipe
    from glass_edge.events.requester import request_snapshot
    from glass_edge.service.engine_memory import EngineMemory, memory_path
    from glass_edge.service.recipe_book import RecipeBook
    from glass_edge.service.running_settings import changed_keys

    settings = load_station(config)
    if changed := changed_keys(settings):
        raise GlassEdgeError(f"{config}: changed since the station started: {', '.join(changed)}; restart the station")
    endpoint = settings.events.request_endpoint
    if not endpoint.startswith(IPC_PREFIX):
        raise GlassEdgeError(
            f"{endpoint}: a station is reloaded over ipc only; give it the command with keys: glass-edge recipe change"
        )
    epoch, snapshot = request_snapshot(endpoint)
    if snapshot.engine is None:
        raise GlassEdgeError(f"{endpoint}: no engine is active yet; try again")
    style, before = snapshot.engine.style, snapshot.engine.version
    memory = EngineMemory(memory_path(settings.events.journal), settings.bundle)
    newest = RecipeBook.of(settings).find(style, None, memory).manifest.version
    if newest == before:
        typer.echo(f"{style} {before} is the newest engine of its style and decides already")
        return
    reply = change_recipe(endpoint, style, version=newest, operator="reload")
    place = Place(endpoint, None, epoch, snapshot.seq + 1)
    wait_until_it_decides(place, (reply.style, reply.version), timeout_s)
    typer.echo(f"{style} {newest} decides, {before} did before")
