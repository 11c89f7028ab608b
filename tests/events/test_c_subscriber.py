"""examples/c, built with the sanitizers, against a real publisher."""

from __future__ import annotations

import ctypes
import json
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from events_support import MAKER, defect, eventually, ipc_settings, numbered
from hypothesis import given, settings
from hypothesis import strategies as st
from tcp_proxy import TcpProxy, free_port

from glass_edge.cli.main import run
from glass_edge.events.client import EventClient, Received
from glass_edge.events.curve_keys import allow, make_key_pair, revoke
from glass_edge.events.publisher import Publisher
from glass_edge.events.schema import Event

_SLOW_S = 120.0  # programs start slowly on a busy machine
SOURCES = Path(__file__).parents[2] / "examples" / "c"


def missing() -> str | None:
    for program in ("gcc", "make"):
        if shutil.which(program) is None:
            return program
    found = subprocess.run(["gcc", "-E", "-"], input=b"#include <zmq.h>", capture_output=True, check=False)
    return "libzmq3-dev" if found.returncode else None


pytestmark = pytest.mark.skipif(missing() is not None, reason=f"needs the package {missing()}")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs, built as its Makefile builds them: warnings are errors."""
    folder = tmp_path_factory.mktemp("c")
    for path in SOURCES.iterdir():
        if path.suffix in (".c", ".h") or path.name == "Makefile":
            shutil.copy(path, folder)
    targets = ["subscribe", "subscribe-checked", "json_field.so"]
    made = subprocess.run(["make", "-C", str(folder), "CC=gcc", *targets], capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return folder


class Subscriber:
    """The program in a process of its own, its output in files of `folder`."""

    def __init__(self, program: Path, folder: Path, *arguments: object, place: str = "place.json") -> None:
        self.place = folder / place
        self._out, self._said = folder / "received.jsonl", folder / "said"
        self._command = [str(program), "--from-start", "--place", str(self.place), *map(str, arguments)]
        self._process: subprocess.Popen[bytes] | None = None

    @contextmanager
    def running(self, *, is_killed: bool = False) -> Iterator[subprocess.Popen[bytes]]:
        with self._out.open("ab") as out, self._said.open("ab") as said:
            process = subprocess.Popen(self._command, stdout=out, stderr=said)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGKILL if is_killed else signal.SIGTERM)
            code = process.wait(30)
        # the sanitizers end the program with a code of their own
        assert code == (-signal.SIGKILL if is_killed else 0), self.said

    @property
    def documents(self) -> list[str]:
        return self._out.read_text(encoding="utf-8").splitlines() if self._out.exists() else []

    @property
    def said(self) -> str:
        return self._said.read_text(encoding="utf-8")


def ends(folder: Path) -> list[str]:
    return ["--endpoint", f"ipc://{folder}/pub", "--request", f"ipc://{folder}/req"]


def texts(events: list[Event]) -> list[str]:
    return [event.to_json() for event in events]


def test_events_come_from_before_and_live_each_kind_as_it_was_published(short_path: Path, built: Path) -> None:
    subscriber = Subscriber(built / "subscribe-checked", short_path, *ends(short_path), "--station", "loom1")
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        sent = publisher.emit_all([numbered(number) for number in range(1201)])  # more than one reply
        with subscriber.running():
            eventually(lambda: len(subscriber.documents) == 1201, "what was there before")
            sent += publisher.emit_all([MAKER.roll_start(), MAKER.defect(defect(1))])
            sent.append(publisher.emit(MAKER.stop_request("s-1", 'a "hole" of 3 mm: Loch\\n\n\x7fé', defect_id=1)))
            eventually(lambda: len(subscriber.documents) == len(sent), "what is published")
        assert subscriber.documents == texts(sent)
        assert "the station asks for a stop: " in subscriber.said
        out = short_path / "received.jsonl"
        assert run(["events", "verify", str(short_path / "journal.db"), "--against", str(out)]) == 0


def test_only_what_comes_next_without_from_start(short_path: Path, built: Path) -> None:
    command = [str(built / "subscribe-checked"), *ends(short_path), "--limit", "1"]
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([numbered(1), numbered(2)])
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            deadline_s = time.monotonic() + 30
            sent: list[Event] = []
            while process.poll() is None and time.monotonic() < deadline_s:
                sent.append(publisher.emit(numbered(3)))
                time.sleep(0.1)
            out, _ = process.communicate()
        finally:
            process.kill()
    assert process.returncode == 0
    assert out.rstrip("\n") in texts(sent)


PUBLISHER = """
import sys, time
from pathlib import Path
from events_support import ipc_settings, numbered
from glass_edge.events.publisher import Publisher

with Publisher(ipc_settings(Path(sys.argv[1])), "loom1") as publisher:
    for number in range(1_000_000):
        print(publisher.emit(numbered(number)).to_json(), flush=True)
        time.sleep(0.002)
"""


def test_a_killed_publisher_and_a_killed_subscriber_lose_nothing(short_path: Path, built: Path) -> None:
    subscriber = Subscriber(built / "subscribe-checked", short_path, *ends(short_path))
    command = [sys.executable, "-c", textwrap.dedent(PUBLISHER), str(short_path)]
    environment = {"PYTHONPATH": f"{Path(__file__).parent}:{Path.cwd()}"}
    for turn in range(3):
        before = len(subscriber.documents)
        station = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
        try:
            with subscriber.running(is_killed=turn % 2 == 1):
                wanted = before + 100
                eventually(lambda wanted=wanted: len(subscriber.documents) > wanted, "progress", _SLOW_S)
                if turn % 2 == 0:  # the subscriber lives through the death of the station
                    station.kill()
                    station.wait()
                    station = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
                    wanted = len(subscriber.documents) + 100
                    eventually(
                        lambda wanted=wanted: len(subscriber.documents) > wanted, "progress after a restart", _SLOW_S
                    )
        finally:
            station.kill()
            station.wait()
    with Publisher(ipc_settings(short_path), "loom1") as publisher, subscriber.running():
        last = publisher.emit(numbered(0)).to_json()
        eventually(lambda: last in subscriber.documents, "the last event", _SLOW_S)
        with publisher.journal.reader() as reader:
            journal = [stored.document for stored in reader.read(1, 1_000_000).events]
    got = subscriber.documents
    once = list(dict.fromkeys(got))
    assert once == journal
    # a reply that was handled and not settled comes again, at most once a kill
    assert len(got) - len(once) <= 2 * 500


def test_what_was_missed_is_replayed(short_path: Path, built: Path) -> None:
    """The program is stopped while far more is published than its queues hold."""
    subscriber = Subscriber(built / "subscribe-checked", short_path, *ends(short_path))
    with Publisher(ipc_settings(short_path, high_water_mark=5), "loom1") as publisher, subscriber.running() as process:
        sent = [publisher.emit(numbered(1))]
        eventually(lambda: len(subscriber.documents) == 1, "the first event")
        for _ in range(3):
            process.send_signal(signal.SIGSTOP)
            for _ in range(10):
                sent += publisher.emit_all([MAKER.coverage_gap(1, 2, "overrun", detail="x" * 1500)] * 200)
            process.send_signal(signal.SIGCONT)
            wanted = len(sent)
            eventually(lambda wanted=wanted: len(subscriber.documents) == wanted, "what was missed")
        assert subscriber.documents == texts(sent)
        assert subscriber.said == ""


def test_lost_events_new_journals_and_old_copies_are_told(short_path: Path, built: Path) -> None:
    subscriber = Subscriber(built / "subscribe-checked", short_path, *ends(short_path))
    journal = short_path / "journal.db"
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([numbered(number) for number in range(4)])
        with subscriber.running():
            eventually(lambda: len(subscriber.documents) == 4, "all")
    for path in short_path.glob("journal.db*"):
        shutil.copy(path, path.with_name("old-" + path.name))
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([numbered(number) for number in range(4, 10)])
        publisher.journal.forget_before(8)
        process = subprocess.run(
            [built / "subscribe-checked", *ends(short_path), "--place", subscriber.place, "--limit", "3"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert process.returncode == 1  # something was lost
        assert process.stderr.startswith("events 5 to 7 are no longer kept by the station")
        assert [json.loads(line)["seq"] for line in process.stdout.splitlines()] == [8, 9, 10]
        epoch = publisher.epoch
    for path in short_path.glob("old-*"):
        path.rename(path.with_name(path.name.removeprefix("old-")))
    with Publisher(ipc_settings(short_path), "loom1"):
        process = subprocess.run(
            [built / "subscribe-checked", *ends(short_path), "--place", subscriber.place],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert process.returncode == 1
        assert f"the journal (epoch {epoch}) ends at event 4, and 10 was handled already" in process.stderr
    for path in short_path.glob("journal.db*"):
        path.unlink()
    with Publisher(ipc_settings(short_path), "loom1") as publisher, subscriber.running():
        sent = publisher.emit_all([numbered(0)] * 2)
        eventually(lambda: subscriber.documents[4:] == texts(sent), "the new journal")
        assert f"epoch {publisher.epoch} follows {epoch}, of which event 10 was the last handled" in subscriber.said
    assert journal.exists()


def test_the_python_client_and_it_go_on_from_each_other(short_path: Path, built: Path) -> None:
    subscriber = Subscriber(built / "subscribe-checked", short_path, *ends(short_path))

    def take_two(publisher: Publisher) -> list[str]:
        with EventClient(
            publisher.publish_endpoint, publisher.request_endpoint, offset_path=subscriber.place
        ) as client:
            refused = subprocess.run([*command, "--limit", "1"], capture_output=True, text=True, check=False)
            assert refused.returncode == 2
            assert "another process uses this file" in refused.stderr
            items = [client.receive(30.0) for _ in range(2)]
            assert all(isinstance(item, Received) for item in items)
            taken = [item for item in items if isinstance(item, Received)]
            client.commit(taken[-1].event)
            return [item.document for item in taken]

    command = [built / "subscribe-checked", *ends(short_path), "--place", subscriber.place]
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        sent = texts(publisher.emit_all([numbered(number) for number in range(8)]))
        got = take_two(publisher)
        for _ in range(2):
            done = subprocess.run([*command, "--limit", "2"], capture_output=True, text=True, check=False, timeout=60)
            assert (done.returncode, done.stderr) == (0, "")
            got += done.stdout.splitlines()
            if len(got) < 8:
                got += take_two(publisher)
        assert got == sent


def test_over_the_network_with_keys(short_path: Path, built: Path) -> None:
    """CURVE over tcp through a network that fails; a revoked key ends it."""
    station_secret, station_public = make_key_pair(short_path / "keys", "loom1")
    plc_secret, plc_public = make_key_pair(short_path / "keys", "plc")
    clients = short_path / "clients"
    allow(plc_public, clients)
    ports = free_port(), free_port()
    curve = ipc_settings(
        short_path,
        publish_endpoint=f"tcp://127.0.0.1:{ports[0]}",
        request_endpoint=f"tcp://127.0.0.1:{ports[1]}",
        curve={"server_key": str(station_secret), "allowed_clients": clients},
        heartbeat_s=0.2,  # its TTL makes the subscriber notice as soon, where no other message came after the last
        beacon_s=1.0,
    )
    with TcpProxy(*ports) as proxy, Publisher(curve, "loom1") as publisher:
        near = [f"tcp://127.0.0.1:{port}" for port in proxy.ports]
        keys = ["--server-key", station_public, "--client-key", plc_secret]
        arguments = ["--endpoint", near[0], "--request", near[1], *keys]
        subscriber = Subscriber(built / "subscribe-checked", short_path, *arguments)
        sent = []
        with subscriber.running():
            for failure in ("flow", "cut", "hole", "stall", "kill"):
                time.sleep(0.3)  # a heartbeat
                if failure == "kill":
                    proxy.kill()
                else:
                    proxy.tell(failure)
                sent += publisher.emit_all([numbered(0)] * 5)
                if failure == "kill":
                    proxy.start()
                else:
                    proxy.tell("flow")
                wanted = len(sent)
                eventually(lambda wanted=wanted: len(subscriber.documents) == wanted, f"all after {failure}")
            assert subscriber.documents == texts(sent)
        revoke("plc", clients)
        process = subprocess.run(
            [built / "subscribe-checked", *arguments, "--from-start", "--seconds", "6"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert (process.returncode, process.stdout) == (0, "")
        assert "nothing heard for 5 s" in process.stderr
        assert "is this key allowed?" in process.stderr


def test_wrong_input_is_named(short_path: Path, built: Path) -> None:
    secret, public = make_key_pair(short_path / "keys", "plc")
    secret.chmod(0o644)
    other, wrong = short_path / "other.json", short_path / "wrong.json"
    offset = {"format_version": 1, "station": "loom2", "epoch": "0" * 32, "seq": 3}
    other.write_text(json.dumps(offset))
    wrong.write_text('{"format_version": 2}')
    good = ends(short_path)
    cases: list[tuple[list[object], str]] = [
        ([], "give --endpoint and --request"),
        ([*good, "--limit", "many"], "--limit needs"),
        ([*good, "--seconds", "-1"], "--seconds needs"),
        ([*good, "--colour"], "usage: "),
        ([*good, "--server-key", public], "give --server-key and --client-key, or neither"),
        ([*good, "--server-key", public, "--client-key", secret], "run: chmod 600"),
        ([*good, "--server-key", secret, "--client-key", secret], "is no public key"),
        ([*good, "--server-key", short_path / "absent", "--client-key", secret], "absent: No such file"),
        ([*good, "--place", other, "--station", "loom1"], "is the place in the events of 'loom2'"),
        ([*good, "--place", wrong], "wrong.json: is not the file of a place"),
        ([*good, "--place", short_path / "no/place"], "no/place.lock: No such file"),
        (["--endpoint", "http://here", "--request", good[3]], "http://here: cannot be connected to"),
    ]
    for arguments, told in cases:
        done = subprocess.run(
            [built / "subscribe-checked", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
        )
        assert (done.returncode, done.stdout) == (2, ""), (arguments, done.stderr)
        assert told in done.stderr
    with Publisher(ipc_settings(short_path), "loom1"):
        done = subprocess.run(
            [built / "subscribe-checked", *good, "--place", other], capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip
        assert done.returncode == 2
        assert 'station "loom1" answers, not "loom2"' in done.stderr


class JsonText(ctypes.Structure):
    _fields_ = [("start", ctypes.c_char_p), ("size", ctypes.c_size_t)]


def found(library: Any, document: bytes, name: str) -> bytes | None:  # noqa: ANN401 - a ctypes library
    """What the reader of JSON finds."""
    value = JsonText()
    library.json_find.restype = ctypes.c_bool
    kept = ctypes.create_string_buffer(document, len(document))  # no zero behind it
    text = JsonText(ctypes.cast(kept, ctypes.c_char_p), len(document))
    if not library.json_find(text, name.encode(), ctypes.byref(value)):
        return None
    begin = ctypes.cast(ctypes.pointer(value), ctypes.POINTER(ctypes.c_void_p))[0]
    return ctypes.string_at(begin, value.size)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(["seq", "epoch", "kind", "payload", "se", "seqs", ""]) | st.text(
    alphabet=st.characters(exclude_characters='"\\', exclude_categories=("Cs", "Cc")), max_size=5
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, JSON, max_size=6), st.booleans(), st.sampled_from([None, 1]))
def test_the_reader_of_json_finds_what_python_finds(
    built: Path, members: dict[str, Any], is_ascii: bool, indent: int | None
) -> None:
    library = ctypes.CDLL(str(built / "json_field.so"))
    document = json.dumps(members, ensure_ascii=is_ascii, indent=indent).encode("utf-8", "surrogatepass")
    for name in {*members, "seq", "epoch"}:
        is_plain = json.dumps(name, ensure_ascii=is_ascii) == f'"{name}"' and "\0" not in name
        if not is_plain:
            continue  # written with escapes
        value = found(library, document, name)
        if name in members:
            assert value is not None
            assert json.loads(value.decode("utf-8", "surrogatepass")) == members[name]
        else:
            assert value is None


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(KEYS, JSON, min_size=1, max_size=3), st.data())
def test_a_document_that_was_cut_is_refused(built: Path, members: dict[str, Any], data: st.DataObject) -> None:
    library = ctypes.CDLL(str(built / "json_field.so"))
    document = json.dumps(members).encode()
    cut = document[: data.draw(st.integers(0, len(document) - 1))]
    assert all(found(library, cut, name) is None for name in ("seq", "epoch", "kind", "payload"))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\\ \n01tfn', max_size=60).map(str.encode))
def test_garbage_does_no_harm(built: Path, garbage: bytes) -> None:
    library = ctypes.CDLL(str(built / "json_field.so"))
    value = found(library, garbage, "seq")
    assert value is None or value in garbage


def test_keys_in_any_order_and_escapes_are_understood(short_path: Path, built: Path) -> None:
    """Not as the station writes them: keys by name, not by place."""
    library = ctypes.CDLL(str(built / "json_field.so"))
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        text = publisher.emit(MAKER.stop_request("seq", 'the "seq":9, of \\"epoch\\": {[')).to_json()
    fields = json.loads(text)
    for order in (sorted(fields), sorted(fields, reverse=True), ["payload", *(set(fields) - {"payload"})]):
        document = json.dumps({name: fields[name] for name in order}, indent=1).encode()
        for name, value in fields.items():
            got = found(library, document, name)
            assert got is not None
            assert json.loads(got) == value
