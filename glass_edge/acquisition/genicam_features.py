"""From a profile's intents to the features of the camera at hand.

Promises: all that does not fit is told at once, each with the feature's name and what it allows; nothing is set before
a value was found to fit; names are those of SFNC first, then what vendors made of them.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass, field
from typing import Any

from glass_edge.config.camera_profile import CameraProfile, ChunkName
from glass_edge.errors import InputError

FEATURES: dict[str, tuple[str, ...]] = {
    "pixel_format": ("PixelFormat",),
    "width_px": ("Width",),
    "offset_x_px": ("OffsetX",),
    "block_lines": ("Height",),
    "encoder_divider": ("EncoderDivider",),
    "exposure_us": ("ExposureTime", "ExposureTimeAbs"),
    "gain": ("Gain", "GainRaw"),
    "line_rate_hz": ("AcquisitionLineRate", "AcquisitionLineRateAbs"),
    "encoder_value": ("EncoderValue",),
}
"""Features that an intent can be, in the order in which intents are set; the first that the camera has is taken."""
TRIGGERS: dict[str, tuple[tuple[tuple[str, str], ...], ...]] = {
    "encoder": (
        (("ScanLineSource", "Encoder"),),
        (("TriggerSelector", "LineStart"), ("TriggerSource", "Encoder0"), ("TriggerMode", "On")),
        (("TriggerSelector", "LineStart"), ("TriggerSource", "ShaftEncoderModuleOut"), ("TriggerMode", "On")),
    ),
    "internal": (
        (("ScanLineSource", "LineRate"),),
        (("TriggerSelector", "LineStart"), ("TriggerMode", "Off")),
    ),
}
"""Ways to start lines: each a sequence of settings, taken when the camera has all of them."""
CHUNKS: dict[ChunkName, tuple[str, ...]] = {
    "frame_id": ("FrameID",),
    "encoder": ("EncoderValue",),
    "line": ("LineCount", "ScanLineCount", "LineNumber"),
    "timestamp": ("Timestamp",),
    "line_status": ("LineStatusAll",),
}
"""Chunks by the camera's name of them in ChunkSelector; the value's node is `Chunk` and that name."""


@dataclass(slots=True)
class Applied:
    """What came of a profile.

    Attributes:
        done: feature and value set, a sentence each.
        problems: why the camera cannot do what the profile asks.
        lacks: what it does not have and can be done without.
        chunks: node of each chunk that will come.
    """

    done: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    lacks: list[str] = field(default_factory=list)
    chunks: dict[ChunkName, str] = field(default_factory=dict)


class Features:
    """The features of an open camera.

    Args:
        node_map: GenApi node map of the remote device (anything with `has_node` and `get_node`).
    """

    def __init__(self, node_map: Any) -> None:  # noqa: ANN401 - genicam has no types
        self._map = node_map

    def node(self, name: str) -> Any | None:  # noqa: ANN401
        """The feature, None where the camera has none of that name or it is not there now."""
        if not self._map.has_node(name):
            return None
        node = self._map.get_node(name)
        return node if _access(node) in ("RO", "RW", "WO") else None

    def has(self, name: str) -> bool:
        """True where the camera knows the name, also when it has no value now (a chunk before the first block)."""
        return bool(self._map.has_node(name))

    def value(self, name: str) -> Any | None:  # noqa: ANN401
        """The feature's value, None where there is none."""
        node = self.node(name)
        return None if node is None or _access(node) == "WO" else getattr(node, "value", None)

    def refuse(self, name: str, value: object) -> str | None:  # noqa: PLR0911
        """Why the camera would not take the value, with what it would take; None when it would."""
        node = self.node(name)
        if node is None:
            return f"the camera has no feature {name}"
        if _access(node) == "RO":
            return f"{name} cannot be set (it is {self.value(name)})"
        symbolics = getattr(node, "symbolics", None)
        if symbolics is not None:
            choices = [one for one in symbolics if _entry_is_there(node, one)]
            if str(value) not in choices:
                return f"{name} = {value} is not possible; it can be {', '.join(choices)}"
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        low, high = getattr(node, "min", None), getattr(node, "max", None)
        if low is not None and high is not None and not low <= value <= high:
            return f"{name} = {value:g} is out of range; the camera takes {low:g} to {high:g}"
        step = _step(node)
        if step and low is not None and (value - low) % step:
            below = low + (value - low) // step * step
            near = below if below + step > (high if high is not None else below) else f"{below:g} or {below + step:g}"
            return f"{name} = {value:g} is not a step of {step:g} from {low:g}; give {near}"
        return None

    def put(self, name: str, value: object) -> str | None:
        """Set a feature; the reason where the camera does not take it."""
        from genicam import genapi  # noqa: PLC0415 - an extra

        if why := self.refuse(name, value):
            return why
        node = self._map.get_node(name)
        try:
            if isinstance(getattr(node, "value", None), int) and isinstance(value, float):
                value = round(value)
            node.value = str(value) if getattr(node, "symbolics", None) is not None else value
        except (genapi.GenericException, TypeError) as error:
            return f"{name} = {value} was refused by the camera: {str(error).split(' : ')[0]}"
        return None


def apply_profile(features: Features, profile: CameraProfile, *, vendor: str, model: str) -> Applied:
    """Set the camera to the profile; nothing is set on a camera of another make."""
    out = Applied()
    for what, pattern, is_it in (("vendor", profile.vendor, vendor), ("model", profile.model, model)):
        if not fnmatch.fnmatchcase(is_it.lower(), pattern.lower()):
            out.problems.append(f'the profile is for {what} "{pattern}" and the camera is "{is_it}"')
    if out.problems:
        return out
    for name, value in profile.features.items():
        _note(out, name, value, features.put(name, value))
    for intent in FEATURES:
        wanted = getattr(profile, intent, None)
        if wanted is not None and intent != "line_rate_hz":
            _set_intent(features, profile, intent, wanted, out)
    if profile.line_trigger is not None:
        _set_trigger(features, profile.line_trigger, out)
    if profile.line_rate_hz is not None:  # some cameras have it only once their own clock is chosen
        _set_intent(features, profile, "line_rate_hz", profile.line_rate_hz, out)
    _set_chunks(features, profile, out)
    return out


def require(applied: Applied, camera: str) -> None:
    """Refuse a camera that cannot do what its profile asks.

    Raises:
        InputError: with all reasons.
    """
    if applied.problems:
        raise InputError("\n".join(f"{camera}: {problem}" for problem in applied.problems))


def feature_of(features: Features, profile: CameraProfile, intent: str) -> str | None:
    """The camera's name of an intent, None where it has none."""
    alias = profile.aliases.get(intent)  # type: ignore[call-overload]
    names = (alias,) if alias is not None else FEATURES[intent]
    return next((name for name in names if features.node(name) is not None), None)


def describe(node_map: Any) -> list[dict[str, str]]:  # noqa: ANN401
    """All features: name, kind, access, value and what they allow."""
    from genicam import genapi  # noqa: PLC0415

    out = []
    for name in sorted(one for one in dir(node_map) if not one.startswith("_")):
        try:
            node = node_map.get_node(name)
            access = _access(node)
            if type(node).__name__ in ("ICategory", "IPort", "IRegister") or access in ("NI", "NA"):
                continue
            entry = {"name": name, "kind": type(node).__name__.removeprefix("I").lower(), "access": access}
            entry["value"] = str(getattr(node, "value", "")) if access != "WO" else ""
            symbolics = getattr(node, "symbolics", None)
            low, high = getattr(node, "min", None), getattr(node, "max", None)
            entry["allowed"] = ", ".join(symbolics) if symbolics else "" if low is None else f"{low:g} to {high:g}"
        except (AttributeError, TypeError, genapi.GenericException):
            continue
        out.append(entry)
    return out


def _note(out: Applied, name: str, value: object, why: str | None) -> None:
    if why is None:
        out.done.append(f"{name} = {value}")
    else:
        out.problems.append(why)


def _set_intent(features: Features, profile: CameraProfile, intent: str, value: object, out: Applied) -> None:
    name = feature_of(features, profile, intent)
    if name is None:
        tried = profile.aliases.get(intent) or ", ".join(FEATURES[intent])  # type: ignore[call-overload]
        out.problems.append(f"{intent} = {value}: the camera has no such feature (tried {tried}); name it in aliases")
        return
    why = features.put(name, value)
    _note(out, name, value, None if why is None else f"{intent}: {why}")


def _set_trigger(features: Features, trigger: str, out: Applied) -> None:
    for way in TRIGGERS[trigger]:
        if not all(_possible(features, name, value) for name, value in way):
            continue
        for name, value in way:
            _note(out, name, value, features.put(name, value))
        return
    tried = "; ".join(", ".join(f"{name} = {value}" for name, value in way) for way in TRIGGERS[trigger])
    out.problems.append(
        f'line_trigger = "{trigger}": the camera has none of the usual ways ({tried}); leave it out and set it in '
        "features"
    )


def _possible(features: Features, name: str, value: str) -> bool:
    node = features.node(name)
    return node is not None and value in (getattr(node, "symbolics", None) or ())


def _set_chunks(features: Features, profile: CameraProfile, out: Applied) -> None:
    wanted = dict.fromkeys((*profile.required_chunks, *profile.chunks))
    if not wanted:
        return
    mode = features.node("ChunkModeActive")
    refused = "the camera has no chunks"
    if mode is not None:
        on: object = "On" if getattr(mode, "symbolics", None) is not None else True
        refused = features.put("ChunkModeActive", on) or ""
    for chunk in wanted:
        name = None if refused else _enable_chunk(features, chunk)
        if name is not None:
            out.chunks[chunk] = name
            continue
        text = f"chunk {chunk}: {refused or 'the camera does not have it (' + ', '.join(CHUNKS[chunk]) + ')'}"
        (out.problems if chunk in profile.required_chunks else out.lacks).append(text)


def _enable_chunk(features: Features, chunk: ChunkName) -> str | None:
    """Switch a chunk on; the name of its value's node, None where the camera does not have it."""
    selector = features.node("ChunkSelector")
    for name in CHUNKS[chunk]:
        if not features.has(f"Chunk{name}"):
            continue
        if selector is None or name not in selector.symbolics:
            return f"Chunk{name}"  # comes without being asked for
        if features.put("ChunkSelector", name) is None:
            enable = features.node("ChunkEnable")
            if enable is None or _access(enable) == "RO" or features.put("ChunkEnable", True) is None:
                return f"Chunk{name}"
    return None


def _access(node: Any) -> str:  # noqa: ANN401
    from genicam import genapi  # noqa: PLC0415

    return str(genapi.EAccessMode(node.get_access_mode()).name)


def _entry_is_there(node: Any, symbolic: str) -> bool:  # noqa: ANN401
    from genicam import genapi  # noqa: PLC0415

    try:
        return _access(node.get_entry_by_name(symbolic)) not in ("NI", "NA")
    except (AttributeError, genapi.GenericException):
        return True


def _step(node: Any) -> float:  # noqa: ANN401
    """Increment of a whole number, 0 where any value goes."""
    from genicam import genapi  # noqa: PLC0415

    try:
        return float(node.inc) if isinstance(node.value, int) else 0.0
    except (AttributeError, genapi.GenericException):
        return 0.0
