"""Registers against a dictionary, and commands against what stands in them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.adapters.modbus_bank import IllegalAddressError, IllegalValueError, RegisterBank
from glass_edge.adapters.modbus_codec import Coding
from glass_edge.adapters.modbus_codes import Reason, Result
from glass_edge.adapters.modbus_map import BY_NAME, READ_ONLY_SIZE, WRITABLE
from glass_edge.adapters.modbus_orders import (
    BypassOrder,
    CommandKind,
    RecipeOrder,
    RollOrder,
    take,
)
from glass_edge.adapters.modbus_state import Done

WRITES = st.tuples(
    st.one_of(st.integers(0, 1250), st.sampled_from([one.address for one in WRITABLE])),
    st.lists(st.integers(0, 0xFFFF) | st.integers(0, 1), min_size=1, max_size=123),
)


def bank() -> RegisterBank:
    return RegisterBank(Coding(), lambda: None)


def write(to: RegisterBank, name: str, words: Sequence[int] | str | int) -> None:
    one = BY_NAME[name]
    if isinstance(words, str):
        words = Coding().encode(one, words)
    to.write(one.address, [words] if isinstance(words, int) else words, "10.0.0.9")


@given(st.lists(WRITES, max_size=20))
def test_a_write_is_whole_or_nothing(writes: list[tuple[int, list[int]]]) -> None:
    registers = bank()
    model = {address: 0 for one in WRITABLE for address in range(one.address, one.end)}
    flags = {BY_NAME["stop_enable"].address, BY_NAME["bypass_on"].address}
    for address, words in writes:
        wanted = dict(zip(range(address, address + len(words)), words, strict=True))
        if not set(wanted) <= set(model):
            with pytest.raises(IllegalAddressError):
                registers.write(address, words, "")
        elif any(wanted.get(flag, 0) > 1 for flag in flags):
            with pytest.raises(IllegalValueError):
                registers.write(address, words, "")
        else:
            registers.write(address, words, "")
            model |= wanted
        for one in WRITABLE:
            assert list(registers.read_holding(one.address, one.size)) == [
                model[at] for at in range(one.address, one.end)
            ]


@given(st.integers(0, 1250), st.integers(1, 125))
def test_what_is_read_is_all_there_or_refused(address: int, count: int) -> None:
    registers = bank()
    registers.show(tuple(range(READ_ONLY_SIZE)))
    span = range(address, address + count)
    writable = {at for one in WRITABLE for at in range(one.address, one.end)}
    if span[-1] < READ_ONLY_SIZE:
        assert registers.read_input(address, count) == registers.read_holding(address, count) == tuple(span)
        return
    with pytest.raises(IllegalAddressError):
        registers.read_input(address, count)
    if set(span) <= writable:
        assert registers.read_holding(address, count) == (0,) * count
    else:
        with pytest.raises(IllegalAddressError):
            registers.read_holding(address, count)


def test_each_kind_of_command_is_taken_with_its_values() -> None:
    registers = bank()
    write(registers, "bypass_trigger", [3, 1])
    write(registers, "roll_trigger", [4, *Coding().encode(BY_NAME["new_roll_id"], " R-7 ")])
    write(registers, "new_style", "Köper")
    write(registers, "recipe_trigger", 5)
    written = registers.written
    pending = [(3, BypassOrder(True)), (4, RollOrder("R-7")), (5, RecipeOrder("Köper", None))]
    for kind, (number, order) in zip(CommandKind, pending, strict=True):
        done, call = take(kind, Done(), written)
        assert done == Done(number=number, result=Result.PENDING)
        assert call is not None
        assert (call.kind, call.number, call.order, call.writer) == (kind, number, order, "10.0.0.9")
    write(registers, "new_version", "2025.3")
    _, call = take(CommandKind.RECIPE, Done(), registers.written)
    assert call is not None
    assert call.order == RecipeOrder("Köper", "2025.3")


def test_a_command_is_taken_once_and_the_next_when_it_is_done() -> None:
    registers = bank()
    write(registers, "new_roll_id", "R-1")
    write(registers, "roll_trigger", 1)
    done, call = take(CommandKind.ROLL, Done(), registers.written)
    assert call is not None
    assert take(CommandKind.ROLL, done, registers.written) == (done, None)
    write(registers, "roll_trigger", 2)
    assert take(CommandKind.ROLL, done, registers.written) == (done, None)  # one is under way
    after = done.model_copy(update={"result": Result.DONE})
    assert take(CommandKind.ROLL, after, registers.written)[0].number == 2
    write(registers, "roll_trigger", 1)
    assert take(CommandKind.ROLL, after, registers.written) == (after, None)  # the number that is done already
    write(registers, "roll_trigger", 0)
    assert take(CommandKind.ROLL, after, registers.written) == (after, None)


@pytest.mark.parametrize(("text", "words"), [("is empty", [0]), ("is empty", [0x2020, 0]), ("no utf-8 text", [0xFFFE])])
def test_a_name_that_is_none_is_refused_without_asking_the_station(text: str, words: list[int]) -> None:
    registers = bank()
    write(registers, "new_roll_id", words)
    write(registers, "roll_trigger", 9)
    done, call = take(CommandKind.ROLL, Done(), registers.written)
    assert call is None
    assert (done.number, done.result, done.reason) == (9, Result.REFUSED, Reason.TEXT)
    assert text in done.message
    assert "new_roll_id" in done.message


def test_a_shorter_name_over_a_longer_one_ends_where_it_ends() -> None:
    registers = bank()
    write(registers, "new_roll_id", "a-very-long-name")
    write(registers, "new_roll_id", Coding().encode(BY_NAME["new_roll_id"], "ABC")[:2])
    assert registers.written.text("new_roll_id") == "ABC"
