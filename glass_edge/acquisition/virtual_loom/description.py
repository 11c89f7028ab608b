"""The GenICam description (XML) of the virtual camera and the register map of its C source.

Promises: both are functions of `features.py` alone; the description is valid for GenApi 3 (schema 1.1), reads every
register without a cache, and its chunk values come from the newest attached buffer.
"""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

from glass_edge.acquisition.virtual_loom.features import CATEGORIES, CHUNK_ID, CHUNKS, Feature, addresses

XML_ADDRESS = 0x80000000
"""Where a port's description can be read."""
_HEAD = """<?xml version="1.0" encoding="utf-8"?>
<RegisterDescription ModelName="{model}" VendorName="glass_edge" ToolTip="Virtual loom" StandardNameSpace="{space}"
 SchemaMajorVersion="1" SchemaMinorVersion="1" SchemaSubMinorVersion="0"
 MajorVersion="1" MinorVersion="0" SubMinorVersion="0"
 ProductGuid="5b3cbb3e-3a1d-4a8e-9a5c-6f0d6a2e91{guid}" VersionGuid="c2a1e5b0-7d0f-4a57-8f1b-2d9d3d0c44{guid}"
 xmlns="http://www.genicam.org/GenApi/Version_1_1" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
 xsi:schemaLocation="http://www.genicam.org/GenApi/Version_1_1 http://www.genicam.org/GenApi/GenApiSchema_Version_1_1.xsd">
"""
_TAGS = {"integer": "Integer", "float": "Float", "choice": "Enumeration", "command": "Command", "boolean": "Boolean"}


def _register(name: str, place: str, access: str, *, tag: str = "IntReg", length: int = 8, port: str = "Device") -> str:
    order = "" if tag == "StringReg" else "<Endianess>LittleEndian</Endianess>"
    if tag == "IntReg":
        order = f"<Sign>{'Signed' if length == 8 else 'Unsigned'}</Sign>" + order
    return (
        f"<{tag} Name={quoteattr(name)}>{place}<Length>{length}</Length><AccessMode>{access}</AccessMode>"
        f"<pPort>{port}</pPort><Cachable>NoCache</Cachable>{order}</{tag}>\n"
    )


def _bounds(feature: Feature) -> str:
    text = "" if feature.least is None else f"<Min>{feature.least}</Min>"
    if isinstance(feature.most, str):
        text += f"<pMax>{feature.most}</pMax>"
    elif feature.most is not None:
        text += f"<Max>{feature.most}</Max>"
    text += "" if feature.step is None else f"<Inc>{feature.step}</Inc>"
    return text + (f"<Unit>{feature.unit}</Unit>" if feature.unit else "")


def _entries(feature: Feature) -> str:
    return "".join(f'<EnumEntry Name="{n}"><Value>{value}</Value></EnumEntry>' for n, value in feature.choices)


def _node(feature: Feature, address: int) -> str:
    about = f"<ToolTip>{escape(feature.tooltip)}</ToolTip>"
    locked = "<pIsLocked>TLParamsLocked</pIsLocked>" if feature.locked else ""
    place = f"<Address>0x{address:X}</Address>"
    if feature.kind == "string":
        return _register(feature.name, about + place, feature.access, tag="StringReg", length=feature.length)
    tag, register = _TAGS[feature.kind], f"{feature.name}Register"
    body = f"<pValue>{register}</pValue>"
    if feature.kind == "choice":
        body = _entries(feature) + body
    elif feature.kind == "command":
        body += "<CommandValue>1</CommandValue>"
    elif feature.kind == "boolean":
        body += "<OnValue>1</OnValue><OffValue>0</OffValue>"
    else:
        body += _bounds(feature)
    body += "".join(f"<pSelected>{name}</pSelected>" for name in feature.selects)
    node = f'<{tag} Name="{feature.name}" NameSpace="Standard">{about}{locked}{body}</{tag}>\n'
    kind = "FloatReg" if feature.kind == "float" else "IntReg"
    return node + _register(register, place, feature.access, tag=kind, length=feature.length)


_SCAN_LINE = """<Integer Name="ChunkScanLineSelector" NameSpace="Standard">
<ToolTip>Line of the frame that ChunkEncoderValue is of.</ToolTip>
<Value>0</Value><Min>0</Min><pMax>ChunkScanLineMax</pMax><pSelected>ChunkEncoderValue</pSelected></Integer>
<IntSwissKnife Name="ChunkScanLineMax"><pVariable Name="H">Height</pVariable><Formula>H-1</Formula></IntSwissKnife>
"""


def _chunk_nodes() -> str:
    text = _SCAN_LINE
    for index, chunk in enumerate(CHUNKS):
        name, port = f"Chunk{chunk}", f"Chunk{chunk}Port"
        tag, entries, place = "Integer", "", "<Address>0</Address>"
        if chunk == "EncoderStatusValue":
            status = next(f for f in CATEGORIES["EncoderControl"] if f.name == "EncoderStatus")
            tag, entries = "Enumeration", _entries(status)
        elif chunk == "EncoderValue":
            place += '<pIndex Offset="8">ChunkScanLineSelector</pIndex>'
        text += f'<{tag} Name="{name}" NameSpace="Standard">{entries}<pValue>{name}Register</pValue></{tag}>\n'
        text += _register(f"{name}Register", place, "RO", port=port)
        text += f'<Port Name="{port}"><ChunkID>{CHUNK_ID + index:08X}</ChunkID></Port>\n'
    return text


def camera_xml() -> str:
    """Description of the remote device."""
    places = addresses()
    text = _HEAD.format(model="VirtualLoom", space="None", guid="01")
    categories = {name: [f.name for f in features] for name, features in CATEGORIES.items()}
    categories["ChunkDataControl"] += ["ChunkScanLineSelector", *(f"Chunk{chunk}" for chunk in CHUNKS)]
    text += '<Category Name="Root">' + "".join(f"<pFeature>{name}</pFeature>" for name in categories) + "</Category>\n"
    for name, members in categories.items():
        listed = "".join(f"<pFeature>{member}</pFeature>" for member in members)
        text += f'<Category Name="{name}" NameSpace="Standard">{listed}</Category>\n'
    text += "".join(_node(feature, places[feature.name]) for group in CATEGORIES.values() for feature in group)
    return text + _chunk_nodes() + '<Port Name="Device" NameSpace="Standard"></Port>\n</RegisterDescription>\n'


def module_xml() -> str:
    """Description of the producer's own modules: no features."""
    text = _HEAD.format(model="VirtualLoomModule", space="None", guid="02")
    return text + '<Category Name="Root"></Category>\n<Port Name="ModulePort"></Port>\n</RegisterDescription>\n'


def _bytes(name: str, text: str) -> str:
    data = text.encode()
    rows = (", ".join(str(byte) for byte in data[i : i + 32]) for i in range(0, len(data), 32))
    return f"static const unsigned char {name}[] = {{\n" + ",\n".join(rows) + "};\n"


def registers_header() -> str:
    """The C header `registers.h`: addresses, chunk ids, pixel formats and both descriptions."""
    names = {
        re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name): at for name, at in addresses().items()
    }
    lines = [f"    REG_{name.upper()} = 0x{address:X}," for name, address in names.items()]
    formats = next(f for f in CATEGORIES["ImageFormatControl"] if f.name == "PixelFormat").choices
    lines += [f"    FORMAT_{name.upper()} = 0x{value:08X}," for name, value in formats]
    constants = f"#define XML_ADDRESS 0x{XML_ADDRESS:X}u\n#define CHUNK_ID 0x{CHUNK_ID:X}u\n"
    return "\n".join(["/* Made by description.py from features.py. */", "enum {", *lines, "};", constants])


def xml_header() -> str:
    """The C header `descriptions.h`: both descriptions as bytes."""
    return _bytes("camera_xml", camera_xml()) + _bytes("module_xml", module_xml())
