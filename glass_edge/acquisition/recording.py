"""Images and long line-scan strips played as a camera.

Promises: everything that can be known from headers is checked on opening, before anything plays; files are read only
while they play (one image ahead, in a thread of its own, so `read` keeps its time-out however large an image is).

Damaged pixel data found while playing never stops the replay: the lines of that image (their number stands in its
header) are skipped, so the line numbers jump and inspection reports cloth not seen. The fault is told in
`CameraHealth.faults` of the next block; after the last image, the lines still missing and their faults come with
`EndOfLinesError`, whose `end_line` is the line after the last of the web, played or not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from glass_edge.acquisition.camera import CameraHealth, EndOfLinesError, LineBlock
from glass_edge.acquisition.images import DECODE_ERRORS, ImageFile, Strip, list_images, read_header
from glass_edge.acquisition.pacing import Pacer, check_block_lines, check_rate
from glass_edge.errors import InputError


class ReplayCamera:
    """A camera whose lines come from files."""

    def __init__(
        self,
        places: Path | Sequence[Path],
        *,
        block_lines: int = 256,
        line_rate_hz: float | None = None,
        separate: bool = True,
        channels: int | None = None,
        full_scale_16bit: int | None = None,
    ) -> None:
        """Check the files' headers.

        Args:
            places: an image, a folder of images, or several of them in order.
            block_lines: most lines of a block, 1..65536; a block never spans two images.
            line_rate_hz: lines a second; None: as fast as they are read.
            separate: True: each image is another piece of cloth and starts a segment; False: the images are
                consecutive scans of one web.
            channels: 1 or 3: every image is turned into it; None: the first image decides and all must agree.
            full_scale_16bit: value of 16-bit files that becomes 255; None: such files are refused.

        Raises:
            InputError: a place is missing or holds no images; a file is empty, no image, or differs from the first
                in width or channels; a value is impossible.
        """
        check_block_lines(block_lines)
        check_rate(line_rate_hz)
        if channels not in (None, 1, 3):
            raise InputError(f"channels = {channels} is impossible; give 1 (grey) or 3 (RGB)")
        if full_scale_16bit is not None and not 1 <= full_scale_16bit <= 65535:
            raise InputError(f"full_scale_16bit = {full_scale_16bit} is impossible; give 1 to 65535")
        listed = list_images([places] if isinstance(places, Path) else [Path(place) for place in places])
        self._files = [read_header(path) for path in listed]
        self._channels = channels or self._files[0].channels
        self._check_alike(exact_channels=channels is None, sixteen_allowed=full_scale_16bit is not None)
        self._block_lines = block_lines
        self._line_rate_hz = line_rate_hz
        self._separate = separate
        self._full_scale = full_scale_16bit
        self._reset()

    def _check_alike(self, *, exact_channels: bool, sixteen_allowed: bool) -> None:
        first = self._files[0]
        for file in self._files:
            if file.width_px != first.width_px:
                raise InputError(
                    f"{file.path}: {file.width_px} px wide, but {first.path.name} is {first.width_px} px; "
                    "all images of one replay come from one camera: take it out or cut it to that width"
                )
            if exact_channels and file.channels != first.channels:
                raise InputError(
                    f"{file.path}: {_channel_name(file.channels)}, but {first.path.name} is "
                    f"{_channel_name(first.channels)}; convert one of them or set channels to 1 or 3"
                )
            if file.sixteen_bit and not sixteen_allowed:
                raise InputError(
                    f"{file.path}: 16 bits a pixel; set full_scale_16bit to the value that becomes 255 "
                    "(65535, or 4095 of a 12-bit camera)"
                )

    def _reset(self) -> None:
        self._pacer = Pacer(self._line_rate_hz)
        self._executor: ThreadPoolExecutor | None = None
        self._next_image = 0
        self._pending: Future[Strip | str] | None = None
        self._strip: Strip | None = None
        self._row = 0
        self._line = 0
        self._faults: list[str] = []
        self._bad_images = 0
        self._missed_lines = 0
        self._any_played = False

    @property
    def files(self) -> tuple[ImageFile, ...]:
        """What is played, in order."""
        return tuple(self._files)

    @property
    def total_lines(self) -> int:
        """Lines of all images together."""
        return sum(file.lines for file in self._files)

    @property
    def longest_segment_lines(self) -> int:
        """Lines of the longest piece of cloth that is played without a break."""
        return max(file.lines for file in self._files) if self._separate else self.total_lines

    @property
    def width_px(self) -> int:
        """Pixels of a line."""
        return self._files[0].width_px

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return self._channels

    @property
    def is_simulated(self) -> bool:
        """A replay is never live cloth."""
        return True

    @property
    def first_line(self) -> int:
        """A replay counts its lines from 0."""
        return 0

    def __enter__(self) -> Self:
        """Start from the first line."""
        self._reset()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="replay-read")
        self._fetch_next()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop reading ahead."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
        self._executor = self._pending = self._strip = None

    def _fetch_next(self) -> None:
        if self._executor is not None and self._next_image < len(self._files):
            self._pending = self._executor.submit(self._decode, self._files[self._next_image])
            self._next_image += 1
        else:
            self._pending = None

    def _decode(self, file: ImageFile) -> Strip | str:
        try:
            return Strip(file, self._channels, self._full_scale)
        except DECODE_ERRORS as error:
            return f"{file.path}: damaged or cut off ({error}); its {file.lines} lines were not played"

    def read(self, timeout_s: float) -> LineBlock | None:
        """Next block; see `camera.Camera.read`.

        Raises:
            EndOfLinesError: all images have been played.
        """
        if self._executor is None:
            raise RuntimeError("read outside of the camera's 'with' block")
        deadline_s = time.monotonic() + timeout_s
        while self._strip is None:
            if self._pending is None:
                faults, self._faults = tuple(self._faults), []
                raise EndOfLinesError(end_line=self._line, faults=faults)
            try:
                decoded = self._pending.result(timeout=max(0.0, deadline_s - time.monotonic()))
            except TimeoutError:
                return None
            skipped = self._files[self._next_image - 1].lines
            self._fetch_next()
            if isinstance(decoded, str):
                self._faults.append(decoded)
                self._bad_images += 1
                self._missed_lines += skipped
                self._line += skipped
            else:
                self._strip, self._row = decoded, 0
        n_lines = min(self._block_lines, self._strip.file.lines - self._row)
        if not self._pacer.wait(n_lines, deadline_s):
            return None
        return self._hand_over(self._strip, n_lines)

    def _hand_over(self, strip: Strip, n_lines: int) -> LineBlock:
        block = LineBlock(
            lines=strip.lines(self._row, self._row + n_lines),
            first_line=self._line,
            encoder_count=self._line,
            captured_utc=datetime.now(UTC),
            received_monotonic_s=time.monotonic(),
            starts_segment=not self._any_played or (self._separate and self._row == 0),
            source=strip.file.path.name,
            health=CameraHealth(self._bad_images, self._missed_lines, tuple(self._faults)),
        )
        self._faults = []
        self._any_played = True
        self._line += n_lines
        self._row += n_lines
        if self._row == strip.file.lines:
            self._strip = None
        return block


def _channel_name(channels: int) -> str:
    return "grey" if channels == 1 else "colour"
