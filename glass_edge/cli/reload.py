"""`glass-edge reload`: a running station takes the newest engine of its style, without stopping the camera.

Promises: what can be applied is applied, and the command ends when the engine decides; what cannot is refused with the
keys that need a restart, and then nothing changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_POLL_S = 0.5


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
    from glass_edge.config.events import IPC_PREFIX
    from glass_edge.config.station import load_station
    from glass_edge.errors import GlassEdgeError
    from glass_edge.events.commands import change_recipe
    from glass_edge.events.requester import request_snapshot
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
    newest = RecipeBook.of(settings).find(style, None).manifest.version
    if newest == before:
        typer.echo(f"{style} {before} is the newest engine of its style and decides already")
        return
    reply = change_recipe(endpoint, style, version=newest, operator="reload")
    wanted = (reply.style, reply.version)
    _wait_until_it_decides(endpoint, wanted, (epoch, snapshot.seq + 1), timeout_s)
    typer.echo(f"{style} {newest} decides, {before} did before")


def _wait_until_it_decides(endpoint: str, wanted: tuple[str, str], place: tuple[str, int], timeout_s: float) -> None:
    """Read events until one says so.

    Args:
        endpoint: of the station's requests.
        wanted: style and version.
        place: epoch and number of the first event to read.
        timeout_s: longest wait.

    Raises:
        GlassEdgeError: the station says that it will not, or nothing in time.
    """
    import time

    from glass_edge.errors import GlassEdgeError
    from glass_edge.events.parsing import parse_event
    from glass_edge.events.payloads import EngineActivated, Status
    from glass_edge.events.requester import request_replay
    from glass_edge.service.engine_keeper import FAILED_FAULT

    epoch, from_seq = place
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s:
        _, documents = request_replay(endpoint, from_seq, epoch=epoch)
        for event in map(parse_event, documents):
            from_seq = event.seq + 1
            payload = event.payload
            if isinstance(payload, EngineActivated) and (payload.style, payload.version) == wanted:
                return
            if isinstance(payload, Status) and payload.fault_code == FAILED_FAULT:
                raise GlassEdgeError(f"the station refused: {payload.message}")
        if not documents:
            time.sleep(_POLL_S)
    raise GlassEdgeError(
        f"{' '.join(wanted)} does not decide after {timeout_s:g} s; it may still, once cloth runs: the event"
        " engine.activated tells"
    )
