"""Good cloth behind a checkpoint, for the threshold and the evidence of its bundle.

Promises: only images that were held out of training, or that were given for the purpose, are used; what is missing is
named with the remedy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glass_edge.cli.cloth_finder import cloth_finder
from glass_edge.config.recipe import Recipe
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.glass.data_folder import good_files
from glass_edge.glass.data_images import read_header, read_pixels
from glass_edge.glass.data_listing import relative_name


@dataclass(frozen=True, slots=True)
class GoodImages:
    """Files of good cloth.

    Attributes:
        folder: where they lie.
        names: relative to it.
        origin: what they are, for the record.
    """

    folder: Path
    names: tuple[str, ...]
    origin: str


def find_images(
    recipe: Recipe, holdout: tuple[str, ...], data: Path | None, given: Path | None, *, or_in: Path | None = None
) -> GoodImages:
    """Images to use: those of the folder `given`, else the held-out ones of the data folder.

    Args:
        recipe: of the checkpoint.
        holdout: names the checkpoint recorded.
        data: where the data folder is now; None: where it was in training.
        or_in: where held-out images are looked for when any of them is missing there; None: nowhere else.
        given: another folder with good images.

    Raises:
        InputError: a folder or a file is missing, or none was held out.
    """
    if given is not None:
        names = tuple(relative_name(path, given) for path in good_files(given))
        return GoodImages(given, names, "good images given for the threshold")
    if not holdout:
        raise InputError(
            "the checkpoint recorded no held-out images; give good images that were not trained on: --threshold-images"
        )
    folder = data or recipe.data.folder
    missing = _missing(folder, holdout)
    if missing and or_in is not None:
        folder, missing = or_in, _missing(or_in, holdout)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"{folder / missing[0]}{more}: missing; these good images were held out of training for the threshold. "
            "Say where the data folder is now (--data), or give other good images (--threshold-images)"
        )
    return GoodImages(folder, holdout, "good images held out of training")


def _missing(folder: Path, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if not (folder / name).is_file()]


@dataclass(frozen=True, slots=True)
class GoodStrip:
    """A decoded image.

    Attributes:
        name: relative to its folder.
        pixels: uint8 (lines, width), or (lines, width, 3).
        cloth: columns that show cloth, selvedge to selvedge.
    """

    name: str
    pixels: NDArray[np.uint8]
    cloth: ClothSpan


def read_strips(images: GoodImages, recipe: Recipe) -> Iterator[GoodStrip]:
    """Decode one image after the other.

    Raises:
        InputError: an image is damaged, of another kind than the recipe's tiles, or shows no cloth.
    """
    find_cloth = cloth_finder(recipe.data)
    for name in images.names:
        path = images.folder / name
        channels = read_header(path).channels
        if channels > recipe.tile.channels:
            raise InputError(f"{path}: an RGB image, and the style was trained on grey ones; convert it to grey")
        pixels = read_pixels(path, recipe.tile.channels)
        try:
            cloth = find_cloth(pixels)
        except GlassEdgeError as error:
            raise InputError(f"{path}: {error}") from error
        yield GoodStrip(name, pixels, cloth)
