"""The engines of one style on a station: the one that decides, the one before it, and those that were given up.

Promises: every change is a new value; the engine before is one that has stood its trial, or the only one there was; an
engine that was given up is chosen again by name alone, and then on trial anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from pydantic import AwareDatetime, Field

from glass_edge.config.base import Settings
from glass_edge.engine.bundle import Bundle

_MOST_REFUSALS = 16


@dataclass(frozen=True, slots=True)
class EngineName:
    """An engine, wherever it lies.

    Attributes:
        style, version: of its bundle.
        manifest_sha256: of its manifest, and so of all of it.
    """

    style: str
    version: str
    manifest_sha256: str

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """Of a bundle."""
        return cls(bundle.manifest.style, bundle.manifest.version, bundle.manifest_sha256)

    def __str__(self) -> str:
        return f"{self.style} {self.version}"


class EngineSlot(Settings):
    """An engine of the style."""

    version: str
    """Its version."""
    manifest_sha256: str
    """SHA-256 of its manifest."""
    since_utc: AwareDatetime
    """When it began to decide."""
    is_proven: bool
    """It stood its trial, or had none because there was nothing before it."""

    def is_one(self, version: str, manifest_sha256: str) -> bool:
        """Whether this is that engine."""
        return (self.version, self.manifest_sha256) == (version, manifest_sha256)


class Trial(Settings):
    """The deciding engine is on trial."""

    left_s: float = Field(ge=0)
    """Seconds of inspection until it has stood it."""
    is_running: bool
    """True from the moment the engine begins to decide until a clean end: found at a start, the process had died."""


class Refusal(Settings):
    """An engine that was given up."""

    version: str
    """Its version."""
    manifest_sha256: str
    """SHA-256 of its manifest."""
    at_utc: AwareDatetime
    """When."""
    reason: str
    """Why."""


class StyleEngines(Settings):
    """Both slots of a style, and what was given up."""

    deciding: EngineSlot
    """Decides, or decided last of this style."""
    before: EngineSlot | None = None
    """Decided before it; None: there was none."""
    trial: Trial | None = None
    """Of `deciding`; None: it has none to stand."""
    refused: tuple[Refusal, ...] = ()
    """Given up, the last one at the end."""

    @property
    def way_back(self) -> EngineSlot | None:
        """The engine to go back to; None: there was none before, or it was given up itself."""
        before = self.before
        return None if before is None or self.refusal(before.version, before.manifest_sha256) else before

    def refusal(self, version: str, manifest_sha256: str) -> Refusal | None:
        """When and why an engine was given up; None: it was not."""
        for one in self.refused:
            if (one.version, one.manifest_sha256) == (version, manifest_sha256):
                return one
        return None

    def decided_by(self, engine: EngineName, now: datetime, trial_s: float, *, is_running: bool) -> StyleEngines:
        """`engine` decides from now on, or (not `is_running`) from the next start.

        The engine before stays in its slot as long as the one that decided was still on trial. Choosing the engine
        before is going back to it. With `trial_s` 0 there is no trial.
        """
        version, sha256 = engine.version, engine.manifest_sha256
        decided = self.deciding
        if decided.is_one(version, sha256):
            trial = None if self.trial is None else self.trial.model_copy(update={"is_running": is_running})
            return self.model_copy(update={"trial": trial})
        back = self.way_back
        if back is not None and back.is_one(version, sha256):
            return self.gone_back(now, f"a command went back to {version}")
        before = decided if decided.is_proven or back is None else back
        trial = Trial(left_s=trial_s, is_running=is_running) if trial_s > 0 else None
        return StyleEngines(
            deciding=EngineSlot(version=version, manifest_sha256=sha256, since_utc=now, is_proven=trial is None),
            before=before,
            trial=trial,
            refused=tuple(one for one in self.refused if (one.version, one.manifest_sha256) != (version, sha256)),
        )

    def gone_back(self, now: datetime, reason: str) -> StyleEngines:
        """The engine before decides again, without a trial, and the one that did is given up because of `reason`; there
        must be a `way_back`.
        """
        back, given_up = self.way_back, self.deciding
        if back is None:
            raise ValueError(f"there is no engine before {given_up.version} to go back to")
        refusal = Refusal(version=given_up.version, manifest_sha256=given_up.manifest_sha256, at_utc=now, reason=reason)
        return StyleEngines(
            deciding=back.model_copy(update={"since_utc": now, "is_proven": True}),
            before=given_up,
            refused=(*self.refused, refusal)[-_MOST_REFUSALS:],
        )

    def left(self, left_s: float) -> StyleEngines:
        """The engine decides no more for now, with so much of its trial to stand."""
        if self.trial is None:
            return self
        return self.model_copy(update={"trial": Trial(left_s=left_s, is_running=False)})

    def proven(self) -> StyleEngines:
        """The deciding engine has stood its trial."""
        return self.model_copy(update={"deciding": self.deciding.model_copy(update={"is_proven": True}), "trial": None})


def first_engine(engine: EngineName, now: datetime) -> StyleEngines:
    """The first engine of a style: there is nothing to go back to, so it has no trial."""
    slot = EngineSlot(version=engine.version, manifest_sha256=engine.manifest_sha256, since_utc=now, is_proven=True)
    return StyleEngines(deciding=slot)
