"""The line counter against a simulated web: what is handed over and what is missing make the web, whatever happens."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glass_edge.acquisition.line_counter import BlockTags, LineCounter, unwrap
from glass_edge.acquisition.line_runs import straight_runs

N = 8  # lines of a block


@dataclass
class Account:
    """What the inspection would book."""

    counter: LineCounter
    handed: list[int] = field(default_factory=list)
    missed: int = 0
    faults: list[str] = field(default_factory=list)

    def take(self, tags: BlockTags, encoder_next: int | None = None, truth: list[int] | None = None) -> None:
        before = self.counter.next_line
        placed = self.counter.place(tags, encoder_next=encoder_next)
        assert placed.skip_lines + placed.n_lines == tags.n_lines
        self.faults += placed.faults
        if placed.n_lines == 0:
            assert self.counter.next_line == before
            return
        assert placed.first_line == before + placed.missed_lines
        numbers = list(range(placed.first_line, placed.first_line + placed.n_lines))
        if truth is not None:
            assert numbers == truth[placed.skip_lines :]
        self.handed += numbers
        self.missed += placed.missed_lines
        assert placed.missed_lines == 0 or placed.faults

    def check(self) -> None:
        assert self.handed == sorted(set(self.handed))
        assert len(self.handed) + self.missed == self.counter.next_line
        assert (self.counter.counts.lines, self.counter.counts.missed_lines) == (len(self.handed), self.missed)


EVENT = st.sampled_from(["block", "block", "block", "drop", "incomplete", "underrun", "overrun", "restart", "stop"])


@settings(max_examples=300, deadline=None)
@given(
    events=st.lists(EVENT, min_size=1, max_size=40),
    witness=st.sampled_from(["encoder", "number", "frame"]),
    divider=st.sampled_from([1.0, 4.0, 2.5, -3.0]),
    origin=st.integers(-1000, 1000),
)
def test_every_lost_block_is_missed(events: list[str], witness: str, divider: float, origin: int) -> None:
    account = Account(LineCounter(counts_per_line=divider))
    web = frame = 0
    totals = {"incomplete": 0, "underrun": 0, "overrun": 0}
    session = 0
    first_web = None
    for event in [*events, "block"]:
        if event == "stop":
            continue
        if event == "restart":
            session, frame, totals = session + 1, 0, dict.fromkeys(totals, 0)
            web += 0 if witness == "frame" else 3 * N
            continue
        if event == "block":
            tags = BlockTags(
                N,
                frame_id=frame,
                line_number=web + 77 if witness == "number" else None,
                encoder_count=origin + round(web * divider) if witness == "encoder" else None,
                session=session,
                incomplete_blocks=totals["incomplete"],
                underruns=totals["underrun"],
                ring_overruns=totals["overrun"],
                received_monotonic_s=web * 1e-3,
            )
            first_web = web if first_web is None else first_web
            account.take(tags)
        elif event != "drop":
            totals[event] += 1
        web += N
        frame += 1
    account.check()
    if witness != "frame" or "restart" not in events:
        # Blocks lost before the first are known only where something counted them.
        assert account.handed[-1] + 1 - account.handed[0] == web - (first_web or 0)


@settings(max_examples=200, deadline=None)
@given(
    moves=st.lists(st.integers(-2 * N, 4 * N), min_size=3, max_size=60),
    missed_triggers=st.integers(0, 3),
    per_line=st.booleans(),
)
def test_cloth_that_passes_twice_is_taken_once_and_whole(
    moves: list[int], missed_triggers: int, per_line: bool
) -> None:
    """A camera that is triggered by every movement; `truth` is where each of its lines really lay."""
    web, positions = 0, []
    for move in [*moves, 6 * N]:
        step = 1 if move > 0 else -1
        for _ in range(abs(move)):
            positions.append(web if step > 0 else web - 1)
            web += step
    positions = positions[missed_triggers:]
    blocks = [positions[at : at + N] for at in range(0, len(positions) - N + 1, N)]
    account = Account(LineCounter(counts_per_line=4.0))
    origin = blocks[0][0]
    high = 0
    for index, block in enumerate(blocks[:-1]):
        straight = block == list(range(block[0], block[0] + N))
        tags = BlockTags(
            N,
            frame_id=index,
            encoder_count=4 * block[0],
            encoder_count_last=4 * block[-1] if per_line else None,
        )
        if index == 0 and not straight:
            return  # where the web starts is not known from a block that turned
        truth = [line - origin for line in block] if straight else None
        ahead = 4 * blocks[index + 1][0]
        taken = len(account.handed)
        account.take(tags, None if per_line else ahead, truth)
        if not straight and not per_line and blocks[index + 1][0] != block[0] + N:
            assert len(account.handed) == taken  # a block that turned gives nothing
        high = max(high, account.counter.next_line)
    account.check()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"frame_id": 4}, "2 blocks lost on the way"),
        ({"frame_id": 4, "incomplete_blocks": 2}, "2 incomplete blocks"),
        (
            {"frame_id": 4, "ring_overruns": 1, "incomplete_blocks": 1},
            "1 incomplete blocks, 1 blocks found the ring full",
        ),
        ({"frame_id": 4, "underruns": 2}, "2 blocks found no free buffer"),
        ({"frame_id": 2}, "16 line triggers missed"),
    ],
)
def test_reasons_are_told_apart(change: dict[str, int], words: str) -> None:
    counter = LineCounter(counts_per_line=2.0)
    counter.place(BlockTags(N, frame_id=1, encoder_count=100))
    placed = counter.place(replace(BlockTags(N, encoder_count=100 + 2 * 3 * N), **change))
    assert (placed.first_line, placed.missed_lines) == (3 * N, 2 * N)
    assert words in placed.faults[0]


def test_a_standing_loom_is_nothing_and_a_late_latch_is_tolerated() -> None:
    counter = LineCounter(counts_per_line=4.0, tolerance_lines=1)
    for index, encoder in enumerate((0, 34, 61, 96)):  # 32 a block, latched a little early or late
        placed = counter.place(BlockTags(N, frame_id=index, encoder_count=encoder, received_monotonic_s=3600.0 * index))
        assert placed == type(placed)(index * N, 0, N, 0)
    placed = counter.place(BlockTags(N, frame_id=4, encoder_count=128 + 8))
    assert placed.missed_lines == 2


def test_counters_start_over() -> None:
    counter = LineCounter(encoder_bits=16, frame_id_bits=16)
    frame, encoder = 65533, 65530
    for index in range(6):
        placed = counter.place(BlockTags(N, frame_id=frame, encoder_count=encoder % 65536))
        assert (placed.first_line, placed.faults) == (index * N, ())
        frame = 1 if frame == 65535 else frame + 1  # GigE Vision leaves out 0
        encoder += N
    assert unwrap(2, 65537, 16) == 65538
    assert unwrap(65535, 65536, 16) == 65535


def test_a_camera_whose_encoder_starts_over_is_estimated_and_skips_nothing() -> None:
    counter = LineCounter()
    for index in range(3):
        counter.place(BlockTags(N, frame_id=index, encoder_count=1000 + index * N, received_monotonic_s=index * 1.0))
    placed = counter.place(BlockTags(N, frame_id=0, encoder_count=0, session=1, received_monotonic_s=12.0))
    assert placed.skip_lines == 0
    assert placed.first_line == 3 * N + 9 * N  # ten seconds at a block a second, the last of them this one
    assert "estimated" in placed.faults[0]
    after = counter.place(BlockTags(N, frame_id=1, encoder_count=N, session=1, received_monotonic_s=13.0))
    assert (after.first_line, after.missed_lines, after.faults) == (13 * N, 0, ())


@pytest.mark.parametrize("origin", [0, 1000, 2**40])
@pytest.mark.parametrize("back", [1, N, 5 * N])
def test_a_web_that_ran_back_while_the_camera_was_away_is_taken_where_it_goes_on(origin: int, back: int) -> None:
    account = Account(LineCounter(counts_per_line=4.0))
    for index in range(20):
        account.take(
            BlockTags(N, frame_id=index, encoder_count=origin + 4 * N * index, received_monotonic_s=0.1 * index)
        )
    at = 20 * N - back
    for index in range(10):
        truth = list(range(at, at + N))
        tags = BlockTags(
            N, frame_id=index, encoder_count=origin + 4 * at, session=1, received_monotonic_s=10 + 0.1 * index
        )
        account.take(tags, truth=truth)
        at += N
    assert (account.handed, account.missed, account.faults) == (list(range(at)), 0, [])


def test_a_long_way_back_within_a_block_is_believed() -> None:
    account = Account(LineCounter(counts_per_line=4.0))
    for index in range(200):
        account.take(BlockTags(N, frame_id=index, encoder_count=4 * N * index, received_monotonic_s=0.01 * index))
    at, back, came_s = 200 * N, 150 * N, 1.99 + 1.0  # a second backwards, in which the camera took no line
    for begin, end, web in ((0, 3, at), (3, N, at + 3 - back)):
        tags = BlockTags(end - begin, frame_id=200, encoder_count=4 * web, received_monotonic_s=came_s)
        account.take(tags, truth=list(range(web, web + end - begin)))
    web = at + N - back
    for index in range(160):
        tags = BlockTags(
            N, frame_id=201 + index, encoder_count=4 * web, received_monotonic_s=came_s + 0.01 * (index + 1)
        )
        account.take(tags, truth=list(range(web, web + N)))
        web += N
    assert (account.handed, account.missed, account.faults) == (list(range(web)), 0, [])


def test_lines_that_are_missing_where_the_web_turned_are_told_so() -> None:
    counter = LineCounter(counts_per_line=4.0)
    counter.place(BlockTags(N, frame_id=0, encoder_count=0, encoder_count_last=4 * (N - 1)))
    back = counter.place(BlockTags(N, frame_id=1, encoder_count=4 * N, encoder_count_last=4))
    assert (back.n_lines, back.faults) == (0, ())  # a web that goes back is no fault
    placed = counter.place(BlockTags(N, frame_id=2, encoder_count=4 * (N + 3), encoder_count_last=4 * (2 * N + 2)))
    assert placed.missed_lines == 3
    assert "3 line triggers missed where the web turned back" in placed.faults[0]


def test_chunks_that_cannot_be_read_leave_the_frame_ids() -> None:
    counter = LineCounter()
    counter.place(BlockTags(N, frame_id=0, encoder_count=500))
    placed = counter.place(BlockTags(N, frame_id=2, chunk_errors=1))
    assert (placed.first_line, placed.missed_lines) == (2 * N, N)
    assert "could not be read" in placed.faults[0]
    again = counter.place(BlockTags(N, frame_id=3, encoder_count=500 + 3 * N, chunk_errors=1))
    assert (again.first_line, again.missed_lines) == (3 * N, 0)


@pytest.mark.parametrize("unreadable", [1, 3, 8])
def test_after_a_restart_a_block_without_its_count_is_missed_rather_than_guessed(unreadable: int) -> None:
    account = Account(LineCounter(counts_per_line=4.0))
    for index in range(5):
        account.take(BlockTags(N, frame_id=index, encoder_count=4 * N * index, received_monotonic_s=0.1 * index))
    for index in range(unreadable):
        account.take(BlockTags(N, frame_id=index, chunk_errors=index + 1, session=1, received_monotonic_s=9.0))
    assert account.handed == list(range(5 * N))
    web = 50 * N + 3
    tags = BlockTags(
        N,
        frame_id=unreadable,
        encoder_count=4 * web,
        chunk_errors=unreadable,
        session=1,
        received_monotonic_s=9.1,
    )
    account.take(tags, truth=list(range(web, web + N)))
    account.check()
    assert account.missed == web - 5 * N
    assert account.counter.counts.restarts == 1
    assert f"could not be read {unreadable} times" in account.faults[0]
    assert "the camera was away" in account.faults[1]


def test_a_camera_whose_count_stays_unreadable_after_a_restart_is_estimated() -> None:
    counter = LineCounter()
    for index in range(3):
        counter.place(BlockTags(N, frame_id=index, encoder_count=N * index, received_monotonic_s=1.0 * index))
    blocks = [
        counter.place(
            BlockTags(N, frame_id=index, chunk_errors=index + 1, session=1, received_monotonic_s=12.0 + index)
        )
        for index in range(10)
    ]
    assert [block.n_lines for block in blocks] == [0] * 8 + [N, N]
    assert "estimated" in " ".join(blocks[8].faults)


def test_a_misread_encoder_moves_nothing() -> None:
    counter = LineCounter()
    for index in range(20):
        encoder = {5: 2**60, 9: -(2**62)}.get(index, 1000 + index * N)
        placed = counter.place(BlockTags(N, frame_id=index, encoder_count=encoder, received_monotonic_s=index * 0.01))
        assert (placed.first_line, placed.missed_lines) == (index * N, 0)
        assert bool(placed.faults) == (index in (5, 9))


def test_an_encoder_misread_in_the_first_block_is_corrected() -> None:
    counter = LineCounter()
    for index in range(6):
        encoder = 2**60 if index == 0 else 1000 + index * N
        placed = counter.place(BlockTags(N, frame_id=index, encoder_count=encoder, received_monotonic_s=index * 0.01))
        assert (placed.first_line, placed.missed_lines) == (index * N, 0)
    assert (
        counter.place(BlockTags(N, frame_id=6, encoder_count=1000 + 7 * N, received_monotonic_s=0.1)).missed_lines == N
    )


@settings(max_examples=400, deadline=None)
@given(
    runs=st.lists(
        st.tuples(st.integers(1, 12), st.sampled_from([1, 1, 1, -1]), st.integers(2, 9)), min_size=1, max_size=6
    ),
    counts_per_line=st.sampled_from([1.0, 4.0, -2.0]),
    thorough=st.booleans(),
)
def test_stretches_are_straight(runs: list[tuple[int, int, int]], counts_per_line: float, thorough: bool) -> None:
    web, lines = 0, []
    for length, direction, hole in runs:
        lines += [web + direction * index for index in range(length)]
        web = lines[-1] + hole
    asked: list[int] = []

    def count_at(line: int) -> int:
        asked.append(line)
        return round(lines[line] * counts_per_line)

    found = straight_runs(count_at, len(lines), counts_per_line, most=1000, thorough=thorough)
    assert found is not None
    assert [begin for begin, _ in found] == [0, *[end for _, end in found[:-1]]]
    assert found[-1][1] == len(lines)
    assert len(set(asked)) == len(asked)
    if thorough and len(found) > 1:
        for begin, end in found:
            steps_here = {lines[line] - lines[line - 1] for line in range(begin + 1, end)}
            assert steps_here in ({1}, {-1}, set())
    if all(direction == 1 for _, direction, _ in runs):  # holes alone are found exactly
        steps = {line for line in range(1, len(lines)) if lines[line] != lines[line - 1] + 1}
        assert {begin for begin, _ in found} == {0, *steps}


def test_a_turn_is_found_and_a_straight_block_costs_two_looks() -> None:
    there_and_back = [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    found = straight_runs(there_and_back.__getitem__, 16, 1.0, most=8)
    assert found is not None
    for begin, end in found:
        run = there_and_back[begin:end]
        assert run in (list(range(run[0], run[0] + end - begin)), list(range(run[0], run[0] - (end - begin), -1)))
    asked: list[int] = []
    assert straight_runs(lambda line: asked.append(line) or line, 1 << 14, 1.0, most=8) == [(0, 1 << 14)]
    assert len(asked) == 2
    assert straight_runs(lambda line: 2 * line, 64, 1.0, most=8) is None


@pytest.mark.parametrize("divider", [1.0, -4.0])
def test_a_web_that_runs_backwards_for_good_is_told_once_and_again_after_it_went_on(divider: float) -> None:
    counter = LineCounter(counts_per_line=divider, backwards_lines=10 * N)

    def take(line: int, frame: int) -> tuple[str, ...]:
        first, last = round(line * divider), round((line + N - 1) * divider)
        return counter.place(BlockTags(N, frame_id=frame, encoder_count=first, encoder_count_last=last)).faults

    told = [take(N * frame, frame) for frame in range(30)]
    told += [take(N * (59 - frame), frame) for frame in range(30, 60)]  # back to where it began
    assert [bool(faults) for faults in told] == [False] * 39 + [True] + [False] * 20
    assert "counts backwards" in told[39][0]
    assert counter.next_line == 30 * N
    told = [take(N * (frame - 60), frame) for frame in range(60, 95)]  # forward, past where it was
    assert counter.next_line == 35 * N
    again = [take(N * (129 - frame), frame) for frame in range(95, 110)]
    assert sum("counts backwards" in one for faults in again for one in faults) == 1
