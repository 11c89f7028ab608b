"""One roll on a station, as `replay` and `run` show it.

Promises: where the events are, and how to follow them, is said before the first line plays; a JSON summary is the only
thing on standard output.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import typer

from glass_edge.cli.console import ConsoleSink, print_summary, summary_document
from glass_edge.inspection.sink import InspectionSink
from glass_edge.service.notify_station import StationNotes
from glass_edge.service.roll_job import RollJob, RollReport
from glass_edge.service.signals import StopRequest
from glass_edge.service.station import Station


def inspect_and_show(
    station: Station,
    job: RollJob,
    stop: StopRequest,
    *,
    total_lines: int | None,
    as_json: bool,
    linger_s: float = 0.0,
    notes: StationNotes | None = None,
    watchers: Sequence[InspectionSink] = (),
    is_logged: bool = False,
) -> RollReport:
    """Inspect `job` on the open `station`, print what is found and the summary; then go on answering for `linger_s`.

    Where the station's events are logged (`is_logged`), they are not printed too.
    """
    keeps = total_lines is not None
    sink = ConsoleSink(total_lines, quiet=as_json or is_logged, keep_defects=keeps, tell_faults=not is_logged)
    publisher = station.publisher
    sink.say(f"engine {job.bundle.folder}: style {job.bundle.manifest.style} {job.bundle.manifest.version}")
    sink.say(f"journal {publisher.journal.path}; pictures of defects {station.crops_folder}")
    sink.say("follow the events with:")
    sink.say(
        f"  glass-edge events tail --from-start --endpoint {publisher.publish_endpoint}"
        f" --request {publisher.request_endpoint}"
    )
    with sink:
        told = [sink, *watchers] if notes is None else [sink, notes, *watchers]
        report = station.inspect(job, told, stop, None if notes is None else notes.turned)
    if as_json:
        document: dict[str, Any] = {
            "station": station.name,
            "epoch": publisher.epoch,
            "journal": str(publisher.journal.path),
            "crops": str(station.crops_folder),
            "roll_id": job.roll_id,
            "style": job.bundle.manifest.style,
            "bundle": str(job.bundle.folder),
        }
        typer.echo(json.dumps(document | summary_document(sink, report, job.scale), indent=2))
    else:
        print_summary(sink, report, job.scale)
    if linger_s and not stop.asked.is_set():
        sink.say(f"answering subscribers for {linger_s:g} s more; Ctrl-C ends it")
        stop.asked.wait(linger_s)
    return report
