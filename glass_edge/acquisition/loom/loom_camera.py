"""The simulated loom as a camera.

Promises: keeps the `Camera` contract; the lines are those of `LoomRenderer`, whatever the block length; what is woven
in is known from `renderer.truths_between`. Rendering runs one block ahead in a thread of its own.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.camera import EndOfLinesError, LineBlock
from glass_edge.acquisition.loom.renderer import LoomRenderer
from glass_edge.acquisition.loom.spec import LoomSpec
from glass_edge.acquisition.pacing import Pacer, check_block_lines, check_rate


class LoomCamera:
    """Camera over simulated cloth; never ends when the spec's `sections` is None."""

    def __init__(self, spec: LoomSpec, *, block_lines: int = 256, line_rate_hz: float | None = None) -> None:
        """Prepare the cloth.

        Args:
            spec: what is woven.
            block_lines: lines of a block, 1..65536.
            line_rate_hz: lines a second; None: as fast as they are rendered.

        Raises:
            InputError: an impossible value, or defects that do not fit.
        """
        check_block_lines(block_lines)
        check_rate(line_rate_hz)
        self.renderer = LoomRenderer(spec)
        self._block_lines = block_lines
        self._line_rate_hz = line_rate_hz
        self._executor: ThreadPoolExecutor | None = None
        self._pacer = Pacer(line_rate_hz)
        self._pending: Future[NDArray[np.uint8]] | None = None
        self._line = 0

    @property
    def width_px(self) -> int:
        """Pixels of a line."""
        return self.renderer.spec.width_px

    @property
    def channels(self) -> int:
        """Simulated cloth is grey."""
        return 1

    @property
    def is_simulated(self) -> bool:
        """Always."""
        return True

    @property
    def first_line(self) -> int:
        """The loom starts at line 0."""
        return 0

    def __enter__(self) -> Self:
        """Start at line 0."""
        self._pacer = Pacer(self._line_rate_hz)
        self._line = 0
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="loom-render")
        self._pending = self._start(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop rendering ahead."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
        self._executor = self._pending = None

    def _start(self, first_line: int) -> Future[NDArray[np.uint8]] | None:
        end = self.renderer.spec.end_line
        n_lines = self._block_lines if end is None else min(self._block_lines, end - first_line)
        if n_lines <= 0 or self._executor is None:
            return None
        return self._executor.submit(self.renderer.render, first_line, n_lines)

    def read(self, timeout_s: float) -> LineBlock | None:
        """Next block; see `camera.Camera.read`.

        Raises:
            EndOfLinesError: the last section of a bounded loom was woven.
        """
        if self._executor is None:
            raise RuntimeError("read outside of the camera's 'with' block")
        if self._pending is None:
            raise EndOfLinesError(end_line=self._line)
        deadline_s = time.monotonic() + timeout_s
        try:
            lines = self._pending.result(timeout=timeout_s)
        except TimeoutError:
            return None
        if not self._pacer.wait(lines.shape[0], deadline_s):
            return None
        first = self._line
        self._line += lines.shape[0]
        self._pending = self._start(self._line)
        return LineBlock(
            lines=lines,
            first_line=first,
            encoder_count=first,
            captured_utc=datetime.now(UTC),
            received_monotonic_s=time.monotonic(),
            starts_segment=first == 0,
        )
