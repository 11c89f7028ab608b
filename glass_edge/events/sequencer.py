"""The heart of a client: what to hand out and what to ask for, without sockets or clocks.

Promises: whatever published messages are dropped, doubled or reordered, events are handed out once each, in order of
seq, without a gap; what the station no longer keeps is named as a `Lost` range in its place; a new epoch is believed
only when the station's reply says so (a late message of an old publisher cannot turn the client back), and is announced
by `EpochChanged` before its first event. At most one request is open at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

LATEST = 0
"""Start position: only events that come from now on. Positions from 1 on are sequence numbers."""
OLDEST = 1
"""Start position: the oldest event kept."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """A document with its number."""

    seq: int
    document: bytes


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand out this event."""

    epoch: str
    seq: int
    document: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """Events first_seq..last_seq of the epoch are no longer kept; what follows comes after them."""

    epoch: str
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class EpochChanged:
    """The station has a new journal; what follows is of `epoch`. `delivered_seq`: last of `previous`, 0 for none."""

    previous: str
    epoch: str
    delivered_seq: int


@dataclass(frozen=True, slots=True)
class Rewound:
    """The station's journal ends at `head`, before what this client has or asked for (`next_seq`)."""

    epoch: str
    next_seq: int
    head: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Request a replay; without an epoch, of the station's present one. `limit` 0: only where the journal stands."""

    request_id: int
    epoch: str | None
    from_seq: int
    limit: int


Action: TypeAlias = Deliver | Lost | EpochChanged | Rewound | Ask


class Sequencer:
    """Turns messages into actions.

    Args:
        epoch: epoch to go on in, None to take the station's present one.
        next_seq: first event wanted; `LATEST` or `OLDEST` to begin there (only without an epoch).
        batch: most events asked for at once.
        window: most events kept that came ahead of a gap; more are dropped and asked for later.
    """

    def __init__(self, epoch: str | None, next_seq: int, *, batch: int = 500, window: int = 2000) -> None:
        if epoch is not None and next_seq < 1:
            raise ValueError("an epoch needs the number of the next event")
        self._epoch = epoch
        self._next = next_seq
        self._batch = batch
        self._window = window
        self._ahead: dict[int, bytes] = {}
        self._head = 0
        self._doubts = False
        self._open: int | None = None
        self._open_from = 0
        self._last_request = 0
        self._is_halted = False

    @property
    def epoch(self) -> str | None:
        """Epoch followed, None until the station told it."""
        return self._epoch

    @property
    def next_seq(self) -> int:
        """Next event to hand out."""
        return self._next

    @property
    def is_behind(self) -> bool:
        """True while events are known to be missing or the station's place is unknown."""
        return self._epoch is None or self._head >= self._next or self._doubts

    def begin(self) -> list[Action]:
        """First actions: ask where the station stands, and for what was missed."""
        self._doubts = True
        return self._ask()

    def on_event(self, epoch: str, seq: int, document: bytes) -> list[Action]:
        """A published event came."""
        if self._epoch is None:
            return self._ask()
        if epoch != self._epoch:
            return self._doubt()
        if seq < self._next:
            return []
        self._head = max(self._head, seq)
        if seq == self._next or len(self._ahead) < self._window:
            self._ahead[seq] = document
        return [*self._take_ahead(), *self._ask()]

    def on_beacon(self, epoch: str, head: int) -> list[Action]:
        """A beacon came."""
        if self._epoch is not None and epoch != self._epoch:
            return self._doubt()
        if self._epoch is not None and head < self._next - 1:
            return self._doubt()  # an old beacon, or a journal that went back: the reply will tell
        if self._epoch is not None:
            self._head = max(self._head, head)
        return self._ask()

    def on_replay(
        self, request_id: int, epoch: str, oldest: int, head: int, events: Sequence[Numbered]
    ) -> list[Action]:
        """The reply to an `Ask` came: the events the station keeps from the asked one on, ascending."""
        if request_id != self._open:
            return []
        self._open = None
        self._doubts = False
        actions: list[Action] = []
        if self._epoch is None:
            self._epoch = epoch
            self._next = {LATEST: head + 1, OLDEST: oldest}.get(self._next, self._next)
        if epoch != self._epoch:
            return self._change_epoch(epoch, oldest, head)
        if head < self._open_from - 1:  # not `_next`: events published since the reply was made may have come before it
            self._is_halted = True
            return [Rewound(epoch, self._next, head)]
        self._head = max(self._head, head)
        for event in events:
            if event.seq < self._next:
                continue
            actions += self._lose_until(event.seq)
            actions.append(Deliver(epoch, event.seq, event.document))
            self._next = event.seq + 1
        if not events and oldest > self._next:
            actions += self._lose_until(oldest)
        elif not events and head >= self._next:
            return actions  # a reply that contradicts itself: asked again with the next beacon, not at once
        return [*actions, *self._take_ahead(), *self._ask()]

    def on_wrong_epoch(self, request_id: int, epoch: str, oldest: int, head: int) -> list[Action]:
        """The station refused an `Ask`: its epoch is another."""
        if request_id != self._open:
            return []
        self._open = None
        return self._change_epoch(epoch, oldest, head)

    def on_timeout(self, request_id: int) -> list[Action]:
        """No reply came; the request is given up and asked again if it is still needed."""
        if request_id != self._open:
            return []
        self._open = None
        return self._ask()

    def _change_epoch(self, epoch: str, oldest: int, head: int) -> list[Action]:
        previous = self._epoch
        self._doubts = False
        if previous is None or previous == epoch:  # a refusal that contradicts itself: asked again with the next beacon
            self._doubts = True
            return []
        actions = self._lose_until(self._head + 1)  # can no longer be asked for; what is held of it is handed out
        actions.append(EpochChanged(previous, epoch, self._next - 1))
        self._epoch, self._next, self._head = epoch, 1, head
        return [*actions, *self._lose_until(oldest), *self._ask()]

    def _lose_until(self, seq: int) -> list[Action]:
        """Name what lies between the next event and `seq`, and go on from there; what is held already is handed out."""
        actions: list[Action] = []
        if self._epoch is None or seq <= self._next:
            return actions
        for held in sorted(number for number in self._ahead if number < seq):
            document = self._ahead.pop(held)
            if held < self._next:
                continue
            if held > self._next:
                actions.append(Lost(self._epoch, self._next, held - 1))
            actions.append(Deliver(self._epoch, held, document))
            self._next = held + 1
        if seq > self._next:
            actions.append(Lost(self._epoch, self._next, seq - 1))
            self._next = seq
        return actions

    def _take_ahead(self) -> list[Action]:
        actions: list[Action] = []
        if self._epoch is None:
            return actions
        while (document := self._ahead.pop(self._next, None)) is not None:
            actions.append(Deliver(self._epoch, self._next, document))
            self._next += 1
        for seq in [number for number in self._ahead if number < self._next]:
            del self._ahead[seq]
        return actions

    def _doubt(self) -> list[Action]:
        self._doubts = True
        return self._ask()

    def _ask(self) -> list[Action]:
        if self._is_halted or self._open is not None or not self.is_behind:
            return []
        self._last_request += 1
        self._open = self._last_request
        self._open_from = max(1, self._next)
        limit = self._batch
        if self._epoch is None and self._next == LATEST:
            limit = 0
        elif self._ahead:
            limit = min(limit, max(1, min(self._ahead) - self._next))
        return [Ask(self._open, self._epoch, self._open_from, limit)]
