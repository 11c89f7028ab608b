"""Labelled images for evaluation, one at a time.

Promises: names, headers and mask sizes are checked before the first image is scored; pixels are decoded when they are
asked for and not kept; every file that was left out is named in `skipped`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.glass.data import (
    ClothStrip,
    OnBadImage,
    SkippedFile,
    SpanFinder,
    TileShape,
    check_span,
    plain_reason,
    settle_problems,
    too_small,
)
from glass_edge.glass.data_folder import GOOD, LabelledFile, labelled_files
from glass_edge.glass.data_images import read_header, read_labels, read_mask, read_pixels


@dataclass(frozen=True, slots=True)
class LabelledStrip:
    """A test image.

    Attributes:
        strip: its pixels and cloth.
        kind: 'good' or the kind of defect.
        mask: bool (lines, width), True on the defect; all False for good cloth.
    """

    strip: ClothStrip
    kind: str
    mask: NDArray[np.bool_]


@dataclass(slots=True)
class LabelledData:
    """The test folder of a data set.

    Attributes:
        folder: the data folder.
        files: images to score.
        skipped: files left out so far.
    """

    folder: Path
    files: tuple[LabelledFile, ...]
    _tile: TileShape
    _find_span: SpanFinder
    _on_bad_image: OnBadImage
    skipped: list[SkippedFile] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[LabelledStrip]:
        """Decode the images in turn.

        Raises:
            InputError: an image or mask is damaged and bad images stop the work.
        """
        yield from self._decode_all(self.files)

    def select(self, names: Collection[str]) -> Iterator[LabelledStrip]:
        """Decode the images with these names alone; see `__iter__`."""
        yield from self._decode_all([file for file in self.files if file.name in names])

    def _decode_all(self, files: Iterable[LabelledFile]) -> Iterator[LabelledStrip]:
        for file in files:
            try:
                yield self._decode(file)
            except GlassEdgeError as error:
                reason = plain_reason(error, file.path)
                self.skipped += settle_problems(self.folder, {file.name: reason}, self._on_bad_image)

    def _decode(self, file: LabelledFile) -> LabelledStrip:
        pixels = read_pixels(file.path, self._tile.channels)
        shape = pixels.shape[:2]
        if file.mask is None:
            mask = np.zeros(shape, np.bool_)
        else:
            mask = read_labels(file.mask) if file.holds_labels else read_mask(file.mask)
        if mask.shape != shape:
            raise InputError(f"its mask has shape {mask.shape}, the image {shape}; make them equal")
        if file.kind != GOOD and not mask.any():
            raise InputError(f"its mask {file.mask} marks nothing; mark the defect, or take the image out")
        span = self._find_span(pixels)
        check_span(span, pixels.shape[1], self._tile)
        return LabelledStrip(ClothStrip(file.name, pixels, span), file.kind, mask)


def load_labelled_data(
    folder: Path, tile: TileShape, find_span: SpanFinder, *, on_bad_image: OnBadImage = "stop"
) -> LabelledData:
    """The test images of a data set, see `data_folder`, checked as far as headers tell.

    Raises:
        InputError: no such folder, nothing in it, or files that cannot be used; each is named.
    """
    files, complaints = labelled_files(folder)
    problems = dict(complaints)
    for file in files:
        try:
            header = read_header(file.path)
            if header.channels > tile.channels:
                problems[file.name] = "an RGB image, but the style was trained on grey ones; convert it to grey"
            elif (reason := too_small(header, tile)) is not None:
                problems[file.name] = reason
            elif file.mask is not None:
                mask = read_header(file.mask)
                if (mask.lines, mask.width_px) != (header.lines, header.width_px):
                    problems[file.name] = (
                        f"{header.width_px} x {header.lines} px, but its mask {file.mask} has {mask.width_px} x "
                        f"{mask.lines}; make them equal"
                    )
        except InputError as error:
            problems[file.name] = plain_reason(error, file.path)
    skipped = settle_problems(folder, problems, on_bad_image)
    usable = tuple(file for file in files if file.name not in problems)
    if not usable:
        raise InputError(f"{folder}: no test image is left after {len(skipped)} were skipped; mend them")
    return LabelledData(folder, usable, tile, find_span, on_bad_image, list(skipped))
