"""One roll to inspect: what with, and whether that can work.

Promises: `check_job` refuses before anything plays what cannot be inspected: images too narrow or too short for the
engine, colour before a grey engine, a tile advance that does not fit, columns beyond the line, an engine without the
signature that the station requires.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.camera import Camera
from glass_edge.acquisition.recording import ReplayCamera
from glass_edge.calibration.selvedge import find_cloth_span
from glass_edge.config.engine import EngineSettings
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.web import WebSettings
from glass_edge.engine.base import Engine
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.factory import open_engine
from glass_edge.engine.timed import TimedEngine
from glass_edge.engine.trust import check_trust
from glass_edge.errors import InputError
from glass_edge.fabric.across_map import AcrossMap
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.fabric.grading_result import RollGrade
from glass_edge.fabric.roll import RollTotals
from glass_edge.inspection.parameters import SpanFinder, inspected_span
from glass_edge.inspection.segment_head import LEAST_WIDTH_PX, require_findable
from glass_edge.inspection.sink import Progress
from glass_edge.inspection.tile_plan import TileGeometry
from glass_edge.service.recipe_book import Recipes
from glass_edge.service.roll_judge import JudgeRules


@dataclass(frozen=True, slots=True)
class RollJob:
    """A roll and everything it is inspected with.

    Attributes:
        roll_id: name of the roll.
        camera: source of lines, not yet opened.
        bundle: verified bundle.
        web: scale and place of the cloth.
        engine: what computes.
        inspection: what counts as a defect.
        live: the camera cannot wait.
        judge: by what the roll is graded and the loom is asked to stop.
        report_table: table of points of the roll's report, a name or a file; None: no report at its end.
        across: where columns lie across the web (a lens, several cameras); None: all pixels are of one width.
        recipes: engines that may be changed to while it runs; None: none.
        observe_inference_s: told the seconds of each batch of tiles, in the inference thread; None: nobody is.
    """

    roll_id: str
    camera: Camera
    bundle: Bundle
    web: WebSettings
    engine: EngineSettings
    inspection: InspectionSettings
    live: bool
    judge: JudgeRules = field(default_factory=JudgeRules)
    across: AcrossMap | None = None
    report_table: str | None = None
    recipes: Recipes | None = None
    observe_inference_s: Callable[[float], object] | None = None

    def open_engine(self, bundle: Bundle) -> Engine:
        """Open the engine of a bundle as this job says. Raises as `engine.factory.open_engine`."""
        engine = open_engine(bundle, self.engine)
        return engine if self.observe_inference_s is None else TimedEngine(engine, self.observe_inference_s)

    @property
    def scale(self) -> WebScale:
        """Size of a pixel, with the map across the web where there is one."""
        return WebScale(self.web.mm_per_px, self.web.mm_per_line, self.across)

    @property
    def fixed_span(self) -> ClothSpan | None:
        """The cloth's columns, None when they are to be found."""
        return None if self.web.span == "auto" else self.web.span.to_span()

    @property
    def cloth(self) -> ClothSpan | SpanFinder:
        """The cloth's columns, or the function that finds them."""
        return self.fixed_span or self._find

    def _find(self, lines: NDArray[np.uint8]) -> ClothSpan:
        """Selvedges in `lines`; cloth of which the margins would leave nothing is none."""
        tile = self.bundle.manifest.tile
        margin_px = max(tile.halo_px, math.ceil(self.web.selvedge_margin_mm / self.web.mm_per_px))
        least_px = 2 * margin_px + 2 * tile.score_stride_px
        return find_cloth_span(lines, least_width_px=min(lines.shape[1], max(LEAST_WIDTH_PX, least_px)))


@dataclass(frozen=True, slots=True)
class RollReport:
    """Outcome of a roll, or of several that followed each other without a stop.

    Attributes:
        totals: lines and defects of all; zeros when no line came.
        progress: last progress report.
        faults: how often each kind of fault was reported.
        missed_lines: lines not inspected, by the reason.
        was_stopped: the end was asked for before the lines ended.
        rolls: how many.
        grades: of the last of them.
        promised_per_100m: false alarms in 100 m that the engine promises at most; None: it promises none, or several
            have decided.
    """

    totals: RollTotals
    progress: Progress
    faults: Counter[str] = field(default_factory=Counter)
    missed_lines: Counter[str] = field(default_factory=Counter)
    was_stopped: bool = False
    rolls: int = 1
    grades: tuple[RollGrade, ...] = ()
    promised_per_100m: float | None = None


def check_job(job: RollJob) -> None:
    """Refuse what cannot be inspected.

    Raises:
        InputError: camera, engine and settings do not fit each other; the message says which and what would.
    """
    check_trust(job.bundle, job.engine)
    tile, camera, name = job.bundle.manifest.tile, job.camera, job.bundle.folder
    halo, stride = tile.halo_px, tile.score_stride_px
    if camera.channels not in (1, tile.channels):
        raise InputError(
            f"the lines have {camera.channels} channels and the engine {name} takes {tile.channels}: use an engine "
            "trained on RGB, or set channels = 1"
        )
    advance_px = job.inspection.advance_px or tile.height_px - 2 * halo
    TileGeometry(tile.height_px, tile.width_px, halo, stride, advance_px)
    width = camera.width_px
    if job.fixed_span is None:
        require_findable(width)
    inspected_span(
        job.fixed_span or ClothSpan(0, width),
        width,
        job.web.selvedge_margin_mm,
        job.scale,
        halo_px=halo,
        stride_px=stride,
    )
    least_lines = 2 * halo + stride
    if isinstance(camera, ReplayCamera) and camera.longest_segment_lines < least_lines:
        raise InputError(
            f"{camera.files[0].path}: {camera.files[0].lines} lines, and no image here has the {least_lines} that the "
            f"engine {name} needs (halo of {halo} px at both ends); play consecutive scans as one with --joined (in a "
            "station file: separate = false), or use longer images"
        )
