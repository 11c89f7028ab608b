"""Pictures out of a recording of raw lines.

Promises: a picture is consecutive lines without a hole; they are spread over the whole recording; lines of one block
are in memory at a time, and those of one picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from glass_edge.acquisition.raw_player import RawPlayer

_PICTURE_LINES = 512
_MOST_PICTURES = 32


def recorded_pictures(player: RawPlayer) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Up to about 32 pictures of 512 lines, uint8 (512, width[, 3]), each with the web line it begins at in its name.

    A recording that holds no 512 lines in a row gives none.
    """
    from glass_edge.acquisition.camera import EndOfLinesError

    n_lines = sum(path.stat().st_size for path in player.files) // (player.width_px * player.channels)
    step = max(_PICTURE_LINES, n_lines // _MOST_PICTURES)
    parts: list[NDArray[np.uint8]] = []
    held = due = following = 0
    with player:
        while True:
            try:
                block = player.read(60.0)
            except EndOfLinesError:
                return
            if block is None:
                continue
            if block.starts_segment or block.first_line != following:
                parts, held = [], 0
            following = block.end_line
            if block.end_line <= due:
                continue
            parts.append(block.lines[: _PICTURE_LINES - held])
            held += len(parts[-1])
            if held == _PICTURE_LINES:
                first = block.first_line + len(parts[-1]) - held
                yield f"{player.files[0].parent}, line {first}", np.concatenate(parts)
                parts, held, due = [], 0, first + step
