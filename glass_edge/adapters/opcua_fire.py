"""Events of the OPC UA server.

Promises: an occurrence reaches who subscribes to the vision system or to the server object, under one event id; its
time is when it happened. For the thread of the loop alone.
"""

from __future__ import annotations

import copy
import uuid
from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from asyncua.common.events import get_event_obj_from_type_node

from glass_edge.adapters.opcua_build import AUTOMATIC, MACHINE, Nodes, variant_type_of
from glass_edge.adapters.opcua_events import Field, JobId, Occurrence, StateChange
from glass_edge.adapters.opcua_nodes import EVENT_TYPES, ROOT
from glass_edge.adapters.opcua_results import Recipe
from glass_edge.adapters.opcua_space import result_variant
from glass_edge.adapters.opcua_structures import external_id, internal_id, job_id, result_fields

_KINDS = {(event_type.name, field.name): field.kind for event_type in EVENT_TYPES for field in event_type.fields}
_LONGEST_MESSAGE = 2000


class Fire:
    """Tells subscribers.

    Args:
        nodes: built.
    """

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._samples: dict[str, Any] = {}

    async def tell(self, occurrence: Occurrence) -> None:
        """Tell who subscribes."""
        event = await self._event(occurrence)
        for name, value in occurrence.fields.items():
            variant = _variant(occurrence.event_type, name, value)
            event.add_property(name, variant.Value, variant.VariantType)
        if occurrence.result is not None:
            for name, value in result_fields(occurrence.result).items():
                variant = result_variant(value)
                event.add_property(name, variant.Value, variant.VariantType)
        if occurrence.change is not None:
            await self._add_change(event, occurrence.change)
        for emitter in (self._nodes.id_of(ROOT), ua.NodeId(ua.ObjectIds.Server)):
            event.emitting_node = emitter
            await self._nodes.server.iserver.subscription_service.trigger_event(event)

    async def _event(self, occurrence: Occurrence) -> Any:  # noqa: ANN401 - made of the type's node
        sample = self._samples.get(occurrence.event_type)
        if sample is None:
            node = self._nodes.server.get_node(self._nodes.type_of(occurrence.event_type))
            sample = self._samples[occurrence.event_type] = await get_event_obj_from_type_node(node)
        event = copy.copy(sample)
        event.data_types = dict(sample.data_types)
        machine = AUTOMATIC if occurrence.change is not None and occurrence.change.inner else MACHINE
        source = ROOT if occurrence.change is None else machine
        event.EventId = uuid.uuid4().bytes
        event.SourceNode = self._nodes.id_of(source)
        event.SourceName = source.rpartition(".")[2]
        event.Time = occurrence.stamp_utc
        event.ReceiveTime = datetime.now(UTC)
        event.LocalTime = None
        event.Message = ua.LocalizedText(occurrence.message[:_LONGEST_MESSAGE])
        event.Severity = occurrence.severity
        return event

    async def _add_change(self, event: Any, change: StateChange) -> None:  # noqa: ANN401
        kind = "VisionAutomaticModeStateMachineType" if change.inner else "VisionStateMachineType"
        for name, state in (
            ("FromState", change.before),
            ("ToState", change.after),
            ("Transition", change.transition),
        ):
            node_id = None if state is None else await self._nodes.child_of_type(kind, state)
            event.add_property(name, ua.LocalizedText(str(state or "")), ua.VariantType.LocalizedText)
            event.add_property(f"{name}/Id", node_id, ua.VariantType.NodeId)


def _variant(event_type: str, name: str, value: Field) -> ua.Variant:
    if isinstance(value, JobId):
        return ua.Variant(job_id(value.roll_id), ua.VariantType.ExtensionObject)
    if isinstance(value, Recipe):
        structure = external_id(value) if name == "ExternalId" else internal_id(value)
        return ua.Variant(structure, ua.VariantType.ExtensionObject)
    return ua.Variant(value, variant_type_of(_KINDS[event_type, name]))
