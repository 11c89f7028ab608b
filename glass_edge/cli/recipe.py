"""`glass-edge recipe change`: another style is woven from now on.

Promises: the answer says which engine the station prepares; a station that refuses says why (exit code 1).
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
    group = typer.Typer(no_args_is_help=True, help="Change the style that a running station inspects.")
    group.command("change")(change)
    group.callback()(_recipe)
    app.add_typer(group, name="recipe")


def _recipe() -> None:
    """Change the style that a running station inspects."""


def change(
    style: Annotated[str, typer.Argument(help="Fabric style.")],
    *,
    version: Annotated[str | None, typer.Option(help="Version of its engine; default: the station's choice.")] = None,
    config: ConfigOption = None,
    request: RequestOption = None,
    server_key: ServerKeyOption = None,
    client_key: ClientKeyOption = None,
    operator: OperatorOption = None,
    timeout_s: TimeoutOption = 5.0,
    as_json: AnswerOption = False,
) -> None:
    """Have the station prepare the engine of STYLE; its event engine.activated tells when it decides."""
    from glass_edge.events.commands import change_recipe

    endpoint, keys = connection(config, request, server_key, client_key)
    reply = change_recipe(
        endpoint, style, version=version, operator=operator_name(operator), timeout_s=timeout_s, keys=keys
    )
    if as_json:
        typer.echo(json.dumps({"station": reply.station, "style": reply.style, "version": reply.version}))
    else:
        typer.echo(f"station {reply.station}: prepares {reply.style} {reply.version}")
