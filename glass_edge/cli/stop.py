"""`glass-edge stop`: the stop request of a running station that waits for an answer, and answering it.

Promises: an answer is in the journal with who gave it; a station that refuses says why (exit code 1). A stop request is
never the safety function, and answering one stops no loom.
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
    group = typer.Typer(no_args_is_help=True, help="See and answer the stop request of a running station.")
    group.command("pending")(pending)
    group.command("ack")(ack)
    app.add_typer(group, name="stop")


def pending(
    *,
    config: ConfigOption = None,
    request: RequestOption = None,
    server_key: ServerKeyOption = None,
    client_key: ClientKeyOption = None,
    timeout_s: TimeoutOption = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the request as JSON, null when none waits.")] = False,
) -> None:
    """Show the stop request that waits for an answer."""
    from glass_edge.events.requester import request_snapshot
    from glass_edge.events.text import printable

    endpoint, keys = connection(config, request, server_key, client_key)
    _, snapshot = request_snapshot(endpoint, timeout_s=timeout_s, keys=keys)
    waiting = snapshot.stop_request
    if as_json:
        typer.echo("null" if waiting is None else waiting.model_dump_json())
    else:
        bypass = " (the bypass is on)" if snapshot.is_bypassed else ""
        said = "no stop request waits" if waiting is None else printable(f"{waiting.request_id}: {waiting.reason}")
        typer.echo(said + bypass)


def ack(
    request_id: Annotated[str, typer.Argument(help="Of the stop request, as `stop pending` shows it.")],
    *,
    refuse: Annotated[bool, typer.Option("--refuse", help="The loom is not being stopped.")] = False,
    detail: Annotated[str, typer.Option(help="More about it, for the journal.")] = "",
    config: ConfigOption = None,
    request: RequestOption = None,
    server_key: ServerKeyOption = None,
    client_key: ClientKeyOption = None,
    operator: OperatorOption = None,
    timeout_s: TimeoutOption = 5.0,
    as_json: AnswerOption = False,
) -> None:
    """Answer a stop request: the loom is being stopped, or with --refuse it is not."""
    from glass_edge.events.commands import acknowledge

    endpoint, keys = connection(config, request, server_key, client_key)
    reply = acknowledge(
        endpoint,
        request_id,
        accepted=not refuse,
        detail=detail,
        operator=operator_name(operator),
        timeout_s=timeout_s,
        keys=keys,
    )
    if as_json:
        told = {"station": reply.station, "request_id": reply.request_id, "accepted": reply.accepted}
        typer.echo(json.dumps(told))
    else:
        answer = "accepted" if reply.accepted else "refused"
        typer.echo(f"station {reply.station}: stop request {reply.request_id} {answer}")
