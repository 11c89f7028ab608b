"""`glass-edge roll change`: the next roll begins, while the loom runs.

Promises: the answer says from which line on the cloth is the new roll's; a station that refuses says why (exit code 1).
"""

from __future__ import annotations

import json
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
    config: ConfigOption = None,
    request: RequestOption = None,
    server_key: ServerKeyOption = None,
    client_key: ClientKeyOption = None,
    operator: OperatorOption = None,
    timeout_s: TimeoutOption = 5.0,
    as_json: AnswerOption = False,
) -> None:
    """The cloth that comes from now on belongs to the roll ROLL_ID; the roll before ends when its cloth is scored."""
    from glass_edge.events.commands import change_roll

    endpoint, keys = connection(config, request, server_key, client_key)
    reply = change_roll(endpoint, roll_id, operator=operator_name(operator), timeout_s=timeout_s, keys=keys)
    if as_json:
        typer.echo(json.dumps({"station": reply.station, "roll_id": reply.roll_id, "first_line": reply.first_line}))
    else:
        typer.echo(f"station {reply.station}: roll {reply.roll_id} begins at web line {reply.first_line}")
