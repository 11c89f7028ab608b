"""Flat field: what a camera's columns make of an even white, and how that is undone.

Promises: `FlatField.load(path)` gives a whole, unchanged profile or an `InputError` that says what is wrong with the
file; `FlatField.apply(lines)` is a pure function of its lines, uint8 to uint8, the same for any division into blocks,
and safe to call from several threads. `[camera] flat_field = FILE` of a station file names such a profile; whoever
reads the camera loads it once, calls `check_camera`, and then `apply` on every block.

For column x and channel c:  corrected = (raw - dark[x, c]) * target_grey / (white[x, c] - dark[x, c]), rounded and
clipped to 0..255. The white board then has the grey `target_grey` in every column and channel, so colours are balanced
too. Source: two-point correction of EMVA 1288, release 4.0, linear model of a pixel (offset and responsivity).

The file is one .npz: `dark` and `white`, float32 (width, channels), and `meta`, a JSON text with format version,
camera, width, the reference's files with their SHA-256, and the SHA-256 of the arrays.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import InputError
from glass_edge.files import write_bytes

FORMAT = 1
_CHUNK_PX = 1 << 16  # float32 of a chunk stays in the processor's cache
Levels = NDArray[np.float32]


@dataclass(frozen=True)
class FlatField:
    """A flat-field profile of one camera at one aperture, lamp and distance.

    Attributes:
        dark_dn: grey values without light, float32 (width, channels).
        white_dn: grey values of the white board, float32 (width, channels), above `dark_dn`.
        target_grey: grey value the board has after correction.
        camera_model: model name of the camera, empty when not given.
        camera_serial: its serial number, empty when not given.
        created_utc: when it was measured, ISO 8601.
        references: name and SHA-256 of each file it was measured from.
    """

    dark_dn: Levels
    white_dn: Levels
    target_grey: float
    camera_model: str = ""
    camera_serial: str = ""
    created_utc: str = ""
    references: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.dark_dn.shape
        if len(shape) != 2 or shape[1] not in (1, 3) or self.white_dn.shape != shape:
            raise ValueError(f"dark {shape} and white {self.white_dn.shape}; both must be (width, 1 or 3)")
        if not np.isfinite(self.dark_dn).all() or not np.isfinite(self.white_dn).all():
            raise ValueError("dark and white levels must be finite")
        if not (self.white_dn - self.dark_dn >= 1.0).all() or not 1.0 <= self.target_grey <= 255.0:
            raise ValueError("white must lie at least one grey value above dark, and target_grey within 1 to 255")

    @property
    def width_px(self) -> int:
        """Pixels of a line."""
        return int(self.dark_dn.shape[0])

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return int(self.dark_dn.shape[1])

    @cached_property
    def gain(self) -> Levels:
        """Factor of each column and channel, float32 (width, channels)."""
        return np.asarray(self.target_grey / (self.white_dn - self.dark_dn), dtype=np.float32)

    @cached_property
    def sha256(self) -> str:
        """Hash of the arrays and the target: which correction this is."""
        digest = hashlib.sha256(f"{FORMAT} {self.dark_dn.shape} {self.target_grey!r}".encode())
        for levels in (self.dark_dn, self.white_dn):
            digest.update(np.ascontiguousarray(levels, dtype="<f4").tobytes())
        return digest.hexdigest()

    def check_camera(self, *, width_px: int, channels: int, model: str = "", serial: str = "") -> None:
        """Refuse another camera than the one that was measured; an empty name fits every camera.

        Raises:
            InputError: width, channels, model or serial number differ.
        """
        for name, here, there in (
            ("width_px", width_px, self.width_px),
            ("channels", channels, self.channels),
            ("camera model", model, self.camera_model),
            ("camera serial number", serial, self.camera_serial),
        ):
            if here and there and here != there:
                raise InputError(
                    f"the flat field was measured with {name} = {there} and the camera has {here}; "
                    "measure one for this camera with `glass-edge calibrate flat-field`"
                )

    def apply(self, lines: NDArray[np.uint8], lamp_gain: float = 1.0) -> NDArray[np.uint8]:
        """Corrected lines, a new uint8 array of the same shape.

        Args:
            lines: uint8 (n, width) of a grey camera, (n, width, 3) of a colour camera.
            lamp_gain: factor for all columns (see `lamp_drift`).

        Raises:
            ValueError: width or channels are not those of the profile.
        """
        expected = (self.width_px,) if self.channels == 1 else (self.width_px, self.channels)
        if lines.dtype != np.uint8 or lines.shape[1:] != expected:
            raise ValueError(f"{lines.dtype} {lines.shape}; uint8 (n, {', '.join(map(str, expected))}) is needed")
        scale = self.gain.ravel() * np.float32(lamp_gain)
        bias = np.float32(0.5) - self.dark_dn.ravel() * scale
        out = np.empty(lines.shape, np.uint8)
        flat_in, flat_out = lines.reshape(len(lines), -1), out.reshape(len(lines), -1)
        rows = max(1, _CHUNK_PX // len(scale))
        work = np.empty((rows, len(scale)), np.float32)
        for top in range(0, len(lines), rows):
            part = work[: min(rows, len(lines) - top)]
            np.multiply(flat_in[top : top + rows], scale, out=part)
            part += bias
            np.maximum(part, np.float32(0), out=part)
            np.minimum(part, np.float32(255), out=part)
            flat_out[top : top + rows] = part  # cut off: the half is in the bias
        return out

    def save(self, path: Path) -> None:
        """Write the profile to `path` (.npz), atomically.

        Raises:
            InputError: it cannot be written there.
        """
        meta = {
            "format": FORMAT,
            "kind": "flat-field",
            "width_px": self.width_px,
            "channels": self.channels,
            "target_grey": self.target_grey,
            "camera_model": self.camera_model,
            "camera_serial": self.camera_serial,
            "created_utc": self.created_utc,
            "references": self.references,
            "sha256": self.sha256,
        }
        buffer = io.BytesIO()
        np.savez(buffer, dark=self.dark_dn, white=self.white_dn, meta=np.array(json.dumps(meta)))
        write_bytes(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> FlatField:
        """Read a profile.

        Raises:
            InputError: missing, no flat field, of another format version, or changed since it was written.
        """
        again = "measure it again with `glass-edge calibrate flat-field`"
        try:
            with np.load(path, allow_pickle=False) as archive:
                meta: dict[str, Any] = json.loads(str(archive["meta"]))
                dark = np.asarray(archive["dark"], dtype=np.float32)
                white = np.asarray(archive["white"], dtype=np.float32)
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; {again}") from None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
            raise InputError(f"{path}: not a flat-field profile ({error}); {again}") from error
        if not isinstance(meta, dict) or meta.get("kind") != "flat-field" or meta.get("format") != FORMAT:
            raise InputError(f"{path}: not a flat-field profile of format {FORMAT}; {again}")
        try:
            found = cls(
                dark,
                white,
                float(meta["target_grey"]),
                camera_model=str(meta["camera_model"]),
                camera_serial=str(meta["camera_serial"]),
                created_utc=str(meta["created_utc"]),
                references={str(name): str(value) for name, value in meta["references"].items()},
            )
            expected = meta["sha256"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path}: not a whole flat-field profile ({error}); {again}") from error
        if found.sha256 != expected:
            raise InputError(f"{path}: its levels do not fit its SHA-256, the file was changed; {again}")
        return found
