from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inspection_peers import ConvEngine, FailingEngine, Pixels

from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.inspection.halo import one_piece_scores
from glass_edge.inspection.one_shot import score_strip
from glass_edge.inspection.score_strip import EdgeLines, FailedLines, ScoreStrip
from glass_edge.inspection.strip_scorer import Scored, StripScorer


def _cloth(n: int, width: int, channels: int, seed: int) -> Pixels:
    shape = (n, width) if channels == 1 else (n, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@st.composite
def _cases(draw: st.DrawFn) -> tuple[dict[str, object], dict[str, int], Pixels, ClothSpan]:
    halo = 16 * draw(st.integers(0, 2))
    inner_h, inner_w = (16 * draw(st.integers(1, 5)) for _ in range(2))
    engine = {
        "tile": (inner_h + 2 * halo, inner_w + 2 * halo),
        "stride": draw(st.sampled_from([2, 4, 8, 16])),
        "channels": draw(st.sampled_from([1, 3])),
        "reach": draw(st.integers(0, 20)),
        "max_batch": draw(st.integers(1, 4)),
        "depth": draw(st.integers(1, 3)),
    }
    width = draw(st.integers(1, 200))
    left = draw(st.integers(0, width - 1))
    right = draw(st.integers(left + 1, width))
    scorer = {"halo_px": halo, "advance_px": 16 * draw(st.integers(1, inner_h // 16))}
    camera_channels = draw(st.sampled_from(sorted({1, engine["channels"]})))
    lines = _cloth(draw(st.integers(1, 300)), width, camera_channels, draw(st.integers(0, 1000)))
    return engine, scorer, lines, ClothSpan(left, right)


def _run(
    scorer: StripScorer,
    lines: Pixels,
    span: ClothSpan,
    cuts: Sequence[int],
    first_line: int,
    *,
    drains: Iterable[int] = (),
) -> list[Scored]:
    scorer.begin(first_line, lines.shape[1], 1 if lines.ndim == 2 else lines.shape[2], span)
    results = []
    for number, part in enumerate(np.split(lines, cuts)):
        results += scorer.push(part)
        if number in drains:
            results += scorer.drain()
    return results + scorer.end()


@settings(deadline=None, max_examples=80)
@given(case=_cases(), data=st.data())
def test_the_strip_does_not_depend_on_the_blocks_bit_by_bit(
    case: tuple[dict[str, object], dict[str, int], Pixels, ClothSpan], data: st.DataObject
) -> None:
    engine, arguments, lines, span = case
    cuts = sorted(data.draw(st.lists(st.integers(0, len(lines)), max_size=8)))
    drains = set(data.draw(st.lists(st.integers(0, 8), max_size=3)))
    first_line = data.draw(st.integers(0, 10**9))
    whole = _run(StripScorer(ConvEngine(**engine), **arguments), lines, span, [], first_line)
    parts = _run(StripScorer(ConvEngine(**engine), **arguments), lines, span, cuts, first_line, drains=drains)
    assert [(type(s), s.first_line, s.end_line) for s in parts] == [(type(s), s.first_line, s.end_line) for s in whole]
    for a, b in zip(parts, whole, strict=True):
        assert isinstance(a, EdgeLines) or np.array_equal(a.logits, b.logits)
    # Every line exactly once.
    assert parts[0].first_line == first_line
    assert parts[-1].end_line == first_line + len(lines)
    assert all(a.end_line == b.first_line for a, b in itertools.pairwise(parts))
    # Scored is every whole cell that lies the halo or more from both ends, and nothing else.
    halo, stride, n = arguments["halo_px"], engine["stride"], len(lines)
    rows = [line for line in range(halo, n, stride) if line + stride <= n - halo]
    scored = [strip.first_line - first_line + row for strip in parts if isinstance(strip, ScoreStrip)
              for row in range(0, strip.n_lines, stride)]  # fmt: skip
    assert scored == rows


@settings(deadline=None, max_examples=80)
@given(_cases())
def test_equals_the_strip_in_one_piece_when_the_halo_covers_the_reach(
    case: tuple[dict[str, object], dict[str, int], Pixels, ClothSpan],
) -> None:
    engine_arguments, arguments, lines, span = case
    engine_arguments["reach"] = min(engine_arguments["reach"], arguments["halo_px"])
    engine = ConvEngine(**engine_arguments)
    halo, width, s = arguments["halo_px"], lines.shape[1], engine.score_stride_px
    rows = [row for row in range(len(lines)) if row % s == 0 and halo <= row <= len(lines) - halo - s]
    cells = [
        x // s
        for x in range(0, width, s)
        if span.left_px + halo <= x and x + s <= span.right_px - halo  # a selvedge and the image's edge are alike
    ]
    if not rows or not cells:
        with pytest.raises(InputError, match="nothing"):
            score_strip(engine, lines, span, **arguments)
        return
    strip = score_strip(engine, lines, span, **arguments)
    pixels = lines if lines.ndim == 3 else lines[:, :, None]
    whole = one_piece_scores(engine.score, pixels, s, halo)
    expected = whole[rows[0] // s : rows[-1] // s + 1, cells[0] : cells[-1] + 1]
    assert (strip.first_line, strip.end_line, strip.first_cell) == (rows[0], rows[-1] + s, cells[0])
    assert strip.logits.shape == expected.shape
    np.testing.assert_allclose(strip.logits, expected, atol=2e-5)


def test_a_line_waits_for_no_more_than_advance_and_halo() -> None:
    engine = ConvEngine(tile=(128, 64))
    scorer = StripScorer(engine, halo_px=16, advance_px=16)
    lines = _cloth(600, 100, 1, 0)
    scorer.begin(0, 100, 1, ClothSpan(16, 84))
    for n in range(600):
        scorer.push(lines[n : n + 1])
        scorer.drain()
        seen = n + 1
        if seen >= 128:
            assert seen - scorer.next_line < 16 + 16
    assert scorer.next_line > 500


def test_a_short_segment_takes_one_row_of_tiles_and_batches_never_mix_rows() -> None:
    engine = ConvEngine(tile=(64, 64), max_batch=8)
    scorer = StripScorer(engine, halo_px=16)
    _run(scorer, _cloth(36, 160, 1, 0), ClothSpan(0, 160), [], 0)
    assert engine.batch_sizes == [5]
    _run(scorer, _cloth(96, 160, 1, 0), ClothSpan(0, 160), [30], 20)
    assert engine.batch_sizes == [5, 5, 5]
    assert scorer.tiles_scored == 15


@pytest.mark.parametrize("n", [1, 16, 35])
def test_a_segment_without_a_whole_cell_between_its_edges_is_all_edge(n: int) -> None:
    engine = ConvEngine(tile=(64, 64))
    results = _run(StripScorer(engine, halo_px=16), _cloth(n, 160, 1, 0), ClothSpan(16, 144), [n // 2], 70)
    assert results == [EdgeLines(70, 70 + n)]
    assert engine.tiles == 0


def test_segments_of_other_widths_follow_each_other_with_one_scorer() -> None:
    engine = ConvEngine(tile=(64, 64))
    scorer = StripScorer(engine, halo_px=16)
    for n, width in ((100, 90), (40, 70), (70, 200)):
        lines = _cloth(n, width, 1, n)
        span = ClothSpan(16, (width - 16) // 4 * 4)
        results = _run(scorer, lines, span, [n // 2], 5)
        fresh = score_strip(ConvEngine(tile=(64, 64)), lines, ClothSpan(0, width), halo_px=16)
        scored = [strip.logits for strip in results if isinstance(strip, ScoreStrip)]
        assert np.array_equal(np.concatenate(scored), fresh.logits)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_failed_batch_costs_its_own_lines_only(depth: int) -> None:
    lines = _cloth(320, 150, 1, 3)
    good = _run(StripScorer(ConvEngine(tile=(64, 64), max_batch=2), halo_px=16), lines, ClothSpan(0, 150), [], 0)
    engine = FailingEngine(lambda number: number in (4, 5, 13), tile=(64, 64), max_batch=2, depth=depth)
    results = _run(StripScorer(engine, halo_px=16), lines, ClothSpan(0, 150), [7, 100, 101], 0)
    # 5 columns in batches of 2: three batches a row; batches 4 and 5 are of row 1, batch 13 of row 4. Result 0 is edge.
    assert [i for i, result in enumerate(results) if isinstance(result, FailedLines)] == [2, 5]
    for a, b in zip(results, good, strict=True):
        assert (a.first_line, a.end_line) == (b.first_line, b.end_line)
        if isinstance(a, ScoreStrip):
            assert np.array_equal(a.logits, b.logits)
        elif isinstance(a, FailedLines):
            assert "fell off the bus" in str(a.error)


def test_abandon_gives_what_is_in_flight_and_drops_the_rest() -> None:
    scorer = StripScorer(ConvEngine(tile=(64, 64)), halo_px=16)
    scorer.begin(100, 60, 1, ClothSpan(0, 60))
    results = scorer.push(_cloth(90, 60, 1, 0))
    results += scorer.abandon()
    assert results[0] == EdgeLines(100, 116)
    assert [(strip.first_line, strip.end_line) for strip in results[1:]] == [(116, 148)]
    assert scorer.next_line == 148
    assert scorer.plan is None


def test_colour_cloth_before_a_grey_engine_is_refused() -> None:
    scorer = StripScorer(ConvEngine(channels=1), halo_px=16)
    with pytest.raises(InputError, match="set the camera to grey"):
        scorer.begin(0, 100, 3, ClothSpan(0, 100))


def test_lines_of_another_width_and_impossible_settings_are_refused() -> None:
    scorer = StripScorer(ConvEngine(), halo_px=16)
    scorer.begin(0, 100, 1, ClothSpan(0, 100))
    with pytest.raises(InputError, match="segment of"):
        scorer.push(np.zeros((4, 99), np.uint8))
    with pytest.raises(InputError, match="halo_px = 32"):
        StripScorer(ConvEngine(tile=(64, 64)), halo_px=32)
    with pytest.raises(InputError, match="batch = 0"):
        StripScorer(ConvEngine(), halo_px=16, batch=0)
