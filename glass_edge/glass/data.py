"""Good cloth for training and for the threshold.

Promises: every image is decoded once, completely, and checked before anything is trained; every complaint names its
file, and all of them come together; nothing is left out silently (`skipped` names it). Which images are held out
depends on the seed and the names alone, and whole images are held out, so that no cloth of the threshold was trained
on. The fingerprint identifies the images used, names and contents, and their foregrounds where there are any.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.files import sha256_file
from glass_edge.glass.data_folder import good_files
from glass_edge.glass.data_images import ImageHeader, read_header, read_pixels
from glass_edge.glass.data_listing import relative_name
from glass_edge.glass.data_store import PixelStore
from glass_edge.glass.foreground import ForegroundFinder

Pixels = NDArray[np.uint8]
SpanFinder = Callable[[Pixels], ClothSpan]
"""Finds the cloth in an image, uint8 (lines, width[, 3]); raises a GlassEdgeError when there is none."""
OnBadImage = Literal["stop", "skip"]
MEMORY_LIMIT_BYTES = 64 << 20
_SHOWN = 20
_HOLDOUT_STREAM = 0x401D


@dataclass(frozen=True, slots=True)
class TileShape:
    """What a tile asks of an image.

    Attributes:
        height_px, width_px: sides.
        halo_px: border whose scores are not used.
        channels: 1 or 3.
        selvedge_margin_px: cloth this near to a selvedge is not scored, if that is more than the halo.
    """

    height_px: int
    width_px: int
    halo_px: int
    channels: int
    selvedge_margin_px: int = 0

    def columns(self, cloth: ClothSpan, width_px: int) -> range:
        """First columns a tile may have in an image of `width_px`: all of it lies on cloth, its inside on scored cloth.

        Empty when the cloth is too narrow.
        """
        beside = max(0, self.selvedge_margin_px - self.halo_px)
        left = cloth.left_px + (beside if cloth.left_px > 0 else 0)
        right = cloth.right_px - (beside if cloth.right_px < width_px else 0)
        return range(left, right - self.width_px + 1)


@dataclass(frozen=True, slots=True)
class ClothStrip:
    """A decoded image.

    Attributes:
        name: relative to the data folder.
        pixels: uint8 (lines, width), or (lines, width, 3) for tiles of three channels.
        span: columns that show cloth.
        foreground: bool (lines, width), where synthetic defects may lie; None: everywhere.
    """

    name: str
    pixels: Pixels
    span: ClothSpan
    foreground: NDArray[np.bool_] | None = None

    @property
    def lines(self) -> int:
        """Height in px."""
        return int(self.pixels.shape[0])

    @property
    def width_px(self) -> int:
        """Width in px."""
        return int(self.pixels.shape[1])


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that was left out, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class GoodData:
    """Good cloth of a data folder.

    Attributes:
        folder: the data folder.
        train: strips to train on.
        holdout: strips kept for the threshold; empty when the share is 0.
        hashes: SHA-256 of each image used, train and holdout, by name.
        skipped: files left out.
        foreground_hashes: SHA-256 of the packed bits of each image's foreground, by name; empty without foregrounds.
    """

    folder: Path
    train: tuple[ClothStrip, ...]
    holdout: tuple[ClothStrip, ...]
    hashes: Mapping[str, str]
    skipped: tuple[SkippedFile, ...] = field(default=())
    foreground_hashes: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the sorted names and hashes of the images used, and of their foregrounds."""
        lines = "".join(
            f"{name}\0{digest}{_after(self.foreground_hashes.get(name))}\n"
            for name, digest in sorted(self.hashes.items())
        )
        return hashlib.sha256(lines.encode()).hexdigest()


def _after(digest: str | None) -> str:
    return "" if digest is None else f"\0{digest}"


def load_good_data(
    folder: Path,
    tile: TileShape,
    find_span: SpanFinder,
    *,
    holdout: float,
    seed: int,
    on_bad_image: OnBadImage = "stop",
    only: Collection[str] | None = None,
    foreground: ForegroundFinder | None = None,
    cache_folder: Path | None = None,
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
) -> GoodData:
    """Read the good images of a data folder.

    Args:
        folder: see `data_folder`.
        tile: every image must hold at least one.
        find_span: cloth of an image.
        holdout: share of the images held out, from 0 to below 1; at least one image unless 0.
        seed: chooses them.
        on_bad_image: 'stop' refuses the folder, 'skip' leaves bad images out and says so.
        only: names, relative to the folder, of the images to use; None: all.
        foreground: finds where synthetic defects may lie in an image; None: everywhere.
        cache_folder: where pixels beyond `memory_limit_bytes` are kept, in a file that is gone when the process ends;
            None: the system's folder for temporary files.
        memory_limit_bytes: more decoded pixels (and foregrounds) than this are mapped from that file instead of held
            in memory.

    Raises:
        InputError: the folder or its images cannot be used, or too few are left.
    """
    files = {relative_name(path, folder): path for path in good_files(folder)}
    if only is not None:
        files = _chosen(files, only, folder)
    problems: dict[str, str] = {}
    headers = _headers(files, problems)
    _check_headers(headers, tile, problems)
    usable = [name for name in files if name not in problems]
    bytes_a_pixel = tile.channels + (foreground is not None)
    total = sum(headers[name].lines * headers[name].width_px for name in usable) * bytes_a_pixel
    store = PixelStore(total, memory_limit_bytes, cache_folder)
    strips: dict[str, ClothStrip] = {}
    hashes: dict[str, str] = {}
    shown: dict[str, str] = {}
    for name in usable:
        try:
            pixels = read_pixels(files[name], tile.channels)
            span = find_span(pixels)
            check_span(span, pixels.shape[1], tile)
            mask = None if foreground is None else foreground(name, pixels)
        except GlassEdgeError as error:
            problems[name] = plain_reason(error, files[name])
            continue
        if mask is not None:
            shown[name] = hashlib.sha256(np.packbits(mask).tobytes()).hexdigest()
        strips[name] = ClothStrip(name, store.keep(pixels), span, None if mask is None else store.keep(mask))
        hashes[name] = sha256_file(files[name])
    skipped = settle_problems(folder, problems, on_bad_image)
    if not strips:
        raise InputError(f"{folder}: no good image is left after {len(skipped)} were skipped; mend or replace them")
    held = choose_holdout(list(strips), holdout, seed)
    return GoodData(
        folder,
        train=tuple(strip for name, strip in strips.items() if name not in held),
        holdout=tuple(strip for name, strip in strips.items() if name in held),
        hashes=hashes,
        skipped=skipped,
        foreground_hashes=shown,
    )


def choose_holdout(names: Sequence[str], share: float, seed: int) -> frozenset[str]:
    """Names held out: `share` of them, rounded, at least one and never all; none for a share of 0.

    Raises:
        InputError: a single image cannot be divided.
    """
    if share == 0:
        return frozenset()
    if len(names) < 2:
        raise InputError(
            f"{names[0] if names else 'no image'}: one good image cannot both train and set the threshold; "
            "give at least two good images"
        )
    count = min(len(names) - 1, max(1, round(share * len(names))))
    order = np.random.default_rng([seed, _HOLDOUT_STREAM]).permutation(len(names))
    ordered = sorted(names)
    return frozenset(ordered[index] for index in order[:count])


def check_span(span: ClothSpan, width_px: int, tile: TileShape) -> None:
    """Refuse cloth that reaches beyond its image or is narrower than a tile (InputError)."""
    if span.right_px > width_px:
        raise InputError(f"cloth up to column {span.right_px} in an image of {width_px} px; mend data.span")
    if not tile.columns(span, width_px):
        raise InputError(
            f"its cloth, columns {span.left_px} to {span.right_px} of {width_px}, holds no tile of {tile.width_px} px; "
            "choose a smaller tile.width_px, or check data.span"
        )


def settle_problems(folder: Path, problems: Mapping[str, str], on_bad_image: OnBadImage) -> tuple[SkippedFile, ...]:
    """Bad files as skipped ones, in order of name; raises InputError that names each when they must stop the work."""
    skipped = tuple(SkippedFile(name, reason) for name, reason in sorted(problems.items()))
    if skipped and on_bad_image == "stop":
        shown = [f"{folder / one.name}: {one.reason}" for one in skipped[:_SHOWN]]
        if len(skipped) > _SHOWN:
            shown.append(f"... and {len(skipped) - _SHOWN} more")
        shown.append('nothing was done; mend these files, or set data.on_bad_image = "skip" to leave them out')
        raise InputError("\n".join(shown))
    return skipped


def plain_reason(error: GlassEdgeError, path: Path) -> str:
    """The complaint without its file name, which is told beside it."""
    return str(error).removeprefix(f"{path}: ")


def too_small(header: ImageHeader, tile: TileShape) -> str | None:
    """Why an image of this size holds no tile, or None."""
    if header.lines >= tile.height_px and header.width_px >= tile.width_px:
        return None
    return (
        f"{header.width_px} x {header.lines} px (width x lines) are smaller than a tile of {tile.width_px} x "
        f"{tile.height_px} px; choose a smaller tile in the recipe or take the image out"
    )


def _chosen(files: Mapping[str, Path], only: Collection[str], folder: Path) -> dict[str, Path]:
    missing = sorted(set(only) - files.keys())
    if missing:
        raise InputError(f"{folder / missing[0]}: not among the good images of {folder}; check its name")
    return {name: path for name, path in files.items() if name in only}


def _headers(files: Mapping[str, Path], problems: dict[str, str]) -> dict[str, ImageHeader]:
    headers: dict[str, ImageHeader] = {}
    for name, path in files.items():
        try:
            headers[name] = read_header(path)
        except InputError as error:
            problems[name] = plain_reason(error, path)
    return headers


def _check_headers(headers: Mapping[str, ImageHeader], tile: TileShape, problems: dict[str, str]) -> None:
    counts = Counter(header.channels for header in headers.values())
    usual = counts.most_common(1)[0][0] if counts else tile.channels
    for name, header in headers.items():
        if header.channels != usual:
            problems[name] = (
                f"{header.channels} channel(s), where {counts[usual]} other image(s) have {usual}; "
                "one data folder holds images of one kind"
            )
        elif header.channels > tile.channels:
            problems[name] = "an RGB image, but tile.channels = 1; convert it to grey or set tile.channels = 3"
        elif (reason := too_small(header, tile)) is not None:
            problems[name] = reason
