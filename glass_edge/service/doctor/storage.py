"""The disks: room and speed where the station keeps its journal and its pictures.

Promises: what is written to look at a disk is removed again; the nearest folder that exists is looked at, and nothing
is made.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from glass_edge.service.doctor.finding import Finding, bad, care, good
from glass_edge.service.journal_rescue import put_aside

_TRIES = 15
_SLOW_SYNC_S = 0.1
_EVENT_BYTES = 4096
_SPARE_BYTES = 512 << 20
_REMOTE = {"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"}


def journal_disk(journal: Path, keep_mb: float) -> Iterator[Finding]:
    """Room, speed and kind of the disk of the journal."""
    yield from _folder("journal", journal.parent, int(keep_mb * 1e6) + _SPARE_BYTES, journal)
    folder = existing(journal.parent)
    if (kind := file_system(folder)) in _REMOTE:
        yield bad("journal", f"{folder} is on {kind}", "keep the journal on a local disk: events.journal")
    if os.access(folder, os.W_OK | os.X_OK):
        yield _speed(folder)
    if aside := sorted(put_aside(journal)):
        size = sum(one.stat().st_size for one in aside)
        text = f"damaged journals were put aside, {len(aside)} files of {size / 1e6:.1f} MB, the oldest {aside[0].name}"
        yield care("journal", text, f"check the disk; once clients have what they miss of them: rm {journal}.damaged-*")


def picture_disk(folder: Path, most_mb: int) -> Iterator[Finding]:
    """Room on the disk of the pictures."""
    yield from _folder("pictures", folder, most_mb << 20, folder)


def existing(folder: Path) -> Path:
    """`folder`, or the nearest above it that exists."""
    here = folder.absolute()
    while not here.exists() and here != here.parent:
        here = here.parent
    return here


def file_system(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """Kind of the file system that `folder` is on; empty when unknown."""
    best, kind = "", ""
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split()
        place = fields[1].replace("\\040", " ")
        if folder.is_relative_to(place) and len(place) >= len(best):
            best, kind = place, fields[2]
    return kind


def _folder(part: str, folder: Path, wanted_bytes: int, kept: Path) -> Iterator[Finding]:
    here = existing(folder)
    if not here.is_dir():
        yield bad(part, f"{here} is no folder", "give another path")
        return
    if not os.access(here, os.W_OK | os.X_OK):
        remedy = f"as root: install -d -o {os.geteuid()} {folder}"
        yield bad(part, f"{here} cannot be written by user {os.geteuid()}", remedy)
        return
    free, used = shutil.disk_usage(here).free, _size(kept)
    text = f"{kept}: {free / 1e9:.1f} GB free, may grow by {max(0, wanted_bytes - used) / 1e9:.1f} GB"
    if free < wanted_bytes - used:
        yield care(part, text, "make room, or let it keep less (events.keep_mb, output.crops_mb)")
    else:
        yield good(part, text)


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
    return path.stat().st_size if path.exists() else 0


def _speed(folder: Path) -> Finding:
    took_s = []
    with tempfile.TemporaryFile(dir=folder) as stream:
        for _ in range(_TRIES):
            stream.write(bytes(_EVENT_BYTES))
            begun_s = time.monotonic()
            stream.flush()
            os.fsync(stream.fileno())
            took_s.append(time.monotonic() - begun_s)
    median_s, worst_s = statistics.median(took_s), max(took_s)
    text = f"an event is on the disk of {folder} after {1000 * median_s:.1f} ms, at worst {1000 * worst_s:.1f} ms"
    if worst_s > _SLOW_SYNC_S:
        return care("journal", text, "a slow disk holds up the reports: use an SSD, or see what else writes to it")
    return good("journal", text)
