"""The virtual loom as the person beside it sees it: it runs, stops, goes back, and its camera fails on command.

Promises: the state lies in a mapped file beside the cloth, so that it outlives the camera, the producer's reloads and
the process; an order is carried out once; orders of this side and answers of the producer never write the same field.
The layout is `Control` of c/loom.h; both sides see 64-bit fields.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.virtual_loom.build import PRODUCER_NAME, build_virtual_loom
from glass_edge.acquisition.virtual_loom.cloth import ClothHeader, Weave, write_cloth, write_cloth_of_images
from glass_edge.errors import InputError
from glass_edge.files import atomic_write, make_folder, write_bytes

CLOTH_FILE, CONTROL_FILE = "cloth.lines", "control"
_FAULTS = ("incomplete", "drop", "missed_trigger", "bad_chunk", "crash")
_ORDERED, _STALLED, _LOSSES, _FOUND_NS, _LINE_STATUS, _PATIENT = 1, 9, 10, 11, 12, 13
_VERSION, _SINCE_NS, _FROM_COUNT, _COUNTS_HZ, _END_COUNT = 14, 15, 16, 17, 18
_DONE, _STARTED_NS, _HELD_NS, _COUNTERS = 32, 40, 41, 42
_N_SLOTS = 46
_FOREVER = (1 << 64) - 1
_NO_END = (1 << 63) - 1


class VirtualLoom:
    """A loom with one camera; several looms in one folder are several cameras of one producer."""

    def __init__(self, folder: Path, serial: str = "LOOM-1") -> None:
        """Take hold of a loom made by `create`.

        Raises:
            InputError: there is no such loom.
        """
        self.folder, self.serial = folder, serial
        path = folder / serial / CONTROL_FILE
        self.cloth = ClothHeader.read(folder / serial / CLOTH_FILE)
        try:
            with path.open("r+b") as stream:
                self._map = mmap.mmap(stream.fileno(), 8 * _N_SLOTS)
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: no control file of a virtual loom ({error})") from error
        self._slots = memoryview(self._map).cast("Q")
        if self._map[:8] != b"GECNTRL1":
            raise InputError(f"{path}: no control file of a virtual loom")

    @classmethod
    def create(
        cls,
        folder: Path,
        cloth: Path | Sequence[Path] | NDArray[np.uint8],
        *,
        serial: str = "LOOM-1",
        user_id: str = "",
        line_rate_hz: float = 1000.0,
        counts_per_line: int = 1,
        repeat: bool = True,
        patient: bool = False,
        full_scale_16bit: int | None = None,
    ) -> Self:
        """Make a loom, and the producer beside it, in `folder`; one that is there is replaced.

        Args:
            folder: it will hold `virtual_loom.cti` and a sub-folder `serial`.
            cloth: uint8 lines, or images as the replay camera takes them; the colour of the images is the camera's.
            serial: name of the camera, a plain file name.
            user_id: DeviceUserID of the camera.
            line_rate_hz: lines of cloth a second; also the camera's AcquisitionLineRate after power-up.
            counts_per_line: encoder counts from line to line; also the EncoderDivider after power-up.
            repeat: True: the cloth repeats for ever; False: the loom stops at its last line.
            patient: True: the loom waits while the consumer has no free buffer; False: frames are lost then.
            full_scale_16bit: value of 16-bit images that becomes 255.

        Raises:
            InputError: cloth or a value is impossible, or there is no C compiler.
        """
        if not serial or serial.startswith(".") or "/" in serial or len(serial.encode()) > 63:
            raise InputError(f"serial {serial!r} is impossible; give a plain file name of at most 63 bytes")
        place = make_folder(make_folder(folder) / serial)
        weave = Weave(line_rate_hz, counts_per_line, user_id)
        if isinstance(cloth, np.ndarray):
            header = write_cloth(place / CLOTH_FILE, cloth, weave)
        else:
            header = write_cloth_of_images(place / CLOTH_FILE, cloth, weave, full_scale_16bit)
        slots = [0] * 512
        slots[_PATIENT] = int(patient)
        slots[_COUNTS_HZ] = _bits(line_rate_hz * counts_per_line)
        slots[_END_COUNT] = _NO_END if repeat else (header.lines - 1) * counts_per_line
        write_bytes(place / CONTROL_FILE, b"GECNTRL1" + struct.pack("<511Q", *slots[1:]))
        with build_virtual_loom().open("rb") as source, atomic_write(folder / PRODUCER_NAME) as target:
            shutil.copyfileobj(source, target)
        return cls(folder, serial)

    @property
    def cti(self) -> Path:
        """The producer to give to a GenTL consumer."""
        return self.folder / PRODUCER_NAME

    # The web

    def _loom_ns(self) -> int:
        return time.monotonic_ns() - self._slots[_HELD_NS]

    @property
    def encoder_count(self) -> int:
        """Where the web is now; 0 until a camera first starts."""
        since = self._slots[_SINCE_NS] or self._slots[_STARTED_NS]
        count = _signed(self._slots[_FROM_COUNT])
        if since:
            count += int(_real(self._slots[_COUNTS_HZ]) * (self._loom_ns() - since) * 1e-9 // 1)
        return min(count, _signed(self._slots[_END_COUNT]))

    def run(self, line_rate_hz: float | None = None) -> None:
        """Weave at so many lines of cloth a second from now on; negative: the web goes back; None: as created."""
        rate = self.cloth.weave.line_rate_hz if line_rate_hz is None else line_rate_hz
        started = bool(self._slots[_SINCE_NS] or self._slots[_STARTED_NS])
        count, now = self.encoder_count, self._loom_ns()
        self._slots[_VERSION] += 1
        self._slots[_FROM_COUNT] = count & _FOREVER
        self._slots[_COUNTS_HZ] = _bits(rate * self.cloth.weave.counts_per_line)
        self._slots[_SINCE_NS] = now if started else 0
        self._slots[_VERSION] += 1

    def stop(self) -> None:
        """Stop the web where it is; no line is triggered by an encoder that stands."""
        self.run(0.0)

    def set_line_status(self, levels: int) -> None:
        """Set the camera's input lines: LineStatusAll and its chunk; bit 0 is Line0."""
        self._slots[_LINE_STATUS] = levels & 0xFFFFFFFF

    # The camera's faults

    def order(self, fault: str, times: int = 1) -> None:
        """Order a fault: incomplete, drop, missed_trigger, bad_chunk or crash; README.md says how each shows.

        Raises:
            InputError: there is no such fault.
        """
        if fault not in _FAULTS:
            raise InputError(f"no fault {fault!r}; there are {', '.join(_FAULTS)}")
        self._slots[_ORDERED + _FAULTS.index(fault)] += times

    def pending(self, fault: str) -> int:
        """How often an ordered fault has not happened yet."""
        index = _FAULTS.index(fault)
        return int(self._slots[_ORDERED + index] - self._slots[_DONE + index])

    def stall(self) -> None:
        """Deliver nothing from the frame that is being exposed on; the web goes on."""
        self._slots[_STALLED] = 1

    def resume(self) -> None:
        """Deliver again, beginning with the frame that is being exposed."""
        self._slots[_STALLED] = 0

    def lose(self, for_s: float | None = None) -> None:
        """Lose the camera for so many seconds, or until `find`; the web goes on."""
        self._slots[_FOUND_NS] = _FOREVER if for_s is None else time.monotonic_ns() + int(for_s * 1e9)
        self._slots[_LOSSES] += 1

    def find(self) -> None:
        """Let a lost camera be found again; what was open stays dead and must be opened anew."""
        self._slots[_FOUND_NS] = 0

    # What happened

    @property
    def counters(self) -> dict[str, int]:
        """Since the loom was created: frames exposed, delivered, lost for want of a buffer; lines exposed."""
        names = ("frames", "frames_delivered", "frames_underrun", "lines")
        return {name: int(self._slots[_COUNTERS + i]) for i, name in enumerate(names)}

    def close(self) -> None:
        """Let go of the control file; the loom goes on."""
        self._slots.release()
        self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _bits(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


def _real(bits: int) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", bits))[0])


def _signed(bits: int) -> int:
    return bits - (1 << 64) if bits >> 63 else bits
