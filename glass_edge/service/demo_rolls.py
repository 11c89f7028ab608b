"""The rolls of the demonstration and the defects that are in them.

Promises: every true defect is known exactly: woven in by the loom simulator, or marked pixel by pixel in the samples;
a roll that is made fits its engine.

The first roll is linen: a photograph made endless, defects woven in. The second is real: greige cloth with stains (see
the samples' README).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glass_edge.acquisition.camera import Camera, LineBlock
from glass_edge.acquisition.loom.defects import parse_orders
from glass_edge.acquisition.loom.loom_camera import LoomCamera
from glass_edge.acquisition.loom.spec import LoomSpec
from glass_edge.acquisition.recording import ReplayCamera
from glass_edge.config.engine import EngineSettings
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.web import FixedSpan, WebSettings
from glass_edge.engine.bundle import Bundle
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import WebBox
from glass_edge.files import make_folder
from glass_edge.service.roll_job import RollJob, check_job

LINEN_DEFECTS = "hole:1@3x3,hole:1@2x1.5,stain:1@8x6,slub:2,broken_pick:2@30x0,missing_end:1@0x40,float:1"
LINEN_MM_PER_PX = 0.1
UNKNOWN_SCALE_MM_PER_PX = 0.1
"""What a pixel of the greige samples is taken for: their scale is not known."""


@dataclass(frozen=True, slots=True)
class Truth:
    """A defect that is there."""

    kind: str
    box_px: WebBox


@dataclass(frozen=True, slots=True)
class DemoRoll:
    """A roll to play and what is in it."""

    title: str
    job: RollJob
    truths: tuple[Truth, ...]


class TappedCamera:
    """A camera whose lines are also kept."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self.width_px, self.channels = camera.width_px, camera.channels
        self.is_simulated, self.first_line = camera.is_simulated, camera.first_line
        self.blocks: list[LineBlock] = []

    def __enter__(self) -> Self:
        """Open the camera."""
        self._camera.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the camera."""
        self._camera.__exit__(kind, error, trace)

    def read(self, timeout_s: float) -> LineBlock | None:
        """Next block, kept."""
        block = self._camera.read(timeout_s)
        if block is not None:
            self.blocks.append(block)
        return block


def linen_roll(bundle: Bundle, *, width_px: int, lines: int, seed: int, defects: str = LINEN_DEFECTS) -> DemoRoll:
    """Simulated linen with `defects` woven in.

    Raises:
        InputError: the defects do not fit the cloth, or the cloth does not fit the engine.
    """
    mm = bundle.manifest.mm_per_px or LINEN_MM_PER_PX
    spec = LoomSpec(
        cloth="photo:linen",
        width_px=width_px,
        mm_per_px=mm,
        mm_per_line=mm,
        section_lines=lines,
        seed=seed,
        defects=parse_orders(defects),
    )
    camera = LoomCamera(spec)
    truths = tuple(Truth(str(one.fault.kind), one.box_px) for one in camera.renderer.truths_between(0, lines))
    return _roll("simulated linen", "demo-linen", camera, bundle, mm=mm, truths=truths)


def greige_roll(bundle: Bundle, samples: Path, folder: Path) -> DemoRoll:
    """Greige cloth with stains: quadrants of the samples joined to the pieces of cloth they were, written to `folder`.

    Raises:
        InputError: a sample is missing, or the pieces do not fit the engine.
    """
    make_folder(folder)
    truths: list[Truth] = []
    pieces: list[Path] = []
    line = 0
    for stain in _list(samples / "test" / "stain", "*_q3.png"):
        name = stain.name.removesuffix("_q3.png")
        mask = samples / "ground_truth" / "stain" / f"{name}_q3_mask.png"
        upper, lower = _grey(samples / "test" / "good" / f"{name}_q1.png"), _grey(stain)
        piece = folder / f"{name}.png"
        Image.fromarray(np.concatenate([upper, lower])).save(piece)
        pieces.append(piece)
        truths += [Truth("stain", box) for box in _boxes(_grey(mask), line + len(upper))]
        line += len(upper) + len(lower)
    for good in _list(samples / "test" / "good", "*_q0.png"):
        pieces.append(good)
        line += len(_grey(good))
    mm = bundle.manifest.mm_per_px or UNKNOWN_SCALE_MM_PER_PX
    camera = ReplayCamera(pieces)
    title = "greige cloth with stains"
    return _roll(title, "demo-greige", camera, bundle, mm=mm, truths=tuple(truths))


def _roll(
    title: str, roll_id: str, camera: Camera, bundle: Bundle, *, mm: float, truths: tuple[Truth, ...]
) -> DemoRoll:
    span = FixedSpan(left_px=0, right_px=camera.width_px)  # the cloth fills the picture
    web = WebSettings(mm_per_px=mm, mm_per_line=mm, span=span)
    job = RollJob(roll_id, camera, bundle, web, EngineSettings(), InspectionSettings(), live=False)
    check_job(job)
    tapped = RollJob(roll_id, TappedCamera(camera), bundle, web, EngineSettings(), InspectionSettings(), live=False)
    return DemoRoll(title, tapped, truths)


def _list(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.glob(pattern))
    if not found:
        raise InputError(f"{folder}: no {pattern} here; the samples of the demonstration are in engines/demo/samples")
    return found


def _grey(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"), np.uint8)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); fetch the samples again") from error


def _boxes(mask: NDArray[np.uint8], first_line: int) -> list[WebBox]:
    """Boxes of the connected marks of a mask whose first row is web line `first_line`."""
    _, _, stats, _ = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8), connectivity=8)
    return [
        WebBox(int(left), int(left + width), first_line + int(top), first_line + int(top + height))
        for left, top, width, height, _ in stats[1:]
    ]
