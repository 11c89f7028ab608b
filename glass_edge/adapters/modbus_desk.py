"""The part between station and controller: shows the one to the other, and carries what the other wants.

Promises: nothing here waits in the thread of the server; a command is kept on disk before it is given; while the state
cannot be kept no command is given, and that is told; what is shown while events are missing is the last that was the
present, and says so.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

from glass_edge.adapters.modbus_bank import RegisterBank
from glass_edge.adapters.modbus_codec import Coding, encode_all
from glass_edge.adapters.modbus_image import AdapterValues, image_values
from glass_edge.adapters.modbus_liveness import Liveness
from glass_edge.adapters.modbus_map import READ_ONLY, READ_ONLY_SIZE
from glass_edge.adapters.modbus_orders import Call, CommandKind, Outcome, take
from glass_edge.adapters.modbus_state import Done, StateFile
from glass_edge.adapters.modbus_stop import StopDesk
from glass_edge.adapters.station_view import StationView
from glass_edge.adapters.stop_handshake import Wanted
from glass_edge.errors import InputError

_TURN_S = 0.2
_KEEP_AGAIN_S = 1.0
_END_S = 30.0


class ModbusDesk:
    """Turns in a thread of its own from `start` to `close`, and whenever something is new.

    Args:
        bank: the registers.
        coding: of the values.
        give: has the station do something; may take seconds.
        file: keeps the state.
        wake: set by whoever has something new.
        view: what was shown last.
        ack_timeout_s: how long the controller may take to answer a stop request, s.
        refuse_when_disabled: refuse stop requests while the controller does not answer them.
        clock: monotonic seconds.

    Raises:
        InputError: the state's file is something else.
    """

    def __init__(
        self,
        bank: RegisterBank,
        coding: Coding,
        give: Callable[[Call], Outcome],
        file: StateFile,
        *,
        wake: threading.Event,
        view: StationView | None,
        ack_timeout_s: float,
        refuse_when_disabled: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bank = bank
        self._coding = coding
        self._give = give
        self._file = file
        self._refuse_when_disabled = refuse_when_disabled
        self._clock = clock
        self._lock = threading.Lock()  # of all below
        self._kept = file.read()
        self._state = self._kept.after_restart()
        self._keep_again_s = clock()
        self._unkept: str | None = None
        self._stop = StopDesk(self._state, ack_timeout_s, clock())
        self._shown = self._newest = view
        self._liveness = Liveness()
        self._trouble: str | None = None
        self._failure: BaseException | None = None
        self._ended: queue.SimpleQueue[tuple[Call, Future[Outcome]]] = queue.SimpleQueue()
        self._wake = wake
        self._is_over = False
        self._pool = ThreadPoolExecutor(max_workers=len(CommandKind) + 1, thread_name_prefix="modbus-call")
        self._thread = threading.Thread(target=self._run, name="modbus-desk", daemon=True)
        triggers = {f"{kind}_trigger": self._done(kind).number for kind in CommandKind}
        bank.preset({"stop_enable": int(self._state.stop_enable), **triggers})
        self._show(clock())

    def start(self) -> None:
        """Begin to turn."""
        self._thread.start()

    def offer(self, view: StationView) -> None:
        """The newest view; shown at once while it is the present."""
        with self._lock:
            self._newest = view
            self._turn()

    def stands(self, *, is_heard: bool, is_behind: bool) -> None:
        """See `FollowingSink`."""
        with self._lock:
            self._liveness.stands(is_heard=is_heard, is_behind=is_behind, now_s=self._clock())
            self._turn()

    def doubt(self) -> None:
        """See `Liveness`."""
        with self._lock:
            self._liveness.doubt()

    def trouble(self) -> str | None:
        """What a person must see to.

        Raises:
            BaseException: what ended the desk's thread.
        """
        with self._lock:
            if self._failure is not None:
                raise self._failure
            return self._trouble

    def close(self) -> None:
        """End; calls under way are waited for, and what became of them is kept."""
        self._is_over = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_END_S)
        self._pool.shutdown(wait=True)
        with self._lock:
            if self._failure is None:
                self._turn()

    def _run(self) -> None:
        try:
            while not self._is_over:
                self._wake.wait(_TURN_S)
                self._wake.clear()
                with self._lock:
                    self._turn()
        except BaseException as error:  # noqa: BLE001 - raised by `trouble`, in the thread of the delivery
            self._failure = error

    def _turn(self) -> None:
        """Look at everything once; in the lock."""
        now_s, written = self._clock(), self._bank.written
        while not self._ended.empty():
            self._take_outcome(*self._ended.get_nowait(), now_s)
        is_live = self._liveness.is_live(now_s)
        if is_live:
            self._shown = self._newest
        self._liveness.beat(now_s)
        self._stop.see(self._shown, now_s, datetime.now(UTC), is_live=is_live)
        is_enabled = written.number("stop_enable") == 1
        may_refuse = self._refuse_when_disabled and is_live
        accept, refuse = written.number("accept_stop"), written.number("refuse_stop")
        self._stop.hear(Wanted(accept, refuse, is_enabled, may_refuse), now_s)
        self._state = self._state.model_copy(update={"stop_enable": is_enabled, **self._journal()})
        calls = self._keep(now_s)
        if not self._is_over and (answer := self._stop.due(written, now_s)) is not None:
            calls.append(answer)
        for call in calls:
            self._submit(call)
        self._show(now_s)

    def _journal(self) -> dict[str, object]:
        """The journal that is shown, counted when it is another than before."""
        view, known = self._shown, self._state.epoch
        if view is None or view.epoch == known:
            return {}
        return {"epoch": view.epoch, "journal_changes": self._state.journal_changes + (known is not None)}

    def _keep(self, now_s: float) -> list[Call]:
        """Take the commands that are due, and keep the state; the calls that may be made now that it is kept."""
        state, calls = self._stop.kept_in(self._state), list[Call]()
        if self._unkept is not None and now_s < self._keep_again_s:
            return calls
        for kind in () if self._is_over else CommandKind:
            done, call = take(kind, self._done(kind), self._bank.written)
            state = state.model_copy(update={kind.value: done})
            calls += [] if call is None else [call]
        if state != self._kept:
            try:
                self._file.write(state)
            except (InputError, OSError) as error:
                problem = str(error) if isinstance(error, InputError) else f"{error.filename}: {error.strerror}"
                self._unkept = f"no command is taken, since the state cannot be kept: {problem}; make room or mend it"
                self._keep_again_s = now_s + _KEEP_AGAIN_S
                return []
        self._state = self._kept = state
        self._unkept = None
        return calls

    def _submit(self, call: Call) -> None:
        def over(future: Future[Outcome]) -> None:
            self._ended.put((call, future))
            self._wake.set()

        self._pool.submit(self._give, call).add_done_callback(over)

    def _take_outcome(self, call: Call, future: Future[Outcome], now_s: float) -> None:
        outcome = future.result()
        if call.kind is None:
            self._stop.over(call, outcome, now_s)
        else:
            self._state = self._state.model_copy(update={call.kind.value: outcome.done(call.number)})

    def _done(self, kind: CommandKind) -> Done:
        done: Done = getattr(self._state, kind.value)
        return done

    def _show(self, now_s: float) -> None:
        self._trouble = self._unkept or self._stop.trouble(now_s)
        held = self._stop.held
        own = AdapterValues(
            heartbeat=self._liveness.heartbeat,
            is_live=self._liveness.is_live(now_s),
            is_heard=self._liveness.is_heard(now_s),
            needs_person=self._trouble is not None,
            state=self._stop.kept_in(self._state),
            stop_number=0 if held is None else held.number,
            stop_age_s=self._stop.age_s(now_s),
            is_overdue=self._stop.is_overdue(now_s),
            is_stop_enabled=self._bank.written.number("stop_enable") == 1,
        )
        values = image_values(self._shown, own)
        self._bank.show(encode_all(self._coding, READ_ONLY, values, READ_ONLY_SIZE))
