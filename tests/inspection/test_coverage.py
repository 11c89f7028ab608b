from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.inspection.coverage import CoverageLedger


@given(st.integers(0, 10**9), st.lists(st.tuples(st.booleans(), st.integers(1, 1000))))
def test_the_two_sums_add_up_to_the_lines_woven(first: int, stretches: list[tuple[bool, int]]) -> None:
    ledger = CoverageLedger(first)
    line = first
    for seen, n in stretches:
        (ledger.inspected if seen else ledger.missed)(line, line + n)
        line += n
    totals = ledger.totals(3)
    assert totals.lines_woven == sum(n for _, n in stretches)
    assert totals.lines_inspected == sum(n for seen, n in stretches if seen)
    assert totals.lines_missed == sum(n for seen, n in stretches if not seen)
    assert totals.defects == 3


@pytest.mark.parametrize("stretch", [(11, 20), (9, 20), (10, 10), (10, 5)])
def test_a_hole_an_overlap_and_nothing_are_refused(stretch: tuple[int, int]) -> None:
    ledger = CoverageLedger(0)
    ledger.inspected(0, 10)
    with pytest.raises(RuntimeError, match="line 10 is the next"):
        ledger.inspected(*stretch)
    with pytest.raises(RuntimeError, match="line 10 is the next"):
        ledger.missed(*stretch)
