"""States of a station as the two state machines of OPC 40100-1.

Promises: each state of the station is one state of the outer machine and, while that is Operational, one of the inner;
a transition is named only where the specification has one between the two states.
"""

from __future__ import annotations

from typing import NamedTuple

from glass_edge.events.payloads import StationState

_OUTER = frozenset({StationState.PREOPERATIONAL, StationState.HALTED, StationState.ERROR})
OPERATIONAL = "Operational"


class MachineStates(NamedTuple):
    """States of VisionStateMachine and AutomaticModeStateMachine; the inner is None outside Operational."""

    outer: str
    inner: str | None


def machine_states(state: StationState) -> MachineStates:
    """Where both machines are when the station is in `state`."""
    return MachineStates(state, None) if state in _OUTER else MachineStates(OPERATIONAL, state)


# the transitions that happen by themselves, those that end in Auto
_OUTER_TRANSITIONS = frozenset(
    f"{first}To{second}"
    for first, second in (
        ("Preoperational", "Halted"),
        ("Preoperational", "Error"),
        ("Preoperational", OPERATIONAL),
        ("Halted", "Preoperational"),
        ("Error", "Preoperational"),
        ("Error", "Halted"),
        ("Error", OPERATIONAL),
        (OPERATIONAL, "Preoperational"),
        (OPERATIONAL, "Halted"),
        (OPERATIONAL, "Error"),
    )
)
_INNER_TRANSITIONS = frozenset(
    f"{first}To{second}"
    for first, second in (
        ("Initialized", "Ready"),
        ("Ready", "Initialized"),
        ("Ready", "SingleExecution"),
        ("SingleExecution", "Ready"),
        ("Ready", "ContinuousExecution"),
        ("ContinuousExecution", "Ready"),
    )
)


def transition(before: str, after: str) -> str | None:
    """BrowseName of the transition between two states of one machine; None when the specification has none."""
    name = f"{before}To{after}"
    return f"{name}Auto" if name in _OUTER_TRANSITIONS | _INNER_TRANSITIONS else None
