"""`glass-edge engine activate | rollback`: which engine decides.

Promises: of a running station the command is the same as `recipe change`, and ends when the engine decides; of a
stopped one nothing is written unless the engine was verified and fits the station.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glass_edge.cli.station_options import ClientKeyOption, OperatorOption, ServerKeyOption, connection, operator_name
from glass_edge.errors import InputError

if TYPE_CHECKING:
    from glass_edge.config.station import StationSettings
    from glass_edge.engine.bundle import Bundle
    from glass_edge.events.curve_keys import ClientKeys
    from glass_edge.service.engine_memory import EngineMemory
    from glass_edge.service.recipe_book import RecipeBook

_StationOption = Annotated[Path, typer.Option("--config", help="Station file.")]
_TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=1.0, help="How long the engine of a running station may take, s.")
]


def activate(
    style: Annotated[str, typer.Argument(help="Fabric style.")],
    version: Annotated[
        str | None, typer.Argument(help="Version; left out: the newest that was not given up.", show_default=False)
    ] = None,
    *,
    config: _StationOption,
    server_key: ServerKeyOption = None,
    client_key: ClientKeyOption = None,
    operator: OperatorOption = None,
    timeout_s: _TimeoutOption = 600.0,
) -> None:
    """Let an engine decide: at once on a running station (another style's with the next roll), else at its start."""
    from glass_edge.service.engine_memory import station_lock

    settings, memory, book = _station(config)
    lock = station_lock(settings.events.journal)
    if lock.acquire():
        try:
            _for_next_start(settings, memory, _verified(book, style, version, memory))
        finally:
            lock.release()
        return
    endpoint, keys = connection(config, None, server_key, client_key)
    _of_running(endpoint, keys, (style, version), operator_name(operator), timeout_s)


def rollback(
    style: Annotated[
        str | None, typer.Argument(help="Fabric style; left out: the one that decides.", show_default=False)
    ] = None,
    *,
    config: _StationOption,
    server_key: ServerKeyOption = None,
    client_key: ClientKeyOption = None,
    operator: OperatorOption = None,
    timeout_s: _TimeoutOption = 600.0,
) -> None:
    """Let the engine decide again that decided before; the present one is then taken by its version alone."""
    from glass_edge.engine.bundle import load_manifest
    from glass_edge.events.requester import request_snapshot
    from glass_edge.service.engine_memory import station_lock
    from glass_edge.service.engine_trial import bundle_before

    settings, memory, book = _station(config)
    lock = station_lock(settings.events.journal)
    if lock.acquire():
        try:
            own = memory.chosen.style if memory.chosen is not None else load_manifest(settings.bundle).manifest.style
            _require_way_back(memory, style := _only(own, style))
            _for_next_start(settings, memory, bundle_before(memory, book, style))
        finally:
            lock.release()
        return
    endpoint, keys = connection(config, None, server_key, client_key)
    _, snapshot = request_snapshot(endpoint, keys=keys)
    if snapshot.engine is None:
        raise InputError(f"{endpoint}: no engine is active yet; try again")
    _require_way_back(memory, style := _only(snapshot.engine.style, style))
    before = bundle_before(memory, book, style).manifest.version
    _of_running(endpoint, keys, (style, before), operator_name(operator), timeout_s)


def _station(config: Path) -> tuple[StationSettings, EngineMemory, RecipeBook]:
    from glass_edge.config.station import load_station
    from glass_edge.service.engine_memory import EngineMemory, memory_path
    from glass_edge.service.recipe_book import RecipeBook

    settings = load_station(config)
    return settings, EngineMemory(memory_path(settings.events.journal), settings.bundle), RecipeBook.of(settings)


def _verified(book: RecipeBook, style: str, version: str | None, memory: EngineMemory) -> Bundle:
    from glass_edge.engine.bundle import load_bundle

    return load_bundle(book.find(style, version, memory).folder)


def _only(own: str, style: str | None) -> str:
    """The style that decides, if it is the one that was asked for."""
    if style in (None, own):
        return own
    raise InputError(
        f"style '{own}' decides, and going back changes no style; name the engine: glass-edge engine activate {style} "
        "VERSION"
    )


def _require_way_back(memory: EngineMemory, style: str) -> None:
    engines = memory.engines(style)
    if engines is None or engines.before is None:
        raise InputError(f"no engine of style '{style}' decided before on this station")
    before = engines.before
    refusal = engines.refusal(before.version, before.manifest_sha256)
    if refusal is not None:
        raise InputError(
            f"the engine before, {style} {before.version}, was given up ({refusal.at_utc:%Y-%m-%d %H:%M} UTC: "
            f"{refusal.reason}); name it if you want it: glass-edge engine activate {style} {before.version}"
        )


def _for_next_start(settings: StationSettings, memory: EngineMemory, bundle: Bundle) -> None:
    """The station is stopped, and its lock is held."""
    from dataclasses import replace

    from glass_edge.cli.joined import open_station_camera
    from glass_edge.engine.bundle import load_manifest
    from glass_edge.service.engine_prepared import check_scale
    from glass_edge.service.engine_slots import EngineName
    from glass_edge.service.engine_trial import trial_s
    from glass_edge.service.roll_job import RollJob, check_job

    camera = open_station_camera(settings.camera, settings.web).camera
    job = RollJob("check", camera, bundle, settings.web, settings.engine, settings.inspection, live=False)
    check_job(job)
    check_scale(replace(job, bundle=load_manifest(settings.bundle)), bundle)
    memory.choose(EngineName.of(bundle), trial_s(settings.engine), is_running=False)
    typer.echo(f"the station does not run: {EngineName.of(bundle)} decides from its next start on")


def _of_running(
    endpoint: str, keys: ClientKeys | None, wanted: tuple[str, str | None], operator: str, timeout_s: float
) -> None:
    from glass_edge.cli.engine_wait import Place, wait_until_it_decides
    from glass_edge.events.commands import change_recipe
    from glass_edge.events.errors import CommandRefusedError
    from glass_edge.events.requester import request_snapshot

    style, version = wanted
    epoch, snapshot = request_snapshot(endpoint, keys=keys)
    before = snapshot.engine
    try:
        reply = change_recipe(endpoint, style, version=version, operator=operator, keys=keys)
    except CommandRefusedError as error:
        if before is None or error.reason != f"{before.style} {before.version} decides already":
            raise
        typer.echo(error.reason)
        return
    found = f"{reply.style} {reply.version}"
    if before is not None and (before.style, before.version) == (reply.style, reply.version):
        typer.echo(f"{found} decides, and goes on: what was prepared is taken back")
        return
    if before is not None and before.style != reply.style:
        typer.echo(f"{found} is prepared and decides where the next roll begins (glass-edge roll change NAME)")
        return
    wait_until_it_decides(Place(endpoint, keys, epoch, snapshot.seq + 1), (reply.style, reply.version), timeout_s)
    was = "" if before is None else f", {before.version} did before"
    typer.echo(f"{found} decides{was}")
