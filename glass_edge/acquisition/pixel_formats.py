"""Pixels as cameras send them into the tiles' format: uint8, grey or RGB.

Promises: pure; the layouts are those of the GenICam Pixel Format Naming Convention 2.4 (`p`: lsb first, without holes)
and of GigE Vision 2.2 (`Packed`: two pixels in three bytes). More than 8 bits lose their lowest bits, never scale: the
most significant 8 stay. Lines that are padded are read without their padding.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import InputError

Bytes = NDArray[np.uint8]
_CODES = {
    0x01080001: "Mono8",
    0x01100003: "Mono10",
    0x010C0004: "Mono10Packed",
    0x010A0046: "Mono10p",
    0x01100005: "Mono12",
    0x010C0006: "Mono12Packed",
    0x010C0047: "Mono12p",
    0x01100025: "Mono14",
    0x01100007: "Mono16",
    0x02180014: "RGB8",
    0x02180015: "BGR8",
    0x02200016: "RGBa8",
    0x02200017: "BGRa8",
    0x01080008: "BayerGR8",
    0x01080009: "BayerRG8",
    0x0108000A: "BayerGB8",
    0x0108000B: "BayerBG8",
    0x0110000C: "BayerGR10",
    0x0110000D: "BayerRG10",
    0x0110000E: "BayerGB10",
    0x0110000F: "BayerBG10",
    0x01100010: "BayerGR12",
    0x01100011: "BayerRG12",
    0x01100012: "BayerGB12",
    0x01100013: "BayerBG12",
    0x010A0056: "BayerGR10p",
    0x010A0058: "BayerRG10p",
    0x010A0054: "BayerGB10p",
    0x010A0052: "BayerBG10p",
    0x010C0057: "BayerGR12p",
    0x010C0059: "BayerRG12p",
    0x010C0055: "BayerGB12p",
    0x010C0053: "BayerBG12p",
    0x0110002E: "BayerGR16",
    0x0110002F: "BayerRG16",
    0x01100030: "BayerGB16",
    0x01100031: "BayerBG16",
}
"""PFNC codes of what can be taken; the layout follows from the name."""
_NAME = re.compile(r"(Mono|RGB|BGR|RGBa|BGRa|Bayer(?:GR|RG|GB|BG))(8|10|12|14|16)(p|Packed|)")
# OpenCV names a Bayer pattern by the second row's second and third pixel.
_BAYER = {
    "BayerRG": cv2.COLOR_BayerBG2RGB,
    "BayerBG": cv2.COLOR_BayerRG2RGB,
    "BayerGR": cv2.COLOR_BayerGB2RGB,
    "BayerGB": cv2.COLOR_BayerGR2RGB,
}


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """A pixel format that can be taken.

    Attributes:
        name: of PFNC.
        family: Mono, RGB, BGR, RGBa, BGRa or Bayer with its pattern.
        bits: of a sample.
        packing: "" for whole bytes, "p" or "Packed".
    """

    name: str
    family: str
    bits: int
    packing: str

    @property
    def samples(self) -> int:
        """Samples a pixel as sent."""
        return {"RGB": 3, "BGR": 3, "RGBa": 4, "BGRa": 4}.get(self.family, 1)

    @property
    def channels(self) -> int:
        """Channels after conversion: 1 grey, 3 RGB."""
        return 1 if self.family == "Mono" else 3

    def line_bytes(self, width_px: int) -> int:
        """Bytes of a line without padding.

        Raises:
            InputError: lines of that width do not end at a whole byte.
        """
        bits = {"": -(-self.bits // 8) * 8, "p": self.bits, "Packed": 12}[self.packing] * self.samples
        if width_px * bits % 8 or (self.packing == "Packed" and width_px % 2):
            raise InputError(f"{self.name}: lines of {width_px} px do not end at a whole byte; use a multiple of 8 px")
        return width_px * bits // 8


def pixel_format(name_or_code: str | int) -> PixelFormat:
    """The format of a PFNC name, or of the 32-bit code that buffers carry.

    Raises:
        InputError: it is none that can be taken; the message lists those that are.
    """
    name = _CODES.get(name_or_code) if isinstance(name_or_code, int) else name_or_code
    match = _NAME.fullmatch(name or "")
    if name is None or match is None or name not in _CODES.values():
        shown = f"0x{name_or_code:08X}" if isinstance(name_or_code, int) else name_or_code
        raise InputError(f"pixel format {shown} cannot be taken; set one of {', '.join(_CODES.values())}")
    return PixelFormat(name, match[1], int(match[2]), match[3])


def convert(data: Bytes, form: PixelFormat, n_lines: int, width_px: int, *, pitch_bytes: int | None = None) -> Bytes:
    """Pixels of `n_lines` lines: uint8 (n_lines, width) or (n_lines, width, 3) RGB.

    Args:
        data: uint8, at least `n_lines` lines of `pitch_bytes`; may be a view that is overwritten later (the result
            shares memory with it when nothing had to be converted).
        form: how they are sent.
        n_lines, width_px: size.
        pitch_bytes: from line to line, padding included; None: without padding.

    Raises:
        InputError: `data` is too short, or the width does not fit the format.
    """
    used = form.line_bytes(width_px)
    pitch = used if pitch_bytes is None else pitch_bytes
    if pitch < used or data.size < n_lines * pitch:
        raise InputError(
            f"{form.name} {width_px} x {n_lines} needs {n_lines * max(pitch, used)} bytes, not {data.size}"
        )
    rows = data[: n_lines * pitch].reshape(n_lines, pitch)[:, :used]
    grey = _to_8_bits(rows, form)
    if form.family == "Mono":
        return grey
    if form.family.startswith("Bayer"):
        return demosaic(grey, form.family)
    pixels = grey.reshape(n_lines, width_px, form.samples)
    if form.family == "RGB":
        return pixels
    return np.ascontiguousarray(pixels[:, :, 2::-1] if form.family.startswith("BGR") else pixels[:, :, :3])


def demosaic(mosaic: Bytes, family: str) -> Bytes:
    """Bilinear RGB of a Bayer mosaic whose first line and pixel are `family`'s first letters.

    The mosaic is an area sensor's: its pattern needs two lines and two columns at least.
    """
    if min(mosaic.shape) < 2:
        raise InputError(f"{family}: a mosaic of {mosaic.shape[0]} lines has no colour; 2 lines at least")
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(mosaic), _BAYER[family]), dtype=np.uint8)


def _to_8_bits(rows: Bytes, form: PixelFormat) -> Bytes:
    if form.bits == 8:
        return rows
    if form.packing == "":
        wide = np.ascontiguousarray(rows).view("<u2")
        return (wide >> (form.bits - 8)).astype(np.uint8)
    if form.packing == "Packed":  # bytes 0 and 2 of three are the high bits of two pixels
        triples = rows.reshape(rows.shape[0], -1, 3)
        return np.ascontiguousarray(triples[:, :, ::2]).reshape(rows.shape[0], -1)
    return _unpack_12p(rows) if form.bits == 12 else _unpack_10p(rows)


def _unpack_12p(rows: Bytes) -> Bytes:
    """High 8 bits of lsb-first 12-bit samples: two in three bytes."""
    triples = rows.reshape(rows.shape[0], -1, 3)
    out = np.empty((*triples.shape[:2], 2), np.uint8)
    out[:, :, 0] = (triples[:, :, 0] >> 4) | (triples[:, :, 1] << 4)
    out[:, :, 1] = triples[:, :, 2]
    return out.reshape(rows.shape[0], -1)


def _unpack_10p(rows: Bytes) -> Bytes:
    """High 8 bits of lsb-first 10-bit samples: four in five bytes."""
    fives = rows.reshape(rows.shape[0], -1, 5)
    out = np.empty((*fives.shape[:2], 4), np.uint8)
    for sample in range(4):
        low = 2 + 2 * sample  # bits of byte `sample` that lie below the sample's high 8
        part = fives[:, :, sample] >> low if low < 8 else np.uint8(0)
        out[:, :, sample] = part | (fives[:, :, sample + 1] << (8 - low))
    return out.reshape(rows.shape[0], -1)
