"""Simulated strips and data sets on disk.

Promises: the output folder appears whole or not at all (written beside, renamed at the end); it must not exist before,
or be empty. A data set is in MVTec AD layout: train/good, test/good, test/<kind>, ground_truth/<kind>/*_mask.png, and
dataset.json with the truth of every image. Train and test strips are different pieces of the same cloth under the same
camera.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from glass_edge.acquisition.loom.defects import DefectOrder
from glass_edge.acquisition.loom.noise import key_of
from glass_edge.acquisition.loom.png import PngStream
from glass_edge.acquisition.loom.renderer import LoomRenderer
from glass_edge.acquisition.loom.spec import LoomSpec
from glass_edge.acquisition.loom.truth import describe_strip
from glass_edge.errors import InputError
from glass_edge.files import make_folder, sync_folder, write_json

_BLOCK_LINES = 256
_SECTIONS_A_KIND = 1_000_000
Progress = Callable[[int], None]


def _no_progress(lines: int) -> None:
    del lines


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` to fill; it becomes `out` on a clean exit and is removed otherwise.

    Raises:
        InputError: `out` is a file or has something in it, or its parent cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} exists and is not an empty folder; give a new name or remove it first")
    make_folder(out.absolute().parent)
    try:
        partial = Path(tempfile.mkdtemp(dir=out.absolute().parent, prefix=f".~{out.name}-"))
    except OSError as error:
        raise InputError(f"cannot write beside {out}: {error.strerror}; give a writable place") from error
    try:
        yield partial
        partial.chmod(0o755)
        partial.replace(out.absolute())
        sync_folder(out.absolute().parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_lines(path: Path, renderer: LoomRenderer, first: int, n_lines: int, *, mask: bool, tick: Progress) -> None:
    with path.open("wb") as stream:
        png = PngStream(stream, renderer.spec.width_px, n_lines)
        for line in range(first, first + n_lines, _BLOCK_LINES):
            count = min(_BLOCK_LINES, first + n_lines - line)
            png.write(renderer.mask(line, count) if mask else renderer.render(line, count))
            tick(0 if mask else count)
        png.finish()
        stream.flush()
        os.fsync(stream.fileno())


def write_strip(spec: LoomSpec, out: Path, tick: Progress = _no_progress) -> dict[str, Any]:
    """Write strip.png, mask.png and truth.json of all of `spec` into the new folder `out`; returns the truth.

    `tick` is called with the number of lines written since its last call.

    Raises:
        InputError: `out` is in use, the spec has no end, or its defects do not fit.
    """
    if spec.end_line is None:
        raise InputError("a loom that never stops cannot be written to a file; give a number of sections")
    with whole_folder(out) as folder:
        renderer = LoomRenderer(spec)
        _write_lines(folder / "strip.png", renderer, 0, spec.end_line, mask=False, tick=tick)
        _write_lines(folder / "mask.png", renderer, 0, spec.end_line, mask=True, tick=tick)
        truth = describe_strip(renderer, 0, spec.end_line) | {"image": "strip.png", "mask": "mask.png"}
        write_json(folder / "truth.json", truth)
    return truth


def dataset_strips(spec: LoomSpec, good: int, test_good: int) -> int:
    """Number of strips `write_dataset` writes."""
    return good + test_good + sum(order.count for order in spec.defects)


def write_dataset(
    spec: LoomSpec, out: Path, *, good: int, test_good: int, tick: Progress = _no_progress
) -> dict[str, Any]:
    """Write a data set of strips of `spec.section_lines` lines into the new folder `out`; returns its description.

    `good` strips for training, `test_good` good ones for testing, and for each order of `spec.defects` as many test
    strips as it counts, each with one such defect.

    Raises:
        InputError: `out` is in use, a count is impossible, or the defects do not fit.
    """
    if not 1 <= good <= 100_000 or not 0 <= test_good <= 100_000:
        raise InputError(f"{good} good strips and {test_good} for testing; give 1 to 100000 and 0 to 100000")
    camera_seed = spec.seed if spec.camera_seed is None else spec.camera_seed
    cloth = replace(spec, camera_seed=camera_seed, sections=None, defects=())
    test_seed = key_of(spec.seed, "test") >> 1
    images: list[dict[str, Any]] = []
    with whole_folder(out) as folder:

        def write_set(
            renderer: LoomRenderer, split: str, kind: str, count: int, *, first_section: int = 0, first_name: int = 0
        ) -> None:
            place = make_folder(folder / split / kind)
            for number in range(count):
                first = (first_section + number) * spec.section_lines
                name = f"{first_name + number:04d}"
                _write_lines(place / f"{name}.png", renderer, first, spec.section_lines, mask=False, tick=tick)
                entry = describe_strip(renderer, first, spec.section_lines) | {"image": f"{split}/{kind}/{name}.png"}
                if kind != "good":
                    masks = make_folder(folder / "ground_truth" / kind)
                    mask_path = masks / f"{name}_mask.png"
                    _write_lines(mask_path, renderer, first, spec.section_lines, mask=True, tick=tick)
                    entry["mask"] = f"ground_truth/{kind}/{name}_mask.png"
                images.append(entry)

        write_set(LoomRenderer(cloth), "train", "good", good)
        if test_good:
            write_set(LoomRenderer(replace(cloth, seed=test_seed)), "test", "good", test_good)
        written: dict[str, int] = {}
        for number, order in enumerate(spec.defects, start=1):
            one = DefectOrder(order.kind, 1, order.width_mm, order.length_mm)
            renderer = LoomRenderer(replace(cloth, seed=test_seed, defects=(one,)))
            before = written.get(order.kind, 0)
            # Each kind is woven into cloth of its own, far from that of the other kinds.
            first_section = number * _SECTIONS_A_KIND
            write_set(renderer, "test", str(order.kind), order.count, first_section=first_section, first_name=before)
            written[order.kind] = before + order.count
        counts = {"train_good": good, "test_good": test_good, "defects": {str(k): n for k, n in written.items()}}
        write_json(folder / "dataset.json", {"format": 1, "counts": counts, "images": images})
    return counts
