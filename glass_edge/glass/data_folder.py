"""What lies in a data folder, by file name.

Promises: the layout is recognised by its folders, never guessed, and a failed recognition says what was looked for:
MVTec AD, also that of MPDD, WFDD and of VisA once converted (train/good, test/<kind>, ground_truth/<kind>); VisA as
published (see `data_visa`); or images directly in the folder, all of them good. Lists are sorted by name; a mask
belongs to an image by its name, `<stem>_mask` or `<stem>` with any image ending, never by its position in a list.

Source of the layout: Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from glass_edge.errors import InputError
from glass_edge.glass.data_images import SUFFIXES
from glass_edge.glass.data_listing import folders_in, images_in, relative_name
from glass_edge.glass.data_visa import ANOMALY, MASKS, NORMAL, is_visa, visa_files

GOOD = "good"
_TRAIN, _TEST, _TRUTH = "train", "test", "ground_truth"
_VISA_KIND = "anomaly"
_LAYOUTS = (
    f"give a folder with good images or strips directly in it, one in the layout of MVTec AD, MPDD or WFDD "
    f"(train/good, test/<kind>, ground_truth/<kind>), or an object of VisA ({NORMAL})"
)


class Layout(StrEnum):
    """How a data folder is laid out."""

    FLAT = "images in the folder"
    MVTEC = "MVTec AD"
    VISA = "VisA"


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """An image of the test folder.

    Attributes:
        path: the file.
        name: its path relative to the data folder, with '/'.
        kind: folder name: 'good' or the kind of defect.
        mask: its mask; None for good cloth.
        holds_labels: every value of the mask above 0 is defect, not only those from half of full scale.
    """

    path: Path
    name: str
    kind: str
    mask: Path | None
    holds_labels: bool = False


def recognise(folder: Path) -> Layout:
    """The layout of a data folder.

    Raises:
        InputError: no such folder, two layouts at once, or none.
    """
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "no such folder"
        raise InputError(f"{folder}: {what}; {_LAYOUTS}")
    has_train = (folder / _TRAIN).is_dir()
    if is_visa(folder):
        if has_train or (folder / _TEST).is_dir():
            there = _TRAIN if has_train else _TEST
            raise InputError(f"{folder}: holds both {NORMAL} (VisA) and {there} (MVTec AD); take one of them out")
        return Layout.VISA
    if has_train:
        return Layout.MVTEC
    if (folder / _TEST).is_dir() or images_in(folder):
        return Layout.FLAT
    raise InputError(
        f"{folder}: no images ({', '.join(SUFFIXES)}) directly in it, no folder {_TRAIN}/{GOOD}, no {NORMAL}; "
        f"{_data_sets_below(folder) or _LAYOUTS}"
    )


def good_files(folder: Path) -> list[Path]:
    """Good images for training.

    Raises:
        InputError: no such folder, or no images where they are looked for.
    """
    layout = recognise(folder)
    if layout is Layout.VISA:
        files, place = list(visa_files(folder).train), folder / NORMAL
    else:
        place = folder / _TRAIN / GOOD if layout is Layout.MVTEC else folder
        if not place.is_dir():
            raise InputError(f"{place.parent}: has no folder '{GOOD}'; put the good images into {place}")
        files = images_in(place)
    if not files:
        what = "no images" if layout is Layout.FLAT else "no good images"
        raise InputError(f"{place}: {what} ({', '.join(SUFFIXES)}) in this folder; {_LAYOUTS}")
    return files


def labelled_files(folder: Path) -> tuple[list[LabelledFile], list[tuple[str, str]]]:
    """Images of the test folder with their masks.

    Returns:
        The images, and (name, complaint) of each that cannot be used: an image of a defect without a mask, a mask
        without an image, two masks.

    Raises:
        InputError: no such folder, no test folder, nothing in it.
    """
    if recognise(folder) is Layout.VISA:
        return _labelled_visa(folder)
    test, truth = folder / _TEST, folder / _TRUTH
    if not test.is_dir():
        raise InputError(
            f"{folder}: no folder '{_TEST}' in it; labelled images lie in {_TEST}/{GOOD} and {_TEST}/<kind of defect>, "
            f"their masks in {_TRUTH}/<kind of defect> (or in {ANOMALY} and {MASKS}, as in VisA)"
        )
    found: list[LabelledFile] = []
    complaints: list[tuple[str, str]] = []
    for kind in folders_in(test):
        if kind.name == GOOD:
            found += [LabelledFile(path, relative_name(path, folder), GOOD, None) for path in images_in(kind)]
            continue
        paired, unpaired = _pair(folder, images_in(kind), images_in(truth / kind.name), f"{_TRUTH}/{kind.name}")
        found += [LabelledFile(path, relative_name(path, folder), kind.name, mask) for path, mask in paired]
        complaints += unpaired
    complaints += [
        (relative_name(orphan, folder), f"masks without a folder {_TEST}/{orphan.name}; remove them or add the images")
        for orphan in folders_in(truth)
        if orphan.name != GOOD and not (test / orphan.name).is_dir()
    ]
    if not found and not complaints:
        raise InputError(f"{test}: no labelled images in its subfolders; put them into {test / GOOD} and test/<kind>")
    return found, complaints


def _labelled_visa(folder: Path) -> tuple[list[LabelledFile], list[tuple[str, str]]]:
    files = visa_files(folder)
    paired, complaints = _pair(folder, files.anomalies, images_in(folder / MASKS), MASKS)
    found = [LabelledFile(path, relative_name(path, folder), GOOD, None) for path in files.good]
    found += [
        LabelledFile(path, relative_name(path, folder), _VISA_KIND, mask, holds_labels=True) for path, mask in paired
    ]
    if not found and not complaints:
        raise InputError(f"{folder}: no test images in {NORMAL} and {ANOMALY}; copy them again from the data set")
    return found, complaints


def _pair(
    folder: Path, images: Sequence[Path], masks: Sequence[Path], place: str
) -> tuple[list[tuple[Path, Path]], list[tuple[str, str]]]:
    """Images with their masks, and complaints of images and masks that are alone."""
    paired: list[tuple[Path, Path]] = []
    complaints: list[tuple[str, str]] = []
    taken: set[Path] = set()
    by_stem: dict[str, list[Path]] = {}
    for mask in masks:
        by_stem.setdefault(mask.stem, []).append(mask)
    for path in images:
        own = by_stem.get(f"{path.stem}_mask", []) + by_stem.get(path.stem, [])
        taken.update(own)
        if len(own) == 1:
            paired.append((path, own[0]))
            continue
        wanted = f"{place}/{path.stem}_mask.png or {path.stem}.png"
        fault = f"no mask; {wanted} is needed" if not own else f"two masks; keep one of {wanted}"
        complaints.append((relative_name(path, folder), fault))
    complaints += [
        (relative_name(mask, folder), "a mask without its image; remove it or add the image")
        for mask in masks
        if mask not in taken
    ]
    return paired, complaints


def _data_sets_below(folder: Path) -> str | None:
    """Advice when the folder holds data sets rather than images."""
    found = [one.name for one in folders_in(folder) if is_visa(one) or (one / _TRAIN / GOOD).is_dir()]
    return f"it holds {len(found)} data set(s): {', '.join(found)}; give the folder of one" if found else None
