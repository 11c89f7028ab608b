"""What a camera is opened with, and what it turned out to be; both cross the border between processes as JSON."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from glass_edge.acquisition.camera import CameraLostError
from glass_edge.config.camera_profile import CameraProfile
from glass_edge.errors import GlassEdgeError, InputError

GENTL_PATH = "GENICAM_GENTL64_PATH"
"""Where vendors' installers say their producers lie: folders, joined by the system's path separator."""
SIMULATED_VENDORS = frozenset({"glass_edge", "Machine Vision Games Ltd."})
"""Vendors whose cameras are simulations: what they show is never live cloth."""


class CameraInUseError(CameraLostError):
    """Another program holds the camera."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class FeedLimits:
    """Room and patience of a feed of blocks.

    Attributes:
        slots: blocks that may wait.
        stall_s: see `HarvesterSource`.
        open_timeout_s: longest time from a start to a streaming camera.
        longest_pause_s: between a loss and the next try.
        give_up_s: a camera that is away this long is lost for good.
    """

    slots: int
    stall_s: float | None
    open_timeout_s: float
    longest_pause_s: float
    give_up_s: float


@dataclass(frozen=True, slots=True)
class GenicamSpec:
    """A camera to open.

    Attributes:
        cti: GenTL producers, absolute paths.
        serial_number, user_id: which camera; both None: the only one there is.
        profile: what it is set to.
        fetch_timeout_s: longest wait inside the driver.
    """

    cti: tuple[str, ...]
    serial_number: str | None
    user_id: str | None
    profile: CameraProfile
    fetch_timeout_s: float = 0.2

    @property
    def name(self) -> str:
        """The camera in words."""
        if self.serial_number is not None:
            return f"camera with serial number {self.serial_number}"
        return f"camera with user id {self.user_id}" if self.user_id is not None else "camera"

    def to_json(self) -> dict[str, Any]:
        """As a JSON document."""
        return {
            "cti": list(self.cti),
            "serial_number": self.serial_number,
            "user_id": self.user_id,
            "profile": self.profile.model_dump(mode="json"),
            "fetch_timeout_s": self.fetch_timeout_s,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> GenicamSpec:
        """From `to_json`'s document."""
        return cls(
            tuple(document["cti"]),
            document["serial_number"],
            document["user_id"],
            CameraProfile.model_validate_json(json.dumps(document["profile"])),
            document["fetch_timeout_s"],
        )


@dataclass(frozen=True, slots=True)
class CameraFacts:
    """What an open camera is.

    Attributes:
        n_lines, width_px, channels: of its blocks.
        pixel_format: as sent.
        chunks: that come with each block.
        lacks: what the profile wished for and the camera does not have, a sentence each.
    """

    vendor: str
    model: str
    serial_number: str
    n_lines: int
    width_px: int
    channels: int
    pixel_format: str
    chunks: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()

    @property
    def is_simulated(self) -> bool:
        """The camera is known to be a simulation."""
        return self.vendor in SIMULATED_VENDORS

    def to_json(self) -> dict[str, Any]:
        """As a JSON document."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> CameraFacts:
        """From `to_json`'s document."""
        return cls(**{**document, "chunks": tuple(document["chunks"]), "lacks": tuple(document["lacks"])})


def find_producers(cti: tuple[Path, ...]) -> tuple[str, ...]:
    """The producers to load: `cti`, or when it is empty all that the system's installers named.

    Raises:
        InputError: a file is missing, or no producer is known.
    """
    if cti:
        for path in cti:
            if not path.is_file():
                raise InputError(f"{path}: no such file; cti names the vendor's GenTL producer (a .cti file)")
        return tuple(str(path.resolve()) for path in cti)
    folders = [Path(part) for part in os.environ.get(GENTL_PATH, "").split(os.pathsep) if part]
    found = sorted({str(path.resolve()) for folder in folders if folder.is_dir() for path in folder.glob("*.cti")})
    if not found:
        where = f"{GENTL_PATH} names {', '.join(map(str, folders))}" if folders else f"{GENTL_PATH} is not set"
        raise InputError(f"no GenTL producer: give cti = [...] with the vendor's .cti file ({where})")
    return tuple(found)


def error_to_json(error: BaseException) -> dict[str, str]:
    """An error as it crosses from the camera process."""
    kind = "input" if isinstance(error, InputError) else "in_use" if isinstance(error, CameraInUseError) else "lost"
    return {"event": "error", "kind": kind, "message": str(error) or type(error).__name__}


def error_from_json(document: dict[str, str]) -> GlassEdgeError:
    """The error of `error_to_json`'s document."""
    kinds: dict[str, type[GlassEdgeError]] = {"input": InputError, "in_use": CameraInUseError}
    return kinds.get(document["kind"], CameraLostError)(document["message"])
