"""Pictures of defects on disk.

Promises: a picture is whole or absent; all pictures together never take more than the budget (the oldest make room);
pictures of other rolls and runs are never overwritten.

Each defect has two PNG files: `<number>.png`, the cloth, and `<number>-score.png`, the probability of a defect
(0..255) on the same pixels, 0 where nothing was scored.
"""

from __future__ import annotations

import io
import re
from collections import deque
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glass_edge.errors import GlassEdgeError
from glass_edge.files import make_folder, write_bytes
from glass_edge.inspection.sink import DefectCrop


class CropsFullError(GlassEdgeError):
    """A picture could not be kept."""


class CropStore:
    """The folder of pictures of one station.

    Args:
        folder: made when absent; what is in it counts towards the budget.
        budget_bytes: most bytes of all pictures.

    Raises:
        InputError: the folder cannot be made.
    """

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        self.folder = make_folder(folder)
        self._budget = budget_bytes
        found = [(path, path.stat()) for path in folder.glob("*/*.png")]
        found.sort(key=lambda item: item[1].st_mtime_ns)
        self._files = deque((path, stat.st_size) for path, stat in found)
        self._bytes = sum(size for _, size in self._files)
        self._roll = ""

    @property
    def held_bytes(self) -> int:
        """Bytes of all pictures."""
        return self._bytes

    def start_roll(self, roll_id: str) -> None:
        """Pictures from here on belong to a new roll and get a folder of their own."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")[:-3]
        self._roll = f"{re.sub(r'[^A-Za-z0-9._-]', '_', roll_id)[:80]}-{stamp}"

    def keep(self, defect_id: int, crop: DefectCrop) -> str:
        """Write the pictures of a defect; returns the name of the cloth's relative to the folder.

        Raises:
            CropsFullError: the disk is full or cannot be written, or one picture exceeds the budget.
        """
        pictures = [(f"{defect_id:06d}.png", crop.image), (f"{defect_id:06d}-score.png", score_picture(crop))]
        encoded = [(name, _png(pixels)) for name, pixels in pictures]
        needed = sum(len(data) for _, data in encoded)
        if needed > self._budget:
            raise CropsFullError(f"a picture of {needed} bytes exceeds the budget of {self._budget} bytes")
        try:
            while self._bytes + needed > self._budget and self._files:
                self._drop_oldest()
            folder = make_folder(self.folder / self._roll)
            for name, data in encoded:
                write_bytes(folder / name, data)
                self._files.append((folder / name, len(data)))
                self._bytes += len(data)
        except (OSError, GlassEdgeError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise CropsFullError(
                f"pictures of defects cannot be kept in {self.folder} ({reason}); free space there or mend its "
                "permissions; the inspection goes on without them"
            ) from error
        return f"{self._roll}/{encoded[0][0]}"

    def _drop_oldest(self) -> None:
        path, size = self._files.popleft()
        path.unlink(missing_ok=True)
        self._bytes -= size
        if path.parent.name != self._roll and not any(path.parent.iterdir()):
            path.parent.rmdir()


def score_picture(crop: DefectCrop) -> NDArray[np.uint8]:
    """Probabilities as grey values, uint8 of the image's lines and columns."""
    box, covered = crop.box_px, crop.scores_box_px
    shape = (box.end_line - box.first_line, box.right_px - box.left_px)
    picture = np.zeros(shape, np.uint8)
    if crop.logits.size == 0:
        return picture
    rows, cells = crop.logits.shape
    stride = (covered.right_px - covered.left_px) // cells
    grey = np.nan_to_num(255.0 / (1.0 + np.exp(-crop.logits.astype(np.float64))), nan=0.0)
    of_line = (np.arange(box.first_line, box.end_line) - covered.first_line) // stride
    of_column = (np.arange(box.left_px, box.right_px) - covered.left_px) // stride
    seen = ((of_line >= 0) & (of_line < rows))[:, None] & ((of_column >= 0) & (of_column < cells))[None, :]
    values = np.rint(grey)[np.clip(of_line, 0, rows - 1)][:, np.clip(of_column, 0, cells - 1)]
    picture[seen] = values[seen].astype(np.uint8)
    return picture


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=1)
    return stream.getvalue()
