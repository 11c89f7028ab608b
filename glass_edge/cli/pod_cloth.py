"""Good cloth held in memory, played again and again with other defects planted.

Promises: what is played is the cloth as it was read, but for the planted defects; cloth that was damaged or not read
whole is refused; no more than `MOST_BYTES` of it is held, and what is left out is told.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.camera import Camera, EndOfLinesError, LineBlock
from glass_edge.calibration.planted_defects import Planted, PlantedKind, plant
from glass_edge.calibration.planted_defects_places import Place
from glass_edge.errors import InputError

MOST_BYTES = 1 << 30
_BLOCK_LINES = 256
_READ_S = 1.0


@dataclass(frozen=True, slots=True)
class ClothStretch:
    """Cloth without a break.

    Attributes:
        source: name of the image, empty for a recording.
        lines: uint8 (n, width) or (n, width, 3).
    """

    source: str
    lines: NDArray[np.uint8]


def read_cloth(camera: Camera) -> tuple[list[ClothStretch], bool]:
    """All stretches that a replay plays, and whether that is all of the cloth.

    Raises:
        InputError: a part is damaged, or there is none.
    """
    stretches: list[ClothStretch] = []
    held: list[LineBlock] = []
    size, is_all = 0, True

    def finish() -> None:
        if held:
            stretches.append(ClothStretch(held[0].source, np.concatenate([block.lines for block in held])))
            held.clear()

    with camera:
        try:
            while True:
                block = camera.read(_READ_S)
                if block is None:
                    continue
                _refuse(block.health.faults)
                if block.starts_segment or (held and block.first_line != held[-1].end_line):
                    finish()
                size += block.lines.nbytes
                if size > MOST_BYTES:
                    is_all = False
                    break
                held.append(block)
        except EndOfLinesError as end:
            _refuse(end.faults)
    finish()
    if not stretches:
        raise InputError("there is no good cloth in what was given; give images of it, or a recording")
    return stretches, is_all


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        raise InputError(f"{faults[0]}; take it out: defects are planted into cloth that was read whole")


@dataclass(frozen=True, slots=True)
class Order:
    """A defect to plant.

    Attributes:
        kind, size_mm, contrast: what; contrast None: its own.
        key: of its random numbers.
    """

    kind: PlantedKind
    size_mm: float
    contrast: float | None
    key: int


class PlantedCamera:
    """The cloth once for each pass, with the pass's defects; a camera like any other.

    Args:
        stretches: of the cloth.
        passes: places of each pass.
        orders: by the places' numbers.
        yarns_px: see `plant`.
    """

    is_simulated = True
    first_line = 0

    def __init__(
        self,
        stretches: Sequence[ClothStretch],
        passes: Sequence[Sequence[Place]],
        orders: Sequence[Order],
        yarns_px: tuple[float, float],
    ) -> None:
        self._stretches, self._passes = stretches, passes
        self._orders, self._yarns_px = orders, yarns_px
        lines = stretches[0].lines
        self.width_px = int(lines.shape[1])
        self.channels = 1 if lines.ndim == 2 else 3
        self.planted: dict[int, Planted] = {}
        self._blocks: Iterator[LineBlock] | None = None

    @property
    def pass_lines(self) -> int:
        """Lines of a pass."""
        return sum(len(one.lines) for one in self._stretches)

    def first_line_of(self, number: int, stretch: int) -> int:
        """Web line at which a stretch of a pass begins."""
        return number * self.pass_lines + sum(len(one.lines) for one in self._stretches[:stretch])

    def lines_with(self, number: int, stretch: int) -> NDArray[np.uint8]:
        """Lines of a stretch in a pass; what is planted there is noted in `planted`."""
        lines = self._stretches[stretch].lines.copy()
        for place in self._passes[number]:
            if place.stretch == stretch:
                order = self._orders[place.order]
                self.planted[place.order] = plant(
                    lines, order.kind, place.box, order.contrast or 0.0, yarns_px=self._yarns_px, key=order.key
                )
        return lines

    def __enter__(self) -> Self:
        """Start from the first pass."""
        self._blocks = self._play()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""
        self._blocks = None

    def read(self, timeout_s: float) -> LineBlock | None:
        """Next block; see `Camera.read`."""
        del timeout_s
        assert self._blocks is not None
        block = next(self._blocks, None)
        if block is None:
            raise EndOfLinesError
        return block

    def _play(self) -> Iterator[LineBlock]:
        for number in range(len(self._passes)):
            for stretch, cloth in enumerate(self._stretches):
                lines, first = self.lines_with(number, stretch), self.first_line_of(number, stretch)
                for row in range(0, len(lines), _BLOCK_LINES):
                    yield LineBlock(
                        lines=lines[row : row + _BLOCK_LINES],
                        first_line=first + row,
                        encoder_count=first + row,
                        captured_utc=datetime.now(UTC),
                        received_monotonic_s=time.monotonic(),
                        starts_segment=row == 0,
                        source=cloth.source,
                    )
