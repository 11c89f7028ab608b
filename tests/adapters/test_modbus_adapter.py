"""The adapter between a real station and a controller that speaks Modbus over a socket."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from adapters_support import (
    LINES,
    SCALE,
    Running,
    defect,
    eventually,
    idle_draft,
    ipc_settings,
    offset_seq,
    roll_drafts,
)
from modbus_support import Loom, Wire, frame, free_port, is_hung_up, journal_of, read_request, stop_draft, wire

from glass_edge.adapters import modbus_calls, modbus_liveness, runner
from glass_edge.adapters.modbus import ModbusSink
from glass_edge.adapters.modbus_codec import Coding
from glass_edge.adapters.modbus_codes import Reason, Result
from glass_edge.adapters.modbus_map import BY_NAME
from glass_edge.adapters.station_view import ViewFile
from glass_edge.cli.main import run
from glass_edge.config.adapter_modbus import ModbusAdapterSettings
from glass_edge.config.events import EventSettings, Role
from glass_edge.events.curve_keys import ClientKeys, allow, make_key_pair, read_pair, read_public
from glass_edge.events.payloads import Command, RollEnd, StopAck
from glass_edge.events.publisher import Publisher
from glass_edge.events.sequencer import Lost
from glass_edge.fabric.defect import DefectPhase
from glass_edge.fabric.roll import Roll


def settings_of(folder: Path, port: int, *, start: str = "oldest", **modbus: Any) -> ModbusAdapterSettings:  # noqa: ANN401
    return ModbusAdapterSettings.model_validate(
        {
            "adapter": "plc",
            "source": {
                "publish_endpoint": f"ipc://{folder}/pub",
                "request_endpoint": f"ipc://{folder}/req",
                "start": start,
            },
            "state": {"folder": folder / "state"},
            "modbus": {"port": port, "requests_per_s": 1000.0} | modbus,
        }
    )


@contextmanager
def adapter(folder: Path, port: int, **changes: Any) -> Iterator[Running]:  # noqa: ANN401 - settings
    (folder / "state").mkdir(exist_ok=True)
    sink = ModbusSink(settings_of(folder, port, **changes), None)
    try:
        with Running(folder, sink) as running:
            yield running
    finally:
        sink.close()


def until(one: Wire, name: str, wanted: object) -> None:
    eventually(lambda: one.value(name) == wanted, f"{name} {wanted}")


def until_live(one: Wire) -> None:
    eventually(lambda: "live" in one.flags(), "the present")


@contextmanager
def plant(folder: Path, port: int, **changes: Any) -> Iterator[tuple[Publisher, Loom, Running, Wire]]:  # noqa: ANN401
    """A station, its adapter, and a controller that sees the present."""
    loom = Loom()
    with (
        Publisher(ipc_settings(folder), "loom1", loom) as publisher,
        adapter(folder, port, **changes) as running,
        wire(port) as one,
    ):
        until_live(one)
        yield publisher, loom, running, one


@pytest.fixture(autouse=True)
def _soon_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A station is silent sooner than it is in earnest, and calls to it end sooner, so that the tests do."""
    monkeypatch.setattr(runner, "SILENCE_S", 1.0)
    monkeypatch.setattr(modbus_liveness, "SILENCE_S", 1.0)
    monkeypatch.setattr(modbus_calls, "_TIMEOUT_S", 1.5)


@pytest.fixture
def port() -> int:
    return free_port()


def test_the_registers_say_what_the_events_say(short_path: Path, port: int) -> None:
    with Publisher(ipc_settings(short_path), "loom1") as publisher, adapter(short_path, port), wire(port) as one:
        until_live(one)
        drafts = roll_drafts("Rolle Ä/7", 3)
        publisher.emit_all(drafts[:-1])
        until(one, "event_number", len(drafts) - 1)
        assert "roll_open" in one.flags()
        assert (one.value("defects"), one.value("points")) == (3, None)
        events = publisher.emit_all([drafts[-1], idle_draft()])
        until(one, "event_number", len(drafts) + 1)
        end = events[0].payload
        assert isinstance(end, RollEnd)
        assert one.value("roll_m") == pytest.approx(end.woven_m, abs=0.005)
        assert one.value("missed_m") == pytest.approx(end.missed_m, abs=0.005)
        assert (one.value("roll_id"), one.value("style"), one.value("station")) == ("Rolle Ä/7", "twill", "loom1")
        last = defect(Roll(roll_id="R", style="twill", first_line=0), 3, DefectPhase.END, 20)
        assert one.value("last_defect_along_mm") == pytest.approx(last.box_mm.along_mm, abs=0.05)
        assert one.value("last_defect_across_mm") == pytest.approx(last.box_mm.across_mm, abs=0.05)
        assert one.value("last_defect_length_mm") == pytest.approx(last.box_mm.length_mm, abs=0.05)
        assert one.value("last_defect_peak") == pytest.approx(last.peak_score, abs=0.0001)
        assert one.value("state") == 6
        assert {"live", "station_heard", "is_simulated"} == one.flags()


def test_a_stop_is_accepted_and_the_station_journals_who_did_it(short_path: Path, port: int) -> None:
    with plant(short_path, port) as (publisher, _, _, one):
        one.write("stop_enable", 1)
        publisher.emit(stop_draft())
        eventually(lambda: one.value("stop_number") != 0, "the request")
        number = one.value("stop_number")
        assert (one.value("stop_cause"), one.value("stop_along_mm"), one.value("stop_across_mm")) == (1, 12.5, None)
        time.sleep(0.5)
        assert one.value("stop_number") == number  # held
        one.write("accept_stop", number)
        until(one, "stop_number", 0)
        until(one, "ack_result", Result.DONE)
        assert one.value("ack_number") == number
    acks = [event.payload for event in journal_of(short_path) if isinstance(event.payload, StopAck)]
    assert [(ack.request_id, ack.accepted, ack.source) for ack in acks] == [("stop-1", True, "local")]
    told = [event.payload for event in journal_of(short_path) if isinstance(event.payload, Command)]
    assert [(one.command, one.operator) for one in told] == [("acknowledge", "plc for 127.0.0.1")]


def test_a_stop_is_refused_for_a_controller_that_answers_none(short_path: Path, port: int) -> None:
    with (
        Publisher(ipc_settings(short_path), "loom1", Loom()) as publisher,
        adapter(short_path, port),
        wire(port) as one,
    ):
        until_live(one)
        publisher.emit(stop_draft())
        until(one, "ack_result", Result.DONE)
        until(one, "stop_number", 0)
    (ack,) = [event.payload for event in journal_of(short_path) if isinstance(event.payload, StopAck)]
    assert (ack.accepted, ack.detail) == (False, "stop is not enabled by the controller")


def test_commands_reach_the_station_and_their_fate_the_controller(short_path: Path, port: int) -> None:
    with plant(short_path, port) as (_, loom, _, one):
        text = Coding().encode(BY_NAME["new_roll_id"], "2025-0117-04")
        one.write_words(1020, [1, *text])  # text and trigger in one request
        until(one, "roll_done", 1)
        until(one, "roll_result", Result.DONE)
        one.write_words(1003, [1, 1])
        until(one, "bypass_result", Result.DONE)
        eventually(lambda: "is_bypassed" in one.flags(), "the bypass")
        one.write("new_style", "velvet")
        one.write("recipe_trigger", 9)
        until(one, "recipe_result", Result.REFUSED)
        assert (one.value("recipe_done"), one.value("recipe_reason")) == (9, Reason.STATION_REFUSED)
        assert one.value("recipe_message") == "no engine of style velvet is installed"
        one.write("new_style", "twill")
        one.write("new_version", "2025.3")
        one.write("recipe_trigger", 10)
        until(one, "recipe_result", Result.DONE)
    reason = "by the controller at 127.0.0.1"
    assert loom.done == [("roll", "2025-0117-04"), ("bypass", True, reason), ("recipe", "twill", "2025.3")]


def test_over_the_network_the_role_of_the_adapters_key_decides(short_path: Path, port: int) -> None:
    keys, clients = short_path / "keys", short_path / "clients"
    station_secret, station_public = make_key_pair(keys, "loom1")
    secret, public = make_key_pair(keys, "plc")
    allow(public, clients, Role.OBSERVER)
    publish, request = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    events = EventSettings.model_validate(
        {
            "journal": short_path / "journal.db",
            "publish_endpoint": publish,
            "request_endpoint": request,
            "beacon_s": 0.1,
            "curve": {"server_key": str(station_secret), "allowed_clients": clients},
        }
    )
    settings = settings_of(short_path, port)
    source = {"publish_endpoint": publish, "request_endpoint": request}
    settings = settings.model_copy(update={"source": settings.source.model_copy(update=source)})
    (short_path / "state").mkdir()
    loom = Loom()
    with Publisher(events, "loom1", loom), closing(ModbusSink(settings, _client_keys(station_public, secret))) as sink:
        sink.stands(is_heard=True, is_behind=False)
        with wire(port) as one:
            one.write_words(1003, [1, 1])
            until(one, "bypass_result", Result.REFUSED)
            assert one.value("bypass_message") == "client plc is observer, and bypass needs the role controller"
            allow(public, clients, Role.CONTROLLER)

            def is_done() -> bool:  # a station sees another role within a second
                one.write("bypass_trigger", one.words(1003, 1)[0] + 1)
                eventually(lambda: one.value("bypass_result") not in (Result.NONE, Result.PENDING), "a result")
                time.sleep(0.3)
                return one.value("bypass_result") == Result.DONE

            eventually(is_done, "the bypass")
    assert loom.done[0] == ("bypass", True, "by the controller at 127.0.0.1")


def _client_keys(station: Path, own: Path) -> ClientKeys:
    return ClientKeys(read_public(station), read_pair(str(own)))


def test_without_a_station_a_command_ends_and_says_that_nobody_answered(short_path: Path, port: int) -> None:
    with adapter(short_path, port), wire(port) as one:
        one.write_words(1003, [1, 1])
        until(one, "bypass_result", Result.PENDING)
        assert "is_commanding" in one.flags()
        until(one, "bypass_result", Result.UNKNOWN)
        assert one.value("bypass_reason") == Reason.NO_ANSWER


def test_after_a_restart_the_state_is_there_at_once_and_not_live_until_the_station_is(
    short_path: Path, port: int
) -> None:
    with Publisher(ipc_settings(short_path), "loom1") as publisher, adapter(short_path, port), wire(port) as one:
        publisher.emit_all([*roll_drafts("R-1", 2)[:-1], stop_draft()])
        one.write("stop_enable", 1)
        until(one, "event_number", 9)
        eventually(lambda: one.value("stop_number") != 0, "the request")
        number = one.value("stop_number")
        eventually(lambda: offset_seq(short_path) == 9, "the commit")
    with adapter(short_path, port):
        with wire(port) as one:
            assert (one.value("event_number"), one.value("stop_number")) == (9, number)
            assert one.value("roll_id") == "R-1"
            assert one.flags() == {"is_simulated", "roll_open", "stop_requested", "stop_enabled"}
            beats = one.value("heartbeat")
            time.sleep(1.5)
            assert one.value("heartbeat") == beats == 0
        with Publisher(ipc_settings(short_path), "loom1"), wire(port) as one:
            until_live(one)
            assert one.value("stop_number") == number
            eventually(lambda: one.value("heartbeat") != beats, "a beat")


def test_the_heart_stands_still_when_the_station_dies(short_path: Path, port: int) -> None:
    with ExitStack() as stack:
        publisher = stack.enter_context(Publisher(ipc_settings(short_path), "loom1"))
        stack.enter_context(adapter(short_path, port))
        one = stack.enter_context(wire(port))
        publisher.emit_all(roll_drafts("R-1", 1))
        eventually(lambda: one.value("heartbeat") == 2, "two beats")
        publisher.close()
        eventually(lambda: not {"live", "station_heard"} & one.flags(), "that the station is silent")
        beats = one.value("heartbeat")
        time.sleep(2.0)
        assert one.value("heartbeat") == beats
        assert one.value("roll_id") == "R-1"  # the last that is known


def test_one_that_begins_now_shows_what_the_station_is_at(short_path: Path, port: int) -> None:
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([*roll_drafts("R-1", 2)[:-1], stop_draft()])
        with adapter(short_path, port, start="latest", refuse_when_disabled=False), wire(port) as one:
            until_live(one)
            assert (one.value("roll_id"), one.value("event_number")) == ("R-1", 9)
            assert one.value("stop_reason") == "a hole"
            publisher.emit_all(roll_drafts("R-1", 2)[-1:])
            until(one, "event_number", 10)
            assert one.value("roll_m") == pytest.approx(LINES * SCALE.mm_per_line / 1000, abs=0.005)


def test_what_was_lost_is_made_up_for_by_the_snapshot(short_path: Path, port: int) -> None:
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        events = publisher.emit_all([*roll_drafts("R-1", 2)[:-1], stop_draft(), *roll_drafts("R-2", 1)[:-1]])
        (short_path / "state").mkdir()
        sink = ModbusSink(settings_of(short_path, port), None)
        try:
            sink.told(Lost(events[0].epoch, 1, 12))
            sink.stands(is_heard=True, is_behind=False)
            with wire(port) as one:
                assert (one.value("roll_id"), one.value("event_number")) == ("R-2", len(events))
        finally:
            sink.close()


def test_a_new_journal_is_counted(short_path: Path, port: int) -> None:
    with adapter(short_path, port), wire(port) as one:
        with Publisher(ipc_settings(short_path), "loom1") as publisher:
            publisher.emit_all(roll_drafts("R-1", 2))
            until(one, "event_number", 9)
        first = one.value("journal_id")
        other = ipc_settings(short_path).model_copy(update={"journal": short_path / "other.db"})
        with Publisher(other, "loom1") as publisher:
            publisher.emit(idle_draft())
            until(one, "event_number", 1)
            until(one, "journal_changes", 1)
            assert one.value("journal_id") not in (0, first)
            assert one.value("roll_id") == ""


def test_a_taken_port_is_told_and_had_when_it_is_free(short_path: Path, port: int) -> None:
    with socket.socket() as taken, Publisher(ipc_settings(short_path), "loom1") as publisher:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        publisher.emit(idle_draft())
        with adapter(short_path, port) as running:
            eventually(lambda: running.status()["state"] == "retrying", "the trouble")
            error = running.status()["last_error"]["text"]
            assert "another program has this port: end it, or give another modbus.port" in error
            eventually(lambda: offset_seq(short_path) == 1, "the event, all the same")
            taken.close()
            eventually(lambda: running.status()["state"] == "following", "the end of the trouble")
            with wire(port) as one:
                until(one, "event_number", 1)


def test_a_full_disk_is_told_and_freezes_the_heart(
    short_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: ViewFile, view: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(short_path / "state/view.json"))

    with plant(short_path, port) as (publisher, _, running, one), monkeypatch.context() as patch:
        patch.setattr(ViewFile, "write", full)
        publisher.emit(stop_draft())
        eventually(lambda: one.value("stop_number") != 0, "the stop, all the same")
        eventually(lambda: running.status()["state"] == "retrying", "the trouble")
        error = running.status()["last_error"]["text"]
        assert "No space left on device; make room or mend it" in error
        eventually(lambda: "live" not in one.flags(), "that it is the past")
        assert offset_seq(short_path) == 0
        patch.undo()
        eventually(lambda: offset_seq(short_path) >= 1, "the commit")
        until_live(one)


def test_an_overdue_stop_is_in_the_state_of_the_adapter(
    short_path: Path, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with plant(short_path, port, ack_timeout_s=0.5) as (publisher, _, running, one):
        one.write("stop_enable", 1)
        publisher.emit(stop_draft())
        eventually(lambda: "ack_overdue" in one.flags(), "the flag")
        eventually(lambda: running.status()["state"] == "retrying", "the state")
        assert run(["adapter", "status", str(short_path / "state/status.json")]) == 1
        number = one.value("stop_number")
        assert f"have it write {number} to accept_stop or refuse_stop" in capsys.readouterr().out
        one.write("refuse_stop", number)
        eventually(lambda: running.status()["state"] == "following", "the end of the trouble")
        assert "ack_overdue" not in one.flags()


def test_a_flood_of_requests_leaves_the_events_their_time(short_path: Path, port: int) -> None:
    def delivered_s(publisher: Publisher, count: int) -> float:
        begun_s = time.monotonic()
        last = publisher.emit_all([idle_draft() for _ in range(count)])[-1].seq
        eventually(lambda: offset_seq(short_path) >= last, "the events")
        return time.monotonic() - begun_s

    def flood(is_over: threading.Event) -> None:
        many = b"".join(frame(read_request(0, 125)) for _ in range(50))
        with socket.create_connection(("127.0.0.1", port), 10) as one:
            one.settimeout(0.2)
            while not is_over.is_set():
                try:
                    one.sendall(many)
                    one.recv(1 << 16)
                except TimeoutError:
                    continue

    with plant(short_path, port, requests_per_s=100.0) as (publisher, _, _, one):
        calm_s = [delivered_s(publisher, 20) for _ in range(5)]
        is_over = threading.Event()
        threads = [threading.Thread(target=flood, args=(is_over,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        try:
            flooded_s = [delivered_s(publisher, 20) for _ in range(5)]
            assert "live" in one.flags()
        finally:
            is_over.set()
            for thread in threads:
                thread.join()
    print(f"calm {calm_s}, flooded {flooded_s}")  # noqa: T201 - the figures, when the test is run with -s
    assert min(flooded_s) < 3 * max(calm_s) + 0.5


def test_a_dry_run_opens_no_port(short_path: Path, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    config = short_path / "plc.toml"
    config.write_text(
        f"""
adapter = "plc"
source = {{ publish_endpoint = "ipc://{short_path}/pub", request_endpoint = "ipc://{short_path}/req" }}
state = {{ folder = "state" }}
modbus = {{ port = {port} }}
"""
    )
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all(roll_drafts("R-1", 1))
        assert run(["adapter", "modbus", "--config", str(config), "--dry-run"]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == "#6 roll.end: would show event 6 in the registers"
    assert not (short_path / "state").exists()


def test_connections_end_with_the_adapter(short_path: Path, port: int) -> None:
    with adapter(short_path, port):
        one = Wire(port)
        one.words(0, 1)
    assert is_hung_up(one)
    one.close()
    with pytest.raises(ConnectionRefusedError):
        Wire(port)
