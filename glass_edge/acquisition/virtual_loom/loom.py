"""The virtual loom as the person beside it sees it: it runs, stops, goes back, and its camera fails on command.

Promises: the state lies in a mapped file beside the cloth, so that it outlives the camera, the producer's reloads and
the process; an order is carried out once.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.virtual_loom import control as at
from glass_edge.acquisition.virtual_loom.build import PRODUCER_NAME, build_virtual_loom
from glass_edge.acquisition.virtual_loom.cloth import ClothHeader, Weave, write_cloth, write_cloth_of_images
from glass_edge.acquisition.virtual_loom.control import ControlFile
from glass_edge.errors import InputError
from glass_edge.files import atomic_write, make_folder

CLOTH_FILE, CONTROL_FILE = "cloth.lines", "control"


class VirtualLoom:
    """A loom with one camera; several looms in one folder are several cameras of one producer."""

    def __init__(self, folder: Path, serial: str = "LOOM-1") -> None:
        """Take hold of a loom made by `create`.

        Raises:
            InputError: there is no such loom.
        """
        self.folder, self.serial = folder, serial
        self.cloth = ClothHeader.read(folder / serial / CLOTH_FILE)
        self._control = ControlFile(folder / serial / CONTROL_FILE)

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
        end_count = None if repeat else (header.lines - 1) * counts_per_line
        ControlFile.write_new(place / CONTROL_FILE, line_rate_hz * counts_per_line, end_count, patient)
        with build_virtual_loom().open("rb") as source, atomic_write(folder / PRODUCER_NAME) as target:
            shutil.copyfileobj(source, target)
        return cls(folder, serial)

    @property
    def cti(self) -> Path:
        """The producer to give to a GenTL consumer."""
        return self.folder / PRODUCER_NAME

    # The web

    def _loom_ns(self) -> int:
        return time.monotonic_ns() - self._control[at.HELD_NS]

    def _since_ns(self) -> int:
        return self._control[at.MOTION_SINCE_NS] or self._control[at.STARTED_NS]

    def _count_at(self, loom_ns: int) -> int:
        control, since_ns = self._control, self._since_ns()
        count = control.signed(at.MOTION_FROM_COUNT)
        if since_ns:
            count += int(control.real(at.MOTION_COUNTS_HZ) * (loom_ns - since_ns) * 1e-9 // 1)
        return min(count, control.signed(at.MOTION_END_COUNT))

    @property
    def encoder_count(self) -> int:
        """Where the web is now; 0 until a camera first starts."""
        return self._count_at(self._loom_ns())

    def run(self, line_rate_hz: float | None = None) -> None:
        """Weave at so many lines of cloth a second from now on; negative: the web goes back; None: as created."""
        weave = self.cloth.weave
        rate_hz = weave.line_rate_hz if line_rate_hz is None else line_rate_hz
        now_ns = self._loom_ns()
        since_ns = now_ns if self._since_ns() else 0  # a web that never moved starts with the camera
        self._control.set_motion(since_ns, self._count_at(now_ns), rate_hz * weave.counts_per_line)

    def stop(self) -> None:
        """Stop the web where it is; no line is triggered by an encoder that stands."""
        self.run(0.0)

    def set_line_status(self, levels: int) -> None:
        """Set the camera's input lines: LineStatusAll and its chunk; bit 0 is Line0."""
        self._control[at.LINE_STATUS] = levels & 0xFFFFFFFF

    # The camera's faults

    def order(self, fault: str, times: int = 1) -> None:
        """Order a fault: incomplete, drop, missed_trigger, bad_chunk or crash; README.md says how each shows.

        Raises:
            InputError: there is no such fault.
        """
        if fault not in at.FAULTS:
            raise InputError(f"no fault {fault!r}; there are {', '.join(at.FAULTS)}")
        self._control[at.ORDERED + at.FAULTS.index(fault)] += times

    def pending(self, fault: str) -> int:
        """How often an ordered fault has not happened yet."""
        index = at.FAULTS.index(fault)
        return self._control[at.ORDERED + index] - self._control[at.DONE + index]

    def stall(self) -> None:
        """Deliver nothing from the frame that is being exposed on; the web goes on."""
        self._control[at.STALLED] = 1

    def resume(self) -> None:
        """Deliver again, beginning with the frame that is being exposed."""
        self._control[at.STALLED] = 0

    def lose(self, for_s: float | None = None) -> None:
        """Lose the camera for so many seconds, or until `find`; the web goes on."""
        self._control[at.FOUND_NS] = at.FOREVER if for_s is None else time.monotonic_ns() + int(for_s * 1e9)
        self._control[at.LOSSES] += 1

    def find(self) -> None:
        """Let a lost camera be found again; what was open stays dead and must be opened anew."""
        self._control[at.FOUND_NS] = 0

    # What happened

    @property
    def counters(self) -> dict[str, int]:
        """Since the loom was created: frames exposed, delivered, lost for want of a buffer; lines exposed."""
        return {name: self._control[at.FIRST_COUNTER + index] for index, name in enumerate(at.COUNTERS)}

    def close(self) -> None:
        """Let go of the control file; the loom goes on."""
        self._control.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
