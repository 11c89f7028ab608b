"""What `glass-edge pod` is asked to plant.

Promises: what cannot be planted is refused before anything is inspected, with the option and what would be right.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from glass_edge.calibration.planted_defects import LEAST_CONTRAST, MOST_CONTRAST, PlantedKind, YarnPitch, extent_px
from glass_edge.cli.pod_cloth import Order
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import WebScale

MOST_ORDERS = 100_000
_LEAST_SIZES = 3


def parse_kinds(text: str) -> tuple[PlantedKind, ...]:
    """Read "missing_end,hole".

    Raises:
        InputError: an unknown kind, none, or one twice.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in list(PlantedKind):
            raise InputError(f"--kinds: no defect is called '{name}'; known: {', '.join(PlantedKind)}")
    if not names or len(set(names)) < len(names):
        raise InputError(f"--kinds {text}: give each kind once, such as missing_end,hole")
    return tuple(PlantedKind(name) for name in names)


def parse_sizes(text: str) -> tuple[float, ...]:
    """Read "0.5,1,2" or "0.5:16:6" (smallest, largest, how many, evenly spaced on a logarithmic scale), mm.

    Raises:
        InputError: not of that form, fewer than three, or not above 0 and rising.
    """
    try:
        if ":" in text:
            smallest, largest, count = text.split(":")
            ends, n = (float(smallest), float(largest)), int(count)
            if not 0 < ends[0] < ends[1] < math.inf or not _LEAST_SIZES <= n <= 100:
                raise ValueError
            return tuple(float(f"{size:.4g}") for size in np.geomspace(*ends, n))
        sizes = tuple(float(part) for part in text.split(","))
    except ValueError:
        sizes = ()
    rising = all(0 < one < other < math.inf for one, other in pairwise(sizes))
    if len(sizes) < _LEAST_SIZES or not rising:
        raise InputError(
            f"--sizes-mm {text}: three sizes or more are needed, above 0 and rising; write 0.5,1,2,4 or 0.5:16:6 "
            "(smallest, largest, how many)"
        )
    return sizes


def parse_contrasts(text: str) -> tuple[float, ...]:
    """Read "-0.4,-0.2".

    Raises:
        InputError: not numbers, 0, one twice, or out of range.
    """
    try:
        contrasts = tuple(float(part) for part in text.split(","))
    except ValueError:
        contrasts = ()
    possible = all(LEAST_CONTRAST <= one <= MOST_CONTRAST and one for one in contrasts)
    if not contrasts or not possible or len(set(contrasts)) < len(contrasts):
        raise InputError(
            f"--contrasts {text}: numbers from {LEAST_CONTRAST:g} (dark) to {MOST_CONTRAST:g} (bright) are needed, not "
            "0 and each once, such as -0.4,-0.2,-0.1"
        )
    return contrasts


def yarn_pitch(
    kinds: tuple[PlantedKind, ...], ends_per_cm: float | None, picks_per_cm: float | None
) -> YarnPitch | None:
    """The yarns of the cloth, None where no kind asks for them.

    Raises:
        InputError: they are needed and missing.
    """
    needing = [kind for kind in kinds if kind.is_yarn]
    if not needing:
        return None
    if ends_per_cm is None or picks_per_cm is None:
        missing = " and ".join(
            name for name, value in (("--ends-per-cm", ends_per_cm), ("--picks-per-cm", picks_per_cm)) if value is None
        )
        raise InputError(f"{missing}: missing; {', '.join(needing)} are as wide as the yarns of the cloth")
    return YarnPitch(10 / ends_per_cm, 10 / picks_per_cm)


def make_orders(
    kinds: tuple[PlantedKind, ...],
    contrasts: tuple[float, ...],
    sizes_mm: tuple[float, ...],
    per_size: int,
    *,
    scale: WebScale,
    yarns: YarnPitch | None,
    seed: int,
) -> list[Order]:
    """Every kind in every contrast and size, `per_size` times.

    Raises:
        InputError: too many, or smaller than a pixel.
    """
    for kind in kinds:
        extent_px(kind, sizes_mm[0], scale, yarns)
    wanted = [
        (kind, size_mm, contrast)
        for kind in kinds
        for contrast in (contrasts if kind.has_contrast else (None,))
        for size_mm in sizes_mm
        for _ in range(per_size)
    ]
    if len(wanted) > MOST_ORDERS:
        raise InputError(f"{len(wanted)} defects: at most {MOST_ORDERS} are planted; ask for fewer kinds or --per-size")
    keys = np.random.default_rng([seed, 1]).integers(1 << 32, size=len(wanted))
    return [Order(*one, key=int(key)) for one, key in zip(wanted, keys, strict=True)]
