from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inspection_peers import Scores
from scipy import ndimage
from scipy.spatial.distance import cdist

from glass_edge.errors import InputError
from glass_edge.inspection.blobs import BlobLabeller


def _truth(logits: Scores, threshold: float, gap_rows: int, gap_columns: int) -> list[list[float]]:
    """Components by comparing every pair of alarmed cells: area, box (top left bottom right), peak, sum of scores."""
    cells = np.argwhere(logits >= threshold)
    if not len(cells):
        return []
    if gap_rows == gap_columns == 0:
        labels, _ = ndimage.label(logits >= threshold, structure=np.ones((3, 3)))
        of_cell = labels[tuple(cells.T)]
    else:
        near = (cdist(cells[:, :1], cells[:, :1], "cityblock") <= gap_rows + 1) & (
            cdist(cells[:, 1:], cells[:, 1:], "cityblock") <= gap_columns + 1
        )
        from scipy.sparse.csgraph import connected_components

        of_cell = connected_components(near)[1]
    found = []
    for label in np.unique(of_cell):
        mine = cells[of_cell == label]
        values = logits[tuple(mine.T)].astype(float)
        found.append([len(mine), *mine.min(0), *(mine.max(0) + 1), values.max(), (1 / (1 + np.exp(-values))).sum()])
    return found


@st.composite
def _strips(draw: st.DrawFn) -> Scores:
    rows, cells = draw(st.integers(1, 40)), draw(st.integers(1, 24))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    noise = rng.normal(size=(rows, cells))
    sigma = draw(st.sampled_from([0.0, 0.7, 1.5]))
    strip = ndimage.gaussian_filter(noise, sigma)
    return (strip / strip.std() if strip.std() else strip).astype(np.float32)


@settings(deadline=None, max_examples=300)
@given(
    strip=_strips(),
    threshold=st.sampled_from([-0.3, 0.3, 1.0, 1.8]),
    gaps=st.sampled_from([(0, 0), (1, 1), (2, 0), (0, 3), (3, 2)]),
    data=st.data(),
)
def test_the_components_are_those_of_the_whole_strip(
    strip: Scores, threshold: float, gaps: tuple[int, int], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(strip)), max_size=12)))
    labeller = BlobLabeller(threshold, *gaps)
    closed = []
    for _ in range(2):  # twice: a flush makes it ready for the next segment
        closed = []
        for part in np.split(strip, cuts):
            closed += labeller.push(part).closed
        closed += labeller.flush().closed
    found = [[b.area, b.first_row, b.first_column, b.end_row, b.end_column, b.peak, b.score_sum] for b in closed]
    expected = _truth(strip, threshold, *gaps)
    assert len(found) == len(expected)
    if found:
        np.testing.assert_allclose(sorted(found), sorted(expected), rtol=1e-9)


def test_a_line_of_many_rows_is_one_blob_with_one_record() -> None:
    labeller = BlobLabeller(0.0)
    row = np.full((7, 50), -1, np.float32)
    row[:, 20:22] = 1
    for _ in range(1000):
        step = labeller.push(row)
        assert len(step.grown) == 1
        assert not step.closed
        assert len(labeller._border) == 1
    (blob,) = labeller.flush().closed
    assert (blob.area, blob.first_row, blob.end_row) == (14_000, 0, 7000)


def test_a_u_is_two_blobs_that_merge_into_the_older() -> None:
    strip = np.full((6, 9), -1, np.float32)
    strip[0:5, 1] = 1
    strip[2:5, 7] = 1
    strip[5, 1:8] = 1
    labeller = BlobLabeller(0.0)
    older = labeller.push(strip[:1]).grown[0]
    younger = next(blob for blob in labeller.push(strip[1:5]).grown if blob is not older)
    step = labeller.push(strip[5:])
    assert step.merged == [(younger, older)]
    assert older.area == 5 + 3 + 7


def test_an_announced_blob_wins_over_an_older_one_that_was_not() -> None:
    strip = np.full((3, 5), -1, np.float32)
    strip[0:2, 0] = 1
    strip[1, 4] = 1
    strip[2] = 1
    labeller = BlobLabeller(0.0)
    old = labeller.push(strip[:1]).grown[0]
    young = next(blob for blob in labeller.push(strip[1:2]).grown if blob is not old)
    young.defect_id = 1
    assert labeller.push(strip[2:]).merged == [(old, young)]


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(InputError, match="threshold"):
        BlobLabeller(float("nan"))
    with pytest.raises(InputError, match="gap"):
        BlobLabeller(0.0, -1, 0)
