"""`glass-edge bypass on|off`: a running station asks for no stops, or for stops again.

Promises: who switched it and why is in the station's journal; a station that refuses says why (exit code 1).
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from glass_edge.cli.station_options import (
    AnswerOption,
    ClientKeyOption,
    ConfigOption,
    OperatorOption,
    RequestOption,
    ServerKeyOption,
    TimeoutOption,
    connection,
    operator_name,
)


class Switch(StrEnum):
    """Position of the bypass."""

    ON = "on"
    OFF = "off"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("bypass")(bypass)


def bypass(
    switch: Annotated[Switch, typer.Argument(help="on: no stops are asked for; off: they are.", metavar="on|off")],
    *,
    reason: Annotated[str, typer.Option(help="Why, for the journal.")] = "",
    config: ConfigOption = None,
    request: RequestOption = None,
    server_key: ServerKeyOption = None,
    client_key: ClientKeyOption = None,
    operator: OperatorOption = None,
    timeout_s: TimeoutOption = 5.0,
    as_json: AnswerOption = False,
) -> None:
    """Switch the stop rules of a running station off or on; defects are found, told and graded all the same."""
    from glass_edge.events.commands import set_bypass

    endpoint, keys = connection(config, request, server_key, client_key)
    operator = operator_name(operator)
    is_on = switch is Switch.ON
    reply = set_bypass(endpoint, is_on, reason=reason, operator=operator, timeout_s=timeout_s, keys=keys)
    if as_json:
        typer.echo(json.dumps({"station": reply.station, "is_on": reply.is_on}))
    elif reply.is_on:
        typer.echo(f"station {reply.station}: the bypass is on, no stops are asked for")
    else:
        typer.echo(f"station {reply.station}: the bypass is off, stops are asked for again")
