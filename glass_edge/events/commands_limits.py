"""Bounds on what those who command may cost.

Promises: over any stretch of `within_s` seconds at most `most` are allowed; what is remembered of clients has a bound,
whatever they send.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from glass_edge.events.asker import Asker
from glass_edge.events.commands_wire import Command
from glass_edge.events.wire_header import ReplyHeader

COMMANDS_REMEMBERED = 64
_CLIENTS_REMEMBERED = 256
_MOST_A_MINUTE = 30


class WindowLimit:
    """At most `most` in any `within_s` seconds.

    Args:
        most: how many.
        within_s: length of the window, s.
    """

    def __init__(self, most: int, within_s: float) -> None:
        self._most = most
        self._within_s = within_s
        self._allowed_s: deque[float] = deque(maxlen=most)

    def allows(self, now_s: float) -> bool:
        """True when one more may be, which then counts. `now_s`: a clock that never jumps, s."""
        if len(self._allowed_s) == self._most and now_s - self._allowed_s[0] < self._within_s:
            return False
        self._allowed_s.append(now_s)
        return True


class Answer:
    """What the station answers to a command, but for the header.

    Args:
        reply: kind of the reply; None: it was refused.
        fields: of the reply.
        reason: why it was refused.
    """

    def __init__(
        self, reply: type[ReplyHeader] | None = None, fields: dict[str, object] | None = None, reason: str = ""
    ) -> None:
        self.reply = reply
        self.fields = fields or {}
        self.reason = reason


class Caller:
    """What is remembered of one client: its last commands with their answers, and how many it gave of late."""

    def __init__(self) -> None:
        self._answers: OrderedDict[str, tuple[Command, Answer]] = OrderedDict()
        self.limit = WindowLimit(_MOST_A_MINUTE, 60.0)

    def answered(self, request: Command) -> tuple[Command, Answer] | None:
        """The command that came with this id before, and its answer."""
        return self._answers.get(request.id) if request.id else None

    def remember(self, request: Command, answer: Answer) -> None:
        """Keep an answer for when the command is sent again."""
        if not request.id:
            return
        self._answers[request.id] = (request, answer)
        if len(self._answers) > COMMANDS_REMEMBERED:
            self._answers.popitem(last=False)


class Callers:
    """The clients that gave commands; those that were silent for longest are forgotten."""

    def __init__(self) -> None:
        self._callers: OrderedDict[tuple[str, int | None], Caller] = OrderedDict()

    def of(self, asker: Asker) -> Caller:
        """What is remembered of a client."""
        who = (asker.client, asker.uid)
        caller = self._callers.setdefault(who, Caller())
        self._callers.move_to_end(who)
        if len(self._callers) > _CLIENTS_REMEMBERED:
            self._callers.popitem(last=False)
        return caller
