"""The adapter as a process: killed at the worst moments, its server killed under it, and run as a person runs it."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from adapters_support import eventually, idle_draft, ipc_settings, offset_seq, roll_drafts
from postgres_server import PostgresServer, needs_postgres
from sql_support import PROJECTIONS, projections, reading, stored, stored_documents

from glass_edge.cli.main import run
from glass_edge.events.publisher import Publisher
from glass_edge.events.schema import Event

ADAPTER = """
adapter = "test"
source = {{ publish_endpoint = "ipc://{folder}/pub", request_endpoint = "ipc://{folder}/req" }}
state = {{ folder = "state" }}
retry = {{ first_s = 0.01, most_s = 0.05 }}
[sql]
url = "{url}"
most_events = 7
"""
# a place that is never committed: the process dies between the side effect and it
_DIES = """
import os, signal
from glass_edge.events.offset import OffsetFile
OffsetFile.write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
"""
_RUNS = "import sys; from glass_edge.cli.main import main; main(sys.argv[1:])"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as one:
        yield one


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgres)])
def url(request: pytest.FixtureRequest, short_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{short_path}/events.sqlite"
    return str(request.getfixturevalue("server").make_database())


def start(folder: Path, url: str, before: str = "") -> subprocess.Popen[bytes]:
    file = folder / "adapter.toml"
    file.write_text(ADAPTER.format(folder=folder, url=url))
    command = [sys.executable, "-c", before + _RUNS, "adapter", "sql", "--config", str(file)]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(Path.cwd())})


def running(folder: Path) -> int:
    """Process that wrote the state last."""
    return int(json.loads((folder / "state/status.json").read_text())["pid"])


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(100) == 0


def holds(url: str, events: list[Event]) -> None:
    """Each event once, as it was published, and the tables that follow from them."""
    with reading(url) as database, database.transaction() as connection:
        documents, tables = stored_documents(connection), stored(connection)
    assert documents == [event.to_json() for event in events]
    wanted = projections(documents, {"loom1": events[-1].epoch})
    for name in PROJECTIONS:
        assert tables[name] == wanted[name], name


def test_a_kill_between_the_side_effect_and_the_commit_changes_nothing(short_path: Path, url: str) -> None:
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        events = publisher.emit_all([*roll_drafts("R-1", 1), *roll_drafts("R-1", 0)])
        process = start(short_path, url, _DIES)
        assert process.wait(60) == -signal.SIGKILL
        assert offset_seq(short_path) == 0
        holds(url, events[:7])  # the first batch, whose place was never written
        process = start(short_path, url)
        eventually(lambda: offset_seq(short_path) == len(events), "all of them")
        end(process)
    holds(url, events)


def torture(folder: Path, url: str, kills: int, seed: int, server: PostgresServer | None = None) -> int:
    """Kill the adapter, or its server, at random moments while rolls are woven."""
    chance = random.Random(seed)
    with Publisher(ipc_settings(folder), "loom1") as publisher:
        events: list[Event] = []

        def weave() -> None:
            for roll in range(chance.randint(2, 6)):
                drafts = [*roll_drafts(f"R-{roll}", chance.randint(0, 8)), idle_draft()]
                events.extend(publisher.emit_all(drafts[: chance.randint(1, len(drafts))]))

        process = start(folder, url)
        for number in range(kills):
            before = offset_seq(folder)
            weave()
            eventually(lambda before=before: offset_seq(folder) > before, "progress", timeout_s=150)
            time.sleep(chance.uniform(0, 0.1))
            if server is not None and number % 2:
                server.stop()
                weave()
                server.start()
            else:
                process.kill()
                process.wait()
                process = start(folder, url)
        events += publisher.emit_all([idle_draft()])  # by which the process is known to be up
        eventually(lambda: offset_seq(folder) == len(events), "the last event", timeout_s=150)
        # one that was started a moment ago has not said yet what a signal means to it
        eventually(lambda: running(folder) == process.pid, "the adapter runs", timeout_s=150)
        end(process)
    holds(url, events)
    return len(events)


def test_kills_lose_and_double_nothing(short_path: Path, url: str, request: pytest.FixtureRequest) -> None:
    server = None if url.startswith("sqlite") else request.getfixturevalue("server")
    assert torture(short_path, url, kills=2, seed=1, server=server) > 20


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_kills_lose_and_double_nothing(short_path: Path, url: str, request: pytest.FixtureRequest) -> None:
    server = None if url.startswith("sqlite") else request.getfixturevalue("server")
    assert torture(short_path, url, kills=40, seed=2, server=server) > 300


def test_a_dry_run_tells_all_and_touches_nothing(short_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = short_path / "adapter.toml"
    file.write_text(ADAPTER.format(folder=short_path, url="sqlite:///events.sqlite"))
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([idle_draft(), *roll_drafts("R-1", 1)])
        before = sorted(short_path.iterdir())
        assert run(["adapter", "sql", "--config", str(file), "--dry-run"]) == 0
        assert sorted(short_path.iterdir()) == before
    told, noted = capsys.readouterr()
    assert told.splitlines()[0] == "#1 status: would write it to events and station_state"
    assert told.splitlines()[2] == "#3 defect.new: would write it to events, defects and station_state"
    assert told.splitlines()[-1] == "#7 roll.end: would write it to events, rolls and station_state"
    assert noted == "7 events wait; nothing was done\n"


def test_the_statements_that_are_printed_make_the_tables(short_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = short_path / "adapter.toml"
    file.write_text(ADAPTER.format(folder=short_path, url="sqlite:///events.sqlite") + "create_tables = false\n")
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        events = publisher.emit_all(roll_drafts("R-1", 1))
        assert run(["adapter", "sql", "--config", str(file), "--print-ddl"]) == 0
        assert not (short_path / "events.sqlite").exists()
        with closing(sqlite3.connect(short_path / "events.sqlite")) as other:
            other.executescript(capsys.readouterr().out)
        process = start(short_path, f"sqlite:///{short_path}/events.sqlite")
        eventually(lambda: offset_seq(short_path) == len(events), "all of them")
        end(process)
        status = json.loads((short_path / "state/status.json").read_text())
    assert (status["state"], status["delivered"], status["refused"]) == ("stopped", 6, 0)
    holds(f"sqlite:///{short_path}/events.sqlite", events)


def test_a_password_in_the_url_is_refused_and_not_told(short_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = short_path / "adapter.toml"
    file.write_text(ADAPTER.format(folder=short_path, url="postgresql://g:hush@h/d"))
    assert run(["adapter", "sql", "--config", str(file)]) == 2
    told = capsys.readouterr().err
    assert "carries a password; leave it out and give password_file" in told
    assert "postgresql://g:...@h/d" in told
    assert "hush" not in told
