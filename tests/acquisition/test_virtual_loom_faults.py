"""Every fault of the virtual loom shows as its README says, and nothing crashes when things end in the wrong order."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest
from virtual_loom_peer import Peer, Taken, core, genapi, gentl, harvester, opened, set_up, take, take_until_silent

from glass_edge.acquisition.virtual_loom import VirtualLoom
from glass_edge.errors import InputError

CLOTH = np.random.default_rng(7).integers(0, 256, (300, 64), dtype=np.uint8)
HEIGHT = 32


@pytest.fixture
def loom(tmp_path: Path) -> VirtualLoom:
    return VirtualLoom.create(tmp_path, CLOTH, line_rate_hz=4000)


def test_incomplete_frames_are_thrown_away_by_the_consumer(loom: VirtualLoom) -> None:
    seen = []

    class Incomplete(core.Callback):  # type: ignore[misc, name-defined]
        def emit(self, context: object = None) -> None:
            seen.append(context)

    with opened(loom.cti) as ia:
        set_up(ia.remote_device.node_map)
        ia.add_callback(ia.Events.INCOMPLETE_BUFFER, Incomplete())
        ia.start()
        before = take(ia)
        loom.order("incomplete", 2)
        blocks = [before]
        while loom.pending("incomplete") or len(blocks) < 3:
            blocks.append(take(ia))
        blocks += [take(ia) for _ in range(8)]
        ia.stop()
    ids = [b.frame_id for b in blocks]
    assert len(seen) == 2
    assert ids[-1] - ids[0] + 1 == len(ids) + 2


def test_an_incomplete_frame_says_how_much_of_it_came(loom: VirtualLoom) -> None:
    loom.order("incomplete")
    with opened(loom.cti) as ia:
        set_up(ia.remote_device.node_map)
        ia.start()
        stream = ia.data_streams[0]
        monitor = next(iter(ia._new_buffer_event_monitor_dict.values()))
        monitor.update_event_data(5000)
        buffer = monitor.buffer
        assert not buffer.is_complete()
        assert buffer.delivered_image_height == HEIGHT // 2
        assert buffer.size_filled == HEIGHT // 2 * 64
        assert not buffer.is_containing_chunk_data()
        stream.queue_buffer(buffer)
        assert take(ia).frame_id == 2
        ia.stop()


@pytest.mark.parametrize("fault", ["drop", "stall"])
def test_frames_that_are_not_delivered_leave_a_gap(loom: VirtualLoom, fault: str) -> None:
    with opened(loom.cti) as ia:
        set_up(ia.remote_device.node_map)
        ia.start()
        blocks = [take(ia)]
        if fault == "drop":
            loom.order("drop", 3)
        else:
            loom.stall()
            blocks += take_until_silent(ia)
            loom.resume()
        blocks += [take(ia) for _ in range(12)]
        ia.stop()
    steps = np.diff([b.frame_id for b in blocks])
    assert sum(steps > 1) == 1
    if fault == "drop":
        assert steps.max() == 4
    for block in blocks:  # lines are counted whether they were delivered or not
        assert block.encoder is not None
        first = block.encoder[0]
        assert first == (block.frame_id - 1) * HEIGHT
        assert np.array_equal(block.raw.reshape(HEIGHT, 64), CLOTH[np.arange(first, first + HEIGHT) % 300])


def test_missed_triggers_make_the_encoder_jump_within_a_frame(loom: VirtualLoom) -> None:
    loom.order("missed_trigger", 5)
    with opened(loom.cti) as ia:
        nodes = ia.remote_device.node_map
        set_up(nodes)
        ia.start()
        first, second = take(ia), take(ia)
        assert (first.frame_id, second.frame_id) == (1, 2)
        assert first.encoder == (5, 5 + HEIGHT - 1)
        loom.order("missed_trigger", 5)
        blocks = [take(ia) for _ in range(30)]
        assert nodes.LineTriggerMissedCount.value == 10
        ia.stop()
    ends = [b.encoder for b in [second, *blocks] if b.encoder is not None]
    assert sum(end - start == HEIGHT - 1 + 5 for start, end in ends) + sum(
        after[0] - before[1] == 6 for before, after in itertools.pairwise(ends)
    ) in (1, 2)
    assert ends[-1][1] == (len(blocks) + 2) * HEIGHT + 10 - 1


def test_an_exposure_too_long_for_the_speed_misses_triggers(loom: VirtualLoom) -> None:
    with opened(loom.cti) as ia:
        nodes = ia.remote_device.node_map
        set_up(nodes, ExposureTime=300.0)  # a line every 250 us
        ia.start()
        block = take(ia)
        assert nodes.LineTriggerMissedCount.value >= HEIGHT - 1
        ia.stop()
    assert block.encoder == (0, 2 * (HEIGHT - 1))


def test_damaged_chunks_never_take_the_picture_away(loom: VirtualLoom) -> None:
    with opened(loom.cti) as ia:
        nodes = ia.remote_device.node_map
        set_up(nodes)
        loom.order("bad_chunk", 2)
        ia.start()
        for number in range(1, 4):
            with ia.fetch(timeout=5) as buffer:
                if number < 3:
                    with pytest.raises(genapi.GenericException, match="Range error"):
                        _ = nodes.ChunkEncoderValue.value
                else:
                    assert nodes.ChunkEncoderValue.value == 2 * HEIGHT
                assert buffer.module.frame_id == number
                got = buffer.payload.components[0].data.reshape(HEIGHT, 64)
                assert np.array_equal(got, CLOTH[np.arange((number - 1) * HEIGHT, number * HEIGHT) % 300])
        assert take(ia).chunks is not None
        ia.stop()


def test_too_few_buffers_lose_frames_and_are_counted(loom: VirtualLoom) -> None:
    with opened(loom.cti, n_buffers=2) as ia:
        set_up(ia.remote_device.node_map)
        ia.start()
        held = [ia.fetch(timeout=5) for _ in range(2)]
        time.sleep(0.1)
        assert ia.data_streams[0].num_underrun > 3
        for buffer in held:
            buffer.queue()
        assert take(ia).frame_id > 5
        ia.stop()
    assert loom.counters["frames_underrun"] > 3


def test_a_patient_loom_loses_nothing(tmp_path: Path) -> None:
    loom = VirtualLoom.create(tmp_path, CLOTH, line_rate_hz=4000, patient=True)
    with opened(loom.cti, n_buffers=2) as ia:
        set_up(ia.remote_device.node_map)
        ia.start()
        ids = []
        for _ in range(10):
            block = take(ia)
            ids.append(block.frame_id)
            assert block.encoder == ((block.frame_id - 1) * HEIGHT, block.frame_id * HEIGHT - 1)
            time.sleep(0.03)
        ia.stop()
    assert ids == list(range(1, 11))
    assert loom.counters["frames_underrun"] == 0


def test_a_standing_loom_sends_nothing_and_loses_nothing(loom: VirtualLoom) -> None:
    with opened(loom.cti) as ia:
        nodes = ia.remote_device.node_map
        set_up(nodes)
        ia.start()
        blocks = [take(ia)]
        loom.stop()
        blocks += take_until_silent(ia)
        assert nodes.EncoderStatus.value == "EncoderStatic"
        where = nodes.EncoderValue.value
        time.sleep(0.05)
        assert nodes.EncoderValue.value == where == loom.encoder_count
        loom.run()
        blocks += [take(ia) for _ in range(5)]
        ia.stop()
    assert [b.frame_id for b in blocks] == list(range(1, len(blocks) + 1))
    assert [b.encoder for b in blocks] == [(i * HEIGHT, (i + 1) * HEIGHT - 1) for i in range(len(blocks))]


def back_and_forth(loom: VirtualLoom, ia: Peer) -> list[Taken]:
    """Blocks of a web that runs, goes back over at least 8 frames and runs again."""
    ia.start()
    blocks = [take(ia) for _ in range(12)]
    turned_at = loom.encoder_count
    loom.run(-4000)
    while loom.encoder_count > turned_at - 8 * HEIGHT:
        with contextlib.suppress(gentl.TimeoutException):
            blocks.append(take(ia, timeout_s=0.02))
    loom.run()
    blocks += [take(ia) for _ in range(25)]
    ia.stop()
    return blocks


@pytest.mark.parametrize("mode", ["Motion", "PositionUp", "DirectionUp"])
def test_the_web_goes_back(loom: VirtualLoom, mode: str) -> None:
    with opened(loom.cti, n_buffers=64) as ia:
        set_up(ia.remote_device.node_map, EncoderOutputMode=mode)
        blocks = back_and_forth(loom, ia)
    assert [b.frame_id for b in blocks] == list(range(1, len(blocks) + 1))
    ends = [b.encoder for b in blocks]
    backwards = [b for b in blocks if b.encoder[1] == b.encoder[0] - HEIGHT + 1]
    if mode == "PositionUp":  # new cloth only, as if nothing had happened
        assert ends == [(i * HEIGHT, (i + 1) * HEIGHT - 1) for i in range(len(blocks))]
    elif mode == "DirectionUp":
        assert not backwards
        assert any(b.encoder[0] > a.encoder[0] + HEIGHT or b.encoder[0] <= a.encoder[0] or a.encoder[1] < a.encoder[0]
                   for a, b in itertools.pairwise(blocks))  # fmt: skip
    else:
        assert len(backwards) >= 6
        for block in backwards:
            assert block.chunks["EncoderStatusValue"] == "EncoderDown"
            first = block.encoder[0]
            assert np.array_equal(block.raw.reshape(HEIGHT, 64), CLOTH[np.arange(first, first - HEIGHT, -1) % 300])


def test_a_lost_camera_is_dead_until_it_is_opened_anew(loom: VirtualLoom) -> None:
    with harvester(loom.cti) as h:
        ia = h.create({"serial_number": "LOOM-1"})
        ia.num_buffers = 16
        set_up(ia.remote_device.node_map)
        ia.start()
        take(ia)
        began_s = time.monotonic()
        loom.lose()
        with pytest.raises(gentl.IoException):
            take_until_silent(ia, silence_s=2)
        assert time.monotonic() - began_s < 2
        assert ia.device.module.access_status == 3
        with pytest.raises(gentl.IoException):
            _ = ia.remote_device.node_map.Width.value
        loom.find()
        with pytest.raises(gentl.IoException):  # the handle stays dead
            _ = ia.remote_device.node_map.Width.value
        loom.lose()
        for end in (ia.stop, ia.destroy):
            with contextlib.suppress(gentl.GenericException):
                end()
        h.update()
        assert len(h.device_info_list) == 0
        loom.find()
        h.update()
        assert len(h.device_info_list) == 1
        ia = h.create({"serial_number": "LOOM-1"})
        set_up(ia.remote_device.node_map)
        ia.start()
        block = take(ia)
        ia.destroy()
    assert block.frame_id == 1
    assert block.encoder is not None
    assert block.encoder[0] > HEIGHT  # the web went on meanwhile
    assert np.array_equal(block.raw.reshape(HEIGHT, 64), CLOTH[np.arange(block.encoder[0], block.encoder[1] + 1) % 300])


def test_a_loss_can_end_by_itself(loom: VirtualLoom) -> None:
    loom.lose(0.3)
    with harvester(loom.cti) as h:
        assert len(h.device_info_list) == 0
        time.sleep(0.35)
        h.update()
        assert len(h.device_info_list) == 1


def test_cloth_that_ends(tmp_path: Path) -> None:
    loom = VirtualLoom.create(tmp_path, CLOTH, line_rate_hz=4000, repeat=False)
    with opened(loom.cti, n_buffers=32) as ia:
        set_up(ia.remote_device.node_map, height=30)
        ia.start()
        played = np.concatenate([take(ia).raw.reshape(30, 64) for _ in range(10)])
        with pytest.raises(gentl.TimeoutException):
            ia.fetch(timeout=0.2)
        ia.stop()
    assert np.array_equal(played, CLOTH)
    assert loom.encoder_count == 299


def _hold(cti: Path, is_open: Event, let_go: Event) -> None:
    with opened(cti) as ia:
        set_up(ia.remote_device.node_map)
        ia.start()
        is_open.set()
        while not let_go.is_set():
            with contextlib.suppress(gentl.TimeoutException):
                take(ia, timeout_s=0.1)


def test_one_process_at_a_time_and_a_crash_frees_the_camera(loom: VirtualLoom) -> None:
    context = multiprocessing.get_context("spawn")
    is_open, let_go = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(loom.cti, is_open, let_go))
    other.start()
    assert is_open.wait(60)
    with harvester(loom.cti) as h:
        assert h.device_info_list[0].access_status == 4
        with pytest.raises(gentl.AccessDeniedException):
            h.create({"serial_number": "LOOM-1"})
    loom.order("crash")
    other.join(30)
    assert other.exitcode == -signal.SIGABRT
    assert loom.pending("crash") == 0
    with opened(loom.cti) as ia:
        ia.start()
        ia.stop()


def _record(cti: Path, out: Path, let_go: Event) -> None:
    """Frame id, first encoder count and whether the pixels are those of the count, of every block until it may end."""
    taken = []
    with opened(cti) as ia:
        set_up(ia.remote_device.node_map)
        ia.start()
        while not let_go.is_set():
            with contextlib.suppress(gentl.TimeoutException):
                block = take(ia, timeout_s=0.1)
                first = block.counts[0]
                right = np.array_equal(block.raw.reshape(HEIGHT, 64), CLOTH[np.arange(first, first + HEIGHT) % 300])
                taken.append((block.frame_id, first, right))
    np.save(out, np.array(taken))


def test_frames_that_would_come_more_than_two_seconds_late_are_given_up(tmp_path: Path) -> None:
    stopped_s, rate_hz = 2.8, 400.0
    frame_s = HEIGHT / rate_hz
    loom = VirtualLoom.create(tmp_path / "loom", CLOTH, line_rate_hz=rate_hz)
    context = multiprocessing.get_context("spawn")
    let_go = context.Event()
    other = context.Process(target=_record, args=(loom.cti, tmp_path / "taken.npy", let_go))
    other.start()
    assert other.pid is not None
    until_s = time.monotonic() + 60
    while loom.counters["frames_delivered"] < 5 and time.monotonic() < until_s:
        time.sleep(0.02)
    began_s = time.monotonic()
    os.kill(other.pid, signal.SIGSTOP)  # the consumer and the producer's thread in it; the web goes on
    time.sleep(stopped_s)
    os.kill(other.pid, signal.SIGCONT)
    late_s = time.monotonic() - began_s
    time.sleep(1.0)
    let_go.set()
    other.join(30)
    assert other.exitcode == 0
    taken = np.load(tmp_path / "taken.npy")
    assert taken[:, 2].all()
    assert np.array_equal(taken[:, 1], (taken[:, 0] - 1) * HEIGHT)  # lines are counted, delivered or not
    steps = np.diff(taken[:, 0])
    lost = int(steps.max()) - 1
    assert sum(steps > 1) == 1
    assert loom.counters["frames_underrun"] == lost
    assert (stopped_s - 2.0) / frame_s - 1 <= lost < (late_s - 1.0) / frame_s  # the others came, up to 2 s late


def test_updates_reloads_and_late_calls_crash_nothing(loom: VirtualLoom) -> None:
    script = Path(__file__).with_name("virtual_loom_misuse.py")
    done = subprocess.run([sys.executable, str(script), str(loom.folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().endswith("survived")


def test_a_loom_must_be_possible(tmp_path: Path) -> None:
    for change in (
        {"line_rate_hz": 0.5},
        {"counts_per_line": 0},
        {"serial": "../x"},
        {"serial": ""},
        {"user_id": "x" * 64},
    ):
        with pytest.raises(InputError):
            VirtualLoom.create(tmp_path, CLOTH, **change)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="uint8"):
        VirtualLoom.create(tmp_path, CLOTH.astype(np.uint16))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="3 px"):
        VirtualLoom.create(tmp_path, CLOTH[:, :3])
    with pytest.raises(InputError, match="no such file"):
        VirtualLoom.create(tmp_path, tmp_path / "nothing.png")
    with pytest.raises(InputError, match="no cloth"):
        VirtualLoom(tmp_path, "LOOM-2")
    VirtualLoom.create(tmp_path, CLOTH)
    with pytest.raises(InputError, match="drop"):
        VirtualLoom(tmp_path).order("fire")


def test_damaged_looms_are_no_cameras(loom: VirtualLoom) -> None:
    VirtualLoom.create(loom.folder, CLOTH, serial="SHORT")
    VirtualLoom.create(loom.folder, CLOTH, serial="FOREIGN")
    (loom.folder / "EMPTY").mkdir()
    cloth = loom.folder / "SHORT" / "cloth.lines"
    cloth.write_bytes(cloth.read_bytes()[:-1])
    (loom.folder / "FOREIGN" / "control").write_bytes(b"x" * 4096)
    with harvester(loom.cti) as h:
        assert [d.serial_number for d in h.device_info_list] == ["LOOM-1"]
