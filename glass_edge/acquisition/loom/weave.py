"""Weave structures: which yarn lies on top at each crossing.

Promises: `warp_up(name)` is the repeat of the weave, bool (picks, ends), True where the end (warp yarn) is on top.
Notation as in weaving: twill 2/1 lifts each end over two picks and lowers it under one; the satin is the 8-end satin of
step 3, weft-faced (one lift a repeat).
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import InputError


class Weave(StrEnum):
    """The structures the simulator weaves."""

    PLAIN = "plain"
    TWILL21 = "twill21"
    TWILL22 = "twill22"
    TWILL31 = "twill31"
    SATIN = "satin"


_SATIN_ENDS = 8
_SATIN_STEP = 3
_TWILLS = {Weave.TWILL21: (2, 1), Weave.TWILL22: (2, 2), Weave.TWILL31: (3, 1)}


def warp_up(weave: Weave) -> NDArray[np.bool_]:
    """One repeat of `weave`, bool (picks, ends)."""
    if weave is Weave.PLAIN:
        return np.array([[True, False], [False, True]])
    if weave is Weave.SATIN:
        repeat = np.zeros((_SATIN_ENDS, _SATIN_ENDS), bool)
        for pick in range(_SATIN_ENDS):
            repeat[pick, pick * _SATIN_STEP % _SATIN_ENDS] = True
        return repeat
    over, under = _TWILLS[weave]
    size = over + under
    picks, ends = np.mgrid[0:size, 0:size]
    return np.asarray((ends - picks) % size < over)


def parse_weave(name: str) -> Weave:
    """The weave called `name`.

    Raises:
        InputError: no such weave.
    """
    try:
        return Weave(name)
    except ValueError:
        raise InputError(f"no weave is called '{name}'; known: {', '.join(Weave)}") from None
