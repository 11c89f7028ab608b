"""The desk with a station that the test plays and a clock that it turns."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

import pytest
from adapters_support import eventually

from glass_edge.adapters import modbus_desk
from glass_edge.adapters.modbus_bank import RegisterBank
from glass_edge.adapters.modbus_codec import Coding, Value
from glass_edge.adapters.modbus_codes import Reason, Result
from glass_edge.adapters.modbus_desk import ModbusDesk
from glass_edge.adapters.modbus_liveness import Liveness
from glass_edge.adapters.modbus_map import BY_NAME, FLAGS
from glass_edge.adapters.modbus_orders import AnswerOrder, BypassOrder, Call, CommandKind, Outcome, RollOrder
from glass_edge.adapters.modbus_state import StateFile
from glass_edge.adapters.station_view import PendingStop, StationView
from glass_edge.adapters.stop_handshake import NOT_ENABLED
from glass_edge.errors import InputError
from glass_edge.events.payloads import StopRequest

CODING = Coding()
DONE = Outcome(Result.DONE)


def view(seq: int = 1, stop: str | None = None, epoch: str = "a" * 32, age_s: float = 0.0) -> StationView:
    stamp = datetime.now(UTC) - timedelta(seconds=age_s)
    pending = None
    if stop is not None:
        request = StopRequest(request_id=stop, reason="a hole", cause="hole", along_mm=1234.5, defect_id=7)
        pending = PendingStop(seq=seq, stamp_utc=stamp, request=request)
    return StationView(station="loom1", epoch=epoch, seq=seq, stamp_utc=stamp, stop=pending)


@dataclass
class Bench:
    """A desk without its thread: a turn comes with each word of the delivery."""

    folder: Path
    now_s: float = 100.0
    calls: list[Call] = field(default_factory=list)
    outcome: Outcome = DONE
    may_end: threading.Event = field(default_factory=threading.Event)
    shown: StationView | None = None

    def __post_init__(self) -> None:
        self.may_end.set()
        self.bank = RegisterBank(CODING, lambda: None)
        self.desk = ModbusDesk(
            self.bank,
            CODING,
            self.give,
            StateFile(self.folder / "modbus.json"),
            wake=threading.Event(),
            view=self.shown,
            ack_timeout_s=10.0,
            refuse_when_disabled=True,
            clock=lambda: self.now_s,
        )

    def give(self, call: Call) -> Outcome:
        self.calls.append(call)
        assert self.may_end.wait(20)
        return self.outcome

    def turn(self, seconds: float = 0.0, *, is_heard: bool = True, is_behind: bool = False) -> None:
        self.now_s += seconds
        self.desk.stands(is_heard=is_heard, is_behind=is_behind)

    def value(self, name: str) -> Value:
        one = BY_NAME[name]
        return CODING.decode(one, self.bank.read_holding(one.address, one.size))

    def flags(self) -> set[str]:
        bits = self.value("flags")
        assert isinstance(bits, int)
        return {name for bit, (name, _) in enumerate(FLAGS) if bits >> bit & 1}

    def write(self, name: str, value: Value) -> None:
        one = BY_NAME[name]
        self.bank.write(one.address, CODING.encode(one, value), "10.0.0.9")

    def results(self, name: str) -> tuple[Value, Value, Value]:
        number = "ack_number" if name == "ack" else f"{name}_done"
        return self.value(number), self.value(f"{name}_result"), self.value(f"{name}_reason")

    def until(self, name: str, result: Result) -> None:
        def is_so() -> bool:
            self.turn()
            return self.value(f"{name}_result") == result

        eventually(is_so, f"{name} {result.name}")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    one = Bench(tmp_path)
    yield one
    one.may_end.set()
    one.desk.close()


def again(bench: Bench, shown: StationView | None = None) -> Bench:
    """The adapter after a kill: what was in memory is gone."""
    return Bench(bench.folder, now_s=0.0, shown=shown)


def test_a_command_is_given_once_and_its_result_is_told(bench: Bench) -> None:
    bench.may_end.clear()
    bench.write("new_roll_id", "R-7")
    bench.write("roll_trigger", 5)
    bench.turn()
    assert bench.results("roll") == (5, Result.PENDING, Reason.NONE)
    assert "is_commanding" in bench.flags()
    bench.may_end.set()
    bench.until("roll", Result.DONE)
    bench.write("roll_trigger", 5)  # a controller that writes in each cycle
    for _ in range(5):
        bench.turn(1.0)
    assert bench.calls == [Call(CommandKind.ROLL, 5, RollOrder("R-7"), "10.0.0.9")]
    assert "is_commanding" not in bench.flags()


def test_the_words_of_a_refusal_are_shown(bench: Bench) -> None:
    bench.outcome = Outcome(Result.REFUSED, Reason.STATION_REFUSED, "no such style: Köper")
    bench.write("new_style", "Köper")
    bench.write("recipe_trigger", 2)
    bench.until("recipe", Result.REFUSED)
    assert bench.results("recipe") == (2, Result.REFUSED, Reason.STATION_REFUSED)
    assert bench.value("recipe_message") == "no such style: Köper"


def test_a_command_that_was_under_way_when_the_adapter_was_killed_is_not_given_again(bench: Bench) -> None:
    bench.may_end.clear()
    bench.write("bypass_on", 1)
    bench.write("bypass_trigger", 3)
    bench.turn()
    after = again(bench)
    assert after.results("bypass") == (3, Result.UNKNOWN, Reason.INTERRUPTED)
    assert after.value("bypass_trigger") == 3
    after.write("bypass_trigger", 3)
    after.turn()
    assert after.calls == []
    after.write("bypass_trigger", 4)
    after.until("bypass", Result.DONE)
    assert after.calls == [Call(CommandKind.BYPASS, 4, BypassOrder(False), "10.0.0.9")]
    after.desk.close()


def test_a_command_is_on_disk_before_it_is_given(bench: Bench) -> None:
    bench.may_end.clear()
    bench.write("bypass_trigger", 3)
    bench.turn()
    eventually(lambda: bool(bench.calls), "the call")
    assert StateFile(bench.folder / "modbus.json").read().bypass.number == 3


def test_while_the_state_cannot_be_kept_no_command_is_given_and_stops_are_still_shown(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write("stop_enable", 1)
    bench.turn()

    def full(self: StateFile, state: object) -> None:
        raise OSError(28, "No space left on device", "/state/modbus.json")

    with monkeypatch.context() as patch:
        patch.setattr(StateFile, "write", full)
        bench.write("bypass_trigger", 3)
        bench.desk.offer(view(9, "stop-1"))
        for _ in range(20):
            bench.turn(0.2)
        assert bench.calls == []
        assert bench.results("bypass") == (0, Result.NONE, Reason.NONE)
        assert {"needs_person", "stop_requested", "live"} <= bench.flags()
        assert "No space left on device; make room" in str(bench.desk.trouble())
        bench.write("accept_stop", bench.value("stop_number"))
        bench.until("ack", Result.DONE)  # an answer does not wait for the disk: given twice it does no harm
    bench.calls.clear()
    bench.turn(1.1)
    bench.until("bypass", Result.DONE)
    assert len(bench.calls) == 1
    assert "needs_person" not in bench.flags()


def test_a_stop_is_held_until_the_controller_answers_and_its_event_comes(bench: Bench) -> None:
    bench.write("stop_enable", 1)
    bench.desk.offer(view(5))
    bench.turn()
    bench.desk.offer(view(6, "stop-1", age_s=3.0))
    number = bench.value("stop_number")
    assert isinstance(number, int)
    assert number > 0
    assert "stop_requested" in bench.flags()
    assert (bench.value("stop_cause"), bench.value("stop_along_mm"), bench.value("stop_event")) == (1, 1234.5, 6)
    assert (bench.value("stop_reason"), bench.value("stop_defect"), bench.value("stop_across_mm")) == (
        "a hole",
        7,
        None,
    )
    bench.turn(2.0)
    assert bench.value("stop_age_s") == 5
    bench.write("accept_stop", number)
    bench.until("ack", Result.DONE)
    assert bench.results("ack") == (number, Result.DONE, Reason.NONE)
    assert "stop_requested" in bench.flags()  # until the station has told it
    bench.desk.offer(view(7))
    assert "stop_requested" not in bench.flags()
    assert (bench.value("stop_number"), bench.value("stop_cause"), bench.value("stop_along_mm")) == (0, 0, None)
    order = AnswerOrder("stop-1", True, "accepted by the controller")
    assert bench.calls == [Call(None, number, order, "10.0.0.9")]
    bench.desk.offer(view(8, "stop-2"))
    assert bench.value("stop_number") == number % 0xFFFF + 1
    bench.turn(1.0)
    assert len(bench.calls) == 1  # the number of the one before accepts nothing


def test_a_controller_that_takes_too_long_is_told_of_and_the_request_stays(bench: Bench) -> None:
    bench.write("stop_enable", 1)
    bench.turn()
    bench.desk.offer(view(6, "stop-1"))
    bench.turn(9.9)
    assert "ack_overdue" not in bench.flags()
    told = set()
    for _ in range(30):
        bench.turn(1.0)
        told.add(bench.desk.trouble())
    assert {"ack_overdue", "stop_requested", "needs_person"} <= bench.flags()
    assert len(told) == 1  # the same words, so that the log is not full of them
    assert f"stop request {bench.value('stop_number')} has waited" in str(bench.desk.trouble())
    bench.write("refuse_stop", bench.value("stop_number"))
    bench.until("ack", Result.DONE)
    assert "ack_overdue" not in bench.flags()
    assert bench.desk.trouble() is None
    assert bench.calls[0].order == AnswerOrder("stop-1", False, "refused by the controller")


def test_stops_are_refused_in_the_place_of_a_controller_that_is_off_but_only_in_the_present(bench: Bench) -> None:
    bench.desk.offer(view(6, "stop-1"))
    bench.turn(is_behind=True)
    assert bench.value("stop_number") == 0  # of the past, maybe
    bench.turn()
    bench.until("ack", Result.DONE)
    assert bench.calls == [
        Call(None, int(str(bench.value("stop_number"))), AnswerOrder("stop-1", False, NOT_ENABLED), "")
    ]


def test_that_the_controller_answers_is_kept(bench: Bench) -> None:
    bench.write("stop_enable", 1)
    bench.turn()
    after = again(bench, view(6, "stop-1"))
    assert "stop_enabled" in after.flags()
    after.turn()
    assert after.calls == []
    after.desk.close()


def test_an_answer_that_found_no_station_is_sent_again(bench: Bench) -> None:
    bench.write("stop_enable", 1)
    bench.turn()
    bench.desk.offer(view(6, "stop-1"))
    bench.outcome = Outcome(Result.UNKNOWN, Reason.NO_ANSWER, "no answer within 5 s")
    bench.write("accept_stop", bench.value("stop_number"))
    eventually(lambda: (bench.turn(), bench.desk.trouble())[1] is not None, "trouble")
    assert "sent again" in str(bench.desk.trouble())
    assert bench.results("ack")[1] == Result.PENDING
    assert len(bench.calls) == 1
    bench.outcome = DONE
    bench.turn(2.1)
    bench.until("ack", Result.DONE)
    assert len(bench.calls) == 2


def test_after_a_kill_the_stop_has_its_number_and_a_given_answer_is_sent_again(bench: Bench) -> None:
    bench.write("stop_enable", 1)
    bench.turn()
    bench.desk.offer(view(6, "stop-1"))
    number = bench.value("stop_number")
    waiting = again(bench, view(6, "stop-1"))
    assert waiting.value("stop_number") == number
    waiting.desk.close()
    bench.may_end.clear()
    bench.write("accept_stop", number)
    bench.turn()
    after = again(bench, view(6, "stop-1"))
    after.turn()
    after.until("ack", Result.DONE)
    assert after.calls[0].order == AnswerOrder("stop-1", True, "accepted by the controller")
    after.desk.close()


class _Jumping(datetime):
    """A wall clock that somebody sets back and forth."""

    jump = timedelta()

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.jump


def test_a_clock_that_is_set_changes_neither_age_nor_heartbeat(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modbus_desk, "datetime", _Jumping)
    bench.write("stop_enable", 1)
    bench.turn()
    bench.desk.offer(view(6, "stop-1"))
    for second, hours in enumerate((0, 30, -30, 0), start=1):
        monkeypatch.setattr(_Jumping, "jump", timedelta(hours=hours))
        bench.turn(1.0)
        assert bench.value("stop_age_s") == second
        assert bench.value("heartbeat") == second + 1
    bench.desk.offer(view(7, "stop-2", age_s=-7200.0))  # a request from the future, as it seems
    assert bench.value("stop_age_s") == 0


def test_a_stop_keeps_its_number_when_the_adapter_was_killed_before_it_kept_the_view(bench: Bench) -> None:
    bench.write("stop_enable", 1)
    bench.turn()
    bench.desk.offer(view(6, "stop-1"))
    number = bench.value("stop_number")
    after = again(bench, view(5))
    assert after.value("stop_number") == number
    after.turn(is_heard=False)
    assert {"stop_requested", "stop_enabled"} == after.flags()
    after.desk.offer(view(6, "stop-1"))
    after.turn()
    assert after.value("stop_number") == number
    assert (after.value("stop_reason"), "live" in after.flags()) == ("a hole", True)
    after.desk.offer(view(7))
    assert after.value("stop_number") == 0
    after.desk.close()


def test_an_answer_to_a_request_that_is_over_says_that_its_fate_is_open(bench: Bench) -> None:
    bench.write("stop_enable", 1)
    bench.turn()
    bench.desk.offer(view(6, "stop-1"))
    bench.may_end.clear()
    bench.write("accept_stop", bench.value("stop_number"))
    bench.turn()
    bench.desk.offer(view(7))
    assert bench.results("ack")[1] == Result.UNKNOWN
    bench.may_end.set()
    bench.until("ack", Result.DONE)  # then the station's word comes after all


def test_the_past_is_not_shown_as_the_present(bench: Bench) -> None:
    bench.desk.offer(view(3))
    bench.turn(is_behind=True)
    assert (bench.value("event_number"), bench.flags()) == (0, {"station_heard"})
    bench.turn()
    assert bench.value("event_number") == 3
    assert "live" in bench.flags()
    bench.turn(is_behind=True)  # events that follow each other are no past
    bench.desk.offer(view(4))
    assert bench.value("event_number") == 4
    bench.desk.doubt()
    bench.desk.offer(view(1, epoch="b" * 32))
    assert (bench.value("event_number"), bench.value("journal_changes")) == (4, 0)
    bench.turn()
    assert (bench.value("event_number"), bench.value("journal_changes")) == (1, 1)
    assert bench.value("journal_id") == 0xBBBBBBBB


def test_after_a_restart_the_state_before_is_shown_and_marked(bench: Bench) -> None:
    after = again(bench, view(6))
    assert (after.value("event_number"), after.value("station")) == (6, "loom1")
    assert "live" not in after.flags()
    after.desk.close()


def test_an_error_of_the_desk_ends_the_adapter(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ModbusDesk, "_turn", lambda _: 1 / 0)
    bench.desk.start()

    def has_failed() -> bool:
        try:
            bench.desk.trouble()
        except ZeroDivisionError:
            return True
        return False

    eventually(has_failed, "the error")


def test_the_heart_beats_once_a_second_while_all_is_well_and_stands_still_otherwise() -> None:
    life = Liveness()
    life.beat(0.0)
    assert life.heartbeat == 0
    for tick in range(100):
        life.stands(is_heard=True, is_behind=False, now_s=10 + tick / 10)
        life.beat(10 + tick / 10)
    assert life.heartbeat == 10
    for tick in range(100, 200):  # no word of the delivery any more
        life.beat(10 + tick / 10)
    assert life.heartbeat == 10 + 5
    life.stands(is_heard=True, is_behind=True, now_s=40.0)  # it is back, and has to catch up
    life.beat(41.0)
    assert life.heartbeat == 15
    life.stands(is_heard=True, is_behind=False, now_s=42.0)
    life.beat(42.0)
    assert life.heartbeat == 16
    life.stands(is_heard=False, is_behind=False, now_s=43.5)
    life.beat(44.0)
    assert life.heartbeat == 16


def test_one_that_stays_behind_is_not_live() -> None:
    life = Liveness()
    life.stands(is_heard=True, is_behind=False, now_s=0.0)
    for second in range(1, 20):
        life.stands(is_heard=True, is_behind=True, now_s=float(second))
        assert life.is_live(float(second)) == (second <= 6)


def test_the_beats_are_counted_from_0_again_after_65535() -> None:
    life = Liveness()
    life.heartbeat = 0xFFFF
    life.stands(is_heard=True, is_behind=False, now_s=0.0)
    life.beat(0.0)
    assert life.heartbeat == 0


@pytest.mark.parametrize("text", ["", "[]", '{"format_version": 2}', '{"last_stop_number": -1}'])
def test_a_file_that_is_no_state_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "modbus.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"modbus\.json: is no state of a Modbus adapter"):
        StateFile(path).read()


def test_two_new_adapters_do_not_begin_with_the_same_number(tmp_path: Path) -> None:
    numbers = {StateFile(tmp_path / "none.json").read().last_stop_number for _ in range(20)}
    assert len(numbers) > 1
