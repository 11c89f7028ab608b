"""The virtual loom that a station file asks for.

Promises: what is woven is what the replay or the simulated loom of the same settings would hand over, line by line; the
loom is new every time, so the encoder starts at 0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from glass_edge.acquisition.camera import Camera, EndOfLinesError
from glass_edge.acquisition.virtual_loom import VirtualLoom
from glass_edge.config.camera import VirtualLoomSettings
from glass_edge.errors import InputError

_MOST_BYTES = 2 << 30  # a file of the folder is as long


def make_virtual_loom(settings: VirtualLoomSettings, cloth: Camera) -> Path:
    """Weave `cloth` to its end into a virtual loom; returns the producer.

    Args:
        settings: of the loom.
        cloth: source of the lines, not opened; a bounded one.

    Raises:
        InputError: the cloth is empty or too much, or there is no C compiler.
    """
    pieces, n_bytes = [], 0
    with cloth:
        while True:
            try:
                block = cloth.read(60.0)
            except EndOfLinesError:
                break
            if block is None:
                continue
            pieces.append(block.lines)
            n_bytes += block.lines.nbytes
            if n_bytes > _MOST_BYTES:
                raise InputError(
                    f"virtual_loom.cloth is more than {_MOST_BYTES >> 30} GiB; take fewer sections or images"
                )
    if not pieces:
        raise InputError("virtual_loom.cloth has no lines")
    lines = np.concatenate(pieces)
    with VirtualLoom.create(
        settings.folder,
        lines,
        serial=settings.serial,
        line_rate_hz=settings.line_rate_hz,
        counts_per_line=settings.counts_per_line,
    ) as loom:
        return loom.cti
