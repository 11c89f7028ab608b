"""The whole inspection timed on a simulated camera that never waits.

Promises: threads, queues, tile plan, smoothing, threshold and defects are those of the line; lines are handed over as
fast as they are taken; what is timed begins when the engine is warm and ends when everything was reported.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.camera import EndOfLinesError, LineBlock
from glass_edge.config.inspection import InspectionSettings
from glass_edge.engine.base import Engine
from glass_edge.engine.manifest import Manifest
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.inspection.parameters import inspected_span, style_parameters
from glass_edge.inspection.pipeline import InspectionPipeline
from glass_edge.inspection.sink import Progress, QuietSink
from glass_edge.inspection.tile_plan import TileGeometry, plan_tiles

_BLOCK_LINES = 128
_ROLL = "bench"


class EndlessCloth:
    """A camera that plays one piece of cloth again and again.

    Args:
        piece: uint8 (lines, width[, 3]).
        n_lines: after which it ends.
    """

    is_simulated = True
    first_line = 0

    def __init__(self, piece: NDArray[np.uint8], n_lines: int) -> None:
        repeats = -(-_BLOCK_LINES // len(piece)) + 1
        self._rows = np.concatenate([piece] * repeats)
        self._period, self._end, self._next = len(piece), n_lines, 0
        self.width_px = int(piece.shape[1])
        self.channels = 3 if piece.ndim == 3 else 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to close."""

    def read(self, timeout_s: float) -> LineBlock | None:
        """The next block, at once."""
        del timeout_s
        if self._next >= self._end:
            raise EndOfLinesError(end_line=self._end)
        first, count = self._next, min(_BLOCK_LINES, self._end - self._next)
        at = first % self._period
        self._next += count
        return LineBlock(
            self._rows[at : at + count].copy(),
            first,
            first,
            datetime.now(UTC),
            time.monotonic(),
            starts_segment=first == 0,
        )


@dataclass(frozen=True, slots=True)
class PipelineFigures:
    """One run.

    Attributes:
        tiles: scored.
        lines: of cloth.
        seconds: from the warm engine to the last report, s.
        defects: announced.
    """

    tiles: int
    lines: int
    seconds: float
    defects: int

    @property
    def tiles_per_s(self) -> float:
        """Throughput."""
        return self.tiles / self.seconds


class _Last(QuietSink):
    """Keeps the last progress report, and when the roll began and ended."""

    def __init__(self) -> None:
        self.last = Progress()

    def progress(self, progress: Progress) -> None:
        """Kept."""
        self.last = progress


def measure_pipeline(
    engine: Engine, manifest: Manifest, piece: NDArray[np.uint8], n_lines: int, settings: InspectionSettings
) -> PipelineFigures:
    """Inspect `n_lines` lines of repeated cloth that fills the picture.

    Args:
        engine: not yet entered; closed afterwards.
        manifest: of its bundle.
        piece: uint8 (lines, width[, 3]).
        n_lines: to play.
        settings: of the inspection.

    Raises:
        GlassEdgeError: the inspection failed.
    """
    sink = _Last()
    pipeline = InspectionPipeline(
        EndlessCloth(piece, n_lines),
        engine,
        sink,
        roll_id=_ROLL,
        style=style_parameters(manifest, engine, settings),
        scale=WebScale(manifest.mm_per_px or 0.1, manifest.mm_per_px or 0.1),
        cloth=ClothSpan(0, int(piece.shape[1])),
        settings=settings,
        live=False,
    )
    with pipeline:
        pipeline.wait()
    last = sink.last
    return PipelineFigures(last.tiles, last.lines_inspected, last.elapsed_s, last.defects)


@dataclass(frozen=True, slots=True)
class WebSpeed:
    """How fast a web may run.

    Attributes:
        width_mm, mm_per_px: of the cloth and of a pixel.
        tile_columns: tiles side by side.
        advance_lines: lines from one row of tiles to the next.
        m_per_min: speed at which all of it is inspected.
    """

    width_mm: float
    mm_per_px: float
    tile_columns: int
    advance_lines: int
    m_per_min: float


def web_speed(manifest: Manifest, tiles_per_s: float, width_mm: float, mm_per_px: float) -> WebSpeed:
    """The web speed that so many tiles a second allow, square pixels assumed.

    Raises:
        InputError: the cloth is too narrow.
    """
    tile = manifest.tile
    width_px = round(width_mm / mm_per_px)
    advance = (tile.height_px - 2 * tile.halo_px) // 16 * 16
    span = inspected_span(
        ClothSpan(0, width_px),
        width_px,
        0.0,
        WebScale(mm_per_px, mm_per_px),
        halo_px=tile.halo_px,
        stride_px=tile.score_stride_px,
    )
    geometry = TileGeometry(tile.height_px, tile.width_px, tile.halo_px, tile.score_stride_px, advance)
    columns = len(plan_tiles(width_px, span, geometry).columns)
    return WebSpeed(width_mm, mm_per_px, columns, advance, tiles_per_s / columns * advance * mm_per_px / 1000 * 60)
