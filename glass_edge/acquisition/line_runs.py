"""Where a block of lines hangs together, by the encoder's count at each of its lines.

Promises: pure; a stretch is lines that follow each other on the web, forwards or backwards.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable


def straight_runs(
    count_at: Callable[[int], int], n_lines: int, counts_per_line: float, *, most: int, thorough: bool = False
) -> list[tuple[int, int]] | None:
    """Stretches [begin, end) of a block in which each line lies one line further (or one back) than the line before.

    Few counts are asked for where few lines are missing: the block is halved where its ends do not fit each other. A
    stretch whose ends fit can still hide as many missing lines as lines that came twice; `thorough` looks at each line.

    Args:
        count_at: encoder at a line of the block.
        n_lines: of the block.
        counts_per_line: encoder counts from line to line.
        most: None is returned when there are more stretches.
        thorough: ask for every count, unless the block's own ends fit.
    """
    known: dict[int, int] = {}

    def count(line: int) -> int:
        if line not in known:
            known[line] = count_at(line)
        return known[line]

    leaves: list[tuple[int, int, int]] = []  # first and last line, direction; 0: the lines do not hang together
    to_do = [(0, n_lines - 1)]
    while to_do:
        first, last = to_do.pop()
        step = (count(last) - count(first)) / counts_per_line
        fits = abs(abs(step) - (last - first)) < 0.5
        if fits and (not thorough or last - first in (0, 1, n_lines - 1)):
            leaves.append((first, last, 1 if step >= 0 else -1))
        elif last - first == 1:
            leaves.append((first, last, 0))
        else:
            middle = (first + last) // 2
            to_do += [(first, middle), (middle, last)]
        if not thorough and len(leaves) > 4 * most * max(1, n_lines.bit_length()):
            return None
    leaves.sort()
    cuts = []
    for (_, shared, before), (_, last, after) in itertools.pairwise([(0, 0, leaves[0][2]), *leaves]):
        if after == 0:
            cuts.append(last)
        elif before not in (after, 0):
            cuts.append(shared + 1)  # the line at which the web turned ends the stretch before
    edges = sorted({0, *cuts, n_lines})
    return list(itertools.pairwise(edges)) if len(edges) <= most + 1 else None
