"""Loading producers and finding the one camera that is meant.

Promises: what is not a producer, or not there, is an InputError that says what is; a camera is held by one glass-edge
of a machine at a time, whatever its producer allows.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import socket
import sys
from collections.abc import Callable
from typing import Any

from glass_edge.acquisition.camera import CameraLostError
from glass_edge.acquisition.genicam_spec import CameraInUseError, GenicamSpec
from glass_edge.errors import InputError, MissingExtraError


def load_harvesters() -> tuple[Any, Any, Any]:
    """harvesters.core, genicam.gentl and genicam.genapi.

    Raises:
        MissingExtraError: they are not installed. InputError: they are, and cannot be loaded.
    """
    try:
        from genicam import genapi, gentl  # noqa: PLC0415
        from harvesters import core  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtraError("genicam", "a GenICam camera") from error
    except ImportError as error:  # genicam is linked with Python's shared library, which Debian packages apart
        python = f"libpython{sys.version_info.major}.{sys.version_info.minor}"
        raise InputError(f"the library genicam cannot be loaded: {error}; on Debian: apt install {python}") from error
    for name in ("harvesters", "harvesters.core"):  # its errors come back as exceptions, and are told as faults
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return core, gentl, genapi


def open_producers(cti: tuple[str, ...]) -> Any:  # noqa: ANN401 - harvesters has no types
    """A Harvester that knows the devices of the producers; the caller resets it.

    Raises:
        InputError: a producer cannot be loaded.
        MissingExtraError: harvesters is not installed.
    """
    core, gentl, _ = load_harvesters()
    harvester = core.Harvester()
    try:
        for path in cti:
            try:
                harvester.add_file(path, check_existence=True, check_validity=True)
            except FileNotFoundError:
                raise InputError(f"{path}: no such file; cti names the vendor's GenTL producer (a .cti file)") from None
            except OSError as error:
                raise InputError(f"{path}: is no GenTL producer that can be loaded here ({error})") from error
            if not hasattr(ctypes.CDLL(path), "GCInitLib"):
                raise InputError(f"{path}: is a library but no GenTL producer; cti names the vendor's .cti file")
        harvester.update()
    except gentl.GenericException as error:
        quietly(harvester.reset)
        raise CameraLostError(f"the GenTL producer failed: {error}") from error
    except BaseException:
        quietly(harvester.reset)
        raise
    return harvester


def find_device(harvester: Any, spec: GenicamSpec) -> Any:  # noqa: ANN401
    """The one device that `spec` names.

    Raises:
        InputError: there is none or more than one; the message lists those that are there.
    """
    devices = harvester.device_info_list
    key, value = ("serial_number", spec.serial_number)
    if spec.serial_number is None and spec.user_id is not None:
        key, value = "user_defined_name", spec.user_id
    fitting = [one for one in devices if value is None or device_text(one, key) == value]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(_describe(one) for one in devices) or "none"
    if fitting:
        raise InputError(f"{len(fitting)} cameras fit; say which by serial_number or user_id. There are: {there}")
    raise InputError(f"no {spec.name} was found. Cameras there: {there}")


def device_text(device: Any, name: str) -> str:  # noqa: ANN401
    """A property of a device, empty where the producer does not say."""
    _, gentl, _ = load_harvesters()
    try:
        return str(getattr(device, name, "") or "")
    except gentl.GenericException:
        return ""


def _describe(device: Any) -> str:  # noqa: ANN401
    user = device_text(device, "user_defined_name")
    return f"{device_text(device, 'model')} serial {device_text(device, 'serial_number')}" + (
        f' user id "{user}"' if user else ""
    )


def hold(device: str, name: str) -> socket.socket:
    """Hold the camera against a second service on this machine; ends with the process, leaves no file.

    Raises:
        CameraInUseError: another process holds it.
    """
    digest = hashlib.sha256(device.encode()).hexdigest()[:32]
    guard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        guard.bind(f"\0glass-edge-camera-{digest}")
    except OSError as error:
        guard.close()
        raise CameraInUseError(f"{name}: is in use by another glass-edge on this machine") from error
    return guard


def number_of(buffer: Any, name: str) -> int | None:  # noqa: ANN401
    """A number of a buffer, None where the producer does not give it."""
    _, gentl, _ = load_harvesters()
    try:
        return int(getattr(buffer, name))
    except (gentl.GenericException, AttributeError):
        return None


def short(error: BaseException) -> str:
    """The first line of an error."""
    return str(error).split("\n")[0] or type(error).__name__


def quietly(step: Callable[[], object]) -> None:
    """Do a step of which the failure changes nothing."""
    with contextlib.suppress(Exception):
        step()
