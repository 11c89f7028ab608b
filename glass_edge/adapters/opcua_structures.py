"""Results and recipes as structures of OPC 40100-1.

Promises: a structure bears the encoding id of its own type; what the station does not know is left out where the
specification lets it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asyncua import Server, ua

from glass_edge.adapters.opcua_results import Recipe, RollResult

_ID_TYPES = {
    "RecipeIdExternalDataType": (3002, 5002),
    "RecipeIdInternalDataType": (3013, 5268),
    "ConfigurationIdDataType": (3008, 5090),
}
"""NodeIds of the types that have only the fields of their base type, and of their binary encodings."""
_ID_BASE = 3019


async def complete_id_types(server: Server, vision: int) -> None:
    """Give the three types of ids classes and definitions of their own, which the nodeset leaves to their base type.

    Args:
        server: with the nodeset.
        vision: index of its namespace.
    """
    base = await server.get_node(ua.NodeId(_ID_BASE, vision)).read_data_type_definition()
    assert isinstance(base, ua.StructureDefinition)
    for name, (type_id, encoding_id) in _ID_TYPES.items():
        node_id, encoding = ua.NodeId(type_id, vision), ua.NodeId(encoding_id, vision)
        definition = ua.StructureDefinition(
            DefaultEncodingId=encoding,
            BaseDataType=ua.NodeId(_ID_BASE, vision),
            StructureType=base.StructureType,
            Fields=base.Fields,
        )
        value = ua.DataValue(ua.Variant(definition, ua.VariantType.ExtensionObject))
        await server.write_attribute_value(node_id, value, ua.AttributeIds.DataTypeDefinition)
        if getattr(getattr(ua, name), "data_type", None) != node_id:
            delattr(ua, name)  # the import made it another name of the base type
            cls: type = dataclass(type(name, (_class("BinaryIdBaseDataType"),), {"data_type": node_id}))
            ua.register_extension_object(name, encoding, cls, node_id)


def external_id(recipe: Recipe) -> Any:  # noqa: ANN401 - the classes are made of the nodeset
    """A recipe as the mill knows it: style, version and the hash of its model."""
    return _class("RecipeIdExternalDataType")(
        Id=recipe.style,
        Version=recipe.version,
        Hash=bytes.fromhex(recipe.model_sha256),
        HashAlgorithm="SHA-256",
    )


def internal_id(recipe: Recipe | None) -> Any:  # noqa: ANN401
    """A recipe as the station knows it; an empty id for none."""
    return internal_id_of("" if recipe is None else recipe.internal_id)


def job_id(roll_id: str) -> Any:  # noqa: ANN401
    """A job: a roll."""
    return _class("JobIdDataType")(Id=roll_id)


def result_fields(result: RollResult) -> dict[str, Any]:
    """The fields of ResultDataType, which are also the components of ResultType and ResultReadyEventType."""
    fields: dict[str, Any] = {
        "ResultId": _class("ResultIdDataType")(Id=result.result_id),
        "HasTransferableDataOnFile": False,
        "IsPartial": result.is_partial,
        "IsSimulated": result.is_simulated,
        "ResultState": int(result.state),
        "ExternalRecipeId": None if result.recipe is None else external_id(result.recipe),
        "InternalRecipeId": internal_id(result.recipe),
        "InternalConfigurationId": _class("ConfigurationIdDataType")(Id=str(result.content["station"])),
        "JobId": job_id(result.roll_id),
        "CreationTime": result.ended_utc,
        "ProcessingTimes": _class("ProcessingTimesDataType")(StartTime=result.started_utc, EndTime=result.ended_utc),
        "ResultContent": [ua.Variant(result.content_json(), ua.VariantType.String)],
    }
    return {name: value for name, value in fields.items() if value is not None}


def result_structure(result: RollResult) -> Any:  # noqa: ANN401
    """A result as ResultDataType."""
    return _class("ResultDataType")(**result_fields(result))


def empty(type_name: str) -> Any:  # noqa: ANN401
    """A structure of a type that holds nothing."""
    return _class(type_name)()


def internal_id_of(text: str) -> Any:  # noqa: ANN401
    """An internal id of a recipe."""
    return _class("RecipeIdInternalDataType")(Id=text)


class ArgumentError(ValueError):
    """An argument of a method is not what the method takes."""


def id_text(structure: Any) -> str:  # noqa: ANN401
    """Id of a structure that a client sent; empty when it sent none.

    Raises:
        ArgumentError: it sent something else.
    """
    return _text(structure, "Id")


def version_text(structure: Any) -> str:  # noqa: ANN401
    """Version of an id that a client sent; empty when it sent none. Raises as `id_text`."""
    return _text(structure, "Version")


def _text(structure: Any, name: str) -> str:  # noqa: ANN401
    if structure is None or (isinstance(structure, ua.ExtensionObject) and not structure.Body):
        return ""
    text = getattr(structure, name, "" if name == "Version" else 0) or ""
    if not isinstance(text, str) or not hasattr(structure, "Id"):
        raise ArgumentError("not a structure with an Id")
    return text.strip()


def _class(name: str) -> Any:  # noqa: ANN401
    return getattr(ua, name)
