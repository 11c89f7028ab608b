"""Matching lines of several cameras: what is handed over is the wide picture, and every line is that or missed."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from glass_edge.acquisition.joined_lines import JoinedLines, Piece, WideLines

LINES, WIDTH = 60, 12
PICTURE = np.random.default_rng(0).integers(0, 256, (LINES, WIDTH), dtype=np.uint8)


@dataclass
class Book:
    """What was handed over, against the picture; an own count of what is missing."""

    handed: list[int]
    missed: int = 0
    next_line: int = 0

    def take(self, wide: WideLines) -> None:
        assert wide.first_line - self.next_line == wide.missed_lines >= 0
        assert (wide.missed_lines > 0) == bool(wide.lacking)
        rows = range(wide.first_line, wide.first_line + wide.n_lines)
        np.testing.assert_array_equal(wide.side_by_side(), PICTURE[rows.start : rows.stop])
        self.missed += wide.missed_lines
        self.handed += rows
        self.next_line = rows.stop


@st.composite
def blocks_of_a_camera(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Blocks [first, end) of a camera that loses some."""
    cuts = sorted(draw(st.sets(st.integers(1, LINES - 1), max_size=12)))
    lost = draw(st.sets(st.integers(0, 12), max_size=4))
    blocks = list(zip([0, *cuts], [*cuts, LINES], strict=True))
    return [block for number, block in enumerate(blocks) if number not in lost]


def columns(cameras: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, WIDTH, cameras + 1).astype(int)
    return list(pairwise(edges))


def piece(camera: tuple[int, int], block: tuple[int, int], segments: set[int] = frozenset()) -> Piece:
    return Piece(block[0], PICTURE[block[0] : block[1], camera[0] : camera[1]], starts_segment=block[0] in segments)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), cameras=st.integers(1, 3), least=st.integers(1, 20), most=st.integers(1, 40))
def test_a_line_is_handed_over_exactly_when_all_cameras_have_it(
    data: st.DataObject, cameras: int, least: int, most: int
) -> None:
    sides = columns(cameras)
    blocks = [data.draw(blocks_of_a_camera()) for _ in sides]
    segments = {block[0] for block in data.draw(st.sets(st.sampled_from(blocks[0] or [(0, 1)]), max_size=3))}
    joined = JoinedLines(cameras, window_lines=10_000, patient=True)
    for camera in range(cameras):
        joined.begin(camera, 0)
    book, starts = Book([]), []
    waiting = [list(one) for one in blocks]
    while any(waiting):
        camera = data.draw(st.sampled_from([number for number, one in enumerate(waiting) if one]))
        joined.add(camera, piece(sides[camera], waiting[camera].pop(0), segments))
        while (wide := joined.take(least, most)) is not None:
            assert wide.n_lines <= most
            book.take(wide)
            starts += [wide.first_line] if wide.starts_segment else []
    for camera in range(cameras):
        joined.end(camera, LINES)
    while (wide := joined.take(1, most)) is not None:
        book.take(wide)
        starts += [wide.first_line] if wide.starts_segment else []
    assert joined.is_over()
    has = [{line for block in one for line in range(*block)} for one in blocks]
    whole = set.intersection(*has)
    assert book.handed == sorted(whole)
    assert book.missed + (joined.seen_line - book.next_line) + len(book.handed) == LINES
    expected = sorted({min(after) for first in segments if (after := {line for line in whole if line >= first})})
    assert starts == expected


@settings(max_examples=150, deadline=None)
@given(data=st.data(), window=st.integers(4, 20))
def test_a_camera_that_falls_behind_costs_its_lines_and_no_memory(data: st.DataObject, window: int) -> None:
    sides = columns(2)
    waiting = [data.draw(blocks_of_a_camera()) for _ in sides]
    joined = JoinedLines(2, window_lines=window, patient=False)
    for camera in range(2):
        joined.begin(camera, 0)
    book = Book([])
    while any(waiting):
        camera = data.draw(st.sampled_from([number for number, one in enumerate(waiting) if one]))
        while joined.must_wait(camera):  # lines are there to be taken
            wide = joined.take(1, 1000)
            if wide is not None:
                book.take(wide)
        joined.add(camera, piece(sides[camera], waiting[camera].pop(0)))
        for side in joined._sides:
            held = sum(len(one.lines) for one in side.pieces)
            assert held <= window + LINES
            assert len(side.pieces) == 0 or side.pieces[-1].end_line - side.pieces[0].first_line <= window + LINES
    for camera in range(2):
        joined.end(camera, LINES)
    while (wide := joined.take(1, 1000)) is not None:
        book.take(wide)
    assert joined.is_over()
    assert book.missed + (joined.seen_line - book.next_line) + len(book.handed) == LINES


def test_who_lags_is_named_once() -> None:
    joined = JoinedLines(3, window_lines=10, patient=False)
    for camera in range(3):
        joined.begin(camera, 0)
    late = []
    sides = columns(3)
    for top in range(0, 40, 5):
        for camera in (0, 1):
            assert not joined.must_wait(camera)
            late += joined.add(camera, piece(sides[camera], (top, top + 5)))
    assert late == [2]
    assert all(sum(len(one.lines) for one in side.pieces) <= 15 for side in joined._sides)
    joined.add(2, piece(sides[2], (32, 40)))
    wide = joined.take(1, 100)
    assert wide is not None
    assert (wide.first_line, wide.n_lines, wide.missed_lines, wide.lacking) == (32, 8, 32, (2,))


def test_lines_wait_for_enough_of_them_but_not_for_what_never_comes() -> None:
    joined = JoinedLines(2, window_lines=100, patient=True)
    for camera in range(2):
        joined.begin(camera, 0)
    left, right = columns(2)
    joined.add(0, piece(left, (0, 10)))
    joined.add(1, piece(right, (0, 11)))
    assert joined.take(11, 100) is None
    assert joined.take(10, 100).n_lines == 10
    joined.add(0, piece(left, (10, 20)))
    assert joined.take(5, 100) is None  # line 10 alone
    joined.add(1, piece(right, (14, 20)))
    wide = joined.take(5, 100)
    assert (wide.first_line, wide.n_lines) == (10, 1)
    wide = joined.take(5, 100)
    assert (wide.first_line, wide.n_lines, wide.missed_lines, wide.lacking) == (14, 6, 3, (1,))
