"""Requests that wait for their answer, taken off the socket as they come.

Promises: what waits has a bound, for one peer and in all; what comes beyond is dropped, and its sender asks again;
peers are taken in turn; a flood is noticed.

The socket's own queue must not have the bound: libzmq (4.3.5) ends the process when a peer hangs up that has filled a
bounded receive queue, as soon as a heartbeat to it is due or one of it lies behind what was not read (its issues 4364
and 3937). So that queue has none, and is read empty.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

MOST_A_PEER = 64
_MOST_BYTES = 8 << 20
_FRAME_BYTES = 128  # what a frame costs beside its content
_FLOOD = 5000
_FLOOD_S = 1.0


class Frame(Protocol):
    """A frame of a message."""

    @property
    def bytes(self) -> bytes:
        """Its content."""

    def __len__(self) -> int: ...


F = TypeVar("F", bound=Frame)


class RequestQueue(Generic[F]):
    """Requests as lists of frames, of which the first names the peer.

    Args:
        most_a_peer: most requests of one peer.
        most_bytes: most bytes of all.
    """

    def __init__(self, most_a_peer: int = MOST_A_PEER, most_bytes: int = _MOST_BYTES) -> None:
        self._most_a_peer = most_a_peer
        self._most_bytes = most_bytes
        self._peers: OrderedDict[bytes, deque[Sequence[F]]] = OrderedDict()
        self._bytes = 0
        self._dropped = 0
        self._since_s = 0.0

    def put(self, frames: Sequence[F]) -> None:
        """Keep a request, unless there is no room."""
        size = _size(frames)
        peer = frames[0].bytes
        waiting = self._peers.get(peer, ())
        if len(waiting) >= self._most_a_peer or self._bytes + size > self._most_bytes:
            self._dropped += 1
            return
        self._bytes += size
        self._peers.setdefault(peer, deque()).append(frames)

    def take(self) -> Sequence[F] | None:
        """The next request of the peer whose turn it is; None when none waits."""
        if not self._peers:
            return None
        peer, waiting = self._peers.popitem(last=False)
        frames = waiting.popleft()
        self._bytes -= _size(frames)
        if waiting:
            self._peers[peer] = waiting  # behind the others
        return frames

    def clear(self) -> None:
        """Drop everything."""
        self._peers.clear()
        self._bytes = 0

    def __len__(self) -> int:
        """Requests that wait."""
        return sum(map(len, self._peers.values()))

    def is_flooded(self, now_s: float) -> bool:
        """True when thousands were dropped within a second; then they are counted anew. `now_s`: monotonic, s."""
        is_flood = self._dropped > _FLOOD
        if is_flood or now_s - self._since_s > _FLOOD_S:
            self._dropped, self._since_s = 0, now_s
        return is_flood


def _size(frames: Sequence[Frame]) -> int:
    return sum(len(frame) + _FRAME_BYTES for frame in frames)
