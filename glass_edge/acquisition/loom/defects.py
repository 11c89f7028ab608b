"""Which defects go where.

Promises: an order reads `kind:count` or `kind:count@WIDTHxLENGTH` (mm, WIDTH may be `full`), several joined by commas;
placing is deterministic by seed, defects keep a distance from each other, from the selvedges and from the ends of
their section, and an order that does not fit is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

from glass_edge.acquisition.loom.cloth import ClothSource, DefectKind, Fault, Patch
from glass_edge.acquisition.loom.noise import key_of, uniform
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import WebScale

_ORDER = re.compile(r"(?P<kind>[a-z_]+)(?::(?P<count>\d+))?(?:@(?P<width>full|[\d.]+)x(?P<length>[\d.]+))?")
_ATTEMPTS = 400
_MAX_COUNT = 1000
_KEEP_AWAY_MM = 3.0

NATURAL_SIZE_MM: dict[DefectKind, tuple[tuple[float, float], tuple[float, float]]] = {
    DefectKind.BROKEN_PICK: ((40.0, 150.0), (0.0, 0.0)),
    DefectKind.MISSING_END: ((0.0, 0.0), (30.0, 120.0)),
    DefectKind.SLUB: ((6.0, 20.0), (1.0, 1.8)),
    DefectKind.HOLE: ((1.5, 5.0), (1.5, 5.0)),
    DefectKind.STAIN: ((4.0, 16.0), (4.0, 16.0)),
    DefectKind.FLOAT: ((4.0, 12.0), (0.4, 1.0)),
}
"""Range of (width across, length along) drawn when an order gives no size; 0 means one yarn."""


@dataclass(frozen=True, slots=True)
class DefectOrder:
    """So many defects of a kind.

    Attributes:
        kind: what.
        count: how many a section.
        width_mm: extent across the web; None: drawn from the natural range; infinity: the whole width.
        length_mm: extent along the web; None: drawn; 0: one yarn.
    """

    kind: DefectKind
    count: int = 1
    width_mm: float | None = None
    length_mm: float | None = None


def parse_orders(text: str) -> tuple[DefectOrder, ...]:
    """Read "broken_pick:3,hole:2@4x4"; an empty text is no defects.

    Raises:
        InputError: not of that form, an unknown kind, or a size or count out of range.
    """
    return tuple(_parse_order(item.strip()) for item in text.split(",") if item.strip())


def _parse_order(item: str) -> DefectOrder:
    match = _ORDER.fullmatch(item)
    if match is None:
        raise InputError(f"defect order '{item}' is not understood; write kind:count or kind:count@WIDTHxLENGTH in mm")
    try:
        kind = DefectKind(match["kind"])
    except ValueError:
        raise InputError(f"no defect is called '{match['kind']}'; known: {', '.join(DefectKind)}") from None
    count = int(match["count"] or 1)
    if not 1 <= count <= _MAX_COUNT:
        raise InputError(f"defect order '{item}': a count of 1 to {_MAX_COUNT} is needed")
    if match["width"] is None:
        return DefectOrder(kind, count)
    try:
        width = float("inf") if match["width"] == "full" else float(match["width"])
        length = float(match["length"])
    except ValueError:
        raise InputError(f"defect order '{item}': sizes are numbers in mm, such as 4x4 or fullx0") from None
    line_across = kind in (DefectKind.BROKEN_PICK, DefectKind.FLOAT)  # 0 long = one pick
    if (width <= 0 and kind is not DefectKind.MISSING_END) or (length <= 0 and not line_across):
        raise InputError(f"defect order '{item}': sizes must be above 0 mm")
    return DefectOrder(kind, count, width, length)


def place(
    orders: Sequence[DefectOrder], source: ClothSource, section: Patch, *, scale: WebScale, seed: int
) -> tuple[Fault, ...]:
    """Faults for one section (cloth columns [section.left, section.right) are where defects may lie), in line order.

    Raises:
        InputError: they do not fit.
    """
    placed: list[Fault] = []
    for number, order in enumerate(one for several in orders for one in repeat(several, several.count)):
        key = key_of(seed, "defect", section.top, number)
        placed.append(_place_one(order, source, section, scale=scale, key=key, others=placed))
    return tuple(sorted(placed, key=lambda fault: (fault.top, fault.left)))


def _place_one(
    order: DefectOrder, source: ClothSource, section: Patch, *, scale: WebScale, key: int, others: list[Fault]
) -> Fault:
    draw = uniform(key_of(key, "size"), [0, 1])
    natural_width, natural_length = NATURAL_SIZE_MM[order.kind]
    room_across, room_along = section.right - section.left, section.bottom - section.top
    width = _size(order.width_mm, natural_width, float(draw[0]), scale.mm_per_px, room_across)
    length = _size(order.length_mm, natural_length, float(draw[1]), scale.mm_per_line, room_along)
    if order.width_mm is not None and order.width_mm != float("inf") and width > room_across:
        raise InputError(
            f"{order.kind}: {order.width_mm:g} mm do not fit into {room_across * scale.mm_per_px:.1f} mm of cloth; "
            "make it narrower, the strip wider, or write 'full'"
        )
    width = min(width, float(room_across))
    if length > room_along:
        raise InputError(
            f"{order.kind}: {order.length_mm or length * scale.mm_per_line:g} mm do not fit into a strip of "
            f"{room_along * scale.mm_per_line:.1f} mm; make it shorter or the strip longer"
        )
    gap_across, gap_along = _KEEP_AWAY_MM / scale.mm_per_px, _KEEP_AWAY_MM / scale.mm_per_line
    for attempt in range(_ATTEMPTS):
        at = uniform(key_of(key, "place"), attempt, [0, 1])
        left = section.left + float(at[0]) * (room_across - width)
        top = section.top + float(at[1]) * (room_along - length)
        fault = source.snap(Fault(order.kind, top, top + length, left, left + width, key))
        inside = (
            fault.top >= section.top
            and fault.bottom <= section.bottom
            and fault.left >= section.left - source.end_px
            and fault.right <= section.right + source.end_px
        )
        if inside and not any(_near(fault, other, gap_across, gap_along) for other in others):
            return fault
    raise InputError(
        f"{order.kind}: no free place among {len(others)} other defects; order fewer, smaller ones or a longer strip"
    )


def _size(asked_mm: float | None, natural_mm: tuple[float, float], draw: float, mm: float, room: int) -> float:
    if asked_mm is not None:
        return asked_mm / mm
    # A drawn size never takes more than 0.6 of a small strip, so that small pictures can be ordered without sizes.
    return min((natural_mm[0] + (natural_mm[1] - natural_mm[0]) * draw) / mm, 0.6 * room)


def _near(one: Fault, other: Fault, gap_across: float, gap_along: float) -> bool:
    return (
        one.left < other.right + gap_across
        and other.left < one.right + gap_across
        and one.top < other.bottom + gap_along
        and other.top < one.bottom + gap_along
    )
