"""The control file of a virtual loom: orders to the producer, and what it reports.

Promises: it is an array of 64-bit fields in the order of `Control` in c/loom.h, mapped by both sides; a field has one
writer, so neither side ever sees half a value. Orders are given by one process at a time.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from glass_edge.errors import InputError
from glass_edge.files import write_bytes

FAULTS = ("incomplete", "drop", "missed_trigger", "bad_chunk", "crash")
"""Faults that are ordered by number; README.md says how each shows."""
COUNTERS = ("frames", "frames_delivered", "frames_underrun", "lines")
"""What the producer counts since the loom was made."""
ORDERED, STALLED, LOSSES, FOUND_NS, LINE_STATUS, PATIENT = 1, 9, 10, 11, 12, 13
MOTION_VERSION, MOTION_SINCE_NS, MOTION_FROM_COUNT, MOTION_COUNTS_HZ, MOTION_END_COUNT = 14, 15, 16, 17, 18
DONE, STARTED_NS, HELD_NS, FIRST_COUNTER = 32, 40, 41, 42
FOREVER = (1 << 64) - 1
_MAGIC = b"GECNTRL1"
_N_SLOTS = FIRST_COUNTER + len(COUNTERS)
_NO_END = (1 << 63) - 1


class ControlFile:
    """A mapped control file; fields are read and written as unsigned integers, signed ones or real numbers."""

    def __init__(self, path: Path) -> None:
        """Map it.

        Raises:
            InputError: it is missing or no control file.
        """
        try:
            with path.open("r+b") as stream:
                self._map = mmap.mmap(stream.fileno(), 8 * _N_SLOTS)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: no control file of a virtual loom ({error})") from error
        self._slots = memoryview(self._map).cast("Q")
        if self._map[:8] != _MAGIC:
            self.close()
            raise InputError(f"{path}: no control file of a virtual loom")

    @staticmethod
    def write_new(path: Path, counts_hz: float, end_count: int | None, patient: bool) -> None:
        """Write the file of a loom that did not move yet; `end_count` None: its cloth never ends."""
        slots = [0] * 512
        slots[PATIENT] = int(patient)
        slots[MOTION_COUNTS_HZ] = _bits(counts_hz)
        slots[MOTION_END_COUNT] = _NO_END if end_count is None else end_count
        write_bytes(path, _MAGIC + struct.pack("<511Q", *slots[1:]))

    def __getitem__(self, slot: int) -> int:
        return int(self._slots[slot])

    def __setitem__(self, slot: int, value: int) -> None:
        self._slots[slot] = value & FOREVER

    def signed(self, slot: int) -> int:
        """A field as a signed integer."""
        value = self[slot]
        return value - (1 << 64) if value >> 63 else value

    def real(self, slot: int) -> float:
        """A field as a real number."""
        return float(struct.unpack("<d", struct.pack("<Q", self[slot]))[0])

    def set_motion(self, since_ns: int, from_count: int, counts_hz: float) -> None:
        """Let the web move from a count at a time on; the producer sees all of it or nothing."""
        self[MOTION_VERSION] += 1
        self[MOTION_FROM_COUNT] = from_count
        self[MOTION_COUNTS_HZ] = _bits(counts_hz)
        self[MOTION_SINCE_NS] = since_ns
        self[MOTION_VERSION] += 1

    def close(self) -> None:
        """Let go of the file."""
        self._slots.release()
        self._map.close()


def _bits(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])
