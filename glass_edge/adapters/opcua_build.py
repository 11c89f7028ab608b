"""Builds the address space of the OPC UA server: the vision system of OPC 40100-1, and the project's own nodes in it.

Promises: types and their NodeIds are those of the official nodeset, which is shipped unchanged; instances have string
NodeIds that never change; nothing in the whole address space can be written by a client.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from asyncua import Node, Server, ua
from asyncua.common.instantiate_util import instantiate
from asyncua.common.manage_nodes import delete_nodes

from glass_edge.adapters.opcua_nodes import (
    EVENT_TYPES,
    METHODS,
    NAMESPACE,
    NOT_EXECUTABLE,
    OUTPUTS,
    ROOT,
    STATION,
    VARIABLES,
    VISION_NAMESPACE,
    Argument,
    Kind,
)
from glass_edge.adapters.opcua_structures import complete_id_types

NODESET = "nodesets/Opc.Ua.MachineVision.NodeSet2.xml"
MACHINE = f"{ROOT}.VisionStateMachine"
AUTOMATIC = f"{MACHINE}.AutomaticModeStateMachine"
RECIPES = f"{ROOT}.RecipeManagement.Recipes"
RESULTS = f"{ROOT}.ResultManagement.Results"
_SCALAR = -1


class Nodes:
    """The address space of a server: NodeIds by name, and the making of nodes.

    Args:
        server: initialised, not started.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.vision = 0
        self.own = 0
        self._types: dict[str, ua.NodeId] = {}

    async def build(self) -> None:
        """Import the nodeset and make all that is always there."""
        document = files("glass_edge.adapters").joinpath(NODESET).read_text(encoding="utf-8")
        imported = await self.server.import_xml(xmlstring=document)
        self.vision = await self.server.get_namespace_index(VISION_NAMESPACE)
        self.own = await self.server.register_namespace(NAMESPACE)
        await complete_id_types(self.server, self.vision)
        for node_id in imported:
            node = self.server.get_node(node_id)
            if await node.read_node_class() in (ua.NodeClass.ObjectType, ua.NodeClass.VariableType):
                self._types[(await node.read_browse_name()).Name] = node_id
        await self._add_system()
        await self._add_station()
        for event_type in EVENT_TYPES:
            await self._add_event_type(event_type.name, event_type.fields, event_type.text)
        self.forbid_writing(self.server.iserver.aspace.keys())

    def id_of(self, path: str) -> ua.NodeId:
        """NodeId of an instance."""
        return ua.NodeId(path, self.own)

    def node(self, path: str) -> Node:
        """An instance."""
        return self.server.get_node(self.id_of(path))

    def type_of(self, name: str) -> ua.NodeId:
        """NodeId of a type of OPC 40100-1, or of the project's own event types."""
        return self._types[name]

    async def child_of_type(self, type_name: str, name: str) -> ua.NodeId:
        """NodeId of a state, transition or declaration of a type of OPC 40100-1."""
        child = await self.server.get_node(self._types[type_name]).get_child([f"{self.vision}:{name}"])
        return child.nodeid

    async def add_object(self, parent: str | None, path: str, type_name: str) -> None:
        """Make an object of a type with its mandatory parts.

        Args:
            parent: path of its parent; None: the Objects folder.
            path: its path; the last part is its BrowseName.
            type_name: of OPC 40100-1.
        """
        owner = self.server.nodes.objects if parent is None else self.node(parent)
        index = self.own if parent is None or "Folder" in await self._type_name(owner) else self.vision
        name = path if parent is None else path.removeprefix(f"{parent}.")
        made = await instantiate(
            owner,
            self.server.get_node(self._types[type_name]),
            self.id_of(path),
            bname=ua.QualifiedName(name, index),
            dname=ua.LocalizedText(name),
            instantiate_optional=False,
        )
        self.forbid_writing(node.nodeid for node in made)

    async def add_declared(self, parent: str, declaration: ua.NodeId) -> str:
        """Make an optional part of an object from its declaration; returns its path."""
        node = self.server.get_node(declaration)
        path = f"{parent}.{(await node.read_browse_name()).Name}"
        made = await instantiate(self.node(parent), node, self.id_of(path), instantiate_optional=False)
        self.forbid_writing(node.nodeid for node in made)
        return path

    async def add_variable(
        self,
        parent: ua.NodeId,
        node_id: ua.NodeId,
        name: ua.QualifiedName,
        data_type: ua.NodeId,
        *,
        text: str = "",
        value: ua.Variant | None = None,
        type_definition: ua.NodeId | None = None,
        is_property: bool = False,
        is_organized: bool = False,
        rank: int = _SCALAR,
    ) -> None:
        """Make a variable that can be read."""
        attributes = ua.VariableAttributes()
        attributes.DisplayName = ua.LocalizedText(name.Name)
        attributes.Description = ua.LocalizedText(text)
        attributes.DataType = data_type
        attributes.ValueRank = rank
        attributes.AccessLevel = attributes.UserAccessLevel = ua.AccessLevel.CurrentRead.mask
        attributes.Value = value or ua.Variant(None, ua.VariantType.Null)
        default = ua.ObjectIds.PropertyType if is_property else ua.ObjectIds.BaseDataVariableType
        reference = ua.ObjectIds.HasProperty if is_property else ua.ObjectIds.HasComponent
        item = ua.AddNodesItem()
        item.RequestedNewNodeId = node_id
        item.BrowseName = name
        item.NodeClass = ua.NodeClass.Variable
        item.ParentNodeId = parent
        item.ReferenceTypeId = ua.NodeId(ua.ObjectIds.Organizes if is_organized else reference)
        item.TypeDefinition = type_definition or ua.NodeId(default)
        item.NodeAttributes = attributes
        results = await self.server.iserver.isession.add_nodes([item])
        results[0].StatusCode.check()

    async def remove(self, parent: str, path: str) -> None:
        """Take an instance away from its parent, with its parts; who subscribes to them is told."""
        space = self.server.iserver.aspace
        nodes = [self.node(path)]
        for node in nodes:  # grows while it is walked
            nodes += await node.get_children()
        for node in nodes:
            value = space[node.nodeid].attributes.get(ua.AttributeIds.Value)
            if value is not None and value.datachange_callbacks:
                gone = ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown))
                await self.write(node.nodeid, gone, ua.AttributeIds.Value)
                for handle in list(value.datachange_callbacks):
                    space.delete_datachange_callback(handle)
        # the library would look for references in the whole address space, for each node
        await delete_nodes(self.server.iserver.isession, nodes, delete_target_references=False)
        references = space[self.id_of(parent)].references
        references[:] = [reference for reference in references if reference.NodeId != nodes[0].nodeid]

    async def write(self, node_id: ua.NodeId, value: ua.DataValue, attribute: ua.AttributeIds) -> None:
        """Write an attribute, past what clients may do."""
        (await self.server.iserver.aspace.write_attribute_value(node_id, attribute, value)).check()

    def forbid_writing(self, node_ids: Iterable[ua.NodeId]) -> None:
        """Take the right to write away from nodes."""
        space = self.server.iserver.aspace
        for node_id in list(node_ids):
            attributes = space[node_id].attributes
            for attribute in (ua.AttributeIds.AccessLevel, ua.AttributeIds.UserAccessLevel):
                value = attributes[attribute].value if attribute in attributes else None
                if value is not None and value.Value is not None:
                    readable = value.Value.Value & ~ua.AccessLevel.CurrentWrite.mask
                    attributes[attribute].value = ua.DataValue(ua.Variant(readable, ua.VariantType.Byte))

    async def _type_name(self, node: Node) -> str:
        kind = self.server.get_node(await node.read_type_definition())
        name: str = (await kind.read_browse_name()).Name
        return name

    async def _add_system(self) -> None:
        await self.add_object(None, ROOT, "VisionSystemType")
        await self.node(ROOT).set_event_notifier([ua.EventNotifier.SubscribeToEvents])
        server_node = self.server.get_node(ua.ObjectIds.Server)
        await server_node.add_reference(self.id_of(ROOT), ua.ObjectIds.HasNotifier)
        await self.add_object(MACHINE, AUTOMATIC, "VisionAutomaticModeStateMachineType")
        await self.node(f"{MACHINE}.Operational").add_reference(self.id_of(AUTOMATIC), ua.ObjectIds.HasSubStateMachine)
        for machine in (MACHINE, AUTOMATIC):
            await self.add_declared(machine, ua.NodeId(ua.ObjectIds.FiniteStateMachineType_LastTransition))
        await self.add_object(ROOT, f"{ROOT}.RecipeManagement", "RecipeManagementType")
        await self.add_object(f"{ROOT}.RecipeManagement", RECIPES, "RecipeFolderType")
        await self.add_object(ROOT, f"{ROOT}.ResultManagement", "ResultManagementType")
        await self.add_object(f"{ROOT}.ResultManagement", RESULTS, "ResultFolderType")
        release = await self.child_of_type("ResultManagementType", "ReleaseResultHandle")
        await self.add_declared(f"{ROOT}.ResultManagement", release)
        for path, reason in NOT_EXECUTABLE.items():
            await self.forbid_calling(path, reason)

    async def forbid_calling(self, path: str, reason: str) -> None:
        """Mark a method as one that cannot be called, and say why."""
        no = ua.DataValue(ua.Variant(False, ua.VariantType.Boolean))
        for attribute in (ua.AttributeIds.Executable, ua.AttributeIds.UserExecutable):
            await self.write(self.id_of(path), no, attribute)
        text = ua.DataValue(ua.Variant(ua.LocalizedText(f"cannot be called: {reason}"), ua.VariantType.LocalizedText))
        await self.write(self.id_of(path), text, ua.AttributeIds.Description)

    async def _add_station(self) -> None:
        await self.node(ROOT).add_object(self.id_of(STATION), ua.QualifiedName("Station", self.own))
        for variable in VARIABLES:
            parent = variable.path.rpartition(".")[0]
            if self.id_of(parent) not in self.server.iserver.aspace:
                group = ua.QualifiedName(parent.rpartition(".")[2], self.own)
                await self.node(STATION).add_object(self.id_of(parent), group)
            name = ua.QualifiedName(variable.path.rpartition(".")[2], self.own)
            await self.add_variable(
                self.id_of(parent), self.id_of(variable.path), name, data_type_of(variable.kind), text=variable.text
            )
        for method in METHODS:
            await self.node(STATION).add_method(
                self.id_of(method.path), ua.QualifiedName(method.name, self.own), None, [], []
            )
            await self._add_arguments(method.path, "InputArguments", method.inputs)
            await self._add_arguments(method.path, "OutputArguments", OUTPUTS)
            text = ua.DataValue(ua.Variant(ua.LocalizedText(method.text), ua.VariantType.LocalizedText))
            await self.write(self.id_of(method.path), text, ua.AttributeIds.Description)

    async def _add_arguments(self, path: str, name: str, arguments: tuple[Argument, ...]) -> None:
        values = [
            ua.Argument(
                Name=argument.name,
                DataType=data_type_of(argument.kind),
                ValueRank=_SCALAR,
                Description=ua.LocalizedText(argument.text),
            )
            for argument in arguments
        ]
        await self.add_variable(
            self.id_of(path),
            self.id_of(f"{path}.{name}"),
            ua.QualifiedName(name, 0),
            ua.NodeId(ua.ObjectIds.Argument),
            value=ua.Variant(values, ua.VariantType.ExtensionObject),
            is_property=True,
            rank=1,
        )

    async def _add_event_type(self, name: str, fields: tuple[Argument, ...], text: str) -> None:
        base = self.server.get_node(ua.ObjectIds.BaseEventType)
        made = await base.add_object_type(self.id_of(name), ua.QualifiedName(name, self.own))
        self._types[name] = made.nodeid
        description = ua.DataValue(ua.Variant(ua.LocalizedText(text), ua.VariantType.LocalizedText))
        await self.write(made.nodeid, description, ua.AttributeIds.Description)
        for field in fields:
            path = f"{name}.{field.name}"
            await self.add_variable(
                made.nodeid,
                self.id_of(path),
                ua.QualifiedName(field.name, self.own),
                data_type_of(field.kind),
                text=field.text,
                value=ua.Variant(ua.get_default_value(variant_type_of(field.kind)), variant_type_of(field.kind)),
                is_property=True,
            )
            await self.node(path).set_modelling_rule(True)


def variant_type_of(kind: Kind) -> Any:  # noqa: ANN401 - an enumeration of the library
    """The built-in type of a kind."""
    return getattr(ua.VariantType, kind)


def data_type_of(kind: Kind) -> ua.NodeId:
    """NodeId of the data type of a kind."""
    return ua.NodeId(variant_type_of(kind).value)
