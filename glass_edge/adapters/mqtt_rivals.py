"""Other adapters that publish as the same station.

Promises: an adapter knows its own births, of whatever session; a birth of another adapter is known by its number.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime

from pydantic import ValidationError

from glass_edge.adapters.mqtt_documents import Birth
from glass_edge.events.schema import format_stamp

_MOST_SESSIONS = 64


class Rivals:
    """What births tell of other adapters."""

    def __init__(self) -> None:
        self._own: deque[int] = deque(maxlen=_MOST_SESSIONS)
        self._born_utc: datetime | None = None
        self._other: Birth | None = None
        self.is_birth_heard = False
        """A birth was heard since `begin`, an own one of before or another's."""

    def begin(self, session: int) -> None:
        """A session of this adapter begins."""
        self._own.append(session)
        self._other, self.is_birth_heard = None, False

    def born(self, birth: Birth) -> None:
        """This adapter tells its birth."""
        self._born_utc = birth.born_utc

    def hear(self, payload: bytes) -> Birth | None:
        """A birth came; returns it when it is another adapter's."""
        try:
            birth = Birth.model_validate_json(payload, extra="ignore")
        except ValidationError:
            return None  # emptied, or of another program
        self.is_birth_heard = True
        if birth.session in self._own:
            return None
        self._other = birth
        return birth

    def successor(self) -> Birth | None:
        """The birth, heard in this session, of an adapter that began after this one did; None without."""
        is_later = self._other is not None and self._born_utc is not None and self._other.born_utc > self._born_utc
        return self._other if is_later else None


def of_rival(birth: Birth) -> str:
    """Words for another adapter."""
    born = format_stamp(birth.born_utc)
    return f"another adapter ('{birth.adapter}', begun {born}) publishes as station {birth.station}"
