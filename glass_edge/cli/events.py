"""`glass-edge events`: follow a station's events, read them back, and prove that none is missing."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glass_edge.cli.station_options import ClientKeyOption, ServerKeyOption, client_keys
from glass_edge.config.events import DEFAULT_PUBLISH_ENDPOINT, DEFAULT_REQUEST_ENDPOINT

if TYPE_CHECKING:
    from collections.abc import Callable

    from glass_edge.events.client import Received
    from glass_edge.events.journal_check import ComparisonReport, JournalReport

PublishOption = Annotated[str, typer.Option("--endpoint", help="Where the station publishes (ipc:// or tcp://).")]
RequestOption = Annotated[str, typer.Option("--request", help="Where the station answers requests.")]
JsonOption = Annotated[bool, typer.Option("--json", help="The documents as published, one a line.")]


def register(app: typer.Typer) -> None:
    """Add the group `events` to `app`."""
    group = typer.Typer(no_args_is_help=True, help="Follow, read back and verify the events of a station.")
    group.command("tail")(tail)
    group.command("replay")(replay)
    group.command("verify")(verify)
    app.add_typer(group, name="events")


def tail(
    *,
    endpoint: PublishOption = DEFAULT_PUBLISH_ENDPOINT,
    request: RequestOption = DEFAULT_REQUEST_ENDPOINT,
    server_key: ServerKeyOption = None,
    client_key: ClientKeyOption = None,
    station: Annotated[str | None, typer.Option(help="Name the station must have; without it, any.")] = None,
    offset_file: Annotated[
        Path | None, typer.Option(help="Go on after the last event of the run before; the place is kept in this file.")
    ] = None,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Begin with the oldest event kept, not with the next one.")
    ] = False,
    as_json: JsonOption = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many events.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.0, help="Stop after this many seconds.")] = None,
) -> None:
    """Print events as they come, in order and without a gap, across restarts of the station."""
    from glass_edge.events.client import EventClient
    from glass_edge.events.sequencer import LATEST, OLDEST
    from glass_edge.events.tail import tail as follow

    client = EventClient(
        endpoint,
        request,
        station=station,
        offset_path=offset_file,
        start=OLDEST if from_start else LATEST,
        keys=client_keys(server_key, client_key),
    )
    with client:
        write, note = _writer(as_json), _note
        _until_reader_leaves(lambda: follow(client, write, note, limit=limit, seconds=seconds))


def replay(
    *,
    request: RequestOption = DEFAULT_REQUEST_ENDPOINT,
    server_key: ServerKeyOption = None,
    client_key: ClientKeyOption = None,
    from_seq: Annotated[
        int | None, typer.Option("--from", min=1, help="First event; without it, the oldest kept.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most events.")] = None,
    timeout_s: Annotated[float, typer.Option("--timeout", min=0.1, help="How long to wait for an answer, s.")] = 5.0,
    as_json: JsonOption = False,
) -> None:
    """Print the events the station keeps, up to its newest, and end."""
    from glass_edge.events.tail import read_back

    keys = client_keys(server_key, client_key)
    _until_reader_leaves(
        lambda: read_back(request, _writer(as_json), from_seq=from_seq, limit=limit, timeout_s=timeout_s, keys=keys)
    )


def verify(
    journal: Annotated[Path, typer.Argument(help="Journal file of a station, also while it runs.")],
    *,
    against: Annotated[
        Path | None, typer.Option(help="What a subscriber received: a file of `events tail --json`.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one JSON document.")] = False,
) -> None:
    """Prove that a journal has no gap and no broken event, and that a subscriber received all of it."""
    from glass_edge.errors import GlassEdgeError
    from glass_edge.events.journal_check import compare
    from glass_edge.events.journal_check import verify as check

    report = check(journal)
    comparison = compare(journal, against) if against is not None else None
    if as_json:
        typer.echo(json.dumps(_report_document(report, comparison), indent=2))
    else:
        _print_report(report, comparison)
    problems = report.findings.count + (comparison.findings.count if comparison else 0)
    if problems:
        raise GlassEdgeError(f"{journal}: {problems} problem{'s' if problems > 1 else ''} found")


def _print_report(report: JournalReport, comparison: ComparisonReport | None) -> None:
    typer.echo(
        f"station {report.station}, epoch {report.epoch}: {report.events} events, {report.oldest} to {report.head}"
    )
    typer.echo("the journal is gapless and every event is sound" if report.is_whole else "the journal is NOT sound")
    if comparison is not None:
        typer.echo(f"received: {comparison.received} events, {comparison.repeated} of them again")
        if comparison.not_kept:
            typer.echo(f"and {comparison.not_kept} that the journal no longer keeps: not compared")
        verdict = "equal to" if comparison.is_equal else "NOT equal to"
        typer.echo(f"what the subscriber received is {verdict} the journal")
    for findings in (report.findings, comparison.findings if comparison else None):
        if findings is None:
            continue
        for problem in findings.kept:
            typer.echo(f"  {problem}")
        if findings.count > len(findings.kept):
            typer.echo(f"  ... and {findings.count - len(findings.kept)} more")


def _report_document(report: JournalReport, comparison: ComparisonReport | None) -> dict[str, object]:
    document: dict[str, object] = {
        "station": report.station,
        "epoch": report.epoch,
        "oldest": report.oldest,
        "head": report.head,
        "events": report.events,
        "is_whole": report.is_whole,
        "problems": report.findings.kept,
        "problem_count": report.findings.count,
    }
    if comparison is not None:
        document["against"] = {
            "received": comparison.received,
            "repeated": comparison.repeated,
            "not_kept": comparison.not_kept,
            "is_equal": comparison.is_equal,
            "problems": comparison.findings.kept,
            "problem_count": comparison.findings.count,
        }
    return document


def _writer(as_json: bool) -> Callable[[Received], None]:
    from glass_edge.events.text import describe

    def write(received: Received) -> None:
        # flushed before it is committed: an event that never left this process must come again
        sys.stdout.write((received.document if as_json else describe(received.event)) + "\n")
        sys.stdout.flush()

    return write


def _note(text: str) -> None:
    typer.echo(text, err=True)


def _until_reader_leaves(work: Callable[[], int]) -> None:
    """Run `work`; a reader that closes the pipe (`| head`) ends it without complaint."""
    try:
        work()
    except BrokenPipeError:
        # the interpreter flushes stdout when it exits and would complain again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
