"""Harvesters as the peer of the virtual loom's tests: opening a camera, taking blocks, decoding pixel formats."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

if shutil.which((shlex.split(os.environ.get("CC", "")) or ["cc"])[0]) is None:
    pytest.skip("no C compiler to build the virtual loom with", allow_module_level=True)
core = pytest.importorskip("harvesters.core", reason="needs the extra 'genicam' (harvesters)", exc_type=ImportError)
gentl = pytest.importorskip("genicam.gentl", reason="needs the extra 'genicam' (genicam)", exc_type=ImportError)
genapi = pytest.importorskip("genicam.genapi", reason="needs the extra 'genicam' (genicam)", exc_type=ImportError)
logging.getLogger("harvesters").setLevel(logging.CRITICAL)


@dataclass
class Taken:
    """What one fetched buffer said, copied before the buffer was given back."""

    frame_id: int
    timestamp_ns: int
    data_format: str
    raw: NDArray[np.uint8]
    height: int
    encoder: tuple[int, int] | None = None
    counts: list[int] = field(default_factory=list)
    chunks: dict[str, Any] | None = None


@contextmanager
def harvester(cti: Path) -> Iterator[Any]:
    """A Harvester with one producer; the interrupt handler it takes is given back."""
    handler = signal.getsignal(signal.SIGINT)
    h = core.Harvester()
    try:
        h.add_file(str(cti), check_existence=True, check_validity=True)
        h.update()
        yield h
    finally:
        h.reset()
        signal.signal(signal.SIGINT, handler)


@contextmanager
def opened(cti: Path, serial: str = "LOOM-1", n_buffers: int = 100) -> Iterator[Any]:
    """An image acquirer on one camera of a producer."""
    with harvester(cti) as h:
        ia = h.create({"serial_number": serial})
        try:
            ia.num_buffers = n_buffers
            yield ia
        finally:
            ia.destroy()


Peer = Any
"""An object of harvesters, which has no types."""


def set_up(nodes: Peer, *, height: int = 32, encoder: bool = True, chunks: bool = True, **features: object) -> None:
    """Give the camera its frame height, line trigger, chunks and any other features by name."""
    nodes.Height.value = height
    nodes.TriggerSelector.value = "LineStart"
    nodes.TriggerMode.value = "On" if encoder else "Off"
    nodes.TriggerSelector.value = "FrameStart"
    nodes.ChunkModeActive.value = chunks
    for name, value in features.items():
        getattr(nodes, name).value = value


def take(ia: Peer, *, timeout_s: float = 5.0, every_line: bool = False) -> Taken:
    """Fetch one complete buffer, with the encoder counts of its first and last line or of every line."""
    nodes = ia.remote_device.node_map
    with ia.fetch(timeout=timeout_s) as buffer:
        component = buffer.payload.components[0]
        height = component.height
        raw = np.frombuffer(component.data.tobytes(), np.uint8)
        taken = Taken(buffer.module.frame_id, buffer.timestamp_ns, component.data_format, raw, height)
        if nodes.ChunkModeActive.value:
            for line in range(height) if every_line else (0, height - 1):
                nodes.ChunkScanLineSelector.value = line
                taken.counts.append(nodes.ChunkEncoderValue.value)
            nodes.ChunkScanLineSelector.value = 0
            taken.encoder = (taken.counts[0], taken.counts[-1])
            names = ("FrameID", "Timestamp", "EncoderStatusValue", "LineStatusAll")
            taken.chunks = {name: getattr(nodes, f"Chunk{name}").value for name in names}
        return taken


def expected_levels(grey: NDArray[np.uint8], bits: int) -> NDArray[np.uint16]:
    """What a format of `bits` bits must carry of 8-bit cloth."""
    return (grey.astype(np.uint32) * 257 >> (16 - bits)).astype(np.uint16)


def take_until_silent(ia: Peer, *, silence_s: float = 0.3) -> list[Taken]:
    """Blocks until none came for `silence_s`."""
    blocks: list[Taken] = []
    with contextlib.suppress(gentl.TimeoutException):
        while len(blocks) < 200:
            blocks.append(take(ia, timeout_s=silence_s))
        pytest.fail("the camera does not fall silent")
    return blocks
