"""Whether the stop rules are bypassed.

Promises: switched by the publisher's thread, looked at by the inspection's, always whole.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Bypass:
    """Attributes:
    is_on: no stop is asked for.
    """

    is_on: bool = False
