"""What a camera handed over is kept and played again, byte for byte, whatever happens to the disk."""

from __future__ import annotations

import errno
import tempfile
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glass_edge.acquisition import raw_lines, recorder
from glass_edge.acquisition.camera import CameraHealth, EndOfLinesError, LineBlock
from glass_edge.acquisition.raw_lines import SUFFIX, Damage, RawHeader, RawWriter, read_blocks, read_raw_header
from glass_edge.acquisition.raw_player import RawPlayer, is_recording
from glass_edge.acquisition.recorder import RecordingCamera, RingSettings
from glass_edge.errors import InputError

WIDTH = 40
NOW = datetime(2025, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


class ListCamera:
    """Hands over given blocks."""

    channels, is_simulated, first_line = 1, False, 0
    width_px = WIDTH

    def __init__(self, blocks: Sequence[LineBlock]) -> None:
        self._blocks = list(blocks)
        self.is_open = False

    def __enter__(self) -> Self:
        self.is_open = True
        return self

    def __exit__(self, *exc: object) -> None:
        self.is_open = False

    def read(self, timeout_s: float) -> LineBlock | None:
        if not self._blocks:
            raise EndOfLinesError
        return self._blocks.pop(0)


def block(first_line: int, n_lines: int, seed: int = 0, **more: object) -> LineBlock:
    lines = np.random.default_rng([seed, first_line]).integers(0, 256, (n_lines, WIDTH), dtype=np.uint8)
    when = NOW + timedelta(milliseconds=first_line)
    return LineBlock(lines, first_line, 7 * first_line, when, 1.5, **more)  # type: ignore[arg-type]


def ring(folder: Path, budget: int = 1 << 20, file: int = 1 << 14) -> RingSettings:
    return RingSettings(folder, budget, file)


def record(blocks: Sequence[LineBlock], where: RingSettings) -> list[LineBlock]:
    """Record `blocks`; returns what the camera's user saw."""
    seen = []
    with RecordingCamera(ListCamera(blocks), where, mm_per_px=0.1, mm_per_line=0.2) as camera:
        while True:
            try:
                one = camera.read(1.0)
            except EndOfLinesError:
                break
            assert one is not None
            seen.append(one)
    return seen


def play(folder: Path) -> tuple[list[LineBlock], tuple[str, ...]]:
    found = []
    with RawPlayer(folder) as camera:
        while True:
            try:
                one = camera.read(1.0)
            except EndOfLinesError as end:
                return found, end.faults
            assert one is not None
            found.append(one)


def same(one: LineBlock, other: LineBlock) -> bool:
    facts = ("first_line", "encoder_count", "captured_utc", "source")
    return np.array_equal(one.lines, other.lines) and all(getattr(one, k) == getattr(other, k) for k in facts)


@given(
    lengths=st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), min_size=1, max_size=12),
    file_bytes=st.integers(1, 1 << 14),
)
@settings(max_examples=40, deadline=None)
def test_a_recording_is_played_byte_for_byte(lengths: list[tuple[int, int]], file_bytes: int) -> None:
    blocks, line = [], 0
    for n_lines, jump in lengths:
        line += jump
        blocks.append(block(line, n_lines, source=f"loom{line}", health=CameraHealth(1, line, ("a fault",))))
        line += n_lines
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seen = record(blocks, ring(folder, budget=1 << 24, file=file_bytes))
        assert all(one is other for one, other in zip(seen, blocks, strict=True))  # passed through as they are
        played, faults = play(folder)
        assert faults == ()
        assert all(same(one, other) for one, other in zip(played, blocks, strict=True))
        assert [one.health.faults for one in played] == [("a fault",)] * len(blocks)
        assert played[0].starts_segment
        with RawPlayer(folder) as camera:
            assert camera.is_simulated
            assert (camera.width_px, camera.channels, camera.header.mm_per_line) == (WIDTH, 1, 0.2)


def test_the_oldest_files_make_room(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not ours")
    budget, file = 200_000, 20_000
    record([block(50 * k, 50) for k in range(10)], ring(tmp_path, budget, file))
    first = sorted(tmp_path.glob(f"*{SUFFIX}"))
    blocks = [block(50 * k, 50, seed=1) for k in range(200)]
    record(blocks, ring(tmp_path, budget, file))
    files = sorted(tmp_path.glob(f"*{SUFFIX}"))
    assert sum(path.stat().st_size for path in files) <= budget
    assert not set(first) & set(files)  # an earlier recording is older
    assert (tmp_path / "notes.txt").read_text() == "not ours"
    played, faults = play(tmp_path)
    assert faults == ()
    assert len(played) >= (budget - 2 * file) // 2600
    assert all(same(one, other) for one, other in zip(played, blocks[-len(played) :], strict=True))


def test_of_several_recordings_the_newest_is_played(tmp_path: Path) -> None:
    record([block(0, 5)], ring(tmp_path))
    record([block(0, 6, seed=1)], ring(tmp_path))
    played, _ = play(tmp_path)
    assert [one.n_lines for one in played] == [6]
    oldest = min(tmp_path.glob(f"*{SUFFIX}"))
    assert is_recording(oldest)
    assert [one.n_lines for one in play(oldest)[0]] == [5]


def test_damage_is_a_fault_and_a_jump_of_the_lines(tmp_path: Path) -> None:
    blocks = [block(10 * k, 10) for k in range(3)]
    record(blocks, ring(tmp_path))
    (path,) = tmp_path.glob(f"*{SUFFIX}")
    whole = path.read_bytes()
    at = whole.index(blocks[1].lines.tobytes()) + 17
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    played, faults = play(tmp_path)
    assert faults == ()
    assert [one.first_line for one in played] == [0, 20]
    (told,) = played[1].health.faults
    assert f"{path}: block 2 is damaged" in told

    start = whole.index(blocks[2].lines.tobytes())
    path.write_bytes(whole[: start + 100])  # a power cut
    played, faults = play(tmp_path)
    assert [one.first_line for one in played] == [0, 10]
    assert f"{path}: it ends within block 3" in faults[0]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_changed_byte_is_played_for_another(data: st.DataObject) -> None:
    blocks = [block(10 * k, 3) for k in range(3)]
    with tempfile.TemporaryDirectory() as name:
        record(blocks, ring(Path(name)))
        (path,) = Path(name).glob(f"*{SUFFIX}")
        content = bytearray(path.read_bytes())
        header = len(raw_lines.MAGIC) + 4 + int.from_bytes(content[8:12], "little")
        at = data.draw(st.integers(header, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        items = list(read_blocks(path))
    sound = [one for one in items if isinstance(one, LineBlock)]
    assert len(sound) < len(blocks)
    assert any(isinstance(one, Damage) for one in items)
    assert all(any(same(one, other) for other in blocks) for one in sound)


def test_a_full_disk_costs_the_recording_not_the_inspection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right, full = RawWriter.add, threading.Event()

    def add(writer: RawWriter, one: LineBlock) -> None:
        if 20 <= one.first_line < 50:
            full.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        right(writer, one)

    monkeypatch.setattr(RawWriter, "add", add)
    blocks = [block(10 * k, 10) for k in range(8)]
    seen = []
    with RecordingCamera(ListCamera(blocks), ring(tmp_path), mm_per_px=0.1, mm_per_line=0.1) as camera:
        for _ in blocks:
            one = camera.read(1.0)
            assert one is not None
            seen.append(one)
        with pytest.raises(EndOfLinesError) as end:
            camera.read(1.0)
    assert full.is_set()
    assert all(same(one, other) for one, other in zip(seen, blocks, strict=True))
    told = [*end.value.faults, *(text for one in seen for text in one.health.faults)]
    assert len(told) == 1
    assert "No space left on device; lines from 20 on are not kept" in told[0]
    played, _ = play(tmp_path)
    assert [one.first_line for one in played] == [0, 10, 50, 60, 70]


def test_a_slow_disk_does_not_keep_the_camera_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    right = RawWriter.add

    def add(writer: RawWriter, one: LineBlock) -> None:
        assert go.wait(10)
        right(writer, one)

    monkeypatch.setattr(RawWriter, "add", add)
    monkeypatch.setattr(recorder, "_WAITING_BYTES", 5000)
    blocks = [block(10 * k, 10) for k in range(20)]
    with RecordingCamera(ListCamera(blocks), ring(tmp_path), mm_per_px=0.1, mm_per_line=0.1) as camera:
        seen = [camera.read(0.1) for _ in range(20)]
        go.set()
    told = [text for one in seen if one is not None for text in one.health.faults]
    assert len(told) == 1
    assert "too slow, lines from 50 on" in told[0]
    assert [one.first_line for one in play(tmp_path)[0]] == [0, 10, 20, 30, 40]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no file of raw lines"),
        (b"something else entirely", "no file of raw lines"),
        (raw_lines.MAGIC + b"\x05\0\0\0{...}", "its header is damaged"),
        (raw_lines.MAGIC + b"\xff\xff\xff\xff", "its header is damaged"),
        (raw_lines.MAGIC + b"\x02\0\0\0{}", "its header is damaged"),
    ],
)
def test_what_is_no_recording_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / f"a{SUFFIX}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        RawPlayer(tmp_path)
    with pytest.raises(InputError, match=words):
        read_raw_header(path)


def test_places_without_a_recording_and_mixed_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no recording; give a folder that"):
        RawPlayer(tmp_path)
    with pytest.raises(InputError, match="no recording"):
        RawPlayer(tmp_path / "missing")
    assert not is_recording(tmp_path)
    with pytest.raises(InputError, match="budget_mb = 1: give at least twice file_mb, 2"):
        RecordingCamera(ListCamera([]), ring(tmp_path, 1 << 20, 1 << 20), mm_per_px=0.1, mm_per_line=0.1)
    for number, width in ((1, 40), (2, 41)):
        header = RawHeader(width, 1, "20250101T000000Z", number, True, 0.1, 0.1)
        RawWriter(tmp_path / f"{number}{SUFFIX}", header).close()
    with pytest.raises(InputError, match="lines of 41 px and 1 channel"):
        RawPlayer(tmp_path)


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    header = RawHeader(WIDTH, 1, "r", 1, False, 0.1, 0.1)
    RawWriter(tmp_path / "a.lines", header).close()
    make: Callable[[], RawWriter] = lambda: RawWriter(tmp_path / "a.lines", header)  # noqa: E731
    with pytest.raises(FileExistsError):
        make()
