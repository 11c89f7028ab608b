"""Foreign textures for LAS: image folders, built-in patterns, and their augmentation.

Promises: a texture is a function of the generator and the source alone; a bad file is reported by name; no texture set
is needed, because `ProceduralTextures` draws its own.

Source of the nine operations: Chen et al., ECCV 2024, and the authors' program; DTD is M. Cimpoi et al., "Describing
Textures in the Wild", CVPR 2014.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as transform

from glass_edge.errors import InputError
from glass_edge.glass.preprocess import centre_crop, covering_size
from glass_edge.glass.procedural_textures import draw_pattern

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
N_OPERATIONS = 3
HELD_OUT_EVERY = 5
TexturePart = Literal["all", "training", "held-out"]
_READ_ERRORS = (
    OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error,
    UnidentifiedImageError, Image.DecompressionBombError,
)  # fmt: skip

Operation = Callable[[Image.Image, np.random.Generator], Image.Image]


class TextureSource(Protocol):
    """Something that gives texture images."""

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Image.Image:
        """An RGB image, of any size; `height` and `width` say what it will be scaled to."""


class FolderTextures:
    """Images of a folder and its subfolders (the layout of DTD, images/<class>/*.jpg, or flat).

    Attributes:
        files: the images drawn from, sorted by path.
    """

    def __init__(self, folder: Path, part: TexturePart = "all") -> None:
        """List the images and look into each one's header.

        Args:
            folder: of images.
            part: all of them, or every fifth ("held-out"), or the others ("training"), so that textures can be judged
                by that were not trained with; too few to divide (under five): all of them whatever is asked for.

        Raises:
            InputError: no such folder, no image in it, or a file that is none.
        """
        if not folder.is_dir():
            raise InputError(f"{folder}: no such texture folder; give one, or set las.textures = 'builtin'")
        files = sorted(path for path in folder.rglob("*") if _is_image(path, folder))
        if not files:
            kinds = ", ".join(sorted(IMAGE_SUFFIXES))
            raise InputError(
                f"{folder}: no texture image ({kinds}) in it or its subfolders; give another folder, or set "
                "las.textures = 'builtin'"
            )
        for path in files:
            with _readable(path), Image.open(path):  # damage further on shows only when the image is drawn
                pass
        if part == "all" or len(files) < HELD_OUT_EVERY:
            self.files = files
        else:
            wanted = part == "held-out"
            self.files = [path for number, path in enumerate(files, 1) if (number % HELD_OUT_EVERY == 0) is wanted]

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Image.Image:
        """A random image of the folder.

        Raises:
            InputError: the file is damaged.
        """
        del height, width
        path = self.files[rng.integers(len(self.files))]
        with _readable(path), Image.open(path) as image:
            return image.convert("RGB")


def _is_image(path: Path, folder: Path) -> bool:
    """By its name; hidden files and folders (such as those macOS leaves in archives) do not count."""
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return path.suffix.lower() in IMAGE_SUFFIXES and not hidden and path.is_file()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except _READ_ERRORS as error:
        raise InputError(f"{path}: cannot be read as an image ({error}); repair or remove it") from error


class ProceduralTextures:
    """Patterns drawn on the spot; see `procedural_textures`."""

    def draw(self, rng: np.random.Generator, height: int, width: int) -> Image.Image:
        """A random pattern of the size asked for."""
        return Image.fromarray(draw_pattern(rng, height, width))


def texture_source(folder: Path | None, part: TexturePart = "all") -> TextureSource:
    """Textures of a folder, or the built-in ones (None), which know no parts: another seed draws other patterns.

    Raises:
        InputError: the folder cannot be used.
    """
    return ProceduralTextures() if folder is None else FolderTextures(folder, part)


def _jitter_saturation_and_hue(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    saturated = transform.adjust_saturation(image, rng.uniform(0.8, 1.2))
    shifted: Image.Image = transform.adjust_hue(saturated, rng.uniform(-0.2, 0.2))
    return shifted


OPERATIONS: dict[str, Operation] = {
    "contrast": lambda image, rng: transform.adjust_contrast(image, rng.uniform(0.8, 1.2)),
    "brightness": lambda image, rng: transform.adjust_brightness(image, rng.uniform(0.8, 1.2)),
    "saturation and hue": _jitter_saturation_and_hue,
    "horizontal flip": lambda image, rng: transform.hflip(image),
    "vertical flip": lambda image, rng: transform.vflip(image),
    "grey": lambda image, rng: transform.rgb_to_grayscale(image, num_output_channels=3),
    "autocontrast": lambda image, rng: transform.autocontrast(image),
    "equalise": lambda image, rng: transform.equalize(image),
    "rotation": lambda image, rng: transform.rotate(
        image, rng.uniform(-45, 45), interpolation=InterpolationMode.NEAREST, fill=[0, 0, 0]
    ),
}
"""The nine operations by name, each uint8 RGB to uint8 RGB of the same size."""


def augment(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Three distinct operations out of the nine, in random order."""
    names = list(OPERATIONS)
    for index in rng.choice(len(names), size=N_OPERATIONS, replace=False):
        image = OPERATIONS[names[index]](image, rng)
    return image


def draw_texture(
    source: TextureSource, rng: np.random.Generator, height: int, width: int, *, grey: bool = False
) -> NDArray[np.uint8]:
    """A texture for a tile: scaled to cover it (bilinear), augmented, centre cropped; uint8 RGB (height, width, 3).

    `grey` takes its colour away, for tiles of a grey camera, where colour alone would give a synthetic defect away.
    """
    image = source.draw(rng, height, width)
    rows, columns = covering_size((image.height, image.width), height, width)
    image = image.resize((columns, rows), Image.Resampling.BILINEAR)
    tile = centre_crop(augment(image, rng), height, width)
    return np.array(tile.convert("L").convert("RGB") if grey else tile)
