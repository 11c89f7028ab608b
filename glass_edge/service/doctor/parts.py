"""The engine and the camera of a station.

Promises: the engine is compiled and tested on its golden tiles as at every start, in a process of its own; of a camera
no line is taken.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from glass_edge.acquisition.genicam_spec import GENTL_PATH, find_producers
from glass_edge.acquisition.images import list_images
from glass_edge.config.camera import GenicamCameraSettings, LoomCameraSettings, ReplayCameraSettings
from glass_edge.config.engine import EngineSettings
from glass_edge.config.joined_camera import JoinedCameraSettings, StationCameraSettings
from glass_edge.config.station import StationSettings
from glass_edge.engine.bundle import Bundle, load_bundle
from glass_edge.service.doctor.finding import Finding, care, good
from glass_edge.service.engine_next import next_start
from glass_edge.service.engine_selftest import try_engine

_LEAST_USB_MB = 256
_LEAST_RECEIVE_BYTES = 16 << 20
_LEAST_FILES = 1024

AskCamera = Callable[[GenicamCameraSettings], dict[str, Any]]
"""Opens a camera with its profile in a process of its own; its facts and what it lacks."""


def engine_of(settings: StationSettings) -> Iterator[Finding]:
    """The engine that the station's next start takes, which a command may have chosen. Raises as `engine`."""
    beginning = next_start(settings)
    if beginning.said:
        yield good("engine", beginning.said)
    yield from engine(beginning.folder, settings.engine)


def engine(folder: Path, settings: EngineSettings) -> Iterator[Finding]:
    """The bundle, its signature, and the self-test of its engine. Raises as `try_engine`."""
    bundle: Bundle = load_bundle(folder)
    manifest = bundle.manifest
    yield good("engine", f"{bundle.folder}: style {manifest.style} {manifest.version}, all files as in the manifest")
    signers = ", ".join(signature.key_id for signature in bundle.signatures)
    yield good("engine", f"signed with key {signers}" if signers else "not signed, and no signature is required")
    facts = try_engine(bundle, settings)
    text = f"{facts.runtime} {facts.version} in {facts.precision} on {facts.device} passes its golden tiles"
    yield good("engine", text)
    if settings.cache_folder is None:
        yield care("engine", "is compiled at every start", "set engine.cache_folder for a quicker one")


def camera(settings: StationCameraSettings, ask: AskCamera) -> Iterator[Finding]:
    """The camera with its profile. Raises InputError or CameraLostError with the remedy."""
    if isinstance(settings, JoinedCameraSettings):
        for one in settings.cameras:
            yield from camera(one, ask)
    elif isinstance(settings, ReplayCameraSettings):
        yield good("camera", f"plays {len(list_images([settings.path]))} images of {settings.path}")
    elif isinstance(settings, LoomCameraSettings):
        yield good("camera", f"a simulated loom with {settings.cloth}")
    elif settings.virtual_loom is not None:
        yield good("camera", f"a virtual loom, made in {settings.virtual_loom.folder} when the station starts")
    else:
        yield from _genicam(settings, ask)


def usb_and_network(
    usbfs: Path = Path("/sys/module/usbcore/parameters/usbfs_memory_mb"),
    receive: Path = Path("/proc/sys/net/core/rmem_max"),
) -> Iterator[Finding]:
    """What the system lets drivers of cameras use."""
    if usbfs.exists() and (megabytes := int(usbfs.read_text(encoding="ascii"))) < _LEAST_USB_MB:
        remedy = f"echo {_LEAST_USB_MB} > {usbfs}; for good: usbcore.usbfs_memory_mb on the kernel's command line"
        yield care("usb", f"USB transfers may hold {megabytes} MB, too little for a USB3 camera", remedy)
    if receive.exists() and (size := int(receive.read_text(encoding="ascii"))) < _LEAST_RECEIVE_BYTES:
        remedy = f"sysctl -w net.core.rmem_max={_LEAST_RECEIVE_BYTES}"
        yield care("network", f"sockets may queue {size / 1e6:.1f} MB, too little for a GigE camera", remedy)
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < _LEAST_FILES:
        yield care("limits", f"{files} open files are allowed", f"LimitNOFILE={_LEAST_FILES} in the unit")


def _genicam(settings: GenicamCameraSettings, ask: AskCamera) -> Iterator[Finding]:
    producers = find_producers(settings.cti)
    named = "cti" if settings.cti else GENTL_PATH
    yield good("camera", f"GenTL producer {', '.join(producers)} (from {named})")
    answer = ask(settings)
    facts = answer["facts"]
    who = f"{facts['vendor']} {facts['model']}, serial {facts['serial_number']}"
    yield good(
        "camera", f"{who}: {facts['width_px']} px, {facts['pixel_format']}, profile {settings.profile or 'none'}"
    )
    for lack in answer["lacks"]:
        yield care("camera", f"{who} lacks {lack}", "lines are counted without it; see docs/how-to/connect-a-camera.md")
