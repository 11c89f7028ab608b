"""A station: one journal and one publication, and the rolls inspected one after the other.

Promises: journal, sockets and picture folder are taken before anything plays, or an InputError says why not; every roll
that began gets its roll.end, whatever fails; the failure of any part stops all parts, is told as a status event and
reaches the caller; a stop request lets the lines already taken in be inspected.

The states are those of OPC 40100-1: Initialized (publishing), Ready (an engine is active), ContinuousExecution (a roll
runs), then Ready again; at the end Halted, or Error with the fault that ended it.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from glass_edge.config.challenge import ChallengeSettings
from glass_edge.config.drift import DriftSettings
from glass_edge.config.events import EventSettings
from glass_edge.config.output import OutputSettings
from glass_edge.engine.base import Engine
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.events.drafts import DraftMaker
from glass_edge.events.errors import JournalError, PublisherError, RequestRefusedError
from glass_edge.events.payloads import StationState
from glass_edge.events.publisher import Publisher
from glass_edge.events.schema import Draft
from glass_edge.events.snapshot import is_bypassed
from glass_edge.fabric.geometry import WebScale
from glass_edge.inspection.parameters import promised_per_100m, style_parameters
from glass_edge.inspection.pipeline import InspectionPipeline
from glass_edge.inspection.sink import Fault, InspectionSink
from glass_edge.service.bypass import Bypass
from glass_edge.service.challenge_watch import ChallengeSink, ChallengeWatch
from glass_edge.service.crops import CropStore
from glass_edge.service.cut_roll import end_cut_roll
from glass_edge.service.down_time import DownTime
from glass_edge.service.drift import with_figures
from glass_edge.service.drift_watch import DriftSink, DriftWatch
from glass_edge.service.engine_keeper import EngineKeeper
from glass_edge.service.engine_slots import EngineName
from glass_edge.service.engine_trial import attended, trial_s
from glass_edge.service.event_log import EventLog
from glass_edge.service.event_sink import EventSink
from glass_edge.service.fan_out import FanOutSink
from glass_edge.service.journal_rescue import FAULT as JOURNAL_FAULT
from glass_edge.service.journal_rescue import rescue_journal, suspect_journal
from glass_edge.service.roll_job import RollJob, RollReport, check_job
from glass_edge.service.roll_judge import RollJudge
from glass_edge.service.roll_pipeline import make_pipeline
from glass_edge.service.roll_reports import ReportSink, RollReports
from glass_edge.service.roll_tally import RollTally
from glass_edge.service.signals import StopRequest

Turned = Callable[[Mapping[str, int]], None]
_POLL_S = 0.1
_NO_ROLL = WebScale(1.0, 1.0)  # without a roll no length is told


class Station:
    """A context manager around the publication of a station.

    Args:
        name: of the station, the topic of its events.
        events: journal and endpoints.
        output: pictures of defects.
        is_simulated: True for replays and simulated looms.
        challenge: how often it must be challenged.
        drift: how the rolls are compared with each other; None: they are not, and tell no figures.
        is_logged: True: its events are logged too.
        down_time: how far its web was told; None: the cloth that passed before a run is nobody's.
    """

    def __init__(
        self,
        name: str,
        events: EventSettings,
        output: OutputSettings,
        *,
        is_simulated: bool,
        challenge: ChallengeSettings | None = None,
        drift: DriftSettings | None = None,
        is_logged: bool = False,
        down_time: DownTime | None = None,
    ) -> None:
        self.name = name
        self._journal_path = events.journal
        self._down_time = down_time
        self._is_simulated = is_simulated
        self._output = output
        self._status_s = events.status_s
        self._crops: CropStore | None = None
        self.publisher = Publisher(events, name, self, self._present_status)
        self._emit = EventLog(self.publisher.emit) if is_logged else self.publisher.emit
        self._bypass = Bypass()
        self._challenges = ChallengeWatch(challenge or ChallengeSettings())
        self._drift = None if drift is None else DriftWatch(drift, events.journal)
        self._state: StationState | None = None
        self._in_error = False
        self._running: InspectionPipeline | None = None
        self._sink: EventSink | None = None
        self._keeper: EngineKeeper | None = None
        self._engine = ""
        self._reports: RollReports | None = None
        self._last_roll_id = ""

    def __enter__(self) -> Self:
        """Take the journal, the sockets and the picture folder, and end the roll that a dead run left open.

        Raises:
            InputError: one of them cannot be used; the message names it.
        """
        rescued = rescue_journal(self._journal_path, self.name)
        self.publisher.start()
        try:
            self._end_cut_roll()
            if rescued is not None:
                self._emit(self._status(StationState.INITIALIZED, fault_code=JOURNAL_FAULT, message=rescued))
            with self.publisher.journal.reader() as reader:
                self._bypass.is_on = is_bypassed(reader)
                self._challenges.recall(reader)
                if self._drift is not None:
                    self._drift.recall(reader)
            self._crops = CropStore(self.crops_folder, self._output.crops_mb << 20)
            self._tell(StationState.INITIALIZED)
        except BaseException:
            self.publisher.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, JournalError | PublisherError):
            suspect_journal(self._journal_path)
        try:
            if self._reports is not None:
                self._reports.close(self._output.report_wait_s if error is None else 0.0)
            if error is None:
                self._tell(StationState.HALTED)
            elif not self._in_error:
                # The error on its way out is the one to be seen, also when the journal is what failed.
                with contextlib.suppress(GlassEdgeError):
                    self._tell_failure(error)
        finally:
            self.publisher.__exit__(kind, error, trace)

    @property
    def crops_folder(self) -> Path:
        """Folder that the events' `crop_file` is relative to."""
        return self._output.folder / "crops"

    def inspect(
        self,
        job: RollJob,
        watchers: Sequence[InspectionSink] = (),
        stop: StopRequest | None = None,
        turned: Turned | None = None,
    ) -> RollReport:
        """Inspect one roll to its end, or until `stop` asks for it.

        Args:
            job: the roll; its engine is opened, tested on this machine and closed here.
            watchers: told everything after it became an event, in the inspection's thread.
            stop: looked at several times a second.
            turned: told several times a second how often each stage turned (`InspectionPipeline.turns`).

        Raises:
            InputError: the parts do not fit each other. GlassEdgeError: a part failed.
        """
        check_job(job)
        memory = None if job.recipes is None else job.recipes.memory
        with attended(memory, EngineName.of(job.bundle), trial_s(job.engine)) as beginning:
            engine = job.open_engine(job.bundle)
            beginning.is_opened = True
            return self._inspect(job, engine, watchers, stop, turned)

    def _inspect(
        self,
        job: RollJob,
        engine: Engine,
        watchers: Sequence[InspectionSink],
        stop: StopRequest | None,
        turned: Turned | None,
    ) -> RollReport:
        """`inspect`, with the engine of the job opened."""
        judge = RollJudge(job.judge, job.scale)
        keeper = None
        try:
            sink = EventSink(
                self._emit,
                scale=job.scale,
                is_simulated=self._is_simulated,
                crops=self._crops if job.inspection.crops else None,
                span=job.fixed_span,
                judge=judge,
                promised_per_100m=promised_per_100m(job.bundle.manifest, job.inspection),
                status_s=self._status_s,
                bypass=self._bypass,
            )
            tally = RollTally()
            if job.recipes is not None:
                keeper = EngineKeeper(job, engine, job.recipes, judge, sink.tell)
            keepers = [] if keeper is None else [keeper]
            asking = ChallengeSink(self._challenges, sink.fault)
            job, figures, charts = self._drifting(job, engine, FanOutSink([sink, tally, *watchers]).fault)
            sinks = [*keepers, *figures, sink, tally, asking, *self._reporting(job), *watchers, *charts]
            pipeline = make_pipeline(job, engine, FanOutSink(sinks))
            self._tell_engine(job, engine)
            self._tell(StationState.READY)
        except BaseException as error:
            engine.__exit__(type(error), error, error.__traceback__)
            raise
        try:
            self._last_roll_id, self._running, self._sink, self._keeper = job.roll_id, pipeline, sink, keeper
            if keeper is not None:
                keeper.start(pipeline.engine_changes)
            was_stopped = _run(pipeline, stop, turned)
            pipeline.wait()
        except BaseException:
            self._in_error = sink.is_in_error
            raise
        finally:
            self._running = self._sink = self._keeper = None
            if keeper is not None:
                keeper.close()
        self._tell(StationState.READY)
        has_changed = keeper is not None and keeper.has_changed
        promised = None if has_changed else promised_per_100m(job.bundle.manifest, job.inspection)
        return RollReport(
            tally.totals,
            pipeline.progress,
            tally.faults,
            tally.missed_lines,
            was_stopped,
            max(1, tally.rolls),
            tuple(judge.grades),
            promised,
        )

    def change_roll(self, roll_id: str) -> int:
        """A command to begin a roll, in the publisher's thread; see `StationCommands`."""
        pipeline = self._running
        if pipeline is None:
            raise RequestRefusedError("no roll is running")
        if roll_id == self._last_roll_id:
            raise RequestRefusedError(f"the roll {roll_id} is open already; give the new roll another name")
        if (refusal := self._challenges.refusal()) is not None:
            raise RequestRefusedError(f"no roll begins before a challenge is passed: {refusal}")
        self._last_roll_id = roll_id
        return pipeline.change_roll(roll_id)

    def change_recipe(self, style: str, version: str | None) -> str:
        """A command to inspect with another engine, in the publisher's thread; see `StationCommands`."""
        wanted = style if version is None else f"{style} {version}"
        if (keeper := self._keeper) is not None:
            try:
                return keeper.ask(style, version)
            except InputError as error:
                raise RequestRefusedError(str(error)) from error
        if not self._engine:
            raise RequestRefusedError(f"{wanted}: no engine is active yet")
        raise RequestRefusedError(f"{wanted}: this station has no other style; it has {self._engine}")

    def set_bypass(self, is_on: bool, reason: str) -> None:
        """A command to ask for no stops, in the publisher's thread; see `StationCommands`."""
        del reason  # the journal has it
        if self._state is None:
            raise RequestRefusedError("the station is starting; ask again")
        self._bypass.is_on = is_on

    def take_challenge(self, is_passed: bool) -> None:
        """A challenge was taken, in the publisher's thread; see `StationCommands`."""
        self._challenges.take(is_passed)

    def _end_cut_roll(self) -> None:
        journal, emit_all = self.publisher.journal, self.publisher.emit_all
        if self._down_time is not None:
            self._down_time.begin(journal, emit_all)
            return
        with journal.reader() as reader:
            end_cut_roll(reader, emit_all, None)

    def _present_status(self) -> Draft:
        sink = self._sink
        return self._status(self._state or StationState.INITIALIZED) if sink is None else sink.present_status()

    def _reporting(self, job: RollJob) -> list[InspectionSink]:
        """Who has a report made at the end of each roll."""
        if job.report_table is None or self._output.reports is False:
            return []
        if self._output.reports is None and importlib.util.find_spec("matplotlib") is None:
            return []
        if self._reports is None:
            self._reports = RollReports(
                self.publisher.journal.path, self.crops_folder, self._output.folder / "reports", self._tell_no_report
            )
        return [ReportSink(self._reports, job.report_table)]

    def _drifting(
        self, job: RollJob, engine: Engine, tell: Callable[[Fault], object]
    ) -> tuple[RollJob, list[InspectionSink], list[InspectionSink]]:
        """The job with pictures that are measured, who tells a roll's figures before its end, and who judges them."""
        if self._drift is None:
            return job, [], []
        threshold = style_parameters(job.bundle.manifest, engine, job.inspection).threshold_logit
        measured, figures = with_figures(
            job, self._drift.settings, self._emit, threshold_logit=threshold, is_simulated=self._is_simulated
        )
        return measured, [figures], [DriftSink(self._drift, figures, tell)]

    def _tell_no_report(self, problem: str) -> None:
        state = StationState.READY if self._running is None else StationState.CONTINUOUS_EXECUTION
        with contextlib.suppress(GlassEdgeError):  # a station that is ending may not be told any more
            self._emit(self._status(state, fault_code="report_failed", message=problem))

    def _tell_engine(self, job: RollJob, engine: Engine) -> None:
        manifest = job.bundle.manifest
        self._engine = f"{manifest.style} {manifest.version}"
        draft = self._maker().engine_activated(
            style=manifest.style,
            version=manifest.version,
            model_sha256=job.bundle.model_sha256,
            facts=engine.facts,
            threshold_logit=style_parameters(manifest, engine, job.inspection).threshold_logit,
            promised_per_100m=promised_per_100m(manifest, job.inspection),
        )
        self._emit(draft)

    def _tell(self, state: StationState) -> None:
        self._emit(self._status(state))
        self._state = state

    def _tell_failure(self, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt):
            self._tell(StationState.HALTED)
            return
        message = str(error) or type(error).__name__
        self._emit(self._status(StationState.ERROR, fault_code="failed", message=message))

    def _status(self, state: StationState, *, fault_code: str | None = None, message: str | None = None) -> Draft:
        return self._maker().status(state, fault_code=fault_code, message=message, is_bypassed=self._bypass.is_on)

    def _maker(self) -> DraftMaker:
        return DraftMaker(None, _NO_ROLL, self._is_simulated)


def _run(pipeline: InspectionPipeline, stop: StopRequest | None, turned: Turned | None) -> bool:
    """Run to the end; True when it was stopped before."""
    was_stopped = False
    with pipeline:
        while pipeline.is_running:
            with contextlib.suppress(TimeoutError):
                pipeline.wait(_POLL_S)
            if turned is not None:
                turned(pipeline.turns)
            if stop is not None and stop.asked.is_set() and pipeline.is_running and not was_stopped:
                was_stopped = True
                pipeline.stop()
    return was_stopped
