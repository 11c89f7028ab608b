"""The OPC UA server against clients of asyncua: what they see, what they are told and what they may do."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from adapters_support import eventually, roll_drafts
from asyncua import Client, Node, ua
from opcua_support import (
    OWN,
    OWN_URI,
    VISION,
    VISION_URI,
    Heard,
    Mill,
    activated,
    prepare,
    status,
    stop_request,
    until,
)

from glass_edge.adapters.opcua_nodes import METHODS, NOT_EXECUTABLE, VARIABLES, VISION_METHODS
from glass_edge.config.events import Role
from glass_edge.events.payloads import RollEnd, StationState
from glass_edge.events.schema import Kind

STRUCTURE = ua.VariantType.ExtensionObject
OUTER = {StationState.PREOPERATIONAL, StationState.HALTED, StationState.ERROR}


@pytest.fixture(scope="module")
def mill() -> Iterator[Mill]:
    folder = Path(tempfile.mkdtemp(prefix="ge-"))
    with Mill(folder, prepare(folder)) as running:
        running.publisher.emit_all([activated("twill", "1"), status(StationState.READY)])
        yield running
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def _willing(mill: Mill) -> None:
    mill.loom.refuses, mill.loom.waits_s = "", 0.0
    mill.loom.done.clear()


def node(client: Client, path: str) -> Node:
    return client.get_node(ua.NodeId(path, OWN))


async def call(client: Client, path: str, *arguments: Any) -> Any:  # noqa: ANN401
    return await node(client, path.rpartition(".")[0]).call_method(ua.NodeId(path, OWN), *arguments)


def vision_type(number: int) -> ua.NodeId:
    return ua.NodeId(number, VISION)


async def caught_up(mill: Mill, client: Client) -> None:
    head = mill.head()

    async def is_there() -> bool:
        return await node(client, "VisionSystem.Station.EventNumber").read_value() == head

    await until(is_there, "the last event")


def test_the_instance_has_every_mandatory_part_of_the_official_type(mill: Mill) -> None:
    """Walks the types of the nodeset, as the server serves them, beside the instance."""

    async def missing(client: Client, kind: Node, instance: Node, path: str) -> list[str]:
        found = {(await child.read_browse_name()).to_string(): child for child in await instance.get_children()}
        lacking, there = [], 0
        while kind.nodeid.NamespaceIndex == VISION:
            for child in await kind.get_children():
                rule = await child.get_referenced_nodes(ua.ObjectIds.HasModellingRule)
                name = (await child.read_browse_name()).to_string()
                if not rule or rule[0].nodeid.Identifier != ua.ObjectIds.ModellingRule_Mandatory:
                    continue
                there += 1
                if name not in found:
                    lacking.append(f"{path}/{name}")
                else:
                    lacking += await missing(client, child, found[name], f"{path}/{name}")
            parents = await kind.get_referenced_nodes(ua.ObjectIds.HasSubtype, ua.BrowseDirection.Inverse)
            if not parents:
                break
            kind = parents[0]
        return lacking

    async def walk() -> None:
        async with mill.client() as client:
            assert await client.get_namespace_array() == [
                "http://opcfoundation.org/UA/",
                "urn:mill:glass-edge:loom1",
                VISION_URI,
                OWN_URI,
            ]
            for path, number in (
                ("VisionSystem", 1003),
                ("VisionSystem.VisionStateMachine", 1017),
                ("VisionSystem.VisionStateMachine.AutomaticModeStateMachine", 1021),
                ("VisionSystem.RecipeManagement", 1004),
                ("VisionSystem.RecipeManagement.Recipes", 1008),
                ("VisionSystem.RecipeManagement.Recipes.twill/1", 1002),
                ("VisionSystem.ResultManagement", 1007),
                ("VisionSystem.ResultManagement.Results", 1016),
            ):
                instance = node(client, path)
                assert await instance.read_type_definition() == vision_type(number), path
                assert await missing(client, client.get_node(vision_type(number)), instance, path) == []
            by_name = await client.nodes.objects.get_child(
                ["3:VisionSystem", "2:VisionStateMachine", "2:AutomaticModeStateMachine", "0:CurrentState"]
            )
            await caught_up(mill, client)
            assert (await by_name.read_value()).Text == "Ready"
            state = client.get_node(await (await by_name.get_child("0:Id")).read_value())
            assert (await state.read_browse_name()).to_string() == "2:Ready"
            assert (await state.get_parent()).nodeid == vision_type(1021)

    asyncio.run(walk())


def test_each_own_variable_is_there_with_its_type_and_nothing_can_be_written(mill: Mill) -> None:
    async def look() -> None:
        async with mill.client("engineer") as client:
            for variable in VARIABLES:
                there = node(client, variable.path)
                kind = ua.NodeId(getattr(ua.ObjectIds, variable.kind))
                assert await there.read_data_type() == kind
                assert (await there.read_description()).Text == variable.text
            writable = []
            seen: set[ua.NodeId] = set()
            waiting = [client.nodes.root]
            while waiting:
                parent = waiting.pop()
                for child in await parent.get_references(
                    ua.ObjectIds.HierarchicalReferences, ua.BrowseDirection.Forward
                ):
                    if child.NodeId in seen:
                        continue
                    seen.add(child.NodeId)
                    there = client.get_node(child.NodeId)
                    # what is of the library alone is many and not ours; of it the server object is looked at
                    is_ours = child.NodeId.NamespaceIndex > 0
                    if is_ours or parent.nodeid in (client.nodes.root.nodeid, client.nodes.objects.nodeid):
                        waiting.append(there)
                    if child.NodeClass == ua.NodeClass.Variable and is_ours:
                        level = await there.read_attribute(ua.AttributeIds.AccessLevel)
                        if level.Value.Value & ua.AccessLevel.CurrentWrite.mask:
                            writable.append(child.NodeId)
            assert len(seen) > 150
            assert writable == []
            with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                await node(client, "VisionSystem.Station.Name").write_value("mine")
            with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                await client.nodes.objects.add_object(OWN, "mine")

    asyncio.run(look())


def test_two_clients_are_told_of_changes_and_events_in_order(mill: Mill) -> None:
    types = [1024, 1018, 1013, 1019, 1020, 1022, 1023]

    async def watch(client: Client, emitter: Node) -> Heard:
        heard = Heard()
        subscription = await client.create_subscription(50, heard)
        own = [node(client, name) for name in ("DefectEventType", "GapEventType", "StopRequestEventType")]
        await subscription.subscribe_events(emitter, [*(client.get_node(vision_type(one)) for one in types), *own])
        paths = ("State", "Roll.RollId", "Roll.Defects", "FaultCode", "Stop.IsPending")
        await subscription.subscribe_data_change([node(client, f"VisionSystem.Station.{path}") for path in paths])
        return heard

    async def listen() -> None:
        async with mill.client() as first, mill.client("engineer") as second:
            await caught_up(mill, first)
            heard = [await watch(first, node(first, "VisionSystem")), await watch(second, second.nodes.server)]
            events = mill.publisher.emit_all(
                [
                    status(StationState.CONTINUOUS_EXECUTION),
                    *roll_drafts("R-7", 2),
                    status(StationState.ERROR, "camera_lost"),
                    stop_request("S-1"),
                    status(StationState.READY),
                    activated("twill", "2"),
                ]
            )
            wanted = [
                ("StateChangedEventType", "Ready to ContinuousExecution", 0),
                ("JobStartedEventType", "roll R-7 of twill", 1),
                ("DefectEventType", "point 1 at 0.002 m, 6 mm: new", 2),
                ("DefectEventType", "point 1 at 0.002 m, 6 mm: end", 4),
                ("DefectEventType", "point 2 at 0.004 m, 6 mm: new", 5),
                ("DefectEventType", "point 2 at 0.004 m, 6 mm: end", 7),
                ("GapEventType", "0.002 m not inspected: bad_block CRC", 8),
                ("ResultReadyEventType", "roll R-7: 2 defects", 9),
                ("ErrorEventType", "camera_lost: mend it", 10),
                ("StateChangedEventType", "ContinuousExecution to Error", 10),
                ("StopRequestEventType", "a hole", 11),
                ("ErrorResolvedEventType", "camera_lost: resolved", 12),
                ("StateChangedEventType", "Error to Ready", 12),
                ("RecipePreparedEventType", "engine twill/2 decides", 13),
            ]
            for one, client in zip(heard, (first, second), strict=True):
                await until(lambda one=one: len(one.events) == len(wanted), "all events")
                told = []
                for event in one.events:
                    name = (await client.get_node(event.EventType).read_browse_name()).Name
                    told.append((name, event.Message.Text, event.Time))
                assert told == [(name, text, events[number].stamp_utc) for name, text, number in wanted]
            assert [event.EventId for event in heard[0].events] == [event.EventId for event in heard[1].events]
            by_name = {told[0]: event for told, event in zip(told, heard[0].events, strict=True)}
            error = by_name["ErrorEventType"]
            assert (error.FromState.Text, error.ToState.Text) == ("Operational", "Error")
            assert getattr(error, "ToState/Id") == vision_type(5030)  # of VisionStateMachineType
            assert error.Transition.Text == "OperationalToErrorAuto"
            assert error.Severity > by_name["JobStartedEventType"].Severity
            assert by_name["JobStartedEventType"].JobId.Id == "R-7"
            assert by_name["RecipePreparedEventType"].ExternalId.Version == "2"
            assert (by_name["DefectEventType"].Phase, by_name["DefectEventType"].RollId) == ("end", "R-7")
            assert by_name["DefectEventType"].LengthMillimetres == pytest.approx(4.0)
            assert by_name["StopRequestEventType"].RequestId == "S-1"
            values = heard[0].values
            station = "VisionSystem.Station."
            await until(lambda: len(values[f"{station}State"]) == 4, "all states")
            changes = [(value.Value.Value, value.SourceTimestamp) for value in values[f"{station}State"]]
            assert changes[1:] == [
                (state, events[number].stamp_utc)
                for state, number in (("ContinuousExecution", 0), ("Error", 10), ("Ready", 12))
            ]
            assert [value.Value.Value for value in values[f"{station}Roll.Defects"]][-3:] == [0, 1, 2]
            assert [value.Value.Value for value in values[f"{station}Stop.IsPending"]] == [False, True]
            machine = node(first, "VisionSystem.VisionStateMachine.LastTransition")
            assert (await machine.read_value()).Text == "ErrorToOperationalAuto"

    asyncio.run(listen())


def test_every_change_of_state_is_shown_and_told(mill: Mill) -> None:
    pairs = [(first, second) for first in StationState for second in StationState if first is not second]
    states = [state for pair in pairs for state in pair]

    async def walk() -> None:
        async with mill.client() as client:
            await caught_up(mill, client)
            heard = Heard()
            subscription = await client.create_subscription(50, heard)
            await subscription.subscribe_events(node(client, "VisionSystem"), client.get_node(vision_type(1018)))
            before = await node(client, "VisionSystem.Station.State").read_value()
            drafts = [status(state, "lamp" if state is StationState.ERROR else None) for state in states]
            events = mill.publisher.emit_all([*drafts, status(StationState.READY)])
            await caught_up(mill, client)
            steps = [StationState(before), *states, StationState.READY]
            wanted = []
            for event, first, second in zip(events, steps[:-1], steps[1:], strict=True):
                outer, inner = (first in OUTER, second in OUTER), (first not in OUTER and second not in OUTER)
                if first is not second and (inner or any(outer)):
                    wanted.append((event.stamp_utc, f"{first} to {second}"))
            await until(lambda: len(heard.events) == len(wanted), "all changes")
            assert [(event.Time, event.Message.Text) for event in heard.events] == wanted
            unnamed = [event for event in heard.events if event.Transition.Text == ""]
            assert {event.Message.Text for event in unnamed} >= {"Initialized to ContinuousExecution"}
            assert all(getattr(event, "Transition/Id") is None for event in unnamed)
            inner = node(client, "VisionSystem.VisionStateMachine.AutomaticModeStateMachine.CurrentState")
            assert (await inner.read_value()).Text == "Ready"

    asyncio.run(walk())


CALLS: dict[str, tuple[Any, ...]] = {
    "VisionSystem.Station.ChangeRoll": ("R-8",),
    "VisionSystem.Station.SelectRecipe": ("denim", ""),
    "VisionSystem.Station.SetBypass": (True, "trial"),
    "VisionSystem.Station.AcknowledgeStop": ("S-ROLE", True, "the loom stands"),
}


@pytest.mark.parametrize("role", Role)
def test_a_role_may_call_what_it_may_and_the_journal_names_the_user(mill: Mill, role: Role) -> None:
    assert set(CALLS) == {method.path for method in METHODS}
    mill.publisher.emit(stop_request(f"S-{role}"))
    before = mill.head()

    async def try_all() -> None:
        async with mill.client(role) as client:
            for path, given in CALLS.items():
                arguments = tuple(f"S-{role}" if one == "S-ROLE" else one for one in given)
                if role is Role.OBSERVER:
                    with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                        await call(client, path, *arguments)
                else:
                    assert await call(client, path, *arguments) == [0, ""]
            recipe = ua.Variant(ua.RecipeIdExternalDataType(Id="denim", Version="3"), STRUCTURE)
            nothing = ua.Variant(ua.RecipeIdInternalDataType(), STRUCTURE)
            prepare_recipe = "VisionSystem.RecipeManagement.PrepareRecipe"
            prepare_known = "VisionSystem.RecipeManagement.Recipes.twill/1.Prepare"
            if role is Role.OBSERVER:
                for path, arguments in ((prepare_recipe, (recipe, nothing)), (prepare_known, ())):
                    with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                        await call(client, path, *arguments)
                return
            internal, is_completed, error = await call(client, prepare_recipe, recipe, nothing)
            assert (internal.Id, is_completed, error) == ("denim/3", False, 0)
            known = ua.Variant(ua.RecipeIdInternalDataType(Id="twill/1"), STRUCTURE)
            internal, _, error = await call(client, prepare_recipe, recipe, known)
            assert (internal.Id, error) == ("twill/1", 0)
            unknown = ua.Variant(ua.RecipeIdInternalDataType(Id="silk/9"), STRUCTURE)
            assert (await call(client, prepare_recipe, recipe, unknown))[2] == -3
            assert await call(client, prepare_known) == [False, 0]

    asyncio.run(try_all())
    commands = [
        stored
        for stored in (json.loads(document) for document in mill.documents_after(before))
        if stored["kind"] == Kind.COMMAND
    ]
    if role is Role.OBSERVER:
        assert commands == []
        assert mill.loom.done == []
        return
    assert {command["payload"]["operator"] for command in commands} == {role}
    assert all(command["payload"]["accepted"] for command in commands)
    assert mill.loom.done == [
        ("roll", "R-8"),
        ("recipe", "denim", None),
        ("bypass", True, "trial"),
        ("recipe", "denim", "3"),
        ("recipe", "twill", "1"),
        ("recipe", "twill", "1"),
    ]


def test_a_refusal_a_silence_and_wrong_arguments_are_told_apart(mill: Mill) -> None:
    change_roll = "VisionSystem.Station.ChangeRoll"

    async def ask() -> None:
        async with mill.client("controller") as client, mill.client() as other:
            mill.loom.refuses = "the loom stands"
            assert await call(client, change_roll, "R-9") == [-1, "the loom stands"]
            mill.loom.refuses = ""
            error, message = await call(client, change_roll, "x" * 200)
            assert error == -3
            assert "128" in message
            for arguments, code in (
                ((), "BadArgumentsMissing"),
                (("a", "b"), "BadTooManyArguments"),
                ((ua.Variant(7, ua.VariantType.Int32),), "BadInvalidArgument"),
                ((ua.Variant(["a"], ua.VariantType.String),), "BadInvalidArgument"),
            ):
                with pytest.raises(getattr(ua.uaerrors, code)):
                    await call(client, change_roll, *arguments)
            for path in NOT_EXECUTABLE:
                method = node(client, path)
                assert (await method.read_attribute(ua.AttributeIds.Executable)).Value.Value is False
                assert "cannot be called: " in (await method.read_description()).Text
                with pytest.raises(ua.uaerrors.BadNotExecutable):
                    await call(client, path)
            mill.loom.waits_s = 2.5  # longer than the time-out of 2 s of the method
            waiting = asyncio.create_task(call(client, change_roll, "R-9"))
            await asyncio.sleep(0.3)
            started_s = asyncio.get_running_loop().time()
            await node(other, "VisionSystem.Station.Name").read_value()
            assert asyncio.get_running_loop().time() - started_s < 1  # nobody else waits for the station
            assert (await waiting)[0] == -2
        assert mill.loom.done == []

    asyncio.run(ask())


def test_results_are_those_of_the_rolls_and_are_found_by_each_way(mill: Mill) -> None:
    events = mill.publisher.emit_all([*roll_drafts("R-20", 3), *roll_drafts("R-21", 0, first_line=200)])
    end = next(event.payload for event in events if event.kind == Kind.ROLL_END)
    assert isinstance(end, RollEnd)
    result_id = f"{events[0].epoch}-{events[0].seq}"
    manager = "VisionSystem.ResultManagement"

    def empty(name: str, **fields: str) -> ua.Variant:
        return ua.Variant(getattr(ua, name)(**fields), STRUCTURE)

    def query(*, state: int = 0, job: str = "", part: str = "", most: int = 0, first: int = 0) -> list[ua.Variant]:
        return [
            ua.Variant(state, ua.VariantType.Int32),
            empty("MeasIdDataType"),
            empty("PartIdDataType", Id=part),
            empty("RecipeIdExternalDataType"),
            empty("RecipeIdInternalDataType"),
            empty("ConfigurationIdDataType"),
            empty("ConfigurationIdDataType"),
            empty("ProductIdDataType"),
            empty("JobIdDataType", Id=job),
            ua.Variant(most, ua.VariantType.UInt32),
            ua.Variant(first, ua.VariantType.UInt32),
            ua.Variant(0, ua.VariantType.Int32),
        ]

    async def look() -> None:
        async with mill.client() as client:
            await caught_up(mill, client)
            assert {name.rpartition(".")[2] for name in VISION_METHODS} <= {
                (await child.read_browse_name()).Name
                for path in (manager, "VisionSystem.RecipeManagement")
                for child in await node(client, path).get_children()
            }
            there = node(client, f"{manager}.Results.{result_id}")
            result = await there.read_value()
            assert (result.ResultId.Id, result.JobId.Id, result.ResultState) == (result_id, "R-20", 1)
            assert (result.IsPartial, result.IsSimulated, result.HasTransferableDataOnFile) == (False, True, False)
            assert result.ExternalRecipeId.Id == "twill"
            assert result.CreationTime == result.ProcessingTimes.EndTime == events[11].stamp_utc
            assert result.ProcessingTimes.StartTime == events[0].stamp_utc
            content = json.loads(result.ResultContent[0].Value)
            assert content["roll_end"] == end.model_dump(mode="json")
            assert [defect["defect_id"] for defect in content["defects"]] == [1, 2, 3]
            assert (await (await there.get_child("2:JobId")).read_value()).Id == "R-20"
            wanted = empty("ResultIdDataType", Id=result_id)
            wait = ua.Variant(0, ua.VariantType.Int32)
            handle, same, error = await call(client, f"{manager}.GetResultById", wanted, wait)
            assert (same, error) == (result, 0)
            assert (
                await call(client, f"{manager}.ReleaseResultHandle", ua.Variant(handle, ua.VariantType.UInt32))
            ) == 0
            assert (
                await call(client, f"{manager}.ReleaseResultHandle", ua.Variant(handle, ua.VariantType.UInt32))
            ) == -3
            parts = await call(client, f"{manager}.GetResultComponentsById", wanted, wait)
            assert (parts[2], parts[4], parts[12].Id, parts[-1]) == (False, 1, "R-20", 0)
            assert parts[15][0].Value == result.ResultContent[0].Value
            unknown = empty("ResultIdDataType", Id="nothing")
            assert (await call(client, f"{manager}.GetResultById", unknown, wait))[2] == -3
            assert (await call(client, f"{manager}.GetResultComponentsById", unknown, wait))[-1] == -3
            listed = f"{manager}.GetResultListFiltered"
            is_complete, count, _, found, error = await call(client, listed, *query())
            assert (is_complete, count, error) == (True, 3, 0)  # most_results
            assert [one.JobId.Id for one in found][:2] == ["R-21", "R-20"]
            assert [one.JobId.Id for one in (await call(client, listed, *query(job="R-20")))[3]] == ["R-20"]
            is_complete, count, _, found, _ = await call(client, listed, *query(most=1, first=1))
            assert (is_complete, count, found[0].JobId.Id) == (False, 1, "R-20")
            for nothing in (query(state=3), query(part="7"), query(job="R-99"), query(first=9)):
                assert (await call(client, listed, *nothing))[1:4] == [0, 0, []]
            shown = await node(client, f"{manager}.Results").get_children()
            assert len(shown) == 3  # of all that ended in this module: the oldest went
            recipes = await call(
                client,
                "VisionSystem.RecipeManagement.GetRecipeListFiltered",
                empty("RecipeIdExternalDataType", Id="twill"),
                empty("ProductIdDataType"),
                ua.Variant(1, ua.VariantType.Int32),
                ua.Variant(0, ua.VariantType.UInt32),
                ua.Variant(0, ua.VariantType.UInt32),
                wait,
            )
            assert recipes[1] == 1
            with pytest.raises(ua.uaerrors.BadInvalidArgument):
                await call(client, f"{manager}.GetResultById", ua.Variant(3, ua.VariantType.Int32), wait)

    asyncio.run(look())
    stored = sorted((mill.folder / "state/results").glob("result-*.json"))
    eventually(lambda: len(stored) == 3, "the oldest results removed")


def test_a_result_that_goes_is_told_to_who_subscribes_and_leaves_nothing(mill: Mill) -> None:
    async def watch() -> None:
        async with mill.client() as client:
            [first, *_] = mill.publisher.emit_all(roll_drafts("R-30", 0))
            await caught_up(mill, client)
            path = f"VisionSystem.ResultManagement.Results.{first.epoch}-{first.seq}"
            heard = Heard()
            subscription = await client.create_subscription(50, heard)
            handle = await subscription.subscribe_data_change(node(client, f"{path}.JobId"))
            await until(lambda: f"{path}.JobId" in heard.values, "the job")
            for number in range(31, 34):
                mill.publisher.emit_all(roll_drafts(f"R-{number}", 0))
            await until(lambda: len(heard.values[f"{path}.JobId"]) == 2, "its end")
            assert heard.values[f"{path}.JobId"][-1].StatusCode.name == "BadNodeIdUnknown"
            await subscription.unsubscribe(handle)
            for gone in (path, f"{path}.JobId", f"{path}.ResultContent"):
                with pytest.raises(ua.uaerrors.BadNodeIdUnknown):
                    await node(client, gone).read_value()
            shown = await node(client, "VisionSystem.ResultManagement.Results").get_children()
            assert [(await one.read_value()).JobId.Id for one in shown] == ["R-31", "R-32", "R-33"]

    asyncio.run(watch())
