"""`glass-edge roll change`: the next roll begins, while the loom runs.

Promises: the answer says from which line on the cloth is the new roll's; a station that refuses says why (exit code 1).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from glass_edge.config.events import DEFAULT_REQUEST_ENDPOINT


def register(app: typer.Typer) -> None:
    """Add the group to `app`."""
    group = typer.Typer(no_args_is_help=True, help="Begin a new roll on a running station.")
    group.command("change")(change)
    group.callback()(_roll)
    app.add_typer(group, name="roll")


def _roll() -> None:
    """Begin a new roll on a running station."""


def change(
    roll_id: Annotated[str, typer.Argument(help="Name of the new roll.")],
    *,
    config: Annotated[Path | None, typer.Option(help="Station file of the running station.")] = None,
    request: Annotated[
        str | None, typer.Option("--request", help="Where the station answers requests, instead of --config.")
    ] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, help="How long to wait for an answer, s.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the station's answer as JSON.")] = False,
) -> None:
    """The cloth that comes from now on belongs to the roll ROLL_ID; the roll before ends when its cloth is scored."""
    from glass_edge.config.station import load_station
    from glass_edge.errors import InputError
    from glass_edge.events.commands import change_roll

    if config is not None and request is not None:
        raise InputError("give --config or --request, not both")
    endpoint = load_station(config).events.request_endpoint if config is not None else request
    reply = change_roll(endpoint or DEFAULT_REQUEST_ENDPOINT, roll_id, timeout_s=timeout_s)
    if as_json:
        typer.echo(json.dumps({"station": reply.station, "roll_id": reply.roll_id, "first_line": reply.first_line}))
    else:
        typer.echo(f"station {reply.station}: roll {reply.roll_id} begins at web line {reply.first_line}")
