"""What every `glass-edge adapter` command does once its file is read.

Promises: an adapter runs until a signal asks for the end; a dry run changes nothing.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from glass_edge.adapters.sink import Sink
    from glass_edge.config.adapters import AdapterSettings, SourceSettings
    from glass_edge.events.client import Received
    from glass_edge.events.curve_keys import ClientKeys

ConfigOption = Annotated[Path, typer.Option(help="Adapter file.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Tell what would be done with the events that wait, do nothing, and end.")
]


def run_adapter(
    settings: AdapterSettings, make_sink: Callable[[], Sink], plan: Callable[[Received], str], *, is_dry: bool
) -> None:
    """Carry the events of a station, or with `is_dry` tell what `plan` says of those that wait.

    Args:
        settings: of the adapter.
        make_sink: makes its receiver; not called in a dry run.
        plan: what the receiver would do with an event.
        is_dry: tell only.

    Raises:
        InputError: keys, endpoints, offset or the receiver's settings are wrong.
        GlassEdgeError: see `Runner.run`.
    """
    from glass_edge.adapters.dead_letters import DeadLetters
    from glass_edge.adapters.dry_run import dry_run
    from glass_edge.adapters.repeated_log import RepeatedLog
    from glass_edge.adapters.runner import Runner
    from glass_edge.adapters.status_file import StatusFile
    from glass_edge.cli.adapter_notes import AdapterNotes
    from glass_edge.events.client import EventClient
    from glass_edge.events.sequencer import LATEST, OLDEST
    from glass_edge.service.notify import Notifier
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
            keys=client_keys(source),
        )
        stack.enter_context(client)
        if is_dry:
            count = dry_run(client, plan, typer.echo, stop.asked)
            typer.echo(f"{count} events wait; nothing was done", err=True)
            return
        log = RepeatedLog(settings.adapter)
        letters = DeadLetters(folder / "dead-letters.jsonl", int(settings.state.dead_letters_mb * (1 << 20)))
        sink = stack.enter_context(closing(make_sink()))
        notes = AdapterNotes(stack.enter_context(Notifier.from_environment()))
        state = StatusFile(
            folder / "status.json", settings.adapter, lambda problem: log.tell("status", problem), notes.told
        )
        Runner(client, sink, letters=letters, status=state, log=log, retry=settings.retry, stop=stop.asked).run()


def client_keys(source: SourceSettings) -> ClientKeys | None:
    """The CURVE keys that a source names; None without.

    Raises:
        InputError: one of them cannot be used.
    """
    from glass_edge.events.curve_keys import ClientKeys, read_pair, read_public

    if source.server_key is None or source.client_key is None:
        return None
    return ClientKeys(read_public(source.server_key), read_pair(source.client_key))
