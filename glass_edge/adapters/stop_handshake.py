"""The handshake of a stop request with a controller that reads and writes numbers.

Promises: a request has a number of its own and is held under it until it is answered at the station, by anyone; a
request keeps its number when the adapter starts again; an answer is accepted only where the controller wrote the number
of this very request; one answer is under way at a time, and one that found no station is sent again. It stops nothing
by itself: the loom's controller decides, and the safety of people must not depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

MOST_NUMBER = 0xFFFF
NOT_ENABLED = "stop is not enabled by the controller"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the controller and the adapter want at a moment.

    Attributes:
        accept: number that the controller accepts; 0: none.
        refuse: number that it refuses.
        is_enabled: it answers stop requests.
        may_refuse: the adapter may refuse in its place while it does not.
    """

    accept: int = 0
    refuse: int = 0
    is_enabled: bool = True
    may_refuse: bool = False


class Fate(Enum):
    """What became of an answer."""

    WAITING = auto()
    """It is sent when its time comes."""
    UNDER_WAY = auto()
    TAKEN = auto()
    """The station took it; its stop.ack follows."""
    REFUSED = auto()
    """The station refused it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer to a request.

    Attributes:
        accepted: the loom is being stopped.
        detail: for a person.
        is_by_controller: it was not the adapter's.
        fate: what became of it.
        due_s: when it is sent, or sent again, monotonic seconds.
    """

    accepted: bool
    detail: str
    is_by_controller: bool
    due_s: float
    fate: Fate = Fate.WAITING


@dataclass(frozen=True, slots=True)
class Held:
    """A request that waits.

    Attributes:
        number: as the controller knows it.
        epoch, request_id: as the station knows it.
        since_s: when it was shown first by this process, monotonic seconds.
        answer: None: none yet.
    """

    number: int
    epoch: str
    request_id: str
    since_s: float
    answer: Answer | None = None


@dataclass(frozen=True, slots=True)
class StopHandshake:
    """State of the handshake; each method returns the next one.

    Attributes:
        last_number: number given last; 0: none.
        held: the request that waits.
    """

    last_number: int = 0
    held: Held | None = None

    def see(self, pending: tuple[str, str] | None, now_s: float) -> StopHandshake:
        """The station's pending request, epoch and request_id; None when none waits."""
        if pending is None:
            return replace(self, held=None)
        if self.held is not None and pending == (self.held.epoch, self.held.request_id):
            return self
        number = self.last_number % MOST_NUMBER + 1
        return StopHandshake(number, Held(number, *pending, since_s=now_s))

    def hear(self, wanted: Wanted, now_s: float) -> StopHandshake:
        """Decide on an answer, once; after the station refused one, anew when the controller took its number back."""
        if self.held is None:
            return self
        number, answer = self.held.number, self.held.answer
        if answer is not None:
            is_kept = number in (wanted.accept, wanted.refuse) if answer.is_by_controller else not wanted.is_enabled
            return self if is_kept or answer.fate is not Fate.REFUSED else self._answered(None)
        if wanted.refuse == number:
            return self._answered(Answer(False, "refused by the controller", True, now_s))
        if wanted.accept == number:
            return self._answered(Answer(True, "accepted by the controller", True, now_s))
        if not wanted.is_enabled and wanted.may_refuse:
            return self._answered(Answer(False, NOT_ENABLED, False, now_s))
        return self

    def is_due(self, now_s: float) -> bool:
        """An answer is to be sent now."""
        answer = None if self.held is None else self.held.answer
        return answer is not None and answer.fate is Fate.WAITING and now_s >= answer.due_s

    def sent(self) -> StopHandshake:
        """The answer that was due is under way."""
        assert self.held is not None
        return self._became(self.held.number, Fate.UNDER_WAY)

    def replied(self, number: int, *, is_taken: bool) -> StopHandshake:
        """The station took or refused the answer to request `number`."""
        return self._became(number, Fate.TAKEN if is_taken else Fate.REFUSED)

    def unheard(self, number: int, again_s: float) -> StopHandshake:
        """The station did not hear the answer to request `number`; it is sent again at `again_s`."""
        return self._became(number, Fate.WAITING, again_s)

    def is_overdue(self, now_s: float, timeout_s: float) -> bool:
        """The request has waited for an answer as long as `timeout_s`."""
        return self.held is not None and self.held.answer is None and now_s - self.held.since_s >= timeout_s

    def _became(self, number: int, fate: Fate, due_s: float = 0.0) -> StopHandshake:
        if self.held is None or self.held.answer is None or self.held.number != number:
            return self  # the request is over, or another one waits
        return self._answered(replace(self.held.answer, fate=fate, due_s=due_s))

    def _answered(self, answer: Answer | None) -> StopHandshake:
        assert self.held is not None
        return replace(self, held=replace(self.held, answer=answer))
