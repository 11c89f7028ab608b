"""What lies in a data folder, by file name.

Promises: the layout is recognised, never guessed (MVTec AD: train/good, test/<kind>, ground_truth/<kind>; or images
directly in the folder, all of them good); lists are sorted by name; a mask belongs to an image by its name,
`<stem>_mask.png` or `<stem>.png`, never by its position in a list.

Source of the layout: Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from glass_edge.errors import InputError
from glass_edge.glass.data_images import SUFFIXES

GOOD = "good"
_LAYOUTS = (
    "give a folder with good images or strips directly in it, or one in MVTec AD layout "
    "(train/good, test/<kind>, ground_truth/<kind>)"
)


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """An image of the test folder.

    Attributes:
        path: the file.
        name: its path relative to the data folder, with '/'.
        kind: folder name: 'good' or the kind of defect.
        mask: its mask; None for good cloth.
    """

    path: Path
    name: str
    kind: str
    mask: Path | None


def relative_name(path: Path, folder: Path) -> str:
    """Name of a file in records: relative to the data folder, with '/'."""
    return path.relative_to(folder).as_posix()


def good_files(folder: Path) -> list[Path]:
    """Good images for training.

    Raises:
        InputError: no such folder, or no images where they are looked for.
    """
    _require_folder(folder)
    train = folder / "train"
    place = train / GOOD if train.is_dir() else folder
    if train.is_dir() and not place.is_dir():
        raise InputError(f"{train}: has no folder '{GOOD}'; put the good images into {place}")
    files = _images(place)
    if not files:
        kinds = ", ".join(SUFFIXES)
        what = "no good images" if place != folder else "no images"
        raise InputError(f"{place}: {what} ({kinds}) in this folder; {_LAYOUTS}")
    return files


def labelled_files(folder: Path) -> tuple[list[LabelledFile], list[tuple[str, str]]]:
    """Images of the test folder with their masks.

    Returns:
        The images, and (name, complaint) of each that cannot be used: an image of a defect without a mask, a mask
        without an image, two masks.

    Raises:
        InputError: no such folder, no test folder, nothing in it.
    """
    _require_folder(folder)
    test = folder / "test"
    if not test.is_dir():
        raise InputError(
            f"{folder}: no folder 'test' in it; labelled images lie in test/{GOOD} and test/<kind of defect>, "
            "their masks in ground_truth/<kind of defect>"
        )
    found: list[LabelledFile] = []
    complaints: list[tuple[str, str]] = []
    for kind in _subfolders(test):
        images = _images(kind)
        masks = [] if kind.name == GOOD else _images(folder / "ground_truth" / kind.name)
        taken: set[Path] = set()
        for path in images:
            name = relative_name(path, folder)
            if kind.name == GOOD:
                found.append(LabelledFile(path, name, GOOD, None))
                continue
            own = [mask for mask in masks if mask.stem in (f"{path.stem}_mask", path.stem)]
            taken.update(own)
            if len(own) == 1:
                found.append(LabelledFile(path, name, kind.name, own[0]))
                continue
            wanted = f"ground_truth/{kind.name}/{path.stem}_mask.png or {path.stem}.png"
            complaints.append((name, f"no mask; {wanted} is needed" if not own else f"two masks; keep one of {wanted}"))
        complaints += [
            (relative_name(mask, folder), f"a mask without its image in test/{kind.name}; remove it or add the image")
            for mask in masks
            if mask not in taken
        ]
    for orphan in _subfolders(folder / "ground_truth"):
        if not (test / orphan.name).is_dir():
            complaints.append((relative_name(orphan, folder), f"masks without a folder test/{orphan.name}"))
    if not found:
        raise InputError(f"{test}: no labelled images in its subfolders; put them into {test / GOOD} and test/<kind>")
    return found, complaints


def _require_folder(folder: Path) -> None:
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "no such folder"
        raise InputError(f"{folder}: {what}; {_LAYOUTS}")


def _images(folder: Path) -> list[Path]:
    return _sorted(path for path in _children(folder) if path.suffix.lower() in SUFFIXES and path.is_file())


def _subfolders(folder: Path) -> list[Path]:
    return _sorted(path for path in _children(folder) if path.is_dir())


def _children(folder: Path) -> Iterable[Path]:
    if not folder.is_dir():
        return []
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}); check its permissions") from error


def _sorted(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.name)
