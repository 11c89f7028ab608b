"""Chunk data of a block: encoder, frame id, line number, time.

Promises: whatever a vendor's parser throws is counted and costs the chunk, never the lines; a block in which lines are
missing, or in which the web turned, is taken apart into the stretches that hang together, where the camera keeps an
encoder count a line (SFNC ChunkScanLineSelector).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from glass_edge.acquisition.genicam_features import Features
from glass_edge.acquisition.line_counter import BlockTags
from glass_edge.acquisition.line_runs import straight_runs

_ERRORS_TO_PAUSE, _PAUSE_BLOCKS = 20, 20  # errors in a row, after which only every so many blocks are tried
_LOOKING_SHARE = 0.05  # of the time may go into reading the encoder at every line of blocks that are not straight
_MOST_PARTS = 8


class ChunkReader:
    """Reads the chunks of one open camera.

    Args:
        acquirer: harvesters' ImageAcquirer.
        features: of the camera.
        nodes: node of each chunk that comes, by its name in a profile.
        counts_per_line: encoder counts from one line to the next.
    """

    def __init__(self, acquirer: Any, features: Features, nodes: Mapping[str, Any], counts_per_line: float) -> None:  # noqa: ANN401
        self._acquirer = acquirer
        self._features = features
        self._nodes = nodes
        self._counts_per_line = counts_per_line
        self._in_a_row = self._untried = 0
        self._began_s = time.monotonic()
        self._looked_s = 0.0
        self.errors = 0

    def read(self, buffer: Any, n_lines: int) -> dict[str, int]:  # noqa: ANN401
        """Values of a block's chunks, and `encoder_last`, the encoder at its last line; empty where there are none."""
        if not self._nodes:
            return {}
        if self._in_a_row >= _ERRORS_TO_PAUSE and self._untried < _PAUSE_BLOCKS:
            self._untried += 1
            return {}
        self._untried = 0
        try:
            self._acquirer._update_chunk_data(buffer=buffer, is_manual=True)  # public only with a payload
            values = {chunk: int(node.value) for chunk, node in self._nodes.items()}
            if "encoder" in values and self._features.node("ChunkScanLineSelector") is not None:
                values["encoder"], values["encoder_last"] = self._encoder_at(0), self._encoder_at(n_lines - 1)
        except Exception:  # noqa: BLE001 - parsers raise anything; lines matter more
            self.errors += 1
            self._in_a_row += 1
            return {}
        self._in_a_row = 0
        return values

    def parts(self, tags: BlockTags) -> list[tuple[int, int, BlockTags]]:
        """First line, line after the last, and tags of each stretch of the block that was read last."""
        whole = [(0, tags.n_lines, tags)]
        if tags.encoder_count is None or tags.encoder_count_last is None or tags.n_lines < 2:
            return whole
        began = time.monotonic()
        thorough = self._looked_s <= _LOOKING_SHARE * (began - self._began_s)
        try:
            runs = straight_runs(
                self._encoder_at, tags.n_lines, self._counts_per_line, most=_MOST_PARTS, thorough=thorough
            )
            if runs is None or len(runs) == 1:
                return whole
            return [(begin, end, self._part(tags, begin, end)) for begin, end in runs]
        except Exception:  # noqa: BLE001 - as above
            self.errors += 1
            return whole
        finally:
            self._looked_s += time.monotonic() - began

    def _part(self, tags: BlockTags, begin: int, end: int) -> BlockTags:
        first, last = self._encoder_at(begin), self._encoder_at(end - 1)
        return replace(tags, n_lines=end - begin, encoder_count=first, encoder_count_last=last)

    def _encoder_at(self, line: int) -> int:
        selector = self._features.node("ChunkScanLineSelector")
        assert selector is not None
        selector.value = line
        return int(self._nodes["encoder"].value)
