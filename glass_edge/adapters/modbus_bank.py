"""The registers as a controller sees them.

Promises: what one request reads is of one moment, and what one request writes takes effect together or not at all; a
register that is no value of the map, or that only the adapter writes, is never written; nothing here waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from glass_edge.adapters.modbus_codec import Coding
from glass_edge.adapters.modbus_map import BY_NAME, FIRST_WRITABLE, READ_ONLY_SIZE, WRITABLE, writable_blocks

_BLOCKS = writable_blocks()


class IllegalAddressError(Exception):
    """A register that is not there, or may not be written."""


class IllegalValueError(Exception):
    """A value that a register does not take."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the controller wrote, at one moment.

    Attributes:
        words: registers from `FIRST_WRITABLE` on.
        writers: address of who wrote a value last, by its name.
        coding: of the values.
    """

    words: tuple[int, ...]
    writers: Mapping[str, str]
    coding: Coding

    def number(self, name: str) -> int:
        """Value of a number."""
        return self.words[BY_NAME[name].address - FIRST_WRITABLE]

    def text(self, name: str) -> str:
        """Value of a text.

        Raises:
            NoTextError: it is none.
        """
        one = BY_NAME[name]
        return str(self.coding.decode(one, self.words[one.address - FIRST_WRITABLE : one.end - FIRST_WRITABLE]))

    def writer(self, name: str) -> str:
        """Address of who wrote a value last; empty: nobody did."""
        return self.writers.get(name, "")


class RegisterBank:
    """All registers of the server.

    Args:
        coding: of the values.
        on_write: called after each write, by the thread that writes.
    """

    def __init__(self, coding: Coding, on_write: Callable[[], None]) -> None:
        self._on_write = on_write
        self._shown = (0,) * READ_ONLY_SIZE
        self._written = Written((0,) * (WRITABLE[-1].end - FIRST_WRITABLE), {}, coding)

    @property
    def written(self) -> Written:
        """What the controller wrote, at this moment."""
        return self._written

    def show(self, words: tuple[int, ...]) -> None:
        """Replace all registers that only the adapter writes."""
        assert len(words) == READ_ONLY_SIZE
        self._shown = words

    def preset(self, numbers: Mapping[str, int]) -> None:
        """Numbers that the controller wrote to an earlier process; before anything is served."""
        words = list(self._written.words)
        for name, number in numbers.items():
            words[BY_NAME[name].address - FIRST_WRITABLE] = number
        self._written = Written(tuple(words), {}, self._written.coding)

    def read_input(self, address: int, count: int) -> tuple[int, ...]:
        """Input registers: those that only the adapter writes.

        Raises:
            IllegalAddressError: one of them is not there.
        """
        if not 0 <= address <= address + count <= READ_ONLY_SIZE:
            raise IllegalAddressError
        return self._shown[address : address + count]

    def read_holding(self, address: int, count: int) -> tuple[int, ...]:
        """Holding registers: the same, and those that the controller writes. Raises as `read_input`."""
        if address < FIRST_WRITABLE:
            return self.read_input(address, count)
        _require_block(address, count)
        return self._written.words[address - FIRST_WRITABLE : address - FIRST_WRITABLE + count]

    def write(self, address: int, words: Sequence[int], writer: str) -> None:
        """Write holding registers, all at once; by one thread.

        Raises:
            IllegalAddressError: one of them may not be written; none was.
            IllegalValueError: one of them does not take its value; none was written.
        """
        _require_block(address, len(words))
        before, start = self._written, address - FIRST_WRITABLE
        after = (*before.words[:start], *words, *before.words[start + len(words) :])
        end = address + len(words)
        touched = [one for one in WRITABLE if one.address < end and one.end > address]
        for one in touched:
            if one.most is not None and after[one.address - FIRST_WRITABLE] > one.most:
                raise IllegalValueError
        self._written = Written(after, {**before.writers, **{one.name: writer for one in touched}}, before.coding)
        self._on_write()


def _require_block(address: int, count: int) -> None:
    if not any(block.start <= address and address + count <= block.stop for block in _BLOCKS):
        raise IllegalAddressError
