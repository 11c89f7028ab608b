"""The handshake of stop requests, against a model of what a controller may rely on."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from glass_edge.adapters.modbus_state import ModbusState
from glass_edge.adapters.stop_handshake import MOST_NUMBER, NOT_ENABLED, Answer, Fate, StopHandshake, Wanted

EPOCH = "0" * 32
OTHER_EPOCH = "1" * 32


def held(number: int = 7, now_s: float = 0.0) -> StopHandshake:
    return StopHandshake(number - 1).see((EPOCH, "a"), now_s)


def answer_of(shake: StopHandshake) -> Answer | None:
    return None if shake.held is None else shake.held.answer


def test_a_request_is_held_under_one_number_until_it_is_over() -> None:
    shake = held(7)
    for now_s in (1.0, 2.0):
        shake = shake.see((EPOCH, "a"), now_s)
        assert shake.held is not None
        assert (shake.held.number, shake.held.since_s) == (7, 0.0)
    shake = shake.see(None, 3.0)
    assert (shake.held, shake.last_number) == (None, 7)
    assert shake.see((EPOCH, "b"), 4.0).last_number == 8


def test_the_same_name_in_a_new_journal_is_another_request() -> None:
    assert held(7).see((OTHER_EPOCH, "a"), 1.0).last_number == 8


def test_numbers_never_become_0() -> None:
    shake = StopHandshake(MOST_NUMBER).see((EPOCH, "a"), 0.0)
    assert shake.last_number == 1


def test_only_the_number_of_this_request_accepts_it() -> None:
    shake = held(7)
    for number in (0, 6, 8, MOST_NUMBER):
        assert not shake.hear(Wanted(accept=number), 1.0).is_due(1.0)
    answer = answer_of(shake.hear(Wanted(accept=7), 1.0))
    assert answer is not None
    assert (answer.accepted, answer.is_by_controller) == (True, True)


def test_a_refusal_goes_before_an_acceptance() -> None:
    answer = answer_of(held(7).hear(Wanted(accept=7, refuse=7), 1.0))
    assert answer is not None
    assert not answer.accepted


def test_a_controller_that_does_not_answer_stops_is_answered_for() -> None:
    off = Wanted(is_enabled=False, may_refuse=True)
    answer = answer_of(held().hear(off, 1.0))
    assert answer is not None
    assert (answer.accepted, answer.detail, answer.is_by_controller) == (False, NOT_ENABLED, False)
    assert answer_of(held().hear(replace(off, may_refuse=False), 1.0)) is None


def test_an_answer_that_found_no_station_is_sent_again_when_its_time_comes() -> None:
    shake = held(7).hear(Wanted(accept=7), 1.0).sent()
    assert not shake.is_due(9.0)
    shake = shake.unheard(7, 5.0).hear(Wanted(), 4.0)  # the controller took its number back: the answer stands
    assert not shake.is_due(4.9)
    assert shake.is_due(5.0)


def test_after_the_station_refused_an_answer_the_controller_may_give_another() -> None:
    shake = held(7).hear(Wanted(accept=7), 1.0).sent().replied(7, is_taken=False)
    assert not shake.hear(Wanted(accept=7), 2.0).is_due(2.0)  # one that writes its number in each cycle
    shake = shake.hear(Wanted(), 3.0)
    assert shake.hear(Wanted(refuse=7), 4.0).is_due(4.0)


def test_it_is_overdue_until_it_is_answered() -> None:
    shake = held(7)
    assert not shake.is_overdue(9.9, 10.0)
    assert shake.is_overdue(10.0, 10.0)
    assert not shake.hear(Wanted(accept=7), 11.0).is_overdue(11.0, 10.0)


class Handshakes(RuleBasedStateMachine):
    """A station, a controller and an adapter that crashes, in any order; the model keeps what each of them knows."""

    @initialize(number=st.integers(0, MOST_NUMBER))
    def begin(self, number: int) -> None:
        self.state = ModbusState(last_stop_number=number)
        self.shake = self.state.handshake(0.0)
        self.now_s = 0.0
        self.names = 0
        self.pending: tuple[str, str] | None = None
        self.numbers: dict[tuple[str, str], int] = {}
        self.wanted = Wanted(is_enabled=False)
        self.accepted_by_controller: set[int] = set()
        self.refusable: set[int] = set()
        self.under_way: tuple[int, bool] | None = None
        self.answers: dict[int, list[bool]] = {}
        self.station_refused: set[int] = set()
        self.replied: set[tuple[int, str]] = set()

    def look(self) -> None:
        self.shake = self.shake.see(self.pending, self.now_s).hear(self.wanted, self.now_s)
        if self.shake.held is not None:
            number = self.shake.held.number
            if self.wanted.accept == number:
                self.accepted_by_controller.add(number)
            if self.wanted.refuse == number or (not self.wanted.is_enabled and self.wanted.may_refuse):
                self.refusable.add(number)

    @rule()
    def station_asks(self) -> None:
        self.names += 1
        self.pending = (EPOCH, f"stop-{self.names}")
        self.look()

    @precondition(lambda self: self.pending is not None and self.pending[0] == EPOCH)
    @rule()
    def station_asks_the_same_in_a_new_journal(self) -> None:
        assert self.pending is not None
        self.pending = (OTHER_EPOCH, self.pending[1])
        self.look()

    @rule()
    def somebody_answers(self) -> None:
        self.pending = None
        self.look()

    @rule(what=st.sampled_from(["nothing", "accept", "refuse", "both", "off"]), error=st.sampled_from([0, 0, 0, -1, 1]))
    def controller_writes(self, what: str, error: int) -> None:
        number = (self.shake.last_number + error) % (MOST_NUMBER + 1)
        accept, refuse = number * (what in ("accept", "both")), number * (what in ("refuse", "both"))
        self.wanted = Wanted(accept, refuse, is_enabled=what != "off", may_refuse=what == "off")
        self.look()

    @rule(seconds=st.floats(0.1, 20))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds
        self.look()

    @precondition(lambda self: self.under_way is None and self.shake.is_due(self.now_s))
    @rule()
    def adapter_sends(self) -> None:
        held_now = self.shake.held
        assert held_now is not None
        assert held_now.answer is not None
        self.under_way = (held_now.number, held_now.answer.accepted)
        self.answers.setdefault(held_now.number, []).append(held_now.answer.accepted)
        self.keep()  # as is an answer before it is sent
        self.shake = self.shake.sent()

    @precondition(lambda self: self.under_way is not None)
    @rule(fate=st.sampled_from(["taken", "refused", "unheard"]), is_told=st.booleans())
    def station_replies(self, fate: str, is_told: bool) -> None:
        assert self.under_way is not None
        number, _ = self.under_way
        self.under_way = None
        if fate == "unheard":
            self.shake = self.shake.unheard(number, self.now_s + 2.0)
        else:
            self.shake = self.shake.replied(number, is_taken=fate == "taken")
            self.replied.add((number, fate))
            if fate == "refused":
                self.station_refused.add(number)
            elif is_told and self.pending is not None and self.numbers.get(self.pending) == number:
                self.pending = None
        self.look()

    @rule(was_kept=st.booleans())
    def adapter_is_killed(self, was_kept: bool) -> None:
        if was_kept or self.shake.last_number != self.state.last_stop_number:
            self.keep()  # a new number is kept before its event is committed
        self.shake = self.state.handshake(self.now_s)
        self.under_way = None
        self.wanted = Wanted(is_enabled=self.wanted.is_enabled)
        self.look()

    def keep(self) -> None:
        document = self.state.with_handshake(self.shake).model_dump_json()
        self.state = ModbusState.model_validate_json(document)

    @invariant()
    def the_request_that_waits_is_held_under_its_own_number(self) -> None:
        if not hasattr(self, "shake"):
            return
        held_now = self.shake.held
        assert (held_now is None) == (self.pending is None)
        if held_now is not None and self.pending is not None:
            assert (held_now.epoch, held_now.request_id) == self.pending
            assert self.numbers.setdefault(self.pending, held_now.number) == held_now.number
            assert 1 <= held_now.number <= MOST_NUMBER
        assert len(set(self.numbers.values())) == len(self.numbers)

    @invariant()
    def nothing_is_answered_that_nobody_wanted(self) -> None:
        for number, given in getattr(self, "answers", {}).items():
            assert True not in given or number in self.accepted_by_controller
            assert False not in given or number in self.refusable
            if number not in self.station_refused:
                assert len(set(given)) == 1, "one request, two different answers"

    @invariant()
    def one_answer_is_under_way_at_most(self) -> None:
        answer = answer_of(self.shake) if hasattr(self, "shake") else None
        if answer is not None and answer.fate is Fate.UNDER_WAY:
            assert self.under_way is not None
        if answer is not None and answer.fate in (Fate.TAKEN, Fate.REFUSED):
            assert (self.shake.last_number, answer.fate.name.lower()) in self.replied


Handshakes.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestHandshakes = Handshakes.TestCase
