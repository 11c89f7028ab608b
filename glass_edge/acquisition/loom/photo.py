"""Endless cloth from a photograph.

Promises: the photographs named in `PHOTOS` are part of the package (CC0, see photos/PROVENANCE.md); any other image
file can be given by its path. Uneven lighting of the photograph is taken out, the weave is not touched; the texture
repeats along the web only after `REPEAT_LINES` lines and never across it. Cloth is grey: colour is turned into BT.601
luma. A pure function of place (see `cloth`). A photograph has no known scale: it is played pixel for pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glass_edge.acquisition.loom.cloth import DefectKind, Fault, Patch
from glass_edge.acquisition.loom.noise import clouds, key_of, wave
from glass_edge.acquisition.loom.paint import paint
from glass_edge.acquisition.loom.quilting import quilt
from glass_edge.errors import InputError

REPEAT_LINES = 2048
_PATCH_PX = 160
_OVERLAP_PX = 40
_LIGHTING_SIGMA_PX = 40.0
_MEAN = 0.52


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph in the package.

    Attributes:
        file: name in the folder photos/.
        pick_lines: distance of weft yarns in the photograph, px.
        end_px: distance of warp yarns, px.
        gain: contrast of the weave is multiplied by this; low-contrast photographs gain some.
        first_column: columns before it are left out (a joint somebody made in the photograph).
    """

    file: str
    pick_lines: float
    end_px: float
    gain: float = 1.0
    first_column: int = 0


PHOTOS = {
    "linen": Photo("ph_rough_linen_diff_1k.jpg", pick_lines=2.8, end_px=2.8, gain=2.5),
    "canvas": Photo("ph_fabric_pattern_07.jpg", pick_lines=5.3, end_px=7.1, first_column=178),
    "rib": Photo("acg_Fabric026_512.jpg", pick_lines=8.0, end_px=8.0),
}


_UNKNOWN = Photo("", pick_lines=5.0, end_px=5.0)


def _read_photo(name: str) -> tuple[NDArray[np.float32], Photo]:
    photo = PHOTOS.get(name)
    try:
        if photo is not None:
            with (resources.files("glass_edge.acquisition.loom") / "photos" / photo.file).open("rb") as stream:
                grey = np.asarray(Image.open(stream).convert("L"), dtype=np.float32)
        else:
            photo = _UNKNOWN
            with Image.open(Path(name)) as image:
                grey = np.asarray(image.convert("L"), dtype=np.float32)
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"photo:{name}: no photograph of that name in the package ({', '.join(PHOTOS)}) "
            f"and no image file at that path that can be read ({error})"
        ) from error
    if min(grey.shape) <= _PATCH_PX:
        raise InputError(
            f"photo:{name}: {grey.shape[1]} x {grey.shape[0]} px; both sides must exceed {_PATCH_PX} px to be quilted"
        )
    return grey[:, photo.first_column :], photo


def _flatten(grey: NDArray[np.float32], gain: float) -> NDArray[np.float32]:
    """Radiance without the photograph's uneven lighting, mean `_MEAN`, 0.02..1.3."""
    lighting = cv2.GaussianBlur(grey, (0, 0), _LIGHTING_SIGMA_PX, borderType=cv2.BORDER_REFLECT_101)
    weave = grey / np.maximum(lighting, 1.0) - 1.0
    return np.asarray(np.clip(_MEAN * (1.0 + gain * weave), 0.02, 1.3), dtype=np.float32)


@lru_cache(maxsize=4)
def _endless(name: str, width_px: int, seed: int) -> NDArray[np.float32]:
    """The quilted cloth; kept, because a data set renders the same cloth several times."""
    grey, photo = _read_photo(name)
    flat = _flatten(grey, photo.gain)
    tile = quilt(flat, min_height=REPEAT_LINES, min_width=width_px, patch=_PATCH_PX, overlap=_OVERLAP_PX, seed=seed)
    tile.setflags(write=False)
    return tile


class PhotoCloth:
    """Cloth quilted from a photograph."""

    def __init__(self, name: str, *, width_px: int, seed: int, selvedge_px: int = 0) -> None:
        """Quilt the photograph called `name` (or the image at that path) to `width_px` columns.

        Raises:
            InputError: no such photograph, not readable, or too small.
        """
        photo = PHOTOS.get(name, _UNKNOWN)
        self.pick_lines = photo.pick_lines
        self.end_px = photo.end_px
        self._width_px = width_px
        self._selvedge_px = selvedge_px
        self._key = key_of(seed, "photo")
        self._tile = _endless(name, width_px, seed)

    def snap(self, fault: Fault) -> Fault:
        """At least one yarn thick; a photograph has no exact yarn grid to move to."""
        if fault.kind in (DefectKind.BROKEN_PICK, DefectKind.FLOAT):
            return replace(fault, bottom=max(fault.bottom, fault.top + max(self.pick_lines, 2.0)))
        if fault.kind is DefectKind.MISSING_END:
            return replace(fault, right=max(fault.right, fault.left + max(self.end_px, 2.0)))
        return fault

    def render(self, patch: Patch, fault: Fault | None = None) -> NDArray[np.float32]:
        """Radiance of `patch`, float32."""
        rows = patch.lines % self._tile.shape[0]
        columns = patch.columns % self._tile.shape[1]
        good = self._tile[rows[:, None], columns[None, :]]
        good = good * (1.0 + 0.02 * clouds(key_of(self._key, "cloud"), patch.lines / 90.0, patch.columns / 140.0))
        good *= 1.0 + 0.02 * wave(key_of(self._key, "barre"), np.array([0]), patch.lines / 400.0).T
        if self._selvedge_px:
            inside = np.minimum(patch.columns, self._width_px - 1 - patch.columns)
            cord = np.cos(np.clip(inside / self._selvedge_px, 0, 1) * 4 * np.pi)
            good *= np.where(inside < self._selvedge_px, 0.88 + 0.07 * cord, 1.0).astype(np.float32)[None, :]
        return good if fault is None else paint(good, fault, patch, _MEAN)
