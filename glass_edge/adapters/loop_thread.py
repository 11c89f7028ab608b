"""An asyncio loop in a thread of its own, for libraries whose interface is asynchronous.

Promises: the loop begins and ends with the `with` block; `call` returns what the coroutine returned, raises what it
raised, or gives up after its time-out and cancels it; tasks that are still there at the end are cancelled and waited
for; a task that ended by itself with an error is told, never swallowed.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

T = TypeVar("T")

_END_S = 10.0


class LoopThread:
    """A running event loop; a context manager.

    Args:
        name: of the thread.
        complain: told, in the loop's thread, of errors that nobody waited for.
    """

    def __init__(self, name: str, complain: Callable[[str], object]) -> None:
        self._complain = complain
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._tell)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def call(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """Run `work` in the loop and wait for it.

        Raises:
            TimeoutError: it was not done within `timeout_s`; it was cancelled.
            BaseException: what it raised.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        except concurrent.futures.TimeoutError:
            if future.done():
                raise  # its own
            future.cancel()
            raise TimeoutError(f"not done within {timeout_s:g} s") from None

    def start(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Run `work` in the loop without waiting; it is cancelled at the end."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Cancel what runs, end the loop and its thread; no harm when closed already."""
        if self._loop.is_closed():
            return
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(2 * _END_S)
            if self._thread.is_alive():
                raise RuntimeError(f"the thread {self._thread.name} does not end")
        else:
            self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._end()

    def _end(self) -> None:
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        if tasks:
            _, late = self._loop.run_until_complete(asyncio.wait(tasks, timeout=_END_S))
            for task in late:
                self._complain(f"{task.get_name()} does not end")
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _tell(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        del loop
        error = context.get("exception")
        self._complain(f"{context.get('message', 'error')}: {error!r}" if error else str(context.get("message")))
