"""`glass-edge adapter`: carry a station's events to other systems, and see how that goes.

Promises: an adapter runs until a signal asks for the end, which is its normal way to stop (exit code 0), and goes on
where it ended; `status` says in its exit code whether a person is needed.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from glass_edge.adapters.sink import Sink
    from glass_edge.adapters.status_file import AdapterStatus
    from glass_edge.config.adapters import AdapterSettings
    from glass_edge.events.client import Received

ConfigOption = Annotated[Path, typer.Option(help="Adapter file.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Tell what would be done with the events that wait, do nothing, and end.")
]
_STALE_S = 120.0  # a step may take as long as the server's silence, several times


def register(app: typer.Typer) -> None:
    """Add the group to `app`."""
    group = typer.Typer(no_args_is_help=True, help="Carry a station's events to other systems.")
    group.command("files")(files)
    group.command("webhook")(webhook)
    group.command("status")(status)
    app.add_typer(group, name="adapter")


def files(*, config: ConfigOption, dry_run: DryRunOption = False) -> None:
    """Write ROLL.json and ROLL-defects.csv into a folder at each roll's end."""
    from glass_edge.adapters.files import FilesSink, plan
    from glass_edge.config.adapters import load_files_adapter

    settings = load_files_adapter(config)
    store = settings.state.folder / "rolls.sqlite"
    _run(settings, lambda: FilesSink(settings.files, store), plan, is_dry=dry_run)


def webhook(*, config: ConfigOption, dry_run: DryRunOption = False) -> None:
    """Post each event to an HTTPS server, signed."""
    from glass_edge import __version__
    from glass_edge.adapters.webhook import WebhookSink, plan
    from glass_edge.config.adapters import load_webhook_adapter

    settings = load_webhook_adapter(config)
    agent = f"glass-edge/{__version__} ({settings.adapter})"
    _run(settings, lambda: WebhookSink(settings.webhook, agent), plan, is_dry=dry_run)


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


def _run(
    settings: AdapterSettings, make_sink: Callable[[], Sink], plan: Callable[[Received], str], *, is_dry: bool
) -> None:
    from glass_edge.adapters.dead_letters import DeadLetters
    from glass_edge.adapters.dry_run import dry_run
    from glass_edge.adapters.repeated_log import RepeatedLog
    from glass_edge.adapters.runner import Runner
    from glass_edge.adapters.status_file import StatusFile
    from glass_edge.events.client import EventClient
    from glass_edge.events.sequencer import LATEST, OLDEST
    from glass_edge.service.signals import stop_on_signals

    source, folder = settings.source, settings.state.folder
    offset = folder / "offset.json"
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        client = EventClient(
            source.publish_endpoint,
            source.request_endpoint,
            station=source.station,
            offset_path=offset if offset.exists() or not is_dry else None,
            start=OLDEST if source.start == "oldest" else LATEST,
        )
        stack.enter_context(client)
        if is_dry:
            count = dry_run(client, plan, typer.echo, stop.asked)
            typer.echo(f"{count} events wait; nothing was done", err=True)
            return
        log = RepeatedLog(settings.adapter)
        letters = DeadLetters(folder / "dead-letters.jsonl", int(settings.state.dead_letters_mb * (1 << 20)))
        sink = stack.enter_context(closing(make_sink()))
        state = StatusFile(folder / "status.json", settings.adapter, lambda problem: log.tell("status", problem))
        Runner(client, sink, letters=letters, status=state, log=log, retry=settings.retry, stop=stop.asked).run()
