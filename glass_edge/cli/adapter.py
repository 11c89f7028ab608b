"""`glass-edge adapter`: carry a station's events to other systems, and see how that goes.

Promises: an adapter runs until a signal asks for the end, which is its normal way to stop (exit code 0), and goes on
where it ended; `status` says in its exit code whether a person is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glass_edge.cli.adapter_any import any_adapter
from glass_edge.cli.adapter_files import files
from glass_edge.cli.adapter_modbus import modbus
from glass_edge.cli.adapter_mqtt import mqtt
from glass_edge.cli.adapter_opcua import opcua
from glass_edge.cli.adapter_sql import sql
from glass_edge.cli.adapter_webhook import webhook

if TYPE_CHECKING:
    from glass_edge.adapters.status_file import AdapterStatus

_STALE_S = 120.0  # a step may take as long as the server's silence, several times


def register(app: typer.Typer) -> None:
    """Add the group to `app`."""
    group = typer.Typer(no_args_is_help=True, help="Carry a station's events to other systems.")
    group.command("run")(any_adapter)
    group.command("files")(files)
    group.command("webhook")(webhook)
    group.command("modbus")(modbus)
    group.command("mqtt")(mqtt)
    group.command("opcua")(opcua)
    group.command("sql")(sql)
    group.command("status")(status)
    app.add_typer(group, name="adapter")


def status(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="status.json in the state folder of an adapter.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the file's document.")] = False,
) -> int:
    """Print how an adapter does; exit code 1 when it retries, failed, or no longer writes its state."""
    from datetime import UTC, datetime

    from glass_edge.adapters.status_file import AdapterState, read_status
    from glass_edge.events.schema import format_stamp

    now = read_status(file)
    age_s = (datetime.now(UTC) - now.written_utc).total_seconds()
    is_stale = now.state not in (AdapterState.STOPPED, AdapterState.FAILED) and age_s > _STALE_S
    if as_json:
        typer.echo(now.model_dump_json(indent=2))
    else:
        typer.echo(_sentence(now))
        if now.last_error is not None:
            typer.echo(f"last error, {format_stamp(now.last_error.stamp_utc)}: {now.last_error.text}")
        if is_stale:
            typer.echo(f"its state is {age_s:.0f} s old: process {now.pid} was killed or hangs; start it again")
    return 1 if is_stale or now.state in (AdapterState.RETRYING, AdapterState.FAILED) else 0


def _sentence(now: AdapterStatus) -> str:
    place = "no event of this run yet" if now.seq is None else f"event {now.seq} delivered, {now.lag_s:.1f} s old then"
    behind = ", more wait" if now.is_behind and now.seq is not None else ""
    return (
        f"{now.adapter}: {now.state}, station {now.station or 'not heard yet'}, {place}{behind};"
        f" {now.delivered} delivered, {now.refused} refused, {now.retries} failed tries, {now.lost} lost"
    )
