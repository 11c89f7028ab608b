"""Values to registers and back.

Promises: what is encoded decodes to the same value, within half a step of its scale; what is too large for its
registers is the largest they can say, never a wrapped one; a text that is too long is cut between two characters; what
is not known is never mistaken for a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from glass_edge.adapters.modbus_map import Register, RegisterType

Value: TypeAlias = int | float | str | None

_RANGES = {
    RegisterType.U16: (0, 0xFFFF),
    RegisterType.BITS: (0, 0xFFFF),
    RegisterType.U32: (0, 0xFFFF_FFFF),
    RegisterType.I32: (-0x8000_0000, 0x7FFF_FFFF),
}
_SIGNED = frozenset({RegisterType.I32})


class NoTextError(ValueError):
    """Registers that hold no text of the encoding."""


@dataclass(frozen=True, slots=True)
class Coding:
    """How controllers differ.

    Attributes:
        word_order: of a number in two registers: the high word first (`big`) or last (`little`).
        text_order: of the two characters in a register: the first in the high byte or in the low byte.
        text_encoding: of texts; what it cannot say becomes '?'.
    """

    word_order: Literal["big", "little"] = "big"
    text_order: Literal["high_first", "low_first"] = "high_first"
    text_encoding: Literal["utf-8", "latin-1"] = "utf-8"

    def encode(self, register: Register, value: Value) -> tuple[int, ...]:
        """The registers of a value; None where it is not known: zeros, unless the register has a number for it."""
        if register.type is RegisterType.TEXT:
            return self._encode_text("" if value is None else str(value), register.size)
        if isinstance(value, str):
            raise TypeError(f"{register.name} is a number, not a text")
        return self._words(register, _raw(register, value))

    def decode(self, register: Register, words: Sequence[int]) -> Value:
        """The value of its registers; None: not known.

        Raises:
            NoTextError: a text that is none.
        """
        if register.type is RegisterType.TEXT:
            return self._decode_text(words)
        ordered = words if self.word_order == "big" else tuple(reversed(words))
        raw = int.from_bytes(b"".join(word.to_bytes(2, "big") for word in ordered), "big", signed=_is_signed(register))
        if register.may_be_unknown and raw == unknown(register):
            return None
        return raw if register.scale == 1 else raw / register.scale

    def _words(self, register: Register, raw: int) -> tuple[int, ...]:
        data = raw.to_bytes(2 * register.size, "big", signed=_is_signed(register))
        words = tuple(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
        return words if self.word_order == "big" else words[::-1]

    def _encode_text(self, text: str, size: int) -> tuple[int, ...]:
        # a character that ends a text would hide what follows
        data = text.replace("\0", "?").encode(self.text_encoding, errors="replace")[: 2 * size]
        if self.text_encoding == "utf-8":
            data = data.decode(errors="ignore").encode()
        data = data.ljust(2 * size, b"\0")
        order: Literal["big", "little"] = "big" if self.text_order == "high_first" else "little"
        return tuple(int.from_bytes(data[at : at + 2], order) for at in range(0, len(data), 2))

    def _decode_text(self, words: Sequence[int]) -> str:
        order: Literal["big", "little"] = "big" if self.text_order == "high_first" else "little"
        data = b"".join(word.to_bytes(2, order) for word in words).partition(b"\0")[0]
        try:
            return data.decode(self.text_encoding)
        except UnicodeDecodeError as error:
            raise NoTextError(f"is no {self.text_encoding} text ({error.reason})") from error


def unknown(register: Register) -> int:
    """The number that says "not known"."""
    least, most = _RANGES[register.type]
    return least if _is_signed(register) else most


def encode_all(
    coding: Coding, registers: Sequence[Register], values: Mapping[str, Value], size: int
) -> tuple[int, ...]:
    """Registers 0 to `size` - 1 of a block; what has no value is not known, and what is between two values 0."""
    words = [0] * size
    for register in registers:
        words[register.address : register.end] = coding.encode(register, values.get(register.name))
    return tuple(words)


def _raw(register: Register, value: float | None) -> int:
    if value is None:
        return unknown(register) if register.may_be_unknown else 0
    least, most = _RANGES[register.type]
    if register.may_be_unknown:
        least, most = (least + 1, most) if _is_signed(register) else (least, most - 1)
    return min(most, max(least, round(value * register.scale)))


def _is_signed(register: Register) -> bool:
    return register.type in _SIGNED
