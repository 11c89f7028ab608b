"""Many looms at one MQTT broker and one PostgreSQL: what arrives, how soon, and what a restart of either does.

    python benchmarks/many_looms.py [--looms 300] [--seconds 60] [--per-min 2 10 60] [--outage-s 30] [--tls]

Each loom is a real journal with its publisher, and has an MQTT and an SQL adapter, the same code as the commands run,
in threads of a few worker processes. The reader is Debian's mosquitto_sub. Latencies run from the stamp that the
journal gives an event to the reader, and to the commit in the database (its own commit time). After each part every
event of every journal must be there: once in the database, at least once at the reader.

Journals and adapters live in memory (--folder), since a mill has a disk a loom and this machine one for all; the broker
and the database write to a real one (--servers).
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from many_looms_servers import Broker, Postgres

_HERE = Path(__file__).resolve().parent
_LONGEST_S = 600
Heads = dict[str, tuple[str, int]]


class Workers:
    """The processes of the looms."""

    def __init__(self, count: int, looms: int, order: dict[str, Any], log: Path) -> None:
        self._processes = []
        for index in range(count):
            with log.open("ab") as errors:
                process = subprocess.Popen(
                    [sys.executable, str(_HERE / "many_looms_worker.py")],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                )
            self._processes.append(process)
            self._write(process, order | {"looms": list(range(index, looms, count))})
        for process in self._processes:
            self._read(process)

    @staticmethod
    def _write(process: subprocess.Popen[str], command: dict[str, Any]) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps(command) + "\n")
        process.stdin.flush()

    @staticmethod
    def _read(process: subprocess.Popen[str]) -> dict[str, Any]:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit("a worker ended; see workers.log")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def tell(self, **command: object) -> dict[str, Any]:
        """Give all a command; their answers as one."""
        for process in self._processes:
            self._write(process, command)
        answers = [self._read(process) for process in self._processes]
        heads: Heads = {}
        for answer in answers:
            heads |= {name: (epoch, head) for name, (epoch, head) in answer["heads"].items()}
        told = {kind: [one for answer in answers for one in answer[kind]] for kind in ("mqtt", "sql")}
        return {"heads": heads} | told

    def heads(self) -> Heads:
        """Newest event of each loom."""
        found: Heads = self.tell(state=True)["heads"]
        return found

    def wait_until_delivered(self, *kinds: str) -> dict[str, float]:
        """Seconds until each kind of adapter has delivered all that there is."""
        begun_s, took_s = time.monotonic(), {}
        while len(took_s) < len(kinds):
            now = self.tell(state=True)
            total = sum(head for _, head in now["heads"].values())
            for kind in kinds:
                if kind not in took_s and sum(one["seq"] for one in now[kind]) == total:
                    took_s[kind] = time.monotonic() - begun_s
            if time.monotonic() - begun_s > _LONGEST_S:
                heads = [head for _, head in now["heads"].values()]
                places = [pair for kind in kinds for pair in zip(heads, now[kind], strict=True)]
                behind = Counter((one["state"], one["trouble"]) for head, one in places if one["seq"] < head)
                raise SystemExit(f"not all of {total} events was delivered: {behind.most_common(5)}")
            time.sleep(0.1)
        return took_s

    def retries(self, kind: str) -> int:
        """Failed tries of all adapters of a kind so far."""
        return sum(one["retries"] for one in self.tell(state=True)[kind])

    def cpu_s(self) -> float:
        """Processor time of all looms and adapters, s."""
        ticks = 0
        for process in self._processes:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / 100

    def end(self) -> None:
        """End them in good order."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self._processes:
            process.wait()


class Reader:
    """mosquitto_sub, writing time, topic and payload of each message."""

    def __init__(self, broker: Broker, path: Path) -> None:
        self._path = path
        command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(broker.port), "-V", "mqttv5", "-q", "1"]
        command += ["-t", "mill/#", "-F", "%U %r %p", "-i", "reader", "-c", "-x", "3600"]
        if broker.ca is not None:
            command += ["--cafile", str(broker.ca)]
        with path.open("ab") as file:
            self._process = subprocess.Popen(command, stdout=file, stderr=subprocess.DEVNULL)

    def end(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()

    def events(self) -> list[tuple[float, dict[str, Any]]]:
        """Arrival (s since 1970) and document of each event, repetitions included."""
        found = []
        for line in self._path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                continue
            stamp, _, payload = line.decode().split(" ", 2)
            document = json.loads(payload or "{}")
            if "kind" in document:
                found.append((float(stamp), document))
        return found


def latencies_s(reader: Reader, database: Postgres, after: Heads) -> tuple[list[float], list[float]]:
    """Of the events beyond `after`: journal to reader, and journal to commit, s."""
    first: dict[tuple[str, int], float] = {}
    for arrived_s, document in reader.events():
        if document["seq"] > after[document["station"]][1]:
            stamp_s = _seconds(document["stamp_utc"])
            first.setdefault((document["station"], document["seq"]), arrived_s - stamp_s)
    with psycopg.connect(database.url) as connection:
        rows = connection.execute(
            "SELECT station, seq, extract(epoch FROM pg_xact_commit_timestamp(xmin) - stamp_utc)::float8"
            " FROM glass_edge.events"
        ).fetchall()
    return list(first.values()), [late_s for station, seq, late_s in rows if seq > after[station][1]]


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


def check(workers: Workers, reader: Reader, database: Postgres) -> dict[str, int]:
    """Every event is there; raises SystemExit otherwise. Returns the numbers."""
    heads = workers.heads()
    wanted = {(name, epoch, seq) for name, (epoch, head) in heads.items() for seq in range(1, head + 1)}
    deadline_s = time.monotonic() + 30
    while True:
        came = Counter((d["station"], d["epoch"], d["seq"]) for _, d in reader.events())
        if wanted <= came.keys() or time.monotonic() > deadline_s:
            break
        time.sleep(0.5)
    with psycopg.connect(database.url) as connection:
        rows = connection.execute("SELECT station, epoch, seq FROM glass_edge.events").fetchall()
    missing = {"reader": len(wanted - came.keys()), "database": len(wanted - set(rows))}
    if came.keys() - wanted or len(rows) != len(set(rows)) or set(rows) - wanted or missing["database"]:
        raise SystemExit(f"what arrived is not what was journaled: {missing}")
    order = _out_of_order(reader)
    return {
        "events": len(wanted),
        "rows": len(rows),
        "missing_at_reader": missing["reader"],
        "repeated_at_reader": sum(came.values()) - len(came),
        "out_of_order_at_reader": order,
    }


def _out_of_order(reader: Reader) -> int:
    """Events that came for the first time after a later one of their station."""
    last: dict[str, int] = {}
    seen: set[tuple[str, int]] = set()
    late = 0
    for _, document in reader.events():
        key = (document["station"], document["seq"])
        if key not in seen and document["seq"] < last.get(document["station"], 0):
            late += 1
        seen.add(key)
        last[document["station"]] = max(document["seq"], last.get(document["station"], 0))
    return late


def quantiles(values: list[float]) -> str:
    """p50, p99 and largest, ms."""
    if len(values) < 2:
        return "none"
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return f"p50 {cuts[49] * 1000:.1f}, p99 {cuts[98] * 1000:.1f}, largest {max(values) * 1000:.0f} ms"


def steady(parts: Parts, per_min: float, seconds: float) -> None:
    """A rate for some time."""
    workers, broker, database = parts.workers, parts.broker, parts.database
    before = workers.heads()
    cpu = (broker.cpu_s(), database.cpu_s(), workers.cpu_s())
    begun_s = time.monotonic()
    workers.tell(per_min=per_min)
    time.sleep(seconds)
    workers.tell(per_min=0)
    took_s = time.monotonic() - begun_s
    workers.wait_until_delivered("mqtt", "sql")
    after = workers.heads()
    events = sum(head for _, head in after.values()) - sum(head for _, head in before.values())
    spent = [now - then for now, then in zip((broker.cpu_s(), database.cpu_s(), workers.cpu_s()), cpu, strict=True)]
    time.sleep(1)
    mqtt_s, sql_s = latencies_s(parts.reader, database, before)
    print(f"\n{per_min:g} events a loom and minute: {events} events in {took_s:.0f} s, {events / took_s:.1f} a second")
    print(f"  to the reader:   {quantiles(mqtt_s)}")
    print(f"  to the database: {quantiles(sql_s)}")
    print(
        f"  processor: broker {100 * spent[0] / took_s:.1f} %, database {100 * spent[1] / took_s:.1f} %, looms and"
        f" adapters {100 * spent[2] / took_s:.0f} % of a core; broker holds {broker.memory_mb():.0f} MB"
    )
    print(f"  {check(workers, parts.reader, database)}")


def at_once(parts: Parts, count: int) -> None:
    """Each loom tells many events at once."""
    cpu = (parts.broker.cpu_s(), parts.database.cpu_s())
    looms = len(parts.workers.heads())
    parts.workers.tell(at_once=count)
    took_s = parts.workers.wait_until_delivered("mqtt", "sql")
    spent = (parts.broker.cpu_s() - cpu[0], parts.database.cpu_s() - cpu[1])
    print(f"\n{count} events at once a loom, {looms * count} in all:")
    for (kind, seconds), cpu_s in zip(sorted(took_s.items()), spent, strict=True):
        print(
            f"  {kind}: {seconds:.1f} s, {looms * count / seconds:.0f} a second; server"
            f" {1e6 * cpu_s / (looms * count):.0f} us of a core an event"
        )
    print(f"  {check(parts.workers, parts.reader, parts.database)}")


def outage(parts: Parts, kind: str, number: signal.Signals, outage_s: float, per_min: float) -> None:
    """A server goes for some time and comes back, while the looms tell events."""
    server = parts.broker if kind == "mqtt" else parts.database
    workers = parts.workers
    workers.tell(per_min=per_min)
    time.sleep(5)
    retries = workers.retries(kind)
    logins = len(server.connections())
    server.stop(number)
    time.sleep(outage_s)
    server.start()
    back_s = time.time()
    tries = workers.retries(kind) - retries
    time.sleep(1)
    workers.tell(per_min=0)
    took_s = workers.wait_until_delivered(kind)[kind] + 1
    workers.wait_until_delivered("mqtt", "sql")
    time.sleep(2)
    stamps = sorted(stamp - back_s for stamp in server.connections()[logins:])
    per_s = Counter(int(stamp) for stamp in stamps)
    looms = len(workers.heads())
    print(f"\n{kind} server away for {outage_s:g} s ({number.name}), {per_min:g} events a loom and minute:")
    print(f"  {tries / looms:.1f} failed tries an adapter until it was back; all delivered {took_s:.1f} s after")
    if stamps:
        half, last = stamps[len(stamps) // 2], stamps[-1]
        print(
            f"  {len(stamps)} connections of {looms} adapters: half within {max(0, half):.1f} s, the last after"
            f" {last:.1f} s, at most {max(per_s.values())} in a second"
        )
    print(f"  {check(workers, parts.reader, parts.database)}")


def sizes(parts: Parts) -> None:
    """What the servers keep."""
    with psycopg.connect(parts.database.url) as connection:
        row = connection.execute(
            "SELECT sum(pg_total_relation_size(pg_class.oid))::bigint FROM pg_class"
            " JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE nspname = 'glass_edge' AND relkind = 'r'"
        ).fetchone()
        count = connection.execute("SELECT count(*) FROM glass_edge.events").fetchone()
    assert row is not None
    assert count is not None
    print(
        f"\ndatabase: {row[0] / 1e6:.1f} MB for {count[0]} events, {row[0] / count[0]:.0f} bytes each, indexes included"
    )
    print(f"broker: {parts.broker.memory_mb():.0f} MB of memory")


class Parts:
    """All that runs."""

    def __init__(self, workers: Workers, broker: Broker, database: Postgres, reader: Reader) -> None:
        self.workers = workers
        self.broker = broker
        self.database = database
        self.reader = reader


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--looms", type=int, default=300)
    parser.add_argument("--workers", type=int, default=6, help="processes that the looms are spread over")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--per-min", type=float, nargs="+", default=[2, 10, 60], help="events a loom and minute")
    parser.add_argument("--at-once", type=int, default=100, help="events a loom; 0: not tried")
    parser.add_argument("--outage-s", type=float, default=30, help="0: not tried")
    parser.add_argument("--tls", action="store_true", help="to the broker")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="journals and adapters")
    parser.add_argument("--servers", type=Path, default=Path(tempfile.gettempdir()), help="broker and database")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ge-", dir=arguments.folder))
    servers = Path(tempfile.mkdtemp(prefix="ge-", dir=arguments.servers))
    servers.chmod(0o755)
    (servers / "broker").mkdir()
    (servers / "database").mkdir()
    broker = Broker(servers / "broker", with_tls=arguments.tls)
    database = Postgres(servers / "database", arguments.looms + 20)
    broker.start()
    database.start()
    reader = Reader(broker, servers / "reader")
    workers = None
    try:
        begun_s = time.monotonic()
        order = {
            "folder": str(folder),
            "broker": broker.url,
            "ca": None if broker.ca is None else str(broker.ca),
            "database": database.url,
        }
        workers = Workers(arguments.workers, arguments.looms, order, folder / "workers.log")
        workers.wait_until_delivered("mqtt", "sql")
        print(f"{arguments.looms} looms up in {time.monotonic() - begun_s:.0f} s", "with TLS" if arguments.tls else "")
        parts = Parts(workers, broker, database, reader)
        for per_min in arguments.per_min:
            steady(parts, per_min, arguments.seconds)
        if arguments.at_once:
            at_once(parts, arguments.at_once)
        sizes(parts)
        if arguments.outage_s:
            outage(parts, "mqtt", signal.SIGTERM, arguments.outage_s, 10)
            outage(parts, "sql", signal.SIGQUIT, arguments.outage_s, 10)
    finally:
        if workers is not None:
            workers.end()
        reader.end()
        broker.stop(signal.SIGTERM)
        database.stop(signal.SIGINT)
        print((folder / "workers.log").read_text()[-2000:], file=sys.stderr)
    shutil.rmtree(folder)  # after trouble they stay, to be looked at
    shutil.rmtree(servers)


if __name__ == "__main__":
    main()
