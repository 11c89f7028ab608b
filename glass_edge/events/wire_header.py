"""What all replies of a station begin with.

Promises: a reply of whatever kind tells whose it is, what the station's journal holds, and which request it answers.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import Field

from glass_edge.events.payloads import Document
from glass_edge.events.schema import Epoch, Station, Version

RequestId: TypeAlias = Annotated[str, Field(max_length=64)]


class ReplyHeader(Document):
    """What every reply begins with; `reply` names its kind."""

    reply: str
    id: RequestId
    schema_version: Version
    station: Station
    epoch: Epoch
    oldest: int = Field(ge=1)
    head: int = Field(ge=0)
