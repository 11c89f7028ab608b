"""The camera process: `python -m glass_edge.acquisition.genicam_worker`, started by `genicam_process`.

Promises: it takes one task as a line of JSON on standard input and answers with lines of JSON on standard output (an
empty line: a block is in the ring); it ends when standard input ends, so also when its parent was killed; a driver that
hangs is ended from a thread of C after `hang_s`; leaving it never runs a destructor of a driver's library.

Tasks: `list` (devices of the producers), `open` (open, set to the profile, tell what came of it), `stream` (fill the
ring behind the descriptor it inherited).
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import select
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.genicam_devices import device_text, open_producers
from glass_edge.acquisition.genicam_ring import BlockRing, BlockShape
from glass_edge.acquisition.genicam_source import HarvesterSource
from glass_edge.acquisition.genicam_spec import GenicamSpec, error_to_json
from glass_edge.acquisition.line_counter import BlockTags
from glass_edge.errors import GlassEdgeError

DEVICE_KEYS = ("vendor", "model", "serial_number", "user_defined_name", "tl_type", "id_")
_SAY_S = 2.0


class _Parent:
    """The parent's two pipes."""

    def __init__(self) -> None:
        self._out = os.dup(1)  # what libraries print must not get between the answers
        os.dup2(2, 1)
        os.set_blocking(self._out, False)

    def say(self, document: dict[str, Any]) -> None:
        """Send an answer; a parent that does not read is left alone after a while."""
        data = json.dumps(document).encode() + b"\n"
        deadline_s = time.monotonic() + _SAY_S
        while data and time.monotonic() < deadline_s:
            try:
                data = data[os.write(self._out, data) :]
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                return

    def wake(self) -> None:
        """A block is there; a parent with a full pipe is awake already."""
        with contextlib.suppress(OSError):
            os.write(self._out, b"\n")

    @property
    def is_gone(self) -> bool:
        """True when it closed its end, or died."""
        ready, _, _ = select.select([0], [], [], 0)
        return bool(ready) and os.read(0, 4096) == b""


def _read_task() -> dict[str, Any]:
    data = b""
    while not data.endswith(b"\n"):
        piece = os.read(0, 65536)
        if not piece:
            os._exit(0)
        data += piece
    document: dict[str, Any] = json.loads(data)
    return document


def _stream(task: dict[str, Any], parent: _Parent) -> None:
    spec = GenicamSpec.from_json(task["spec"])
    with HarvesterSource(spec, stall_s=task["stall_s"]) as source:
        facts = source.facts
        assert facts is not None
        shape = BlockShape(facts.n_lines, facts.width_px, facts.channels)
        with BlockRing(task["ring_fd"], shape, task["slots"], create=True) as ring:
            parent.say({"event": "ready", "facts": facts.to_json()})

            def take(tags: BlockTags, lines: NDArray[np.uint8]) -> bool:
                written = ring.write(tags, lines)
                if written:
                    parent.wake()
                return written

            armed_s = time.monotonic()
            while not parent.is_gone:
                ring.beat()
                if time.monotonic() - armed_s > 1.0:
                    armed_s = time.monotonic()
                    faulthandler.dump_traceback_later(task["hang_s"], exit=True)
                source.poll(spec.fetch_timeout_s, take)


def _list(task: dict[str, Any], parent: _Parent) -> None:
    harvester = open_producers(tuple(task["cti"]))
    devices = [{key: device_text(one, key) for key in DEVICE_KEYS} for one in harvester.device_info_list]
    parent.say({"event": "devices", "devices": devices})


def _open(task: dict[str, Any], parent: _Parent) -> None:
    source = HarvesterSource(GenicamSpec.from_json(task["spec"]))
    try:
        facts = source.open()
        document: dict[str, Any] = {"done": source.applied.done, "lacks": source.applied.lacks}
        if task.get("features"):
            document["features"] = source.describe_features()
        parent.say({"event": "opened", "facts": facts.to_json(), **document})
    finally:
        source.close()


def main() -> None:
    """Do one task; never returns."""
    parent = _Parent()
    code = 0
    try:
        task = _read_task()
        faulthandler.dump_traceback_later(task["hang_s"], exit=True)
        {"list": _list, "open": _open, "stream": _stream}[task["task"]](task, parent)
    except GlassEdgeError as error:
        parent.say(error_to_json(error))
        code = error.exit_code
    except BaseException as error:  # noqa: BLE001 - the parent decides; a traceback helps nobody in a mill
        parent.say(error_to_json(error))
        code = 1
    os._exit(code)  # destructors of drivers crash


if __name__ == "__main__":
    main()
