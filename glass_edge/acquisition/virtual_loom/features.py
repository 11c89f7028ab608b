"""The features of the virtual camera: one table from which its GenICam description and its register map are made.

Promises: names and meanings are those of the SFNC 2.7 (the one vendor feature, `LineTriggerMissedCount`, is marked in
its tooltip); the C source and the description cannot disagree about an address, because both come from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FIRST_ADDRESS = 0x1000
PIXEL_FORMATS = {
    "Mono8": 0x01080001,
    "Mono10": 0x01100003,
    "Mono10p": 0x010A0046,
    "Mono12": 0x01100005,
    "Mono12p": 0x010C0047,
    "Mono12Packed": 0x010C0006,
    "Mono16": 0x01100007,
    "RGB8": 0x02180014,
    "BayerRG8": 0x01080009,
}
"""Pixel formats by their PFNC names and numbers."""
CHUNKS = ("FrameID", "Timestamp", "EncoderValue", "EncoderStatusValue", "LineStatusAll")
"""Values of ChunkSelector, in the order of the producer's own numbers."""
CHUNK_ID = 0xFAB00001
"""GenTL chunk id of the first of `CHUNKS`; the others follow."""
_ENCODER_STATUS = {"EncoderUp": 0, "EncoderDown": 1, "EncoderStatic": 3}


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of the node map.

    Attributes:
        name: SFNC name.
        kind: what the node is; `choice` is an enumeration.
        tooltip: one sentence for the person at the camera.
        access: RO, RW or WO.
        length: bytes of its register.
        least, most, step: range; a text names the node that holds the bound.
        unit: of the value.
        choices: entries of an enumeration.
        locked: read-only while the camera streams.
        selects: features whose value depends on this one.
    """

    name: str
    kind: Literal["integer", "float", "choice", "command", "string", "boolean"]
    tooltip: str
    access: Literal["RO", "RW", "WO"] = "RW"
    length: int = 4
    least: float | None = None
    most: float | str | None = None
    step: int | None = None
    unit: str = ""
    choices: tuple[tuple[str, int], ...] = ()
    locked: bool = False
    selects: tuple[str, ...] = ()


def _choice(name: str, tooltip: str, entries: dict[str, int], **more: object) -> Feature:
    return Feature(name, "choice", tooltip, choices=tuple(entries.items()), **more)  # type: ignore[arg-type]


CATEGORIES: dict[str, tuple[Feature, ...]] = {
    "DeviceControl": (
        _choice("DeviceScanType", "Kind of sensor.", {"Linescan": 1}, access="RO"),
        Feature("DeviceVendorName", "string", "Who made the camera.", "RO", 64),
        Feature("DeviceModelName", "string", "Model.", "RO", 64),
        Feature("DeviceVersion", "string", "Version of the camera.", "RO", 64),
        Feature("DeviceSerialNumber", "string", "Name of the camera's folder.", "RO", 64),
        Feature("DeviceUserID", "string", "Name given by the person; forgotten when the camera is closed.", "RW", 64),
        Feature("TLParamsLocked", "integer", "1 while the camera streams.", least=0, most=1),
        Feature("TimestampLatch", "command", "Latches the clock.", "WO"),
        Feature(
            "TimestampLatchValue", "integer", "Monotonic time of the machine when it was latched.", "RO", 8, unit="ns"
        ),
    ),
    "ImageFormatControl": (
        Feature(
            "SensorWidth", "integer", "Width of the cloth's images, less what is no multiple of 4.", "RO", unit="px"
        ),
        Feature("WidthMax", "integer", "Pixels from OffsetX to the end of the line.", "RO", unit="px"),
        Feature("HeightMax", "integer", "Most lines of a frame.", "RO"),
        Feature("Width", "integer", "Pixels of a line.", least=4, most="WidthMax", step=4, locked=True),
        Feature("Height", "integer", "Lines of a frame.", least=1, most="HeightMax", step=1, locked=True),
        Feature("OffsetX", "integer", "First pixel of a line.", least=0, most="OffsetXMax", step=4, locked=True),
        Feature("OffsetXMax", "integer", "Largest OffsetX for this Width.", "RO"),
        _choice(
            "PixelFormat", "Format of a pixel; RGB8 and BayerRG8 of grey cloth are grey.", PIXEL_FORMATS, locked=True
        ),
        Feature("PayloadSize", "integer", "Bytes of a buffer, chunks included.", "RO", 4, unit="B"),
    ),
    "AcquisitionControl": (
        _choice("AcquisitionMode", "The camera streams until it is stopped.", {"Continuous": 0}),
        Feature("AcquisitionStart", "command", "Starts; frame ids start again at 1.", "WO"),
        Feature("AcquisitionStop", "command", "Stops; a frame that is not complete is thrown away.", "WO"),
        Feature(
            "AcquisitionLineRate",
            "float",
            "Lines a second without a line trigger.",
            "RW",
            8,
            1,
            "LineRateMax",
            unit="Hz",
        ),
        Feature("LineRateMax", "float", "Highest line rate at this ExposureTime.", "RO", 8, unit="Hz"),
        Feature("ExposureTime", "float", "50 us shows the cloth as it is.", "RW", 8, 1, 10000, unit="us"),
        _choice(
            "TriggerSelector",
            "Which trigger is set.",
            {"FrameStart": 0, "LineStart": 1},
            selects=("TriggerMode", "TriggerSource", "TriggerSoftware"),
        ),
        _choice("TriggerMode", "On: waits for the trigger.", {"Off": 0, "On": 1}),
        _choice(
            "TriggerSource", "FrameStart obeys Software, LineStart obeys Encoder0.", {"Software": 0, "Encoder0": 1}
        ),
        Feature("TriggerSoftware", "command", "Starts one frame.", "WO"),
        Feature("LineTriggerMissedCount", "integer", "Vendor feature: line triggers that came too early.", "RO", 8),
    ),
    "AnalogControl": (Feature("Gain", "float", "0 dB shows the cloth as it is.", "RW", 8, 0, 24, unit="dB"),),
    "EncoderControl": (
        _choice("EncoderSelector", "There is one encoder.", {"Encoder0": 0}),
        Feature("EncoderDivider", "integer", "Encoder counts from one line trigger to the next.", least=1, most=65536),
        _choice(
            "EncoderOutputMode",
            "Which movements trigger a line: every, only new cloth, every forward one.",
            {"Motion": 0, "PositionUp": 1, "DirectionUp": 2},
        ),
        _choice("EncoderStatus", "How the web moves.", _ENCODER_STATUS, access="RO"),
        Feature("EncoderValue", "integer", "Position of the web.", "RO", 8, unit="counts"),
    ),
    "DigitalIOControl": (Feature("LineStatusAll", "integer", "Levels of the input lines, bit 0 is Line0.", "RO", 8),),
    "ChunkDataControl": (
        Feature("ChunkModeActive", "boolean", "Puts the enabled chunks into every buffer.", locked=True),
        _choice(
            "ChunkSelector", "Which chunk is set.", {name: i for i, name in enumerate(CHUNKS)}, selects=("ChunkEnable",)
        ),
        Feature("ChunkEnable", "boolean", "True: the selected chunk is sent.", locked=True),
    ),
}
"""Features by SFNC category, in the order of their registers."""


def addresses() -> dict[str, int]:
    """Register address of every feature, aligned to 8 bytes."""
    found = {}
    address = FIRST_ADDRESS
    for features in CATEGORIES.values():
        for feature in features:
            found[feature.name] = address
            address += (feature.length + 7) // 8 * 8
    return found
