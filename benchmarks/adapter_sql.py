"""Events a second into SQLite and PostgreSQL: one by one, and in batches.

    python benchmarks/adapter_sql.py [--events N] [--stations N] [--rounds N] [--json]

Two things are timed, each with 1 and with many events a transaction, in turn, in one run:

- `adapter`: the whole adapter. A station's journal holds the events; client, runner, offset file and sink carry them.
- `stations`: that many sinks at the same time, a process and a connection each, into one database.

The events are rolls with defects that grow. SQLite and a PostgreSQL of its own (package postgresql, with its own
defaults) live in the folder for temporary files; all that is told to be written is on its disk.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from glass_edge.adapters.dead_letters import DeadLetters
from glass_edge.adapters.repeated_log import RepeatedLog
from glass_edge.adapters.runner import Runner
from glass_edge.adapters.sink import RetryableError
from glass_edge.adapters.sql import SqlSink
from glass_edge.adapters.status_file import StatusFile
from glass_edge.config.adapter_sql import SqlSettings
from glass_edge.config.adapters import RetrySettings
from glass_edge.config.events import EventSettings
from glass_edge.events.client import EventClient, Received
from glass_edge.events.journal import Journal
from glass_edge.events.publisher import Publisher
from glass_edge.events.schema import Draft

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests/adapters"))
from adapters_support import roll_drafts
from postgres_server import BIN, PostgresServer

MANY = 500
Make = Callable[[], str]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=4000, help="events of the whole adapter")
    parser.add_argument("--stations", type=int, default=8)
    parser.add_argument("--station-events", type=int, default=1000, help="events of each station")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # or the server would stay
    rates: dict[str, list[float]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ge-")))
        databases = {"sqlite": sqlite_files(folder)}
        if BIN is None:
            print("no PostgreSQL: install the package postgresql", file=sys.stderr)
        else:
            server = stack.enter_context(PostgresServer(fsync="on", synchronous_commit="on", max_connections=100))
            databases["postgresql"] = server.make_database
        for _ in range(arguments.rounds):
            for name, make in databases.items():
                for size in (1, MANY):
                    rate = whole_adapter(make(), arguments.events, size)
                    rates.setdefault(f"adapter, {name}, {size} at once", []).append(rate)
                    rate = many_stations(make(), arguments.stations, arguments.station_events, size)
                    rates.setdefault(f"{arguments.stations} stations, {name}, {size} at once", []).append(rate)
    if arguments.json:
        print(json.dumps({"arguments": vars(arguments), "events_per_s": rates}, indent=2))
        return
    for what, found in rates.items():
        told = f"{statistics.median(found):8.0f} events/s ({min(found):.0f} to {max(found):.0f})"
        print(f"{what:44} {told}")


def sqlite_files(folder: Path) -> Make:
    """Makes URLs of files that are not there."""
    names: Iterator[int] = iter(range(1_000_000))
    return lambda: f"sqlite:///{folder}/events{next(names)}.sqlite"


def drafts(count: int) -> list[Draft]:
    """Rolls of 30 defects, each told of three times."""
    made: list[Draft] = []
    while len(made) < count:
        made += roll_drafts(f"R-{len(made)}", defects=30)
    return made[:count]


def whole_adapter(url: str, count: int, size: int) -> float:
    """Events a second from a journal to the database, offset and all."""
    with tempfile.TemporaryDirectory(prefix="ge-") as name:
        folder = Path(name)
        publish, request = f"ipc://{folder}/pub", f"ipc://{folder}/req"
        document = {"journal": folder / "journal.db", "publish_endpoint": publish, "request_endpoint": request}
        with Publisher(EventSettings.model_validate(document), "loom1") as publisher:
            publisher.emit_all(drafts(count))
            stop = threading.Event()
            client = EventClient(publish, request, offset_path=folder / "offset.json")
            with client, closing(SqlSink(SqlSettings(url=url, most_events=size), "benchmark")) as sink:
                state = StatusFile(folder / "status.json", "benchmark", print)
                runner = Runner(
                    client,
                    sink,
                    letters=DeadLetters(folder / "letters.jsonl", 1 << 20),
                    status=state,
                    log=RepeatedLog("benchmark"),
                    retry=RetrySettings(),
                    stop=stop,
                )
                watch = threading.Thread(target=_stop_at, args=(state, count, stop))
                watch.start()
                begun_s = time.perf_counter()
                runner.run()
                took_s = time.perf_counter() - begun_s
                watch.join()
    return count / took_s


def _stop_at(state: StatusFile, count: int, stop: threading.Event) -> None:
    while state.now.delivered < count:
        time.sleep(0.01)
    stop.set()


def many_stations(url: str, stations: int, count: int, size: int) -> float:
    """Events a second of all, from the first begun to the last done."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(stations)
    queue: Any = context.Queue()
    SqlSink(SqlSettings(url=url), "benchmark").close()  # the tables
    processes = [
        context.Process(target=_station, args=(url, f"loom{number}", count, size, ready, queue))
        for number in range(stations)
    ]
    for process in processes:
        process.start()
    spans = [queue.get() for _ in processes]
    for process in processes:
        process.join()
    return stations * count / (max(end for _, end in spans) - min(begin for begin, _ in spans))


def _station(url: str, station: str, count: int, size: int, *told: Any) -> None:  # noqa: ANN401 - of multiprocessing
    ready, queue = told
    with tempfile.TemporaryDirectory() as folder, closing(Journal(Path(folder) / "journal.db", station)) as journal:
        events = [Received(event, event.to_json()) for event in journal.append_all(drafts(count))]
    with closing(SqlSink(SqlSettings(url=url, most_events=size, timeout_s=60), "benchmark")) as sink:
        ready.wait()
        begun_s = time.monotonic()
        first = 0
        while first < count:
            with contextlib.suppress(RetryableError):  # another held the file for too long; as the runner, tried again
                sink.handle_many(events[first : first + size])
                first += size
        queue.put((begun_s, time.monotonic()))


if __name__ == "__main__":
    main()
