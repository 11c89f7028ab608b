"""Payloads of what is kept for the record: challenges, verdicts of persons, and how the cloth of a roll looked.

Promises: those of `payloads`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from glass_edge.events.payloads import Count, Document, Length, Name, Operator, Text
from glass_edge.fabric.fault_name import FaultName

Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]


class ChallengeFigures(Document):
    """What a challenge of the station showed."""

    subject: Literal["tiles", "strip"]
    """The engine's golden tiles, or a strip with known marks that was led past the camera."""
    name: Name
    """Name of the strip; of tiles, style and version of the engine."""
    shown: int = Field(ge=1)
    """Marks that passed; of tiles, how many there are."""
    found: Count
    """Of these, found as they should be."""
    extra: Count = 0
    """Defects reported meanwhile that belong to no mark."""
    detection_low: Share
    """Part of such marks that the station finds at least, with 95 % confidence."""
    wanted: Share
    """Part that had to be shown."""
    is_passed: bool
    detail: Text = ""
    """What a person must know besides."""

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if self.found > self.shown:
            raise ValueError(f"{self.found} of {self.shown} marks cannot be found")
        return self


class Challenge(ChallengeFigures):
    """A challenge was taken."""

    client: Name
    """As in command."""
    operator: Operator = ""
    """Who took it."""


class Opinion(StrEnum):
    """What a person says of a defect that the station reported."""

    REAL = "real"
    FALSE = "false"
    """The cloth is good there."""
    UNSURE = "unsure"


class VerdictFigures(Document):
    """A person's verdict on a defect; a later one replaces it."""

    defect_roll_id: Name
    """Roll of the defect."""
    defect_id: int = Field(ge=1)
    """The defect."""
    defect_seq: int = Field(ge=1)
    """Event of this journal that told of it, since names of rolls come again."""
    opinion: Opinion
    fault: FaultName | None = None
    """What it is, in the terms of ISO 8498; null: not said."""
    note: Text = ""


class Verdict(VerdictFigures):
    """A person judged a defect."""

    client: Name
    """As in command."""
    operator: Operator = ""
    """Who judged."""


class RollFigures(Document):
    """How the good cloth of a roll looked and scored, told before its roll.end."""

    model_sha256: Name
    """SHA-256 of the model that scored it."""
    inspected_m: Length
    """Metres the figures are of."""
    score_median: float | None = None
    """Median of the smoothed scores, logits; null where nothing was scored, as are the next two."""
    score_p99: float | None = None
    """Logit that 1 % of the cells are above."""
    score_p999: float | None = None
    """Logit that 0.1 % of the cells are above."""
    samples: Count = 0
    """Pictures of the cloth that were measured; the figures below are their medians, null without any."""
    mean_grey: float | None = Field(default=None, ge=0, le=255)
    """Mean grey of the cloth."""
    contrast: float | None = Field(default=None, ge=0)
    """Standard deviation of the grey over its mean."""
    sharpness: float | None = Field(default=None, ge=0)
    """Sharpness of the picture, as the fit check measures it."""
    saturated_share: Share | None = None
    """Largest share of saturated pixels."""
    pitch_along_mm: float | None = Field(default=None, gt=0)
    """Repeat of the weave along the web, mm; null where no rhythm is seen."""
    pitch_across_mm: float | None = Field(default=None, gt=0)
    """Repeat across it, mm."""


Record: TypeAlias = Challenge | Verdict | RollFigures
