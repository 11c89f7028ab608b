"""The layout of VisA: one object's folder with Data/Images/Normal, Data/Images/Anomaly and Data/Masks/Anomaly.

Promises: the official split is used where it is (`split_csv/1cls.csv`, beside the object's folder as in the archive, or
in it), and every image must be in it; without it about one normal image in ten is a test image, chosen by a hash of its
name alone, so that images added later never move one that was trained on into the test. Masks belong to images by
name; they hold labels, and every value above 0 is defect.

Source of layout and split: Zou et al., "SPot-the-Difference Self-supervised Pre-training for Anomaly Detection and
Segmentation", ECCV 2022, and the data set's published preparation.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from pathlib import Path

from glass_edge.errors import InputError
from glass_edge.glass.data_listing import images_in, relative_name

NORMAL, ANOMALY, MASKS = "Data/Images/Normal", "Data/Images/Anomaly", "Data/Masks/Anomaly"
SPLIT = "split_csv/1cls.csv"
_COLUMNS = ("object", "split", "label", "image")
_ONE_IN = 10
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class VisaFiles:
    """Images of an object, each list sorted by name.

    Attributes:
        train: normal images to train on.
        good: normal test images.
        anomalies: test images with defects.
        split: the split file used, or None.
    """

    train: tuple[Path, ...]
    good: tuple[Path, ...]
    anomalies: tuple[Path, ...]
    split: Path | None


def is_visa(folder: Path) -> bool:
    """Whether a folder has the layout."""
    return (folder / NORMAL).is_dir()


def split_file(folder: Path) -> Path | None:
    """The split file of an object's folder, None when there is none."""
    places = (folder / SPLIT, folder.resolve().parent / SPLIT)
    return next((place for place in places if place.is_file()), None)


def visa_files(folder: Path) -> VisaFiles:
    """The images of an object's folder, divided.

    Raises:
        InputError: a split file that cannot be read, says nothing of this object, trains on anomalies or leaves images
            out.
    """
    normal, anomalies = images_in(folder / NORMAL), images_in(folder / ANOMALY)
    split = split_file(folder)
    if split is None:
        tested = _chosen_by_name(normal)
        return VisaFiles(
            tuple(path for path in normal if path not in tested),
            tuple(path for path in normal if path in tested),
            tuple(anomalies),
            None,
        )
    parts = _read_split(split, folder)
    names = {relative_name(path, folder) for path in (*normal, *anomalies)}
    _check(split, folder, unlisted=names - parts.keys(), missing=parts.keys() - names)
    trained = tuple(path for path in normal if parts[relative_name(path, folder)] == "train")
    tested = frozenset(normal).difference(trained)
    return VisaFiles(trained, tuple(path for path in normal if path in tested), tuple(anomalies), split)


def _chosen_by_name(paths: list[Path]) -> frozenset[Path]:
    """About a tenth, one at least where there are two."""
    digests = {path: int(hashlib.sha256(path.name.encode()).hexdigest(), 16) for path in paths}
    chosen = frozenset(path for path, digest in digests.items() if digest % _ONE_IN == 0)
    if not chosen and len(paths) > 1:
        chosen = frozenset([min(digests, key=lambda path: digests[path])])
    return chosen


def _read_split(split: Path, folder: Path) -> dict[str, str]:
    """'train' or 'test' by name relative to `folder`."""
    wanted = folder.resolve().name
    parts: dict[str, str] = {}
    try:
        with split.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            absent = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
            if absent:
                raise InputError(f"{split}: no column '{absent[0]}'; the columns are {', '.join(_COLUMNS)} and mask")
            for row in reader:
                if row["object"] != wanted:
                    continue
                image, part = row["image"] or "", row["split"]
                where = f"{split}, line {reader.line_num}"
                if part not in ("train", "test") or not image.startswith(f"{wanted}/"):
                    raise InputError(
                        f"{where}: split '{part}', image '{image}'; give train or test, and {wanted}/Data/Images/..."
                    )
                if part == "train" and row["label"] != "normal":
                    raise InputError(f"{where}: '{image}' is no normal image and cannot be trained on; use 1cls.csv")
                parts[image.removeprefix(f"{wanted}/")] = part
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{split}: cannot be read ({error}); copy it again from the data set") from error
    if not parts:
        raise InputError(
            f"{split}: has no line of object '{wanted}'; give {folder} the object's name, or take the split file away"
        )
    return parts


def _check(split: Path, folder: Path, *, unlisted: set[str], missing: set[str]) -> None:
    for names, fault, remedy in (
        (unlisted, f"not named in {split}", "add their lines, or take them out"),
        (missing, f"missing, but named in {split}", "copy them again, or take their lines out"),
    ):
        if names:
            shown = ", ".join(sorted(names)[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" * (len(names) > _SHOWN))
            raise InputError(f"{folder}: {shown}: {fault}; {remedy}")
