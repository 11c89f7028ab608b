"""From what a camera says of its blocks to line numbers of the web.

Promises (each a property test): pure, no clock and no device; lines handed over + lines reported missing = lines woven;
line numbers never run backwards, and cloth that passes twice (let-back, pick finding) is handed over once, the pass in
which it is seen whole; a standing loom is nothing.

Where the web is comes from the best witness a block carries: the encoder, else the camera's line number, else its frame
id. The others tell why lines are missing. Counters that start over at their width are followed; after the stream was
started anew only the encoder and the line number say how far the web went meanwhile, and without them it is estimated
from the last line rate, and said so.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from statistics import median

_RATES_KEPT = 9
_SLACK_BLOCKS = 64  # blocks that waited in the driver come faster than they were taken
_MOST_UNPLACED = 8
_FASTEST_HZ, _FASTER = 1e6, 8.0


@dataclass(frozen=True, slots=True)
class BlockTags:
    """What the camera says of one block; None where it says nothing.

    Attributes:
        n_lines: lines in the block.
        frame_id: number of the block since the stream was started.
        line_number: the camera's own number of the first line.
        encoder_count: encoder at the first line.
        encoder_count_last: encoder at the last line.
        timestamp_ns: camera time of the first line or of the block.
        session: how often the stream was started before.
        incomplete_blocks, underruns, ring_overruns, chunk_errors: totals of the session when the block came.
        received_monotonic_s: when the block was complete.
    """

    n_lines: int
    frame_id: int | None = None
    line_number: int | None = None
    encoder_count: int | None = None
    encoder_count_last: int | None = None
    timestamp_ns: int | None = None
    session: int = 0
    incomplete_blocks: int = 0
    underruns: int = 0
    ring_overruns: int = 0
    chunk_errors: int = 0
    received_monotonic_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a block lies.

    Attributes:
        first_line: web line of the first line to hand over.
        skip_lines: lines at the block's head that were handed over before.
        n_lines: lines to hand over, 0 when there are none.
        missed_lines: web lines before `first_line` that were neither handed over nor reported before.
        faults: what happened, a sentence each.
    """

    first_line: int
    skip_lines: int
    n_lines: int
    missed_lines: int
    faults: tuple[str, ...] = ()


@dataclass(slots=True)
class LineCounts:
    """Totals since the counter was made."""

    lines: int = 0
    missed_lines: int = 0
    incomplete_blocks: int = 0
    underruns: int = 0
    ring_overruns: int = 0
    chunk_errors: int = 0
    lost_frames: int = 0
    missed_triggers: int = 0
    repeated_lines: int = 0
    reversals: int = 0
    restarts: int = 0


def unwrap(value: int, expected: int, bits: int) -> int:
    """The number nearest to `expected` that a counter `bits` wide shows as `value`."""
    span = 1 << bits
    return expected + (value - expected + span // 2) % span - span // 2


@dataclass(slots=True)
class LineCounter:
    """Places the blocks of one camera on the web.

    Args:
        counts_per_line: encoder counts from one line to the next; negative where the encoder counts down.
        tolerance_lines: an encoder that is off by no more is not believed; the difference may add up.
        encoder_bits, frame_id_bits: widths of the camera's counters.
        backwards_lines: so many lines in a row that passed before are more than a let-back, and are told.
    """

    counts_per_line: float = 1.0
    tolerance_lines: int = 0
    encoder_bits: int = 64
    frame_id_bits: int = 64
    backwards_lines: int = 20_000
    counts: LineCounts = field(default_factory=LineCounts)
    next_line: int = 0
    """First web line that was neither handed over nor reported missing."""
    _last: BlockTags | None = None
    _last_first_line: int = 0
    _before_s: float = 0.0  # when the block before the last one came
    _encoder_origin: float | None = None  # encoder count at web line 0
    _encoder: int = 0  # last count, unwrapped
    _doubted: int | None = None  # an encoder count that could not be
    _unplaced: int = 0  # blocks since a restart that were given up for want of an encoder count
    _repeated: int = 0  # lines in a row that passed before
    _has_turned: bool = False  # the web ran back since the last lines that were handed over
    _number_origin: int | None = None  # camera line number at web line 0
    _frame: int = 0  # last frame id, unwrapped
    _line_s: deque[float] = field(default_factory=lambda: deque(maxlen=_RATES_KEPT))  # seconds a line

    @property
    def line_rate_hz(self) -> float | None:
        """Lines a second while the web ran, the median of the last blocks; None before the second block."""
        return 1.0 / median(self._line_s) if self._line_s else None

    def encoder_at(self, line: int) -> int:
        """Encoder count at a web line; the line itself where there is no encoder."""
        if self._encoder_origin is None:
            return line
        return round(self._encoder_origin + line * self.counts_per_line)

    def place(self, tags: BlockTags, *, encoder_next: int | None = None) -> Placement:
        """Where `tags`' block lies; blocks come in the order they were taken.

        Args:
            tags: of the block.
            encoder_next: encoder at the first line of the block after it, when that is known. It tells blocks in which
                the web turned back when the camera does not say where its last line lies.
        """
        faults: list[str] = []
        last = self._last
        began = last is None or tags.session != last.session
        if began and last is not None:
            if self._lacks_place(tags):
                self._unplaced += 1
                return Placement(self.next_line, tags.n_lines, 0, 0)
            self.counts.restarts += 1
            self._unplaced = 0
        since = self._since(tags, BlockTags(0) if began or last is None else last, began)
        first = self._position(tags, last, began, since.lost, faults)
        turned = self._turned(tags, encoder_next)
        self._remember(tags, last, first)

        missed = skip = 0
        n_lines = tags.n_lines
        if turned:
            self.counts.reversals += 1
            self.counts.repeated_lines += n_lines
            self._has_turned = True
            skip, n_lines = n_lines, 0
            first = self.next_line
        elif first < self.next_line:
            skip = min(n_lines, self.next_line - first)
            n_lines -= skip
            first += skip
            self.counts.repeated_lines += skip
            if n_lines == 0:
                first = self.next_line
        if n_lines and first > self.next_line:
            missed = first - self.next_line
        if since.chunk_errors:
            faults.append(
                f"the camera's chunk data could not be read {since.chunk_errors} times; lines are counted without"
            )
        if missed:
            why = self._why(missed, tags, since, began and last is not None)
            faults.append(f"{missed} lines before line {first} were not received: {why}")
        elif since.incomplete:
            faults.append(f"{since.incomplete} incomplete blocks; their lines passed again or were counted before")
        self._watch_direction(tags.n_lines, n_lines, faults)
        if n_lines:
            self.counts.lines += n_lines
            self.counts.missed_lines += missed
            self.next_line = first + n_lines
            self._has_turned = False
        return Placement(first, skip, n_lines, missed, tuple(faults))

    def _watch_direction(self, n_lines: int, n_new: int, faults: list[str]) -> None:
        """Tell once of a web that runs backwards for good: of such cloth no line is handed over."""
        before, self._repeated = self._repeated, 0 if n_new else self._repeated + n_lines
        if before < self.backwards_lines <= self._repeated:
            faults.append(
                f"{self._repeated} lines in a row passed before: the encoder counts backwards. Is it turned round "
                "(then give counts_per_line the other sign), or is the cloth unwound? Nothing of it is inspected"
            )

    def _lacks_place(self, tags: BlockTags) -> bool:
        """True after a restart while the encoder's count cannot be read, which a block or two later it can.

        The lines are then missing, as the next count tells, which is better than lines at the wrong place.
        """
        has_witness = tags.encoder_count is not None or (
            tags.line_number is not None and self._number_origin is not None
        )
        return (
            not has_witness
            and self._encoder_origin is not None
            and tags.chunk_errors > 0
            and self._unplaced < _MOST_UNPLACED
        )

    def _since(self, tags: BlockTags, base: BlockTags, began: bool) -> _Since:
        incomplete = max(0, tags.incomplete_blocks - base.incomplete_blocks)
        overruns = max(0, tags.ring_overruns - base.ring_overruns)
        underruns = max(0, tags.underruns - base.underruns)
        chunk_errors = max(0, tags.chunk_errors - base.chunk_errors)
        lost = self._lost_frames(tags, began, incomplete + overruns)
        self.counts.incomplete_blocks += incomplete
        self.counts.ring_overruns += overruns
        self.counts.underruns += underruns
        self.counts.chunk_errors += chunk_errors
        self.counts.lost_frames += max(0, lost - incomplete - overruns)
        return _Since(incomplete, overruns, underruns, chunk_errors, lost)

    def _lost_frames(self, tags: BlockTags, began: bool, known: int) -> int:
        """Blocks that should lie between the last and this one."""
        if tags.frame_id is None or began:
            if tags.frame_id is not None:
                self._frame = tags.frame_id
            return known
        frame = unwrap(tags.frame_id, self._frame + 1, self.frame_id_bits)
        if self.frame_id_bits == 16 and frame >> 16 != self._frame >> 16:
            frame -= 1 if tags.frame_id else 0  # GigE Vision 1 leaves out 0
        lost = frame - self._frame - 1
        self._frame = frame if self.frame_id_bits != 16 else _keep_low(frame, tags.frame_id)
        return lost if lost >= 0 else known

    def _position(  # noqa: PLR0911
        self, tags: BlockTags, last: BlockTags | None, began: bool, lost: int, faults: list[str]
    ) -> int:
        """Web line of the block's first line, by its best witness."""
        if last is None:
            return self._bind(tags, lost * tags.n_lines)
        follows = self._last_first_line + last.n_lines
        nominal = follows + (0 if began else lost * last.n_lines)
        if tags.encoder_count is not None and self._encoder_origin is not None:
            expected = round(self._encoder + last.n_lines * self.counts_per_line)
            encoder = unwrap(tags.encoder_count, expected, self.encoder_bits)
            first = math.floor((encoder - self._encoder_origin) / self.counts_per_line + 0.5)
            if self._is_possible(first - nominal, tags, last):
                self._doubted = None
                if began and first < self.next_line and self._started_over(tags, first):
                    faults.append("the encoder count started over with the camera; where the web is was estimated")
                    return self._bind(tags, follows + self._estimated_lines(tags, last))
                self._encoder = encoder
                return nominal if abs(first - nominal) <= self.tolerance_lines else first
            doubted, self._doubted = self._doubted, tags.encoder_count
            if began or (
                doubted is not None and self._is_possible(self._lines(tags.encoder_count - doubted), tags, last)
            ):
                faults.append(f"the encoder counts from {tags.encoder_count} now; where the web is was estimated")
                return self._bind(tags, nominal + (self._estimated_lines(tags, last) if began else 0))
            faults.append(f"the encoder count {tags.encoder_count} cannot be; lines are counted by the frame ids")
        if tags.line_number is not None and self._number_origin is not None:
            first = tags.line_number - self._number_origin
            if first >= follows and self._is_possible(first - nominal, tags, last):
                return first
            self._number_origin = None
        if not began:
            return nominal
        faults.append("the camera does not say how far the web went while it was lost; it was estimated")
        return self._bind(tags, follows + self._estimated_lines(tags, last))

    def _lines(self, counts: int) -> int:
        return round(counts / self.counts_per_line)

    def _started_over(self, tags: BlockTags, first: int) -> bool:
        """Whether an encoder that says `first`, cloth from before the camera was away, began anew with the camera.

        It did when it is nearer to 0 than to where it was; otherwise the web ran back meanwhile.
        """
        assert tags.encoder_count is not None
        value = unwrap(tags.encoder_count, 0, self.encoder_bits)
        return abs(self._lines(value)) <= self.next_line - first

    def _is_possible(self, lines: int, tags: BlockTags, last: BlockTags) -> bool:
        """False for a step that no web makes in the time: a counter that was misread."""
        # stretches of one block come at one time, and the web turned between them
        since_s = (
            self._before_s if tags.received_monotonic_s == last.received_monotonic_s else last.received_monotonic_s
        )
        elapsed_s = max(0.0, tags.received_monotonic_s - since_s)
        fastest_hz = _FASTEST_HZ if self.line_rate_hz is None else min(_FASTEST_HZ, _FASTER * self.line_rate_hz)
        return abs(lines) <= _SLACK_BLOCKS * max(tags.n_lines, last.n_lines) + fastest_hz * elapsed_s

    def _bind(self, tags: BlockTags, first_line: int) -> int:
        """From here on the camera's counters are counted from `first_line`, which is returned."""
        if tags.encoder_count is not None:
            self._encoder = tags.encoder_count
            self._encoder_origin = tags.encoder_count - first_line * self.counts_per_line
        if tags.line_number is not None:
            self._number_origin = tags.line_number - first_line
        return first_line

    def _turned(self, tags: BlockTags, encoder_next: int | None) -> bool:
        """True when the web ran back within the block."""
        if tags.encoder_count is None:
            return False
        if tags.encoder_count_last is not None:
            steps, end = tags.n_lines - 1, tags.encoder_count_last
        elif encoder_next is not None:
            steps, end = tags.n_lines, encoder_next
        else:
            return False
        expected = round(tags.encoder_count + steps * self.counts_per_line)
        end = unwrap(end, expected, self.encoder_bits)
        turned = (expected - end) / self.counts_per_line
        return self.tolerance_lines + 0.5 < turned <= _SLACK_BLOCKS * tags.n_lines  # more cannot be: a misread count

    def _remember(self, tags: BlockTags, last: BlockTags | None, first_line: int) -> None:
        if last is None or last.received_monotonic_s != tags.received_monotonic_s:
            self._before_s = tags.received_monotonic_s if last is None else last.received_monotonic_s
        if last is not None and last.session == tags.session:
            elapsed_s = tags.received_monotonic_s - last.received_monotonic_s
            advanced = first_line - self._last_first_line
            if elapsed_s > 0 and advanced > 0:
                self._line_s.append(elapsed_s / advanced)
        if self._encoder_origin is None and tags.encoder_count is not None:
            self._encoder, self._encoder_origin = (
                tags.encoder_count,
                tags.encoder_count - first_line * self.counts_per_line,
            )
        if self._encoder_origin is not None:
            self._encoder = round(self._encoder_origin + first_line * self.counts_per_line)
        if self._number_origin is None and tags.line_number is not None:
            self._number_origin = tags.line_number - first_line
        self._last, self._last_first_line = tags, first_line

    def _estimated_lines(self, tags: BlockTags, last: BlockTags) -> int:
        """Lines that passed between the end of the last block and the start of this one, by the last line rate."""
        rate_hz = self.line_rate_hz
        if rate_hz is None:
            return 0
        away_s = tags.received_monotonic_s - last.received_monotonic_s
        return max(0, round(away_s * rate_hz) - tags.n_lines)

    def _why(self, missed: int, tags: BlockTags, since: _Since, restarted: bool) -> str:
        if restarted:
            return "the camera was away and its stream was started anew"
        parts = []
        if since.incomplete:
            parts.append(f"{since.incomplete} incomplete blocks")
        if since.overruns:
            parts.append(f"{since.overruns} blocks found the ring full (the inspection could not keep up)")
        unexplained = since.lost - since.incomplete - since.overruns
        if (starved := min(unexplained, since.underruns)) > 0:
            parts.append(f"{starved} blocks found no free buffer in the camera's driver (underrun)")
            unexplained -= starved
        if unexplained > 0:
            parts.append(f"{unexplained} blocks lost on the way (frame ids jumped)")
        triggers = missed - since.lost * tags.n_lines
        if triggers > 0 and tags.encoder_count is not None:
            self.counts.missed_triggers += triggers
            where = " where the web turned back" if self._has_turned else ""
            parts.append(f"{triggers} line triggers missed{where} (the encoder went on without lines)")
        return ", ".join(parts) or "the camera's line numbers jumped"


@dataclass(frozen=True, slots=True)
class _Since:
    """What happened since the last block: totals of the session less those at that block."""

    incomplete: int
    overruns: int
    underruns: int
    chunk_errors: int
    lost: int


def _keep_low(frame: int, frame_id: int) -> int:
    """An unwrapped frame number whose low 16 bits are what the camera shows."""
    return (frame & ~0xFFFF) | frame_id
