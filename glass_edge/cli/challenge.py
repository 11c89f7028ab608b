"""`glass-edge challenge`: does the station still find what it must?

Promises: what a challenge showed is in the station's journal, with who took it, before it is printed as taken; exit
code 1 when it was not passed; the station inspects and reports as ever meanwhile.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glass_edge.cli.station_options import (
    ClientKeyOption,
    OperatorOption,
    ServerKeyOption,
    TimeoutOption,
    client_keys,
    operator_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from glass_edge.calibration.challenge import ChallengeResult
    from glass_edge.config.challenge import StripSettings
    from glass_edge.config.station import StationSettings
    from glass_edge.events.curve_keys import ClientKeys
    from glass_edge.events.payloads_records import ChallengeFigures

StationOption = Annotated[Path, typer.Option(help="Station file of the running station.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print what is kept as JSON.")]
_SETTLE_S = 3.0
_QUIET = 10


def register(app: typer.Typer) -> None:
    """Add the group to `app`."""
    group = typer.Typer(no_args_is_help=True, help="Challenge a running station: golden tiles, or a strip with marks.")
    group.command("tiles")(tiles)
    group.command("strip")(strip)
    app.add_typer(group, name="challenge")


def tiles(
    *,
    config: StationOption,
    server_key: ServerKeyOption = None,
    client_key: ClientKeyOption = None,
    operator: OperatorOption = None,
    timeout_s: TimeoutOption = 5.0,
    as_json: JsonOption = False,
) -> int:
    """Test the engine on its golden tiles, on this machine and now."""
    from glass_edge.calibration.binomial import at_least
    from glass_edge.cli.station_engine import station_engine
    from glass_edge.config.station import load_station
    from glass_edge.engine.factory import open_engine
    from glass_edge.engine.parity import ParityError
    from glass_edge.events.payloads_records import ChallengeFigures

    settings = load_station(config)
    keys = client_keys(server_key, client_key)
    bundle = station_engine(settings).bundle
    manifest, n_tiles = bundle.manifest, len(bundle.golden().tiles)
    os.nice(_QUIET)  # the station beside it needs the cores
    detail, found = "", n_tiles
    try:
        open_engine(bundle, settings.engine).__exit__(None, None, None)  # which runs the tiles, and refuses
    except ParityError as error:
        detail, found = str(error), 0
    figures = ChallengeFigures(
        subject="tiles",
        name=f"{manifest.style} {manifest.version}",
        shown=n_tiles,
        found=found,
        detection_low=at_least(found, n_tiles),
        wanted=0.0,
        is_passed=not detail,
        detail=detail[:2000],
    )
    said = f"{n_tiles} golden tiles of {figures.name}: " + (detail or "each scored as it should be")
    return _keep(settings, figures, said, keys=keys, operator=operator, timeout_s=timeout_s, as_json=as_json)


def strip(
    file: Annotated[Path, typer.Argument(metavar="STRIP", help="File of the strip and its marks (TOML).")],
    *,
    config: StationOption,
    for_s: Annotated[
        float | None, typer.Option("--for", min=1, help="Listen for so long, s; left out: until Enter is pressed.")
    ] = None,
    server_key: ServerKeyOption = None,
    client_key: ClientKeyOption = None,
    operator: OperatorOption = None,
    timeout_s: TimeoutOption = 5.0,
    as_json: JsonOption = False,
) -> int:
    """Lead a strip with known marks past the camera, and see which the station finds."""
    from glass_edge.calibration.challenge import judge, marks_needed
    from glass_edge.config.challenge import load_strip
    from glass_edge.config.station import load_station
    from glass_edge.errors import InputError
    from glass_edge.events.client import EventClient
    from glass_edge.events.sequencer import LATEST
    from glass_edge.service.challenge_listener import ChallengeListener

    settings, marked = load_station(config), load_strip(file)
    if len(marked.marks) < (needed := marks_needed(marked)):
        raise InputError(
            f"{file}: {len(marked.marks)} marks cannot show at_least = {marked.at_least:g}, even if all are found;"
            f" {needed} can: give the strip more, or ask for less"
        )
    keys, events = client_keys(server_key, client_key), settings.events
    client = EventClient(
        events.publish_endpoint, events.request_endpoint, station=settings.station, start=LATEST, keys=keys
    )
    with client:
        listener = ChallengeListener(client)
        listener.begin(timeout_s)
        places = listener.listen(_passing(marked, for_s), _SETTLE_S)
    result = judge(marked, places)
    figures = _figures(marked, result, listener.missed_m)
    said = _sentence(marked, result)
    return _keep(settings, figures, said, keys=keys, operator=operator, timeout_s=timeout_s, as_json=as_json)


def _passing(marked: StripSettings, for_s: float | None) -> Callable[[], bool]:
    """Guide the person; what it returns is True once the strip has passed."""
    what = f"strip {marked.strip}, {len(marked.marks)} marks"
    if for_s is not None:
        typer.echo(f"{what}: lead it past the camera within {for_s:g} s", err=True)
        until_s = time.monotonic() + for_s
        return lambda: time.monotonic() >= until_s
    pressed = threading.Event()

    def wait() -> None:
        sys.stdin.readline()
        pressed.set()

    typer.echo(f"{what}: lead it past the camera, then press Enter", err=True)
    threading.Thread(target=wait, name="enter", daemon=True).start()
    return pressed.is_set


def _figures(marked: StripSettings, result: ChallengeResult, missed_m: float) -> ChallengeFigures:
    from glass_edge.events.payloads_records import ChallengeFigures

    told = []
    if result.missed:
        told.append(f"missed: {', '.join(_mark(marked, number) for number in result.missed[:10])}")
    if not result.is_clear:
        told.append(f"{result.extra} other defects lie beside the strip, so that marks could be found by chance")
    if missed_m > 0:
        told.append(f"{missed_m:.3f} m of cloth were not inspected meanwhile")
    return ChallengeFigures(
        subject="strip",
        name=marked.strip,
        shown=result.shown,
        found=result.found,
        extra=result.extra,
        detection_low=result.detection_low,
        wanted=result.wanted,
        is_passed=result.is_passed,
        detail="; ".join(told),
    )


def _sentence(marked: StripSettings, result: ChallengeResult) -> str:
    return (
        f"strip {marked.strip}: {result.found} of {result.shown} marks found, {result.extra} other defects;"
        f" at least {100 * result.detection_low:.1f} % of such marks are found (95 % confidence),"
        f" {100 * result.wanted:.1f} % are asked for"
    )


def _mark(marked: StripSettings, number: int) -> str:
    mark = marked.marks[number]
    kind = f" {mark.kind}" if mark.kind else ""
    return f"{number + 1}{kind} ({mark.along_mm:g}, {mark.across_mm:g} mm)"


def _keep(
    settings: StationSettings,
    figures: ChallengeFigures,
    said: str,
    *,
    keys: ClientKeys | None,
    operator: str | None,
    timeout_s: float,
    as_json: bool,
) -> int:
    from glass_edge.events.commands import keep_challenge
    from glass_edge.events.text import printable

    if not as_json:
        typer.echo(printable(said))
        if figures.detail and figures.detail not in said:
            typer.echo(printable(figures.detail))
    reply = keep_challenge(
        settings.events.request_endpoint, figures, operator=operator_name(operator), timeout_s=timeout_s, keys=keys
    )
    if as_json:
        typer.echo(json.dumps({"station": reply.station, "seq": reply.seq} | figures.model_dump(mode="json"), indent=2))
    else:
        typer.echo(f"{'passed' if figures.is_passed else 'NOT passed'}; kept by {reply.station} as event {reply.seq}")
    return 0 if figures.is_passed else 1
