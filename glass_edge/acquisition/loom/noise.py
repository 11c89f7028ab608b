"""Random numbers that belong to a place, not to a call.

Promises: every value is a pure function of (seed, stream, integer coordinates), so a strip is the same whatever blocks
it is rendered in; nothing keeps state. The mixer is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast
splittable pseudorandom number generators", OOPSLA 2014), applied once a coordinate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Places = NDArray[np.floating[Any]]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_MASK = (1 << 64) - 1


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = value + _GOLDEN
    value = (value ^ (value >> np.uint64(30))) * _MIX_1
    value = (value ^ (value >> np.uint64(27))) * _MIX_2
    return value ^ (value >> np.uint64(31))


def key_of(seed: int, *parts: int | str) -> int:
    """A 64-bit key for `seed` and any names or numbers: independent streams from one seed."""
    key = np.array([seed & _MASK], dtype=np.uint64)
    for part in parts:
        numbers = part.encode() if isinstance(part, str) else (part & _MASK,)
        for number in numbers:
            key = _mix(key ^ np.uint64(number))
    return int(key[0])


def uniform(key: int, *coordinates: ArrayLike) -> NDArray[np.float32]:
    """Uniform numbers in [0, 1) for integer coordinates (broadcast against each other), float32 of 24 bits."""
    mixed: NDArray[np.uint64] = np.array([key], dtype=np.uint64)
    for coordinate in coordinates:
        mixed = _mix(mixed ^ np.asarray(coordinate, dtype=np.int64).astype(np.uint64))
    return np.asarray((mixed >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24), dtype=np.float32)


def normal(key: int, *coordinates: ArrayLike) -> NDArray[np.float32]:
    """Standard normal numbers for integer coordinates (Box and Muller, Ann. Math. Stat. 29, 1958)."""
    radius = np.sqrt(-2.0 * np.log(1.0 - uniform(key_of(key, 1), *coordinates)))
    return np.asarray(radius * np.cos(2 * np.pi * uniform(key_of(key, 2), *coordinates)), dtype=np.float32)


def wave(key: int, yarns: NDArray[np.int64], positions: Places) -> NDArray[np.float32]:
    """Smooth noise in (-1, 1) along each yarn, float32 (len(yarns), len(positions)).

    Value noise: a uniform number at each integer position, joined by a cubic. `positions` are in units of the wanted
    correlation length.
    """
    if positions.size == 0 or yarns.size == 0:
        return np.zeros((yarns.size, positions.size), np.float32)
    cell = np.floor(positions).astype(np.int64)
    lowest = int(cell.min())
    nodes = np.arange(lowest, int(cell.max()) + 2, dtype=np.int64)
    values = 2.0 * uniform(key, yarns[:, None], nodes[None, :]) - 1.0
    fraction = (positions - cell).astype(np.float32)
    blend = fraction * fraction * (3.0 - 2.0 * fraction)
    left = values[:, cell - lowest]
    return np.asarray(left + (values[:, cell - lowest + 1] - left) * blend, dtype=np.float32)


def clouds(key: int, rows: Places, columns: Places) -> NDArray[np.float32]:
    """Smooth noise in (-1, 1) over an area, float32 (len(rows), len(columns)), positions in correlation lengths."""
    cell = np.floor(rows).astype(np.int64)
    lowest = int(cell.min())
    lattice = wave(key, np.arange(lowest, int(cell.max()) + 2, dtype=np.int64), columns)
    fraction = (rows - cell).astype(np.float32)[:, None]
    blend = fraction * fraction * (3.0 - 2.0 * fraction)
    upper = lattice[cell - lowest]
    return np.asarray(upper + (lattice[cell - lowest + 1] - upper) * blend, dtype=np.float32)
