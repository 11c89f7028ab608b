"""Which columns count, and which the tiles must reach, where the cloth lies somewhere.

Promises: a pure function of the cloth's place and of the tiles' halo and stride; nothing is remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.inspection.parameters import followed_span, inspected_span
from glass_edge.inspection.strip_scorer import StripScorer
from glass_edge.inspection.tile_plan import TileGeometry


@dataclass(frozen=True, slots=True)
class ClothColumns:
    """The rules of a station.

    Attributes:
        margin_mm: strip inside each selvedge that is not inspected; at least the halo.
        wander_mm: way of a selvedge that the tiles leave room for; 0: none.
        scale: size of a pixel.
    """

    margin_mm: float
    wander_mm: float
    scale: WebScale

    def inspected(self, cloth: ClothSpan, width_px: int, tiles: TileGeometry) -> ClothSpan:
        """The columns whose scores count (`inspected_span`), on lines of `width_px`.

        Raises:
            InputError: none is left.
        """
        halo, stride = tiles.halo_px, tiles.stride_px
        return inspected_span(cloth, width_px, self.margin_mm, self.scale, halo_px=halo, stride_px=stride)

    def covered(self, cloths: Sequence[ClothSpan], width_px: int, tiles: TileGeometry) -> ClothSpan:
        """The columns that tiles must reach: cloth that lies at the first of `cloths` may wander, the others were seen.

        Raises:
            InputError: no column of one of them counts.
        """
        spans = [self.inspected(cloth, width_px, tiles) for cloth in cloths]
        if self.wander_mm > 0:
            halo, stride = tiles.halo_px, tiles.stride_px
            spans.append(
                followed_span(spans[0], cloths[0], width_px, self.wander_mm, self.scale, halo_px=halo, stride_px=stride)
            )
        return ClothSpan(min(span.left_px for span in spans), max(span.right_px for span in spans))

    def are_within(self, scorers: Sequence[StripScorer], cloth: ClothSpan, width_px: int) -> bool:
        """Whether the tiles of open segments reach all that counts of `cloth`; False too where nothing does."""
        for scorer in scorers:
            assert scorer.plan is not None
            covered = scorer.plan.span
            try:
                inspected = self.inspected(cloth, width_px, scorer.geometry)
            except InputError:
                return False
            if inspected.left_px < covered.left_px or inspected.right_px > covered.right_px:
                return False
        return True
