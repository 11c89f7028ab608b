"""Which engines decide on a station, kept over restarts.

Promises: a choice is on disk before it is told as an event, whole or not at all; a station begins with the engine that
was chosen last, until a person names another bundle in the station file or deletes this one; what was asked for and
never came to decide is not forgotten silently; an engine on trial is marked before it runs, so that a start knows how
the one before ended. It may be used by several threads of the station; another program may write it only while the
station does not run.
"""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, Field, ValidationError

from glass_edge.config.base import Settings, describe
from glass_edge.errors import InputError
from glass_edge.events.filelock import FileLock
from glass_edge.files import make_folder, write_json
from glass_edge.service.engine_slots import EngineName, Refusal, StyleEngines, first_engine

FORMAT = 2
_NOTE_S = 60.0  # how far the trial on disk may lag, for who reads it


class EngineChoice(Settings):
    """An engine that a command asked for."""

    style: str
    """Its style."""
    version: str
    """Its version."""
    asked_utc: AwareDatetime
    """When."""

    def __str__(self) -> str:
        return f"{self.style} {self.version}"


class _Kept(Settings):
    """The file."""

    format: Literal[2] = 2
    station_bundle: str
    """The bundle of the station file at that time; another one there wins."""
    chosen: EngineChoice | None = None
    """Decides."""
    pending: EngineChoice | None = None
    """Was asked for and does not decide yet."""
    styles: dict[str, StyleEngines] = Field(default_factory=dict)
    """The engines of each style that was woven."""
    untold: str | None = None
    """That the station went back to an engine, when no event has told it yet."""


class EngineMemory:
    """The file beside the journal.

    Args:
        path: of the file; it need not exist.
        station_bundle: the bundle that the station file names.

    Raises:
        InputError: the file is damaged, or of a later version of this program. Every method that changes something
            raises it where the file cannot be written.
    """

    def __init__(self, path: Path, station_bundle: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._kept = _Kept(station_bundle=str(station_bundle.absolute()))
        found = _read(path)
        self.is_of_this_file = found is not None and found.station_bundle == self._kept.station_bundle
        """Whether what is kept was so under the bundle that the station file names now."""
        self.overruled: EngineChoice | None = None
        """A choice that counts no more, because the station file names another bundle than it did."""
        if found is not None and self.is_of_this_file:
            self._kept = found
        elif found is not None:
            self.overruled = found.chosen
            self._kept = self._kept.model_copy(update={"styles": found.styles, "untold": found.untold})
        self._on_trial: str | None = None  # style whose engine decides now and is on trial
        self._left_s = 0.0

    @property
    def chosen(self) -> EngineChoice | None:
        """The engine to begin with; None: the station file's."""
        return self._kept.chosen

    @property
    def pending(self) -> EngineChoice | None:
        """What was asked for and did not decide when this was written."""
        return self._kept.pending

    @property
    def untold(self) -> str | None:
        """That the station went back to an engine before, when it was not told as an event yet."""
        return self._kept.untold

    @property
    def died_on(self) -> str | None:
        """Read before a start: the style whose engine was on trial when the station ended uncleanly; None: none was."""
        for style, engines in self._kept.styles.items():
            if engines.trial is not None and engines.trial.is_running:
                return style
        return None

    def engines(self, style: str) -> StyleEngines | None:
        """The engines of a style; None: none has decided here."""
        return self._kept.styles.get(style)

    def refusal(self, engine: EngineName) -> Refusal | None:
        """When and why an engine was given up; None: it was not."""
        engines = self.engines(engine.style)
        return None if engines is None else engines.refusal(engine.version, engine.manifest_sha256)

    def begin(self, engine: EngineName, trial_s: float) -> None:
        """The station begins with an engine, which may be another than decided last."""
        with self._lock:
            self._decide(engine, trial_s, {})

    def ask(self, style: str, version: str) -> None:
        """An engine is asked for."""
        self._write({"pending": _choice(style, version)})

    def choose(self, engine: EngineName, trial_s: float, *, is_running: bool = True) -> None:
        """An engine decides from now on, or (not `is_running`) from the next start."""
        with self._lock:
            pending = self._kept.pending
            is_it = pending is not None and (pending.style, pending.version) == (engine.style, engine.version)
            chosen = _choice(engine.style, engine.version)
            self._decide(
                engine, trial_s, {"chosen": chosen, "pending": None if is_it else pending}, is_running=is_running
            )

    def drop_pending(self) -> None:
        """What was asked for will not decide."""
        if self._kept.pending is not None:
            self._write({"pending": None})

    def count(self, seconds: float) -> EngineName | None:
        """So long was inspected; returns the engine that has stood its trial by that."""
        with self._lock:
            style = self._on_trial
            if style is None:
                return None
            self._left_s -= seconds
            engines = self._kept.styles[style]
            if self._left_s > 0:
                if engines.trial is not None and engines.trial.left_s - self._left_s >= _NOTE_S:
                    counted = engines.trial.model_copy(update={"left_s": self._left_s})
                    engines = engines.model_copy(update={"trial": counted})
                    self._write({"styles": {**self._kept.styles, style: engines}})
                return None
            self._on_trial = None
            proven = engines.proven()
            self._write({"styles": {**self._kept.styles, style: proven}})
            return EngineName(style, proven.deciding.version, proven.deciding.manifest_sha256)

    def go_back(self, style: str, reason: str, untold: str | None = None) -> EngineName:
        """The engine before decides again, and the one that did is given up; there must be a way back.

        Args:
            style: of both.
            reason: why.
            untold: what is still to be told as an event; None: it is told already.
        """
        with self._lock:
            engines = self._kept.styles[style].gone_back(datetime.now(UTC), reason)
            chosen = _choice(style, engines.deciding.version)
            if self._on_trial == style:
                self._on_trial = None
            styles = {**self._kept.styles, style: engines}
            self._write({"styles": styles, "chosen": chosen, "untold": untold})
            return EngineName(style, engines.deciding.version, engines.deciding.manifest_sha256)

    def told(self) -> None:
        """`untold` is told."""
        if self._kept.untold is not None:
            self._write({"untold": None})

    def end(self) -> None:
        """The station ends as it should: the trial goes on at its next start."""
        with self._lock:
            style, self._on_trial = self._on_trial, None
            if style is not None:
                engines = self._kept.styles[style].left(max(0.0, self._left_s))
                self._write({"styles": {**self._kept.styles, style: engines}})

    def _decide(self, engine: EngineName, trial_s: float, changes: dict[str, Any], *, is_running: bool = True) -> None:
        now, styles = datetime.now(UTC), dict(self._kept.styles)
        if self._on_trial is not None and self._on_trial != engine.style:
            styles[self._on_trial] = styles[self._on_trial].left(max(0.0, self._left_s))
        found = styles.get(engine.style)
        engines = (
            first_engine(engine, now)
            if found is None
            else found.decided_by(engine, now, trial_s, is_running=is_running)
        )
        styles[engine.style] = engines
        self._write({"styles": styles, **changes})
        is_same = found is not None and self._on_trial == engine.style and engines.deciding == found.deciding
        trial = engines.trial
        self._on_trial = engine.style if trial is not None and is_running else None
        if trial is not None and not is_same:
            self._left_s = trial.left_s

    def _write(self, changes: dict[str, Any]) -> None:
        with self._lock:
            kept = self._kept.model_copy(update=changes)
            if kept == self._kept and self.is_of_this_file:
                return
            make_folder(self.path.parent)
            write_json(self.path, kept.model_dump(mode="json"))
            self._kept, self.is_of_this_file = kept, True


def memory_path(journal: Path) -> Path:
    """Where a station with this journal keeps it."""
    return journal.with_name(f"{journal.name}.engine.json")


def station_lock(journal: Path) -> FileLock:
    """The lock that a running station holds: who has it may write the memory.

    Raises:
        InputError: the journal's folder cannot be made.
    """
    make_folder(journal.parent)
    real = journal.resolve()
    return FileLock(real.with_name(f"{real.name}.lock"))


def _choice(style: str, version: str) -> EngineChoice:
    return EngineChoice(style=style, version=version, asked_utc=datetime.now(UTC))


def _read(path: Path) -> _Kept | None:
    remedy = "delete it, and the station begins with the engine of its file"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {remedy}") from error
    number = document.get("format") if isinstance(document, dict) else None
    if isinstance(number, int) and number > FORMAT:
        raise InputError(
            f"{path}: format = {number}: this program reads up to {FORMAT}; update the program, or {remedy}"
        )
    if number == 1:  # without the engines of the styles
        document |= {"format": FORMAT}
    try:
        return _Kept.model_validate(document)
    except ValidationError as error:
        raise InputError(f"{describe(path, '', _Kept, error)}; {remedy}") from error
