"""Selvedges have a threshold of their own.

Promises: cells of the selvedge zone are lowered by one stated offset and all others stay bit for bit; the decision is
the same whatever the chunks the strip comes in.

The selvedge is woven differently and is a small part of the cloth, so its good scores are higher than those of the body
(on AITEX fabric03 the largest good score was 3.1 within 256 px of the selvedge and below 0.1 elsewhere). One threshold
for both would have to be that of the selvedge.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from glass_edge.fabric.geometry import ClothSpan
from glass_edge.inspection.score_strip import ScoreStrip


@dataclass(frozen=True, slots=True)
class SelvedgeZone:
    """Cloth beside a selvedge.

    Attributes:
        width_px: width of the zone from the selvedge inwards, camera px.
        offset_logit: how much higher the threshold is there; from 0.
    """

    width_px: int
    offset_logit: float


def zone_cells(strip: ScoreStrip, cloth: ClothSpan, image_width_px: int, width_px: int) -> tuple[int, int]:
    """Columns of `strip` in the left and in the right selvedge zone: [0, left) and [right, cells).

    Where the cloth reaches the image's edge there is no selvedge. A cell belongs to the zone if any of its pixels does.
    """
    cells, stride = strip.logits.shape[1], strip.stride_px
    left, right = 0, cells
    if width_px > 0 and cloth.left_px > 0:
        left = -(-(cloth.left_px + width_px) // stride) - strip.first_cell
    if width_px > 0 and cloth.right_px < image_width_px:
        right = (cloth.right_px - width_px) // stride - strip.first_cell
    left, right = min(max(left, 0), cells), min(max(right, 0), cells)
    return left, max(left, right)


def lower_selvedges(strip: ScoreStrip, cloth: ClothSpan, image_width_px: int, zone: SelvedgeZone | None) -> ScoreStrip:
    """The smoothed strip with the logits of its selvedge zones lowered by the offset.

    Args:
        strip: smoothed logits.
        cloth: selvedge to selvedge, image columns.
        image_width_px: pixels of a camera line.
        zone: None: nothing is lowered.
    """
    if zone is None or zone.offset_logit == 0:
        return strip
    left, right = zone_cells(strip, cloth, image_width_px, zone.width_px)
    logits = strip.logits.copy()
    logits[:, :left] -= zone.offset_logit
    logits[:, right:] -= zone.offset_logit
    return replace(strip, logits=logits)
