"""What the OPC UA server shows: variables, state machines, results and recipes.

Promises: a variable changes with the event that changed it and bears its stamp; what may not be the present is marked
as the last value that was known, and what the station never told as not there yet; a result that went away from the
store goes away here. For the thread of the loop alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from asyncua import ua

from glass_edge.adapters.opcua_build import AUTOMATIC, MACHINE, RECIPES, RESULTS, Nodes, variant_type_of
from glass_edge.adapters.opcua_events import StateChange
from glass_edge.adapters.opcua_nodes import CURRENT, VARIABLES, Kind, Plain
from glass_edge.adapters.opcua_results import Recipe, RollResult
from glass_edge.adapters.opcua_states import machine_states
from glass_edge.adapters.opcua_structures import external_id, internal_id, result_fields, result_structure
from glass_edge.adapters.station_view import StationView

_VALUE = ua.AttributeIds.Value
_TYPES = {MACHINE: "VisionStateMachineType", AUTOMATIC: "VisionAutomaticModeStateMachineType"}
_RESULT_PARTS = {
    "ResultId": 3021,
    "HasTransferableDataOnFile": 1,
    "IsPartial": 1,
    "IsSimulated": 1,
    "ResultState": 3009,
    "ExternalRecipeId": 3002,
    "InternalRecipeId": 3013,
    "InternalConfigurationId": 3008,
    "JobId": 3016,
    "CreationTime": 294,
    "ProcessingTimes": 3005,
    "ResultContent": 24,
}
"""Components of ResultType that are there, and their data types: below 3000 of OPC UA itself."""
_HEALTHY, _DEGRADED = 255, 100


class Space:
    """Keeps the nodes of an address space up.

    Args:
        nodes: built.
    """

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._shown: dict[str, tuple[Any, ...]] = {}
        self._is_current: bool | None = None
        self.results: tuple[RollResult, ...] = ()
        self.recipes: tuple[Recipe, ...] = ()

    async def show(self, view: StationView | None, *, is_current: bool) -> None:
        """Show a view; None: the station was never heard."""
        for variable in VARIABLES:
            if variable is not CURRENT:
                value = None if view is None else variable.read(view)
                await self._set(variable.path, variable.kind, value, view, is_current)
        await self._show_states(view, is_current)
        if is_current != self._is_current:
            self._is_current = is_current
            now = datetime.now(UTC)
            await self._write(CURRENT.path, ua.Variant(is_current, ua.VariantType.Boolean), ua.StatusCodes.Good, now)
            level = ua.Variant(_HEALTHY if is_current else _DEGRADED, ua.VariantType.Byte)
            service_level = ua.NodeId(ua.ObjectIds.Server_ServiceLevel)
            await self._nodes.write(service_level, ua.DataValue(level), _VALUE)

    async def show_transition(self, change: StateChange, stamp: datetime) -> None:
        """Show the last transition of a machine; one that the specification does not have has no name."""
        machine, name = AUTOMATIC if change.inner else MACHINE, change.transition
        node_id = None if name is None else await self._nodes.child_of_type(_TYPES[machine], name)
        path = f"{machine}.LastTransition"
        await self._write(path, _text(name or ""), ua.StatusCodes.Good, stamp)
        await self._write(f"{path}.Id", _node_id(node_id or ua.NodeId()), ua.StatusCodes.Good, stamp)

    async def show_results(self, results: Sequence[RollResult]) -> None:
        """Show these results, and no others."""
        shown, wanted = {result.result_id for result in self.results}, {result.result_id for result in results}
        for result_id in shown - wanted:
            await self._nodes.remove(RESULTS, f"{RESULTS}.{result_id}")
        self.results = tuple(results)
        for result in results:
            if result.result_id not in shown:
                await self._add_result(result)

    async def show_recipes(self, recipes: Sequence[Recipe]) -> list[tuple[str, Recipe]]:
        """Show these recipes, the last of them in use; returns those that are new, each with its path."""
        before = {recipe.internal_id: recipe for recipe in self.recipes}
        wanted = {recipe.internal_id for recipe in recipes}
        for internal in before.keys() - wanted:
            await self._nodes.remove(RECIPES, f"{RECIPES}.{internal}")
        self.recipes = tuple(recipes)
        added = []
        for recipe in recipes:
            path = f"{RECIPES}.{recipe.internal_id}"
            if recipe.internal_id not in before:
                await self._add_recipe(path, recipe)
                added.append((path, recipe))
            if before.get(recipe.internal_id) != recipe:
                await self._write_structure(f"{path}.InternalId", internal_id(recipe), recipe.activated_utc)
                await self._write_structure(f"{path}.ExternalId", external_id(recipe), recipe.activated_utc)
                stamp = ua.Variant(recipe.activated_utc, ua.VariantType.DateTime)
                await self._write(f"{path}.LastModified", stamp, ua.StatusCodes.Good, recipe.activated_utc)
            is_used = ua.Variant(recipe is recipes[-1], ua.VariantType.Boolean)
            await self._write(f"{path}.IsPrepared", is_used, ua.StatusCodes.Good, recipes[-1].activated_utc)
        return added

    async def _set(
        self, path: str, kind: Kind, value: Plain | None, view: StationView | None, is_current: bool
    ) -> None:
        code = _quality(value, view, is_current)
        before = self._shown.get(path)
        if before is not None and before[:2] == (value, code):
            return
        # a change of the quality alone keeps the stamp of the value
        is_same = before is not None and before[0] == value and before[2] is not None
        stamp = before[2] if before is not None and is_same else (None if view is None else view.stamp_utc)
        plain = str(value) if isinstance(value, str) else value
        variant = ua.Variant(plain, ua.VariantType.Null if value is None else variant_type_of(kind))
        await self._write(path, variant, code, stamp)
        self._shown[path] = (value, code, stamp)

    async def _show_states(self, view: StationView | None, is_current: bool) -> None:
        state = None if view is None or view.status is None else view.status.state
        outer, inner = (None, None) if state is None else machine_states(state)
        for machine, name in ((MACHINE, outer), (AUTOMATIC, inner)):
            await self._show_state(machine, name, view, is_current)

    async def _show_state(self, machine: str, name: str | None, view: StationView | None, is_current: bool) -> None:
        path = f"{machine}.CurrentState"
        code = _quality(name, view, is_current)
        before = self._shown.get(path)
        if before is not None and before[:2] == (name, code):
            return
        stamp = before[2] if before is not None and before[0] == name else (None if view is None else view.stamp_utc)
        node_id = None if name is None else await self._nodes.child_of_type(_TYPES[machine], name)
        await self._write(path, _text(name), code, stamp)
        await self._write(f"{path}.Id", _node_id(node_id), code, stamp)
        self._shown[path] = (name, code, stamp)

    async def _add_result(self, result: RollResult) -> None:
        path, stamp = f"{RESULTS}.{result.result_id}", result.ended_utc
        await self._nodes.add_variable(
            self._nodes.id_of(RESULTS),
            self._nodes.id_of(path),
            ua.QualifiedName(result.result_id, self._nodes.own),
            ua.NodeId(3006, self._nodes.vision),
            text=f"roll {result.roll_id}",
            type_definition=self._nodes.type_of("ResultType"),
            is_organized=True,
        )
        await self._write_structure(path, result_structure(result), stamp)
        for name, value in result_fields(result).items():
            number = _RESULT_PARTS[name]
            await self._nodes.add_variable(
                self._nodes.id_of(path),
                self._nodes.id_of(f"{path}.{name}"),
                ua.QualifiedName(name, self._nodes.vision),
                ua.NodeId(number, self._nodes.vision if number >= 3000 else 0),
                rank=1 if isinstance(value, list) else -1,
            )
            await self._write(f"{path}.{name}", result_variant(value), ua.StatusCodes.Good, stamp)

    async def _add_recipe(self, path: str, recipe: Recipe) -> None:
        await self._nodes.add_object(RECIPES, path, "RecipeType")
        await self._nodes.add_variable(
            self._nodes.id_of(path),
            self._nodes.id_of(f"{path}.ExternalId"),
            ua.QualifiedName("ExternalId", self._nodes.vision),
            ua.NodeId(_RESULT_PARTS["ExternalRecipeId"], self._nodes.vision),
            is_property=True,
        )
        reason = "an engine is in use until another is prepared"
        await self._nodes.forbid_calling(f"{path}.Unprepare", reason)

    async def _write_structure(self, path: str, structure: Any, stamp: datetime) -> None:  # noqa: ANN401
        await self._write(path, ua.Variant(structure, ua.VariantType.ExtensionObject), ua.StatusCodes.Good, stamp)

    async def _write(self, path: str, value: ua.Variant, code: int, stamp: datetime | None) -> None:
        data = ua.DataValue(
            value, StatusCode=ua.StatusCode(code), SourceTimestamp=stamp, ServerTimestamp=datetime.now(UTC)
        )
        await self._nodes.write(self._nodes.id_of(path), data, _VALUE)


def result_variant(value: Any) -> ua.Variant:  # noqa: ANN401 - a field of a result
    """A field of a result as a value."""
    if isinstance(value, list):
        return ua.Variant(value, ua.VariantType.Variant)  # BaseDataType[]: values that bear their types
    if isinstance(value, bool):
        return ua.Variant(value, ua.VariantType.Boolean)
    if isinstance(value, int):
        return ua.Variant(value, ua.VariantType.Int32)
    if isinstance(value, datetime):
        return ua.Variant(value, ua.VariantType.DateTime)
    return ua.Variant(value, ua.VariantType.ExtensionObject)


def _quality(value: object, view: StationView | None, is_current: bool) -> int:
    codes = ua.StatusCodes
    if view is None:
        code = codes.BadWaitingForInitialData
    elif value is None:
        code = codes.BadNoDataAvailable
    else:
        code = codes.Good if is_current else codes.UncertainNoCommunicationLastUsableValue
    return int(code)


def _text(text: str | None) -> ua.Variant:
    value = None if text is None else ua.LocalizedText(str(text))
    return ua.Variant(value, ua.VariantType.Null if value is None else ua.VariantType.LocalizedText)


def _node_id(node_id: ua.NodeId | None) -> ua.Variant:
    return ua.Variant(node_id, ua.VariantType.Null if node_id is None else ua.VariantType.NodeId)
