"""Found defects beside the true ones.

Promises: a true defect is found when the box of a found one overlaps its box grown by the reach; a found defect that
overlaps no true one so is a false alarm; several found parts of one true defect are no false alarms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glass_edge.fabric.geometry import WebBox


@dataclass(frozen=True, slots=True)
class Match:
    """Outcome of a comparison; numbers are places in the two lists.

    Attributes:
        found_of_truth: for each true defect the found ones that overlap it.
        false_alarms: found defects that overlap none.
    """

    found_of_truth: tuple[tuple[int, ...], ...]
    false_alarms: tuple[int, ...]

    @property
    def n_found(self) -> int:
        """True defects that were found."""
        return sum(bool(found) for found in self.found_of_truth)


def match_boxes(truths: Sequence[WebBox], found: Sequence[WebBox], reach_px: int) -> Match:
    """Compare boxes; `reach_px` is how far a score may lie from what caused it, lines and columns."""
    pairs = tuple(tuple(place for place, box in enumerate(found) if _overlap(truth, box, reach_px)) for truth in truths)
    hit = {place for places in pairs for place in places}
    return Match(pairs, tuple(place for place in range(len(found)) if place not in hit))


def _overlap(truth: WebBox, found: WebBox, reach_px: int) -> bool:
    return (
        truth.left_px - reach_px < found.right_px
        and found.left_px < truth.right_px + reach_px
        and truth.first_line - reach_px < found.end_line
        and found.first_line < truth.end_line + reach_px
    )
