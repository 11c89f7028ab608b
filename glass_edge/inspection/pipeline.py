"""The main job: camera lines in, defects out, in three threads joined by bounded queues.

    camera thread --blocks--> [bounded] --> tile + infer thread --strips--> [bounded] --> defects thread --> sink

Promises: every line the camera counted is inspected or reported as a gap, and the roll's totals say so exactly; a
failure in any thread ends all of them, the lines already taken in are accounted for, and `wait` raises it; nothing
hangs on a full queue. The threads own what they use: the camera is opened in the camera thread, the engine in the
inference thread, and the sink is called from the defects thread.
"""

from __future__ import annotations

import queue
import threading
import time
from types import TracebackType
from typing import Self

from glass_edge.acquisition.camera import Camera
from glass_edge.config.inspection import InspectionSettings
from glass_edge.engine.base import Engine
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.fabric.roll import RollTotals
from glass_edge.inspection.camera_stage import CameraStage
from glass_edge.inspection.defect_stage import DefectStage
from glass_edge.inspection.engine_changes import EngineChanges
from glass_edge.inspection.inference_stage import InferenceStage
from glass_edge.inspection.messages import Arrival, ForDefects
from glass_edge.inspection.parameters import SpanFinder, StyleParameters
from glass_edge.inspection.run_state import RunState
from glass_edge.inspection.sink import InspectionSink, Progress
from glass_edge.inspection.turns import StageTurns

_JOIN_S = 0.2  # so that Ctrl-C reaches a waiting main thread


class InspectionPipeline:
    """One run over one roll; a context manager that starts on entry and stops and waits on exit.

    Args:
        camera: source of lines, not yet opened.
        engine: compiled model, not yet entered.
        sink: receives what is found.
        roll_id: name of the roll.
        style: parameters of the bundle (`style_parameters`).
        scale: size of a pixel on the cloth.
        cloth: fixed span of the cloth, or a function that finds it in the first lines of each segment and raises a
            GlassEdgeError when there is none.
        selvedge_margin_mm: strip inside each selvedge that is not inspected; at least the halo. Where the cloth leaves
            the camera's view, it is the halo.
        wander_mm: a selvedge that was found is followed over this way to either side; 0: not at all.
        settings: of the inspection.
        live: the camera cannot wait and blocks are lost (and reported) when the queue is full; False for replays,
            which wait instead.

    Raises:
        InputError: halo, advance or batch do not fit the engine; threshold or sigma is no number.
    """

    def __init__(
        self,
        camera: Camera,
        engine: Engine,
        sink: InspectionSink,
        *,
        roll_id: str,
        style: StyleParameters,
        scale: WebScale,
        cloth: ClothSpan | SpanFinder,
        selvedge_margin_mm: float = 0.0,
        wander_mm: float = 0.0,
        settings: InspectionSettings | None = None,
        live: bool,
    ) -> None:
        settings = settings or InspectionSettings()
        self._state = RunState(settings.stop_drain_s, style.style)
        self._turns = StageTurns()
        blocks: queue.Queue[Arrival] = queue.Queue(settings.block_queue)
        strips: queue.Queue[ForDefects] = queue.Queue(settings.strip_queue)
        camera_stage = CameraStage(
            camera,
            engine.channels,
            blocks,
            self._state,
            self._turns,
            live=live,
            read_timeout_s=settings.read_timeout_s,
        )
        inference_stage = InferenceStage(
            engine,
            blocks,
            strips,
            self._state,
            self._turns,
            cloth=cloth,
            selvedge_margin_mm=selvedge_margin_mm,
            wander_mm=wander_mm,
            halo_px=style.halo_px,
            scale=scale,
            settings=settings,
        )
        self._defects = DefectStage(
            strips,
            blocks,
            sink,
            self._state,
            self._turns,
            roll_id=roll_id,
            style=style,
            stride_px=engine.score_stride_px,
            scale=scale,
            settings=settings,
        )
        self._threads = [
            threading.Thread(target=camera_stage.run, name="camera", daemon=True),
            threading.Thread(target=inference_stage.run, name="inference", daemon=True),
            threading.Thread(target=self._defects.run, name="defects", daemon=True),
        ]

    def start(self) -> None:
        """Start the threads; the camera is opened once the engine is warm."""
        for thread in self._threads:
            thread.start()

    def stop(self, drain_s: float | None = None) -> None:
        """Ask for the end: no more lines are read; those taken in are inspected for at most `drain_s` (None: the
        settings' `stop_drain_s`), and what is left then is reported as a gap `shutdown`. Returns at once.
        """
        self._state.request_stop(drain_s)

    def change_roll(self, roll_id: str) -> int:
        """The cloth from here on belongs to the roll `roll_id`; the roll before ends when its cloth is scored. An
        engine of another style that waits takes over with it.

        Returns:
            The web line at which it begins (at most a row of scores later).
        """
        return self._state.engine_changes.begin_roll(self._state.web_line, roll_id)

    @property
    def engine_changes(self) -> EngineChanges:
        """Through which other engines take over while the cloth runs."""
        return self._state.engine_changes

    @property
    def is_running(self) -> bool:
        """True while any thread is alive."""
        return any(thread.is_alive() for thread in self._threads)

    @property
    def turns(self) -> dict[str, int]:
        """How often each stage that has not ended turned, by its name: all beyond 0 once the camera is open.

        A stage whose number stays the same for longer than its longest piece of work is stuck.
        """
        return {thread.name: getattr(self._turns, thread.name) for thread in self._threads if thread.is_alive()}

    @property
    def progress(self) -> Progress:
        """The last progress report."""
        return self._defects.progress

    def wait(self, timeout_s: float | None = None) -> RollTotals:
        """Wait until everything is reported; returns the totals of the roll (zeros when no line came).

        Raises:
            TimeoutError: the inspection still runs after `timeout_s`.
            BaseException: the first failure of any thread.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        for thread in self._threads:
            while thread.is_alive():
                if until is not None and time.monotonic() >= until:
                    raise TimeoutError(f"the {thread.name} thread still runs after {timeout_s} s")
                thread.join(_JOIN_S if until is None else min(_JOIN_S, max(0.0, until - time.monotonic())))
        if self._state.error is not None:
            raise self._state.error
        return self._defects.totals

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.stop()
            self.wait()
            return
        # The error on its way out is the one to be seen; a failure of the threads may well be its cause.
        self.stop(0.0)
        for thread in self._threads:
            thread.join()
