"""Cloth that passed while nobody looked: between the end of one run of the station and the first line of the next.

Promises: where the camera's encoder tells how far the web went, the new run's first roll begins with a gap of exactly
these lines, told as `station_down`; where it cannot tell, `station_down` says so in words, with the time and what the
loom would have woven at its last speed. Lines that were on their way through a process that died are in that gap, as
lines after the last place that was told. Cloth is never counted twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from glass_edge.acquisition.camera import Alarm, Camera, LineBlock
from glass_edge.acquisition.wrapped_camera import WrappedCamera
from glass_edge.errors import InputError
from glass_edge.events.journal import Journal
from glass_edge.events.schema import Draft, Event
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.coverage import CoverageGap
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import Progress, QuietSink
from glass_edge.service.cut_roll import end_cut_roll
from glass_edge.service.web_place import WebPlace, boot_id, boot_s, caught_up, load_place, place_path, save_place

FAULT = "station_down"
_FASTER = 8.0  # no loom goes so many times its last speed
_SLACK_LINES = 100_000  # and no camera hands over more lines at once
_ANCHORS = 1024  # blocks between camera and journal


@dataclass(frozen=True, slots=True)
class Witness:
    """What says how far the web goes.

    Attributes:
        camera: serial number.
        counts_per_line: encoder counts from line to line; None: there is no encoder.
        encoder_bits: width of its counter.
        mm_per_line: advance of the cloth between two lines.
    """

    camera: str
    counts_per_line: float | None
    encoder_bits: int
    mm_per_line: float


def lines_passed(place: WebPlace, witness: Witness, encoder_count: int) -> int | None:
    """Lines from `place` to where the encoder shows `encoder_count`, negative where the web went back.

    None where that cannot be known: another camera, no encoder, one that began anew, or a step that no loom makes in
    the time.
    """
    per_line, then = witness.counts_per_line, place.encoder_count
    if per_line is None or then is None or (place.camera, place.counts_per_line) != (witness.camera, per_line):
        return None
    span = 1 << witness.encoder_bits
    counts = (encoder_count - then + span // 2) % span - span // 2
    lines = round(counts / per_line)
    value = (encoder_count + span // 2) % span - span // 2
    if lines < 0 and abs(value / per_line) <= -lines:
        return None  # nearer to 0 than to where it was
    seconds = place.seconds_since()
    if seconds is not None and place.line_rate_hz is not None:
        most = _SLACK_LINES + _FASTER * place.line_rate_hz * seconds
        return lines if abs(lines) <= most else None
    return lines


class DownTime(QuietSink):
    """Keeps the place of a station's web, and compares it with the first line of the run.

    A sink of the inspection, behind the one that makes events. `begin` comes first, then `camera` is opened.

    Args:
        journal: of the station.
        witness: of its camera.
    """

    def __init__(self, journal: Path, witness: Witness) -> None:
        self._path, self._witness = place_path(journal), witness
        self._journal: Journal | None = None
        self._run_seq = 0
        self._before: WebPlace | None = None
        self._damage = ""
        self._is_first = False
        self._line_rate_hz: float | None = None
        self._line = 0
        self._begun = False
        self.anchors: deque[tuple[int, int]] = deque(maxlen=_ANCHORS)
        """Web line and encoder count of blocks, the newest last; the camera's thread adds them."""

    def begin(self, journal: Journal, emit_all: Callable[[Sequence[Draft]], Sequence[Event]]) -> str | None:
        """End the roll that the run before left open; its name, None where there was none.

        Raises: as `cut_roll.end_cut_roll`.
        """
        self._journal = journal
        try:
            self._before = load_place(self._path)
        except InputError as error:
            self._damage = str(error)
        with journal.reader() as reader:
            self._is_first = self._before is None and not self._damage and reader.extent().head == 0
            if self._before is not None:
                self._before = caught_up(self._before, reader)
                save_place(self._path, self._before)  # before the journal says so: the roll's end is told but once
            cut = end_cut_roll(reader, emit_all, self._before)
            self._run_seq = reader.extent().head
        return cut

    def first_block(self, block: LineBlock, first_line: int) -> tuple[int, str]:
        """The run's web begins at `first_line`, by the camera's numbers: lines that passed before it, and what to tell.

        Args:
            block: the first one.
            first_line: where the camera's count began.

        Returns:
            Lines, 0 where they are not known, and a sentence (empty: nothing is to be told).
        """
        lines, said = self._judge(block, first_line)
        per_line = self._witness.counts_per_line
        if per_line is not None:  # web lines of this run are shifted by `lines`
            self.anchors.append((block.first_line + lines, block.encoder_count))
        self._line = first_line
        self._save()
        self._begun = True
        return lines, said

    def _judge(self, block: LineBlock, first_line: int) -> tuple[int, str]:
        if self._is_first:
            return 0, ""
        before, witness = self._before, self._witness
        if before is None:
            why = self._damage or f"{self._path}: there is no such file"
            return 0, f"{_unknown('')} ({why}); it is kept from now on"
        per_line = witness.counts_per_line or 1.0
        begin_count = block.encoder_count - round((block.first_line - first_line) * per_line)
        lines = lines_passed(before, witness, begin_count)
        seconds = before.seconds_since()
        lasted = "" if seconds is None else f" for {seconds:.0f} s"
        if lines is None:
            woven = ""
            if seconds is not None and before.line_rate_hz is not None:
                metres = seconds * before.line_rate_hz * witness.mm_per_line / 1000
                woven = f"; at its last speed the loom wove {metres:.1f} m meanwhile"
            return 0, f"{_unknown(lasted)}: the camera does not say how far the web went{woven}; look at it"
        if lines <= 0:
            return 0, ""
        metres = lines * witness.mm_per_line / 1000
        return lines, f"the station was down{lasted}: {lines} lines ({metres:.3f} m) passed and were not inspected"

    def scores(self, strip: ScoreStrip) -> None:
        """Everything before the strip's end is told once the next call comes."""
        self._line = max(self._line, strip.end_line)

    def coverage_gap(self, gap: CoverageGap) -> None:
        """Told."""
        self._line = max(self._line, gap.end_line)

    def progress(self, progress: Progress) -> None:
        """About once a second the place is kept."""
        self._line_rate_hz = progress.camera.line_rate_hz or self._line_rate_hz
        self._save_begun()

    def roll_ended(self, roll: Roll, totals: RollTotals) -> None:
        """The place is kept."""
        self._line = max(self._line, roll.first_line + totals.lines_woven)
        self._save_begun()

    def _save_begun(self) -> None:
        if self._begun:  # before the first block there is nothing newer than the run before
            self._save()

    def _save(self) -> None:
        assert self._journal is not None
        line = self._line
        place = WebPlace(
            epoch=self._journal.epoch,
            run_seq=self._run_seq,
            head=max(self._run_seq, self._journal.head),
            camera=self._witness.camera,
            line=line,
            encoder_count=self._encoder_at(line),
            counts_per_line=self._witness.counts_per_line or 1.0,
            line_rate_hz=self._line_rate_hz,
            written_utc=datetime.now(UTC),
            boot_id=boot_id(),
            boot_s=boot_s(),
        )
        save_place(self._path, place)

    def _encoder_at(self, line: int) -> int | None:
        per_line, anchors = self._witness.counts_per_line, list(self.anchors)
        if per_line is None or not anchors:
            return None
        at, count = next((one for one in reversed(anchors) if one[0] <= line), anchors[0])
        span = 1 << self._witness.encoder_bits
        return (count + round((line - at) * per_line)) % span


class DownTimeCamera(WrappedCamera):
    """A camera whose web begins where the run before ended; a context manager, read by one thread.

    Args:
        camera: not yet opened.
        down_time: begun before this is opened.
    """

    def __init__(self, camera: Camera, down_time: DownTime) -> None:
        super().__init__(camera)
        self._down_time = down_time
        self._shift: int | None = None
        self._alarms: list[Alarm] = []

    def __enter__(self) -> Self:
        """Open the camera."""
        self._camera.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the camera."""
        self._camera.__exit__(kind, error, trace)

    def read(self, timeout_s: float) -> LineBlock | None:
        """Next block, its lines numbered on from those that passed unseen. Raises as the camera."""
        block = self._camera.read(timeout_s)
        if block is None:
            return None
        said = ""
        if self._shift is None:
            begun = self._camera.first_line
            first_line = max(0, block.first_line - block.health.missed_lines) if begun is None else begun
            self._shift, said = self._down_time.first_block(block, first_line)
            if said:
                self._alarms.append(Alarm(FAULT, said))
        line = block.first_line + self._shift
        self._down_time.anchors.append((line, block.encoder_count))
        health = block.health
        # counted as missed for cameras whose first line is known from their first block only
        health = replace(health, missed_lines=health.missed_lines + self._shift, missed_why=said)
        return replace(block, first_line=line, health=health)

    def take_alarms(self) -> tuple[Alarm, ...]:
        """See `camera.TellsAlarms`: how long nobody looked."""
        told, self._alarms = tuple(self._alarms), []
        return told + super().take_alarms()


def _unknown(lasted: str) -> str:
    return f"the station was down{lasted} and cloth of unknown length passed uninspected"
