"""Methods of the OPC UA server.

Promises: a method runs only for a user whose role, as it is now, may call it; arguments that are missing, too many or
of another type are refused before anything is asked of the station; the station is asked outside the loop, by a bounded
number of calls at a time. For the thread of the loop alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeAlias

from asyncua import ua

from glass_edge.adapters.opcua_build import Nodes, variant_type_of
from glass_edge.adapters.opcua_commands import DONE, WRONG_ARGUMENT, Commander, Outcome
from glass_edge.adapters.opcua_guard import Doorman
from glass_edge.adapters.opcua_nodes import METHODS, NOT_EXECUTABLE, ROOT, VISION_METHODS, Kind
from glass_edge.adapters.opcua_queries import ResultQuery, find_recipes, find_results
from glass_edge.adapters.opcua_results import Recipe, ResultState, RollResult
from glass_edge.adapters.opcua_session import caller
from glass_edge.adapters.opcua_space import Space, result_variant
from glass_edge.adapters.opcua_structures import (
    ArgumentError,
    empty,
    id_text,
    internal_id,
    internal_id_of,
    result_fields,
    result_structure,
    version_text,
)
from glass_edge.config.events import Role

_AT_A_TIME = 4
_MOST_WAITING = 16
_MOST_HANDLES = 1000
_NEVER = datetime(1601, 1, 1, tzinfo=UTC)  # the null of OPC UA
_PART_TYPES = {
    "ExternalRecipeId": "RecipeIdExternalDataType",
    "InternalRecipeId": "RecipeIdInternalDataType",
    "ExternalConfigurationId": "ConfigurationIdDataType",
    "InternalConfigurationId": "ConfigurationIdDataType",
}
"""Types of components whose names are other than their types'."""

Work: TypeAlias = Callable[..., Awaitable[list[ua.Variant]]]


class Calls:
    """Binds the methods.

    Args:
        nodes: built.
        space: what is shown.
        commander: asks the station.
        doorman: knows what users may.
        complain: told of calls that were refused.
    """

    def __init__(
        self, nodes: Nodes, space: Space, commander: Commander, doorman: Doorman, complain: Callable[[str], object]
    ) -> None:
        self._nodes = nodes
        self._space = space
        self._doorman = doorman
        self._complain = complain
        self._commander = commander
        self._pool = ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="opcua-command")
        self._waiting = 0
        self._numbers = count(1)
        self._handles: dict[int, None] = {}

    def bind(self) -> None:
        """Bind the methods that are always there."""
        own: dict[str, Callable[..., Outcome]] = {
            "ChangeRoll": self._commander.change_roll,
            "SelectRecipe": self._commander.select_recipe,
            "AcknowledgeStop": self._commander.acknowledge_stop,
            "SetBypass": self._commander.set_bypass,
        }
        for method in METHODS:
            kinds = tuple(argument.kind for argument in method.inputs)
            self._bind(method.path, method.role, len(kinds), self._command(own[method.name]), kinds)
        vision: dict[str, tuple[int, Work]] = {
            "RecipeManagement.PrepareRecipe": (2, self._prepare_recipe),
            "RecipeManagement.GetRecipeListFiltered": (6, self._recipes),
            "ResultManagement.GetResultById": (2, self._result),
            "ResultManagement.GetResultComponentsById": (2, self._components),
            "ResultManagement.GetResultListFiltered": (12, self._results),
            "ResultManagement.ReleaseResultHandle": (1, self._release),
        }
        for path, role in VISION_METHODS.items():
            arguments, work = vision[path.removeprefix(f"{ROOT}.")]
            self._bind(path, role, arguments, work)
        for path in NOT_EXECUTABLE:
            self._link(path, _not_executable)

    def bind_recipe(self, path: str, recipe: Recipe) -> None:
        """Bind the methods of a recipe that came."""

        async def prepare(user: str) -> list[ua.Variant]:
            outcome = await self._ask(self._commander.select_recipe, user, recipe.style, recipe.version)
            return [_boolean(False), _int32(self._told("Prepare", user, outcome).error)]

        self._bind(f"{path}.Prepare", Role.CONTROLLER, 0, prepare)
        self._link(f"{path}.Unprepare", _not_executable)

    def close(self) -> None:
        """Wait for what is asked of the station."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _bind(self, path: str, role: Role, arguments: int, work: Work, kinds: tuple[Kind, ...] = ()) -> None:
        name = path.rpartition(".")[2]

        async def run(_: ua.NodeId, *given: ua.Variant) -> ua.CallMethodResult | ua.StatusCode | list[ua.Variant]:
            user = caller()
            may = None if user is None else self._doorman.role_now(user)
            if user is None or may is None or not may.includes(role):
                self._complain(f"{name} was refused: user {user.name if user else ''!r} is no {role}")
                return ua.StatusCode(ua.StatusCodes.BadUserAccessDenied)
            if len(given) != arguments:
                codes = ua.StatusCodes
                few = codes.BadArgumentsMissing if len(given) < arguments else codes.BadTooManyArguments
                return ua.StatusCode(few)
            if (wrong := _mismatch(given, kinds)) is not None:
                return wrong
            values = [variant.Value for variant in given]
            if kinds:
                values = ["" if value is None else value for value in values]
            try:
                return await work(user.name or "anonymous", *values)
            except ArgumentError:
                return ua.StatusCode(ua.StatusCodes.BadInvalidArgument)
            except _TooManyError:
                return ua.StatusCode(ua.StatusCodes.BadTooManyOperations)

        self._link(path, run)

    def _link(self, path: str, work: Callable[..., Any]) -> None:
        self._nodes.server.link_method(self._nodes.node(path), work)

    def _command(self, ask: Callable[..., Outcome]) -> Work:
        async def run(user: str, *values: str | bool) -> list[ua.Variant]:
            outcome = self._told(ask.__name__, user, await self._ask(ask, user, *values))
            return [_int32(outcome.error), ua.Variant(outcome.message, ua.VariantType.String)]

        return run

    async def _ask(self, ask: Callable[..., Outcome], *values: str | bool) -> Outcome:
        if self._waiting >= _MOST_WAITING:
            raise _TooManyError
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, ask, *values)
        finally:
            self._waiting -= 1

    def _told(self, name: str, user: str, outcome: Outcome) -> Outcome:
        if outcome.error != DONE:
            self._complain(f"{name} of user {user!r} was not done: {outcome.message}")
        return outcome

    async def _prepare_recipe(self, user: str, external: Any, internal: Any) -> list[ua.Variant]:  # noqa: ANN401
        style, version, wanted = id_text(external), version_text(external), id_text(internal)
        if wanted:  # takes precedence (OPC 40100-1, 7.5.2.2)
            known = [recipe for recipe in self._space.recipes if recipe.internal_id == wanted]
            style, version = (known[0].style, known[0].version) if known else ("", "")
        if style:
            outcome = await self._ask(self._commander.select_recipe, user, style, version)
        else:
            outcome = Outcome(WRONG_ARGUMENT, f"there is no recipe {wanted!r}; give one of Recipes, or an external id")
        error = self._told("PrepareRecipe", user, outcome).error
        chosen = f"{style}/{outcome.version}" if error == DONE else ""
        return [_structure(internal_id_of(chosen)), _boolean(False), _int32(error)]

    async def _recipes(self, _: str, *given: Any) -> list[ua.Variant]:  # noqa: ANN401
        external, product, used, most, first, _wait = given
        asked = {0: False, 1: True}.get(_number(used))
        recipes = () if id_text(product) else self._space.recipes
        page = find_recipes(
            recipes, id_text(external), version_text(external), is_used=asked, first=_number(first), most=_number(most)
        )
        found = [internal_id(recipe) for recipe in page.items]
        return [_boolean(page.is_complete), _uint32(len(found)), _uint32(0), _structures(found), _int32(DONE)]

    async def _result(self, _: str, result_id: Any, timeout: int) -> list[ua.Variant]:  # noqa: ANN401
        del timeout
        result = self._find(id_text(result_id))
        if result is None:
            return [_uint32(0), _structure(empty("ResultDataType")), _int32(WRONG_ARGUMENT)]
        return [_uint32(self._handle()), _structure(result_structure(result)), _int32(DONE)]

    async def _components(self, _: str, result_id: Any, timeout: int) -> list[ua.Variant]:  # noqa: ANN401
        del timeout
        result = self._find(id_text(result_id))
        fields = {} if result is None else result_fields(result)

        def part(name: str) -> ua.Variant:
            return _structure(fields.get(name) or empty(_PART_TYPES.get(name, f"{name}DataType")))

        return [
            _boolean(False),
            _uint32(0 if result is None else self._handle()),
            _boolean(result is not None and result.is_partial),
            _boolean(result is not None and result.is_simulated),
            _int32(ResultState.UNDEFINED if result is None else result.state),
            *(part(name) for name in ("MeasId", "PartId", "ExternalRecipeId", "InternalRecipeId", "ProductId")),
            *(part(name) for name in ("ExternalConfigurationId", "InternalConfigurationId", "JobId")),
            ua.Variant(_NEVER if result is None else result.ended_utc, ua.VariantType.DateTime),
            part("ProcessingTimes"),
            result_variant(fields.get("ResultContent", [])),
            _int32(WRONG_ARGUMENT if result is None else DONE),
        ]

    async def _results(self, _: str, *given: Any) -> list[ua.Variant]:  # noqa: ANN401
        state, meas, part, external, internal, external_config, internal_config, product, job, most, first, _wait = (
            given
        )
        query = ResultQuery(
            state=_number(state),
            style=id_text(external),
            version=version_text(external),
            internal_id=id_text(internal),
            roll_id=id_text(job),
            unknown=any(id_text(other) for other in (meas, part, external_config, internal_config, product)),
        )
        page = find_results(self._space.results, query, first=_number(first), most=_number(most))
        found = [result_structure(result) for result in page.items]
        handle = self._handle() if found else 0
        return [_boolean(page.is_complete), _uint32(len(found)), _uint32(handle), _structures(found), _int32(DONE)]

    async def _release(self, _: str, handle: int) -> list[ua.Variant]:
        is_known = self._handles.pop(_number(handle), 0) is None
        return [_int32(DONE if is_known else WRONG_ARGUMENT)]

    def _find(self, result_id: str) -> RollResult | None:
        return next((result for result in self._space.results if result.result_id == result_id), None)

    def _handle(self) -> int:
        """A handle; results are answered whole, so it holds nothing, and the oldest are forgotten."""
        handle = next(self._numbers) % (1 << 32) or next(self._numbers)
        self._handles[handle] = None
        while len(self._handles) > _MOST_HANDLES:
            self._handles.pop(next(iter(self._handles)))
        return handle


class _TooManyError(Exception):
    """Too many calls wait for the station."""


async def _not_executable(_: ua.NodeId, *given: ua.Variant) -> ua.StatusCode:
    del given
    return ua.StatusCode(ua.StatusCodes.BadNotExecutable)


def _mismatch(given: tuple[ua.Variant, ...], kinds: tuple[Kind, ...]) -> ua.CallMethodResult | None:
    """A refusal that says which arguments are of another type; None when none is."""
    good, bad = ua.StatusCode(ua.StatusCodes.Good), ua.StatusCode(ua.StatusCodes.BadTypeMismatch)
    codes = []
    for variant, kind in zip(given, kinds, strict=False):
        is_empty_text = variant.Value is None and kind is Kind.STRING
        is_right = variant.VariantType == variant_type_of(kind) and not variant.is_array
        codes.append(good if is_right or is_empty_text else bad)
    if bad not in codes:
        return None
    result = ua.CallMethodResult()
    result.StatusCode = ua.StatusCode(ua.StatusCodes.BadInvalidArgument)
    result.InputArgumentResults = codes
    return result


def _number(value: Any) -> int:  # noqa: ANN401
    if value is None:
        return 0
    if not isinstance(value, int):
        raise ArgumentError("not a number")
    return int(value)


def _boolean(value: bool) -> ua.Variant:
    return ua.Variant(value, ua.VariantType.Boolean)


def _int32(value: int) -> ua.Variant:
    return ua.Variant(int(value), ua.VariantType.Int32)


def _uint32(value: int) -> ua.Variant:
    return ua.Variant(value, ua.VariantType.UInt32)


def _structure(value: Any) -> ua.Variant:  # noqa: ANN401
    return ua.Variant(value, ua.VariantType.ExtensionObject)


def _structures(values: list[Any]) -> ua.Variant:
    return ua.Variant(values, ua.VariantType.ExtensionObject, is_array=True)
