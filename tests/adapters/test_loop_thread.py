"""A loop in a thread: results, errors, time-outs and the end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from glass_edge.adapters.loop_thread import LoopThread


async def _thread_name() -> str:
    await asyncio.sleep(0)
    return threading.current_thread().name


async def _fail() -> None:
    raise ValueError("wrong")


def test_work_runs_in_the_thread_and_its_result_and_error_come_back() -> None:
    with LoopThread("test-loop", pytest.fail) as loop:
        assert loop.call(_thread_name(), 5.0) == "test-loop"
        with pytest.raises(ValueError, match="wrong"):
            loop.call(_fail(), 5.0)


def test_work_that_takes_too_long_is_cancelled_and_the_loop_goes_on() -> None:
    cancelled = threading.Event()

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with LoopThread("test-loop", pytest.fail) as loop:
        with pytest.raises(TimeoutError, match=r"not done within 0\.05 s"):
            loop.call(slow(), 0.05)
        assert cancelled.wait(5)
        assert loop.call(_thread_name(), 5.0) == "test-loop"


def test_the_end_cancels_what_runs_and_waits_for_it() -> None:
    ended = threading.Event()

    async def serve() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)  # as a server that says good-bye
            ended.set()

    with LoopThread("test-loop", pytest.fail) as loop:
        future = loop.start(serve())
        loop.call(_thread_name(), 5.0)
    assert ended.is_set()
    assert future.cancelled()
    assert not any(thread.name == "test-loop" for thread in threading.enumerate())


def test_an_error_nobody_waits_for_is_told() -> None:
    told: list[str] = []

    async def leave_behind() -> None:
        task = asyncio.get_running_loop().create_task(_fail())
        await asyncio.sleep(0)
        del task

    with LoopThread("test-loop", told.append) as loop:
        loop.call(leave_behind(), 5.0)
    assert any("ValueError('wrong')" in line for line in told)


def test_a_loop_that_was_never_entered_can_be_closed() -> None:
    loop = LoopThread("test-loop", pytest.fail)
    loop.close()
    loop.close()
