"""Events a receiver refused for good, with the reason, one JSON document a line.

Promises: a refused event is on disk before its offset is committed; a line is whole or absent (one that a crash cut is
removed at the next start); an event refused again after a crash is not written again; the file never passes its
size: when it is full nothing is dropped, the adapter waits for a person.
"""

from __future__ import annotations

import errno
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from glass_edge.adapters.sink import RetryableError
from glass_edge.errors import InputError
from glass_edge.events.client import Received
from glass_edge.events.schema import format_stamp
from glass_edge.files import make_folder, sync_folder

_TAIL_BYTES = 1 << 20  # far more than a line: an event's texts are bounded


class DeadLetters:
    """Appends refused events to `path`; one process at a time (the offset's lock sees to that).

    Raises:
        InputError: the file cannot be opened.
    """

    def __init__(self, path: Path, most_bytes: int) -> None:
        self.path = path
        self._most_bytes = most_bytes
        make_folder(path.parent)
        try:
            self._last = self._mend() if path.exists() else None
        except OSError as error:
            raise InputError(f"{path}: cannot be used ({error.strerror}); make it a writable file") from error

    def append(self, received: Received, reason: str) -> None:
        """Keep a refused event; durable when this returns.

        Raises:
            RetryableError: the file is full or cannot be written.
        """
        event = received.event
        if (event.epoch, event.seq) == self._last:
            return
        line = {
            "refused_utc": format_stamp(datetime.now(UTC)),
            "epoch": event.epoch,
            "seq": event.seq,
            "reason": reason,
            "event": json.loads(received.document),
        }
        data = (json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
        try:
            self._append(data)
        except OSError as error:
            raise RetryableError(f"{self.path}: cannot be written ({error.strerror}); make room or mend it") from error
        self._last = (event.epoch, event.seq)

    def _append(self, data: bytes) -> None:
        is_new = not self.path.exists()
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            size = os.fstat(fd).st_size
            if size + len(data) > self._most_bytes:
                raise RetryableError(
                    f"{self.path}: is full ({size} bytes) of events the receiver refused; mend the cause, then move the"
                    " file away, or give state.dead_letters_mb more room"
                )
            try:
                written = os.write(fd, data)
                if written != len(data):
                    raise OSError(errno.ENOSPC, "the disk is full")
                os.fsync(fd)
            except OSError:
                os.ftruncate(fd, size)
                raise
        finally:
            os.close(fd)
        if is_new:
            sync_folder(self.path.parent)

    def _mend(self) -> tuple[str, int] | None:
        """Cut an unfinished last line off; the place of the last whole one."""
        with self.path.open("r+b") as stream:
            size = stream.seek(0, os.SEEK_END)
            start = stream.seek(max(0, size - _TAIL_BYTES))
            tail = stream.read()
            end = tail.rfind(b"\n") + 1
            if end < len(tail):
                stream.truncate(start + end)
                os.fsync(stream.fileno())
        if end == 0:
            return None
        try:
            last = json.loads(tail[:end].rstrip(b"\n").rpartition(b"\n")[2])
            return str(last["epoch"]), int(last["seq"])
        except (ValueError, KeyError, TypeError):
            return None  # a person edited the file: an event may be in it twice, none is missing
