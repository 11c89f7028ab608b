"""The server over sockets: with the frames of the specification, with pymodbus, and with what is no frame at all."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from modbus_support import Wire, frame, free_port, is_hung_up, mbpoll, needs_mbpoll, read_request, wire, write_request
from pymodbus.client import ModbusTcpClient
from structlog.testing import capture_logs

from glass_edge.adapters import modbus_doors
from glass_edge.adapters.loop_thread import LoopThread
from glass_edge.adapters.modbus_bank import RegisterBank
from glass_edge.adapters.modbus_codec import Coding
from glass_edge.adapters.modbus_doors import Doors, Pace
from glass_edge.adapters.modbus_map import READ_ONLY_SIZE, WRITABLE
from glass_edge.adapters.modbus_server import ModbusServer, listen_problem
from glass_edge.adapters.repeated_log import RepeatedLog
from glass_edge.config.adapter_modbus import ModbusSettings

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, NO_SUCH_UNIT = 1, 2, 3, 11


@dataclass
class Served:
    port: int
    bank: RegisterBank
    logged: Sequence[MutableMapping[str, Any]]


Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    ended: list[Callable[[], None]] = []
    stack = ExitStack()
    logged = stack.enter_context(capture_logs())

    def begin(**changes: Any) -> Served:  # noqa: ANN401 - settings
        given_settings = {"port": free_port(), "requests_per_s": 1000.0} | changes
        bank = RegisterBank(Coding(), lambda: None)
        bank.show(tuple(range(READ_ONLY_SIZE)))
        loop = LoopThread("test-modbus", pytest.fail)
        loop.__enter__()
        server = ModbusServer(
            ModbusSettings.model_validate(given_settings), bank, RepeatedLog("test"), ("maker", "thing", "1.2")
        )
        loop.call(server.listen(), 5.0)
        ended.extend([loop.close, lambda: loop.call(server.close(), 5.0)])
        return Served(given_settings["port"], bank, logged)

    yield begin
    for end in reversed(ended):
        end()
    stack.close()


@pytest.fixture
def served(serve: Serve) -> Served:
    return serve()


def test_read_only_registers_are_had_in_both_ways(serve: Serve) -> None:
    port = serve().port
    with wire(port) as one:
        for function in (3, 4):
            assert one.words(0, 125, function) == tuple(range(125))
            assert one.words(READ_ONLY_SIZE - 1, 1, function) == (READ_ONLY_SIZE - 1,)


def test_what_is_written_is_read_back(serve: Serve) -> None:
    served = serve()
    with wire(served.port) as one:
        one.write_words(1020, [5, 0x4142, 0])
        assert one.words(1020, 3) == (5, 0x4142, 0)
        assert one.ask(struct.pack(">BHH", 6, 1000, 1)) == struct.pack(">BHH", 6, 1000, 1)
        assert one.words(1000, 5) == (1, 0, 0, 0, 0)
        mask = struct.pack(">BHHH", 22, 1001, 0xFF00, 0x0055)
        assert one.ask(mask) == mask
        assert one.words(1001, 1) == (0x55,)
        both = struct.pack(">BHHHHBHH", 23, 0, 2, 1003, 2, 4, 9, 1)
        assert one.ask(both) == struct.pack(">BBHH", 23, 4, 0, 1)
        assert one.words(1003, 2) == (9, 1)
    assert served.bank.written.writer("bypass_trigger") == "127.0.0.1"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (read_request(READ_ONLY_SIZE, 1), ILLEGAL_ADDRESS),
        (read_request(READ_ONLY_SIZE - 1, 2), ILLEGAL_ADDRESS),
        (read_request(1005, 1), ILLEGAL_ADDRESS),
        (read_request(1000, 1, 4), ILLEGAL_ADDRESS),
        (read_request(65535, 2), ILLEGAL_ADDRESS),
        (read_request(0, 0), ILLEGAL_VALUE),
        (read_request(0, 126), ILLEGAL_VALUE),
        (write_request(0, [1]), ILLEGAL_ADDRESS),
        (write_request(999, [1, 1]), ILLEGAL_ADDRESS),
        (write_request(1004, [1, 1]), ILLEGAL_ADDRESS),
        (struct.pack(">BHH", 6, 1, 1), ILLEGAL_ADDRESS),
        (struct.pack(">BHH", 6, 1000, 2), ILLEGAL_VALUE),
        (write_request(1000, [1, 1, 1, 1, 2]), ILLEGAL_VALUE),
        (struct.pack(">BHHHHBHH", 23, 676, 1, 1003, 2, 4, 9, 1), ILLEGAL_ADDRESS),
        (struct.pack(">BHHBH", 16, 1000, 2, 4, 1), ILLEGAL_VALUE),  # fewer bytes than it says
        (struct.pack(">BHHBH", 16, 1000, 1, 3, 1), ILLEGAL_VALUE),
        (b"\x03\x00", ILLEGAL_VALUE),
        (b"\x03", ILLEGAL_VALUE),
        (struct.pack(">BHH", 1, 0, 1), ILLEGAL_FUNCTION),
        (struct.pack(">BHH", 5, 0, 0xFF00), ILLEGAL_FUNCTION),
        (struct.pack(">BHH", 8, 4, 0), ILLEGAL_FUNCTION),  # force listen only: it must never obey
        (b"\x41", ILLEGAL_FUNCTION),
        (b"\x2b\x0d", ILLEGAL_FUNCTION),
    ],
)
def test_what_may_not_be_is_answered_with_its_exception(serve: Serve, body: bytes, code: int) -> None:
    served = serve()
    with wire(served.port) as one:
        assert one.ask(body) == bytes([body[0] | 0x80, code])
        assert one.words(1000, 5) == (0,) * 5  # nothing was written
        assert one.words(0, 1) == (0,)
        assert one.ask(body) == bytes([body[0] | 0x80, code])
    assert len(served.logged) == 1  # the second within a minute is held back
    assert f"exception {code:02d}" in served.logged[0]["event"]


@pytest.mark.parametrize(("unit", "is_answered"), [(1, False), (17, True), (0, True), (255, True), (18, False)])
def test_it_answers_to_its_unit(serve: Serve, unit: int, is_answered: bool) -> None:
    port = serve(unit_id=17).port
    with wire(port) as one:
        answer = one.ask(read_request(0, 1), unit)
    assert answer == (b"\x03\x02\x00\x00" if is_answered else bytes([0x83, NO_SUCH_UNIT]))


def test_it_names_itself(serve: Serve) -> None:
    port = serve().port
    with wire(port) as one:
        answer = one.ask(b"\x2b\x0e\x01\x00")
    assert b"maker" in answer
    assert b"thing" in answer


def test_requests_that_come_together_are_all_answered_in_their_order(serve: Serve) -> None:
    port = serve().port
    with wire(port) as one:
        one.send(b"".join(frame(read_request(at, 1), transaction=at) for at in range(20)))
        assert [one.receive() for _ in range(20)] == [(at, 1, struct.pack(">BBH", 3, 2, at)) for at in range(20)]


def test_a_frame_may_come_in_pieces(serve: Serve) -> None:
    port = serve().port
    with wire(port) as one:
        one.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in frame(read_request(5, 1), transaction=9):
            one.send(bytes([byte]))
            time.sleep(0.005)
        assert one.receive() == (9, 1, b"\x03\x02\x00\x05")


def test_pymodbus_reads_and_writes(serve: Serve) -> None:
    port = serve().port
    client = ModbusTcpClient("127.0.0.1", port=port)
    assert client.connect()
    try:
        assert client.read_holding_registers(0, count=10, device_id=1).registers == list(range(10))
        assert client.read_input_registers(100, count=2, device_id=1).registers == [100, 101]
        assert not client.write_registers(1001, [3, 0], device_id=1).isError()
        assert client.read_holding_registers(1001, count=2, device_id=1).registers == [3, 0]
        refused = client.write_register(2, 1, device_id=1)
        assert (refused.isError(), refused.exception_code) == (True, ILLEGAL_ADDRESS)
        assert client.read_device_information().information[0] == b"maker"
    finally:
        client.close()


@needs_mbpoll
def test_mbpoll_reads_and_writes_and_is_refused(serve: Serve) -> None:
    port = serve().port
    for kind in ("3", "4"):  # input and holding registers
        polled = mbpoll(port, "-a", "1", "-t", kind, "-r", "10", "-c", "2")
        assert polled.returncode == 0, polled.stderr
        assert [line.split() for line in polled.stdout.splitlines() if line.startswith("[")] == [
            ["[10]:", "10"],
            ["[11]:", "11"],
        ]
    high_word_first = mbpoll(port, "-a", "1", "-t", "4:int", "-B", "-r", "24", "-c", "1")
    assert str((24 << 16) + 25) in high_word_first.stdout
    assert mbpoll(port, "-a", "1", "-r", "1000", values=[1]).returncode == 0
    with wire(port) as one:
        assert one.words(1000, 1) == (1,)
    refused = mbpoll(port, "-a", "1", "-r", "2", values=[1])
    assert refused.returncode != 0
    assert "Illegal data address" in refused.stderr
    assert "Illegal data value" in mbpoll(port, "-a", "1", "-r", "1000", values=[2]).stderr


def test_what_is_read_at_once_is_of_one_moment(serve: Serve) -> None:
    served = serve()
    is_over = threading.Event()

    def change() -> None:
        number = 0
        while not is_over.is_set():
            number = (number + 1) % 0x10000
            served.bank.show((number,) * READ_ONLY_SIZE)

    changing = threading.Thread(target=change)
    served.bank.show((0,) * READ_ONLY_SIZE)
    changing.start()
    try:
        with wire(served.port) as one:
            seen = [set(one.words(0, 125)) for _ in range(300)]
    finally:
        is_over.set()
        changing.join()
    assert all(len(words) == 1 for words in seen)
    assert len(set.union(*seen)) > 1


@given(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_whatever_hurt_the_server(served: Served, pieces: list[bytes]) -> None:
    with wire(served.port) as bad:
        for piece in pieces:
            try:
                bad.send(piece)
            except ConnectionError:
                break  # it was closed already, as it should
    with wire(served.port) as good:
        assert good.words(0, 2) == (0, 1)


@given(st.binary(min_size=1, max_size=253))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_body_in_a_whole_frame_has_an_answer(served: Served, body: bytes) -> None:
    with wire(served.port) as one:
        answer = one.ask(body)
        assert answer[0] & 0x7F == body[0] & 0x7F
        assert len(answer) <= 253
        assert one.words(0, 2) == (0, 1)  # and the connection lives on


@pytest.mark.parametrize(
    "bad",
    [
        frame(read_request(0, 1), protocol=1),
        struct.pack(">HHHB", 1, 0, 1, 1),
        struct.pack(">HHHB", 1, 0, 255, 1),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_frame_ends_its_connection_alone(serve: Serve, bad: bytes) -> None:
    served = serve()
    with wire(served.port) as other, wire(served.port) as one:
        assert one.words(0, 1) == (0,)
        one.send(bad)
        assert is_hung_up(one)
        assert other.words(0, 1) == (0,)
    assert "no Modbus frame" in served.logged[0]["event"]


def test_a_half_frame_is_not_waited_for_for_ever(serve: Serve) -> None:
    port = serve(idle_s=5.0).port
    with wire(port, 20.0) as one, wire(port, 20.0) as silent:
        one.send(frame(read_request(0, 1))[:9])
        begun_s = time.monotonic()
        assert is_hung_up(one)
        assert is_hung_up(silent)
        assert 4.5 < time.monotonic() - begun_s < 15


def test_more_connections_than_allowed_are_turned_away_and_those_that_ask_stay(serve: Serve) -> None:
    served = serve(most_connections=3)
    inside = [Wire(served.port) for _ in range(3)]
    try:
        assert [one.words(7, 1) for one in inside] == [(7,)] * 3
        for _ in range(20):
            with wire(served.port) as outside:
                assert is_hung_up(outside)
        assert [one.words(7, 1) for one in inside] == [(7,)] * 3
    finally:
        for one in inside:
            one.close()
    assert len(served.logged) == 1


def test_a_silent_connection_makes_room_for_a_new_one(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modbus_doors, "SILENT_S", 0.5)
    port = serve(most_connections=2).port
    with wire(port) as dead, wire(port) as asking:
        dead.words(0, 1)
        for _ in range(8):
            time.sleep(0.1)
            asking.words(0, 1)
        with wire(port) as new:
            assert new.words(7, 1) == (7,)
            assert is_hung_up(dead)
            assert asking.words(7, 1) == (7,)


def test_a_thousand_connections_leave_the_controller_its_own(serve: Serve) -> None:
    port = serve(most_connections=4).port
    with wire(port) as controller:
        crowd = []
        slowest_s = 0.0
        try:
            for number in range(1000):
                crowd.append(socket.create_connection(("127.0.0.1", port), 10))
                if number % 20 == 0:
                    begun_s = time.monotonic()
                    assert controller.words(7, 1) == (7,)
                    slowest_s = max(slowest_s, time.monotonic() - begun_s)
            assert slowest_s < 2.0
        finally:
            for one in crowd:
                one.close()
        assert controller.words(7, 1) == (7,)


def test_a_stranger_is_turned_away(serve: Serve) -> None:
    served = serve(allowed_clients=["127.0.0.2"])
    with wire(served.port) as one:
        assert is_hung_up(one)
    assert "127.0.0.1 is not in allowed_clients" in served.logged[0]["event"]
    with socket.socket() as known:
        known.bind(("127.0.0.2", 0))
        known.connect(("127.0.0.1", served.port))
        known.sendall(frame(read_request(7, 1)))
        assert known.recv(100)[-2:] == b"\x00\x07"


def test_one_that_asks_too_much_waits_alone(serve: Serve) -> None:
    port = serve(requests_per_s=20.0).port
    with wire(port, 30.0) as greedy, wire(port) as modest:
        begun_s = time.monotonic()
        greedy.send(b"".join(frame(read_request(0, 1)) for _ in range(30)))
        asked_s = time.monotonic()
        modest.words(0, 1)
        assert time.monotonic() - asked_s < 0.7
        for _ in range(30):
            greedy.receive()
        assert time.monotonic() - begun_s > 1.0


@given(st.lists(st.floats(0, 0.1), min_size=1, max_size=200), st.floats(1, 1000))
def test_the_pace_is_kept_over_any_time(gaps_s: list[float], per_s: float) -> None:
    pace, now_s = Pace(per_s), 0.0
    for count, gap_s in enumerate(gaps_s, start=1):
        now_s += gap_s
        now_s += pace.pause_s(now_s)
        assert count <= (now_s + 0.25) * per_s + 1 + 1e-6


def test_addresses_of_the_other_version_and_mapped_ones_are_understood() -> None:
    doors = Doors(["10.1.0.0/16", "fd00::/8"], 1)
    assert doors.may_connect("10.1.2.3")
    assert doors.may_connect("::ffff:10.1.2.3")
    assert doors.may_connect("fd00::5%eth0")
    assert not doors.may_connect("10.2.0.1")
    assert not doors.may_connect("fe80::1")
    assert not doors.may_connect("nobody")


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [({}, "another program has this port"), ({"bind": "203.0.113.7", "allowed_clients": ["203.0.113.8"]}, "bring its")],
)
def test_a_port_that_cannot_be_had_is_told_with_what_to_do(changes: dict[str, Any], remedy: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        given_settings = ModbusSettings.model_validate({"port": taken.getsockname()[1]} | changes)
        server = ModbusServer(given_settings, RegisterBank(Coding(), lambda: None), RepeatedLog("t"), ("a", "b", "c"))
        with LoopThread("test-modbus", pytest.fail) as loop, pytest.raises(OSError, match="bind") as raised:
            loop.call(server.listen(), 5.0)
    told = listen_problem(given_settings, raised.value)
    assert remedy in told
    assert str(given_settings.port) in told


def test_a_port_that_needs_a_privilege_is_told_so() -> None:
    told = listen_problem(ModbusSettings(), PermissionError(13, "Permission denied"))
    assert "CAP_NET_BIND_SERVICE" in told
    assert "port 502" in told


def test_the_writable_registers_are_there_from_the_start(serve: Serve) -> None:
    port = serve().port
    with wire(port) as one:
        for register in WRITABLE:
            assert set(one.words(register.address, register.size)) == {0}
