"""The address space for people.

Promises: all tables come from `opcua_nodes`; the page in the documentation is what this module writes:
`python -m glass_edge.adapters.opcua_reference docs/reference/opcua.md`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from glass_edge.adapters.opcua_nodes import (
    EVENT_TYPES,
    METHODS,
    NAMESPACE,
    NOT_EXECUTABLE,
    OUTPUTS,
    ROOT,
    STATION,
    VARIABLES,
    VISION_METHODS,
    VISION_NAMESPACE,
)
from glass_edge.files import write_bytes

_HEAD = f"""# OPC UA address space

<!-- written by: python -m glass_edge.adapters.opcua_reference docs/reference/opcua.md -->

What `glass-edge adapter opcua` serves. How to use it: [connect by OPC UA](../how-to/connect-opcua.md).

## Namespaces

| index | URI | what |
| --- | --- | --- |
| 0 | `http://opcfoundation.org/UA/` | OPC UA |
| 1 | the server's `application_uri` | nothing |
| 2 | `{VISION_NAMESPACE}` | OPC 40100-1 version 1.0.0: the official nodeset, unchanged, with its NodeIds |
| 3 | `{NAMESPACE}` | all instances, with string NodeIds, and the project's event types |

Read the index of a namespace from `NamespaceArray`, as OPC UA asks for. A NodeId below is written `{ROOT}.…` and stands
for `ns=3;s={ROOT}.…`; it stays the same for ever. The `ConfigurationIdDataType`, `RecipeIdExternalDataType` and
`RecipeIdInternalDataType` of the nodeset have no definition of their own; the server adds that of their base type,
which they inherit.

## The vision system

`{ROOT}` in the Objects folder is a `VisionSystemType`. A job is a roll, a recipe is the engine of a style.

| NodeId | type | what |
| --- | --- | --- |
| `{ROOT}.VisionStateMachine` | `VisionStateMachineType` | Preoperational, Halted, Error, Operational |
| `{ROOT}.VisionStateMachine.AutomaticModeStateMachine` | `VisionAutomaticModeStateMachineType` | Initialized, Ready, \
SingleExecution, ContinuousExecution; `CurrentState` is `BadNoDataAvailable` outside Operational |
| `{ROOT}.RecipeManagement.Recipes` | `RecipeFolderType` | the engines that were active, 50 at most, as \
`….STYLE/VERSION`; `IsPrepared` is true for the one in use |
| `{ROOT}.ResultManagement.Results` | `ResultFolderType` | the last `most_results` rolls as `….RESULT`, \
of `ResultType` |
| `{STATION}` | object | the project's own nodes, below |

Both machines have `LastTransition`; where the station goes in one step where the specification has several, it has no
name. `ConfigurationManagement`, `SafetyStateManagement`, step models, `SystemState`, `DiagnosticLevel`, file transfer
and the conditions of the specification are absent: a stop of the loom is a request, never a safety function, and errors
are events.

| field of a result | holds |
| --- | --- |
| `ResultId` | epoch of the journal and number of the roll's first event: `EPOCH-NUMBER` |
| `JobId` | name of the roll |
| `ExternalRecipeId` | style, version, SHA-256 of the model (`Hash`); left out where the station told of no engine |
| `InternalRecipeId` | `STYLE/VERSION` |
| `InternalConfigurationId` | name of the station |
| `ResultState` | 1 completed; 3 aborted: the roll has no end, the station died |
| `IsPartial` | true: the roll has no start, no end, or lost events |
| `IsSimulated` | a replay or a simulated camera |
| `CreationTime`, `ProcessingTimes` | of the roll's last event; of its first and last |
| `HasTransferableDataOnFile` | false |
| `ResultContent` | one string, JSON: `roll_start`, `roll_end` with figures and grade, `gaps`, `defects` as in the \
[events](events.md), `lost_events`. At most `most_defects` defects, those with the highest peaks, and 500 gaps; \
`defects_left_out` and `gaps_left_out` count the others |

## Quality and time

A value changes with the event that changed it: `SourceTimestamp` is the event's `stamp_utc`, `ServerTimestamp` when it
was written here.

| status code | means |
| --- | --- |
| `Good` | the present |
| `UncertainNoCommunicationLastUsableValue` | the last that is known: the station was silent for 5 s, or events \
of it are still missing |
| `BadWaitingForInitialData` | nothing was ever heard |
| `BadNoDataAvailable` | the station does not tell it, such as the width of cloth that is out of sight |

`{STATION}.IsCurrent` says the same in one bit. `ServiceLevel` is 255 while it is true and 100 otherwise.

## Variables
"""

_EVENTS_HEAD = f"""
## Events

Subscribe to `{ROOT}` or to the server object; both tell the same, with one `EventId`. `Time` is the event's stamp.

| type | when |
| --- | --- |
| `JobStartedEventType` | a roll begins |
| `ResultReadyEventType` | a roll is complete; with all fields of the result |
| `RecipePreparedEventType` | another engine decides |
| `StateChangedEventType` | a state machine changed; `SourceNode` says which |
| `ErrorEventType`, `ErrorResolvedEventType` | the station fails, and works again |
| `ReadyEventType` | from an execution to Ready |
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    parts += _table(("NodeId", "type", "holds"), ((f"`{one.path}`", one.kind.value, one.text) for one in VARIABLES))
    parts += ["", "## Methods", "", f"Outputs of the methods of `{STATION}`:", ""]
    parts += _table(("output", "type", "holds"), ((f"`{one.name}`", one.kind.value, one.text) for one in OUTPUTS))
    parts.append("")
    parts += _table(
        ("NodeId", "inputs", "least role", "does"),
        (
            (
                f"`{one.path}`",
                "; ".join(f"`{given.name}` {given.kind.value}: {given.text}" for given in one.inputs),
                one.role.value,
                one.text,
            )
            for one in METHODS
        ),
    )
    parts += ["", "Of OPC 40100-1, with the arguments of the specification and `Error` as above, without a text:", ""]
    recipes = (f"`{ROOT}.RecipeManagement.Recipes.STYLE/VERSION.Prepare`", "controller")
    parts += _table(
        ("NodeId", "least role"), [*((f"`{path}`", role.value) for path, role in VISION_METHODS.items()), recipes]
    )
    parts += [
        "",
        "These answer `BadNotExecutable`, and their `Executable` is false; so is each recipe's `Unprepare`:",
        "",
    ]
    parts += _table(("NodeId", "why"), ((f"`{path}`", reason) for path, reason in NOT_EXECUTABLE.items()))
    parts.append(_EVENTS_HEAD)
    for event_type in EVENT_TYPES:
        parts += [f"`ns=3;s={event_type.name}`, of `BaseEventType`: {event_type.text}.", ""]
        parts += _table(
            ("field", "type", "holds"),
            ((f"`{one.name}`", one.kind.value, one.text) for one in event_type.fields),
        )
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


if __name__ == "__main__":
    write_bytes(Path(sys.argv[1]), page().encode())
