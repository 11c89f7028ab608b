"""Who may connect, and how often a connection may ask.

Promises: only addresses of the list come in, and only so many at once; a connection that goes on asking is never closed
for another, and one that fell silent, as that of a controller that lost power, keeps no room; nobody's questions take
the time of others.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

SILENT_S = 10.0
"""A connection that asked nothing for so long makes room for a new one, s."""
_BURST_S = 0.25


class Doors:
    """Admits connections; `key` is anything that tells them apart.

    Args:
        allowed: networks that may connect.
        most: connections at once.
    """

    def __init__(self, allowed: Sequence[str], most: int) -> None:
        self._allowed = [ipaddress.ip_network(one) for one in allowed]
        self._most = most
        self._asked_s: dict[object, float] = {}

    def may_connect(self, address: str) -> bool:
        """The address is on the list."""
        try:
            one = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(one, ipaddress.IPv6Address) and one.ipv4_mapped is not None:
            one = one.ipv4_mapped
        return any(one in network for network in self._allowed)  # of another version: not in it

    def admit(self, key: object, now_s: float) -> tuple[bool, object | None]:
        """Whether a new connection comes in, and which other one must go for it; None: none."""
        gone = None
        if len(self._asked_s) >= self._most:
            gone = min(self._asked_s, key=lambda one: self._asked_s[one])
            if now_s - self._asked_s[gone] < SILENT_S:
                return False, None
            del self._asked_s[gone]
        self._asked_s[key] = now_s
        return True, gone

    def asked(self, key: object, now_s: float) -> None:
        """A connection asked a whole question."""
        if key in self._asked_s:
            self._asked_s[key] = now_s

    def left(self, key: object) -> None:
        """A connection is over; no harm when it had to go."""
        self._asked_s.pop(key, None)


class Pace:
    """Spaces the requests of one connection.

    Args:
        per_s: requests a second.
    """

    def __init__(self, per_s: float) -> None:
        self._step_s = 1.0 / per_s
        self._free_s = 0.0

    def pause_s(self, now_s: float) -> float:
        """How long to wait after the request that was answered at `now_s`; a quarter of a second may come at once."""
        self._free_s = max(self._free_s, now_s) + self._step_s
        return max(0.0, self._free_s - now_s - _BURST_S)
